// The scalar code that defines every operation, as what a device is compared with.
#ifndef SLUICE_TESTS_KERNELS_CUDA_SCALAR_MACHINE_H_
#define SLUICE_TESTS_KERNELS_CUDA_SCALAR_MACHINE_H_

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "kernels/cpu/cpu_ops.h"

namespace sluice::cuda {

class Scalar {
 public:
  Scalar() : pool_(1), ops_(*MakeCpuOps(Isa::kScalar, &pool_)) {}
  Ops& ops() { return *ops_; }

 private:
  ThreadPool pool_;
  std::unique_ptr<Ops> ops_;
};

inline std::vector<float> RandomFloats(int64_t n, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace sluice::cuda

#endif  // SLUICE_TESTS_KERNELS_CUDA_SCALAR_MACHINE_H_
