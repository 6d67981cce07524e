// Tests of opening stores: whole, unfinished, newer, and with files missing, cut or damaged.
#include "storage/store/layer_store.h"

#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/store/manifest_text.h"
#include "store_testing.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

// The values of a checkpoint's tensor, widened.
std::vector<float> Values(const Checkpoint& checkpoint, absl::string_view name) {
  const CheckpointTensor& tensor = *checkpoint.Find(name);
  std::vector<std::byte> bytes(tensor.bytes);
  EXPECT_TRUE(checkpoint.Read(tensor, 0, absl::MakeSpan(bytes)).ok());
  int64_t n = 1;
  for (const int64_t length : tensor.shape) n *= length;
  std::vector<float> values(n);
  DecodeRow(tensor.encoding, bytes.data(), n, values.data());
  return values;
}

TEST(LayerStore, GivesResidentTensorsAsTheCheckpointHasThem) {
  for (const std::string& model : GoldenModels()) {
    TemporaryFolder folder;
    ShardOrDie(ModelDir(model), folder / "s", "q8_0");
    const std::unique_ptr<LayerStore> store = OpenStore(folder / "s");
    const std::unique_ptr<Checkpoint> checkpoint = OpenCheckpoint(ModelDir(model));
    int resident = 0;
    for (const ManifestTensor& tensor : store->manifest().tensors) {
      const absl::Span<const float> values = store->Resident(tensor.role, tensor.layer);
      if (PlaceOf(tensor.role) != TensorPlace::kResident) {
        EXPECT_TRUE(values.empty());
        continue;
      }
      ++resident;
      EXPECT_EQ(values, absl::MakeConstSpan(Values(*checkpoint, tensor.name))) << tensor.name;
    }
    EXPECT_GT(resident, 4);
    EXPECT_TRUE(store->Resident(TensorRole::kAttentionNorm, 1000).empty());
    EXPECT_TRUE(store->Resident(TensorRole::kOBias, 0).empty());
    EXPECT_EQ(store->hyper_parameters().vocab_size, checkpoint->hyper_parameters().vocab_size);
    EXPECT_GE(store->MemoryBytes(), store->manifest().resident_bytes);
  }
}

TEST(LayerStore, FindsFilesUnderSeveralRoots) {
  TemporaryFolder folder;
  Manifest manifest = ShardOrDie(ModelDir("qwen3-qknorm-bf16"), folder / "s");
  ASSERT_GE(manifest.files.size(), 3u);
  manifest.roots = {".", folder / "ssd1", "../ssd2"};
  manifest.files[1].root = 1;
  manifest.files[2].root = 2;
  for (const char* root : {"ssd1", "ssd2"})
    fs::create_directories(folder / absl::StrCat(root, "/layers"));
  fs::rename(folder / ("s/" + manifest.files[1].path), folder / ("ssd1/" + manifest.files[1].path));
  fs::rename(folder / ("s/" + manifest.files[2].path), folder / ("ssd2/" + manifest.files[2].path));
  WriteBytes(folder / "s/manifest.json", SerializeManifest(manifest));
  const std::unique_ptr<LayerStore> store = OpenStore(folder / "s");
  for (int i = 0; i < manifest.files.size(); ++i) {
    EXPECT_EQ(fs::file_size(store->FilePath(i)), manifest.files[i].bytes) << store->FilePath(i);
  }
}

TEST(LayerStore, SaysWhatAFolderIsThatIsNoStore) {
  TemporaryFolder folder;
  absl::Status status = LayerStore::Open(folder / "none").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(status), HasSubstr("none: no such folder"));
  status = LayerStore::Open(folder.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(status), HasSubstr("manifest.json is missing"));
  status = LayerStore::Open(ModelDir("qwen3-qknorm-bf16")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(status), HasSubstr("`sluice shard`"));
  status = LayerStore::Open(ModelDir("qwen3-qknorm-bf16/config.json")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(status), HasSubstr("a file"));
}

TEST(LayerStore, RefusesAnUnfinishedStoreEvenWithAManifest) {
  TemporaryFolder folder;
  ShardOrDie(ModelDir("qwen3-qknorm-bf16"), folder / "s");
  WriteBytes(folder / "s/unfinished.json", "{}");
  const absl::Status status = LayerStore::Open(folder / "s").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("unfinished: run the same `sluice shard` again"));
}

TEST(LayerStore, RefusesANewerFormat) {
  TemporaryFolder folder;
  ShardOrDie(ModelDir("qwen3-qknorm-bf16"), folder / "s");
  std::string text = absl::StrReplaceAll(ReadBytes(folder / "s/manifest.json"),
                                         {{"\"format_version\": 1", "\"format_version\": 4"}});
  text.resize(absl::string_view(text).rfind(kSealBegin));
  WriteBytes(folder / "s/manifest.json", SealManifest(text));
  const absl::Status status = LayerStore::Open(folder / "s").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("manifest.json"), HasSubstr("reads formats 1 to 3")));
}

TEST(LayerStore, NamesAFileThatIsMissingOrNotOfItsSizeOrNoFile) {
  TemporaryFolder folder;
  ShardOrDie(ModelDir("qwen3-qknorm-bf16"), folder / "s");
  for (const char* file : {"layers/000.slabs", "head.slabs", "embedding.rows", "resident.bin"}) {
    const std::string path = folder / absl::StrCat("s/", file);
    const std::string bytes = ReadBytes(path);
    const auto expect_loss = [&](const char* what) {
      const absl::Status status = LayerStore::Open(folder / "s").status();
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << what << ": " << status;
      EXPECT_THAT(Message(status), HasSubstr(file)) << what;
    };
    fs::resize_file(path, bytes.size() - 1);
    expect_loss("short");
    fs::resize_file(path, bytes.size() + 4096);
    expect_loss("long");
    fs::remove(path);
    expect_loss("missing");
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    expect_loss("a FIFO");
    fs::remove(path);
    fs::create_directory(path);
    expect_loss("a folder");
    fs::remove(path);
    WriteBytes(path, bytes);
    EXPECT_TRUE(LayerStore::Open(folder / "s").ok());
  }
}

TEST(LayerStore, NamesTheResidentTensorWhoseBitFlipped) {
  TemporaryFolder folder;
  const Manifest manifest = ShardOrDie(ModelDir("qwen2-bias-bf16"), folder / "s");
  const std::string path = folder / "s/resident.bin";
  const std::string bytes = ReadBytes(path);
  for (const ManifestTensor& tensor : manifest.tensors) {
    if (PlaceOf(tensor.role) != TensorPlace::kResident) continue;
    std::string damaged = bytes;
    damaged[tensor.offset + tensor.shape[0] * 2] ^= 4;
    WriteBytes(path, damaged);
    const absl::Status status = LayerStore::Open(folder / "s").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(Message(status), AllOf(HasSubstr("resident.bin"), HasSubstr(tensor.name)));
  }
}

TEST(LayerStore, DoesWithoutATokenizer) {
  TemporaryFolder folder;
  ShardOrDie(ModelDir("qwen3-qknorm-bf16"), folder / "s");
  fs::remove_all(folder / "s/tokenizer");
  EXPECT_EQ(OpenStore(folder / "s")->TokenizerDir(), folder / "s/tokenizer");
}

}  // namespace
}  // namespace sluice
