// Classes of characters as Oniguruma has them, over all characters.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/text/tokenizer/regex.h"
#include "runtime/text/tokenizer/unicode.h"
#include "test_files.h"

namespace sluice {
namespace {

using nlohmann::json;

TEST(RegexClasses, MatchTheCharactersThatOnigurumaMatches) {
  const json golden = ReadDataJson("regex-classes/sets.json");
  std::vector<uint32_t> characters;
  std::string text;
  for (const json& block : golden["characters"]) {
    for (uint32_t c = block[0]; c <= block[1].get<uint32_t>(); ++c) {
      characters.push_back(c);
      AppendUtf8(c, &text);
    }
  }
  ASSERT_GT(characters.size(), 30'000u);
  ASSERT_GT(golden["sets"].size(), 200u);
  for (const auto& [pattern, ranges] : golden["sets"].items()) {
    const auto regex = Regex::Compile(pattern);
    ASSERT_TRUE(regex.ok()) << regex.status();
    SearchBudget budget(text.size());
    std::vector<TextRange> matches;
    ASSERT_TRUE(regex->FindAll(text, &budget, &matches).ok()) << pattern;
    size_t match = 0, range = 0, at = 0;
    for (const uint32_t c : characters) {
      while (range < ranges.size() && ranges[range][1].get<uint32_t>() < c) ++range;
      const bool want = range < ranges.size() && ranges[range][0].get<uint32_t>() <= c;
      while (match < matches.size() && matches[match].begin < at) ++match;
      const bool got = match < matches.size() && matches[match].begin == at;
      ASSERT_EQ(got, want) << pattern << " and the character " << std::hex << c;
      at += Utf8Size(text[at]);
    }
  }
}

TEST(RegexClasses, StayOneThingThatCanBeRepeated) {
  const auto find = [](const char* pattern, const std::string& text) {
    SearchBudget budget(text.size());
    std::vector<TextRange> matches;
    const auto regex = Regex::Compile(pattern);
    EXPECT_TRUE(regex.ok()) << regex.status();
    EXPECT_TRUE(!regex.ok() || regex->FindAll(text, &budget, &matches).ok());
    std::vector<std::string> found;
    for (const TextRange& m : matches) found.push_back(text.substr(m.begin, m.end - m.begin));
    return found;
  };
  EXPECT_EQ(find("[\\Wx]+y", "--x-y"), std::vector<std::string>({"--x-y"}));
  EXPECT_EQ(find("[^\\W_]{2,}+", "ab_cd"), std::vector<std::string>({"ab", "cd"}));
  EXPECT_EQ(find("(?:[\\W\\d]|q)*z", "1-q2z"), std::vector<std::string>({"1-q2z"}));
  EXPECT_EQ(find("[]\\W]+", "a]-b"), std::vector<std::string>({"]-"}));
}

}  // namespace
}  // namespace sluice
