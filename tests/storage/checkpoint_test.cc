// Tests of opening checkpoint folders: whole ones, damaged ones, and folders that are none.
#include "storage/source/checkpoint.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kModelsDir[] = SLUICE_SOURCE_DIR "/tests/data/models/";
constexpr char kEmbedding[] = "model.embed_tokens.weight";
constexpr char kHead[] = "lm_head.weight";

struct Tensor {
  std::string dtype = "F32";
  std::vector<int64_t> shape;
  std::string bytes;
};

std::string ReadAll(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void WriteAll(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

void WriteSafetensors(const fs::path& path, const std::map<std::string, Tensor>& tensors) {
  json header = json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", tensor.dtype},
                    {"shape", tensor.shape},
                    {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  const std::string text = header.dump();
  std::string length;
  for (int i = 0; i < 8; ++i) length.push_back(static_cast<char>(text.size() >> (8 * i)));
  WriteAll(path, length + text + data);
}

// A folder with a whole one-layer checkpoint, for tests to damage.
class CheckpointTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/checkpoint_test.XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    config_ = {{"architectures", {"LlamaForCausalLM"}},
               {"hidden_size", 4},
               {"intermediate_size", 6},
               {"num_hidden_layers", 1},
               {"num_attention_heads", 2},
               {"vocab_size", 10}};
    const auto h = ParseHyperParameters(config_, "config");
    ASSERT_TRUE(h.ok()) << h.status();
    char fill = 'a';
    for (const TensorSpec& spec : ListTensors(*h)) {
      tensors_[spec.name] = Make(spec.shape, fill++);
    }
  }
  void TearDown() override { fs::remove_all(dir_); }

  static Tensor Make(const std::vector<int64_t>& shape, char fill,
                     const std::string& dtype = "F32") {
    int64_t bytes = dtype == "F32" ? 4 : dtype == "I64" ? 8 : 2;
    for (const int64_t dim : shape) bytes *= dim;
    return {dtype, shape, std::string(bytes, fill)};
  }

  void Write() {
    WriteAll(dir_ / "config.json", config_.dump());
    WriteSafetensors(dir_ / "model.safetensors", tensors_);
  }

  // Cuts the tensors into two files with an index.
  void WriteShards() {
    WriteAll(dir_ / "config.json", config_.dump());
    std::map<std::string, Tensor> parts[2];
    json weight_map;
    int i = 0;
    for (const auto& [name, tensor] : tensors_) {
      parts[i % 2][name] = tensor;
      weight_map[name] = kShards[i % 2];
      ++i;
    }
    for (int part = 0; part < 2; ++part) WriteSafetensors(dir_ / kShards[part], parts[part]);
    index_ = {{"metadata", {{"total_size", 1}}}, {"weight_map", weight_map}};
    WriteIndex();
  }
  void WriteIndex() { WriteAll(dir_ / "model.safetensors.index.json", index_.dump()); }

  absl::StatusOr<std::unique_ptr<Checkpoint>> Open() { return Checkpoint::Open(dir_.string()); }

  void ExpectRefused(absl::StatusCode code, const std::string& why) {
    const auto checkpoint = Open();
    EXPECT_EQ(checkpoint.status().code(), code) << checkpoint.status();
    const std::string message(checkpoint.status().message());
    EXPECT_THAT(message, HasSubstr(why));
    EXPECT_THAT(message, HasSubstr(dir_.string()));
    EXPECT_THAT(message, Not(HasSubstr("\n")));
  }

  static constexpr const char* kShards[2] = {"model-00001-of-00002.safetensors",
                                             "model-00002-of-00002.safetensors"};
  fs::path dir_;
  json config_;
  json index_;
  std::map<std::string, Tensor> tensors_;
};

TEST(Checkpoint, OpensEveryModelOfTheRepository) {
  const struct {
    const char* model;
    Encoding dtype;
    size_t files;
    bool tied;
  } kCases[] = {
      {"bard-6.7M", Encoding::kBF16, 1, true},
      {"TinyStories-656K", Encoding::kF32, 1, true},
      {"llama-gqa-untied-f32", Encoding::kF32, 1, false},
      {"llama3-rope-bf16-sharded", Encoding::kBF16, 3, true},
      {"llama-linear-rope-f32", Encoding::kF32, 1, false},
      {"mistral-window-f16", Encoding::kF16, 1, false},
      {"qwen2-bias-bf16", Encoding::kBF16, 1, true},
      {"qwen2-yarn-bf16", Encoding::kBF16, 1, true},
      {"qwen3-qknorm-bf16", Encoding::kBF16, 1, true},
  };
  for (const auto& c : kCases) {
    const auto checkpoint = Checkpoint::Open(absl::StrCat(kModelsDir, c.model));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_EQ((*checkpoint)->dtype(), c.dtype) << c.model;
    EXPECT_EQ((*checkpoint)->files().size(), c.files) << c.model;
    const HyperParameters& h = (*checkpoint)->hyper_parameters();
    EXPECT_EQ(h.tie_word_embeddings, c.tied) << c.model;
    for (const TensorSpec& spec : ListTensors(h)) {
      const CheckpointTensor* tensor = (*checkpoint)->Find(spec.name);
      ASSERT_NE(tensor, nullptr) << c.model << " " << spec.name;
      EXPECT_EQ(tensor->shape, spec.shape);
      // Norms of these models lie around 1: the bytes are those of the tensor.
      if (PlaceOf(spec.role) != TensorPlace::kResident || tensor->encoding != Encoding::kF32)
        continue;
      std::vector<float> values(tensor->bytes / 4);
      ASSERT_TRUE(
          (*checkpoint)
              ->Read(*tensor, 0,
                     absl::MakeSpan(reinterpret_cast<std::byte*>(values.data()), values.size() * 4))
              .ok());
      for (const float value : values)
        EXPECT_LT(std::abs(value), 20) << c.model << " " << spec.name;
    }
  }
}

TEST(Checkpoint, ReadsTheValuesThatTheFileHolds) {
  const std::string dir = absl::StrCat(kModelsDir, "llama3-rope-bf16-sharded");
  const auto checkpoint = Checkpoint::Open(dir);
  ASSERT_TRUE(checkpoint.ok());
  const CheckpointTensor* tensor = (*checkpoint)->Find("model.layers.2.mlp.down_proj.weight");
  ASSERT_NE(tensor, nullptr);
  const std::string file = ReadAll(fs::path(dir) / (*checkpoint)->files()[tensor->file]);
  std::vector<std::byte> bytes(tensor->bytes - 6);
  ASSERT_TRUE((*checkpoint)->Read(*tensor, 6, absl::MakeSpan(bytes)).ok());
  EXPECT_EQ(std::memcmp(bytes.data(), file.data() + tensor->offset + 6, bytes.size()), 0);
}

TEST(Checkpoint, LegacyPickleFilesAreRefusedWithAWayOut) {
  const std::string dir = SLUICE_SOURCE_DIR "/../shared/fixtures/models/tiny-random-llama-hf";
  if (!fs::exists(dir)) GTEST_SKIP() << "no " << dir;
  const auto checkpoint = Checkpoint::Open(dir);
  EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr("safe_serialization"));
}

TEST_F(CheckpointTest, OneFileAndShardsHoldTheSameTensors) {
  Write();
  const auto single = Open();
  ASSERT_TRUE(single.ok()) << single.status();
  fs::remove(dir_ / "model.safetensors");
  WriteShards();
  const auto shards = Open();
  ASSERT_TRUE(shards.ok()) << shards.status();
  EXPECT_THAT((*shards)->files(), ElementsAre(kShards[0], kShards[1]));
  for (const auto& [name, tensor] : tensors_) {
    for (const auto* checkpoint : {single->get(), shards->get()}) {
      const CheckpointTensor* found = checkpoint->Find(name);
      ASSERT_NE(found, nullptr) << name;
      std::vector<std::byte> bytes(found->bytes);
      ASSERT_TRUE(checkpoint->Read(*found, 0, absl::MakeSpan(bytes)).ok());
      EXPECT_EQ(std::string(reinterpret_cast<char*>(bytes.data()), bytes.size()), tensor.bytes);
    }
  }
  EXPECT_EQ((*single)->Find("no.such.tensor"), nullptr);
  EXPECT_NE((*single)->fingerprint(), (*shards)->fingerprint());
}

TEST_F(CheckpointTest, ASingleFileGoesBeforeAnIndex) {
  WriteShards();
  Write();
  const auto checkpoint = Open();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_THAT((*checkpoint)->files(), ElementsAre("model.safetensors"));
}

TEST_F(CheckpointTest, LinksLeadToTheSameCheckpoint) {
  WriteShards();
  const uint64_t fingerprint = (*Open())->fingerprint();
  const fs::path snapshot = dir_ / "snapshots" / "main";
  fs::create_directories(snapshot);
  fs::create_directories(dir_ / "blobs");
  int blob = 0;
  for (const fs::path& name : std::vector<fs::path>{"config.json", "model.safetensors.index.json",
                                                    kShards[0], kShards[1]}) {
    const fs::path target = absl::StrCat("blobs/", blob++);
    fs::rename(dir_ / name, dir_ / target);
    fs::create_symlink(fs::path("../..") / target, snapshot / name);
  }
  const auto checkpoint = Checkpoint::Open(snapshot.string() + "/");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->fingerprint(), fingerprint);
}

TEST_F(CheckpointTest, TheFingerprintTellsSourcesApart) {
  Write();
  const uint64_t first = (*Open())->fingerprint();
  EXPECT_EQ((*Open())->fingerprint(), first);
  config_["rms_norm_eps"] = 1e-5;
  Write();
  const uint64_t second = (*Open())->fingerprint();
  EXPECT_NE(second, first);
  tensors_["model.norm.weight"] = Make({4}, 'n', "F16");
  Write();
  const uint64_t third = (*Open())->fingerprint();
  EXPECT_NE(third, second);
  const auto size = fs::file_size(dir_ / "model.safetensors");
  tensors_["model.layers.0.input_layernorm.weight"] = Make({4}, 'b', "F16");
  tensors_["model.norm.weight"] = Make({4}, 'n');
  Write();  // as many bytes, another header
  ASSERT_EQ(fs::file_size(dir_ / "model.safetensors"), size);
  EXPECT_NE((*Open())->fingerprint(), third);
}

TEST_F(CheckpointTest, TypesMayDifferFromTensorToTensor) {
  for (auto& [name, tensor] : tensors_) {
    if (tensor.shape.size() == 2) tensor = Make(tensor.shape, 'x', "BF16");
  }
  tensors_["model.layers.0.mlp.up_proj.weight"] = Make({6, 4}, 'u', "F16");
  Write();
  const auto checkpoint = Open();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->dtype(), Encoding::kBF16);
  EXPECT_EQ((*checkpoint)->Find("model.norm.weight")->encoding, Encoding::kF32);
  EXPECT_EQ((*checkpoint)->Find("model.layers.0.mlp.up_proj.weight")->encoding, Encoding::kF16);
}

TEST_F(CheckpointTest, ATiedModelMayStoreEitherNameOrBoth) {
  config_["tie_word_embeddings"] = true;
  const Tensor matrix = Make({10, 4}, 'e');
  for (const bool embedding : {false, true}) {
    for (const bool head : {false, true}) {
      tensors_.erase(kEmbedding);
      tensors_.erase(kHead);
      if (embedding) tensors_[kEmbedding] = matrix;
      if (head) tensors_[kHead] = matrix;
      Write();
      if (!embedding && !head) {
        ExpectRefused(absl::StatusCode::kInvalidArgument,
                      "1 missing tensor of LlamaForCausalLM: model.embed_tokens.weight");
        continue;
      }
      const auto checkpoint = Open();
      ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
      EXPECT_TRUE((*checkpoint)->hyper_parameters().tie_word_embeddings);
      ASSERT_NE((*checkpoint)->Find(kEmbedding), nullptr);
      EXPECT_EQ((*checkpoint)->Find(kEmbedding), (*checkpoint)->Find(kHead));
    }
  }
}

TEST_F(CheckpointTest, TwoDifferentMatricesAreNotTiedWhateverTheConfigurationSays) {
  config_["tie_word_embeddings"] = true;
  tensors_[kHead].bytes.back() ^= 1;
  tensors_[kEmbedding] = Make({10, 4}, tensors_[kHead].bytes.front());
  Write();
  const auto checkpoint = Open();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_FALSE((*checkpoint)->hyper_parameters().tie_word_embeddings);
  EXPECT_NE((*checkpoint)->Find(kEmbedding)->offset, (*checkpoint)->Find(kHead)->offset);
}

TEST_F(CheckpointTest, EndOfSequenceIdsOfBothFilesCount) {
  config_["eos_token_id"] = {7, 3};
  Write();
  WriteAll(dir_ / "generation_config.json", R"({"eos_token_id": [5, 3]})");
  EXPECT_THAT((*Open())->hyper_parameters().eos_token_ids, ElementsAre(5, 3, 7));
  WriteAll(dir_ / "generation_config.json", R"({"eos_token_id": 9})");
  EXPECT_THAT((*Open())->hyper_parameters().eos_token_ids, ElementsAre(9, 7, 3));
  WriteAll(dir_ / "generation_config.json", "{}");
  EXPECT_THAT((*Open())->hyper_parameters().eos_token_ids, ElementsAre(7, 3));
  WriteAll(dir_ / "generation_config.json", R"({"eos_token_id": "x"})");
  ExpectRefused(absl::StatusCode::kInvalidArgument,
                "generation_config.json: \"eos_token_id\" is \"x\"");
  WriteAll(dir_ / "generation_config.json", "{");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "generation_config.json: not valid JSON");
}

TEST_F(CheckpointTest, StaleRotaryBuffersAreIgnored) {
  tensors_["model.layers.0.self_attn.rotary_emb.inv_freq"] = Make({1}, 'r');
  Write();
  EXPECT_TRUE(Open().ok()) << Open().status();
  EXPECT_EQ((*Open())->Find("model.layers.0.self_attn.rotary_emb.inv_freq"), nullptr);
}

TEST_F(CheckpointTest, TensorsThatDoNotFitTheModelAreNamed) {
  constexpr char kUp[] = "model.layers.0.mlp.up_proj.weight";
  const struct {
    std::function<void()> damage;
    absl::StatusCode code;
    const char* why;
  } kCases[] = {
      {[&] { tensors_.erase(kUp); }, absl::StatusCode::kInvalidArgument,
       "1 missing tensor of LlamaForCausalLM: model.layers.0.mlp.up_proj.weight"},
      {[&] { tensors_.clear(); }, absl::StatusCode::kInvalidArgument, "and 8 more"},
      {[&] { tensors_.erase(kHead); }, absl::StatusCode::kInvalidArgument,
       "LlamaForCausalLM: lm_head.weight"},
      {[&] {
         tensors_[kUp] = Make({4, 6}, 'x');
       },
       absl::StatusCode::kInvalidArgument,
       "up_proj.weight has the shape [4, 6], config.json asks for [6, 4]"},
      {[&] { tensors_[kUp] = Make({24}, 'x'); }, absl::StatusCode::kInvalidArgument, "shape [24]"},
      {[&] {
         tensors_[kUp] = Make({6, 0}, 'x');
       },
       absl::StatusCode::kInvalidArgument, "shape [6, 0]"},
      {[&] {
         tensors_[kUp] = Make({6, 4}, 'x', "I64");
       },
       absl::StatusCode::kUnimplemented,
       "up_proj.weight is stored as I64; sluice reads F32, F16 and BF16"},
      {[&] { tensors_["model.layers.0.self_attn.q_proj.bias"] = Make({4}, 'x'); },
       absl::StatusCode::kInvalidArgument, "1 tensor that LlamaForCausalLM does not have"},
      {[&] {
         tensors_["model.layers.1.mlp.up_proj.weight"] = Make({6, 4}, 'x');
       },
       absl::StatusCode::kInvalidArgument, "model.layers.1.mlp.up_proj.weight"},
      {[&] { tensors_["position\nids"] = Make({4}, 'x', "I64"); },
       absl::StatusCode::kInvalidArgument, "position\\nids"},
  };
  const std::map<std::string, Tensor> whole = tensors_;
  for (const auto& c : kCases) {
    tensors_ = whole;
    c.damage();
    Write();
    ExpectRefused(c.code, c.why);
  }
}

TEST_F(CheckpointTest, HostileIndexesAreRefused) {
  WriteShards();
  const json whole = index_;
  const auto set = [&](const char* file) { index_["weight_map"][kHead] = file; };
  const struct {
    std::function<void()> damage;
    absl::StatusCode code;
    const char* why;
  } kCases[] = {
      {[&] { index_ = json::array(); }, absl::StatusCode::kInvalidArgument, "no \"weight_map\""},
      {[&] { index_["weight_map"] = json::object(); }, absl::StatusCode::kInvalidArgument,
       "no \"weight_map\""},
      {[&] { index_["weight_map"] = {1}; }, absl::StatusCode::kInvalidArgument,
       "no \"weight_map\""},
      {[&] { index_["weight_map"][kHead] = 7; }, absl::StatusCode::kInvalidArgument,
       "the file of lm_head.weight is no string"},
      {[&] { set("../x.safetensors"); }, absl::StatusCode::kInvalidArgument,
       "\"../x.safetensors\""},
      {[&] { set("a/../../x"); }, absl::StatusCode::kInvalidArgument, "inside the folder"},
      {[&] { set("/etc/passwd"); }, absl::StatusCode::kInvalidArgument, "inside the folder"},
      {[&] { set(""); }, absl::StatusCode::kInvalidArgument, "inside the folder"},
      {[&] { set("."); }, absl::StatusCode::kInvalidArgument, "inside the folder"},
      {[&] { index_["weight_map"][kHead] = std::string("a\0b", 3); },
       absl::StatusCode::kInvalidArgument, "inside the folder"},
      {[&] { set("model-00003-of-00002.safetensors"); }, absl::StatusCode::kNotFound,
       "model-00003-of-00002.safetensors: missing, though model.safetensors.index.json is there"},
      {[&] { set("config.json"); }, absl::StatusCode::kInvalidArgument, "safetensors header"},
      {[&] { set(kShards[index_["weight_map"][kHead] == kShards[0] ? 1 : 0]); },
       absl::StatusCode::kInvalidArgument, "says that lm_head.weight is in model-0000"},
      {[&] { index_["weight_map"]["ghost"] = kShards[0]; }, absl::StatusCode::kInvalidArgument,
       "says that ghost is in model-00001"},
  };
  for (const auto& c : kCases) {
    index_ = whole;
    c.damage();
    WriteIndex();
    ExpectRefused(c.code, c.why);
  }
  WriteAll(dir_ / "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"b\",\"a\":\"c\"}}");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "\"a\" appears twice");
}

TEST_F(CheckpointTest, ATensorInTwoFilesIsRefused) {
  WriteShards();
  WriteSafetensors(dir_ / kShards[0], tensors_);
  ExpectRefused(absl::StatusCode::kInvalidArgument, "stands in another file of the checkpoint too");
}

TEST_F(CheckpointTest, FoldersWithoutSafetensorsSayWhatTheyHold) {
  const struct {
    const char* name;  // of the only file beside config.json
    absl::StatusCode code;
    const char* why;
  } kCases[] = {
      {"readme.txt", absl::StatusCode::kNotFound, "download the weights"},
      {"training_args.bin", absl::StatusCode::kNotFound, "download the weights"},
      {"pytorch_model.bin", absl::StatusCode::kFailedPrecondition, "safe_serialization"},
      {"pytorch_model-00001-of-00002.bin", absl::StatusCode::kFailedPrecondition, "pickle"},
      {"consolidated.00.pth", absl::StatusCode::kFailedPrecondition, "consolidated.00.pth"},
      {"model.pt", absl::StatusCode::kFailedPrecondition, "pickle"},
      {"model.gguf", absl::StatusCode::kFailedPrecondition, "give the file itself"},
      {"adapter_model.safetensors", absl::StatusCode::kUnimplemented, "LoRA adapter"},
      {"model-00001-of-00002.safetensors", absl::StatusCode::kNotFound,
       "download the missing index"},
      {"manifest.json", absl::StatusCode::kFailedPrecondition, "a layer store"},
  };
  for (const bool with_config : {true, false}) {
    for (const auto& c : kCases) {
      fs::remove_all(dir_);
      fs::create_directory(dir_);
      if (with_config) WriteAll(dir_ / "config.json", config_.dump());
      WriteAll(dir_ / c.name, "");
      ExpectRefused(c.code, c.why);
    }
  }
}

TEST_F(CheckpointTest, WhatIsNoFolderIsRefused) {
  Write();
  const auto open = [&](const std::string& name) {
    return Checkpoint::Open((dir_ / name).string()).status();
  };
  EXPECT_EQ(open("nowhere").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(open("config.json/x").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(open("model.safetensors").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(open("model.safetensors").message()), HasSubstr("give the folder"));
  WriteAll(dir_ / "x.gguf", "GGUF");
  EXPECT_EQ(open("x.gguf").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Checkpoint::Open("").status().code(), absl::StatusCode::kNotFound);
  fs::remove(dir_ / "config.json");
  ExpectRefused(absl::StatusCode::kNotFound, "no config.json");
}

TEST_F(CheckpointTest, ABadConfigurationIsNamedWithItsFile) {
  Write();
  WriteAll(dir_ / "config.json", "{\"hidden_size\": 4,}");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "config.json: not valid JSON at byte 19");
  config_["quantization_config"] = {{"quant_method", "awq"}};
  Write();
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "config.json: the checkpoint is quantized");
}

TEST_F(CheckpointTest, AGitLfsPointerIsNamedWhateverFileItStandsFor) {
  constexpr char kPointer[] =
      "version https://git-lfs.github.com/spec/v1\n"
      "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
  for (const bool sharded : {false, true}) {
    sharded ? WriteShards() : Write();
    if (sharded) fs::remove(dir_ / "model.safetensors");
    WriteAll(dir_ / "generation_config.json", "{}");
    ASSERT_TRUE(Checkpoint::Open(dir_).ok()) << Checkpoint::Open(dir_).status();
    std::vector<std::string> names = {"config.json", "generation_config.json"};
    if (sharded) {
      names.insert(names.end(), {"model.safetensors.index.json", kShards[0], kShards[1]});
    } else {
      names.push_back("model.safetensors");
    }
    for (const std::string& name : names) {
      const std::string text = ReadAll(dir_ / name);
      WriteAll(dir_ / name, kPointer);
      EXPECT_THAT(std::string(Checkpoint::Open(dir_).status().message()),
                  HasSubstr(absl::StrCat(
                      (dir_ / name).string(),
                      " is a Git LFS pointer, not the file; fetch the file with `git lfs pull`")));
      WriteAll(dir_ / name, text);
    }
  }
}

TEST_F(CheckpointTest, AFileCutAfterOpeningIsReportedWithTensorAndOffset) {
  Write();
  const auto checkpoint = Open();
  ASSERT_TRUE(checkpoint.ok());
  const CheckpointTensor& tensor = *(*checkpoint)->Find("model.norm.weight");
  fs::resize_file(dir_ / "model.safetensors", tensor.offset + 5);
  std::vector<std::byte> bytes(tensor.bytes - 2);
  const absl::Status status = (*checkpoint)->Read(tensor, 2, absl::MakeSpan(bytes));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr("model.safetensors: tensor model.norm.weight at byte 5: the file has become"));
  ExpectRefused(absl::StatusCode::kInvalidArgument, "bytes of data");
}

TEST_F(CheckpointTest, EveryTruncationOfAFileIsNoticed) {
  Write();
  const std::string whole = ReadAll(dir_ / "model.safetensors");
  for (size_t size = 0; size < whole.size(); size += 1 + size / 8) {
    WriteAll(dir_ / "model.safetensors", whole.substr(0, size));
    EXPECT_FALSE(Open().ok()) << size;
  }
}

}  // namespace
}  // namespace sluice
