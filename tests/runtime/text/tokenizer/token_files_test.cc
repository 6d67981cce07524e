// Tokens that tokenizer_config.json, special_tokens_map.json and added_tokens.json add: against
// transformers.
#include "runtime/text/tokenizer/token_files.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test_files.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Writes the files of a case into an empty folder.
std::string WriteCase(const json& all, const json& c) {
  const std::string folder = MakeTestFolder("token_files");
  WriteTestFile(folder + "/tokenizer.json",
                all["tokenizers"][c["tokenizer"].get<std::string>()].dump());
  for (const auto& [name, text] : c["files"].items()) {
    WriteTestFile(absl::StrCat(folder, "/", name), text.get<std::string>());
  }
  return folder;
}

// The tokenizers library leaves a token out of text for good once it was special, although a file
// takes that back, and never does where its text is normalized to another one. Such files exist in
// random cases alone.
bool LosesTheFlag(const json& c) {
  return c["name"] == "decoder changes flags" || c["name"] == "added_tokens.json with objects" ||
         c["name"].get<std::string>().rfind("random", 0) == 0;
}

TEST(TokenFiles, AreTakenAsTransformersTakesThem) {
  const json all = ReadDataJson("token-files/cases.json");
  ASSERT_GE(all["cases"].size(), 400u);
  for (const json& c : all["cases"]) {
    SCOPED_TRACE(c["name"].get<std::string>() + ": " + c["files"].dump());
    const auto tokenizer = Tokenizer::Load(WriteCase(all, c));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    for (size_t i = 0; i < c["texts"].size(); ++i) {
      const std::string text = c["texts"][i];
      const auto ids = (*tokenizer)->Encode(text, {.add_special_tokens = false});
      ASSERT_TRUE(ids.ok()) << ids.status();
      EXPECT_EQ(*ids, c["ids"][i].get<std::vector<int32_t>>()) << text;
      if (LosesTheFlag(c)) continue;
      EXPECT_EQ((*tokenizer)->Decode(*ids, /*skip_special=*/true),
                c["skipped"][i].get<std::string>())
          << text;
    }
    for (const json& token : c["added"]) {
      EXPECT_EQ((*tokenizer)->Token(token[0]), token[1].get<std::string>());
      EXPECT_EQ((*tokenizer)->IsSpecial(token[0]), token[2].get<bool>()) << token;
    }
  }
}

// What templates see.
TEST(TokenFiles, NameTheTokensThatTransformersNames) {
  const json all = ReadDataJson("token-files/cases.json");
  for (const json& c : all["cases"]) {
    SCOPED_TRACE(c["name"].get<std::string>() + ": " + c["files"].dump());
    const auto files = ReadTokenFiles([&](const std::string& file) {
      std::optional<std::string> text;
      if (c["files"].contains(file)) text = c["files"][file].get<std::string>();
      return std::pair(file, text);
    });
    ASSERT_TRUE(files.ok()) << files.status();
    const auto named = FindNamedTokens(*files);
    ASSERT_TRUE(named.ok()) << named.status();
    EXPECT_EQ((std::map<std::string, std::string>(named->by_name.begin(), named->by_name.end())),
              (c["named"].get<std::map<std::string, std::string>>()));
  }
}

// A folder with a tokenizer of 256 bytes, <s> with id 256 and </s>, and `files`.
std::string FolderWith(const std::map<std::string, std::string>& files) {
  static const json plain = ReadDataJson("token-files/cases.json")["tokenizers"]["plain"];
  const std::string folder = MakeTestFolder("token_files");
  WriteTestFile(folder + "/tokenizer.json", plain.dump());
  for (const auto& [name, text] : files) WriteTestFile(absl::StrCat(folder, "/", name), text);
  return folder;
}

// transformers refuses these with a fault of types; other programs write them, and what they mean
// is plain.
TEST(TokenFiles, ObjectsWithoutATypeAreTokensToo) {
  for (
      const auto& [name, text] : std::map<std::string, std::string>{
          {"tokenizer_config.json", R"({"eos_token": {"content": "<new>", "special": true}})"},
          {"tokenizer_config.json",
           R"({"extra_special_tokens": [{"content": "<new>", "special": true}]})"},
          {"tokenizer_config.json",
           R"({"added_tokens_decoder": {"261": {"__type": "AddedToken", "content": "<new>", "special": true}}})"},
          {"special_tokens_map.json",
           R"({"extra_special_tokens": [{"content": "<new>", "special": true}]})"},
          {"special_tokens_map.json",
           R"({"additional_special_tokens": [{"content": "<new>"}]})"}}) {
    const auto tokenizer = Tokenizer::Load(FolderWith({{name, text}}));
    ASSERT_TRUE(tokenizer.ok()) << text << tokenizer.status();
    EXPECT_THAT(*(*tokenizer)->Encode("a<new>"), ElementsAre(97, 261)) << text;
    EXPECT_TRUE((*tokenizer)->IsSpecial(261)) << text;
    EXPECT_EQ((*(*tokenizer)->TokenBytes())[261], "") << "a grammar could write it";
  }
}

TEST(TokenFiles, WhatIsNoTokenIsNamedWithItsFile) {
  const std::tuple<const char*, std::string, const char*> kWrong[] = {
      {"tokenizer_config.json", R"({"eos_token": 7})",
       "tokenizer_config.json: \"eos_token\" is not a token"},
      {"tokenizer_config.json", R"({"eos_token": {"text": "x"}})",
       "\"eos_token\" is not a token: \"content\""},
      {"tokenizer_config.json", R"({"additional_special_tokens": ["<a>", 7]})",
       "member 1 of \"additional_special_tokens\""},
      {"tokenizer_config.json", R"({"additional_special_tokens": "<a>"})",
       "\"additional_special_tokens\""},
      {"tokenizer_config.json", R"({"extra_special_tokens": {"boi": []}})",
       "\"boi\" in \"extra_special_tokens\""},
      {"tokenizer_config.json", R"({"model_specific_special_tokens": ["<a>"]})", "not an object"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": []})",
       "\"added_tokens_decoder\" is not an object"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "<a>"}}})",
       "\"x\" in"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"261": "<a>"}})", "\"261\" in"},
      {"tokenizer_config.json",
       R"({"added_tokens_decoder": {"261": {"content": "<a>", "lstrip": 1}}})", "\"lstrip\""},
      {"tokenizer_config.json", "[]", "tokenizer_config.json: not an object"},
      {"tokenizer_config.json", R"({"pad_token": ")" + std::string(5000, 'x') + "\"}",
       "5000 bytes; at most 4096"},
      {"added_tokens.json", R"({"<a>": "261"})", "added_tokens.json: \"<a>\" is not a token"},
      {"added_tokens.json", "{", "added_tokens.json: not valid JSON"},
      {"special_tokens_map.json", R"({"bos_token": [1]})",
       "special_tokens_map.json: \"bos_token\""},
      {"special_tokens_map.json", "7", "special_tokens_map.json: not an object"}};
  for (const auto& [name, text, message] : kWrong) {
    const absl::Status status = Tokenizer::Load(FolderWith({{name, text}})).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text.substr(0, 100);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
}

TEST(TokenFiles, ATokenThatWouldGetAnotherTokensIdIsRefused) {
  json tokenizer = ReadDataJson("token-files/cases.json")["tokenizers"]["none_added"];
  tokenizer["model"]["vocab"]["hole"] = 257;  // 257 tokens, so that 257 is the next id
  const std::string folder = MakeTestFolder("token_files");
  WriteTestFile(folder + "/tokenizer.json", tokenizer.dump());
  WriteTestFile(folder + "/tokenizer_config.json", R"({"eos_token": "<new>"})");
  const absl::Status status = Tokenizer::Load(folder).status();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("tokenizer_config.json: the token \"<new>\" cannot be added"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("257"));
}

TEST(TokenFiles, ManyTokensTakeLittleTime) {
  json config = {{"additional_special_tokens", json::array()}};
  for (int i = 0; i < 5'000; ++i) {
    config["additional_special_tokens"].push_back(absl::StrCat("<", i, ">"));
    config[absl::StrCat(i, "_token")] = absl::StrCat("<n", i, ">");
  }
  const auto tokenizer = Tokenizer::Load(FolderWith({{"tokenizer_config.json", config.dump()}}));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocab_size(), 261 + 10'000);
}

}  // namespace
}  // namespace sluice
