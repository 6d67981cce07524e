// Lists of log probabilities give back what was put in.
#include "runtime/sample/log_probs.h"

#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(LogProbList, GivesEachTokenBackToTheBit) {
  constexpr size_t kVocabSize = 50;
  std::mt19937 random(1);
  std::uniform_real_distribution<float> logit(-20, 20);
  for (const int64_t top_k : {0, 1, 20, 60}) {
    LogProbList list;
    std::vector<TokenLogProb> expected;
    for (int32_t i = 0; i < 100; ++i) {
      std::vector<float> logits(kVocabSize);
      for (float& l : logits) l = logit(random);
      logits[3] = logits[4];  // equal ones
      list.Add(logits, i % kVocabSize, top_k);
      expected.push_back(LogProbOf(logits, i % kVocabSize, top_k));
    }
    ASSERT_EQ(list.size(), expected.size());
    for (size_t i = 0; i < list.size(); ++i) {
      EXPECT_EQ(list[i].log_prob, expected[i].log_prob);
      EXPECT_EQ(list[i].top, expected[i].top);
    }
  }
}

}  // namespace
}  // namespace sluice
