// Masks are what feeding every token to a naive matcher gives, and texts can be finished within
// their limit.
#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/text/grammar/constraint.h"
#include "runtime/text/grammar/gbnf.h"
#include "tests/runtime/text/grammar/naive_matcher.h"

namespace sluice::grammar {
namespace {

using ::testing::HasSubstr;

#ifdef SLUICE_SANITIZED
constexpr int kGrammars = 30;
#else
constexpr int kGrammars = 300;
#endif

// All bytes of a few characters alone, and pieces that span them, with broken characters at both
// ends.
std::vector<std::string> SmallVocabulary(std::mt19937* random) {
  const std::string text = "ab\"{}\\[],: 10é€😀\n";
  std::vector<std::string> tokens;
  for (const char c : text) tokens.emplace_back(1, c);
  std::uniform_int_distribution<size_t> start(0, text.size() - 1), size(2, 6);
  for (int i = 0; i < 150; ++i) {
    std::string token;
    for (size_t pieces = size(*random) / 2; pieces > 0; --pieces) {
      token += text.substr(start(*random), size(*random) / 2);
    }
    tokens.push_back(token);
  }
  std::sort(tokens.begin(), tokens.end());
  tokens.insert(tokens.end(),
                {"", "aaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "abababab", "ab"});
  return tokens;
}

struct Choices {
  std::mt19937* random;
  int operator()(int n) { return std::uniform_int_distribution<int>(0, n - 1)(*random); }
};

// Rules call only later ones where nothing stands before the call, and any where something does.
class RandomGrammar {
 public:
  explicit RandomGrammar(std::mt19937* random) : pick_{random} {}

  Grammar Make() {
    const int num_rules = 1 + pick_(5);
    for (int r = 0; r < num_rules; ++r) g_.AddRule(std::string(1, static_cast<char>('A' + r)));
    for (int r = 0; r < num_rules; ++r) g_.Define(r, Expr(3, r, /*begun=*/false));
    g_.set_root(0);
    return std::move(g_);
  }

 private:
  Grammar::ExprId Expr(int depth, int rule, bool begun) {
    const auto num_rules = static_cast<int>(g_.rules().size());
    switch (pick_(depth > 0 ? 8 : 3)) {
      case 0: {
        static const char* const kTexts[] = {"a",  "ab", "b\"", "{",   "}",  "é",
                                             "€😀", "\\", "10",  "[a]", ": ", ""};
        return g_.Text(kTexts[pick_(12)]);
      }
      case 1: {
        const std::vector<std::vector<CodePointRange>> classes = {
            {{'a', 'b'}},
            {{0, kMaxCodePoint}},
            {{'0', '9'}, {0xE9, 0xE9}},
            {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}},
            ComplementRanges({{'a', 'a'}}),
            {{0x20AC, 0x1F600}},
            {}};
        return g_.Class(classes[pick_(7)]);
      }
      case 2: {
        const int first = begun ? 0 : rule + 1;
        if (first >= num_rules) return g_.Text("a");
        return g_.Use(first + pick_(num_rules - first));
      }
      case 3:
      case 4: {
        std::vector<Grammar::ExprId> parts;
        for (int n = pick_(4); n > 0; --n) {
          parts.push_back(Expr(depth - 1, rule, begun));
          // Whatever may match nothing does not count as a beginning.
          begun |= g_.expr(parts.back()).kind == Grammar::Kind::kText &&
                   !g_.expr(parts.back()).text.empty();
        }
        return g_.Sequence(parts);
      }
      case 5:
      case 6: {
        std::vector<Grammar::ExprId> parts;
        for (int n = 1 + pick_(3); n > 0; --n) parts.push_back(Expr(depth - 1, rule, begun));
        return g_.Choice(parts);
      }
      default: {
        const int min = pick_(3), more = pick_(6);
        const int max = more == 5 ? Grammar::kUnlimited : min + more;
        return g_.Repeat(Expr(depth - 1, rule, begun), min, max);
      }
    }
  }

  Choices pick_;
  Grammar g_;
};

TEST(Mask, IsExactlyWhatANaiveMatcherAllows) {
  int compared = 0, allowed_tokens = 0, refused_tokens = 0, ends = 0;
  for (int seed = 0; seed < kGrammars; ++seed) {
    std::mt19937 random(seed);
    Choices pick{&random};
    const std::vector<std::string> tokens = SmallVocabulary(&random);
    const auto end_id = static_cast<int32_t>(tokens.size());
    const auto vocabulary =
        std::make_shared<Vocabulary>(tokens, end_id + 7, std::vector<int32_t>{end_id});
    const Grammar grammar = RandomGrammar(&random).Make();
    const auto constraint = Constraint::Create(grammar, vocabulary);
    NaiveMatcher naive(grammar);
    if (!constraint.ok()) {
      EXPECT_FALSE(naive.IsPrefix("")) << constraint.status();
      continue;
    }
    Matcher matcher(*constraint);
    std::string text;
    for (int step = 0; step < 8 && !matcher.finished(); ++step) {
      TokenMask mask;
      const absl::Status status = matcher.Mask(-1, &mask);
      std::vector<int32_t> choices;
      for (int32_t id = 0; id < end_id; ++id) {
        const bool fits = !tokens[id].empty() && naive.IsPrefix(text + tokens[id]);
        if (naive.overwhelmed()) break;
        ASSERT_EQ(Allows(mask, id), fits)
            << seed << ": \"" << text << "\" + \"" << tokens[id] << "\"";
        if (fits) choices.push_back(id);
        ++(fits ? allowed_tokens : refused_tokens);
      }
      if (naive.overwhelmed()) break;
      ++compared;
      ASSERT_EQ(Allows(mask, end_id), naive.Matches(text)) << seed << ": \"" << text << "\"";
      ends += Allows(mask, end_id);
      for (int id = end_id + 1; id < end_id + 7; ++id) ASSERT_FALSE(Allows(mask, id));
      ASSERT_EQ(status.ok(), !choices.empty() || Allows(mask, end_id));
      if (choices.empty()) break;
      const int32_t token = choices[pick(static_cast<int>(choices.size()))];
      ASSERT_TRUE(matcher.Accept(token).ok());
      text += tokens[token];
    }
  }
  // The grammars were worth it.
  EXPECT_GT(compared, kGrammars);
  EXPECT_GT(allowed_tokens, 15 * kGrammars);
  EXPECT_GT(refused_tokens, 100 * kGrammars);
  EXPECT_GT(ends, kGrammars / 6);
}

// Follows random grammars with limits that are met often; what was forgotten is found again.
TEST(Mask, StaysTheSameWhenWhatWasFoundOutIsForgotten) {
  int compared = 0;
  for (int seed = 0; seed < kGrammars / 5; ++seed) {
    std::mt19937 random(seed);
    Choices pick{&random};
    const std::vector<std::string> tokens = SmallVocabulary(&random);
    const auto end_id = static_cast<int32_t>(tokens.size());
    const auto vocabulary =
        std::make_shared<Vocabulary>(tokens, end_id + 1, std::vector<int32_t>{end_id});
    const Grammar grammar = RandomGrammar(&random).Make();
    const auto keeps = Constraint::Create(grammar, vocabulary);
    const auto forgets = Constraint::Create(grammar, vocabulary, {.cache_bytes = 1});
    if (!keeps.ok()) continue;
    // Several texts at once, which forgetting must not mix up.
    std::vector<Matcher> a, b;
    for (int i = 0; i < 3; ++i) {
      a.emplace_back(*keeps);
      b.emplace_back(*forgets);
    }
    for (int step = 0; step < 30; ++step) {
      const int i = pick(3);
      TokenMask mask, again;
      const int64_t left = pick(2) == 0 ? -1 : 3 + pick(8);
      const absl::Status status = a[i].Mask(left, &mask);
      ASSERT_EQ(b[i].Mask(left, &again), status);
      ASSERT_EQ(mask, again) << seed;
      ++compared;
      std::vector<int32_t> choices;
      for (int32_t id = 0; id < end_id; ++id) {
        if (Allows(mask, id)) choices.push_back(id);
      }
      if (choices.empty()) continue;
      const int32_t token = choices[pick(static_cast<int>(choices.size()))];
      ASSERT_TRUE(a[i].Accept(token).ok());
      ASSERT_TRUE(b[i].Accept(token).ok());
      ASSERT_EQ(a[i].finished(), b[i].finished());
    }
  }
  EXPECT_GT(compared, 3 * kGrammars);
}

// Each a or b begins to count anew: 30 counters at a time, of which only the one that began last
// matters.
TEST(Mask, CountingBehindEveryLetterTakesLittleMemory) {
  const auto grammar = ParseGbnf("root ::= [a-z]* [ab] [a-z]{0,30} \"x\" [a-z]{3}");
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  std::mt19937 random(1);
  Choices pick{&random};
  std::vector<std::string> tokens;
  for (char c = 'a'; c <= 'z'; ++c) tokens.emplace_back(1, c);
  for (int i = 0; i < 2000; ++i) {
    std::string& token = tokens.emplace_back();
    for (int n = 2 + pick(6); n > 0; --n)
      token += static_cast<char>('a' + pick(23));  // x is rare in words
  }
  const auto end_id = static_cast<int32_t>(tokens.size());
  const auto constraint = Constraint::Create(
      *grammar, std::make_shared<Vocabulary>(tokens, end_id + 1, std::vector<int32_t>{end_id}));
  ASSERT_TRUE(constraint.ok()) << constraint.status();
  Matcher matcher(*constraint);
  TokenMask mask;
  for (int64_t left = 40; left > 0 && !matcher.finished(); --left) {
    ASSERT_TRUE(matcher.Mask(left, &mask).ok());
    int32_t token = pick(end_id + 1);
    while (!Allows(mask, token)) token = (token + 1) % (end_id + 1);
    ASSERT_TRUE(matcher.Accept(token).ok());
  }
  EXPECT_LT((*constraint)->MemoryBytes(), 1 << 20);
}

TEST(Mask, KeepsAwayFromWhatTheVocabularyCannotSpell) {
  // "(" can be closed only by the token "x)" or by ")"; with neither a "y" nor a "]" of its own,
  // other ways end nowhere.
  const std::vector<std::string> tokens = {"(", ")", "x", "x)", "[", "[y]", "[y", "z"};
  const auto vocabulary = std::make_shared<Vocabulary>(tokens, 9, std::vector<int32_t>{8});
  const auto constraint = Constraint::Create(
      *ParseGbnf(R"x(root ::= "(" "x"* ")" | "[" "y"+ "]" | "zzz]")x"), vocabulary);
  ASSERT_TRUE(constraint.ok());
  Matcher matcher(*constraint);
  TokenMask mask;
  ASSERT_TRUE(matcher.Mask(10, &mask).ok());
  EXPECT_EQ(mask[0], 0b0010'0001u);  // "(" and "[y]"
  ASSERT_TRUE(matcher.Accept(5).ok());
  EXPECT_TRUE(matcher.finished());
}

TEST(Mask, TakesTheShortestWayWhereTheLimitDoesNotSuffice) {
  const auto vocabulary = std::make_shared<Vocabulary>(std::vector<std::string>{"a", "b", "c"}, 4,
                                                       std::vector<int32_t>{3});
  const auto constraint =
      Constraint::Create(*ParseGbnf(R"(root ::= "a"{9} | "b" "c"{3})"), vocabulary);
  ASSERT_TRUE(constraint.ok());
  Matcher matcher(*constraint);
  TokenMask mask;
  ASSERT_TRUE(matcher.Mask(2, &mask).ok());
  EXPECT_EQ(mask[0], 0b0010u);
}

TEST(Mask, SaysThatNoTokenFits) {
  const auto vocabulary =
      std::make_shared<Vocabulary>(std::vector<std::string>{"a", "b"}, 3, std::vector<int32_t>{2});
  const auto constraint = Constraint::Create(*ParseGbnf(R"(root ::= "a" "xyz")"), vocabulary);
  ASSERT_TRUE(constraint.ok());
  EXPECT_EQ((*constraint)->tokens_to_finish(), 5);
  Matcher matcher(*constraint);
  TokenMask mask;
  ASSERT_TRUE(matcher.Mask(9, &mask).ok());
  EXPECT_EQ(mask[0], 1u);
  EXPECT_TRUE(absl::IsInvalidArgument(matcher.Accept(1)));
  EXPECT_TRUE(absl::IsInvalidArgument(matcher.Accept(2)));
  ASSERT_TRUE(matcher.Accept(0).ok());
  const absl::Status status = matcher.Mask(9, &mask);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no token of the vocabulary"));
}

TEST(Mask, LimitsTheWaysToReadAText) {
  // After n letters, any of them may have been the first of the last hundred.
  const auto vocabulary =
      std::make_shared<Vocabulary>(std::vector<std::string>{"a"}, 2, std::vector<int32_t>{1});
  const auto constraint = Constraint::Create(*ParseGbnf(R"(root ::= "a"* "a"{500} "b" | "a")"),
                                             vocabulary, {.threads = 100});
  ASSERT_TRUE(constraint.ok());
  Matcher matcher(*constraint);
  absl::Status status;
  TokenMask mask;
  for (int i = 0; i < 200 && status.ok(); ++i) {
    status = matcher.Mask(-1, &mask);
    if (status.ok()) status = matcher.Accept(0);
  }
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("more than 100 ways"));

  const auto slow = Constraint::Create(*ParseGbnf(R"(root ::= "a"* "a"{500} "b" | "a")"),
                                       vocabulary, {.edges = 300});
  ASSERT_TRUE(slow.ok());
  Matcher long_text(*slow);
  status = absl::OkStatus();
  for (int i = 0; i < 200 && status.ok(); ++i) status = long_text.Accept(0);
  EXPECT_THAT(std::string(status.message()), HasSubstr("more than 300 edges for one mask"));
}

// Texts of one constraint may come from many requests, or from guesses at how one goes on.
TEST(Mask, ALimitEndsTheTextThatMeetsIt) {
  const auto vocabulary = std::make_shared<Vocabulary>(std::vector<std::string>{"a", "c", "d"}, 4,
                                                       std::vector<int32_t>{3});
  const auto constraint = Constraint::Create(
      *ParseGbnf(R"(root ::= "a"* "a"{500} "b" | "c" "d"{2,9})"), vocabulary, {.threads = 100});
  ASSERT_TRUE(constraint.ok());
  Matcher other(*constraint);
  ASSERT_TRUE(other.Accept(1).ok());
  Matcher matcher(*constraint);
  absl::Status status;
  TokenMask mask;
  for (int i = 0; i < 200 && status.ok(); ++i) {
    const Matcher before = matcher;
    status = matcher.Accept(0);
    EXPECT_EQ(matcher.finished(), before.finished());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(absl::IsResourceExhausted(matcher.Accept(0))) << "it stays where it is";
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(other.Mask(-1, &mask).ok());
    EXPECT_EQ(mask[0], i < 2 ? 0b0100u : 0b1100u) << i;
    ASSERT_TRUE(other.Accept(2).ok());
  }
  EXPECT_TRUE(other.finished());
  Matcher fresh(*constraint);
  ASSERT_TRUE(fresh.Mask(-1, &mask).ok());
  EXPECT_EQ(mask[0], 0b0010u) << "no token spells b";
}

TEST(Mask, ACopyFollowsATextOfItsOwn) {
  const auto vocabulary =
      std::make_shared<Vocabulary>(std::vector<std::string>{"a", "b"}, 3, std::vector<int32_t>{2});
  const auto constraint =
      Constraint::Create(*ParseGbnf(R"(root ::= "a" "b" "a" | "a" "a")"), vocabulary);
  ASSERT_TRUE(constraint.ok());
  Matcher matcher(*constraint);
  ASSERT_TRUE(matcher.Accept(0).ok());
  TokenMask mask;
  {
    Matcher copy = matcher;
    ASSERT_TRUE(copy.Accept(1).ok());
    ASSERT_TRUE(copy.Mask(-1, &mask).ok());
    EXPECT_EQ(mask[0], 0b001u);
    ASSERT_TRUE(copy.Accept(0).ok());
    EXPECT_TRUE(copy.finished());
  }
  EXPECT_FALSE(matcher.finished());
  ASSERT_TRUE(matcher.Mask(-1, &mask).ok());
  EXPECT_EQ(mask[0], 0b011u);
}

TEST(Mask, LeavesAWayToFinishWithinTheTokensThatAreLeft) {
  int finished = 0;
  for (int seed = 0; seed < kGrammars; ++seed) {
    std::mt19937 random(seed);
    Choices pick{&random};
    const std::vector<std::string> tokens = SmallVocabulary(&random);
    const auto end_id = static_cast<int32_t>(tokens.size());
    const auto vocabulary =
        std::make_shared<Vocabulary>(tokens, end_id + 1, std::vector<int32_t>{end_id});
    const Grammar grammar = RandomGrammar(&random).Make();
    const auto constraint = Constraint::Create(grammar, vocabulary);
    if (!constraint.ok() || (*constraint)->tokens_to_finish() == Automaton::kNever) continue;
    NaiveMatcher naive(grammar);
    Matcher matcher(*constraint);
    std::string text;
    int64_t left = (*constraint)->tokens_to_finish() + pick(6);
    for (; left > 0 && !matcher.finished(); --left) {
      TokenMask mask;
      ASSERT_TRUE(matcher.Mask(left, &mask).ok()) << seed;
      std::vector<int32_t> choices;
      for (int32_t id = 0; id <= end_id; ++id) {
        if (Allows(mask, id)) choices.push_back(id);
      }
      const int32_t token = choices[pick(static_cast<int>(choices.size()))];
      ASSERT_TRUE(matcher.Accept(token).ok());
      if (token != end_id) text += tokens[token];
    }
    EXPECT_TRUE(matcher.finished()) << seed << ": " << text;
    EXPECT_TRUE(naive.Matches(text) || naive.overwhelmed()) << seed << ": " << text;
    ++finished;
  }
  EXPECT_GT(finished, kGrammars / 3);
}

// Tokens: 0 a, 1 b, 2 ab, 3 a control token, 4 another one, 5 the end. 6 is no token.
std::shared_ptr<Constraint> Named(const std::string& gbnf) {
  const auto grammar = ParseGbnf(gbnf);
  EXPECT_TRUE(grammar.ok()) << grammar.status();
  const std::vector<std::string> tokens = {"a", "b", "ab", "", "", ""};
  const auto constraint = Constraint::Create(
      *grammar, std::make_shared<Vocabulary>(tokens, /*num_ids=*/7, std::vector<int32_t>{5}));
  EXPECT_TRUE(constraint.ok()) << constraint.status();
  return *constraint;
}

std::vector<int32_t> AllowedBehind(const std::shared_ptr<Constraint>& constraint,
                                   const std::vector<int32_t>& ids, int64_t tokens_left = -1) {
  Matcher matcher(constraint);
  for (const int32_t id : ids) EXPECT_TRUE(matcher.Accept(id).ok()) << id;
  TokenMask mask;
  std::vector<int32_t> allowed;
  const absl::Status status = matcher.Mask(tokens_left, &mask);
  EXPECT_TRUE(status.ok()) << status;
  for (int32_t id = 0; id < 7; ++id) {
    if (!Allows(mask, id)) continue;
    allowed.push_back(id);
    Matcher next(constraint);
    for (const int32_t before : ids) EXPECT_TRUE(next.Accept(before).ok());
    EXPECT_TRUE(next.Accept(id).ok()) << id;
  }
  return allowed;
}

using ::testing::ElementsAre;

TEST(NamedTokens, AreAllowedWhereTheyAreNamedAndNowhereElse) {
  const auto think = Named("root ::= <[3]> \"a\" <[4]> \"b\"");
  EXPECT_THAT(AllowedBehind(think, {}), ElementsAre(3));
  EXPECT_THAT(AllowedBehind(think, {3}), ElementsAre(0));
  EXPECT_THAT(AllowedBehind(think, {3, 0}), ElementsAre(4));
  EXPECT_THAT(AllowedBehind(think, {3, 0, 4}), ElementsAre(1));
  Matcher matcher(think);
  EXPECT_FALSE(matcher.Accept(4).ok());
  EXPECT_FALSE(matcher.Accept(-1).ok());
  EXPECT_FALSE(matcher.Accept(7).ok());
  for (const int32_t id : {3, 0, 4, 1}) EXPECT_TRUE(matcher.Accept(id).ok());
  EXPECT_TRUE(matcher.finished());
}

TEST(NamedTokens, NegatedAreAllOthersThatDoNotEndAText) {
  const auto until = Named("root ::= (!<[4]>)* <[4]>");
  EXPECT_THAT(AllowedBehind(until, {}), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(AllowedBehind(until, {2, 3, 3}), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(AllowedBehind(until, {2}, /*tokens_left=*/2), ElementsAre(4));  // it, and the end
  EXPECT_THAT(AllowedBehind(Named("root ::= !<[0]> \"b\""), {}), ElementsAre(1, 2, 3, 4));
}

TEST(NamedTokens, ThatFitByTheirBytesTooAreReadBothWays) {
  const auto both = Named("root ::= (<[0]> \"b\" | \"a\" <[3]>)");
  EXPECT_THAT(AllowedBehind(both, {}), ElementsAre(0));  // "ab" would hold the token a
  EXPECT_THAT(AllowedBehind(both, {0}), ElementsAre(1, 3));
  const auto text = Named("root ::= <[0]> \"b\" | \"ab\" <[3]>");
  EXPECT_THAT(AllowedBehind(text, {}), ElementsAre(0, 2));
  EXPECT_THAT(AllowedBehind(text, {2}), ElementsAre(3));
  EXPECT_THAT(AllowedBehind(text, {0, 1}), ElementsAre(3, 5));
}

TEST(NamedTokens, ThatAreNoneOrEndATextAreRefusedByName) {
  const auto create = [](const std::string& gbnf) {
    const std::vector<std::string> tokens = {"a", "b"};
    const auto grammar = ParseGbnf(gbnf);
    EXPECT_TRUE(grammar.ok()) << grammar.status();
    return std::string(Constraint::Create(*grammar, std::make_shared<Vocabulary>(
                                                        tokens, 2, std::vector<int32_t>{1}))
                           .status()
                           .message());
  };
  EXPECT_THAT(create("root ::= <think>"), HasSubstr("<think> is not one token of this model"));
  EXPECT_THAT(create("root ::= \"a\" | !<[2]>"),
              HasSubstr("<[2]> is outside of this model's vocabulary of 2 tokens"));
  EXPECT_THAT(create("root ::= <[1]>"), HasSubstr("the token <[1]> ends a text"));
  EXPECT_EQ(create("root ::= <[0]>"), "");
}

}  // namespace
}  // namespace sluice::grammar
