// The most likely tokens against a full sort.
#include "runtime/sample/top_tokens.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

// Logits with many equal ones.
std::vector<float> CoarseLogits(int64_t size, uint32_t seed) {
  std::mt19937 numbers(seed);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = static_cast<float>(numbers() % 512) / 16 - 16;
  return logits;
}

bool IsAllowed(const std::vector<uint64_t>& allowed, size_t id) {
  return allowed.empty() || (allowed[id / 64] >> (id % 64) & 1) != 0;
}

std::vector<std::pair<int32_t, float>> SortedTokens(const std::vector<float>& logits, int64_t k,
                                                    const std::vector<uint64_t>& allowed) {
  std::vector<std::pair<int32_t, float>> all;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (IsAllowed(allowed, id)) all.emplace_back(static_cast<int32_t>(id), logits[id]);
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  all.resize(std::min<size_t>(k, all.size()));
  return all;
}

// Masks of different density, the empty one among them.
std::vector<std::vector<uint64_t>> MasksFor(int64_t size, uint32_t seed) {
  std::mt19937_64 numbers(seed);
  const size_t words = (size + 63) / 64;
  std::vector<uint64_t> half(words), few(words), one(words);
  for (size_t i = 0; i < words; ++i) {
    half[i] = numbers();
    const uint64_t first = numbers(), second = numbers();
    few[i] = numbers() % 7 == 0 ? first & second : 0;
  }
  one[(size - 1) / 64] = uint64_t{1} << ((size - 1) % 64);
  few[(size - 1) / 64] |= one[(size - 1) / 64];
  for (std::vector<uint64_t>* mask : {&half, &few}) {
    if (size % 64 != 0) mask->back() &= (uint64_t{1} << (size % 64)) - 1;
    mask->back() |= one.back();
  }
  return {{}, half, few, one, std::vector<uint64_t>(words, ~uint64_t{0})};
}

constexpr int64_t kSizes[] = {1, 2, 63, 255, 256, 257, 1000, 4096, 50257};

TEST(TopTokens, AreThoseOfAFullSort) {
  for (const int64_t size : kSizes) {
    const std::vector<float> logits = CoarseLogits(size, static_cast<uint32_t>(size));
    for (const std::vector<uint64_t>& allowed : MasksFor(size, static_cast<uint32_t>(size))) {
      for (const int64_t k :
           {int64_t{0}, int64_t{1}, int64_t{2}, int64_t{40}, size / 2, size, size + 1}) {
        EXPECT_EQ(TopTokens(logits, k, allowed), SortedTokens(logits, k, allowed))
            << size << " tokens, " << k << " wanted";
      }
    }
  }
}

TEST(TopTokens, KeepTheLowestIdsOfManyEqualLogits) {
  const std::vector<float> logits(5000, 0.25f);
  EXPECT_THAT(TopTokens(logits, 3), ElementsAre(Pair(0, 0.25f), Pair(1, 0.25f), Pair(2, 0.25f)));
  EXPECT_THAT(TopTokens(logits, 0), IsEmpty());
}

TEST(MostLikelyToken, IsTheFirstOfAFullSort) {
  for (const int64_t size : kSizes) {
    for (uint32_t seed = 0; seed < 8; ++seed) {
      const std::vector<float> logits = CoarseLogits(size, seed);
      for (const std::vector<uint64_t>& allowed : MasksFor(size, seed)) {
        EXPECT_EQ(MostLikelyToken(logits, allowed), SortedTokens(logits, 1, allowed)[0].first)
            << size << " tokens, seed " << seed;
      }
    }
  }
}

TEST(MostLikelyToken, TakesTheLowerIdOfZerosOfEitherSign) {
  std::vector<float> logits(600, -1.0f);
  logits[300] = -0.0f;
  logits[301] = 0.0f;
  EXPECT_EQ(MostLikelyToken(logits), 300);
  EXPECT_THAT(TopTokens(logits, 2), ElementsAre(Pair(300, 0.0f), Pair(301, 0.0f)));
}

}  // namespace
}  // namespace sluice
