// Attention and row operations with AVX-512, and the table of all kernels.
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "kernels/cpu/attention_simd.h"
#include "kernels/cpu/attention_tile_simd.h"
#include "kernels/cpu/rows_simd.h"

namespace sluice {

const KernelTable kAvx512Kernels = {
    .quantize_block32 = avx512::QuantizeBlock32,
    .quantize_block256 = avx512::QuantizeBlock256,
    .matmul = &kAvx512MatMuls,
    .rms_norm = avx512::RmsNorm,
    .rope = avx512::Rope,
    .exp = avx512::ExpRow,
    .store_kv = {avx512::StoreKvF32, avx512::StoreKvF16, avx512::StoreKvQ8_0},
    .attend = avx512::Attend,
    .widen_block = avx512::WidenBlock,
    .attend_tile = avx512::AttendTile,
    .merge = avx512::Merge,
};

}  // namespace sluice
#endif
