// Malformed and malicious tokenizer files: a one-line error that names file and reason, or a
// tokenizer that works; never a crash, never without bound.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "runtime/text/tokenizer/tokenizer_file.h"
#include "test_files.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kSmall[] = R"({
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [
    {"id": 9, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": true,
     "normalized": false, "special": true},
    {"id": 10, "content": "AB", "single_word": true, "lstrip": true, "rstrip": false,
     "normalized": true, "special": false}],
  "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "\\s+|\\p{L}+"}, "behavior": "Isolated",
     "invert": false},
    {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [9], "tokens": ["<s>"]}}},
  "decoder": {"type": "Sequence", "decoders": [{"type": "ByteLevel"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 1}]},
  "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
    "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
    "vocab": {"<unk>": 0, "a": 1, "b": 2, "c": 3, "ab": 4, "abc": 5, "\u0120": 6, "\u0120a": 7,
              "<0x41>": 8},
    "merges": ["a b", ["ab", "c"], "\u0120 a"]}
})";

absl::Status Try(const std::string& text) {
  const auto tokenizer = Tokenizer::FromJson(text, "hostile.json");
  if (!tokenizer.ok()) return tokenizer.status();
  const auto ids = (*tokenizer)
                       ->Encode(
                           "ab  abc<s> AB \xE2\x82\xAC\xFF"
                           "123");
  if (ids.ok()) (*tokenizer)->Decode(*ids, false);
  (*tokenizer)->Decode({-1, 0, 5, 100, INT32_MAX, INT32_MIN}, true);
  return ids.status();
}

TEST(Hostile, TheUnchangedFileWorks) {
  const auto tokenizer = Tokenizer::FromJson(kSmall, "small");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT(*(*tokenizer)->Encode("ab  abc<s>  AB"), testing::ElementsAre(9, 4, 6, 5, 9, 10));
}

TEST(Hostile, WhatIsWrongIsNamed) {
  const struct {
    const char* from;
    const char* to;
    const char* named;
  } kCases[] = {
      {"\"BPE\"", "\"WordPiece\"", "WordPiece"},
      {"\"BPE\"", "\"Unigram\"", "Unigram"},
      {"\"NFC\"", "\"Precompiled\"", "normalizer: the type \"Precompiled\""},
      {"\"type\": \"ByteLevel\", \"add_prefix_space\"", "\"type\": \"Huh\", \"add_prefix_space\"",
       "pre_tokenizer: the type \"Huh\""},
      {"\"Fuse\"", "\"CTC\"", "decoder: the type \"CTC\""},
      {"TemplateProcessing", "Other", "post_processor: the type \"Other\""},
      {"\"Isolated\"", "\"Isolatd\"", "Isolatd"},
      {"\"invert\"", "\"inverted\"", "inverted"},
      {"\"version\"", "\"verzion\"", "verzion"},
      {"\"dropout\": null", "\"dropout\": 0.5", "dropout"},
      {"\"dropout\": null", "\"surprise\": 1", "surprise"},
      {"\"1.0\"", "\"2.0\"", "2.0"},
      {"\"abc\": 5", "\"abc\": -5", "ids are 0"},
      {"\"abc\": 5", "\"abc\": 99999999999999999999", "abc"},
      {"\"abc\": 5", "\"abc\": 16000000", "gaps"},
      {"\"abc\": 5", "\"abc\": 1.5", "expected an integer"},
      {"\"abc\": 5", "\"abc\": [5]", "expected an integer"},
      {"\"abc\": 5", "\"abc\": 4", "belongs to \"ab\""},
      {"\"abc\": 5", "\"ab\": 5", "has the id 4 already"},
      {"\"a b\"", "\"a b c\"", "merge 0"},
      {"\"a b\"", "\" b\"", "empty"},
      {"\"a b\"", "\"a z\"", "not a token"},
      {"\"a b\"", "\"b a\"", "result is not a token"},
      {"[\"ab\", \"c\"]", "[\"ab\"]", "merge 1"},
      {"[\"ab\", \"c\"]", "[\"ab\", \"c\", \"c\"]", "merge 1"},
      {"[\"ab\", \"c\"]", "7", "merge 1"},
      {"\"<unk>\", \"con", "\"nope\", \"con", "unk_token"},
      {"\\\\s+|", "(", "parenthes"},
      {"\\\\s+|", "[a&&b]|", "&& in a class"},
      {"\"id\": 9, ", "\"id\": 5, ", "another token's"},
      {"\"id\": 9, ", "\"id\": -1, ", "ids are 0"},
      {"\"id\": 9, ", "\"id\": 10, ", "twice"},
      {"\"content\": \"AB\"", "\"content\": \"\"", "empty"},
      {"\"ids\": [9]", "\"ids\": [11]", "no token"},
      {"\"ids\": [9]", "\"ids\": [\"x\"]", "not an integer"},
      {"\"version\": \"1.0\"", "\"version\": \"1.0\", \"version\": \"1.0\"", "twice"},
      {"\"truncation\": null", "\"model\": {}", "twice"},
      {"\"start\": 1", "\"start\": -1", "start"},
  };
  for (const auto& c : kCases) {
    ASSERT_THAT(kSmall, HasSubstr(c.from));
    const std::string text = absl::StrReplaceAll(kSmall, {{c.from, c.to}});
    const absl::Status status = Try(text);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << c.to << ": " << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("hostile.json: "), HasSubstr(c.named), Not(HasSubstr("\n"))))
        << c.to;
  }
}

TEST(Hostile, DeepNestingIsRefused) {
  std::string deep = "{\"normalizer\": ";
  for (int i = 0; i < 100000; ++i) deep += "[";
  EXPECT_THAT(std::string(Try(deep).message()), HasSubstr("nested deeper"));
}

TEST(Hostile, CatastrophicPatternsEndWithAnError) {
  const std::string text = absl::StrReplaceAll(kSmall, {{"\\\\s+|\\\\p{L}+", "(a|aa)+$"}});
  const auto tokenizer = Tokenizer::FromJson(text, "slow");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto ids = (*tokenizer)->Encode(std::string(60, 'a') + "c");
  EXPECT_TRUE(absl::IsResourceExhausted(ids.status())) << ids.status();
}

TEST(Hostile, NormalizersThatDoubleTheTextEndWithAnError) {
  std::string steps;
  for (int i = 0; i < 60; ++i) {
    absl::StrAppend(&steps,
                    R"(, {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"})");
  }
  const std::string text =
      absl::StrReplaceAll(kSmall, {{"{\"type\": \"NFC\"}", "{\"type\": \"NFC\"}" + steps}});
  EXPECT_TRUE(absl::IsResourceExhausted(Try(text))) << Try(text);
}

TEST(Hostile, EveryTruncationIsRefused) {
  const std::string text = kSmall;
  for (size_t size = 0; size + 1 < text.size(); ++size) {
    EXPECT_FALSE(Try(text.substr(0, size)).ok()) << size;
  }
}

TEST(Hostile, MutationsNeverCrash) {
  std::mt19937 random(20240607);  // fixed: a failure can be repeated
  const std::string original = kSmall;
  const char* const kPieces[] = {"null",
                                 "[]",
                                 "{}",
                                 "-1",
                                 "1e99",
                                 "\"\"",
                                 "\"ab\"",
                                 "true",
                                 "4294967296",
                                 "\\u0000",
                                 "\xFF",
                                 "(",
                                 "{\"type\": \"Sequence\"}"};
  int loaded = 0;
  for (int i = 0; i < 600; ++i) {
    std::string text = original;
    for (uint32_t n = random() % 3 + 1; n > 0; --n) {
      const size_t at = random() % text.size();
      const size_t length = random() % 12;
      switch (random() % 4) {
        case 0:
          text[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          text.erase(at, length);
          break;
        case 2:
          text.insert(at, kPieces[random() % std::size(kPieces)]);
          break;
        case 3:
          text.insert(at, text.substr(random() % text.size(), length));
          break;
      }
    }
    const absl::Status status = Try(text);
    loaded += status.ok();
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n")));
  }
  EXPECT_GT(loaded, 5);  // else the mutations test nothing but the JSON reader
}

TEST(Hostile, AFolderWithoutTokenizerIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(Tokenizer::Load(MakeTestFolder("empty")).status()));
  EXPECT_TRUE(absl::IsNotFound(Tokenizer::Load("/no/such/folder").status()));
}

TEST(Hostile, HalfATokenizerIsRefusedByTheNameOfTheOtherHalf) {
  for (const auto& [there, missing] :
       {std::pair{"vocab.json", "merges.txt"}, {"merges.txt", "vocab.json"}}) {
    const std::string folder = MakeTestFolder(there);
    WriteTestFile(absl::StrCat(folder, "/", there), "{}");
    const absl::Status status = Tokenizer::Load(folder).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat(folder, "/", missing)));
  }
}

TEST(Hostile, AGitLfsPointerIsNamedWhateverFileItStandsFor) {
  constexpr char kPointer[] =
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "tokenizer.model",
                           "vocab.json", "merges.txt", "tekken.json"}) {
    const std::string folder = MakeTestFolder("lfs");
    if (name == std::string("tokenizer_config.json"))
      WriteTestFile(folder + "/tokenizer.json", kSmall);
    WriteTestFile(folder + "/tekken.json", "{}");
    if (name == std::string("vocab.json") || name == std::string("merges.txt")) {
      WriteTestFile(folder + "/vocab.json", R"({"a": 0})");
      WriteTestFile(folder + "/merges.txt", "");
    }
    WriteTestFile(absl::StrCat(folder, "/", name), kPointer);
    EXPECT_THAT(std::string(Tokenizer::Load(folder).status().message()),
                testing::StartsWith(absl::StrCat(
                    folder, "/", name,
                    " is a Git LFS pointer, not the file; fetch the file with `git lfs pull`")));
  }
}

TEST(Hostile, AFileOfAnotherProgramIsNamed) {
  for (const char* name : {"spiece.model", "qwen.tiktoken", "tokenizer.model.v3"}) {
    const std::string folder = MakeTestFolder("foreign");
    WriteTestFile(absl::StrCat(folder, "/", name), "x");
    const absl::Status status = Tokenizer::Load(folder).status();
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(folder), HasSubstr(name)));
  }
}

TEST(Hostile, ErrorsNameTheFile) {
  const std::string folder = MakeTestFolder("broken");
  WriteTestFile(folder + "/tokenizer.json", "{\"model\": {\"type\": \"BPE\", ");
  EXPECT_THAT(std::string(Tokenizer::Load(folder).status().message()),
              AllOf(HasSubstr(folder + "/tokenizer.json"), HasSubstr("byte")));
  WriteTestFile(folder + "/tokenizer.json", kSmall);
  EXPECT_TRUE(Tokenizer::Load(folder).ok());
  WriteTestFile(folder + "/tokenizer_config.json", "[1]");
  EXPECT_THAT(std::string(Tokenizer::Load(folder).status().message()),
              HasSubstr("tokenizer_config.json"));
}

}  // namespace
}  // namespace sluice
