// Attention and row operations with AVX2, FMA and F16C, and the tables of all kernels, with
// AVX-VNNI too.
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "kernels/cpu/attention_simd.h"
#include "kernels/cpu/attention_tile_simd.h"
#include "kernels/cpu/rows_simd.h"

namespace sluice {

namespace {

constexpr KernelTable TableWith(const MatMuls* matmul) {
  return {
      .quantize_block32 = avx2::QuantizeBlock32,
      .quantize_block256 = avx2::QuantizeBlock256,
      .matmul = matmul,
      .rms_norm = avx2::RmsNorm,
      .rope = avx2::Rope,
      .exp = avx2::ExpRow,
      .store_kv = {avx2::StoreKvF32, avx2::StoreKvF16, avx2::StoreKvQ8_0},
      .attend = avx2::Attend,
      .widen_block = avx2::WidenBlock,
      .attend_tile = avx2::AttendTile,
      .merge = avx2::Merge,
  };
}

}  // namespace

const KernelTable kAvx2Kernels = TableWith(&kAvx2MatMuls);
const KernelTable kAvxVnniKernels = TableWith(&kAvxVnniMatMuls);

}  // namespace sluice
#endif
