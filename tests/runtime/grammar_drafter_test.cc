// Drafts of what a grammar forces: the plain text, in far fewer passes.
#include "runtime/speculate/grammar_drafter.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/speculate/speculator.h"
#include "tests/runtime/engine_harness.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;

class GrammarDrafterTest : public EngineTest {
 protected:
  static std::shared_ptr<grammar::Constraint> ConstraintOf(GrammarKind kind,
                                                           const std::string& text) {
    const HyperParameters& h = (*store_)->hyper_parameters();
    auto constraint = Constraints(tokenizer_, h.vocab_size, h.eos_token_ids).For({kind, text});
    EXPECT_TRUE(constraint.ok()) << constraint.status();
    return *constraint;
  }
  static SequenceRequest Request(std::shared_ptr<grammar::Constraint> constraint) {
    SequenceRequest request;
    request.prompt = *tokenizer_->Encode("Once upon a time");
    request.max_new_tokens = 120;
    request.sampler.seed = 3;
    request.constraint = std::move(constraint);
    return request;
  }
  // Runs the request plainly and with drafts of its grammar, and expects the same.
  static SpeculationCounters ExpectPlain(const SequenceRequest& request, SequenceResult* want) {
    TestEngine plain(**store_, tokenizer_, {});
    *want = plain.Run({request}, {0})[0];
    Speculator speculator({.adapts = false}, {GrammarDrafter::InitialRates()});
    speculator.Add(std::make_unique<GrammarDrafter>(0, speculator.calibration()));
    TestEngine test(**store_, tokenizer_, {.draft_rows = 20, .speculator = &speculator});
    ExpectSame(test.Run({request}, {0})[0], *want);
    EXPECT_TRUE(speculator.failures().empty());
    const SpeculationCounters counters = speculator.counters();
    EXPECT_EQ(counters.tokens, want->ids.size());
    return counters;
  }
};

int64_t AcceptedNodes(const SpeculationCounters& counters) {
  int64_t accepted = 0;
  for (const int64_t nodes : counters.accepted_by_depth) accepted += nodes;
  return accepted;
}

// The first token is free, and each of those behind it is the only one. All of them but the last
// have a row, and none besides.
TEST_F(GrammarDrafterTest, DraftsTheOnlyTokenAtAnyTemperature) {
  std::string text = "root ::= [a-z]";
  for (int i = 0; i < 40; ++i) absl::StrAppend(&text, " <[", 300 + 7 * i, "]>");
  for (const double temperature : {0.0, 1.5}) {
    SequenceRequest request = Request(ConstraintOf(GrammarKind::kGbnf, text));
    request.sampler.temperature = temperature;
    SequenceResult want;
    const SpeculationCounters counters = ExpectPlain(request, &want);
    ASSERT_EQ(want.ids.size(), 41);
    EXPECT_EQ(counters.passes, 3) << "1 token, 21 and 19";
    EXPECT_EQ(counters.draft_rows, 38);
    EXPECT_EQ(AcceptedNodes(counters), 38);
  }
}

// Penalties, log probabilities, a stop text in the middle of what is forced, a limit.
TEST_F(GrammarDrafterTest, DraftsWhatIsSpelledOut) {
  const auto constraint = ConstraintOf(
      GrammarKind::kGbnf,
      R"(root ::= "The name of the little girl is " [A-Z] [a-z]{1,8} ". She has a favourite toy: it is a " [a-z]{2,9} ".")");
  SequenceRequest plain = Request(constraint);
  SequenceRequest stopped = plain;
  stopped.stop = {"favour"};
  SequenceRequest penalties = plain;
  penalties.sampler.frequency_penalty = 1.5;
  penalties.sampler.repeat_penalty = 1.3;
  penalties.top_logprobs = 3;
  SequenceRequest cut = plain;
  cut.max_new_tokens = 6;
  SequenceRequest tight = plain;  // no token may be wasted
  tight.max_new_tokens = constraint->tokens_to_finish();
  for (const double temperature : {0.0, 0.9}) {
    for (SequenceRequest* request : {&plain, &stopped, &penalties, &cut, &tight}) {
      SCOPED_TRACE(request->max_new_tokens);
      request->sampler.temperature = temperature;
      SequenceResult want;
      const SpeculationCounters counters = ExpectPlain(*request, &want);
      EXPECT_GT(AcceptedNodes(counters), 0);
      if (request == &stopped) {
        EXPECT_EQ(want.finish_reason, FinishReason::kStop);
        EXPECT_THAT(want.text, testing::EndsWith(" has a "));
      }
      if (request != &plain) continue;
      EXPECT_GT(static_cast<double>(counters.tokens) / static_cast<double>(counters.passes), 1.5)
          << want.text;
    }
  }
}

// A text that its end token ends, and one that the grammar ends by itself.
TEST_F(GrammarDrafterTest, EndsWhereTheTextEnds) {
  for (const char* const text :
       {R"(root ::= "The end of the story." [!]?)", R"(root ::= "The end of the story.")"}) {
    SequenceResult want;
    const SpeculationCounters counters =
        ExpectPlain(Request(ConstraintOf(GrammarKind::kGbnf, text)), &want);
    EXPECT_EQ(want.finish_reason, FinishReason::kStop);
    EXPECT_LT(counters.passes, want.ids.size());
  }
}

TEST_F(GrammarDrafterTest, ProposesNothingWithoutAGrammarAndWhereMuchIsAllowed) {
  Speculator speculator({.adapts = false}, {GrammarDrafter::InitialRates()});
  GrammarDrafter drafter(0, speculator.calibration());
  DraftTree tree;
  EXPECT_TRUE(drafter.Propose(1, {}, &tree).ok());
  EXPECT_EQ(tree.size(), 0);
  const grammar::Matcher matcher(ConstraintOf(GrammarKind::kGbnf, "root ::= [a-z]{9}"));
  EXPECT_TRUE(drafter.Propose(1, {.grammar = &matcher, .tokens_left = 50}, &tree).ok());
  EXPECT_EQ(tree.size(), 0);
}

// Any depth and any number of nodes: a limit is a limit.
TEST_F(GrammarDrafterTest, KeepsToItsLimits) {
  Speculator speculator({.adapts = false}, {GrammarDrafter::InitialRates()});
  GrammarDrafter drafter(0, speculator.calibration());
  const grammar::Matcher matcher(
      ConstraintOf(GrammarKind::kGbnf, R"(root ::= "the name of the little girl is Lily" [a-z])"));
  for (const int64_t max_nodes : {1, 5, 64}) {
    for (const int32_t max_depth : {1, 3, 16}) {
      DraftTree tree;
      const DraftLimits limits = {.max_nodes = max_nodes,
                                  .max_depth = max_depth,
                                  .grammar = &matcher,
                                  .tokens_left = max_depth + 1};
      ASSERT_TRUE(drafter.Propose(1, limits, &tree).ok());
      EXPECT_GT(tree.size(), 0);
      EXPECT_LE(tree.size(), max_nodes);
      for (const DraftNode& node : tree.nodes()) EXPECT_LE(node.depth, max_depth);
      EXPECT_EQ(AllowedNodes(matcher, tree).size(), tree.size());
    }
  }
}

TEST_F(GrammarDrafterTest, NodesThatAGrammarForbidsGetNoRows) {
  const grammar::Matcher matcher(
      ConstraintOf(GrammarKind::kGbnf, "root ::= <[300]> (<[301]> <[302]> | <[303]>)"));
  DraftTree tree;
  const int32_t first = tree.Add(kDraftRoot, 300, 0.9, 0, 0);
  const int32_t wrong = tree.Add(kDraftRoot, 301, 0.9, 0, 0);
  tree.Add(wrong, 302, 0.9, 0, 0);
  const int32_t second = tree.Add(first, 301, 0.8, 0, 0);
  tree.Add(first, 303, 0.8, 0, 0);   // it ends the text
  tree.Add(second, 302, 0.8, 0, 0);  // the same
  tree.Add(second, 303, 0.8, 0, 0);
  EXPECT_THAT(AllowedNodes(matcher, tree), ElementsAre(first, second));
}

}  // namespace
}  // namespace sluice
