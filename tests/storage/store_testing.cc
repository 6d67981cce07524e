// Folders, checkpoints and comparisons for the tests of stores.
#include "store_testing.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "storage/store/export.h"

namespace sluice {

namespace fs = std::filesystem;
using nlohmann::json;

TemporaryFolder::TemporaryFolder(Where where) {
  const bool memory = where == Where::kMemory && access("/dev/shm", W_OK) == 0;
  std::string name = absl::StrCat(memory ? "/dev/shm" : "/tmp", "/sluice-test-XXXXXX");
  if (mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "cannot create " << name;
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string TemporaryFolder::operator/(absl::string_view name) const {
  return absl::StrCat(path_, "/", name);
}

std::string ModelDir(absl::string_view name) {
  return absl::StrCat(SLUICE_SOURCE_DIR "/tests/data/models/", name);
}

std::vector<std::string> GoldenModels() {
  return {"llama-gqa-untied-f32", "llama-linear-rope-f32", "llama3-rope-bf16-sharded",
          "mistral-window-f16",   "qwen2-bias-bf16",       "qwen2-yarn-bf16",
          "qwen3-qknorm-bf16",    "seed-oss-bf16"};
}

std::unique_ptr<Checkpoint> OpenCheckpoint(const std::string& dir) {
  absl::StatusOr<std::unique_ptr<Checkpoint>> checkpoint = Checkpoint::Open(dir);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  if (!checkpoint.ok()) abort();  // nothing that follows could mean anything
  return *std::move(checkpoint);
}

std::unique_ptr<LayerStore> OpenStore(const std::string& dir) {
  absl::StatusOr<std::unique_ptr<LayerStore>> store = LayerStore::Open(dir);
  EXPECT_TRUE(store.ok()) << store.status();
  if (!store.ok()) abort();
  return *std::move(store);
}

json TinyConfig(int hidden, int intermediate, int vocab) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"hidden_size", hidden},
          {"intermediate_size", intermediate},
          {"num_hidden_layers", 1},
          {"num_attention_heads", 2},
          {"num_key_value_heads", 1},
          {"vocab_size", vocab},
          {"max_position_embeddings", 128},
          {"rms_norm_eps", 1e-5},
          {"hidden_act", "silu"},
          {"rope_theta", 10000.0},
          {"tie_word_embeddings", false}};
}

void WriteCheckpoint(const std::string& dir, const json& config,
                     const std::function<std::string(const std::string&)>& dtype,
                     const std::function<void(const std::string&, std::vector<float>*)>& edit) {
  fs::create_directories(dir);
  WriteBytes(absl::StrCat(dir, "/config.json"), config.dump(2));
  absl::StatusOr<HyperParameters> h = ParseHyperParameters(config, "test");
  ASSERT_TRUE(h.ok()) << h.status();
  std::mt19937 random(20240607);
  std::set<std::string> seen;
  json header = json::object();
  std::string data;
  for (const TensorSpec& spec : ListTensors(*h)) {
    if (!seen.insert(spec.name).second) continue;
    int64_t n = 1;
    for (const int64_t length : spec.shape) n *= length;
    std::vector<float> values(n);
    for (float& value : values) {  // no std:: distribution: those differ between libraries
      value = (static_cast<int32_t>(random()) * (1.0f / (1u << 31))) * 0.2f;
    }
    if (edit) edit(spec.name, &values);
    const std::string type = dtype(spec.name);
    const Encoding encoding = type == "F32"   ? Encoding::kF32
                              : type == "F16" ? Encoding::kF16
                                              : Encoding::kBF16;
    std::string bytes(RowBytes(encoding, n), '\0');
    EncodeRow(encoding, values.data(), n, reinterpret_cast<std::byte*>(bytes.data()));
    header[spec.name] = {{"dtype", type},
                         {"shape", spec.shape},
                         {"data_offsets", {data.size(), data.size() + bytes.size()}}};
    data += bytes;
  }
  const std::string text = header.dump();
  std::string length;
  for (int i = 0; i < 8; ++i) length.push_back(static_cast<char>(text.size() >> (8 * i)));
  WriteBytes(absl::StrCat(dir, "/model.safetensors"), absl::StrCat(length, text, data));
}

std::string ReadBytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  std::string bytes(in ? static_cast<size_t>(in.tellg()) : 0, '\0');
  in.seekg(0);
  in.read(bytes.data(), static_cast<int64_t>(bytes.size()));
  return bytes;
}

void WriteBytes(const std::string& path, absl::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<int64_t>(bytes.size()));
}

std::map<std::string, std::string> ReadFolder(const std::string& dir) {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(dir)) {
    if (entry.is_regular_file()) {
      files[fs::relative(entry.path(), dir).string()] = ReadBytes(entry.path().string());
    }
  }
  return files;
}

std::vector<std::string> DifferingFiles(const std::string& a, const std::string& b) {
  std::map<std::string, std::string> files_a = ReadFolder(a);
  const std::map<std::string, std::string> files_b = ReadFolder(b);
  std::vector<std::string> differing;
  for (const auto& [name, bytes] : files_b) {
    if (!files_a.contains(name) || files_a[name] != bytes) differing.push_back(name);
    files_a.erase(name);
  }
  for (const auto& [name, bytes] : files_a) differing.push_back(name);
  return differing;
}

ShardOptions Options(absl::string_view recipe, int64_t slab_bytes, int num_threads,
                     StoreCompression compression) {
  ShardOptions options;
  if (!recipe.empty()) options.recipe = Recipe{std::string(recipe)};
  options.slab_bytes = slab_bytes;
  options.num_threads = num_threads;
  options.compression = compression;
  return options;
}

absl::Status TryShard(const std::string& model_dir, const std::string& store,
                      const ShardOptions& options) {
  absl::StatusOr<std::unique_ptr<Checkpoint>> checkpoint = Checkpoint::Open(model_dir);
  if (!checkpoint.ok()) return checkpoint.status();
  return Shard(**checkpoint, store, options).status();
}

Manifest ShardOrDie(const std::string& model_dir, const std::string& store_dir,
                    absl::string_view recipe, int64_t slab_bytes, int num_threads,
                    StoreCompression compression) {
  absl::StatusOr<ShardResult> result = Shard(*OpenCheckpoint(model_dir), store_dir,
                                             Options(recipe, slab_bytes, num_threads, compression));
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) abort();
  return std::move(result->manifest);
}

absl::Status CollectTensor(const LayerStore& store, int tensor, std::string* bytes) {
  bytes->clear();
  return ReadTensor(store, tensor, [&](absl::Span<const std::byte> part) {
    bytes->append(reinterpret_cast<const char*>(part.data()), part.size());
    return absl::OkStatus();
  });
}

}  // namespace sluice
