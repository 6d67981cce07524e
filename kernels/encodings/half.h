// Conversions between f32 and the 16-bit floats, branch-free so that loops over them vectorize.
#ifndef SLUICE_KERNELS_ENCODINGS_HALF_H_
#define SLUICE_KERNELS_ENCODINGS_HALF_H_

#include <bit>
#include <cstdint>

namespace sluice::half {

inline constexpr uint32_t kAbsMask = 0x7FFFFFFF;
inline constexpr uint32_t kInfBits = 0x7F800000;

// f16: 1 sign, 5 exponent (bias 15), 10 mantissa bits.
inline float F16ToF32(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t magnitude = uint32_t{bits & 0x7FFFu} << 13;
  // Subnormals: with the exponent of 2^-14 the mantissa counts in 2^-24, once 2^-14 is taken off.
  const uint32_t subnormal = std::bit_cast<uint32_t>(
      std::bit_cast<float>(magnitude + (113u << 23)) - std::bit_cast<float>(113u << 23));
  const uint32_t normal = magnitude + (112u << 23);
  const uint32_t special = magnitude + (224u << 23);  // exponent 31 becomes 255
  const uint32_t finite = magnitude < (1u << 23) ? subnormal : normal;
  return std::bit_cast<float>(sign | (magnitude < (31u << 23) ? finite : special));
}

// To nearest even; beyond 65504 + 16 to infinity. NaN keeps its upper mantissa bits and gets quiet.
inline uint16_t F32ToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & kAbsMask;
  // Adding 0.5 makes the adder round to multiples of 2^-24, which is what f16 subnormals count in.
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude < kInfBits ? magnitude : 0u) + 0.5f) -
      0x3F000000u;
  const uint32_t rounded = (magnitude - (112u << 23) + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
  const uint32_t finite = magnitude < (113u << 23) ? subnormal : rounded;
  const uint32_t nan = 0x7E00u | ((magnitude >> 13) & 0x3FFu);
  const uint32_t infinite = magnitude > kInfBits ? nan : 0x7C00u;
  return static_cast<uint16_t>(sign | (magnitude < 0x477FF000u ? finite : infinite));
}

// bf16: the upper half of an f32.
inline float BF16ToF32(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// To nearest even. NaN keeps its upper mantissa bits and gets quiet.
inline uint16_t F32ToBF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t nan = (bits >> 16) | 0x40u;
  return static_cast<uint16_t>((bits & kAbsMask) > kInfBits ? nan : rounded);
}

}  // namespace sluice::half

#endif  // SLUICE_KERNELS_ENCODINGS_HALF_H_
