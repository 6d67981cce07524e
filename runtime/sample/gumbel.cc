// A counter-based generator, and a logarithm of its own.
#include "runtime/sample/gumbel.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sluice {
namespace {

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15u;
constexpr double kLn2 = 0x1.62e42fefa39efp-1;

// The step of splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
uint64_t Mix(uint64_t x) {
  x += kGolden;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

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
    : state_(Mix(Mix(seed) ^ static_cast<uint64_t>(position))) {}

uint64_t GumbelNoise::BitsOf(int32_t id) const {
  return Mix(state_ + static_cast<uint64_t>(id) * kGolden) >> 11;  // 53 bits
}

double GumbelNoise::Of(int32_t id) const {
  const double u = (static_cast<double>(BitsOf(id)) + 0.5) * 0x1p-53;
  // Half a step above the largest number of 53 bits rounds to 1, whose logarithm is 0.
  const double negative_log = std::max(-FixedLog(u), 0x1p-54);
  return -FixedLog(negative_log);
}

double GumbelNoise::BoundOf(int32_t id) const {
  // -ln U is at least 1 - U, and that has so many zeros in front.
  const uint64_t complement = ((uint64_t{1} << 53) - 1 - BitsOf(id)) << 11;
  return (std::countl_zero(complement | uint64_t{1} << 10) + 1) * kLn2 + 1e-9;
}

uint64_t SeedOfChoice(uint64_t seed, int64_t index) {
  return index == 0 ? seed : Mix(seed ^ Mix(static_cast<uint64_t>(index)));
}

}  // namespace sluice
