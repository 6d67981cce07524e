// Attention and row operations with NEON, and the table of all kernels.
#include "kernels/cpu/kernel_table.h"

#if defined(__aarch64__)
#include "kernels/cpu/attention_simd.h"
#include "kernels/cpu/attention_tile_simd.h"
#include "kernels/cpu/rows_simd.h"

namespace sluice {

const KernelTable kNeonKernels = {
    .quantize_block32 = neon::QuantizeBlock32,
    .quantize_block256 = neon::QuantizeBlock256,
    .matmul = &kNeonMatMuls,
    .rms_norm = neon::RmsNorm,
    .rope = neon::Rope,
    .exp = neon::ExpRow,
    .store_kv = {neon::StoreKvF32, neon::StoreKvF16, neon::StoreKvQ8_0},
    .attend = neon::Attend,
    .widen_block = neon::WidenBlock,
    .attend_tile = neon::AttendTile,
    .merge = neon::Merge,
};

}  // namespace sluice
#endif
