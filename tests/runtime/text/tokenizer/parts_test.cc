// The parts of the tokenizer one by one: Unicode, patterns, cutting, merging.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "runtime/text/tokenizer/added_tokens.h"
#include "runtime/text/tokenizer/bpe.h"
#include "runtime/text/tokenizer/byte_alphabet.h"
#include "runtime/text/tokenizer/normalizer.h"
#include "runtime/text/tokenizer/post_processor.h"
#include "runtime/text/tokenizer/pre_tokenizer.h"
#include "runtime/text/tokenizer/regex.h"
#include "runtime/text/tokenizer/split.h"
#include "runtime/text/tokenizer/unicode.h"

namespace sluice {
namespace {

using nlohmann::json;
using testing::ElementsAre;

TEST(Unicode, MalformedBytesBecomeOneReplacementForEachLongestPrefix) {
  const struct {
    const char* bytes;
    const char* text;
  } kCases[] = {{"", ""},
                {"a\xE2\x82\xAC", "a\u20AC"},
                {"\xE2\x82", "\uFFFD"},
                {"\xE2\x82x", "\uFFFDx"},
                {"\xC0\xAF", "\uFFFD\uFFFD"},                      // overlong
                {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},            // a surrogate
                {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},  // above U+10FFFF
                {"\xF0\x9F\x98\xFF", "\uFFFD\uFFFD"},
                {"\x80", "\uFFFD"}};
  for (const auto& c : kCases) {
    std::string out;
    AppendLossyUtf8(c.bytes, &out);
    EXPECT_EQ(out, c.text);
  }
}

TEST(Unicode, OnlyAStartedCharacterIsIncomplete) {
  EXPECT_EQ(IncompleteTail(""), 0u);
  EXPECT_EQ(IncompleteTail("a"), 0u);
  EXPECT_EQ(IncompleteTail("a\xE2"), 1u);
  EXPECT_EQ(IncompleteTail("a\xF0\x9F\x98"), 3u);
  EXPECT_EQ(IncompleteTail("a\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(IncompleteTail("\x80\x80"), 0u);
  EXPECT_EQ(IncompleteTail("\xED\xA0"), 0u);
}

TEST(ByteAlphabet, EveryByteComesBack) {
  std::string bytes, characters, back;
  for (int b = 0; b < 256; ++b) bytes.push_back(static_cast<char>(b));
  AppendByteCharacters(bytes, &characters);
  AppendCharacterBytes(characters, &back);
  EXPECT_EQ(back, bytes);
  std::string space, other;
  AppendByteCharacters(" ", &space);
  EXPECT_EQ(space, "\u0120");
  AppendCharacterBytes("\u0120\u20AC", &other);  // one outside: left as it is
  EXPECT_EQ(other, "\u0120\u20AC");
}

std::vector<std::string> Matches(const std::string& pattern, const std::string& text) {
  const auto regex = Regex::Compile(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status();
  std::vector<TextRange> ranges;
  if (regex.ok()) {
    SearchBudget budget(text.size());
    EXPECT_TRUE(regex->FindAll(text, &budget, &ranges).ok());
  }
  std::vector<std::string> matches;
  for (const TextRange& r : ranges) matches.push_back(text.substr(r.begin, r.end - r.begin));
  return matches;
}

TEST(Regex, OnigurumasMeaningsAreKept) {
  EXPECT_THAT(Matches("\\s", "a\u00A0\u180E\u3000\u200B"), ElementsAre("\u00A0", "\u3000"));
  EXPECT_THAT(Matches("[\\S]+", "a\u180E b"), ElementsAre("a\u180E", "b"));
  EXPECT_THAT(Matches("\\w+", "e\u0301_1\u00BD-\u24B6"), ElementsAre("e\u0301_1\u00BD", "\u24B6"));
  EXPECT_THAT(Matches("\\h+", "xyzFF0g"), ElementsAre("FF0"));
  EXPECT_THAT(Matches("(?m:.)+", "a\nb"), ElementsAre("a\nb"));
  EXPECT_THAT(Matches(".+", "a\r\nb"), ElementsAre("a\r", "b"));
  EXPECT_THAT(Matches("^b", "a\nb"), ElementsAre("b"));
  EXPECT_THAT(Matches("(ab){1,2}+", "ababababab"), ElementsAre("ababababab"));
  EXPECT_THAT(Matches("a{,2}b", "aaab"), ElementsAre("aab"));
  EXPECT_THAT(Matches("\\p{Han}", "\u3002\u65E5"), ElementsAre("\u65E5"));
  EXPECT_THAT(Matches("(?i:'s|'t)", "'S'\u017F'T"), ElementsAre("'S", "'\u017F", "'T"));
  EXPECT_THAT(Matches("[[:punct:]]", "a+\u00D7"), ElementsAre("+", "\u00D7"));
  EXPECT_THAT(Matches("\\u00e9", "e\u00E9"), ElementsAre("\u00E9"));
  EXPECT_THAT(Matches("\\b.\\B", "e\u0301a-"), ElementsAre("e", "-"));
  EXPECT_THAT(Matches("x*", "axb"), ElementsAre("", "x", ""));
  for (const char* unsupported : {"[a[b]]", "[a&&b]", "(?u)a", "\\Kx", "a\\"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Regex::Compile(unsupported).status())) << unsupported;
  }
}

TEST(Regex, OneMillionSpacesAreNoProblem) {
  const std::string spaces(1'000'000, ' ');
  EXPECT_EQ(Matches("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", spaces + "x").size(), 2u);
}

std::vector<std::string> Split(SplitBehavior behavior, bool invert) {
  const std::string text = "a-b--c";
  std::vector<TextRange> pieces;
  SplitAt({{1, 2}, {3, 4}, {4, 5}}, text.size(), behavior, invert, &pieces);
  std::vector<std::string> out;
  for (const TextRange& p : pieces) out.push_back(text.substr(p.begin, p.end - p.begin));
  return out;
}

TEST(Split, BehavesInFiveWays) {
  EXPECT_THAT(Split(SplitBehavior::kRemoved, false), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Split(SplitBehavior::kIsolated, false), ElementsAre("a", "-", "b", "-", "-", "c"));
  EXPECT_THAT(Split(SplitBehavior::kMergedWithPrevious, false), ElementsAre("a-", "b-", "-", "c"));
  EXPECT_THAT(Split(SplitBehavior::kMergedWithNext, false), ElementsAre("a", "-b", "-", "-c"));
  EXPECT_THAT(Split(SplitBehavior::kContiguous, false), ElementsAre("a", "-", "b", "--", "c"));
  EXPECT_THAT(Split(SplitBehavior::kRemoved, true), ElementsAre("-", "-", "-"));
  EXPECT_THAT(Split(SplitBehavior::kMergedWithNext, true), ElementsAre("a-", "b-", "-", "c"));
}

std::string Normalize(const char* component, std::string text) {
  const auto normalizer = Normalizer::FromJson(json::parse(component));
  EXPECT_TRUE(normalizer.ok()) << normalizer.status();
  bool at_start = true;
  if (normalizer.ok()) {
    SearchBudget budget(text.size());
    EXPECT_TRUE(normalizer->Apply(&text, &at_start, &budget).ok());
  }
  return text;
}

TEST(Normalizer, KnowsEachType) {
  EXPECT_EQ(Normalize(R"({"type":"NFC"})", "e\u0301\uAC00\u11A8"), "\u00E9\uAC01");
  EXPECT_EQ(Normalize(R"({"type":"NFD"})", "\u00E9"), "e\u0301");
  EXPECT_EQ(Normalize(R"({"type":"NFKC"})", "\uFB01\u2460"), "fi1");
  EXPECT_EQ(Normalize(R"({"type":"NFKD"})", "\uFB01\u00E9"), "fie\u0301");
  EXPECT_EQ(Normalize(R"({"type":"Lowercase"})", "\u0130A\u00C9"), "i\u0307a\u00E9");
  EXPECT_EQ(Normalize(R"({"type":"StripAccents"})", "e\u0301"), "e");
  EXPECT_EQ(Normalize(R"({"type":"Strip","strip_left":true,"strip_right":false})", " \u3000a "),
            "a ");
  EXPECT_EQ(Normalize(R"({"type":"Replace","pattern":{"Regex":"\\s+"},"content":"_"})", "a  b c"),
            "a_b_c");
  EXPECT_EQ(Normalize(R"({"type":"Prepend","prepend":"_"})", "a"), "_a");
  EXPECT_EQ(Normalize(R"({"type":"Prepend","prepend":"_"})", ""), "");
  EXPECT_EQ(Normalize(R"({"type":"ByteLevel"})", " a"), "\u0120a");
}

TEST(Normalizer, RunsOfMarksTakeNoQuadraticTime) {
  std::string marks;
  for (int i = 0; i < 100'000; ++i) marks += i % 2 == 0 ? "\u0301" : "\u0327";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Normalize(R"({"type":"NFC"})", marks).size(), marks.size());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

std::vector<std::string> PreTokenize(const char* component, const std::string& text) {
  const auto pre_tokenizer = PreTokenizer::FromJson(json::parse(component));
  EXPECT_TRUE(pre_tokenizer.ok()) << pre_tokenizer.status();
  if (!pre_tokenizer.ok()) return {};
  SearchBudget budget(text.size());
  const auto words = pre_tokenizer->Apply(text, true, &budget);
  EXPECT_TRUE(words.ok()) << words.status();
  std::vector<std::string> out;
  for (size_t i = 0; words.ok() && i < words->words.size(); ++i) {
    out.emplace_back((*words)[i]);
  }
  return out;
}

TEST(PreTokenizer, KnowsEachType) {
  EXPECT_THAT(PreTokenize(R"({"type":"ByteLevel","add_prefix_space":true})", "it's  12"),
              ElementsAre("\u0120it", "'s", "\u0120", "\u012012"));
  EXPECT_THAT(PreTokenize(R"({"type":"Digits","individual_digits":true})", "a12\u00BD"),
              ElementsAre("a", "1", "2", "\u00BD"));
  EXPECT_THAT(PreTokenize(R"({"type":"Digits","individual_digits":false})", "a12b"),
              ElementsAre("a", "12", "b"));
  EXPECT_THAT(PreTokenize(R"({"type":"Punctuation","behavior":"Contiguous"})", "a,.b$"),
              ElementsAre("a", ",.", "b", "$"));
  EXPECT_THAT(
      PreTokenize(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"first"})", "a b"),
      ElementsAre("_a", "_b"));
  EXPECT_THAT(
      PreTokenize(
          R"({"type":"Metaspace","replacement":"_","prepend_scheme":"never","split":false})",
          "a b"),
      ElementsAre("a_b"));
  EXPECT_THAT(PreTokenize(R"({"type":"Whitespace"})", "ab!? c"), ElementsAre("ab", "!?", "c"));
  EXPECT_THAT(PreTokenize(R"({"type":"WhitespaceSplit"})", " ab!? c"), ElementsAre("ab!?", "c"));
  EXPECT_THAT(PreTokenize(R"({"type":"BertPreTokenizer"})", "ab! c"), ElementsAre("ab", "!", "c"));
  EXPECT_THAT(PreTokenize(R"({"type":"CharDelimiterSplit","delimiter":"-"})", "a--b"),
              ElementsAre("a", "b"));
}

TEST(PostProcessor, KnowsEachType) {
  const auto bert = ReadPostProcessor(
      json::parse(R"({"type":"Sequence","processors":[{"type":"ByteLevel"},)"
                  R"({"type":"RobertaProcessing","sep":["</s>",2],"cls":["<s>",0]}]})"));
  ASSERT_TRUE(bert.ok()) << bert.status();
  EXPECT_THAT(bert->before, ElementsAre(0));
  EXPECT_THAT(bert->after, ElementsAre(2));
}

TEST(AddedTokens, TheLeftmostAndThenTheLongestIsFound) {
  AddedTokenMatcher matcher;
  ASSERT_TRUE(matcher.Add("ab", {.id = 1, .content = "ab"}).ok());
  ASSERT_TRUE(matcher.Add("abcd", {.id = 2, .content = "abcd"}).ok());
  ASSERT_TRUE(matcher.Add("bc", {.id = 3, .content = "bc", .special = true}).ok());
  ASSERT_TRUE(
      matcher
          .Add("w", {.id = 4, .content = "w", .single_word = true, .lstrip = true, .rstrip = true})
          .ok());
  const auto ids = [&](const char* text, bool parse_special) {
    std::vector<int32_t> found;
    for (const Segment& s : matcher.Cut(text, parse_special)) found.push_back(s.id);
    return found;
  };
  EXPECT_THAT(ids("abcdbc", true), ElementsAre(2, 3));
  EXPECT_THAT(ids("abc", true), ElementsAre(1, -1));
  EXPECT_THAT(ids("xbcab", false), ElementsAre(-1, 1));
  EXPECT_THAT(ids("- w -", true), ElementsAre(-1, 4, -1));
  EXPECT_THAT(ids("ow w", true), ElementsAre(-1, 4));
  EXPECT_EQ(matcher.Cut("a w  b", true)[1].end, 5u);
}

Vocabulary Letters() {
  Vocabulary vocabulary;
  int32_t id = 0;
  for (const char* token : {"a", "b", "aa", "ab", "aaaa", "<unk>", "<0xC3>", "<0xA9>", "##b"}) {
    EXPECT_TRUE(vocabulary.Add(token, id++).ok());
  }
  EXPECT_TRUE(vocabulary.Finish().ok());
  return vocabulary;
}

std::vector<int32_t> Encode(BpeOptions options, absl::string_view word) {
  const Vocabulary vocabulary = Letters();
  MergeText merges;
  merges.Add("a", "a");
  merges.Add("aa", "aa");
  merges.Add("a", "b");
  const auto bpe = Bpe::Create(&vocabulary, options, merges);
  EXPECT_TRUE(bpe.ok()) << bpe.status();
  Bpe::Scratch scratch;
  std::vector<int32_t> ids;
  if (bpe.ok()) {
    EXPECT_TRUE(bpe->Encode(word, INT32_MAX, &scratch, &ids).ok());
  }
  return ids;
}

TEST(Bpe, MergesByRankThenFromTheLeft) {
  EXPECT_THAT(Encode({}, "aab"), ElementsAre(2, 1));
  EXPECT_THAT(Encode({}, "aaaaab"), ElementsAre(4, 3));
  EXPECT_THAT(Encode({}, ""), ElementsAre());
}

TEST(Bpe, UnknownCharactersFallBack) {
  EXPECT_THAT(Encode({}, "a\u00E9"), ElementsAre(0));
  EXPECT_THAT(Encode({.byte_fallback = true}, "a\u00E9"), ElementsAre(0, 6, 7));
  EXPECT_THAT(Encode({.has_unk_token = true, .unk_token = "<unk>"}, "xya"), ElementsAre(5, 5, 0));
  EXPECT_THAT(Encode({.has_unk_token = true, .unk_token = "<unk>", .fuse_unk = true}, "xya"),
              ElementsAre(5, 0));
  EXPECT_THAT(Encode({.ignore_merges = true}, "ab"), ElementsAre(3));
}

TEST(Bpe, AWordOfAMillionCharactersTakesNoQuadraticTime) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Encode({}, std::string(1 << 20, 'a')).size(), 1u << 18);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

}  // namespace
}  // namespace sluice
