// Blocks of tokens, which most searches skip by their largest logit or by their part of a mask.
#ifndef SLUICE_RUNTIME_SAMPLE_TOKEN_BLOCKS_H_
#define SLUICE_RUNTIME_SAMPLE_TOKEN_BLOCKS_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace sluice {

// A mask `allowed` has a bit a token, low bits first; an empty one allows all tokens.

inline constexpr size_t kTokenBlock = 256;  // tokens: four words of a mask

// The largest of kTokenBlock numbers.
inline float BlockMax(const float* x) {
  constexpr size_t kLanes = 32;  // which the compiler turns into vectors
  std::array<float, kLanes> most;
  for (size_t j = 0; j < kLanes; ++j) most[j] = x[j];
  for (size_t i = kLanes; i < kTokenBlock; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) most[j] = x[i + j] > most[j] ? x[i + j] : most[j];
  }
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t j = 0; j < half; ++j) most[j] = most[half + j] > most[j] ? most[half + j] : most[j];
  }
  return most[0];
}

inline bool Allows(absl::Span<const uint64_t> allowed, size_t id) {
  return allowed.empty() || (allowed[id / 64] >> (id % 64) & 1) != 0;
}

// Whether the mask leaves none of the tokens of the block that begins at `first`.
inline bool AllowsNone(absl::Span<const uint64_t> allowed, size_t first) {
  if (allowed.empty()) return false;
  const size_t end = std::min(allowed.size(), (first + kTokenBlock) / 64);
  return std::all_of(allowed.begin() + first / 64, allowed.begin() + end,
                     [](uint64_t word) { return word == 0; });
}

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SAMPLE_TOKEN_BLOCKS_H_
