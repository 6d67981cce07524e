// Tests of telling a store's checkpoint from others: by bytes where they were remembered, else by
// headers.
#include "storage/shard/source_check.h"

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fault_injection.h"
#include "gguf_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/shard/sharder.h"
#include "storage/store/verify.h"
#include "store_testing.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Copies of the same model as a folder of two safetensors files and as a GGUF file.
std::vector<std::string> WriteBothKinds(const TemporaryFolder& folder) {
  fs::copy(ModelDir("llama3-rope-bf16-sharded"), folder / "c");
  ConvertToGguf("llama3-rope-bf16-sharded").Write(folder / "m.gguf");
  return {folder / "c", folder / "m.gguf"};
}

// Changes a value of the tensor, and nothing else. Returns the name of the file that has it.
std::string ChangeWeight(const std::string& model, const std::string& tensor) {
  const std::unique_ptr<Checkpoint> checkpoint = OpenCheckpoint(model);
  const CheckpointTensor& t = *checkpoint->Find(tensor);
  const std::string& name = checkpoint->files()[t.file];
  const std::string path = fs::is_directory(model) ? model + "/" + name : model;
  std::string bytes = ReadBytes(path);
  bytes.at(t.offset + t.bytes / 2) ^= 1;
  WriteBytes(path, bytes);
  return name;
}

// An unfinished store: one write in the middle fails, and the files before it are recorded.
void BeginStore(const std::string& model, const std::string& store) {
  const std::string counted = store + "-counted";
  ArmFaults({FaultPlan::Action::kCount, -1, 0, /*writes_only=*/true});
  ASSERT_TRUE(TryShard(model, counted, Options("", 16384, 1)).ok());
  const int64_t writes = DisarmFaults();
  fs::remove_all(counted);
  ArmFaults({FaultPlan::Action::kFail, writes / 2, EIO, /*writes_only=*/true});
  const absl::Status status = TryShard(model, store, Options("", 16384, 1));
  DisarmFaults();
  ASSERT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  ASSERT_THAT(ReadBytes(store + "/unfinished.json"), HasSubstr("embedding.rows"));
}

constexpr char kEmbeddingTensor[] = "model.embed_tokens.weight";

TEST(SourceCheck, AnUnfinishedStoreGoesOnOnlyWithTheWeightsThatItHas) {
  TemporaryFolder folder;
  for (const std::string& model : WriteBothKinds(folder)) {
    const std::string store = folder / "s", whole = folder / "whole";
    ShardOrDie(model, whole);
    BeginStore(model, store);
    const auto before = ReadFolder(store);
    const std::string file = ChangeWeight(model, kEmbeddingTensor);
    const absl::Status status = TryShard(model, store);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(Message(status), AllOf(HasSubstr("holds an unfinished store"),
                                       HasSubstr(file + " holds other weights in model.embed")));
    EXPECT_EQ(ReadFolder(store), before);
    ChangeWeight(model, kEmbeddingTensor);  // back
    fs::last_write_time(fs::is_directory(model) ? model + "/" + file : model, {});
    EXPECT_TRUE(TryShard(model, store).ok());
    EXPECT_THAT(DifferingFiles(whole, store), IsEmpty());
    for (const std::string& made : {store, whole}) fs::remove_all(made);
  }
}

TEST(SourceCheck, AnUnfinishedStoreGoesOnWithACopyUnderAnotherName) {
  TemporaryFolder folder;
  for (const std::string& model : WriteBothKinds(folder)) {
    const std::string store = folder / "s", copy = folder / "copy";
    BeginStore(model, store);
    fs::copy(model, copy);
    const auto result = Shard(*OpenCheckpoint(copy), store, Options());
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->outcome, ShardOutcome::kResumed);
    ShardOrDie(copy, folder / "whole");
    EXPECT_THAT(DifferingFiles(folder / "whole", store), IsEmpty());
    for (const char* made : {"s", "copy", "whole"}) fs::remove_all(folder / made);
  }
}

TEST(SourceCheck, AFinishedStoreOfOtherWeightsIsRefusedByFile) {
  TemporaryFolder folder;
  for (const std::string& model : WriteBothKinds(folder)) {
    const std::string store = folder / "s";
    ShardOrDie(model, store, "q8_0");
    const auto before = ReadFolder(store);
    for (const char* tensor :
         {kEmbeddingTensor, "model.norm.weight", "lm_head.weight",
          "model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.down_proj.weight"}) {
      if (OpenCheckpoint(model)->Find(tensor) == nullptr) continue;
      const std::string file = ChangeWeight(model, tensor);
      const absl::Status status = TryShard(model, store, Options("q8_0"));
      EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << tensor << status;
      EXPECT_THAT(Message(status), AllOf(HasSubstr("holds a finished store"),
                                         HasSubstr(file + " holds other weights")))
          << tensor;
      ChangeWeight(model, tensor);  // back
    }
    const auto result = Shard(*OpenCheckpoint(model), store, Options("q8_0"));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->outcome, ShardOutcome::kComplete);
    EXPECT_EQ(ReadFolder(store), before);
    fs::remove_all(store);
  }
}

TEST(SourceCheck, AFinishedStoreKnowsItsWeightsUnderAnotherName) {
  TemporaryFolder folder;
  for (const std::string& model : WriteBothKinds(folder)) {
    const std::string store = folder / "s", copy = folder / "copy";
    ShardOrDie(model, store);
    const auto before = ReadFolder(store);
    fs::copy(model, copy);
    const auto result = Shard(*OpenCheckpoint(copy), store, Options());
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->outcome, ShardOutcome::kComplete);
    EXPECT_EQ(ReadFolder(store), before);
    for (const char* made : {"s", "copy"}) fs::remove_all(folder / made);
  }
}

TEST(SourceCheck, AConfigurationThatMeansAnotherModelIsRefused) {
  TemporaryFolder folder;
  const std::string model = folder / "c", store = folder / "s";
  fs::copy(ModelDir("llama-gqa-untied-f32"), model);
  ShardOrDie(model, store);
  json config = json::parse(ReadBytes(model + "/config.json"));
  config["rms_norm_eps"] = 1e-3;
  WriteBytes(model + "/config.json", config.dump());
  const absl::Status status = TryShard(model, store);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(Message(status), HasSubstr("another rms_norm_eps"));
}

TEST(SourceCheck, AStoreOfAnOlderSluiceIsJudgedByHeaders) {
  TemporaryFolder folder;
  const std::string model = folder / "c", store = folder / "s";
  fs::copy(ModelDir("llama-gqa-untied-f32"), model);
  ShardOrDie(model, store);
  fs::remove(store + "/record.json");  // which it did not write
  ChangeWeight(model, kEmbeddingTensor);
  auto result = Shard(*OpenCheckpoint(model), store, Options());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->outcome, ShardOutcome::kComplete);
  EXPECT_TRUE(result->judged_by_headers);

  const std::string begun = folder / "begun";
  BeginStore(model, begun);
  json record = json::parse(ReadBytes(begun + "/unfinished.json"));
  for (auto& [path, file] : record["finished"].items()) file.erase("source_checksums");
  WriteBytes(begun + "/unfinished.json", record.dump());
  result = Shard(*OpenCheckpoint(model), begun, Options());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->judged_by_headers);
  EXPECT_FALSE(fs::exists(begun + "/record.json"))
      << "nobody knows what the first files were made from";
  EXPECT_THAT(*VerifyStore(begun, {}), IsEmpty());
}

TEST(SourceCheck, ReadsTheCheckpointOnceAndCanBeStopped) {
  TemporaryFolder folder;
  const std::string store = folder / "s";
  ShardOrDie(ModelDir("bard-6.7M"), store);
  ShardOptions options = Options();
  int64_t done = 0, total = 0;
  options.on_compare = [&](int64_t bytes_done, int64_t bytes_total) {
    EXPECT_GT(bytes_done, done);
    done = bytes_done;
    total = bytes_total;
  };
  ASSERT_TRUE(TryShard(ModelDir("bard-6.7M"), store, options).ok());
  EXPECT_EQ(done, total);
  EXPECT_EQ(total, 2 * 6689024);  // the tied head is the embedding, which is read once
  const std::atomic<bool> stop{true};
  options.stop = &stop;
  options.on_compare = nullptr;
  EXPECT_TRUE(absl::IsCancelled(TryShard(ModelDir("bard-6.7M"), store, options)));
}

}  // namespace
}  // namespace sluice
