// The constants of exp (docs/arithmetic.md), shared by the scalar and the vector code.
#ifndef SLUICE_KERNELS_CPU_EXP_CONSTANTS_H_
#define SLUICE_KERNELS_CPU_EXP_CONSTANTS_H_

namespace sluice {

inline constexpr float kExpMax = 88.3762626647949f;
inline constexpr float kExpMin = -87.3365f;
inline constexpr float kLog2E = 1.44269504f;
// ln 2 in two parts, the first of which times n (|n| <= 127) is exact.
inline constexpr float kMinusLn2High = -0.693359375f;
inline constexpr float kMinusLn2Low = 2.12194440e-4f;
// Minimax polynomial 1 + r + c2 r^2 + ... + c6 r^6 of exp on |r| <= 0.34658, fitted by iteratively
// reweighted least squares of the relative error: 3.8e-9 with these roundings.
inline constexpr float kExp2 = 0x1.fffffcp-2f;
inline constexpr float kExp3 = 0x1.555492p-3f;
inline constexpr float kExp4 = 0x1.5558f2p-5f;
inline constexpr float kExp5 = 0x1.1239d8p-7f;
inline constexpr float kExp6 = 0x1.6a244ap-10f;

}  // namespace sluice

#endif  // SLUICE_KERNELS_CPU_EXP_CONSTANTS_H_
