// The tests of this folder on the emulated machine.
#include "tests/cuda_emulation/machine.h"
#include "tests/kernels/cuda/test_device.h"

namespace sluice::cuda {

bool Backend::HasDevice() { return true; }
std::vector<uint64_t> Backend::Seeds() { return {1, 2, 3}; }
void Backend::Start(uint64_t seed) { cuda_emulation::Reset({.seed = seed}); }
std::string Backend::Faults() { return cuda_emulation::Faults(); }
int Backend::LiveObjects() { return cuda_emulation::LiveObjects(); }

}  // namespace sluice::cuda
