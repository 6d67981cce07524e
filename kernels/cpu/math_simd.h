// exp and silu over 16 lanes; the bits of kernels/cpu/scalar_math.h.
#ifndef SLUICE_KERNELS_CPU_MATH_SIMD_H_
#define SLUICE_KERNELS_CPU_MATH_SIMD_H_

#include "kernels/cpu/exp_constants.h"
#include "kernels/cpu/simd.h"

namespace sluice::SLUICE_SIMD_NAMESPACE {

SLUICE_INLINE F32 Exp(F32 x) {
  const F32 y = Min(SetF(kExpMax), x);
  const F32 n = Round(Mul(y, SetF(kLog2E)));
  F32 r = Fma(n, SetF(kMinusLn2High), y);
  r = Fma(n, SetF(kMinusLn2Low), r);
  F32 p = SetF(kExp6);
  p = Fma(p, r, SetF(kExp5));
  p = Fma(p, r, SetF(kExp4));
  p = Fma(p, r, SetF(kExp3));
  p = Fma(p, r, SetF(kExp2));
  p = Fma(p, r, SetF(1.0f));
  p = Fma(p, r, SetF(1.0f));
  // A NaN's n converts to 0x80000000, which the shift takes out.
  return ZeroBelow(x, SetF(kExpMin), AsFloat(AddI(AsInt(p), Shl<23>(ToInt(n)))));
}

SLUICE_INLINE F32 Silu(F32 x) {
  const F32 minus_x = AsFloat(AddI(AsInt(x), SetI(INT32_MIN)));  // flips the sign bit
  return Div(x, Add(SetF(1.0f), Exp(minus_x)));
}

// exp of one value, in the same bits.
SLUICE_INLINE float Exp1(float x) {
  float lanes[16];
  StoreF(Exp(SetF(x)), lanes);
  return lanes[0];
}

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_MATH_SIMD_H_
