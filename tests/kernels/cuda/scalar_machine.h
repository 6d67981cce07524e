// The scalar code that defines every operation, as what a device is compared with.
#ifndef SLUICE_TESTS_KERNELS_CUDA_SCALAR_MACHINE_H_
#define SLUICE_TESTS_KERNELS_CUDA_SCALAR_MACHINE_H_

#include "kernels/cpu/cpu_ops.h"
#include "tests/support/cpu_machine.h"
#include "tests/support/random_floats.h"

namespace sluice::cuda {

class Scalar {
 public:
  Ops& ops() { return *machine_.ops; }

 private:
  Machine machine_{Isa::kScalar, 1};
};

}  // namespace sluice::cuda

#endif  // SLUICE_TESTS_KERNELS_CUDA_SCALAR_MACHINE_H_
