// The noise that draws tokens: Gumbel noise that depends on nothing but a seed, a position and a
// token.
#ifndef SLUICE_RUNTIME_SAMPLE_GUMBEL_H_
#define SLUICE_RUNTIME_SAMPLE_GUMBEL_H_

#include <cstdint>

namespace sluice {

// The noise of all tokens at one position of a sequence. The token with the largest
// log-probability plus noise is a draw from the distribution (Gumbel-max: Gumbel 1954; Maddison,
// Tarlow and Minka, arXiv:1411.0030). Whoever knows the seed and the position has the same noise,
// so a draft model's draw and the target's agree as often as their distributions allow. The bits
// are the same on every machine.
class GumbelNoise {
 public:
  GumbelNoise(uint64_t seed, int64_t position);

  // -ln(-ln U), for U uniform in (0, 1) by (seed, position, token id).
  double Of(int32_t id) const;
  // An upper bound of Of(id), which costs no logarithm.
  double BoundOf(int32_t id) const;

  // What MayExceed asks for `noise`: many tokens are compared with one number.
  static uint64_t LimitOf(double noise);
  // False only where Of(id) is at most the noise that `limit` is for. Costs a few multiplications.
  bool MayExceed(int32_t id, uint64_t limit) const { return ComplementOf(id) < limit; }

 private:
  // U is this many steps of 2^-53 below 1.
  uint64_t ComplementOf(int32_t id) const {
    return (uint64_t{1} << 53) - 1 - (MixBits(state_ + static_cast<uint64_t>(id) * kGolden) >> 11);
  }

  static constexpr uint64_t kGolden = 0x9E3779B97F4A7C15u;
  // The step of splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
  static uint64_t MixBits(uint64_t x) {
    x += kGolden;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  }
  friend uint64_t SeedOfChoice(uint64_t seed, int64_t index);

  const uint64_t state_;
};

// The seed of choice `index` (from 0) of a request with this seed; choice 0 has the seed itself.
uint64_t SeedOfChoice(uint64_t seed, int64_t index);

// The natural logarithm of a finite `x` above 0, to about one unit in the last place: additions,
// multiplications and one division in a fixed order, no library's.
double FixedLog(double x);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SAMPLE_GUMBEL_H_
