// Mistral's tekken.json: mistral-common's ids in every line, and a reason where a file is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "runtime/text/tokenizer/tekken_file.h"
#include "test_files.h"

namespace sluice {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Ids = std::vector<int32_t>;

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTekken(const std::string& text,
                                                      const std::string& config = "") {
  const std::string folder = MakeTestFolder("tekken");
  WriteTestFile(folder + "/tekken.json", text);
  if (!config.empty()) WriteTestFile(folder + "/tokenizer_config.json", config);
  return Tokenizer::Load(folder);
}

std::string NamedTekken(absl::string_view name) {
  return ReadData(absl::StrCat("tokenizers/tekken/", name, ".json"));
}

class TekkenVectors : public testing::TestWithParam<const char*> {};

TEST_P(TekkenVectors, AreMatchedInEveryLine) {
  const auto tokenizer = LoadTekken(NamedTekken(GetParam()));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const json vectors = ReadDataJson(absl::StrCat("tokenizer-vectors/tekken/", GetParam(), ".json"));
  ASSERT_GE(vectors.size(), 200u);
  for (const json& vector : vectors) {
    const Ids ids = vector["ids"].get<Ids>();
    // mistral-common has no control tokens in text.
    const auto got = (*tokenizer)
                         ->Encode(vector["text"].get<std::string>(),
                                  {.add_special_tokens = false, .parse_special = false});
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(*got, ids) << vector["text"];
    EXPECT_EQ((*tokenizer)->Decode(ids, false), vector["decoded"]) << vector["text"];
  }
}

INSTANTIATE_TEST_SUITE_P(All, TekkenVectors, testing::Values("v3", "v11"));

TEST(Tekken, HasItsSpecialTokensFirst) {
  const auto old = LoadTekken(NamedTekken("v3"));
  ASSERT_TRUE(old.ok()) << old.status();
  EXPECT_EQ((*old)->vocab_size(), 2400) << "fewer than the file has";
  EXPECT_EQ((*old)->TokenId("[INST]"), 3);
  EXPECT_EQ((*old)->TokenId("[TOOL_CONTENT]"), 19);
  EXPECT_EQ((*old)->TokenId("<SPECIAL_999>"), 999);
  EXPECT_EQ(*(*old)->Encode("[INST]a"), (Ids{1, 3, 1000 + 'a'}));
  EXPECT_TRUE((*old)->IsSpecial(1));

  const auto named = LoadTekken(NamedTekken("v11"));
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ((*named)->vocab_size(), 1520);
  EXPECT_EQ(*(*named)->Encode("[THINK]a"), (Ids{1, 5, 20 + 'a'}));
  EXPECT_FALSE((*named)->IsSpecial(5)) << "is_control is false";
  EXPECT_TRUE((*named)->IsSpecial(7)) << "<SPECIAL_7>";
  const auto without = LoadTekken(NamedTekken("v11"), R"({"add_bos_token": false})");
  EXPECT_EQ(*(*without)->Encode("a"), (Ids{20 + 'a'}));
}

// 256 bytes and "ab", with three special tokens.
json SmallTekken() {
  json document = {{"config",
                    {{"pattern", "\\w+|\\W"},
                     {"num_vocab_tokens", 257},
                     {"default_vocab_size", 260},
                     {"default_num_special_tokens", 3},
                     {"version", "v7"}}},
                   {"vocab", json::array()}};
  for (int byte = 0; byte < 256; ++byte) {
    document["vocab"].push_back(
        {{"rank", byte},
         {"token_bytes", absl::Base64Escape(std::string(1, static_cast<char>(byte)))},
         {"token_str", nullptr}});
  }
  document["vocab"].push_back(
      {{"rank", 256}, {"token_bytes", absl::Base64Escape("ab")}, {"token_str", "ab"}});
  return document;
}

TEST(Tekken, OfOneMergeLoads) {
  const auto tokenizer = LoadTekken(SmallTekken().dump());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(*(*tokenizer)->Encode("aab"), (Ids{1, 3 + 'a', 259}));
}

TEST(Tekken, IsRefusedWithAReason) {
  const auto with = [](const char* pointer, json value) {
    json document = SmallTekken();
    document[json::json_pointer(pointer)] = std::move(value);
    return document.dump();
  };
  const auto special = [](int rank, const char* text) {
    return json{{"rank", rank}, {"token_str", text}, {"is_control", true}};
  };
  const std::string whole = SmallTekken().dump();
  const std::pair<std::string, const char*> kCases[] = {
      {"", "not valid JSON"},
      {"[]", "not an object"},
      {"{}", "\"config\" is missing"},
      {whole.substr(0, whole.size() / 2), "download the file again"},
      {whole + "x", "not valid JSON"},
      {"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"},
      {with("/config/pattern", nullptr), "\"config\": \"pattern\" is missing"},
      {with("/config/pattern", "("), "parenthes"},
      {with("/config/default_vocab_size", "x"), "\"config\": \"default_vocab_size\""},
      {with("/config/default_vocab_size", 300),
       "\"vocab\" has 257 tokens; \"config\" asks for 297"},
      {with("/config/default_vocab_size", 100), "100 tokens, of which 3 are special"},
      {with("/config/default_num_special_tokens", -1), "of which -1 are special"},
      {with("/config/default_num_special_tokens", 1 << 20), "are special"},
      {with("/config/version", "v11"), "\"special_tokens\": it is missing"},
      {with("/vocab/5/rank", 6), "token 5: \"rank\" is 6"},
      {with("/vocab/5/token_bytes", "Bg=="), "token 5: it is not the byte"},
      {with("/vocab/256/token_bytes", "?"), "token 256: \"token_bytes\" is not the base64"},
      {with("/vocab/256/token_bytes", "QQ=="), "has the id 68 already"},
      {with("/vocab/256/token_bytes", absl::Base64Escape(std::string(513, 'x'))),
       "it has 513 bytes"},
      {with("/vocab/256", 7), "\"vocab\" is not an array of objects"},
      {with("/vocab", 7), "\"vocab\" is not an array of objects"},
      {with("/special_tokens", 7), "\"special_tokens\": not an array"},
      {with("/special_tokens", json::array({special(3, "<s>")})), "\"rank\" is 3; there are 3"},
      {with("/special_tokens", json::array({special(1, "<s>"), special(1, "</s>")})),
       "the rank 1 comes twice"},
      {with("/special_tokens", json::array({special(1, "<s>"), special(2, "<s>")})), "comes twice"},
      {with("/special_tokens", json::array({special(1, "")})), "it is empty"},
  };
  for (const auto& [text, reason] : kCases) {
    const absl::Status status = LoadTekken(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << reason << ": " << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("/tekken.json"), HasSubstr(reason), Not(HasSubstr("\n"))));
  }
}

TEST(Tekken, CutShortAnywhereIsRefused) {
  const std::string whole = SmallTekken().dump();
  for (size_t size = 0; size < whole.size(); size += 37) {
    EXPECT_FALSE(ParseTekkenFile(whole.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(ParseTekkenFile(absl::StrCat("{\"config\": ", std::string(100000, '['))).ok());
}

}  // namespace
}  // namespace sluice
