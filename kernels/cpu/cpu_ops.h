// The CPU implementation of Ops: one table of kernels an instruction set, picked at run time.
#ifndef SLUICE_KERNELS_CPU_CPU_OPS_H_
#define SLUICE_KERNELS_CPU_CPU_OPS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/ops.h"

namespace sluice {

// Instruction sets, slowest first on one machine. kScalar is the definition. kAvxVnni is kAvx2 with
// int8 dot products, for CPUs without AVX-512. kNeon is arm64's, with the dot products of ARMv8.2.
enum class Isa : uint8_t { kScalar, kAvx2, kAvxVnni, kAvx512, kNeon };

absl::string_view IsaName(Isa isa);
absl::StatusOr<Isa> ParseIsa(absl::string_view name);
// Those that this machine can run (its processor and its operating system), slowest first.
std::vector<Isa> SupportedIsas();

// Whether its Ops take MatMulArgs::rounded_activations on this machine: AVX512_BF16 with kAvx512.
bool RoundsActivations(Isa isa);

// `pool` must outlive the result. Unavailable where this CPU cannot run `isa`.
absl::StatusOr<std::unique_ptr<Ops>> MakeCpuOps(Isa isa, ThreadPool* pool);

struct KernelTable;
// Ops of kernels that no Isa stands for, in tests; both must outlive the result.
std::unique_ptr<Ops> MakeCpuOpsOf(const KernelTable* kernels, ThreadPool* pool);

}  // namespace sluice

#endif  // SLUICE_KERNELS_CPU_CPU_OPS_H_
