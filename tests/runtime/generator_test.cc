// Generation ends where it should: length, end tokens, stop texts, a full context, an interrupt.
#include "runtime/engine/generator.h"

#include <atomic>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/runtime/model_harness.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

class Generator : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    store_ = new TestStore("TinyStories-656K", "", 50000);
    tokenizer_ = Tokenizer::Load((*store_)->TokenizerDir())->release();
  }
  static void TearDownTestSuite() {
    delete tokenizer_;
    delete store_;
  }

  absl::StatusOr<GenerateResult> Run(GenerateOptions options, std::vector<int32_t> prompt,
                                     int64_t context = 64, int64_t chunk = 64) {
    TestModel model(**store_, {.placement = Placement::kStreamed,
                               .chunk = chunk,
                               .context = context,
                               .all_logits = false});
    options.sampler.temperature = 0;
    return Generate(*model.model, tokenizer_, prompt, options);
  }
  std::vector<int32_t> Prompt() { return *tokenizer_->Encode("Once upon a time"); }

  static TestStore* store_;
  static const Tokenizer* tokenizer_;
};
TestStore* Generator::store_ = nullptr;
const Tokenizer* Generator::tokenizer_ = nullptr;

TEST_F(Generator, StopsAtTheLengthAskedFor) {
  for (const int64_t n : {0, 1, 7}) {
    const auto result = Run({.max_new_tokens = n, .sampler = {}, .stop = {}}, Prompt());
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(static_cast<int64_t>(result->ids.size()), n);
    EXPECT_EQ(result->finish_reason, FinishReason::kLength);
  }
}

TEST_F(Generator, FillsTheContextAndNoMore) {
  GenerateOptions options;
  options.ignore_eos = true;
  const auto result = Run(options, Prompt(), 40);
  ASSERT_TRUE(result.ok()) << result.status();
  // The last token is sampled, but has no place in the cache any more.
  EXPECT_EQ(result->ids.size() + Prompt().size(), 41u);
  EXPECT_EQ(result->finish_reason, FinishReason::kLength);
}

TEST_F(Generator, EndsAtATokenThatWasNamedAndLeavesItOut) {
  GenerateOptions options;
  options.max_new_tokens = 20;
  const auto whole = Run(options, Prompt());
  ASSERT_TRUE(whole.ok()) << whole.status();
  const int32_t end = whole->ids[7];
  options.end_tokens = {1999, end};
  const auto result = Run(options, Prompt());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->ids.back(), end);
  EXPECT_EQ(result->finish_reason, FinishReason::kStop);
  EXPECT_LE(result->ids.size(), 8u);
  EXPECT_TRUE(whole->text.rfind(result->text, 0) == 0) << result->text;
  EXPECT_LT(result->text.size(), whole->text.size());
  options.ignore_eos = true;
  EXPECT_EQ(Run(options, Prompt())->ids, whole->ids);
}

TEST_F(Generator, LeavesOutTheStopTextAndWhatFollows) {
  const auto whole = Run({.max_new_tokens = 20, .sampler = {}, .stop = {}}, Prompt());
  ASSERT_TRUE(whole.ok());
  const std::string stop = whole->text.substr(10, 5);
  const auto result = Run({.max_new_tokens = 20, .sampler = {}, .stop = {stop}}, Prompt());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->text, whole->text.substr(0, whole->text.find(stop)));
  EXPECT_EQ(result->finish_reason, FinishReason::kStop);
  EXPECT_LT(result->ids.size(), whole->ids.size());
}

TEST_F(Generator, GivesTheSameTokensForPromptsInChunks) {
  const auto whole = Run({.max_new_tokens = 12, .sampler = {}, .stop = {}}, Prompt());
  const auto chunked = Run({.max_new_tokens = 12, .sampler = {}, .stop = {}}, Prompt(), 64, 2);
  ASSERT_TRUE(whole.ok() && chunked.ok());
  EXPECT_EQ(whole->ids, chunked->ids);
}

TEST_F(Generator, AnInterruptKeepsWhatWasDone) {
  std::atomic<bool> interrupt{false};
  GenerateOptions options;
  options.max_new_tokens = 30;
  options.interrupt = &interrupt;
  int pieces = 0;
  options.on_text = [&](absl::string_view) {
    interrupt = ++pieces == 3;
    return absl::OkStatus();
  };
  const auto result = Run(options, Prompt());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->finish_reason, FinishReason::kInterrupt);
  EXPECT_GE(result->ids.size(), 3u);
  EXPECT_FALSE(result->text.empty());

  interrupt = true;  // before the first pass ends
  options.on_text = nullptr;
  const auto nothing = Run(options, Prompt());
  ASSERT_TRUE(nothing.ok()) << nothing.status();
  EXPECT_EQ(nothing->finish_reason, FinishReason::kInterrupt);
  EXPECT_TRUE(nothing->ids.empty());
}

TEST_F(Generator, EndsWhereItsTextCannotBeWritten) {
  GenerateOptions options;
  options.max_new_tokens = 30;
  int pieces = 0;
  options.on_text = [&](absl::string_view) {
    return ++pieces == 3 ? absl::DataLossError("the output is full") : absl::OkStatus();
  };
  EXPECT_EQ(Run(options, Prompt()).status(), absl::DataLossError("the output is full"));
  EXPECT_EQ(pieces, 3);
}

TEST_F(Generator, RefusesPromptsThatCannotBeContinued) {
  EXPECT_THAT(std::string(Run({}, {}).status().message()), HasSubstr("empty"));
  EXPECT_THAT(std::string(Run({}, std::vector<int32_t>(65, 5)).status().message()),
              HasSubstr("65 tokens, the context only 64"));
  EXPECT_THAT(std::string(Run({}, {5, 1 << 20}).status().message()),
              HasSubstr("outside the vocabulary of 2048"));
  EXPECT_THAT(std::string(Run({}, {-1}).status().message()), HasSubstr("outside the vocabulary"));
}

}  // namespace
}  // namespace sluice
