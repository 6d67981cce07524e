// A head that drafts, from the checkpoint to a store of its own below the model's.
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/shard/repair.h"
#include "storage/store/store_paths.h"
#include "storage/store/verify.h"
#include "tests/storage/store_testing.h"
#include "tests/support/mimo_checkpoint.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kHeadPrefix[] = "model.mtp_layers.0.";

// Shards and returns the notes.
std::vector<std::string> Notes(const std::string& model, const std::string& store,
                               ShardOptions options = Options()) {
  std::vector<std::string> notes;
  options.on_note = [&](absl::string_view note) { notes.emplace_back(note); };
  EXPECT_TRUE(TryShard(model, store, options).ok());
  return notes;
}

ShardOutcome OutcomeOf(const std::string& model, const std::string& store) {
  const auto result = Shard(*OpenCheckpoint(model), store, Options());
  EXPECT_TRUE(result.ok()) << result.status();
  return result->outcome;
}

ino_t InodeOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
  return info.st_ino;
}

TEST(MtpStore, HasTheHeadsTensorsAndTheModelsEmbeddingAndOutput) {
  const TemporaryFolder folder;
  WriteMimoCheckpoint(folder / "mimo");
  EXPECT_THAT(Notes(folder / "mimo", folder / "s"), IsEmpty());
  const auto model = OpenStore(folder / "s");
  EXPECT_EQ(model->hyper_parameters().num_mtp_heads, 1);
  EXPECT_FALSE(model->hyper_parameters().is_mtp_head);
  EXPECT_EQ(FormatVersion(model->manifest()), 1);
  const auto head = OpenStore(MtpHeadDir(folder / "s"));
  EXPECT_TRUE(head->hyper_parameters().is_mtp_head);
  EXPECT_EQ(head->manifest().format_version, 3);
  EXPECT_THAT(head->manifest().tokenizer_files, IsEmpty());
  std::vector<std::string> names;
  for (const ManifestTensor& tensor : head->manifest().tensors) names.push_back(tensor.name);
  const auto of_head = [](const char* name) { return kHeadPrefix + std::string(name); };
  EXPECT_THAT(
      names,
      ElementsAre("model.embed_tokens.weight", of_head("token_layernorm.weight"),
                  of_head("hidden_layernorm.weight"), of_head("input_proj.weight"),
                  of_head("input_layernorm.weight"), of_head("self_attn.q_proj.weight"),
                  of_head("self_attn.k_proj.weight"), of_head("self_attn.v_proj.weight"),
                  of_head("self_attn.o_proj.weight"), of_head("self_attn.q_proj.bias"),
                  of_head("self_attn.k_proj.bias"), of_head("self_attn.v_proj.bias"),
                  of_head("post_attention_layernorm.weight"), of_head("mlp.gate_proj.weight"),
                  of_head("mlp.up_proj.weight"), of_head("mlp.down_proj.weight"),
                  of_head("final_layernorm.weight"), "model.embed_tokens.weight"));
  MimoTensors tensors;
  AddTensors("models/bard-6.7M-mtp/model.safetensors", &tensors);
  std::string stored;
  ASSERT_TRUE(CollectTensor(*head, 3, &stored).ok());
  const std::vector<uint16_t>& want = tensors.at(of_head("input_proj.weight")).values;
  EXPECT_EQ(stored, std::string(reinterpret_cast<const char*>(want.data()), 2 * want.size()));
  EXPECT_EQ(InodeOf(folder / "s/embedding.rows"), InodeOf(folder / "s/mtp/embedding.rows"));
  EXPECT_THAT(*VerifyStore(folder / "s", {}), IsEmpty());
  EXPECT_EQ(OutcomeOf(folder / "mimo", folder / "s"), ShardOutcome::kComplete);
}

TEST(MtpStore, LeavesAHeadOutThatIsNotWhole) {
  const struct {
    std::function<void(MimoTensors*)> edit;
    const char* note;
  } kCases[] = {
      {[](MimoTensors* t) { t->erase("model.mtp_layers.0.input_proj.weight"); },
       "the head that drafts is left out: 1 of 16 tensors are missing or have another shape or "
       "type: model.mtp_layers.0.input_proj.weight"},
      {[](MimoTensors* t) {
         t->at("model.mtp_layers.0.mlp.up_proj.weight").shape = {256, 768};
       },
       "left out: 1 of 16"},
      {[](MimoTensors* t) {
         std::erase_if(*t, [](const auto& entry) { return entry.first.starts_with(kHeadPrefix); });
       },
       "left out: 16 of 16"},
  };
  for (const auto& c : kCases) {
    const TemporaryFolder folder;
    WriteMimoCheckpoint(folder / "mimo", c.edit);
    EXPECT_THAT(Notes(folder / "mimo", folder / "s"), ElementsAre(HasSubstr(c.note)));
    EXPECT_EQ(OpenStore(folder / "s")->hyper_parameters().num_mtp_heads, 0);
    EXPECT_FALSE(fs::exists(MtpHeadDir(folder / "s")));
    EXPECT_THAT(*VerifyStore(folder / "s", {}), IsEmpty());
  }
}

TEST(MtpStore, LeavesAHeadOutThatTheConfigurationDoesNotName) {
  const TemporaryFolder folder;
  WriteMimoCheckpoint(folder / "mimo", nullptr, /*num_heads=*/0);
  EXPECT_THAT(Notes(folder / "mimo", folder / "s"),
              ElementsAre(HasSubstr("config.json has no \"num_nextn_predict_layers\"")));
  EXPECT_FALSE(fs::exists(MtpHeadDir(folder / "s")));
}

TEST(MtpStore, HasTheFirstOfSeveralHeads) {
  const TemporaryFolder folder;
  const auto add = [](MimoTensors* tensors) {
    MimoTensors more;
    for (const auto& [name, tensor] : *tensors) {
      if (!name.starts_with(kHeadPrefix)) continue;
      more["model.mtp_layers.1." + name.substr(sizeof(kHeadPrefix) - 1)] = tensor;
    }
    tensors->insert(more.begin(), more.end());
  };
  WriteMimoCheckpoint(folder / "mimo", add, /*num_heads=*/2);
  EXPECT_THAT(Notes(folder / "mimo", folder / "s"),
              ElementsAre(HasSubstr("behind the first one are left out")));
  EXPECT_EQ(OpenStore(folder / "s")->hyper_parameters().num_mtp_heads, 1);
  EXPECT_TRUE(OpenStore(MtpHeadDir(folder / "s"))->hyper_parameters().is_mtp_head);
}

TEST(MtpStore, ShardGoesOnBehindTheModel) {
  const TemporaryFolder folder;
  WriteMimoCheckpoint(folder / "mimo");
  const auto whole = [&] { return ReadFolder(folder / "s"); };
  EXPECT_EQ(OutcomeOf(folder / "mimo", folder / "s"), ShardOutcome::kWritten);
  const auto want = whole();
  fs::remove_all(MtpHeadDir(folder / "s"));
  EXPECT_THAT(*VerifyStore(folder / "s", {}), ElementsAre(HasSubstr("mtp: no such folder")));
  EXPECT_EQ(OutcomeOf(folder / "mimo", folder / "s"), ShardOutcome::kResumed);
  EXPECT_EQ(whole(), want);
  // Killed while the head's files were written.
  fs::remove(folder / "s/mtp/manifest.json");
  fs::remove(folder / "s/mtp/head.slabs");
  fs::rename(folder / "s/mtp/record.json", folder / "s/mtp/unfinished.json");
  std::string record = ReadBytes(folder / "s/mtp/unfinished.json");
  record = record.substr(0, record.rfind(",\n  \"checksum\"")) + "\n}\n";
  WriteBytes(folder / "s/mtp/unfinished.json", record);
  EXPECT_EQ(OutcomeOf(folder / "mimo", folder / "s"), ShardOutcome::kResumed);
  EXPECT_EQ(whole(), want);
}

TEST(MtpStore, IsVerifiedAndRepairedWithTheModel) {
  const TemporaryFolder folder;
  WriteMimoCheckpoint(folder / "mimo");
  ASSERT_TRUE(TryShard(folder / "mimo", folder / "s", Options("q8_0")).ok());
  const auto want = ReadFolder(folder / "s");
  const auto repaired = [&] {
    const auto result = RepairStore(*OpenCheckpoint(folder / "mimo"), folder / "s", {});
    EXPECT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(ReadFolder(folder / "s"), want);
    return *result;
  };
  std::string bytes = ReadBytes(folder / "s/mtp/layers/000.slabs");
  bytes[100] ^= 1;
  WriteBytes(folder / "s/mtp/layers/000.slabs", bytes);
  const auto damage = *VerifyStore(folder / "s", {});
  EXPECT_THAT(damage, ElementsAre(HasSubstr("mtp/layers/000.slabs: slab 0")));
  EXPECT_THAT(repaired().written, ElementsAre("mtp/layers/000.slabs"));
  fs::remove_all(MtpHeadDir(folder / "s"));
  EXPECT_THAT(repaired().written, SizeIs(1));
  EXPECT_THAT(repaired().written, IsEmpty());
  // Both stores have the model's embedding.
  bytes = ReadBytes(folder / "s/embedding.rows");
  bytes[0] ^= 1;
  WriteBytes(folder / "s/embedding.rows", bytes);
  EXPECT_THAT(repaired().written, Contains("embedding.rows"));
}

}  // namespace
}  // namespace sluice
