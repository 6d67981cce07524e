// Every line of the reference vectors: what Hugging Face's own code and llama.cpp give.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "test_files.h"

namespace sluice {
namespace {

using nlohmann::json;

std::vector<int32_t> IdsOf(const json& array) { return array.get<std::vector<int32_t>>(); }

std::vector<int32_t> EncodeOrFail(const Tokenizer& tokenizer, const std::string& text,
                                  bool special = false) {
  const auto ids = tokenizer.Encode(text, {.add_special_tokens = special});
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.ok() ? *ids : std::vector<int32_t>();
}

std::string Stream(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  StreamDecoder decoder(&tokenizer, /*skip_special=*/false);
  std::string text;
  for (const int32_t id : ids) text += decoder.Push(id);
  return text + decoder.Flush();
}

void CheckVectors(const Tokenizer& tokenizer, const json& vectors) {
  ASSERT_TRUE(vectors.is_array());
  ASSERT_GE(vectors.size(), 90u);
  for (const json& vector : vectors) {
    const std::vector<int32_t> ids = IdsOf(vector["ids"]);
    EXPECT_EQ(EncodeOrFail(tokenizer, vector["text"]), ids) << vector["text"];
    EXPECT_EQ(tokenizer.Decode(ids, false), vector["decoded"]) << vector["text"];
    EXPECT_EQ(Stream(tokenizer, ids), vector["decoded"]) << vector["text"];
  }
}

// Folder in tests/data, file of vectors there.
class HuggingFaceVectors : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(HuggingFaceVectors, AreMatchedInEveryLine) {
  const auto tokenizer = LoadData(absl::StrCat(GetParam().first, "/tokenizer.json"));
  ASSERT_NE(tokenizer, nullptr);
  CheckVectors(*tokenizer,
               ReadDataJson(absl::StrCat("tokenizer-vectors/hf/", GetParam().second, ".json")));
}

INSTANTIATE_TEST_SUITE_P(All, HuggingFaceVectors,
                         testing::Values(std::pair("tokenizers/gpt2", "gpt2"),
                                         std::pair("tokenizers/phi-2", "phi-2"),
                                         std::pair("tokenizers/falcon", "falcon"),
                                         std::pair("tokenizers/phi-3-mini", "phi-3-mini"),
                                         std::pair("tokenizers/mistral-v0.3", "mistral-v0.3"),
                                         std::pair("models/TinyStories-656K", "tinystories-656k")));

// Models whose licence restricts redistribution: their tokenizers are no part of this repository.
class SharedVectors : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(SharedVectors, AreMatchedInEveryLine) {
  const std::string path = absl::StrCat(GetParam().first, "/tokenizer.json");
  const std::string text = ReadShared(path);
  if (text.empty()) GTEST_SKIP() << "no shared/fixtures/" << path << " beside this checkout";
  const auto tokenizer = Tokenizer::FromJson(text, path);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  CheckVectors(
      **tokenizer,
      json::parse(ReadShared(absl::StrCat("tokenizer-vectors/hf/", GetParam().second, ".json"))));
}

INSTANTIATE_TEST_SUITE_P(All, SharedVectors,
                         testing::Values(std::pair("models/tiny-random-llama-hf", "llama2"),
                                         std::pair("tokenizers/llama3", "llama3"),
                                         std::pair("tokenizers/qwen3", "qwen3")));

// The older files: what is special comes from tokenizer_config.json and the class.
std::unique_ptr<Tokenizer> LoadVocabAndMerges(const std::string& name, bool config) {
  const std::string folder = MakeTestFolder("vocab_" + name);
  for (const char* file : {"vocab.json", "merges.txt"}) {
    WriteTestFile(absl::StrCat(folder, "/", file),
                  ReadData(absl::StrCat("tokenizers/", name, "/", file)));
  }
  if (config) {
    WriteTestFile(folder + "/tokenizer_config.json",
                  ReadData(absl::StrCat("tokenizers/", name, "/tokenizer_config.json")));
  }
  auto tokenizer = Tokenizer::Load(folder);
  std::filesystem::remove_all(folder);  // megabytes
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

TEST(VocabAndMerges, GiveQwen3sVectorsWithTheConfigsAddedTokens) {
  const auto tokenizer = LoadVocabAndMerges("qwen3", true);
  ASSERT_NE(tokenizer, nullptr);
  CheckVectors(*tokenizer, ReadDataJson("tokenizer-vectors/hf/qwen3.json"));
  EXPECT_EQ(tokenizer->vocab_size(), 151669);
  EXPECT_TRUE(tokenizer->IsSpecial(151645));
}

TEST(VocabAndMerges, GiveGpt2sVectorsWhereControlTokensAreText) {
  const auto tokenizer = LoadVocabAndMerges("gpt2", false);
  ASSERT_NE(tokenizer, nullptr);
  for (const json& vector : ReadDataJson("tokenizer-vectors/hf/gpt2.json")) {
    // The vectors come from a file without added tokens.
    const auto ids = tokenizer->Encode(vector["text"].get<std::string>(),
                                       {.add_special_tokens = false, .parse_special = false});
    ASSERT_TRUE(ids.ok());
    EXPECT_EQ(*ids, IdsOf(vector["ids"])) << vector["text"];
  }
  EXPECT_EQ(EncodeOrFail(*tokenizer, "a<|endoftext|>"), (std::vector<int32_t>{64, 50256}));
}

TEST(GoldenModels, HaveThePromptIdsOfTransformers) {
  const std::pair<const char*, const char*> kModels[] = {{"bard-6.7M", "bard-6.7m"},
                                                         {"TinyStories-656K", "tinystories-656k"}};
  for (const auto& [folder, golden] : kModels) {
    const auto tokenizer =
        Tokenizer::Load(absl::StrCat(SLUICE_SOURCE_DIR, "/tests/data/models/", folder));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    const json reference = ReadDataJson(absl::StrCat("golden/", golden, ".json"));
    ASSERT_TRUE(reference.is_object());
    for (const json& completion : reference["completions"]) {
      EXPECT_EQ(EncodeOrFail(**tokenizer, completion["prompt"], true),
                IdsOf(completion["prompt_ids"]));
      // The text of a continuation, as it is shown while it is made.
      StreamDecoder decoder(tokenizer->get(), true, IdsOf(completion["prompt_ids"]));
      std::string text;
      for (const int32_t id : IdsOf(completion["greedy_ids"])) text += decoder.Push(id);
      EXPECT_EQ(text + decoder.Flush(), completion["text"]);
    }
  }
}

// transformers.js's and swift-transformers' own tests, where one of our tokenizers fits. They were
// made with clean_up_tokenization_spaces, which takes spaces out of text and is not done here.
bool WasCleanedUp(const std::string& decoded) {
  return decoded.find("to?'d''d of, can't.") != std::string::npos;
}

TEST(OtherProjects, TransformersJsVectorsAreMatched) {
  const json all = ReadDataJson("tokenizer-vectors/hf_transformersjs.json")["tokenizers"];
  const std::pair<const char*, const char*> kFits[] = {{"Xenova/gpt2", "tokenizers/gpt2"},
                                                       {"openai-community/gpt2", "tokenizers/gpt2"},
                                                       {"tiiuae/falcon-7b", "tokenizers/falcon"}};
  for (const auto& [name, path] : kFits) {
    const auto tokenizer = LoadData(absl::StrCat(path, "/tokenizer.json"));
    ASSERT_NE(tokenizer, nullptr);
    for (const json& c : all[name]["cases"]) {
      EXPECT_EQ(EncodeOrFail(*tokenizer, c["text"]), IdsOf(c["ids"])) << c["text"];
      if (WasCleanedUp(c["decoded"])) continue;
      EXPECT_EQ(tokenizer->Decode(IdsOf(c["ids"]), false), c["decoded"]);
    }
  }
}

TEST(OtherProjects, TransformersJsVectorsOfLlamaAreMatched) {
  const std::string text = ReadShared("models/tiny-random-llama-hf/tokenizer.json");
  if (text.empty()) GTEST_SKIP() << "no shared/fixtures beside this checkout";
  const auto tokenizer = Tokenizer::FromJson(text, "llama2");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const json all = ReadDataJson("tokenizer-vectors/hf_transformersjs.json")["tokenizers"];
  for (const json& c : all["Xenova/llama-tokenizer"]["cases"]) {
    EXPECT_EQ(EncodeOrFail(**tokenizer, c["text"], true), IdsOf(c["ids"])) << c["text"];
    EXPECT_EQ((*tokenizer)->Decode(IdsOf(c["ids"]), false), c["decoded"]);
  }
}

TEST(OtherProjects, SwiftTransformersVectorsAreMatched) {
  const json all = ReadDataJson("tokenizer-vectors/swift/tokenizer_tests.json");
  const std::pair<const char*, const char*> kFits[] = {{"distilgpt2", "tokenizers/gpt2"},
                                                       {"tiiuae/falcon-7b", "tokenizers/falcon"}};
  for (const auto& [name, path] : kFits) {
    const auto tokenizer = LoadData(absl::StrCat(path, "/tokenizer.json"));
    ASSERT_NE(tokenizer, nullptr);
    for (const json& c : all[name]) {
      const std::vector<int32_t> ids = IdsOf(c["encoded"]["input_ids"]);
      EXPECT_EQ(EncodeOrFail(*tokenizer, c["input"]), ids) << c["input"];
      if (WasCleanedUp(c["decoded_with_special"])) continue;
      EXPECT_EQ(tokenizer->Decode(ids, false), c["decoded_with_special"]);
      EXPECT_EQ(tokenizer->Decode(ids, true), c["decoded_without_special"]);
    }
    const json longer = ReadDataJson(absl::StrCat(
        "tokenizer-vectors/swift/",
        name == std::string("distilgpt2") ? "gpt2_encoded_tokens" : "falcon_encoded", ".json"));
    EXPECT_EQ(EncodeOrFail(*tokenizer, longer["text"]), IdsOf(longer["token_ids"]));
    EXPECT_EQ(tokenizer->Decode(IdsOf(longer["token_ids"]), false), longer["decoded_text"]);
  }
}

TEST(OtherProjects, LlamaCppsVectorsAreMatched) {
  const std::pair<const char*, const char*> kFits[] = {{"gpt-2", "tokenizers/gpt2"},
                                                       {"falcon", "tokenizers/falcon"},
                                                       {"phi-3", "tokenizers/phi-3-mini"}};
  for (const auto& [name, path] : kFits) {
    const auto tokenizer = LoadData(absl::StrCat(path, "/tokenizer.json"));
    ASSERT_NE(tokenizer, nullptr);
    const std::string in = ReadData(absl::StrCat("tokenizer-vectors/ggml/", name, ".inp"));
    const std::string out = ReadData(absl::StrCat("tokenizer-vectors/ggml/", name, ".out"));
    const std::vector<std::string> texts = absl::StrSplit(in, "\n__ggml_vocab_test__\n");
    const std::vector<std::string> lines = absl::StrSplit(out, '\n');
    ASSERT_GE(texts.size(), 46u);
    ASSERT_GE(lines.size(), texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      std::vector<int32_t> ids;
      std::istringstream numbers(lines[i]);
      for (int32_t id; numbers >> id;) ids.push_back(id);
      EXPECT_EQ(EncodeOrFail(*tokenizer, texts[i]), ids) << name << ": " << texts[i];
    }
  }
}

// What a model that starts before its tokenizer is loaded sets aside for it
// (runtime/open/session.h).
TEST(TokenizerMemory, IsLessThanTwiceItsFile) {
  for (const char* name : {"falcon", "gpt2", "mistral-v0.3", "phi-2", "phi-3-mini"}) {
    const std::string path = std::string("tokenizers/") + name + "/tokenizer.json";
    const auto tokenizer = LoadData(path);
    ASSERT_NE(tokenizer, nullptr);
    EXPECT_LT(tokenizer->MemoryBytes(), 2 * static_cast<int64_t>(ReadData(path).size())) << name;
  }
}

}  // namespace
}  // namespace sluice
