// Tests of repairing: any damaged file comes back as it was, and a wrong checkpoint changes
// nothing.
#include "storage/shard/repair.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fault_injection.h"
#include "gguf_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/model/model_shapes.h"
#include "storage/shard/synth.h"
#include "storage/store/store_geometry.h"
#include "storage/store/verify.h"
#include "store_testing.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

absl::StatusOr<RepairResult> Repair(const std::string& model, const std::string& store,
                                    RepairOptions options = {}) {
  options.num_threads = 2;
  return RepairStore(*OpenCheckpoint(model), store, options);
}

void FlipMiddle(const std::string& path) {
  std::string bytes = ReadBytes(path);
  bytes.at(bytes.size() / 2) ^= 4;
  WriteBytes(path, bytes);
}

void CopyStore(const std::string& from, const std::string& to) {
  fs::remove_all(to);
  fs::copy(from, to, fs::copy_options::recursive);
}

// A store of each kind of checkpoint, whole, and what its checkpoint is.
struct Sample {
  std::string model;
  std::string store;
};
std::vector<Sample> MakeSamples(const TemporaryFolder& folder) {
  fs::copy(ModelDir("bard-6.7M"), folder / "bard");
  ConvertToGguf("llama3-rope-bf16-sharded").Write(folder / "m.gguf");
  ShardOrDie(folder / "bard", folder / "q4", "q4_k_m", 65536);
  ShardOrDie(folder / "bard", folder / "zstd", "", 65536, 2, StoreCompression::kZstd);
  ShardOrDie(folder / "m.gguf", folder / "gguf");
  return {{folder / "bard", folder / "q4"},
          {folder / "bard", folder / "zstd"},
          {folder / "m.gguf", folder / "gguf"}};
}

TEST(Repair, WritesAnyDamagedOrMissingFileAgain) {
  TemporaryFolder folder;
  const std::string store = folder / "damaged";
  for (const Sample& sample : MakeSamples(folder)) {
    CopyStore(sample.store, store);
    for (const auto& [name, bytes] : ReadFolder(sample.store)) {
      if (name > "layers/000.slabs" && name <= "layers/007.slabs") continue;  // as the ones before
      const std::string path = store + "/" + name;
      for (const auto& damage : std::vector<std::function<void()>>{
               [&] { FlipMiddle(path); }, [&] { fs::resize_file(path, fs::file_size(path) / 2); },
               [&] { fs::remove(path); }}) {
        damage();
        const auto result = Repair(sample.model, store);
        ASSERT_TRUE(result.ok()) << name << ": " << result.status();
        if (name == kRecordFile && result->damage.empty()) {
          WriteBytes(path, bytes);  // removed: as an older sluice leaves it
          continue;
        }
        EXPECT_THAT(result->written, ElementsAre(name));
        EXPECT_THAT(result->damage, Contains(HasSubstr(name)));
        ASSERT_THAT(DifferingFiles(sample.store, store), IsEmpty()) << name;
      }
    }
    EXPECT_THAT(*VerifyStore(store, {}), IsEmpty());
  }
}

TEST(Repair, WritesAllDamageAtOnceAndLeavesTheRest) {
  TemporaryFolder folder;
  const std::string whole = folder / "whole", store = folder / "s";
  ShardOrDie(ModelDir("bard-6.7M"), whole, "q4_k_m");
  CopyStore(whole, store);
  FlipMiddle(store + "/layers/002.slabs");
  fs::remove(store + "/layers/005.slabs");
  FlipMiddle(store + "/embedding.rows");
  fs::resize_file(store + "/resident.bin", 10);
  fs::remove(store + "/tokenizer/tokenizer.json");
  const auto before = fs::last_write_time(store + "/layers/003.slabs");
  const auto result = Repair(ModelDir("bard-6.7M"), store);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->written, ElementsAre("resident.bin", "embedding.rows", "layers/002.slabs",
                                           "layers/005.slabs", "tokenizer/tokenizer.json"));
  EXPECT_THAT(DifferingFiles(whole, store), IsEmpty());
  EXPECT_EQ(fs::last_write_time(store + "/layers/003.slabs"), before);
}

TEST(Repair, LeavesAStoreWithoutDamageAlone) {
  TemporaryFolder folder;
  const std::string store = folder / "s";
  ShardOrDie(ModelDir("bard-6.7M"), store, "q8_0");
  const auto before = ReadFolder(store);
  const auto time = fs::last_write_time(store + "/manifest.json");
  const auto result = Repair(ModelDir("bard-6.7M"), store);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->written, IsEmpty());
  EXPECT_EQ(ReadFolder(store), before);
  EXPECT_EQ(fs::last_write_time(store + "/manifest.json"), time);
}

// Other weights are refused whether the store remembers the checkpoint's bytes or not.
TEST(Repair, RefusesOtherWeightsAndChangesNothing) {
  TemporaryFolder folder;
  const std::string model = folder / "c", other = folder / "other", store = folder / "s";
  for (const bool with_record : {true, false}) {
    for (const char* damaged : {"layers/001.slabs", "embedding.rows", "resident.bin"}) {
      for (const std::string& dir : {model, other, store}) fs::remove_all(dir);
      json config = TinyConfig(64, 64, 40);
      config["num_hidden_layers"] = 2;
      const auto bf16 = [](const std::string&) { return "BF16"; };
      WriteCheckpoint(model, config, bf16);
      WriteCheckpoint(other, config, bf16, [&](const std::string&, std::vector<float>* values) {
        for (float& value : *values) value = value * 0.5f;
      });
      ShardOrDie(model, store, "q8_0");
      if (!with_record) fs::remove(store + "/record.json");
      FlipMiddle(store + "/" + damaged);
      const auto before = ReadFolder(store);
      const absl::Status status = Repair(other, store).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << damaged << status;
      EXPECT_THAT(Message(status), HasSubstr("holds a finished store of c (bf16), not of this"));
      EXPECT_EQ(ReadFolder(store), before) << damaged;
      const auto result = Repair(model, store);
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->judged_by_headers, !with_record);
      EXPECT_THAT(*VerifyStore(store, {}), IsEmpty());
    }
  }
}

TEST(Repair, RefusesOtherOptionsAndTakesTheStoresOwn) {
  TemporaryFolder folder;
  const std::string model = ModelDir("bard-6.7M"), store = folder / "s";
  ShardOrDie(model, store, "q8_0", 65536);
  FlipMiddle(store + "/head.slabs");
  RepairOptions recipe, slabs, compression, same;
  recipe.recipe = "q4_k_m";
  slabs.slab_bytes = 4096;
  compression.compression = StoreCompression::kZstd;
  EXPECT_THAT(Message(Repair(model, store, recipe).status()), HasSubstr("as q8_0, not as q4_k_m"));
  EXPECT_THAT(Message(Repair(model, store, slabs).status()),
              HasSubstr("with slabs of 65536 bytes, not 4096"));
  EXPECT_THAT(Message(Repair(model, store, compression).status()),
              HasSubstr("with compression none, not zstd"));
  same.recipe = "q8_0";
  same.slab_bytes = 65536;
  EXPECT_TRUE(Repair(model, store, same).ok());
  EXPECT_THAT(*VerifyStore(store, {}), IsEmpty());
}

TEST(Repair, TellsADamagedManifestApart) {
  TemporaryFolder folder;
  const std::string model = ModelDir("qwen3-qknorm-bf16"), store = folder / "s";
  ShardOrDie(model, folder / "whole");
  for (const bool missing : {true, false}) {
    CopyStore(folder / "whole", store);
    const auto damage = [&](const std::string& name) {
      missing ? static_cast<void>(fs::remove(store + name)) : FlipMiddle(store + name);
    };
    damage("/manifest.json");
    EXPECT_THAT(Message(VerifyStore(store, {}).status()),
                AllOf(HasSubstr("manifest.json"), HasSubstr("shard --repair")));
    // Shard() alone does not touch it.
    EXPECT_THAT(Message(TryShard(model, store)), HasSubstr("shard --repair"));
    damage("/record.json");
    const auto before = ReadFolder(store);
    const absl::Status status = Repair(model, store).status();
    EXPECT_THAT(Message(status), HasSubstr("manifest.json")) << status;
    EXPECT_EQ(ReadFolder(store), before);
    fs::copy(folder / "whole/record.json", store, fs::copy_options::overwrite_existing);
    FlipMiddle(store + "/head.slabs");
    const auto result = Repair(model, store);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_THAT(result->written, ElementsAre("manifest.json", "head.slabs"));
    EXPECT_THAT(DifferingFiles(folder / "whole", store), IsEmpty());
  }
}

TEST(Repair, SaysThatRandomWeightsHaveNoCheckpoint) {
  TemporaryFolder folder;
  SynthOptions options;
  options.name = "tiny";
  HyperParameters& h = options.hyper_parameters;
  h = *ModelShape("llama-3.1-8b");
  h.hidden_size = 64;
  h.intermediate_size = 64;
  h.num_hidden_layers = 1;
  h.num_attention_heads = 2;
  h.num_key_value_heads = 1;
  h.head_dim = 32;
  h.vocab_size = 64;
  h.layer_windows = {0};
  const auto made = Synthesize(folder / "s", options);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(IsSynthetic(OpenStore(folder / "s")->manifest()));
  FlipMiddle(folder / "s/head.slabs");
  const absl::Status status = Repair(ModelDir("llama-gqa-untied-f32"), folder / "s").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), AllOf(HasSubstr("random weights"), HasSubstr("sluice synth")));
  EXPECT_FALSE(IsSynthetic(ShardOrDie(ModelDir("llama-gqa-untied-f32"), folder / "real")));
}

TEST(Repair, FindsDamageInAnUnfinishedStoreAndFinishesIt) {
  TemporaryFolder folder;
  const std::string model = ModelDir("bard-6.7M"), store = folder / "s";
  ShardOrDie(model, folder / "whole", "", 32768);
  ArmFaults({FaultPlan::Action::kFail, 200, EIO, /*writes_only=*/true});
  EXPECT_FALSE(TryShard(model, store, Options("", 32768)).ok());
  DisarmFaults();
  ASSERT_THAT(ReadBytes(store + "/unfinished.json"), HasSubstr("layers/000.slabs"));
  FlipMiddle(store + "/layers/000.slabs");
  const auto result = Repair(model, store);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->written, Contains("layers/000.slabs"));
  EXPECT_THAT(result->written, Not(Contains("embedding.rows")));
  EXPECT_THAT(DifferingFiles(folder / "whole", store), IsEmpty());
}

TEST(Repair, FindsFilesThatWereMovedToAnotherDisk) {
  TemporaryFolder folder;
  const std::string model = ModelDir("bard-6.7M"), store = folder / "s";
  Manifest manifest = ShardOrDie(model, store);
  fs::create_directories(folder / "disk/layers");
  manifest.roots.push_back(folder / "disk");
  for (ManifestFile& file : manifest.files) {
    if (file.path != "layers/001.slabs" && file.path != "layers/002.slabs") continue;
    file.root = 1;
    fs::copy(store + "/" + file.path, folder / "disk/" + file.path);
    fs::remove(store + "/" + file.path);
  }
  WriteBytes(store + "/manifest.json", SerializeManifest(manifest));
  const auto before = ReadFolder(folder.path());
  FlipMiddle(folder / "disk/layers/001.slabs");
  FlipMiddle(store + "/layers/000.slabs");
  const auto result = Repair(model, store);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->written, ElementsAre("layers/000.slabs", "layers/001.slabs"));
  EXPECT_EQ(ReadFolder(folder.path()), before);
  EXPECT_TRUE(TryShard(model, store).ok());
}

TEST(Repair, FindsNoStoreWhereThereIsNone) {
  TemporaryFolder folder;
  fs::create_directory(folder / "empty");
  for (const char* name : {"none", "empty"}) {
    EXPECT_EQ(Repair(ModelDir("bard-6.7M"), folder / name).status().code(),
              absl::StatusCode::kNotFound);
  }
  EXPECT_THAT(ReadFolder(folder.path()), IsEmpty());
}

TEST(Repair, KeepsTheStoresTokenizerWhereTheCheckpointHasNone) {
  TemporaryFolder folder;
  const std::string model = folder / "c", store = folder / "s";
  fs::copy(ModelDir("bard-6.7M"), model);
  ShardOrDie(model, store);
  const auto before = ReadFolder(store);
  fs::remove(model + "/tokenizer.json");
  FlipMiddle(store + "/head.slabs");
  ASSERT_TRUE(Repair(model, store).ok());
  EXPECT_EQ(ReadFolder(store), before);
  fs::remove(store + "/tokenizer/tokenizer.json");
  const auto result = Repair(model, store);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->removed, ElementsAre("tokenizer/tokenizer.json"));
  EXPECT_THAT(*VerifyStore(store, {}), IsEmpty());
}

#if defined(__SANITIZE_THREAD__)
#define SKIP_FORKING() GTEST_SKIP() << "ThreadSanitizer does not follow threads into a fork"
#else
#define SKIP_FORKING() static_cast<void>(0)
#endif

// Kills `change` of a copy of `damaged` before every system call; then `again` must give `whole`.
void KillEverywhere(const TemporaryFolder& folder, const std::string& damaged,
                    const std::string& whole,
                    const std::function<absl::Status(const std::string&)>& change,
                    const std::function<absl::Status(const std::string&)>& again) {
  const std::string store = folder / "killed";
  CopyStore(damaged, store);
  ArmFaults({});
  ASSERT_TRUE(change(store).ok());
  const int64_t calls = DisarmFaults();
  ASSERT_THAT(DifferingFiles(whole, store), IsEmpty());
  ASSERT_GT(calls, 20);
  for (int64_t at = 0; at < calls; ++at) {
    CopyStore(damaged, store);
    const pid_t child = fork();
    if (child == 0) {
      ArmFaults({FaultPlan::Action::kKill, at});
      change(store).IgnoreError();
      _exit(0);
    }
    int result = -1;
    ASSERT_EQ(waitpid(child, &result, 0), child);
    ASSERT_TRUE(WIFSIGNALED(result) && WTERMSIG(result) == SIGKILL) << at;
    const absl::Status status = again(store);
    ASSERT_TRUE(status.ok()) << "killed at call " << at << ": " << status;
    fs::remove(store + "/.lock");  // the killed process's
    ASSERT_THAT(DifferingFiles(whole, store), IsEmpty()) << "killed at call " << at;
  }
}

TEST(Repair, SurvivesKillBeforeEverySystemCall) {
  SKIP_FORKING();
  TemporaryFolder folder;
  ConvertToGguf("llama3-rope-bf16-sharded").Write(folder / "m.gguf");
  for (const std::string& model : {ModelDir("qwen3-qknorm-bf16"), folder / "m.gguf"}) {
    const std::string whole = folder / "whole", damaged = folder / "damaged";
    fs::remove_all(whole);
    ShardOrDie(model, whole, "", 65536, 1);
    CopyStore(whole, damaged);
    FlipMiddle(damaged + "/layers/000.slabs");
    fs::remove(damaged + "/embedding.rows");
    FlipMiddle(damaged + "/tokenizer/config.json");
    const auto repair = [&](const std::string& store) {
      RepairOptions options;
      options.num_threads = 1;
      return RepairStore(*OpenCheckpoint(model), store, options).status();
    };
    if (!fs::is_directory(model)) {
      KillEverywhere(folder, damaged, whole, repair, repair);
      continue;
    }
    // Once unfinished.json is there the plain command goes on, too.
    const auto either = [&](const std::string& store) {
      return fs::exists(store + "/unfinished.json") ? TryShard(model, store, Options("", 65536, 1))
                                                    : repair(store);
    };
    KillEverywhere(folder, damaged, whole, repair, either);
  }
}

TEST(TokenizerTakeover, SurvivesKillBeforeEverySystemCall) {
  SKIP_FORKING();
  TemporaryFolder folder;
  const std::string model = folder / "c", whole = folder / "whole", before = folder / "before";
  fs::copy(ModelDir("qwen3-qknorm-bf16"), model);
  ShardOrDie(model, before, "", 65536, 1);
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    fs::copy(ModelDir("bard-6.7M") + "/" + name, model + "/" + name,
             fs::copy_options::overwrite_existing);
  }
  ShardOrDie(model, whole, "", 65536, 1);
  const auto shard = [&](const std::string& store) {
    return TryShard(model, store, Options("", 65536, 1));
  };
  KillEverywhere(folder, before, whole, shard, shard);
}

TEST(TokenizerTakeover, TakesWhatHasChangedAndKeepsEditsOfTheRest) {
  TemporaryFolder folder;
  const std::string model = folder / "c", store = folder / "s";
  fs::copy(ModelDir("bard-6.7M"), model);
  ShardOrDie(model, store, "q8_0");
  const auto before = ReadFolder(store);
  const std::string edited = store + "/tokenizer/tokenizer_config.json";
  WriteBytes(edited, "{\"mine\": 1}");
  WriteBytes(model + "/chat_template.jinja", "{{ messages }}");
  fs::remove(model + "/generation_config.json");
  auto result = Shard(*OpenCheckpoint(model), store, Options("q8_0"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->outcome, ShardOutcome::kTookTokenizerOver);
  EXPECT_THAT(result->tokenizer_changes,
              ElementsAre("chat_template.jinja", "generation_config.json"));
  EXPECT_EQ(ReadBytes(edited), "{\"mine\": 1}");
  EXPECT_EQ(ReadBytes(store + "/tokenizer/chat_template.jinja"), "{{ messages }}");
  EXPECT_FALSE(fs::exists(store + "/tokenizer/generation_config.json"));
  EXPECT_EQ(ReadFolder(store).at("head.slabs"), before.at("head.slabs"));
  EXPECT_THAT(*VerifyStore(store, {}), Each(HasSubstr("tokenizer_config.json: ")));
  result = Shard(*OpenCheckpoint(model), store, Options("q8_0"));
  EXPECT_EQ(result->outcome, ShardOutcome::kComplete);
}

// A GGUF file's tokenizer is part of its header, and the weights are known by their bytes.
TEST(TokenizerTakeover, TakesTheTokenizerOfAGgufFileThatWasMended) {
  TemporaryFolder folder;
  const std::string model = folder / "m.gguf", store = folder / "s";
  GgufParts parts = ConvertToGguf("llama3-rope-bf16-sharded");
  parts.Write(model);
  ShardOrDie(model, store);
  parts.metadata.Int("tokenizer.ggml.eot_token_id", 7);
  parts.Write(model);
  const auto result = Shard(*OpenCheckpoint(model), store, Options());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->tokenizer_changes, ElementsAre("config.json"));
  ShardOrDie(model, folder / "whole");
  EXPECT_THAT(DifferingFiles(folder / "whole", store), IsEmpty());
}

}  // namespace
}  // namespace sluice
