// What the scalar table consists of beside its products; the definition of every operation on the
// CPU.
#ifndef SLUICE_KERNELS_CPU_KERNELS_SCALAR_H_
#define SLUICE_KERNELS_CPU_KERNELS_SCALAR_H_

#include <cstdint>

#include "kernels/cpu/kernel_table.h"

namespace sluice::scalar {

// Contracts as in KernelTable.
void QuantizeBlock32(const float* x, int64_t k, void* row);
void QuantizeBlock256(const float* x, int64_t k, void* row);

void RmsNorm(const float* x, int64_t n, const float* weight, float eps, float* out);
void Rope(float* x, int64_t half, const float* cos_sin);
void ExpRow(const float* x, int64_t n, float* y);

void StoreKvF32(const float* x, int64_t head_dim, uint8_t* row);
void StoreKvF16(const float* x, int64_t head_dim, uint8_t* row);
void StoreKvQ8_0(const float* x, int64_t head_dim, uint8_t* row);
void Attend(const AttentionJob& job);
void Merge(const AttentionState& into, const AttentionState& next, int group, int64_t padded_dim);

}  // namespace sluice::scalar

#endif  // SLUICE_KERNELS_CPU_KERNELS_SCALAR_H_
