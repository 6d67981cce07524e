// Drafts never change what a sequence gets: whatever is drafted, for whomever, in whatever company.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "runtime/kv/kv_rows.h"
#include "runtime/speculate/replay_drafter.h"
#include "runtime/speculate/speculator.h"
#include "runtime/speculate/suffix_drafter.h"
#include "tests/runtime/engine_harness.h"

namespace sluice {
namespace {

// What a drafter of these tests knows: the tokens of each sequence, and what plain runs gave.
class KnowingDrafter : public Drafter {
 public:
  void Observe(int64_t sequence, absl::Span<const int32_t> tokens) override {
    std::vector<int32_t>& known = known_[sequence];
    known.insert(known.end(), tokens.begin(), tokens.end());
  }
  void Forget(int64_t sequence) override { EXPECT_EQ(known_.erase(sequence), 1); }
  size_t num_known() const { return known_.size(); }

 protected:
  std::map<int64_t, std::vector<int32_t>> known_;
};

// Trees of random shapes and tokens, some of them not in the vocabulary's first half.
class RandomDrafter : public KnowingDrafter {
 public:
  RandomDrafter(uint32_t seed, int32_t vocab_size) : random_(seed), vocab_size_(vocab_size) {}
  absl::Status Propose(int64_t, const DraftLimits& limits, DraftTree* tree) override {
    const int64_t size = random_() % 40;
    for (int64_t i = 0; i < size; ++i) {
      const auto parent = static_cast<int32_t>(random_() % (tree->size() + 1)) - 1;
      if (tree->DepthOf(parent) >= limits.max_depth) continue;
      tree->Add(parent, static_cast<int32_t>(random_() % vocab_size_), 0.9, 0, 0);
    }
    return absl::OkStatus();
  }
  absl::string_view name() const override { return "random"; }

 private:
  std::mt19937 random_;
  const int32_t vocab_size_;
};

// Knows every answer, and hides it in a tree: right tokens among wrong ones, or none right.
class OracleDrafter : public KnowingDrafter {
 public:
  OracleDrafter(std::vector<std::vector<int32_t>> texts, int32_t vocab_size, int wrong, bool right)
      : texts_(std::move(texts)), vocab_size_(vocab_size), wrong_(wrong), right_(right) {}
  absl::Status Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) override {
    const std::vector<int32_t>& known = known_[sequence];
    for (const std::vector<int32_t>& text : texts_) {
      if (text.size() <= known.size() || !std::equal(known.begin(), known.end(), text.begin())) {
        continue;
      }
      int32_t at = kDraftRoot;
      double survival = 1;
      for (size_t i = known.size(); i < text.size(); ++i) {
        if (tree->DepthOf(at) >= limits.max_depth) break;
        for (int k = 1; k <= wrong_; ++k) {
          // Likelier than the right one, so that this one is in another's place.
          tree->Add(at, (text[i] + k) % vocab_size_, survival, 0, 1);
        }
        if (!right_) break;
        survival *= 0.99;
        at = tree->Add(at, text[i], survival, 0, 0);
      }
    }
    return absl::OkStatus();
  }
  absl::string_view name() const override { return "oracle"; }

 private:
  const std::vector<std::vector<int32_t>> texts_;
  const int32_t vocab_size_;
  const int wrong_;
  const bool right_;
};

class FailingDrafter : public KnowingDrafter {
 public:
  absl::Status Propose(int64_t, const DraftLimits&, DraftTree* tree) override {
    tree->Add(kDraftRoot, 1, 1, 0, 0);
    return ++asked_ < 3 ? absl::OkStatus() : absl::ResourceExhaustedError("no memory left");
  }
  absl::string_view name() const override { return "failing"; }

 private:
  int asked_ = 0;
};

Calibration::Priors Priors(double rate) {
  Calibration::Priors priors;
  priors.fill(rate);
  return priors;
}

class SpeculationTest : public EngineTest {
 protected:
  static int32_t vocab_size() {
    return static_cast<int32_t>((*store_)->hyper_parameters().vocab_size);
  }
  static Speculator MakeSpeculator(std::unique_ptr<Drafter> drafter,
                                   SpeculatorOptions options = {}) {
    options.adapts = false;
    Speculator speculator(options, {Priors(0.8), Priors(0.5)});
    speculator.Add(std::move(drafter));
    return speculator;
  }
  // What plain runs give, one after the other, and the texts: prompts with what follows them.
  static std::vector<SequenceResult> Plain(const std::vector<SequenceRequest>& requests,
                                           std::vector<std::vector<int32_t>>* texts,
                                           KvType kv = KvType::kQ8_0) {
    TestEngine plain(**store_, tokenizer_, {.kv = kv});
    std::vector<size_t> order(requests.size());
    std::iota(order.begin(), order.end(), 0);
    std::vector<SequenceResult> results = plain.Run(requests, order);
    for (size_t i = 0; i < requests.size(); ++i) {
      std::vector<int32_t>& text = texts->emplace_back(requests[i].prompt);
      text.insert(text.end(), results[i].ids.begin(), results[i].ids.end());
    }
    return results;
  }
  // Runs all requests with the drafter, and expects what plain runs gave.
  static SpeculationCounters ExpectPlain(const std::vector<SequenceRequest>& requests,
                                         const std::vector<SequenceResult>& want,
                                         std::unique_ptr<Drafter> drafter,
                                         TestEngine::Config config) {
    const auto* const knowing = dynamic_cast<KnowingDrafter*>(drafter.get());
    Speculator speculator = MakeSpeculator(std::move(drafter));
    config.speculator = &speculator;
    TestEngine test(**store_, tokenizer_, config);
    EXPECT_EQ(test.model->plan().draft_rows, config.draft_rows);
    std::vector<size_t> order(requests.size());
    std::iota(order.begin(), order.end(), 0);
    const std::vector<SequenceResult> got = test.Run(requests, order);
    for (size_t i = 0; i < got.size(); ++i) {
      SCOPED_TRACE(i);
      ExpectSame(got[i], want[i]);
    }
    if (knowing != nullptr) {
      EXPECT_EQ(knowing->num_known(), 0) << "all were forgotten";
    }
    EXPECT_EQ(test.model->kv_cache().pool().available(), config.kv_pages);
    return speculator.counters();
  }
};

TEST_F(SpeculationTest, AnyDrafterGivesThePlainText) {
  const std::vector<SequenceRequest> requests = Requests(14);
  std::vector<std::vector<int32_t>> texts;
  const std::vector<SequenceResult> want = Plain(requests, &texts);
  using Make = std::function<std::unique_ptr<Drafter>()>;
  const std::pair<const char*, Make> drafters[] = {
      {"random", [] { return std::make_unique<RandomDrafter>(5, vocab_size()); }},
      {"wrong", [&] { return std::make_unique<OracleDrafter>(texts, vocab_size(), 3, false); }},
      {"second", [&] { return std::make_unique<OracleDrafter>(texts, vocab_size(), 1, true); }},
      {"third", [&] { return std::make_unique<OracleDrafter>(texts, vocab_size(), 2, true); }},
      {"oracle", [&] { return std::make_unique<OracleDrafter>(texts, vocab_size(), 0, true); }}};
  const int64_t rows[] = {1, 2, 7, 33, 60};
  int64_t sequences = 1;
  for (size_t i = 0; i < std::size(drafters); ++i) {
    SCOPED_TRACE(drafters[i].first);
    const SpeculationCounters counters =
        ExpectPlain(requests, want, drafters[i].second(),
                    {.sequences = sequences, .kv_pages = 4 + 3 * sequences, .draft_rows = rows[i]});
    EXPECT_GT(counters.draft_rows, 0);
    if (drafters[i].first == std::string("wrong")) {
      EXPECT_TRUE(counters.accepted_by_depth.empty());
    }
    sequences = sequences % 3 + 1;
  }
}

// All rows are accepted where the drafter knows the answer.
TEST_F(SpeculationTest, AnOracleTakesFewPasses) {
  std::vector<SequenceRequest> requests = LongRequests();
  requests.resize(3);
  std::vector<std::vector<int32_t>> texts;
  const std::vector<SequenceResult> want = Plain(requests, &texts);
  const SpeculationCounters counters =
      ExpectPlain(requests, want, std::make_unique<OracleDrafter>(texts, vocab_size(), 0, true),
                  {.sequences = 1, .kv_pages = 8, .draft_rows = 20});
  int64_t tokens = 0;
  for (const SequenceResult& result : want) tokens += static_cast<int64_t>(result.ids.size());
  EXPECT_EQ(counters.tokens, tokens);
  EXPECT_LE(counters.passes, tokens / 21 + 3);
  EXPECT_EQ(counters.draft_rows, tokens - counters.passes);
}

TEST_F(SpeculationTest, SuffixesAndReplayGiveThePlainText) {
  std::vector<SequenceRequest> requests = LongRequests();
  std::vector<std::vector<int32_t>> texts;
  for (const KvType kv : {KvType::kF16, KvType::kF32}) {
    if (kv == KvType::kF32) requests.resize(5);  // still more than there are places
    texts.clear();
    const std::vector<SequenceResult> want = Plain(requests, &texts, kv);
    Speculator speculator({.adapts = false},
                          {SuffixDrafter::InitialRates(), SuffixDrafter::InitialRates()});
    speculator.Add(
        std::make_unique<SuffixDrafter>(SuffixDrafterOptions(), speculator.calibration()));
    TestEngine test(
        **store_, tokenizer_,
        {.sequences = 4, .kv_pages = 12, .draft_rows = 40, .kv = kv, .speculator = &speculator});
    std::vector<size_t> order(requests.size());
    std::iota(order.rbegin(), order.rend(), 0);
    const std::vector<SequenceResult> got = test.Run(requests, order);
    for (size_t i = 0; i < got.size(); ++i) ExpectSame(got[i], want[i]);
    EXPECT_GT(speculator.counters().accepted_by_depth.size(), 2);
    EXPECT_TRUE(speculator.failures().empty());
  }
}

// Two drafters, of which one has only wrong guesses.
TEST_F(SpeculationTest, TellsWhatEachDrafterDid) {
  std::vector<SequenceRequest> requests = LongRequests();
  requests.resize(3);
  std::vector<std::vector<int32_t>> texts;
  const std::vector<SequenceResult> want = Plain(requests, &texts);
  Speculator speculator =
      MakeSpeculator(std::make_unique<OracleDrafter>(texts, vocab_size(), 0, true));
  speculator.Add(std::make_unique<SuffixDrafter>(
      SuffixDrafterOptions{.source = 1, .shared_source = 1}, speculator.calibration()));
  std::map<std::string, DraftSpan> sums;
  int64_t passes = 0;
  speculator.SetSpanSink([&](absl::Span<const DraftSpan> spans) {
    ++passes;
    ASSERT_EQ(spans.size(), 2);
    EXPECT_LE(spans[0].end, spans[1].begin);
    for (const DraftSpan& span : spans) {
      EXPECT_LE(span.begin, span.end);
      DraftSpan& sum = sums[std::string(span.drafter)];
      sum.proposed += span.proposed;
      sum.rows += span.rows;
      sum.accepted += span.accepted;
    }
  });
  TestEngine test(**store_, tokenizer_,
                  {.kv_pages = 8, .draft_rows = 20, .speculator = &speculator});
  const std::vector<SequenceResult> got = test.Run(requests, {0, 1, 2});
  for (size_t i = 0; i < got.size(); ++i) ExpectSame(got[i], want[i]);
  const SpeculationCounters counters = speculator.counters();
  int64_t accepted = 0;
  for (const int64_t nodes : counters.accepted_by_depth) accepted += nodes;
  EXPECT_LE(passes, counters.passes) << "none is asked where no token is left to draft";
  EXPECT_EQ(sums["oracle"].rows + sums["suffix"].rows, counters.draft_rows);
  EXPECT_EQ(sums["oracle"].accepted + sums["suffix"].accepted, accepted);
  EXPECT_GT(sums["oracle"].accepted, 0);
  EXPECT_GE(sums["suffix"].proposed, sums["suffix"].rows);
}

// Pages that are preempted, swapped and on disk.
TEST_F(SpeculationTest, ShortOfPagesGivesThePlainText) {
  const std::vector<SequenceRequest> requests = LongRequests();
  std::vector<std::vector<int32_t>> texts;
  const std::vector<SequenceResult> want = Plain(requests, &texts);
  for (const int64_t disk_pages : {0, 3}) {
    SCOPED_TRACE(disk_pages);
    ExpectPlain(requests, want, std::make_unique<OracleDrafter>(texts, vocab_size(), 1, true),
                {.sequences = 5,
                 .kv_pages = 7,
                 .kv_disk_pages = disk_pages,
                 .draft_rows = 30,
                 .swaps = true,
                 .resume = {.page_s = 1e-3, .free_rows = 0, .row_s = 1}});
  }
}

// What the cache holds after an answer is what a plain run leaves there.
TEST_F(SpeculationTest, LeavesTheCacheThatPlainRunsLeave) {
  std::vector<SequenceRequest> requests = LongRequests();
  requests.resize(2);
  std::vector<std::vector<int32_t>> texts;
  Plain(requests, &texts);
  const auto rows_after = [&](Speculator* speculator, SequenceRequest request) {
    TestEngine test(**store_, tokenizer_,
                    {.kv_pages = 8, .draft_rows = 30, .speculator = speculator});
    CachedTokens cache;
    request.cache = &cache;
    test.Run({request}, {0});
    std::vector<std::byte> all;
    const auto length = static_cast<int64_t>(cache.tokens.size());
    EXPECT_TRUE(ForEachKvRows(test.model->kv_cache(), cache.pages, length, KvAccess::kRead,
                              [&](absl::Span<std::byte> bytes) {
                                all.insert(all.end(), bytes.begin(), bytes.end());
                                return absl::OkStatus();
                              })
                    .ok());
    test.model->kv_cache().Release(cache.pages);
    return std::pair(cache.tokens, all);
  };
  for (const SequenceRequest& request : requests) {
    Speculator speculator =
        MakeSpeculator(std::make_unique<OracleDrafter>(texts, vocab_size(), 2, true));
    EXPECT_EQ(rows_after(&speculator, request), rows_after(nullptr, request));
    EXPECT_GT(speculator.counters().accepted_by_depth.size(), 3);
  }
}

// A text that is interrupted after some passes and taken up by another process ends as a plain one.
TEST_F(SpeculationTest, GoesOnAfterInterruptsAnywhere) {
  std::vector<SequenceRequest> requests = LongRequests();
  requests.resize(4);
  std::vector<std::vector<int32_t>> texts;
  const std::vector<SequenceResult> want = Plain(requests, &texts);
  for (size_t i = 0; i < requests.size(); ++i) {
    SequenceResult got;
    std::vector<int32_t> generated;
    for (int steps = 3; steps < 100; steps += 4) {
      Speculator speculator =
          MakeSpeculator(std::make_unique<OracleDrafter>(texts, vocab_size(), 1, true));
      TestEngine test(**store_, tokenizer_,
                      {.kv_pages = 8, .draft_rows = 7, .speculator = &speculator});
      SequenceRequest request = requests[i];
      request.generated = generated;
      request.on_finish = [&](SequenceResult result) { got = std::move(result); };
      const int64_t id = *test.engine->Submit(std::move(request));
      for (int step = 0; step < steps && !test.engine->idle(); ++step) {
        ASSERT_TRUE(test.engine->Step().ok());
      }
      if (test.engine->idle()) break;
      test.engine->Interrupt(id);
      EXPECT_EQ(got.finish_reason, FinishReason::kInterrupt);
      generated = got.ids;
    }
    EXPECT_EQ(got.ids, want[i].ids);
    EXPECT_EQ(got.text, want[i].text);
    EXPECT_EQ(got.finish_reason, want[i].finish_reason);
  }
}

TEST_F(SpeculationTest, AFailingDrafterCostsALine) {
  std::vector<SequenceRequest> requests = LongRequests();
  requests.resize(1);
  std::vector<std::vector<int32_t>> texts;
  const std::vector<SequenceResult> want = Plain(requests, &texts);
  Speculator speculator = MakeSpeculator(std::make_unique<FailingDrafter>());
  TestEngine test(**store_, tokenizer_,
                  {.kv_pages = 8, .draft_rows = 8, .speculator = &speculator});
  ExpectSame(test.Run(requests, {0})[0], want[0]);
  ASSERT_EQ(speculator.failures().size(), 1);
  EXPECT_EQ(speculator.failures()[0], "the failing drafter is not asked any more: no memory left");
}

// Notes `passes` passes, with drafts where they are wanted; how many had some.
int RunPasses(DraftGain& gain, int passes, const std::function<DraftGain::Pass(bool)>& pass) {
  int drafted = 0;
  for (int i = 0; i < passes; ++i) {
    const bool drafts = gain.Wants();
    drafted += drafts;
    gain.Note(pass(drafts));
  }
  return drafted;
}

TEST(DraftGain, RestsWhereDraftsDoNotPay) {
  DraftGain gain;
  const int drafted = RunPasses(gain, 2000, [](bool drafts) {
    return DraftGain::Pass{drafts, drafts ? 1.1 : 1.0, drafts ? 0.1 : 0, 1, 1};
  });
  EXPECT_LT(drafted, 300);
  EXPECT_NEAR(gain.Gain(), 1 / 1.2, 0.01);
}

// The model takes longer to draft than what it drafts brings, though it brings much.
TEST(DraftGain, AsksWhatAPassTakesWhereDraftingTakesLong) {
  DraftGain gain;
  const int drafted = RunPasses(gain, 1000, [](bool drafts) {
    return DraftGain::Pass{drafts, 1.0, drafts ? 1.2 : 0, 1, drafts ? 2 : 1};
  });
  EXPECT_LT(drafted, 300);
}

TEST(DraftGain, GoesOnWhereTheyDo) {
  DraftGain gain;
  EXPECT_EQ(RunPasses(gain, 2000,
                      [](bool drafts) {
                        return DraftGain::Pass{drafts, 1.2, 0, 1, drafts ? 3 : 1};
                      }),
            2000);
  DraftGain measured;
  const int drafted = RunPasses(measured, 2000, [](bool drafts) {
    return DraftGain::Pass{drafts, drafts ? 1.05 : 1.0, 0, 2, drafts ? 5 : 4};
  });
  EXPECT_GE(drafted, 1990);
}

// One pass that took long by chance, and sequences that become fewer.
TEST(DraftGain, IsNotLedAstray) {
  DraftGain stalled;
  int pass = 0;
  const int drafted = RunPasses(stalled, 600, [&](bool drafts) {
    const double seconds = ++pass == 9 ? 9.0 : 1.1;
    return DraftGain::Pass{drafts, seconds, 0, 1, pass % 10 == 0 ? 1 : drafts ? 2 : 1};
  });
  EXPECT_GE(drafted, 590);
  DraftGain tail;
  for (int i = 0; i < 50; ++i) tail.Note({false, 1.0, 0, 40, 40});
  EXPECT_GE(RunPasses(tail, 600,
                      [](bool drafts) {
                        return DraftGain::Pass{drafts, 1.0, 0.03, 4, drafts ? 12 : 4};
                      }),
            598);
}

}  // namespace
}  // namespace sluice
