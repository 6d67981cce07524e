// The suffix automaton against searches through the whole text.
#include "runtime/speculate/suffix_automaton.h"

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using Text = std::vector<int32_t>;

Text RandomText(std::mt19937* random, int64_t length, int32_t below) {
  Text text(length);
  for (int32_t& token : text) token = static_cast<int32_t>((*random)() % below);
  return text;
}

// How often each token follows `suffix` in the texts; the suffix need not have followers.
std::map<int32_t, int32_t> Followers(const std::vector<Text>& texts,
                                     absl::Span<const int32_t> suffix, bool* occurs) {
  std::map<int32_t, int32_t> followers;
  *occurs = false;
  for (const Text& text : texts) {
    for (size_t at = 0; at + suffix.size() <= text.size(); ++at) {
      if (!std::equal(suffix.begin(), suffix.end(), text.begin() + at)) continue;
      *occurs = true;
      if (at + suffix.size() < text.size()) ++followers[text[at + suffix.size()]];
    }
  }
  return followers;
}

std::map<int32_t, int32_t> EdgesOf(const SuffixAutomaton& automaton, int32_t state) {
  std::map<int32_t, int32_t> counts;
  int32_t previous = -1;
  for (int32_t e = automaton.first_edge(state); e >= 0; e = automaton.edge(e).next) {
    EXPECT_EQ(automaton.edge(e).previous, previous);
    EXPECT_EQ(automaton.edge(e).state, state);
    counts[automaton.edge(e).token] = automaton.edge(e).count;
    previous = e;
  }
  return counts;
}

// Texts this short have no more suffixes than count, so the counts are exact.
TEST(SuffixAutomaton, KnowsEachSubstringAndCountsWhatFollowedIt) {
  static_assert(SuffixAutomaton::kCountedLinks == 16);
  std::mt19937 random(1);
  for (int round = 0; round < 1000; ++round) {
    std::vector<Text> texts(1 + random() % 4);
    SuffixAutomaton automaton;
    const auto alphabet = static_cast<int32_t>(1 + random() % 4);
    for (Text& text : texts) {
      text = RandomText(&random, random() % 16, alphabet);
      for (const int32_t token : text) automaton.Append(token);
      automaton.Separate();
    }
    for (int probe = 0; probe < 30; ++probe) {
      const Text pattern = RandomText(&random, random() % 6, alphabet);
      bool occurs;
      const auto followers = Followers(texts, pattern, &occurs);
      SuffixAutomaton::Match match;
      for (const int32_t token : pattern) match = automaton.Advanced(match, token);
      ASSERT_EQ(match.length == static_cast<int32_t>(pattern.size()), occurs);
      if (occurs) {
        ASSERT_EQ(EdgesOf(automaton, match.state), followers);
      }
    }
  }
}

TEST(SuffixAutomaton, OrdersFollowersByWhenTheyCameLast) {
  SuffixAutomaton automaton;
  for (const int32_t token : {1, 2, 1, 3, 1, 4, 1, 2, 5, 1}) automaton.Append(token);
  const SuffixAutomaton::Match one = automaton.Advanced({}, 1);
  std::vector<std::pair<int32_t, int32_t>> edges;
  for (int32_t e = automaton.first_edge(one.state); e >= 0; e = automaton.edge(e).next)
    edges.emplace_back(automaton.edge(e).token, automaton.edge(e).count);
  const std::vector<std::pair<int32_t, int32_t>> expected = {{2, 2}, {4, 1}, {3, 1}};
  EXPECT_EQ(edges, expected);
}

TEST(SuffixAutomaton, FindsTheLongestSuffixThatOccurredEarlier) {
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    const Text text = RandomText(&random, 60, static_cast<int32_t>(1 + random() % 4));
    SuffixAutomaton automaton;
    for (size_t end = 1; end <= text.size(); ++end) {
      automaton.Append(text[end - 1]);
      size_t longest = 0;
      for (size_t other = 1; other < end; ++other) {
        size_t length = 0;
        while (length < other && text[other - 1 - length] == text[end - 1 - length]) ++length;
        longest = std::max(longest, length);
      }
      ASSERT_EQ(automaton.Repeated().length, static_cast<int32_t>(longest));
    }
  }
}

// A match is kept while other texts are appended, as a running sequence does with the shared texts.
TEST(SuffixAutomaton, KeepsMatchesValidWhileItGrows) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const auto alphabet = static_cast<int32_t>(2 + random() % 3);
    SuffixAutomaton automaton;
    std::vector<Text> texts;
    Text read;
    SuffixAutomaton::Match match;
    for (int step = 0; step < 20; ++step) {
      texts.push_back(RandomText(&random, random() % 10, alphabet));
      for (const int32_t token : texts.back()) automaton.Append(token);
      automaton.Separate();
      match = automaton.Current(match);
      read.push_back(static_cast<int32_t>(random() % alphabet));
      const int32_t before = match.length;
      match = automaton.Advanced(match, read.back());
      ASSERT_LE(match.length, before + 1);
      // The suffix that is matched occurs, and its followers are those of its state's.
      bool occurs;
      const auto suffix = absl::MakeConstSpan(read).last(match.length);
      const auto followers = Followers(texts, suffix, &occurs);
      ASSERT_TRUE(occurs);
      const auto edges = EdgesOf(automaton, match.state);
      ASSERT_EQ(edges.size(), followers.size());
      for (const auto& [token, count] : edges) ASSERT_EQ(followers.count(token), 1);
    }
  }
}

TEST(SuffixAutomaton, TakesNoMoreMemoryThanItPromises) {
  std::mt19937 random(4);
  std::vector<Text> texts = {{}, {1}, Text(20000, 7)};
  for (const int32_t alphabet : {2, 3, 10, 1000, 100000})
    texts.push_back(RandomText(&random, 20000, alphabet));
  texts.emplace_back();  // abbb...bc has the most states and edges
  texts.back().assign(20000, 2);
  texts.back().front() = 1;
  texts.back().back() = 3;
  for (const Text& text : texts) {
    SuffixAutomaton automaton;
    for (const int32_t token : text) automaton.Append(token);
    EXPECT_EQ(automaton.tokens(), static_cast<int64_t>(text.size()));
    EXPECT_LE(automaton.MemoryBytes(), SuffixAutomaton::kFixedBytes +
                                           SuffixAutomaton::kMaxBytesPerToken * automaton.tokens());
  }
}

}  // namespace
}  // namespace sluice
