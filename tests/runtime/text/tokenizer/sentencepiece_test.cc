// SentencePiece's model files: SentencePiece's ids in every line, and a reason where a file is
// refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/text/tokenizer/sentencepiece_file.h"
#include "test_files.h"

namespace sluice {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Ids = std::vector<int32_t>;

// A folder with this tokenizer.model, and a tokenizer_config.json unless `config` is empty.
std::string FolderWithModel(const std::string& model, const std::string& config) {
  const std::string folder = MakeTestFolder("sentencepiece");
  WriteTestFile(folder + "/tokenizer.model", model);
  if (!config.empty()) WriteTestFile(folder + "/tokenizer_config.json", config);
  return folder;
}

std::unique_ptr<Tokenizer> LoadModel(const std::string& model, const std::string& config = "") {
  auto tokenizer = Tokenizer::Load(FolderWithModel(model, config));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

Ids EncodeModel(const Tokenizer& tokenizer, const std::string& text, EncodeOptions options = {}) {
  const auto ids = tokenizer.Encode(text, options);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.ok() ? *ids : Ids();
}

std::string NamedModel(absl::string_view name) {
  return ReadData(absl::StrCat("tokenizers/sentencepiece/", name, ".model"));
}

class SentencePieceVectors : public testing::TestWithParam<const char*> {};

TEST_P(SentencePieceVectors, AreMatchedInEveryLine) {
  const auto tokenizer = LoadModel(NamedModel(GetParam()));
  ASSERT_NE(tokenizer, nullptr);
  const json vectors =
      ReadDataJson(absl::StrCat("tokenizer-vectors/sentencepiece/", GetParam(), ".json"));
  ASSERT_GE(vectors.size(), 200u);
  for (const json& vector : vectors) {
    const Ids ids = vector["ids"].get<Ids>();
    // SentencePiece has no control tokens in text.
    EXPECT_EQ(EncodeModel(*tokenizer, vector["text"],
                          {.add_special_tokens = false, .parse_special = false}),
              ids)
        << vector["text"];
    if (vector["decoded"].is_null()) continue;
    EXPECT_EQ(tokenizer->Decode(ids, false), vector["decoded"]) << vector["text"];
    StreamDecoder decoder(tokenizer.get(), false);
    std::string streamed;
    for (const int32_t id : ids) streamed += decoder.Push(id);
    EXPECT_EQ(streamed + decoder.Flush(), vector["decoded"]) << vector["text"];
  }
}

INSTANTIATE_TEST_SUITE_P(All, SentencePieceVectors,
                         testing::Values("llama", "nmt_nfkc", "no_prefix", "edited",
                                         "edited_bytes"));

TEST(SentencePieceModel, OfLlama2GivesTransformersIds) {
  const std::string model = ReadShared("tokenizers/llama2/tokenizer.model");
  if (model.empty())
    GTEST_SKIP() << "no shared/fixtures/tokenizers/llama2/tokenizer.model beside this checkout";
  const auto tokenizer = LoadModel(model, ReadShared("tokenizers/llama2/tokenizer_config.json"));
  ASSERT_NE(tokenizer, nullptr);
  const json vectors = json::parse(ReadShared("tokenizer-vectors/hf/llama2.json"));
  ASSERT_GE(vectors.size(), 90u);
  for (const json& vector : vectors) {
    const std::string text = vector["text"];
    // The vectors' own file looks for control tokens in normalized text.
    if (absl::StrContains(text, "<s>") || absl::StrContains(text, "<unk>")) continue;
    EXPECT_EQ(EncodeModel(*tokenizer, text, {.add_special_tokens = false}),
              vector["ids"].get<Ids>())
        << vector["text"];
    EXPECT_EQ(tokenizer->Decode(vector["ids"].get<Ids>(), false), vector["decoded"])
        << vector["text"];
  }
  EXPECT_EQ(EncodeModel(*tokenizer, "Hello world"), (Ids{1, 15043, 3186}));
}

TEST(SentencePieceModel, PutsBosFirstUnlessTheConfigSaysOtherwise) {
  const std::string model = NamedModel("llama");
  const Ids plain = EncodeModel(*LoadModel(model), "the", {.add_special_tokens = false});
  const auto with = [&](Ids before, Ids after) {
    before.insert(before.end(), plain.begin(), plain.end());
    before.insert(before.end(), after.begin(), after.end());
    return before;
  };
  EXPECT_EQ(EncodeModel(*LoadModel(model), "the"), with({1}, {}));
  EXPECT_EQ(EncodeModel(*LoadModel(model, "{}"), "the"), with({1}, {}));
  EXPECT_EQ(EncodeModel(*LoadModel(model, R"({"add_bos_token": false})"), "the"), plain);
  EXPECT_EQ(EncodeModel(*LoadModel(model, R"({"bos_token": null})"), "the"), plain);
  EXPECT_EQ(EncodeModel(*LoadModel(model, R"({"add_eos_token": true})"), "the"), with({1}, {2}));
  EXPECT_EQ(EncodeModel(*LoadModel(model, R"({"bos_token": {"content": "</s>"}})"), "the"),
            with({2}, {}));
}

TEST(SentencePieceModel, KnowsControlTokensWhereTheyAreParsed) {
  const std::string model = NamedModel("llama");
  const auto legacy = LoadModel(model);
  const auto modern = LoadModel(model, R"({"legacy": false})");
  const Ids space_a = EncodeModel(*legacy, "a", {.add_special_tokens = false});
  const Ids a = EncodeModel(*LoadModel(model, R"({"add_prefix_space": false})"), "a",
                            {.add_special_tokens = false});
  ASSERT_NE(a, space_a);
  const auto joined = [](const Ids& first, int32_t id, const Ids& last) {
    Ids all = first;
    all.push_back(id);
    all.insert(all.end(), last.begin(), last.end());
    return all;
  };
  // A text after a control token gets a space of its own, unless "legacy" is false.
  EXPECT_EQ(EncodeModel(*legacy, "a</s>a", {.add_special_tokens = false}),
            joined(space_a, 2, space_a));
  EXPECT_EQ(EncodeModel(*modern, "a</s>a", {.add_special_tokens = false}), joined(space_a, 2, a));
  EXPECT_EQ(EncodeModel(*modern, "</s>a", {.add_special_tokens = false}), joined({}, 2, a));
  EXPECT_GT(
      EncodeModel(*legacy, "a</s>a", {.add_special_tokens = false, .parse_special = false}).size(),
      5u);
  EXPECT_TRUE(legacy->IsSpecial(0) && legacy->IsSpecial(1) && legacy->IsSpecial(2));
  EXPECT_FALSE(legacy->IsSpecial(*legacy->TokenId("<x>"))) << "a user-defined piece is text";
  EXPECT_EQ(legacy->Decode({1, space_a.back(), 2}, true), "a");
}

TEST(SentencePieceModel, ComesBehindTokenizerJsonAndBeforeTekken) {
  const std::string folder = FolderWithModel(NamedModel("llama"), "");
  WriteTestFile(folder + "/tekken.json", "no JSON");
  WriteTestFile(folder + "/vocab.json", "no JSON");
  EXPECT_EQ((*Tokenizer::Load(folder))->TokenId("<x>"), 3);
  WriteTestFile(folder + "/merges.txt", "");
  EXPECT_EQ((*Tokenizer::Load(folder))->TokenId("<x>"), 3) << "no class asks for vocab.json";
  WriteTestFile(folder + "/tokenizer_config.json", R"({"tokenizer_class": "GPT2TokenizerFast"})");
  EXPECT_THAT(std::string(Tokenizer::Load(folder).status().message()), HasSubstr("vocab.json"));
  WriteTestFile(folder + "/tokenizer.json", R"({"model": {"vocab": {"x": 0}, "merges": []}})");
  EXPECT_EQ((*Tokenizer::Load(folder))->TokenId("x"), 0);
}

// The wire format of a model file.
std::string Field(int number, const std::string& bytes) {
  EXPECT_LT(bytes.size(), 128u);
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}

std::string Number(int number, int value) {
  std::string key{static_cast<char>((number << 3 & 0x7F) | (number > 15 ? 0x80 : 0))};
  if (number > 15) key.push_back(static_cast<char>(number >> 4));
  return key + static_cast<char>(value);
}

std::string Piece(const std::string& text, int type, float score = 0) {
  std::string bytes(4, '\0');
  memcpy(bytes.data(), &score, 4);
  return Field(1, Field(1, text) + "\x15" + bytes + Number(3, type));
}

std::string Bpe(const std::string& rest) { return rest + Field(2, Number(3, 2)); }

absl::Status StatusOf(const std::string& model) {
  return Tokenizer::Load(FolderWithModel(model, "")).status();
}

TEST(SentencePieceModel, OfFewPiecesLoads) {
  EXPECT_TRUE(StatusOf(Bpe(Piece("<unk>", 2) + Piece("a", 1))).ok());
}

TEST(SentencePieceModel, IsRefusedWithAReason) {
  const std::string unk = Piece("<unk>", 2);
  const std::string whole = NamedModel("llama");
  const std::pair<std::string, const char*> kCases[] = {
      {"not really", "not a SentencePiece model"},
      {"", "the file is empty"},
      {std::string(100, '\0'), "not a SentencePiece model"},
      {"<!DOCTYPE html><html></html>", "not a SentencePiece model"},
      {"{\"error\": \"not found\"}", "not a SentencePiece model"},
      {"IQ== 0\nIg== 1\n", "tiktoken vocabulary"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "Git LFS pointer"},
      {whole.substr(0, whole.size() / 2), "bytes are left; download the file again"},
      {whole.substr(0, 1), "the file ends inside a number"},
      {NamedModel("unigram"), "of the type Unigram"},
      {NamedModel("word"), "of the type WORD"},
      {NamedModel("char"), "of the type CHAR"},
      {unk + Piece("a", 1), "of the type Unigram"},
      {unk + Field(2, Number(3, 9)), "of the type unknown (9)"},
      {Bpe(""), "no pieces"},
      {Bpe(Piece("a", 1)), "no unknown piece"},
      {Bpe(unk + Piece("u", 2)), "piece 1 (\"u\") is the unknown piece, but piece 0 is, too"},
      {Bpe(unk + Piece("", 1)), "piece 1 (\"\") is empty"},
      {Bpe(unk + Piece("\xFF", 1)), "is not UTF-8"},
      {Bpe(unk + Piece("a", 7)), "is of the type 7"},
      {Bpe(unk + Piece("a", 1, NAN)), "score that is not finite"},
      {Bpe(unk + Piece("a", 1) + Piece("a", 1)), "has the id 1 already"},
      {Bpe(unk + Piece("<0x00>", 6)), "byte_fallback is false"},
      {unk + Piece("<0x0a>", 6) + Field(2, Number(3, 2) + Number(35, 1)), "not of the form <0xNN>"},
      {unk + Piece("<0x0A>", 6) + Field(2, Number(3, 2) + Number(35, 1)),
       "pieces for 1 of 256 bytes"},
      {unk + Field(2, Number(3, 2) + Number(24, 1)), "treat_whitespace_as_suffix"},
      {Bpe(unk + Field(3, Field(2, "xxx"))), "precompiled_charsmap of 3 bytes is damaged"},
      {Bpe(unk + Field(3, Field(2, std::string("\xFF\0\0\0xxxx", 8)))),
       "precompiled_charsmap of 8 bytes is damaged"},
      {Bpe(unk + Field(5, Field(2, "xxx"))), "denormalizer"},
      {Bpe(unk + Number(1, 1)), "field 1 is of another type"},
  };
  for (const auto& [model, reason] : kCases) {
    const absl::Status status = StatusOf(model);
    EXPECT_TRUE(absl::IsInvalidArgument(status) || absl::IsUnimplemented(status))
        << reason << ": " << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("/tokenizer.model"), HasSubstr(reason), Not(HasSubstr("\n"))));
  }
}

TEST(SentencePieceModel, ThatCannotBeReadIsNamed) {
  const std::string folder = MakeTestFolder("sentencepiece_folder");
  std::filesystem::create_directory(folder + "/tokenizer.model");
  EXPECT_THAT(std::string(Tokenizer::Load(folder).status().message()),
              HasSubstr("/tokenizer.model"));
}

// Each ends with an error or with a tokenizer that works.
TEST(SentencePieceModel, DamagedAnywhereNeverCrashes) {
  std::mt19937 random(20240608);
  int loaded = 0;
  // The table of the normalizer stands at the end.
  for (const char* name : {"edited", "edited_bytes", "nmt_nfkc"}) {
    const std::string original = NamedModel(name);
    for (int i = 0; i < 60; ++i) {
      std::string model = original;
      for (uint32_t n = random() % 3 + 1; n > 0; --n) {
        const size_t at =
            random() % 4 == 0 ? model.size() - 1 - random() % 300 : random() % model.size();
        if (random() % 4 == 0) {
          model.erase(at, random() % 8);
        } else {
          model[at] = static_cast<char>(random() % 256);
        }
      }
      const auto file = ParseSentencePieceFile(model, json::object());
      loaded += file.ok();
      EXPECT_THAT(std::string(file.status().message()), Not(HasSubstr("\n")));
      if (i % 20 != 0) continue;
      const auto tokenizer = Tokenizer::Load(FolderWithModel(model, ""));
      if (!tokenizer.ok()) continue;
      for (const char* text : {"the \u2460\ufb01 e\u0301 <x>", "  a  \xFF b\u3000"}) {
        const auto ids = (*tokenizer)->Encode(text);
        if (ids.ok()) (*tokenizer)->Decode(*ids, false);
      }
    }
  }
  EXPECT_GT(loaded, 20);
}

}  // namespace
}  // namespace sluice
