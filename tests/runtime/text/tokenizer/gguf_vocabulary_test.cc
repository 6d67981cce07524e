// llama.cpp's tokenizer suite: vocabularies of GGUF files give its ids in every line.
#include <gtest/gtest.h>

#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "storage/source/gguf_tokenizer.h"
#include "test_files.h"
#include "tests/support/gguf_writer.h"

namespace sluice {
namespace {

using nlohmann::json;

absl::StatusOr<std::vector<GgufTokenizerFile>> FilesOf(const std::string& gguf) {
  const auto file = GgufFile::Parse(gguf, static_cast<int64_t>(gguf.size()), "x.gguf");
  if (!file.ok()) return file.status();
  return GgufTokenizerFiles(*file);
}

std::string TextOf(const std::vector<GgufTokenizerFile>& files, absl::string_view name) {
  for (const GgufTokenizerFile& file : files) {
    if (file.name == name) return file.text;
  }
  return "";
}

std::unique_ptr<Tokenizer> LoadGguf(const std::string& gguf) {
  const auto files = FilesOf(gguf);
  EXPECT_TRUE(files.ok()) << files.status();
  if (!files.ok()) return nullptr;
  auto tokenizer = Tokenizer::FromJson(TextOf(*files, "tokenizer.json"), "gguf");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

// Texts of `in`, with the ids of `out`, which have no bos or eos.
void CheckVectors(const Tokenizer& tokenizer, const std::string& in, const std::string& out) {
  const std::vector<std::string> texts = absl::StrSplit(in, "\n__ggml_vocab_test__\n");
  const std::vector<std::string> lines = absl::StrSplit(out, '\n');
  ASSERT_GE(texts.size(), 46u);
  ASSERT_GE(lines.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    std::vector<int32_t> ids;
    std::istringstream numbers(lines[i]);
    for (int32_t id; numbers >> id;) ids.push_back(id);
    for (const bool parse_special : {false, true}) {  // no text has a special token in it
      const auto got =
          tokenizer.Encode(texts[i], {.add_special_tokens = false, .parse_special = parse_special});
      ASSERT_TRUE(got.ok()) << got.status();
      EXPECT_EQ(*got, ids) << texts[i];
    }
  }
}

TEST(GgufVocabulary, GivesLlamaCppsIdsOfThoseThatAreCheckedIn) {
  for (const char* name : {"gpt-2", "phi-3"}) {
    const auto tokenizer = LoadGguf(ReadData(absl::StrCat("ggml-vocab/", name, ".gguf")));
    ASSERT_NE(tokenizer, nullptr) << name;
    CheckVectors(*tokenizer, ReadData(absl::StrCat("tokenizer-vectors/ggml/", name, ".inp")),
                 ReadData(absl::StrCat("tokenizer-vectors/ggml/", name, ".out")));
  }
}

// The rest, some of whose licences restrict redistribution.
class SharedVocabulary : public testing::TestWithParam<const char*> {};

TEST_P(SharedVocabulary, GivesLlamaCppsIds) {
  const std::string path = absl::StrCat("ggml-vocab/ggml-vocab-", GetParam(), ".gguf");
  const std::string gguf = ReadShared(path);
  if (gguf.empty()) GTEST_SKIP() << "no shared/fixtures/" << path << " beside this checkout";
  const auto tokenizer = LoadGguf(gguf);
  ASSERT_NE(tokenizer, nullptr);
  CheckVectors(*tokenizer, ReadShared(path + ".inp"), ReadShared(path + ".out"));
}

INSTANTIATE_TEST_SUITE_P(All, SharedVocabulary,
                         testing::Values("llama-spm", "phi-3", "gpt-2", "mpt", "falcon", "refact",
                                         "starcoder", "deepseek-coder", "deepseek-llm"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

// Vectors without a vocabulary in GGUF form, on the tokenizer.json that fits them.
TEST(LlamaCppVectors, FitLlama3AndQwen3) {
  const std::pair<const char*, const char*> kFits[] = {{"llama-bpe", "llama3"}, {"qwen2", "qwen3"}};
  for (const auto& [vectors, name] : kFits) {
    const std::string path = absl::StrCat("tokenizers/", name, "/tokenizer.json");
    const std::string text = ReadShared(path);
    if (text.empty()) GTEST_SKIP() << "no shared/fixtures/" << path << " beside this checkout";
    const auto tokenizer = Tokenizer::FromJson(text, path);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    const std::string in = absl::StrCat("ggml-vocab/ggml-vocab-", vectors, ".gguf");
    CheckVectors(**tokenizer, ReadShared(in + ".inp"), ReadShared(in + ".out"));
  }
}

TEST(GgufVocabulary, OfBertIsRefusedByName) {
  const std::string gguf = ReadShared("ggml-vocab/ggml-vocab-bert-bge.gguf");
  if (gguf.empty())
    GTEST_SKIP() << "no shared/fixtures/ggml-vocab/ggml-vocab-bert-bge.gguf beside this checkout";
  const absl::Status status = FilesOf(gguf).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(status.message().find("\"bert\" (WordPiece)"), absl::string_view::npos) << status;
}

// Scores prefer ab to aa, and dc to cd.
GgufWriter SmallSentencePiece(bool ids = true) {
  GgufWriter writer;
  writer.String("tokenizer.ggml.model", "llama");
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>", "\xE2\x96\x81", "a",
                                     "b",     "aa",  "ab",   "aab",          "<|x|>",
                                     "hm",    "c",   "d",    "cd",           "dc"};
  std::vector<int32_t> types = {2, 3, 3, 1, 1, 1, 1, 1, 1, 3, 4, 1, 1, 1, 1};
  std::vector<float> scores = {0, 0, 0, -9, -10, -11, -3, -2, -4, 0, 0, -12, -13, -6, -5};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(absl::StrFormat("<0x%02X>", byte));
    types.push_back(6);
    scores.push_back(0);
  }
  writer.Strings("tokenizer.ggml.tokens", tokens).Ints("tokenizer.ggml.token_type", types);
  writer.Floats("tokenizer.ggml.scores", scores);
  if (ids) writer.Int("tokenizer.ggml.bos_token_id", 1).Int("tokenizer.ggml.eos_token_id", 2);
  return writer;
}

std::vector<int32_t> Encoded(const GgufWriter& writer, const std::string& text,
                             EncodeOptions options = {}) {
  const auto tokenizer = LoadGguf(writer.Bytes());
  if (tokenizer == nullptr) return {};
  const auto ids = tokenizer->Encode(text, options);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.ok() ? *ids : std::vector<int32_t>();
}

TEST(SentencePiece, MergesByScoreAndFallsBackToBytes) {
  using Ids = std::vector<int32_t>;
  const GgufWriter writer = SmallSentencePiece();
  EXPECT_EQ(Encoded(writer, "aab"), (Ids{1, 3, 8})) << "ab first, then a with ab";
  EXPECT_EQ(Encoded(writer, "aa b"), (Ids{1, 3, 6, 3, 5}));
  EXPECT_EQ(Encoded(writer, "cdc"), (Ids{1, 3, 11, 14})) << "the better score, not the first pair";
  EXPECT_EQ(Encoded(writer, "e"), (Ids{1, 3, 15 + 'e'}));
  EXPECT_EQ(Encoded(writer, "ahmb"), (Ids{1, 3, 4, 10, 3, 5}))
      << "a space behind an added token, as in llama.cpp";
  EXPECT_EQ(Encoded(writer, "<|x|>"), (Ids{1, 9}));
  EXPECT_EQ(Encoded(writer, "<|x|>", {.parse_special = false}).size(), 7u) << "as text";
  EXPECT_EQ(Encoded(writer, ""), (Ids{1}));

  GgufWriter bare = SmallSentencePiece();
  bare.Bool("tokenizer.ggml.add_space_prefix", false).Bool("tokenizer.ggml.add_bos_token", false);
  bare.Bool("tokenizer.ggml.add_eos_token", true);
  EXPECT_EQ(Encoded(bare, "aab"), (Ids{8, 2}));
  EXPECT_EQ(LoadGguf(bare.Bytes())->Decode({3, 8, 3, 4}, true), " aab a");
  EXPECT_EQ(LoadGguf(writer.Bytes())->Decode({1, 3, 8, 3, 4}, true), "aab a");
}

TEST(GgufVocabulary, KeepsTemplatesAndSpecialTokens) {
  GgufWriter writer = SmallSentencePiece();
  writer.String("tokenizer.chat_template", "{{ messages }}");
  auto files = FilesOf(writer.Bytes());
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(TextOf(*files, "chat_template.jinja"), "{{ messages }}");
  const json config = json::parse(TextOf(*files, "tokenizer_config.json"));
  EXPECT_EQ(config["bos_token"], "<s>");
  EXPECT_EQ(config["eos_token"], "</s>");
  EXPECT_EQ(json::parse(TextOf(*files, "generation_config.json")),
            (json{{"bos_token_id", 1}, {"eos_token_id", {2}}}));

  writer.String("tokenizer.chat_template.tool_use", "{{ tools }}")
      .Strings("tokenizer.chat_templates", {"tool_use"});
  files = FilesOf(writer.Bytes());
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(TextOf(*files, "chat_template.jinja"), "");
  EXPECT_EQ(json::parse(TextOf(*files, "tokenizer_config.json"))["chat_template"],
            (json{{{"name", "default"}, {"template", "{{ messages }}"}},
                  {{"name", "tool_use"}, {"template", "{{ tools }}"}}}));
}

// llama.cpp's defaults: bos 1, eos 2, unknown 0, and bos before each text.
TEST(SentencePiece, WithoutIdsHasLlamaCpps) {
  using Ids = std::vector<int32_t>;
  const auto without_ids = [] { return SmallSentencePiece(/*ids=*/false); };
  const auto bos_alone = without_ids().Int("tokenizer.ggml.bos_token_id", 9);
  const auto eos_alone = without_ids().Int("tokenizer.ggml.eos_token_id", 9);
  const auto out_of_range =
      without_ids().Int("tokenizer.ggml.bos_token_id", 1000).Int("tokenizer.ggml.eos_token_id", -1);
  const auto with_eos = without_ids().Bool("tokenizer.ggml.add_eos_token", true);
  const auto without_bos = without_ids().Bool("tokenizer.ggml.add_bos_token", false);
  const struct {
    const char* name;
    GgufWriter writer;
    Ids ids;
    int64_t bos, eos;
  } kCases[] = {{"no ids", without_ids(), {1, 3, 8}, 1, 2},
                {"bos alone", bos_alone, {9, 3, 8}, 9, 2},
                {"eos alone", eos_alone, {1, 3, 8}, 1, 9},
                {"out of range", out_of_range, {1, 3, 8}, 1, 2},
                {"eos is added", with_eos, {1, 3, 8, 2}, 1, 2},
                {"no bos is added", without_bos, {3, 8}, 1, 2}};
  for (const auto& c : kCases) {
    EXPECT_EQ(Encoded(c.writer, "aab"), c.ids) << c.name;
    const auto files = FilesOf(c.writer.Bytes());
    ASSERT_TRUE(files.ok()) << files.status();
    EXPECT_EQ(json::parse(TextOf(*files, "generation_config.json")),
              (json{{"bos_token_id", c.bos}, {"eos_token_id", {c.eos}}}))
        << c.name;
    EXPECT_EQ(json::parse(TextOf(*files, "tokenizer_config.json"))["unk_token"], "<unk>") << c.name;
  }
}

// The vocabulary may be smaller than the defaults.
TEST(SentencePiece, OfOneTokenHasNoIdsBeyondIt) {
  GgufWriter writer;
  writer.String("tokenizer.ggml.model", "llama").Strings("tokenizer.ggml.tokens", {"a"});
  writer.Floats("tokenizer.ggml.scores", {0});
  EXPECT_EQ(Encoded(writer, "a"), (std::vector<int32_t>{0, 0}))
      << "a space that is no token, and a";
}

TEST(GgufVocabulary, IsNotThereInFilesWithoutOne) {
  EXPECT_TRUE(FilesOf(GgufWriter().Bytes())->empty());
  EXPECT_TRUE(FilesOf(GgufWriter().String("tokenizer.ggml.model", "none").Bytes())->empty());
}

TEST(GgufVocabulary, SaysWhatIsWrongWithIt) {
  using W = GgufWriter;
  const auto bpe = [](const std::vector<std::string>& tokens,
                      const std::vector<std::string>& merges) {
    W writer;
    writer.String("tokenizer.ggml.model", "gpt2").Strings("tokenizer.ggml.tokens", tokens);
    return writer.Strings("tokenizer.ggml.merges", merges);
  };
  const std::pair<const char*, W> kCases[] = {
      {"\"t5\" (unigram)", W().String("tokenizer.ggml.model", "t5")},
      {"\"rwkv\"", W().String("tokenizer.ggml.model", "rwkv")},
      {"no \"tokenizer.ggml.tokens\"", W().String("tokenizer.ggml.model", "gpt2")},
      {"expected an array of strings",
       W().String("tokenizer.ggml.model", "gpt2").Int("tokenizer.ggml.tokens", 3)},
      {"no \"tokenizer.ggml.merges\"",
       W().String("tokenizer.ggml.model", "gpt2").Strings("tokenizer.ggml.tokens", {"a"})},
      {"the pre-tokenizer \"bert-bge\"", bpe({"a"}, {}).String("tokenizer.ggml.pre", "bert-bge")},
      {"is not two tokens", bpe({"a"}, {"a"})},
      {"makes a text that is not a token", bpe({"a", "b"}, {"a b"})},
      {"makes a text that is not a token", bpe({"a"}, {"a "})},
      {"\"tokenizer.ggml.token_type\" has 1 elements",
       bpe({"a", "b"}, {}).Ints("tokenizer.ggml.token_type", {1})},
      {"token 1 (\"\\xff\") is not UTF-8", bpe({"a", "\xFF"}, {})},
      {"\"tokenizer.ggml.scores\" has 0 elements",
       W().String("tokenizer.ggml.model", "llama").Strings("tokenizer.ggml.tokens", {"a"})},
      {"the score of token 0 is not finite", W().String("tokenizer.ggml.model", "llama")
                                                 .Strings("tokenizer.ggml.tokens", {"a"})
                                                 .Floats("tokenizer.ggml.scores", {NAN})},
  };
  for (const auto& [message, writer] : kCases) {
    const absl::Status status = FilesOf(writer.Bytes()).status();
    EXPECT_FALSE(status.ok()) << message;
    EXPECT_NE(status.message().find(message), absl::string_view::npos) << message << ": " << status;
    EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
  }
}

// Of equal tokens the last one counts, and empty ones have a name, as in llama.cpp.
TEST(GgufVocabulary, MayHaveTokensTwiceAndEmptyOnes) {
  GgufWriter writer;
  writer.String("tokenizer.ggml.model", "gpt2")
      .Strings("tokenizer.ggml.tokens", {"a", "b", "a", "", "ab"});
  writer.Strings("tokenizer.ggml.merges", {"a b"})
      .Ints("tokenizer.ggml.token_type", {3, 1, 1, 3, 1});
  EXPECT_EQ(Encoded(writer, "aab"), (std::vector<int32_t>{2, 4}));
}

}  // namespace
}  // namespace sluice
