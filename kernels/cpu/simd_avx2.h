// 16 lanes in two 256-bit registers, for the bodies in *_simd.h; see simd_avx512.h.
//
// With AVX-VNNI the int8 dot products are those of simd_avx512.h, and all else is the same. A test
// builds that variant from the EVEX forms of the same instructions (SLUICE_AVX_VNNI_AS_EVEX): CPUs
// with AVX-512 run those.
#ifndef SLUICE_KERNELS_CPU_SIMD_AVX2_H_
#define SLUICE_KERNELS_CPU_SIMD_AVX2_H_

#include <immintrin.h>
#include <stdint.h>

#if defined(SLUICE_AVX_VNNI_AS_EVEX)
#define SLUICE_SIMD_NAMESPACE avxvnni_as_evex
#define SLUICE_DPBUSD _mm256_dpbusd_epi32
#elif defined(__AVXVNNI__)
#define SLUICE_SIMD_NAMESPACE avxvnni
#define SLUICE_DPBUSD _mm256_dpbusd_avx_epi32
#else
#define SLUICE_SIMD_NAMESPACE avx2
#endif
#define SLUICE_INLINE inline __attribute__((always_inline))

namespace sluice::SLUICE_SIMD_NAMESPACE {

// Lanes 0-7 in a, 8-15 in b.
struct F32 {
  __m256 a, b;
};
struct I32 {
  __m256i a, b;
};

// Tokens that fit the registers beside the weights.
inline constexpr int kMaxTokens = 4;
inline constexpr int kMaxFloatTokens = 2;
// Vectors of keys whose scores four heads take at once.
inline constexpr int kScoreVectors = 1;
// Sums of values that fit the registers beside a row and its weights.
inline constexpr int kValueVectors = 6;

// Floats.
SLUICE_INLINE F32 ZeroF() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
SLUICE_INLINE F32 SetF(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
SLUICE_INLINE F32 LoadF(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
SLUICE_INLINE void StoreF(F32 x, float* p) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
SLUICE_INLINE I32 FirstLanes(int n) {
  const __m256i count = _mm256_set1_epi32(n);
  return {_mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
          _mm256_cmpgt_epi32(count, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}
// The first n (0..16) values; the other lanes are 0.
SLUICE_INLINE F32 LoadFirst(const float* p, int n) {
  const I32 mask = FirstLanes(n);
  return {_mm256_maskload_ps(p, mask.a), _mm256_maskload_ps(p + 8, mask.b)};
}
SLUICE_INLINE void StoreFirst(F32 x, float* p, int n) {
  const I32 mask = FirstLanes(n);
  _mm256_maskstore_ps(p, mask.a, x.a);
  _mm256_maskstore_ps(p + 8, mask.b, x.b);
}
SLUICE_INLINE F32 Add(F32 x, F32 y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
SLUICE_INLINE F32 Sub(F32 x, F32 y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
SLUICE_INLINE F32 Mul(F32 x, F32 y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
SLUICE_INLINE F32 Div(F32 x, F32 y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
SLUICE_INLINE F32 Fma(F32 x, F32 y, F32 z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
SLUICE_INLINE F32 NegFma(F32 x, F32 y, F32 z) {
  return {_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)};
}
// Where y is NaN: y.
SLUICE_INLINE F32 Min(F32 x, F32 y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
SLUICE_INLINE F32 Max(F32 x, F32 y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
SLUICE_INLINE F32 Round(F32 x) {  // nearest even, no exceptions
  return {_mm256_round_ps(x.a, 8), _mm256_round_ps(x.b, 8)};
}
// 0 where x < limit, else y.
SLUICE_INLINE F32 ZeroBelow(F32 x, F32 limit, F32 y) {
  return {_mm256_and_ps(_mm256_cmp_ps(x.a, limit.a, _CMP_NLT_UQ), y.a),
          _mm256_and_ps(_mm256_cmp_ps(x.b, limit.b, _CMP_NLT_UQ), y.b)};
}
// Lanes from n (0..16) on become -infinity.
SLUICE_INLINE F32 KeepFirst(F32 x, int n) {
  const I32 mask = FirstLanes(n);
  const __m256 low = _mm256_set1_ps(-__builtin_inff());
  return {_mm256_blendv_ps(low, x.a, _mm256_castsi256_ps(mask.a)),
          _mm256_blendv_ps(low, x.b, _mm256_castsi256_ps(mask.b))};
}

// Integers.
SLUICE_INLINE I32 ZeroI() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
SLUICE_INLINE I32 SetI(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
SLUICE_INLINE I32 LoadI(const void* p) {
  const auto* words = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(words), _mm256_loadu_si256(words + 1)};
}
SLUICE_INLINE I32 BroadcastI(const void* p) {
  int32_t word;
  __builtin_memcpy(&word, p, 4);
  return SetI(word);
}
SLUICE_INLINE I32 And(I32 x, I32 y) {
  return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
SLUICE_INLINE I32 Or(I32 x, I32 y) {
  return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)};
}
SLUICE_INLINE I32 AddI(I32 x, I32 y) {
  return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
SLUICE_INLINE I32 SubI(I32 x, I32 y) {
  return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)};
}
SLUICE_INLINE I32 MulI(I32 x, I32 y) {
  return {_mm256_mullo_epi32(x.a, y.a), _mm256_mullo_epi32(x.b, y.b)};
}
SLUICE_INLINE I32 SubBytes(I32 x, I32 y) {
  return {_mm256_sub_epi8(x.a, y.a), _mm256_sub_epi8(x.b, y.b)};
}
SLUICE_INLINE I32 MaxI(I32 x, I32 y) {
  return {_mm256_max_epi32(x.a, y.a), _mm256_max_epi32(x.b, y.b)};
}
SLUICE_INLINE I32 MinI(I32 x, I32 y) {
  return {_mm256_min_epi32(x.a, y.a), _mm256_min_epi32(x.b, y.b)};
}
template <int kBits>
SLUICE_INLINE I32 Shl(I32 x) {
  return {_mm256_slli_epi32(x.a, kBits), _mm256_slli_epi32(x.b, kBits)};
}
template <int kBits>
SLUICE_INLINE I32 Shr(I32 x) {  // logical
  return {_mm256_srli_epi32(x.a, kBits), _mm256_srli_epi32(x.b, kBits)};
}
// Pairs of 16-bit lanes: sign-extended low bytes, and high bytes.
SLUICE_INLINE I32 EvenBytesSigned(I32 x) {
  return {_mm256_srai_epi16(_mm256_slli_epi16(x.a, 8), 8),
          _mm256_srai_epi16(_mm256_slli_epi16(x.b, 8), 8)};
}
SLUICE_INLINE I32 OddBytesSigned(I32 x) {
  return {_mm256_srai_epi16(x.a, 8), _mm256_srai_epi16(x.b, 8)};
}
// The high bytes, signed, times 32; the low ones must be 0.
SLUICE_INLINE I32 OddBytesTimes32(I32 x) {
  return {_mm256_srai_epi16(x.a, 3), _mm256_srai_epi16(x.b, 3)};
}
// acc + x0 * y0 + x1 * y1 of each word's 16-bit halves.
SLUICE_INLINE I32 MulAddPairs(I32 acc, I32 x, I32 y) {
  return {_mm256_add_epi32(acc.a, _mm256_madd_epi16(x.a, y.a)),
          _mm256_add_epi32(acc.b, _mm256_madd_epi16(x.b, y.b))};
}
SLUICE_INLINE int32_t ReduceAddI(I32 x) {
  const __m256i eight = _mm256_add_epi32(x.a, x.b);
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xB1));
  return _mm_cvtsi128_si32(four);
}
SLUICE_INLINE int32_t ReduceMaxI(I32 x) {
  const __m256i eight = _mm256_max_epi32(x.a, x.b);
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xB1));
  return _mm_cvtsi128_si32(four);
}

// Conversions.
SLUICE_INLINE F32 ToFloat(I32 x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
SLUICE_INLINE I32 ToInt(F32 x) {  // nearest even
  return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)};
}
SLUICE_INLINE F32 AsFloat(I32 x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
SLUICE_INLINE I32 AsInt(F32 x) { return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }
SLUICE_INLINE F32 LoadHalves(const void* p) {  // 16 f16
  const auto* halves = static_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
}
SLUICE_INLINE void StoreHalves(F32 x, void* p) {
  auto* halves = static_cast<__m128i*>(p);
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  _mm_storeu_si128(halves, _mm256_cvtps_ph(x.a, kMode));
  _mm_storeu_si128(halves + 1, _mm256_cvtps_ph(x.b, kMode));
}
SLUICE_INLINE F32 LowHalves(I32 x) {
  const __m256i mask = _mm256_set1_epi32(0xFFFF);
  const __m256i packed = _mm256_permute4x64_epi64(
      _mm256_packus_epi32(_mm256_and_si256(x.a, mask), _mm256_and_si256(x.b, mask)), 0xD8);
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(packed)),
          _mm256_cvtph_ps(_mm256_extracti128_si256(packed, 1))};
}
SLUICE_INLINE float FromHalf(uint16_t bits) {  // one f16
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
}
SLUICE_INLINE uint16_t ToHalf(float x) {  // nearest even
  return static_cast<uint16_t>(
      _mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT)));
}
SLUICE_INLINE I32 WidenHalves(const void* p) {  // 16 uint16
  const auto* halves = static_cast<const __m128i*>(p);
  return {_mm256_cvtepu16_epi32(_mm_loadu_si128(halves)),
          _mm256_cvtepu16_epi32(_mm_loadu_si128(halves + 1))};
}
SLUICE_INLINE I32 WidenBytes(const void* p) {  // 16 uint8
  const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
  return {_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
}
SLUICE_INLINE F32 LoadBytes(const void* p) {  // 16 int8
  const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
SLUICE_INLINE void StoreBytes(I32 x, void* p) {  // values within int8
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xD8);
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm_packs_epi16(_mm256_castsi256_si128(words),
                                                             _mm256_extracti128_si256(words, 1)));
}

// 16 bytes, and the ones that the bytes of x, each below 16, select.
struct Table {
  __m256i v;
};
SLUICE_INLINE Table LoadTable(const int8_t* bytes) {
  return {_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)))};
}
SLUICE_INLINE Table AddToTable(Table table, int8_t x) {
  return {_mm256_add_epi8(table.v, _mm256_set1_epi8(x))};
}
SLUICE_INLINE I32 LookUp(Table table, I32 x) {
  return {_mm256_shuffle_epi8(table.v, x.a), _mm256_shuffle_epi8(table.v, x.b)};
}

// Asks for the line that p is in, into the L2 cache; p need not be mapped.
SLUICE_INLINE void PrefetchL2(const void* p) {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
}

// Makes the compiler take both for changed.
SLUICE_INLINE void Opaque(I32* x, I32* y) {
  asm volatile("" : "+x"(x->a), "+x"(x->b), "+x"(y->a), "+x"(y->b));
}

#if defined(SLUICE_DPBUSD)
SLUICE_INLINE I32 DotUnsigned(I32 acc, I32 weights, I32 x) {
  return {SLUICE_DPBUSD(acc.a, weights.a, x.a), SLUICE_DPBUSD(acc.b, weights.b, x.b)};
}

// Dot products of unsigned weights below 64 with int8, four a word. `Partial` may be added to for
// as many quads as kQuads* says before it is read.
struct Partial {
  I32 v;
};
inline constexpr int kQuadsOf4Bits = 8;
inline constexpr int kQuadsOf5Bits = 8;
inline constexpr int kQuadsOf6Bits = 8;
SLUICE_INLINE Partial ZeroPartial() { return {ZeroI()}; }
SLUICE_INLINE Partial Dot(Partial acc, I32 weights, I32 x) {
  return {DotUnsigned(acc.v, weights, x)};
}
SLUICE_INLINE I32 Widen(Partial x) { return x.v; }
// A scale from the low byte of each word, as AddScaled wants it.
SLUICE_INLINE I32 ScaleOfLowByte(I32 x) { return And(x, SetI(255)); }
SLUICE_INLINE I32 SignedScaleOfHighByte(I32 x) {
  return {_mm256_srai_epi32(x.a, 24), _mm256_srai_epi32(x.b, 24)};
}
SLUICE_INLINE I32 AddScaled(I32 acc, Partial x, I32 scale) { return AddI(acc, MulI(x.v, scale)); }

// Dot products of 8-bit weights, stored as weight + 128: the sum still has kByteOffset * x in it.
struct ByteWeights {
  I32 v;
};
inline constexpr int kByteOffsetBits = 7;  // offset 128
SLUICE_INLINE ByteWeights PrepareBytes(I32 line) { return {line}; }
SLUICE_INLINE I32 DotBytes(I32 acc, ByteWeights weights, I32 x) {
  return DotUnsigned(acc, weights.v, x);
}
// What DotBytes starts from so that the offset comes off; `minus_sum` is -(sum of all x).
SLUICE_INLINE I32 StartBytes(const int32_t* minus_sum) {
  return Shl<kByteOffsetBits>(SetI(*minus_sum));
}
SLUICE_INLINE I32 StartBytesOf(int32_t sum) { return SetI(-sum * (1 << kByteOffsetBits)); }
// Weights from a table of signed ones.
using ByteTable = Table;
SLUICE_INLINE ByteTable LoadByteTable(const int8_t* weights) {
  return AddToTable(LoadTable(weights), -128);
}
SLUICE_INLINE ByteWeights LookUpBytes(ByteTable table, I32 x) { return {LookUp(table, x)}; }
#else
// Dot products of unsigned weights below 64 with int8. `Partial` is two 16-bit sums a word: a quad
// adds at most 2 * w * 127 to each, so that 8 quads of w <= 15 (30,480), 4 of w <= 31 (31,496) and
// 2 of w <= 63 (32,004) stay below 32,768 and neither vpmaddubsw saturates nor the sum wraps.
struct Partial {
  __m256i a, b;
};
inline constexpr int kQuadsOf4Bits = 8;
inline constexpr int kQuadsOf5Bits = 4;
inline constexpr int kQuadsOf6Bits = 2;
SLUICE_INLINE Partial ZeroPartial() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
SLUICE_INLINE Partial Dot(Partial acc, I32 weights, I32 x) {
  return {_mm256_add_epi16(acc.a, _mm256_maddubs_epi16(weights.a, x.a)),
          _mm256_add_epi16(acc.b, _mm256_maddubs_epi16(weights.b, x.b))};
}
SLUICE_INLINE I32 Widen(Partial x) {
  const __m256i ones = _mm256_set1_epi16(1);
  return {_mm256_madd_epi16(x.a, ones), _mm256_madd_epi16(x.b, ones)};
}
// A scale from the low byte of each word, as AddScaled wants it: in both 16-bit halves.
SLUICE_INLINE I32 ScaleOfLowByte(I32 x) {
  const __m256i low = _mm256_setr_epi8(0, -1, 0, -1, 4, -1, 4, -1, 8, -1, 8, -1, 12, -1, 12, -1, 0,
                                       -1, 0, -1, 4, -1, 4, -1, 8, -1, 8, -1, 12, -1, 12, -1);
  return {_mm256_shuffle_epi8(x.a, low), _mm256_shuffle_epi8(x.b, low)};
}
SLUICE_INLINE I32 SignedScaleOfHighByte(I32 x) {
  const __m256i high = _mm256_setr_epi8(-1, 3, -1, 3, -1, 7, -1, 7, -1, 11, -1, 11, -1, 15, -1, 15,
                                        -1, 3, -1, 3, -1, 7, -1, 7, -1, 11, -1, 11, -1, 15, -1, 15);
  return {_mm256_srai_epi16(_mm256_shuffle_epi8(x.a, high), 8),
          _mm256_srai_epi16(_mm256_shuffle_epi8(x.b, high), 8)};
}
SLUICE_INLINE I32 AddScaled(I32 acc, Partial x, I32 scale) {
  return {_mm256_add_epi32(acc.a, _mm256_madd_epi16(x.a, scale.a)),
          _mm256_add_epi32(acc.b, _mm256_madd_epi16(x.b, scale.b))};
}

// Dot products of 8-bit weights, stored as weight + 128. As unsigned bytes they would saturate
// vpmaddubsw, so the weight's sign goes to x: |w| <= 128, 2 * 128 * 127 = 32,512 fits.
struct ByteWeights {
  I32 magnitude, sign;
};
SLUICE_INLINE ByteWeights PrepareBytes(I32 line) {
  const __m256i offset = _mm256_set1_epi8(-128);
  const I32 w = {_mm256_xor_si256(line.a, offset), _mm256_xor_si256(line.b, offset)};
  return {{_mm256_abs_epi8(w.a), _mm256_abs_epi8(w.b)}, w};
}
SLUICE_INLINE I32 DotBytes(I32 acc, ByteWeights weights, I32 x) {
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i a =
      _mm256_maddubs_epi16(weights.magnitude.a, _mm256_sign_epi8(x.a, weights.sign.a));
  const __m256i b =
      _mm256_maddubs_epi16(weights.magnitude.b, _mm256_sign_epi8(x.b, weights.sign.b));
  return {_mm256_add_epi32(acc.a, _mm256_madd_epi16(a, ones)),
          _mm256_add_epi32(acc.b, _mm256_madd_epi16(b, ones))};
}
// What DotBytes starts from: the offset is off already.
SLUICE_INLINE I32 StartBytes(const int32_t*) { return ZeroI(); }

SLUICE_INLINE I32 StartBytesOf(int32_t) { return ZeroI(); }
// Weights from a table of signed ones.
using ByteTable = Table;
SLUICE_INLINE ByteTable LoadByteTable(const int8_t* weights) { return LoadTable(weights); }
SLUICE_INLINE ByteWeights LookUpBytes(ByteTable table, I32 x) {
  const I32 w = LookUp(table, x);
  return {{_mm256_abs_epi8(w.a), _mm256_abs_epi8(w.b)}, w};
}
#endif

// The tree of Sum16 (8, 4, 2, 1) of four vectors: lane j of the result is the sum of the j-th.
SLUICE_INLINE __m128 ReduceTo4(F32 x) {
  const __m256 half = _mm256_add_ps(x.a, x.b);
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
SLUICE_INLINE float ReduceMax(F32 x) {
  const __m256 eight = _mm256_max_ps(x.a, x.b);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_SIMD_AVX2_H_
