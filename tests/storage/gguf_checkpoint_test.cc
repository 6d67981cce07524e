// Tests of opening and sharding GGUF models: the same stores as from safetensors, every type of
// block carried over, split files, and what is refused.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gguf_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/shard/sharder.h"
#include "storage/source/gguf_config.h"
#include "storage/store/export.h"
#include "store_testing.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint32_t kF32 = 0, kQ4_0 = 2, kQ8_0 = 8;

TEST(GgufModel, BecomesTheStoreThatItsSafetensorsBecome) {
  std::vector<std::string> models = GoldenModels();
  models.push_back("bard-6.7M");
  models.push_back("TinyStories-656K");
  for (const std::string& name : models) {
    TemporaryFolder folder;
    ConvertToGguf(name).Write(folder / "model.gguf");
    for (const char* recipe : {"", "q8_0"}) {
      const std::string a = folder / absl::StrCat("a", recipe),
                        b = folder / absl::StrCat("b", recipe);
      const Manifest expected = ShardOrDie(ModelDir(name), a, recipe, 5000, 1);
      const Manifest got = ShardOrDie(folder / "model.gguf", b, recipe, 5000, 2);
      EXPECT_EQ(HyperParametersToJson(got.hyper_parameters),
                HyperParametersToJson(expected.hyper_parameters))
          << name;
      for (const std::string& file : DifferingFiles(a, b)) {
        EXPECT_TRUE(file == "manifest.json" || file == "record.json" ||
                    absl::StartsWith(file, "tokenizer/"))
            << name << ": " << file;
      }
      EXPECT_EQ(
          got.source,
          absl::StrCat("model.gguf (", Info(got.tensors[0].encoding).name, ")").substr(0, 11) +
              expected.source.substr(expected.source.find('(')));
    }
  }
}

// Biases of q and k are interleaved as their rows are.
TEST(GgufModel, PutsBiasesOfLlamaInOrder) {
  TemporaryFolder folder;
  json config = TinyConfig(64, 72, 40);
  config["attention_bias"] = true;
  WriteCheckpoint(folder / "c", config, [](const std::string&) { return "F32"; });
  const std::unique_ptr<Checkpoint> checkpoint = OpenCheckpoint(folder / "c");
  GgufParts model;
  model.metadata.String("general.architecture", "llama");
  for (const auto& [key, value] : std::map<std::string, uint32_t>{{"context_length", 128},
                                                                  {"embedding_length", 64},
                                                                  {"block_count", 1},
                                                                  {"feed_forward_length", 72},
                                                                  {"attention.head_count", 2},
                                                                  {"attention.head_count_kv", 1}}) {
    model.metadata.Int("llama." + key, value);
  }
  model.metadata.Float("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  for (const TensorSpec& spec : ListTensors(checkpoint->hyper_parameters())) {
    const CheckpointTensor& tensor = *checkpoint->Find(spec.name);
    std::string bytes(tensor.bytes, '\0');
    ASSERT_TRUE(checkpoint
                    ->Read(tensor, 0,
                           absl::MakeSpan(reinterpret_cast<std::byte*>(bytes.data()), bytes.size()))
                    .ok());
    if (absl::StrContains(spec.name, "q_proj") || absl::StrContains(spec.name, "k_proj")) {
      bytes = Interleave(bytes, spec.shape[0], 32);
    }
    model.pieces.push_back({GgufNameOf(spec.name), spec.shape, kF32, bytes});
  }
  model.Write(folder / "model.gguf");
  ShardOrDie(folder / "c", folder / "a", "", 5000);
  ShardOrDie(folder / "model.gguf", folder / "b", "", 5000);
  EXPECT_EQ(ReadBytes(folder / "b/resident.bin"), ReadBytes(folder / "a/resident.bin"));
  EXPECT_EQ(ReadBytes(folder / "b/layers/000.slabs"), ReadBytes(folder / "a/layers/000.slabs"));
}

TEST(GgufModel, CarriesEveryTypeOfBlockOverBitForBit) {
  const GgmlBlocks blocks;
  for (const char* name : {"f32", "f16", "bf16", "q8_0", "q6_k", "q5_k", "q4_k", "q3_k", "q2_k",
                           "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl", "iq4_xs", "mxfp4"}) {
    std::string rows;
    if (std::string(name) == "f32") {
      rows = blocks.Get("source");
    } else if (absl::EndsWith(name, "f16")) {
      const std::string source = blocks.Get("source");
      rows.resize(source.size() / 2);
      EncodeRow(*ParseEncoding(name), reinterpret_cast<const float*>(source.data()), 16 * 1024,
                reinterpret_cast<std::byte*>(rows.data()));
    } else {
      rows = blocks.Get(absl::StrCat(name, ".bytes"));
    }
    TemporaryFolder folder;
    GgufOfBlocks(GgufTypeId(name), rows).Write(folder / "model.gguf");
    ShardOrDie(folder / "model.gguf", folder / "s", "", 3000);
    const std::unique_ptr<LayerStore> store = OpenStore(folder / "s");
    for (const char* tensor :
         {"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
          "model.layers.0.self_attn.k_proj.weight", "model.layers.0.self_attn.v_proj.weight",
          "model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight"}) {
      ASSERT_TRUE(ExportTensor(*store, tensor, folder / "out").ok());
      EXPECT_TRUE(ReadBytes(folder / "out") == rows) << name << " " << tensor;
    }
    ASSERT_TRUE(ExportTensor(*store, "lm_head.weight", folder / "out").ok());
    EXPECT_EQ(ReadBytes(folder / "out").substr(0, rows.size() / 2), rows.substr(rows.size() / 2))
        << name;
    EXPECT_EQ(store->manifest().Find(TensorRole::kQ, 0)->encoding, *ParseEncoding(name));
  }
}

TEST(GgufModel, RefusesOtherTypesByNameAndSaysWhatToDo) {
  const GgmlBlocks blocks;
  for (const char* name : {"iq2_xxs", "iq3_s"}) {
    TemporaryFolder folder;
    GgufOfBlocks(GgufTypeId(name), blocks.Get(absl::StrCat(name, ".bytes")))
        .Write(folder / "model.gguf");
    const absl::Status status = Checkpoint::Open(folder / "model.gguf").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(absl::StrCat("is stored as ", name)), HasSubstr("llama-quantize")));
  }
}

TEST(GgufModel, IsNotQuantizedASecondTimeUnlessAsked) {
  const GgmlBlocks blocks;
  TemporaryFolder folder;
  GgufOfBlocks(kQ8_0, blocks.Get("q8_0.bytes")).Write(folder / "q8_0.gguf");
  GgufOfBlocks(kF32, blocks.Get("source")).Write(folder / "f32.gguf");
  const absl::Status status = TryShard(folder / "q8_0.gguf", folder / "s", Options("q4_0"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("model.embed_tokens.weight is already quantized, as q8_0"),
                    HasSubstr("--allow-requantize")));
  EXPECT_FALSE(std::filesystem::exists(folder / "s")) << "nothing was begun";
  EXPECT_EQ(TryShard(folder / "q8_0.gguf", folder / "s", Options("f32")).code(),
            absl::StatusCode::kFailedPrecondition);

  ShardOptions allowed = Options("q4_0");
  allowed.allow_requantize = true;
  ASSERT_TRUE(TryShard(folder / "q8_0.gguf", folder / "s", allowed).ok());
  EXPECT_EQ(OpenStore(folder / "s")->manifest().Find(TensorRole::kV, 0)->encoding, Encoding::kQ4_0);
  ShardOrDie(folder / "q8_0.gguf", folder / "same", "q8_0");  // what it is already
  ShardOrDie(folder / "f32.gguf", folder / "free", "q4_0");   // floats may become anything
}

TEST(GgufModel, GoesOnWhereItWasInterrupted) {
  TemporaryFolder folder;
  ConvertToGguf("bard-6.7M").Write(folder / "model.gguf");
  ShardOrDie(folder / "model.gguf", folder / "whole", "", 50000, 1);
  std::atomic<bool> stop{true};
  ShardOptions options = Options("", 50000, 1);
  options.stop = &stop;
  EXPECT_TRUE(absl::IsCancelled(TryShard(folder / "model.gguf", folder / "s", options)));
  stop = false;
  const auto result = Shard(*OpenCheckpoint(folder / "model.gguf"), folder / "s", options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->outcome == ShardOutcome::kResumed);
  EXPECT_THAT(DifferingFiles(folder / "whole", folder / "s"), testing::IsEmpty());
}

TEST(GgufModel, IsTiedWhereItHasNoHeadOrOneLikeItsEmbedding) {
  const GgmlBlocks blocks;
  const std::string rows = blocks.Get("q8_0.bytes");
  TemporaryFolder folder;
  GgufParts model = GgufOfBlocks(kQ8_0, rows);
  model.Write(folder / "own.gguf");
  model.pieces[2].bytes = rows;
  model.Write(folder / "same.gguf");
  model.pieces.erase(model.pieces.begin() + 2);
  model.Write(folder / "none.gguf");
  EXPECT_FALSE(OpenCheckpoint(folder / "own.gguf")->hyper_parameters().tie_word_embeddings);
  EXPECT_TRUE(OpenCheckpoint(folder / "same.gguf")->hyper_parameters().tie_word_embeddings);
  EXPECT_TRUE(OpenCheckpoint(folder / "none.gguf")->hyper_parameters().tie_word_embeddings);
}

// Writes `model` as `count` files, `edit` having its way with the metadata of each.
void WriteSplit(const GgufParts& model, const std::string& stem, int count,
                const std::function<void(int, GgufWriter*)>& edit = nullptr) {
  for (int i = 0; i < count; ++i) {
    GgufParts part;
    if (i == 0) part.metadata = model.metadata;
    part.metadata.Value("split.no", 2, GgufWriter::Raw<uint16_t>(i))
        .Value("split.count", 2, GgufWriter::Raw<uint16_t>(count));
    if (edit) edit(i, &part.metadata);
    part.metadata.Int("split.tensors.count", static_cast<uint32_t>(model.pieces.size()));
    for (size_t p = i; p < model.pieces.size(); p += count) part.pieces.push_back(model.pieces[p]);
    part.Write(absl::StrFormat("%s-%05d-of-%05d.gguf", stem, i + 1, count));
  }
}

TEST(GgufModel, MayBeSplitOverSeveralFiles) {
  TemporaryFolder folder;
  const GgufParts model = ConvertToGguf("llama-gqa-untied-f32");
  model.Write(folder / "model.gguf");
  ShardOrDie(folder / "model.gguf", folder / "whole");
  for (const int count : {2, 3}) {
    const std::string store = folder / absl::StrCat("s", count);
    WriteSplit(model, folder / "model", count);
    ShardOrDie(folder / absl::StrFormat("model-00001-of-%05d.gguf", count), store);
    EXPECT_THAT(DifferingFiles(folder / "whole", store),
                ElementsAre("manifest.json", "record.json"));
  }
  const auto message = [&](const std::string& name) {
    return std::string(Checkpoint::Open(folder / name).status().message());
  };
  EXPECT_THAT(message("model-00002-of-00003.gguf"),
              HasSubstr("give the first one, model-00001-of-00003.gguf"));
  std::filesystem::rename(folder / "model-00001-of-00002.gguf", folder / "first.gguf");
  EXPECT_THAT(message("first.gguf"), HasSubstr("NAME-00001-of-00002.gguf"));
  std::filesystem::copy(folder / "model-00002-of-00003.gguf", folder / "kept");
  std::filesystem::remove(folder / "model-00002-of-00003.gguf");
  EXPECT_THAT(message("model-00001-of-00003.gguf"),
              HasSubstr("model-00002-of-00003.gguf, is missing"));
  std::filesystem::copy(folder / "model-00003-of-00003.gguf", folder / "model-00002-of-00003.gguf");
  EXPECT_THAT(message("model-00001-of-00003.gguf"),
              HasSubstr("says that it is file 3 of 3, its name that it is 2 of 3"));
  WriteSplit(model, folder / "few", 2,
             [](int, GgufWriter* metadata) { metadata->Int("split.x", 0); });
  GgufParts fewer = model;
  fewer.pieces.pop_back();
  WriteSplit(fewer, folder / "cut", 2);
  std::filesystem::copy(folder / "cut-00002-of-00002.gguf", folder / "few-00002-of-00002.gguf",
                        std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(message("few-00001-of-00002.gguf"), HasSubstr("tensors, its 2 files"));
  GgufParts twice = model;
  twice.pieces.push_back(model.pieces[0]);
  twice.pieces.push_back(model.pieces[0]);
  WriteSplit(twice, folder / "twice", 2);
  EXPECT_THAT(
      message("twice-00001-of-00002.gguf"),
      testing::AnyOf(HasSubstr("another file of the model too"), HasSubstr("appears twice")));
}

TEST(GgufModel, IsRefusedByNameWhereSluiceDoesNotRunIt) {
  struct Case {
    const char* message;
    std::function<void(GgufParts*)> edit;
    absl::StatusCode code = absl::StatusCode::kUnimplemented;
  };
  const auto invalid = absl::StatusCode::kInvalidArgument;
  const auto piece = [](GgufParts* m, const char* name) -> GgufPiece& {
    for (GgufPiece& p : m->pieces) {
      if (p.name == name) return p;
    }
    abort();
  };
  const auto adds_int = [](const char* key, uint32_t value) {
    return [=](GgufParts* m) { m->metadata.Int(key, value); };
  };
  const Case kCases[] = {
      {"\"llama.expert_count\" is 8", adds_int("llama.expert_count", 8)},
      {"\"llama.logit_scale\" is 0.5",
       [](GgufParts* m) { m->metadata.Float("llama.logit_scale", 0.5f); }},
      {"\"llama.expert_count\" is no number",
       [](GgufParts* m) { m->metadata.String("llama.expert_count", "many"); }},
      {"attention that is not causal",
       [](GgufParts* m) { m->metadata.Bool("llama.attention.causal", false); }},
      {"\"llama.rope.dimension_count\" is 8", adds_int("llama.rope.dimension_count", 8)},
      {"the rope scaling \"longrope\"",
       [](GgufParts* m) { m->metadata.String("llama.rope.scaling.type", "longrope"); }},
      {"do not follow Llama 3's rule",
       [](GgufParts* m) {
         m->pieces.push_back(
             {"rope_freqs.weight", {8}, kF32, FloatBytes({1, 2, 1, 4, 1, 2, 7, 8})});
       }},
      {"rope_freqs.weight has 4 values",
       [](GgufParts* m) {
         m->pieces.push_back({"rope_freqs.weight", {4}, kF32, FloatBytes({1, 1, 8, 8})});
       },
       invalid},
      {"1 tensor that LlamaForCausalLM does not have with this file's metadata: blk.0.extra.weight",
       [](GgufParts* m) {
         m->pieces.push_back({"blk.0.extra.weight", {1}, kF32, "aaaa"});
       },
       invalid},
      {"1 missing tensor of LlamaForCausalLM: model.layers.0.mlp.down_proj.weight",
       [](GgufParts* m) { m->pieces.pop_back(); }, invalid},
      {"has the shape [1024], file's metadata asks for [16, 1024]",
       [&](GgufParts* m) {
         piece(m, "blk.0.attn_v.weight") = {
             "blk.0.attn_v.weight", {1024}, kF32, std::string(4096, '\0')};
       },
       invalid},
      {"no tensor token_embd.weight", [](GgufParts* m) { m->pieces.erase(m->pieces.begin()); },
       invalid},
      {"is there under two names",
       [](GgufParts* m) {
         m->pieces.push_back({"lm_head.weight", {1}, kF32, "aaaa"});
       },
       invalid},
  };
  const GgmlBlocks blocks;
  for (const Case& c : kCases) {
    TemporaryFolder folder;
    GgufParts model = GgufOfBlocks(kQ4_0, blocks.Get("q4_0.bytes"));
    c.edit(&model);
    model.Write(folder / "model.gguf");
    const absl::Status status = Checkpoint::Open(folder / "model.gguf").status();
    EXPECT_EQ(status.code(), c.code) << c.message << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message));
    EXPECT_THAT(std::string(status.message()), HasSubstr("model.gguf"));
  }
}

TEST(GgufModel, NeedsItsSizesAndAnArchitectureThatIsKnown) {
  TemporaryFolder folder;
  const auto message = [&](const GgufWriter& metadata) {
    GgufParts model{metadata, {{"token_embd.weight", {4, 32}, kF32, std::string(512, '\0')}}};
    model.Write(folder / "model.gguf");
    return std::string(Checkpoint::Open(folder / "model.gguf").status().message());
  };
  EXPECT_THAT(message(GgufWriter()), HasSubstr("no \"general.architecture\""));
  EXPECT_THAT(message(GgufWriter().String("general.architecture", "gemma2")),
              AllOf(HasSubstr("the architecture \"gemma2\""), HasSubstr("llama, qwen2, qwen3")));
  GgufWriter writer;
  writer.String("general.architecture", "llama");
  EXPECT_THAT(message(writer), HasSubstr("\"llama.embedding_length\" is missing"));
  writer.Int("llama.embedding_length", 32)
      .Int("llama.feed_forward_length", 32)
      .Int("llama.block_count", 1);
  GgufWriter wrong = writer;
  wrong.String("llama.attention.head_count", "two");
  EXPECT_THAT(message(wrong), HasSubstr("\"llama.attention.head_count\" is of the type string"));
  GgufWriter layers = writer;
  layers.Ints("llama.attention.head_count", {2, 3});
  EXPECT_THAT(message(layers), HasSubstr("differs from layer to layer"));
  writer.Int("llama.attention.head_count", 0).Int("llama.context_length", 8);
  writer.Float("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  EXPECT_THAT(message(writer), HasSubstr("0 attention heads"));
}

TEST(GgufModel, InAFolderIsHintedAt) {
  TemporaryFolder folder;
  WriteBytes(folder / "x.gguf", "GGUF");
  const absl::Status status = Checkpoint::Open(folder.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(absl::StrCat("give the file itself: ", folder / "x.gguf")));
}

TEST(GgufModel, EndsTextsWithEosAndWithControlTokensThatSaySo) {
  GgufWriter writer;
  writer.Strings("tokenizer.ggml.tokens",
                 {"a", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "end"});
  writer.Ints("tokenizer.ggml.token_type", {1, 3, 3, 1, 3});
  writer.Int("tokenizer.ggml.eos_token_id", 2)
      .Int("tokenizer.ggml.eot_token_id", 4)
      .Int("tokenizer.ggml.bos_token_id", 5);
  const std::string bytes = writer.Bytes();
  const auto file = GgufFile::Parse(bytes, static_cast<int64_t>(bytes.size()), "x");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(*GgufEosTokenIds(*file), ElementsAre(2, 4, 1));
  EXPECT_FALSE((*GgufTokenId(*file, "tokenizer.ggml.bos_token_id")).has_value())
      << "beyond the vocabulary";
}

TEST(Llama3Rope, IsRecoveredFromItsFactors) {
  struct Case {
    double factor, low, high;
    int64_t original;
    double theta;
    int head_dim;
  };
  for (const Case& c : {Case{8, 1, 4, 8192, 500000, 128},
                        {32, 1, 4, 8192, 500000, 64},
                        {16, 1, 4, 8192, 500000, 128},
                        {8, 1, 4, 4096, 500000, 128},
                        {8, 1, 8, 8192, 500000, 128},
                        {4, 1, 2.5, 2048, 10000, 128},
                        {8, 1, 4, 64, 500000, 16}}) {
    const std::vector<float> factors =
        Llama3Factors(c.factor, c.low, c.high, c.original, c.theta, c.head_dim);
    const auto rope = Llama3RopeOf(factors, c.theta, 0);
    ASSERT_TRUE(rope.ok()) << c.factor << " " << c.original << ": " << rope.status();
    EXPECT_EQ(*rope, (json{{"rope_type", "llama3"},
                           {"factor", c.factor},
                           {"low_freq_factor", c.low},
                           {"high_freq_factor", c.high},
                           {"original_max_position_embeddings", c.original}}));
  }
  EXPECT_TRUE(Llama3RopeOf({1, 1, 1, 1}, 10000, 0)->is_null());
  const float nan = NAN;
  for (const std::vector<float>& factors : std::vector<std::vector<float>>{
           {}, {0, 0}, {2, 2, 2, 1}, {1, 3, 2, 8}, {nan, nan}, {1, -8}, {1, 2, 4, INFINITY}}) {
    const absl::Status status = Llama3RopeOf(factors, 500000, 0).status();
    if (factors.empty()) continue;  // none: as if all were 1
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << factors.size();
  }
}

}  // namespace
}  // namespace sluice
