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

 private:
  uint64_t BitsOf(int32_t id) const;

  const uint64_t state_;
};

// The seed of choice `index` (from 0) of a request with this seed; choice 0 has the seed itself.
uint64_t SeedOfChoice(uint64_t seed, int64_t index);

// The natural logarithm of a finite `x` above 0, to about one unit in the last place: additions,
// multiplications and one division in a fixed order, no library's.
double FixedLog(double x);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SAMPLE_GUMBEL_H_
