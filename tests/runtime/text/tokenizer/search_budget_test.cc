// Patterns that search without end: a budget for a text ends them, whatever it is that takes the
// time.
#include "runtime/text/tokenizer/search_budget.h"

#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/text/tokenizer/normalizer.h"
#include "runtime/text/tokenizer/pre_tokenizer.h"
#include "test_files.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr std::chrono::milliseconds kShort(50);

std::string Repeated(absl::string_view part, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) absl::StrAppend(&all, part);
  return all;
}

absl::Status Search(const std::string& pattern, const std::string& text,
                    std::chrono::nanoseconds allowed) {
  const auto regex = Regex::Compile(pattern);
  if (!regex.ok()) return regex.status();
  SearchBudget budget(text.size(), allowed);
  std::vector<TextRange> matches;
  return regex->FindAll(text, &budget, &matches);
}

TEST(SearchBudget, EndsPatternsThatSearchTooLong) {
  // Has what patterns end with, at another place
  const std::string text = std::string(20'000, 'a') + "\n\tbcx";
  const std::string many = Repeated("a*+b|", 300);
  for (const std::string& pattern : {many,           // matches the empty text at each place
                                     many + "a*+b",  // matches nowhere
                                     "(?:" + many + "a*+b){1,9}",      // in a group that repeats
                                     std::string("(?:a|aa)+$b"),       // steps back, without end
                                     std::string("(?=(?:a+)+b)"),      // inside of a look-ahead
                                     std::string("(?:a*)*?c"),         // nested, lazy
                                     std::string("(?:.*.*.*.*x)"),     // polynomial
                                     Repeated("(?<=a)a*+b|", 300)}) {  // behind a look-behind
    const absl::Status status = Search(pattern, text, kShort);
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << pattern.substr(0, 40) << status;
  }
}

TEST(SearchBudget, CountsAllPartsOfAText) {
  const auto regex = Regex::Compile("(?:a+)+b|");
  ASSERT_TRUE(regex.ok());
  const std::string part(
      20, 'a');  // a search of some milliseconds, which no limit of one match forbids
  SearchBudget budget(part.size(), kShort);
  absl::Status status;
  for (int i = 0; i < 100'000 && status.ok(); ++i) {
    std::vector<TextRange> matches;
    status = regex->FindAll(part, &budget, &matches);
  }
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
}

TEST(SearchBudget, HoldsForNormalizersAndPreTokenizers) {
  const std::string text(20'000, 'a');
  const json pattern = {{"Regex", Repeated("a*+b|", 300)}};
  const auto normalizer =
      Normalizer::FromJson({{"type", "Replace"}, {"pattern", pattern}, {"content", "x"}});
  ASSERT_TRUE(normalizer.ok()) << normalizer.status();
  std::string normalized = text;
  bool at_start = true;
  SearchBudget budget(text.size(), kShort);
  EXPECT_TRUE(absl::IsResourceExhausted(normalizer->Apply(&normalized, &at_start, &budget)));
  for (const char* const behavior :
       {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"}) {
    const auto split =
        PreTokenizer::FromJson({{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}});
    ASSERT_TRUE(split.ok()) << split.status();
    SearchBudget fresh(text.size(), kShort);
    const absl::Status status = split->Apply(text, true, &fresh).status();
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << behavior;
    EXPECT_THAT(std::string(status.message()), HasSubstr("text of 20000 bytes for 0.1 s"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("a*+b|a*+b"));
  }
}

// The words of GPT-2, cl100k, Qwen2 and o200k, each over texts that make patterns step back.
TEST(SearchBudget, SufficesForThePatternsOfTheField) {
  const std::string kPatterns[] = {
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
  for (const std::string& pattern : kPatterns) {
    for (const char* const part : {"a", " ", "\u65E5", "\n", "-", "A", "1", " a", "\t \n"}) {
      std::string text = Repeated(part, 200'000 / static_cast<int>(std::string(part).size()));
      SearchBudget budget(text.size());
      std::vector<TextRange> matches;
      const auto regex = Regex::Compile(pattern);
      ASSERT_TRUE(regex.ok()) << regex.status();
      const absl::Status status = regex->FindAll(text, &budget, &matches);
      ASSERT_TRUE(status.ok()) << status << part;
      size_t end = 0;  // they cut the text, whole
      for (const TextRange& match : matches) {
        ASSERT_EQ(match.begin, end) << part;
        end = match.end;
      }
      ASSERT_EQ(end, text.size()) << part;
    }
  }
}

TEST(SearchBudget, ErrorsOfATokenizerNameItsFile) {
  json tokenizer = ReadDataJson("token-files/cases.json")["tokenizers"]["plain"];
  tokenizer["normalizer"] = {
      {"type", "Replace"}, {"pattern", {{"Regex", "(?:a|aa)+b"}}}, {"content", "x"}};
  const std::string folder = MakeTestFolder("budget");
  WriteTestFile(folder + "/tokenizer.json", tokenizer.dump());
  const auto loaded = Tokenizer::Load(folder);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const absl::Status status = (*loaded)->Encode(std::string(50, 'a') + "cb").status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder + "/tokenizer.json: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("(?:a|aa)+b"));
}

}  // namespace
}  // namespace sluice
