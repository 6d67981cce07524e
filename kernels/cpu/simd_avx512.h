// 16 lanes in one 512-bit register, for the bodies in *_simd.h.
//
// Each such header gives the same types and functions in a namespace of its own; the bodies are
// compiled once in each. What all of them promise: the same bits as the formula beside the
// function.
//
// Compiled for AVX512_BF16 too it has products of bf16 pairs, and a namespace of its own: the
// linker must not keep a body made for that where another CPU runs.
#ifndef SLUICE_KERNELS_CPU_SIMD_AVX512_H_
#define SLUICE_KERNELS_CPU_SIMD_AVX512_H_

#include <stdint.h>

// GCC 12 takes the undefined vectors inside its own intrinsics for a mistake of the caller.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#if defined(__AVX512BF16__)
#define SLUICE_SIMD_NAMESPACE avx512bf16
#else
#define SLUICE_SIMD_NAMESPACE avx512
#endif
#define SLUICE_INLINE inline __attribute__((always_inline))

namespace sluice::SLUICE_SIMD_NAMESPACE {

struct F32 {
  __m512 v;
};
struct I32 {
  __m512i v;
};

// Tokens that fit the registers beside the weights.
inline constexpr int kMaxTokens = 8;
inline constexpr int kMaxFloatTokens = 6;
// Vectors of keys whose scores four heads take at once.
inline constexpr int kScoreVectors = 4;
// Sums of values that fit the registers beside a row and its weights.
inline constexpr int kValueVectors = 24;

// Floats.
SLUICE_INLINE F32 ZeroF() { return {_mm512_setzero_ps()}; }
SLUICE_INLINE F32 SetF(float x) { return {_mm512_set1_ps(x)}; }
SLUICE_INLINE F32 LoadF(const float* p) { return {_mm512_loadu_ps(p)}; }
SLUICE_INLINE void StoreF(F32 x, float* p) { _mm512_storeu_ps(p, x.v); }
SLUICE_INLINE __mmask16 FirstLanes(int n) { return static_cast<__mmask16>((1u << n) - 1); }
// The first n (0..16) values; the other lanes are 0.
SLUICE_INLINE F32 LoadFirst(const float* p, int n) {
  return {_mm512_maskz_loadu_ps(FirstLanes(n), p)};
}
SLUICE_INLINE void StoreFirst(F32 x, float* p, int n) {
  _mm512_mask_storeu_ps(p, FirstLanes(n), x.v);
}
SLUICE_INLINE F32 Add(F32 x, F32 y) { return {_mm512_add_ps(x.v, y.v)}; }
SLUICE_INLINE F32 Sub(F32 x, F32 y) { return {_mm512_sub_ps(x.v, y.v)}; }
SLUICE_INLINE F32 Mul(F32 x, F32 y) { return {_mm512_mul_ps(x.v, y.v)}; }
SLUICE_INLINE F32 Div(F32 x, F32 y) { return {_mm512_div_ps(x.v, y.v)}; }
SLUICE_INLINE F32 Fma(F32 x, F32 y, F32 z) { return {_mm512_fmadd_ps(x.v, y.v, z.v)}; }
SLUICE_INLINE F32 NegFma(F32 x, F32 y, F32 z) { return {_mm512_fnmadd_ps(x.v, y.v, z.v)}; }
// Where y is NaN: y.
SLUICE_INLINE F32 Min(F32 x, F32 y) { return {_mm512_min_ps(x.v, y.v)}; }
SLUICE_INLINE F32 Max(F32 x, F32 y) { return {_mm512_max_ps(x.v, y.v)}; }
SLUICE_INLINE F32 Round(F32 x) {
  return {_mm512_roundscale_ps(x.v, 8)};
}  // nearest even, no exceptions
// 0 where x < limit, else y.
SLUICE_INLINE F32 ZeroBelow(F32 x, F32 limit, F32 y) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_NLT_UQ), y.v)};
}
// The other of the first n lanes (0..16) become -infinity.
SLUICE_INLINE F32 KeepFirst(F32 x, int n) {
  return {_mm512_mask_mov_ps(_mm512_set1_ps(-__builtin_inff()), FirstLanes(n), x.v)};
}

// Integers.
SLUICE_INLINE I32 ZeroI() { return {_mm512_setzero_si512()}; }
SLUICE_INLINE I32 SetI(int32_t x) { return {_mm512_set1_epi32(x)}; }
SLUICE_INLINE I32 LoadI(const void* p) { return {_mm512_loadu_si512(p)}; }
SLUICE_INLINE I32 BroadcastI(const void* p) {
  int32_t word;
  __builtin_memcpy(&word, p, 4);
  return {_mm512_set1_epi32(word)};
}
SLUICE_INLINE I32 And(I32 x, I32 y) { return {_mm512_and_si512(x.v, y.v)}; }
SLUICE_INLINE I32 Or(I32 x, I32 y) { return {_mm512_or_si512(x.v, y.v)}; }
SLUICE_INLINE I32 AddI(I32 x, I32 y) { return {_mm512_add_epi32(x.v, y.v)}; }
SLUICE_INLINE I32 SubI(I32 x, I32 y) { return {_mm512_sub_epi32(x.v, y.v)}; }
SLUICE_INLINE I32 MulI(I32 x, I32 y) { return {_mm512_mullo_epi32(x.v, y.v)}; }
SLUICE_INLINE I32 SubBytes(I32 x, I32 y) { return {_mm512_sub_epi8(x.v, y.v)}; }
SLUICE_INLINE I32 MaxI(I32 x, I32 y) { return {_mm512_max_epi32(x.v, y.v)}; }
SLUICE_INLINE I32 MinI(I32 x, I32 y) { return {_mm512_min_epi32(x.v, y.v)}; }
template <int kBits>
SLUICE_INLINE I32 Shl(I32 x) {
  return {_mm512_slli_epi32(x.v, kBits)};
}
template <int kBits>
SLUICE_INLINE I32 Shr(I32 x) {  // logical
  return {_mm512_srli_epi32(x.v, kBits)};
}
// Pairs of 16-bit lanes: sign-extended low bytes, and high bytes.
SLUICE_INLINE I32 EvenBytesSigned(I32 x) {
  return {_mm512_srai_epi16(_mm512_slli_epi16(x.v, 8), 8)};
}
SLUICE_INLINE I32 OddBytesSigned(I32 x) { return {_mm512_srai_epi16(x.v, 8)}; }
// The high bytes, signed, times 32; the low ones must be 0.
SLUICE_INLINE I32 OddBytesTimes32(I32 x) { return {_mm512_srai_epi16(x.v, 3)}; }
// acc + x0 * y0 + x1 * y1 of each word's 16-bit halves.
SLUICE_INLINE I32 MulAddPairs(I32 acc, I32 x, I32 y) {
  return {_mm512_dpwssd_epi32(acc.v, x.v, y.v)};
}
SLUICE_INLINE int32_t ReduceAddI(I32 x) { return _mm512_reduce_add_epi32(x.v); }
SLUICE_INLINE int32_t ReduceMaxI(I32 x) { return _mm512_reduce_max_epi32(x.v); }

// Conversions.
SLUICE_INLINE F32 ToFloat(I32 x) { return {_mm512_cvtepi32_ps(x.v)}; }
SLUICE_INLINE I32 ToInt(F32 x) { return {_mm512_cvtps_epi32(x.v)}; }  // nearest even
SLUICE_INLINE F32 AsFloat(I32 x) { return {_mm512_castsi512_ps(x.v)}; }
SLUICE_INLINE I32 AsInt(F32 x) { return {_mm512_castps_si512(x.v)}; }
SLUICE_INLINE F32 LoadHalves(const void* p) {  // 16 f16
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
SLUICE_INLINE void StoreHalves(F32 x, void* p) {
  _mm256_storeu_si256(static_cast<__m256i*>(p),
                      _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
SLUICE_INLINE F32 LowHalves(I32 x) { return {_mm512_cvtph_ps(_mm512_cvtepi32_epi16(x.v))}; }
SLUICE_INLINE float FromHalf(uint16_t bits) {  // one f16
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
}
SLUICE_INLINE uint16_t ToHalf(float x) {  // nearest even
  return static_cast<uint16_t>(
      _mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT)));
}
SLUICE_INLINE I32 WidenHalves(const void* p) {  // 16 uint16
  return {_mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
SLUICE_INLINE I32 WidenBytes(const void* p) {  // 16 uint8
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
SLUICE_INLINE F32 LoadBytes(const void* p) {  // 16 int8
  return {
      _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))))};
}
SLUICE_INLINE void StoreBytes(I32 x, void* p) {  // low bytes
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x.v));
}

// 16 bytes, and the ones that the bytes of x, each below 16, select.
struct Table {
  __m512i v;
};
SLUICE_INLINE Table LoadTable(const int8_t* bytes) {
  return {_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)))};
}
SLUICE_INLINE Table AddToTable(Table table, int8_t x) {
  return {_mm512_add_epi8(table.v, _mm512_set1_epi8(x))};
}
SLUICE_INLINE I32 LookUp(Table table, I32 x) { return {_mm512_shuffle_epi8(table.v, x.v)}; }

// Asks for the line that p is in, into the L2 cache; p need not be mapped.
SLUICE_INLINE void PrefetchL2(const void* p) {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
}

// Makes the compiler take both for changed.
SLUICE_INLINE void Opaque(I32* x, I32* y) { asm volatile("" : "+v"(x->v), "+v"(y->v)); }

// Dot products of unsigned weights below 64 with int8, four a word. `Partial` may be added to for
// as many quads as kQuads* says before it is read.
struct Partial {
  __m512i v;
};
inline constexpr int kQuadsOf4Bits = 8;
inline constexpr int kQuadsOf5Bits = 8;
inline constexpr int kQuadsOf6Bits = 8;
SLUICE_INLINE Partial ZeroPartial() { return {_mm512_setzero_si512()}; }
SLUICE_INLINE Partial Dot(Partial acc, I32 weights, I32 x) {
  return {_mm512_dpbusd_epi32(acc.v, weights.v, x.v)};
}
SLUICE_INLINE I32 Widen(Partial x) { return {x.v}; }
// A scale from the low byte of each word, as AddScaled wants it.
SLUICE_INLINE I32 ScaleOfLowByte(I32 x) { return {_mm512_and_si512(x.v, _mm512_set1_epi32(255))}; }
SLUICE_INLINE I32 SignedScaleOfHighByte(I32 x) { return {_mm512_srai_epi32(x.v, 24)}; }
SLUICE_INLINE I32 AddScaled(I32 acc, Partial x, I32 scale) {
  return {_mm512_add_epi32(acc.v, _mm512_mullo_epi32(x.v, scale.v))};
}

// Dot products of 8-bit weights, stored as weight + 128: the sum still has kByteOffset * x in it.
struct ByteWeights {
  __m512i v;
};
inline constexpr int kByteOffsetBits = 7;  // offset 128
SLUICE_INLINE ByteWeights PrepareBytes(I32 line) { return {line.v}; }
SLUICE_INLINE I32 DotBytes(I32 acc, ByteWeights weights, I32 x) {
  return {_mm512_dpbusd_epi32(acc.v, weights.v, x.v)};
}
// What DotBytes starts from so that the offset comes off; `minus_sum` is -(sum of all x).
SLUICE_INLINE I32 StartBytes(const int32_t* minus_sum) {
  return {_mm512_slli_epi32(_mm512_set1_epi32(*minus_sum), kByteOffsetBits)};
}

SLUICE_INLINE I32 StartBytesOf(int32_t sum) { return SetI(-sum * (1 << kByteOffsetBits)); }
// Weights from a table of signed ones.
using ByteTable = Table;
SLUICE_INLINE ByteTable LoadByteTable(const int8_t* weights) {
  return AddToTable(LoadTable(weights), -128);
}
SLUICE_INLINE ByteWeights LookUpBytes(ByteTable table, I32 x) { return {LookUp(table, x).v}; }

// The tree of Sum16 (8, 4, 2, 1) of four vectors: lane j of the result is the sum of the j-th.
SLUICE_INLINE __m128 ReduceTo4(F32 x) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
SLUICE_INLINE void ReduceSum4(F32 x0, F32 x1, F32 x2, F32 x3, float* sums) {
  __m128 r0 = ReduceTo4(x0), r1 = ReduceTo4(x1), r2 = ReduceTo4(x2), r3 = ReduceTo4(x3);
  _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
  _mm_storeu_ps(sums, _mm_add_ps(_mm_add_ps(r0, r2), _mm_add_ps(r1, r3)));
}
SLUICE_INLINE float ReduceSum(F32 x) {
  const __m128 r = ReduceTo4(x);
  const __m128 s = _mm_add_ps(r, _mm_movehl_ps(r, r));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
SLUICE_INLINE float ReduceMax(F32 x) { return _mm512_reduce_max_ps(x.v); }

#if defined(__AVX512BF16__)
// acc + x0 * y0 + x1 * y1 of each word's bf16 halves, as vdpbf16ps adds them up.
SLUICE_INLINE F32 DotPairs(F32 acc, I32 x, I32 y) {
  return {_mm512_dpbf16_ps(acc.v, (__m512bh)x.v, (__m512bh)y.v)};
}
// 16 bf16, rounded to nearest even.
SLUICE_INLINE void StoreBF16(F32 x, void* p) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(x.v));
}
#endif

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_SIMD_AVX512_H_
