// What a sample of prompts says of the pages that sequences will share, against the scheduler that
// shares them.
#include "runtime/batch/prefix_sample.h"

#include <numeric>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/engine/pass_scheduler.h"

namespace sluice {
namespace {

std::vector<int32_t> Prompt(int32_t first, int64_t tokens) {
  std::vector<int32_t> ids(tokens);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

TEST(PrefixSample, CountsPagesThatAnotherSequenceHasToo) {
  PrefixSample sample;
  EXPECT_EQ(sample.shared_pages_each(), 0);
  sample.Add(Prompt(0, 200), 199, 1);
  EXPECT_EQ(sample.shared_pages(), 0) << "nobody else";
  sample.Add(Prompt(0, 200), 199, 1);
  EXPECT_EQ(sample.shared_pages(), 3);
  EXPECT_EQ(sample.shared_pages_each(), 3);
  sample.Add(Prompt(64, 200), 199, 1);  // the second page's tokens, in front
  EXPECT_EQ(sample.shared_pages(), 3);
  EXPECT_EQ(sample.shared_pages_each(), 2);
  sample.Add(Prompt(5000, 65), 64, 2);  // two choices
  EXPECT_EQ(sample.sequences(), 5);
  EXPECT_EQ(sample.shared_pages(), 4);
  EXPECT_EQ(sample.shared_pages_each(), (3 + 3 + 0 + 2 * 1) / 5.0);
  sample.Add(Prompt(0, 200), 0, 1);  // every row's logits are wanted
  sample.Add(Prompt(0, 64), 63, 1);  // the last row's logits are
  EXPECT_EQ(sample.shared_pages_each(), 8 / 7.0);
}

// Rows that the scheduler does not compute are those that the sample says are shared, but once.
TEST(PrefixSample, AgreesWithTheScheduler) {
  PagePool pool(1000);
  PassScheduler scheduler({.pass_rows = 5000, .logit_rows = 64, .max_sequences = 64}, &pool);
  PrefixSample sample;
  for (int32_t i = 0; i < 24; ++i) {
    std::vector<int32_t> prompt = Prompt(i % 3 * 10000, 150 + 10 * (i % 5));
    prompt.back() = -i;
    sample.Add(prompt, static_cast<int64_t>(prompt.size()) - 1, 1);
    scheduler.Add(prompt, 300, static_cast<int64_t>(prompt.size()) - 1);
  }
  scheduler.NextPass();
  EXPECT_EQ(static_cast<double>(scheduler.counters().shared_rows),
            kKvPageTokens *
                (24 * sample.shared_pages_each() - static_cast<double>(sample.shared_pages())));
}

}  // namespace
}  // namespace sluice
