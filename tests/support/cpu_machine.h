// The operations of one instruction set on threads of their own.
#ifndef SLUICE_TESTS_SUPPORT_CPU_MACHINE_H_
#define SLUICE_TESTS_SUPPORT_CPU_MACHINE_H_

#include <memory>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/ops.h"

namespace sluice {

struct Machine {
  Machine(Isa isa, int threads) : pool(threads), ops(*MakeCpuOps(isa, &pool)) {}
  ThreadPool pool;
  std::unique_ptr<Ops> ops;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_SUPPORT_CPU_MACHINE_H_
