// The tests of this folder on the machine's first CUDA device.
#include "tests/kernels/cuda/test_device.h"

namespace sluice::cuda {

bool Backend::HasDevice() {
  const auto count = CountDevices();
  return count.ok() && *count > 0;
}
std::vector<uint64_t> Backend::Seeds() { return {0}; }
void Backend::Start(uint64_t) {}
std::string Backend::Faults() { return ""; }
int Backend::LiveObjects() { return 0; }

}  // namespace sluice::cuda
