// A counter-based generator, and a logarithm of its own.
#include "runtime/sample/gumbel.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sluice {
namespace {

constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr uint64_t kLargest = (uint64_t{1} << 53) - 1;

}  // namespace

double FixedLog(double x) {
  int exponent;
  double mantissa = std::frexp(x, &exponent);  // exact: in [0.5, 1)
  if (mantissa < 0x1.6a09e667f3bcdp-1) {       // the square root of 1/2
    mantissa *= 2;
    --exponent;
  }
  // ln(m) = 2 artanh(s) with s = (m - 1) / (m + 1), which is within 0.172.
  const double s = (mantissa - 1) / (mantissa + 1);
  const double z = s * s;
  double sum = 0;
  for (int k = 21; k >= 3; k -= 2) sum = (sum + 1.0 / k) * z;
  return exponent * kLn2 + (2 * s + 2 * s * sum);
}

GumbelNoise::GumbelNoise(uint64_t seed, int64_t position)
    : state_(MixBits(MixBits(seed) ^ static_cast<uint64_t>(position))) {}

double GumbelNoise::Of(int32_t id) const {
  const uint64_t bits = kLargest - ComplementOf(id);
  const double u = (static_cast<double>(bits) + 0.5) * 0x1p-53;
  // Half a step above the largest number of 53 bits rounds to 1, whose logarithm is 0.
  const double negative_log = std::max(-FixedLog(u), 0x1p-54);
  return -FixedLog(negative_log);
}

double GumbelNoise::BoundOf(int32_t id) const {
  // -ln U is at least 1 - U, and that has so many zeros in front.
  const uint64_t complement = ComplementOf(id) << 11;
  return (std::countl_zero(complement | uint64_t{1} << 10) + 1) * kLn2 + 1e-9;
}

uint64_t GumbelNoise::LimitOf(double noise) {
  // -ln U is at least 1 - U, so noise above this one needs a U nearer to 1 than e to its negative.
  // The small number is more than what Of rounds.
  const double steps = std::ceil(0x1p53 * std::exp(2e-9 - noise));
  return steps < 0x1p53 ? static_cast<uint64_t>(steps) : kLargest + 1;
}

uint64_t SeedOfChoice(uint64_t seed, int64_t index) {
  return index == 0
             ? seed
             : GumbelNoise::MixBits(seed ^ GumbelNoise::MixBits(static_cast<uint64_t>(index)));
}

}  // namespace sluice
