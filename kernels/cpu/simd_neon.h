// 16 lanes in four 128-bit registers, for the bodies in *_simd.h; see simd_avx512.h. Needs the dot
// products of ARMv8.2 (sdot).
#ifndef SLUICE_KERNELS_CPU_SIMD_NEON_H_
#define SLUICE_KERNELS_CPU_SIMD_NEON_H_

#include <arm_neon.h>
#include <stdint.h>

#define SLUICE_SIMD_NAMESPACE neon
#define SLUICE_INLINE inline __attribute__((always_inline))

namespace sluice::neon {

// Lanes 0-3 in a, 4-7 in b, 8-11 in c, 12-15 in d.
struct F32 {
  float32x4_t a, b, c, d;
};
struct I32 {
  int32x4_t a, b, c, d;
};

// Tokens that fit the 32 registers beside the weights: four a token, and 16 for one token's chains
// of float weights.
inline constexpr int kMaxTokens = 4;
inline constexpr int kMaxFloatTokens = 1;
// Vectors of keys whose scores four heads take at once.
inline constexpr int kScoreVectors = 1;
// Sums of values that fit the registers beside a row and its weights.
inline constexpr int kValueVectors = 6;

// Floats.
SLUICE_INLINE F32 SetF(float x) {
  return {vdupq_n_f32(x), vdupq_n_f32(x), vdupq_n_f32(x), vdupq_n_f32(x)};
}
SLUICE_INLINE F32 ZeroF() { return SetF(0.0f); }
SLUICE_INLINE F32 LoadF(const float* p) {
  return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}
SLUICE_INLINE void StoreF(F32 x, float* p) {
  vst1q_f32(p, x.a);
  vst1q_f32(p + 4, x.b);
  vst1q_f32(p + 8, x.c);
  vst1q_f32(p + 12, x.d);
}
// The first n (0..16) values; the other lanes are 0.
SLUICE_INLINE F32 LoadFirst(const float* p, int n) {
  if (n == 16) return LoadF(p);
  float lanes[16] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return LoadF(lanes);
}
SLUICE_INLINE void StoreFirst(F32 x, float* p, int n) {
  if (n == 16) return StoreF(x, p);
  float lanes[16];
  StoreF(x, lanes);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}
SLUICE_INLINE F32 Add(F32 x, F32 y) {
  return {vaddq_f32(x.a, y.a), vaddq_f32(x.b, y.b), vaddq_f32(x.c, y.c), vaddq_f32(x.d, y.d)};
}
SLUICE_INLINE F32 Sub(F32 x, F32 y) {
  return {vsubq_f32(x.a, y.a), vsubq_f32(x.b, y.b), vsubq_f32(x.c, y.c), vsubq_f32(x.d, y.d)};
}
SLUICE_INLINE F32 Mul(F32 x, F32 y) {
  return {vmulq_f32(x.a, y.a), vmulq_f32(x.b, y.b), vmulq_f32(x.c, y.c), vmulq_f32(x.d, y.d)};
}
SLUICE_INLINE F32 Div(F32 x, F32 y) {
  return {vdivq_f32(x.a, y.a), vdivq_f32(x.b, y.b), vdivq_f32(x.c, y.c), vdivq_f32(x.d, y.d)};
}
SLUICE_INLINE F32 Fma(F32 x, F32 y, F32 z) {
  return {vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c),
          vfmaq_f32(z.d, x.d, y.d)};
}
SLUICE_INLINE F32 NegFma(F32 x, F32 y, F32 z) {
  return {vfmsq_f32(z.a, x.a, y.a), vfmsq_f32(z.b, x.b, y.b), vfmsq_f32(z.c, x.c, y.c),
          vfmsq_f32(z.d, x.d, y.d)};
}
SLUICE_INLINE F32 Select(uint32x4_t a, uint32x4_t b, uint32x4_t c, uint32x4_t d, F32 x, F32 y) {
  return {vbslq_f32(a, x.a, y.a), vbslq_f32(b, x.b, y.b), vbslq_f32(c, x.c, y.c),
          vbslq_f32(d, x.d, y.d)};
}
// Where y is NaN: y. fmin and fmax would give NaN where x is one, too.
SLUICE_INLINE F32 Min(F32 x, F32 y) {
  return Select(vcltq_f32(x.a, y.a), vcltq_f32(x.b, y.b), vcltq_f32(x.c, y.c), vcltq_f32(x.d, y.d),
                x, y);
}
SLUICE_INLINE F32 Max(F32 x, F32 y) {
  return Select(vcgtq_f32(x.a, y.a), vcgtq_f32(x.b, y.b), vcgtq_f32(x.c, y.c), vcgtq_f32(x.d, y.d),
                x, y);
}
SLUICE_INLINE F32 Round(F32 x) {  // nearest even
  return {vrndnq_f32(x.a), vrndnq_f32(x.b), vrndnq_f32(x.c), vrndnq_f32(x.d)};
}
// 0 where x < limit, else y.
SLUICE_INLINE F32 ZeroBelow(F32 x, F32 limit, F32 y) {
  return Select(vcltq_f32(x.a, limit.a), vcltq_f32(x.b, limit.b), vcltq_f32(x.c, limit.c),
                vcltq_f32(x.d, limit.d), ZeroF(), y);
}
// Lanes from n (0..16) on become -infinity.
SLUICE_INLINE F32 KeepFirst(F32 x, int n) {
  constexpr int32_t kFour[4] = {0, 1, 2, 3};
  const int32x4_t lane = vld1q_s32(kFour);
  return Select(vcltq_s32(lane, vdupq_n_s32(n)), vcltq_s32(lane, vdupq_n_s32(n - 4)),
                vcltq_s32(lane, vdupq_n_s32(n - 8)), vcltq_s32(lane, vdupq_n_s32(n - 12)), x,
                SetF(-__builtin_inff()));
}

// Integers.
SLUICE_INLINE I32 SetI(int32_t x) {
  return {vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x)};
}
SLUICE_INLINE I32 ZeroI() { return SetI(0); }
SLUICE_INLINE I32 LoadI(const void* p) {
  const auto* bytes = static_cast<const int8_t*>(p);
  return {vreinterpretq_s32_s8(vld1q_s8(bytes)), vreinterpretq_s32_s8(vld1q_s8(bytes + 16)),
          vreinterpretq_s32_s8(vld1q_s8(bytes + 32)), vreinterpretq_s32_s8(vld1q_s8(bytes + 48))};
}
SLUICE_INLINE I32 BroadcastI(const void* p) {
  int32_t word;
  __builtin_memcpy(&word, p, 4);
  return SetI(word);
}
SLUICE_INLINE I32 And(I32 x, I32 y) {
  return {vandq_s32(x.a, y.a), vandq_s32(x.b, y.b), vandq_s32(x.c, y.c), vandq_s32(x.d, y.d)};
}
SLUICE_INLINE I32 Or(I32 x, I32 y) {
  return {vorrq_s32(x.a, y.a), vorrq_s32(x.b, y.b), vorrq_s32(x.c, y.c), vorrq_s32(x.d, y.d)};
}
SLUICE_INLINE I32 AddI(I32 x, I32 y) {
  return {vaddq_s32(x.a, y.a), vaddq_s32(x.b, y.b), vaddq_s32(x.c, y.c), vaddq_s32(x.d, y.d)};
}
SLUICE_INLINE I32 SubI(I32 x, I32 y) {
  return {vsubq_s32(x.a, y.a), vsubq_s32(x.b, y.b), vsubq_s32(x.c, y.c), vsubq_s32(x.d, y.d)};
}
SLUICE_INLINE I32 MulI(I32 x, I32 y) {
  return {vmulq_s32(x.a, y.a), vmulq_s32(x.b, y.b), vmulq_s32(x.c, y.c), vmulq_s32(x.d, y.d)};
}
SLUICE_INLINE int32x4_t SubBytesOf(int32x4_t x, int32x4_t y) {
  return vreinterpretq_s32_s8(vsubq_s8(vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(y)));
}
SLUICE_INLINE I32 SubBytes(I32 x, I32 y) {
  return {SubBytesOf(x.a, y.a), SubBytesOf(x.b, y.b), SubBytesOf(x.c, y.c), SubBytesOf(x.d, y.d)};
}
SLUICE_INLINE I32 MaxI(I32 x, I32 y) {
  return {vmaxq_s32(x.a, y.a), vmaxq_s32(x.b, y.b), vmaxq_s32(x.c, y.c), vmaxq_s32(x.d, y.d)};
}
SLUICE_INLINE I32 MinI(I32 x, I32 y) {
  return {vminq_s32(x.a, y.a), vminq_s32(x.b, y.b), vminq_s32(x.c, y.c), vminq_s32(x.d, y.d)};
}
template <int kBits>
SLUICE_INLINE I32 Shl(I32 x) {
  return {vshlq_n_s32(x.a, kBits), vshlq_n_s32(x.b, kBits), vshlq_n_s32(x.c, kBits),
          vshlq_n_s32(x.d, kBits)};
}
template <int kBits>
SLUICE_INLINE int32x4_t ShrOf(int32x4_t x) {
  return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(x), kBits));
}
template <int kBits>
SLUICE_INLINE I32 Shr(I32 x) {  // logical
  if constexpr (kBits == 0) {   // which ushr cannot say
    return x;
  } else {
    return {ShrOf<kBits>(x.a), ShrOf<kBits>(x.b), ShrOf<kBits>(x.c), ShrOf<kBits>(x.d)};
  }
}
SLUICE_INLINE int16x8_t Pairs(int32x4_t x) { return vreinterpretq_s16_s32(x); }
SLUICE_INLINE int32x4_t Words(int16x8_t x) { return vreinterpretq_s32_s16(x); }
// Pairs of 16-bit lanes: sign-extended low bytes, and high bytes.
SLUICE_INLINE I32 OddBytesSigned(I32 x) {
  return {Words(vshrq_n_s16(Pairs(x.a), 8)), Words(vshrq_n_s16(Pairs(x.b), 8)),
          Words(vshrq_n_s16(Pairs(x.c), 8)), Words(vshrq_n_s16(Pairs(x.d), 8))};
}
// The high bytes, signed, times 32; the low ones must be 0.
SLUICE_INLINE I32 OddBytesTimes32(I32 x) {
  return {Words(vshrq_n_s16(Pairs(x.a), 3)), Words(vshrq_n_s16(Pairs(x.b), 3)),
          Words(vshrq_n_s16(Pairs(x.c), 3)), Words(vshrq_n_s16(Pairs(x.d), 3))};
}
SLUICE_INLINE I32 EvenBytesSigned(I32 x) {
  return OddBytesSigned({Words(vshlq_n_s16(Pairs(x.a), 8)), Words(vshlq_n_s16(Pairs(x.b), 8)),
                         Words(vshlq_n_s16(Pairs(x.c), 8)), Words(vshlq_n_s16(Pairs(x.d), 8))});
}
// acc + x0 * y0 + x1 * y1 of each word's 16-bit halves.
SLUICE_INLINE int32x4_t MulAddPairsOf(int32x4_t acc, int32x4_t x, int32x4_t y) {
  const int32x4_t low = vmull_s16(vget_low_s16(Pairs(x)), vget_low_s16(Pairs(y)));
  const int32x4_t high = vmull_high_s16(Pairs(x), Pairs(y));
  return vaddq_s32(acc, vpaddq_s32(low, high));
}
SLUICE_INLINE I32 MulAddPairs(I32 acc, I32 x, I32 y) {
  return {MulAddPairsOf(acc.a, x.a, y.a), MulAddPairsOf(acc.b, x.b, y.b),
          MulAddPairsOf(acc.c, x.c, y.c), MulAddPairsOf(acc.d, x.d, y.d)};
}
SLUICE_INLINE int32_t ReduceAddI(I32 x) {
  return vaddvq_s32(vaddq_s32(vaddq_s32(x.a, x.b), vaddq_s32(x.c, x.d)));
}
SLUICE_INLINE int32_t ReduceMaxI(I32 x) {
  return vmaxvq_s32(vmaxq_s32(vmaxq_s32(x.a, x.b), vmaxq_s32(x.c, x.d)));
}

// Conversions.
SLUICE_INLINE F32 ToFloat(I32 x) {
  return {vcvtq_f32_s32(x.a), vcvtq_f32_s32(x.b), vcvtq_f32_s32(x.c), vcvtq_f32_s32(x.d)};
}
SLUICE_INLINE I32 ToInt(F32 x) {  // nearest even
  return {vcvtnq_s32_f32(x.a), vcvtnq_s32_f32(x.b), vcvtnq_s32_f32(x.c), vcvtnq_s32_f32(x.d)};
}
SLUICE_INLINE F32 AsFloat(I32 x) {
  return {vreinterpretq_f32_s32(x.a), vreinterpretq_f32_s32(x.b), vreinterpretq_f32_s32(x.c),
          vreinterpretq_f32_s32(x.d)};
}
SLUICE_INLINE I32 AsInt(F32 x) {
  return {vreinterpretq_s32_f32(x.a), vreinterpretq_s32_f32(x.b), vreinterpretq_s32_f32(x.c),
          vreinterpretq_s32_f32(x.d)};
}
SLUICE_INLINE F32 LoadHalves(const void* p) {  // 16 f16
  const auto* bytes = static_cast<const uint8_t*>(p);
  const float16x8_t low = vreinterpretq_f16_u8(vld1q_u8(bytes));
  const float16x8_t high = vreinterpretq_f16_u8(vld1q_u8(bytes + 16));
  return {vcvt_f32_f16(vget_low_f16(low)), vcvt_high_f32_f16(low), vcvt_f32_f16(vget_low_f16(high)),
          vcvt_high_f32_f16(high)};
}
SLUICE_INLINE void StoreHalves(F32 x, void* p) {
  auto* bytes = static_cast<uint8_t*>(p);
  vst1q_u8(bytes, vreinterpretq_u8_f16(vcvt_high_f16_f32(vcvt_f16_f32(x.a), x.b)));
  vst1q_u8(bytes + 16, vreinterpretq_u8_f16(vcvt_high_f16_f32(vcvt_f16_f32(x.c), x.d)));
}
SLUICE_INLINE float32x4_t LowHalvesOf(int32x4_t x) {
  return vcvt_f32_f16(vreinterpret_f16_s16(vmovn_s32(x)));
}
SLUICE_INLINE F32 LowHalves(I32 x) {
  return {LowHalvesOf(x.a), LowHalvesOf(x.b), LowHalvesOf(x.c), LowHalvesOf(x.d)};
}
SLUICE_INLINE float FromHalf(uint16_t bits) {  // one f16
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(bits))), 0);
}
SLUICE_INLINE uint16_t ToHalf(float x) {  // nearest even
  return vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(x))), 0);
}
SLUICE_INLINE I32 WidenHalvesOf(uint16x8_t low, uint16x8_t high) {
  return {vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))),
          vreinterpretq_s32_u32(vmovl_high_u16(low)),
          vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))),
          vreinterpretq_s32_u32(vmovl_high_u16(high))};
}
SLUICE_INLINE I32 WidenHalves(const void* p) {  // 16 uint16
  const auto* bytes = static_cast<const uint8_t*>(p);
  return WidenHalvesOf(vreinterpretq_u16_u8(vld1q_u8(bytes)),
                       vreinterpretq_u16_u8(vld1q_u8(bytes + 16)));
}
SLUICE_INLINE I32 WidenBytes(const void* p) {  // 16 uint8
  const uint8x16_t bytes = vld1q_u8(static_cast<const uint8_t*>(p));
  return WidenHalvesOf(vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
}
SLUICE_INLINE F32 LoadBytes(const void* p) {  // 16 int8
  const int8x16_t bytes = vld1q_s8(static_cast<const int8_t*>(p));
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
  const int16x8_t high = vmovl_high_s8(bytes);
  return ToFloat({vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)),
                  vmovl_high_s16(high)});
}
SLUICE_INLINE void StoreBytes(I32 x, void* p) {  // low bytes
  const int16x8_t low = vmovn_high_s32(vmovn_s32(x.a), x.b);
  const int16x8_t high = vmovn_high_s32(vmovn_s32(x.c), x.d);
  vst1q_s8(static_cast<int8_t*>(p), vmovn_high_s16(vmovn_s16(low), high));
}

// 16 bytes, and the ones that the bytes of x, each below 16, select.
struct Table {
  int8x16_t v;
};
SLUICE_INLINE Table LoadTable(const int8_t* bytes) { return {vld1q_s8(bytes)}; }
SLUICE_INLINE Table AddToTable(Table table, int8_t x) { return {vaddq_s8(table.v, vdupq_n_s8(x))}; }
SLUICE_INLINE int32x4_t LookUpOf(Table table, int32x4_t x) {
  return vreinterpretq_s32_s8(vqtbl1q_s8(table.v, vreinterpretq_u8_s32(x)));
}
SLUICE_INLINE I32 LookUp(Table table, I32 x) {
  return {LookUpOf(table, x.a), LookUpOf(table, x.b), LookUpOf(table, x.c), LookUpOf(table, x.d)};
}

// Asks for the line that p is in, into the L2 cache; p need not be mapped.
SLUICE_INLINE void PrefetchL2(const void* p) { __builtin_prefetch(p, 0, 2); }

// Makes the compiler take both for changed.
SLUICE_INLINE void Opaque(I32* x, I32* y) {
  asm volatile(""
               : "+w"(x->a), "+w"(x->b), "+w"(x->c), "+w"(x->d), "+w"(y->a), "+w"(y->b), "+w"(y->c),
                 "+w"(y->d));
}

// Dot products of unsigned weights below 64 with int8, four a word: as signed bytes they are the
// same numbers. `Partial` may be added to for as many quads as kQuads* says before it is read.
struct Partial {
  int32x4_t a, b, c, d;
};
inline constexpr int kQuadsOf4Bits = 8;
inline constexpr int kQuadsOf5Bits = 8;
inline constexpr int kQuadsOf6Bits = 8;
SLUICE_INLINE int32x4_t DotOf(int32x4_t acc, int32x4_t x, int32x4_t y) {
  return vdotq_s32(acc, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(y));
}
SLUICE_INLINE Partial ZeroPartial() {
  return {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
}
SLUICE_INLINE Partial Dot(Partial acc, I32 weights, I32 x) {
  return {DotOf(acc.a, weights.a, x.a), DotOf(acc.b, weights.b, x.b), DotOf(acc.c, weights.c, x.c),
          DotOf(acc.d, weights.d, x.d)};
}
SLUICE_INLINE I32 Widen(Partial x) { return {x.a, x.b, x.c, x.d}; }
// A scale from the low byte of each word, as AddScaled wants it.
SLUICE_INLINE I32 ScaleOfLowByte(I32 x) { return And(x, SetI(255)); }
SLUICE_INLINE I32 SignedScaleOfHighByte(I32 x) {
  return {vshrq_n_s32(x.a, 24), vshrq_n_s32(x.b, 24), vshrq_n_s32(x.c, 24), vshrq_n_s32(x.d, 24)};
}
SLUICE_INLINE I32 AddScaled(I32 acc, Partial x, I32 scale) {
  return {vmlaq_s32(acc.a, x.a, scale.a), vmlaq_s32(acc.b, x.b, scale.b),
          vmlaq_s32(acc.c, x.c, scale.c), vmlaq_s32(acc.d, x.d, scale.d)};
}

// Dot products of 8-bit weights, stored as weight + 128: the top bit flipped, it is the weight.
struct ByteWeights {
  I32 signed_bytes;
};
SLUICE_INLINE ByteWeights PrepareBytes(I32 line) {
  const int32x4_t top = vreinterpretq_s32_u8(vdupq_n_u8(128));
  return {{veorq_s32(line.a, top), veorq_s32(line.b, top), veorq_s32(line.c, top),
           veorq_s32(line.d, top)}};
}
SLUICE_INLINE I32 DotBytes(I32 acc, ByteWeights weights, I32 x) {
  const I32 w = weights.signed_bytes;
  return {DotOf(acc.a, w.a, x.a), DotOf(acc.b, w.b, x.b), DotOf(acc.c, w.c, x.c),
          DotOf(acc.d, w.d, x.d)};
}
// What DotBytes starts from: the offset is off already.
SLUICE_INLINE I32 StartBytes(const int32_t*) { return ZeroI(); }

SLUICE_INLINE I32 StartBytesOf(int32_t) { return ZeroI(); }
// Weights from a table of signed ones.
using ByteTable = Table;
SLUICE_INLINE ByteTable LoadByteTable(const int8_t* weights) { return LoadTable(weights); }
SLUICE_INLINE ByteWeights LookUpBytes(ByteTable table, I32 x) { return {LookUp(table, x)}; }

// The tree of Sum16 (8, 4, 2, 1) of four vectors: lane j of the result is the sum of the j-th.
SLUICE_INLINE float32x4_t ReduceTo4(F32 x) {
  return vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
}
// Lanes i + (i + 2) of x, then those of y.
SLUICE_INLINE float32x4_t ReduceTo2(float32x4_t x, float32x4_t y) {
  return vaddq_f32(vcombine_f32(vget_low_f32(x), vget_low_f32(y)),
                   vcombine_f32(vget_high_f32(x), vget_high_f32(y)));
}
SLUICE_INLINE void ReduceSum4(F32 x0, F32 x1, F32 x2, F32 x3, float* sums) {
  const float32x4_t r01 = ReduceTo2(ReduceTo4(x0), ReduceTo4(x1));
  const float32x4_t r23 = ReduceTo2(ReduceTo4(x2), ReduceTo4(x3));
  vst1q_f32(sums, vpaddq_f32(r01, r23));
}
SLUICE_INLINE float ReduceSum(F32 x) {
  const float32x4_t r = ReduceTo4(x);
  return vpadds_f32(vadd_f32(vget_low_f32(r), vget_high_f32(r)));
}
SLUICE_INLINE float ReduceMax(F32 x) {
  return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.a, x.b), vmaxq_f32(x.c, x.d)));
}

}  // namespace sluice::neon

#endif  // SLUICE_KERNELS_CPU_SIMD_NEON_H_
