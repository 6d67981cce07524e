// Matrix products on 16-row tiles: one loop; matmul_blocks_simd.h and
// matmul_super_blocks_simd.h have a decoder an encoding.
//
// A thread walks its tiles in order of memory, and each tile by segments of 1,024 values of K. It
// takes up to kMaxTokens activation rows at once, so that a line is unpacked once for all of them;
// lane r is row r throughout, hence nothing crosses lanes. One token is bound by memory: a line
// costs a load, its unpacking and one or two dot products. The order of summing is that of
// matmul_scalar.cc, to the bit.
#ifndef SLUICE_KERNELS_CPU_MATMUL_SIMD_H_
#define SLUICE_KERNELS_CPU_MATMUL_SIMD_H_

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/math_simd.h"
#include "kernels/cpu/matmul_lines_simd.h"
#include "kernels/cpu/simd.h"

namespace sluice::SLUICE_SIMD_NAMESPACE {

inline constexpr int kSegment = 1024;

// A tile's weights by segments of K: acc[r] = the chains' end for token r over `k` (at most
// kSegment) values from `segment` on. `a` is the segment's place in the first token's activations.
template <class P>
struct QuantizedTile {
  static constexpr int kTokens = Decoder<P>::kTokens;
  SLUICE_INLINE static int64_t SegmentBytes() {
    return kSegment / P::kGroupValues * P::GroupBytes(P::kGroupBlocks);
  }
  static constexpr int64_t kActivationBytes = kSegment / 256 * kActivationGroupBytes;

  template <int R>
  SLUICE_INLINE static void Run(const uint8_t* segment, int k, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    for (int r = 0; r < R; ++r) acc[r] = ZeroF();
    for (int at = 0; at < k; at += P::kGroupValues) {
      const int n = k - at < P::kGroupValues ? k - at : P::kGroupValues;
      const int blocks = P::kGroupBlocks == 1 ? 1 : n / P::kBlockValues;
      Decoder<P>::Add(segment, blocks, a + at / 256 * kActivationGroupBytes, stride, acc);
      segment += P::GroupBytes(blocks);
    }
  }
};

// Each loader: four lines of f32, or two of pairs, as the weights of four values of K.
struct LoadF32 {
  static constexpr int kBytes = 4 * kLine;  // of four values
  template <int R>
  SLUICE_INLINE static void Load(const uint8_t* p, F32 (&w)[4]) {
    for (int i = 0; i < 4; ++i) w[i] = AsFloat(LoadLine<Ahead(R, false)>(p + i * kLine));
  }
};
struct LoadF16 {
  static constexpr int kBytes = 2 * kLine;
  template <int R>
  SLUICE_INLINE static void Load(const uint8_t* p, F32 (&w)[4]) {
    for (int i = 0; i < 2; ++i) {
      const I32 pair = LoadLine<Ahead(R, false)>(p + i * kLine);
      w[2 * i] = LowHalves(pair);
      w[2 * i + 1] = LowHalves(Shr<16>(pair));
    }
  }
};
struct LoadBF16 {
  static constexpr int kBytes = 2 * kLine;
  template <int R>
  SLUICE_INLINE static void Load(const uint8_t* p, F32 (&w)[4]) {
    for (int i = 0; i < 2; ++i) {
      const I32 pair = LoadLine<Ahead(R, false)>(p + i * kLine);
      w[2 * i] = AsFloat(Shl<16>(pair));
      w[2 * i + 1] = AsFloat(And(pair, SetI(static_cast<int32_t>(0xFFFF0000))));
    }
  }
};

template <class Loader>
struct FloatTile {
  static constexpr int kTokens = kMaxFloatTokens;
  SLUICE_INLINE static int64_t SegmentBytes() { return kSegment / 4 * Loader::kBytes; }
  static constexpr int64_t kActivationBytes = kSegment * sizeof(float);

  template <int R>
  SLUICE_INLINE static void Run(const uint8_t* segment, int k, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    F32 c[R][4];
    for (int r = 0; r < R; ++r) {
      for (int i = 0; i < 4; ++i) c[r][i] = ZeroF();
    }
    for (int at = 0; at < k; at += 4) {
      F32 w[4];
      Loader::template Load<R>(segment, w);
      segment += Loader::kBytes;
      for (int r = 0; r < R; ++r) {
        const auto* x = reinterpret_cast<const float*>(a + r * stride) + at;
        for (int i = 0; i < 4; ++i) c[r][i] = Fma(w[i], BroadcastF(x + i), c[r][i]);
      }
    }
    for (int r = 0; r < R; ++r) acc[r] = Add(Add(c[r][0], c[r][1]), Add(c[r][2], c[r][3]));
  }
};

// Epilogue values as in kernels/ops.h.
inline constexpr int kStore = 0;
inline constexpr int kAdd = 1;
inline constexpr int kSwiGlu = 2;
inline constexpr int kMultiply = 3;

// Tokens that meet a segment of a tile before the next segment is read: their share of activations
// (80 KiB in int8) and the segment stay in the caches nearest to the core however large K is.
inline constexpr int kPanelTokens = 64;

// Adds a segment to the totals [token][16] of R tokens.
template <class Tile, int R>
void AddSegment(const uint8_t* segment, int k, const uint8_t* a, int64_t stride, float* totals) {
  F32 acc[R];
  Tile::template Run<R>(segment, k, a, stride, acc);
  for (int r = 0; r < R; ++r) StoreF(Add(LoadF(totals + 16 * r), acc[r]), totals + 16 * r);
}

// Takes R tokens at a time while there are so many, and returns the first one left.
template <class Tile, int R>
SLUICE_INLINE int AddWhile(const uint8_t* segment, int k, const uint8_t* a, int64_t stride,
                           int token, int num_tokens, float* totals) {
  if constexpr (R <= Tile::kTokens) {
    for (; num_tokens - token >= R; token += R) {
      AddSegment<Tile, R>(segment, k, a + token * stride, stride, totals + 16 * token);
    }
  }
  return token;
}

// totals[token][16] = the tile's rows times each of a panel's tokens.
template <class Tile>
SLUICE_INLINE void MultiplyPanel(const uint8_t* tile, int64_t k, const uint8_t* a, int64_t stride,
                                 int num_tokens, float* totals) {
  for (int i = 0; i < num_tokens; ++i) StoreF(ZeroF(), totals + 16 * i);
  for (int64_t begin = 0; begin < k; begin += kSegment) {
    const int n = static_cast<int>(k - begin < kSegment ? k - begin : kSegment);
    int token = AddWhile<Tile, 8>(tile, n, a, stride, 0, num_tokens, totals);
    token = AddWhile<Tile, 6>(tile, n, a, stride, token, num_tokens, totals);
    token = AddWhile<Tile, 4>(tile, n, a, stride, token, num_tokens, totals);
    token = AddWhile<Tile, 3>(tile, n, a, stride, token, num_tokens, totals);
    token = AddWhile<Tile, 2>(tile, n, a, stride, token, num_tokens, totals);
    AddWhile<Tile, 1>(tile, n, a, stride, token, num_tokens, totals);
    tile += Tile::SegmentBytes();
    a += Tile::kActivationBytes;
  }
}

// Writes a panel's results for `lanes` rows from `row` on. `totals` is gate's for kSwiGlu, `up`
// up's.
inline void Finish(const MatMulJob& job, int64_t row, int lanes, int64_t token, int num_tokens,
                   const float* totals, const float* up) {
  for (int i = 0; i < num_tokens; ++i) {
    float* out = job.out + (token + i) * job.out_stride + row;
    F32 y = LoadF(totals + 16 * i);
    if (job.addend != nullptr) y = Add(y, LoadFirst(job.addend + row, lanes));
    if (job.epilogue == kAdd) y = Add(LoadFirst(out, lanes), y);
    if (job.epilogue == kMultiply) y = Mul(Silu(LoadFirst(out, lanes)), y);
    if (job.epilogue == kSwiGlu) {
      F32 other = LoadF(up + 16 * i);
      if (job.up_addend != nullptr) other = Add(other, LoadFirst(job.up_addend + row, lanes));
      y = Mul(Silu(y), other);
    }
    StoreFirst(y, out, lanes);
  }
}

template <class Tile>
void MatMul(const MatMulJob& job) {
  alignas(64) float totals[2][kPanelTokens * 16];  // of a tile, or of gate and up
  const int sides = job.epilogue == kSwiGlu ? 2 : 1;
  for (int64_t tile = job.tile_begin; tile < job.tile_end; ++tile) {
    const int64_t row = job.first_row + 16 * tile;
    const int64_t left = job.matrix_rows - row;
    if (left <= 0) return;
    const int lanes = left < 16 ? static_cast<int>(left) : 16;
    for (int64_t token = 0; token < job.num_tokens; token += kPanelTokens) {
      const int64_t rest = job.num_tokens - token;
      const int num_tokens = rest < kPanelTokens ? static_cast<int>(rest) : kPanelTokens;
      for (int side = 0; side < sides; ++side) {
        MultiplyPanel<Tile>(job.tiles + (tile * sides + side) * job.tile_bytes, job.k,
                            job.activations + token * job.activation_stride, job.activation_stride,
                            num_tokens, totals[side]);
      }
      Finish(job, row, lanes, token, num_tokens, totals[0], totals[1]);
    }
  }
}

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_MATMUL_SIMD_H_
