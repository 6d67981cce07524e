// Products of bf16 weights with activations rounded to bf16: vdpbf16ps, twice the rate of f32 fma
// on Zen 4.
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "kernels/cpu/matmul_simd.h"
#include "kernels/cpu/rows_simd.h"

namespace sluice {
namespace avx512bf16 {
namespace {

// Two chains a token, of the even and the odd pairs of K: one would be too short of work for one
// token, and eight tokens have enough of it to hide what an instruction takes.
struct RoundedBF16Tile {
  static constexpr int kTokens = 8;
  SLUICE_INLINE static int64_t SegmentBytes() { return kSegment / 2 * kLine; }
  static constexpr int64_t kActivationBytes = kSegment * 2;

  template <int R>
  SLUICE_INLINE static void Run(const uint8_t* segment, int k, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    F32 c[R][2];
    for (int r = 0; r < R; ++r) c[r][0] = c[r][1] = ZeroF();
    for (int at = 0; at < k; at += 4) {  // tiles pad K to a multiple of 4
      for (int i = 0; i < 2; ++i) {
        const I32 w = LoadLine<Ahead(R, false)>(segment + i * kLine);
        const uint8_t* x = a + 2 * at + 4 * i;
        for (int r = 0; r < R; ++r) c[r][i] = DotPairs(c[r][i], w, BroadcastI(x + r * stride));
      }
      segment += 2 * kLine;
    }
    for (int r = 0; r < R; ++r) acc[r] = Add(c[r][0], c[r][1]);
  }
};

// Zeros up to a multiple of 16 values.
void RoundBF16(const float* x, int64_t k, void* row) {
  auto* const out = static_cast<uint8_t*>(row);
  for (int64_t i = 0; i < k; i += 16) StoreBF16(LoadUpTo(x, i, k), out + 2 * i);
}

}  // namespace
}  // namespace avx512bf16

const RoundedKernels kAvx512Bf16Kernels = {
    .round_bf16 = avx512bf16::RoundBF16,
    .matmul_bf16 = avx512bf16::MatMul<avx512bf16::RoundedBF16Tile>,
};

}  // namespace sluice
#endif
