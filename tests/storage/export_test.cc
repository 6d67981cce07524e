// Tests of taking tensors out of a store: the checkpoint's own bytes, or what the encoder makes of
// them.
#include "storage/store/export.h"

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store_testing.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A checkpoint's tensor, each row decoded and encoded again unless it has the encoding already.
std::string Expected(const Checkpoint& checkpoint, const ManifestTensor& tensor) {
  const CheckpointTensor& source = *checkpoint.Find(tensor.name);
  std::string bytes(source.bytes, '\0');
  EXPECT_TRUE(
      checkpoint
          .Read(source, 0, absl::MakeSpan(reinterpret_cast<std::byte*>(bytes.data()), bytes.size()))
          .ok());
  if (source.encoding == tensor.encoding) return bytes;
  const int64_t k = source.shape.back();
  const int64_t rows = source.shape.size() == 1 ? 1 : source.shape[0];
  const int64_t source_row = RowBytes(source.encoding, k), row_bytes = RowBytes(tensor.encoding, k);
  std::string encoded(rows * row_bytes, '\0');
  std::vector<float> values(k);
  for (int64_t row = 0; row < rows; ++row) {
    DecodeRow(source.encoding, reinterpret_cast<const std::byte*>(bytes.data()) + row * source_row,
              k, values.data());
    EncodeRow(tensor.encoding, values.data(), k,
              reinterpret_cast<std::byte*>(encoded.data()) + row * row_bytes);
  }
  return encoded;
}

void ExpectAllTensorsComeBack(const std::string& model_dir, absl::string_view recipe,
                              int64_t slab_bytes) {
  TemporaryFolder folder;
  ShardOrDie(model_dir, folder / "s", recipe, slab_bytes);
  const std::unique_ptr<LayerStore> store = OpenStore(folder / "s");
  const std::unique_ptr<Checkpoint> checkpoint = OpenCheckpoint(model_dir);
  const std::vector<ManifestTensor>& tensors = store->manifest().tensors;
  for (int i = 0; i < tensors.size(); ++i) {
    std::string bytes;
    const absl::Status status = CollectTensor(*store, i, &bytes);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(bytes == Expected(*checkpoint, tensors[i]))
        << model_dir << " as " << recipe << ": " << tensors[i].name << ", "
        << Info(tensors[i].encoding).name;
  }
}

TEST(Export, GivesBackTheCheckpointsBytesInItsOwnDtype) {
  for (const std::string& model : GoldenModels())
    ExpectAllTensorsComeBack(ModelDir(model), "", 20000);
  for (const char* model : {"bard-6.7M", "TinyStories-656K"}) {
    ExpectAllTensorsComeBack(ModelDir(model), "", kDefaultSlabBytes);
    ExpectAllTensorsComeBack(ModelDir(model), "", 1);  // a tile a slab
  }
}

TEST(Export, GivesWhatTheEncoderMakesOfEachRow) {
  for (const EncodingInfo& info : Encodings()) {
    ExpectAllTensorsComeBack(ModelDir("qwen3-qknorm-bf16"), info.name, 20000);
    ExpectAllTensorsComeBack(ModelDir("mistral-window-f16"), info.name, 5000);
  }
  for (const char* recipe : {"q4_k_m", "q5_k", "f16"}) {
    ExpectAllTensorsComeBack(ModelDir("bard-6.7M"), recipe, 100000);
  }
}

TEST(Export, GivesBackRowsThatFillNoTileAndColumnsThatFillNoBlock) {
  TemporaryFolder folder;
  WriteCheckpoint(folder / "c", TinyConfig(36, 296, 17), [](const std::string& name) {
    return name.find("up_proj") != std::string::npos ? "F16" : "BF16";
  });
  for (const char* recipe : {"", "q8_0", "q6_k", "f32", "f16"}) {
    ExpectAllTensorsComeBack(folder / "c", recipe, 3000);
  }
}

TEST(Export, ReplacesTheFileOnceAllOfItIsVerified) {
  TemporaryFolder folder;
  const std::string model = ModelDir("qwen3-qknorm-bf16"), out = folder / "out.bin";
  const Manifest manifest = ShardOrDie(model, folder / "s");
  const std::unique_ptr<LayerStore> store = OpenStore(folder / "s");
  const std::unique_ptr<Checkpoint> checkpoint = OpenCheckpoint(model);
  WriteBytes(out, "old");
  const ManifestTensor& down = *manifest.Find(TensorRole::kDown, 1);
  EXPECT_TRUE(ExportTensor(*store, down.name, out).ok());
  EXPECT_TRUE(ReadBytes(out) == Expected(*checkpoint, down));
  EXPECT_FALSE(fs::exists(out + ".tmp"));

  // A flipped bit in its second slab: the file stays what it was.
  const std::string before = ReadBytes(out);
  const std::string slabs = store->FilePath(1);
  std::string bytes = ReadBytes(slabs);
  bytes[manifest.slabs.back().block == 0 ? 0 : 10] ^= 1;  // in layer 1's q
  WriteBytes(slabs, bytes);
  const ManifestTensor& q = *manifest.Find(TensorRole::kQ, 1);
  const absl::Status status = ExportTensor(*store, q.name, out);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("001.slabs"), HasSubstr("slab ")));
  EXPECT_EQ(ReadBytes(out), before);
  EXPECT_FALSE(fs::exists(out + ".tmp"));

  bytes = ReadBytes(store->EmbeddingPath());
  bytes[store->manifest().embedding_stride * 7 + 3] ^= 1;
  WriteBytes(store->EmbeddingPath(), bytes);
  EXPECT_THAT(std::string(ExportTensor(*store, "model.embed_tokens.weight", out).message()),
              AllOf(HasSubstr("embedding.rows"), HasSubstr("row 7 ")));
}

// Damage that the checksum does not show: whoever made the slab also signed it.
TEST(Export, ReportsACompressedSlabThatCannotBeDecoded) {
  TemporaryFolder folder;
  const std::string path = folder / "s/layers/000.slabs";
  Manifest m =
      ShardOrDie(ModelDir("bard-6.7M"), folder / "s", "", 100000, 2, StoreCompression::kZstd);
  std::string bytes = ReadBytes(path);
  const std::string before = bytes;
  ManifestSlab& slab = m.slabs[0];
  ASSERT_EQ(slab.compression, SlabCompression::kZstdPlanes);
  bytes[slab.offset + 4] ^= 1;  // the first frame's magic number
  const auto stored = absl::string_view(bytes).substr(slab.offset, slab.bytes);
  WriteBytes(path, bytes);
  const std::string& name = m.tensors[slab.tensors[0]].name;
  absl::Status status = ExportTensor(*OpenStore(folder / "s"), name, folder / "out");
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("slab 0"), HasSubstr("XXH3")));

  slab.checksum = Checksum({reinterpret_cast<const std::byte*>(stored.data()), stored.size()});
  WriteBytes(folder / "s/manifest.json", SerializeManifest(m));
  status = ExportTensor(*OpenStore(folder / "s"), name, folder / "out");
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("000.slabs: slab 0 at byte 0: chunk 0"), HasSubstr("not a zstd frame")));
  EXPECT_FALSE(fs::exists(folder / "out"));
}

TEST(Export, ReportsUnknownNamesAndPlacesThatCannotBeWritten) {
  TemporaryFolder folder;
  ShardOrDie(ModelDir("qwen3-qknorm-bf16"), folder / "s");
  const std::unique_ptr<LayerStore> store = OpenStore(folder / "s");
  absl::Status status = ExportTensor(*store, "down_proj", folder / "out");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("model.layers.0.mlp.down_proj.weight"));
  EXPECT_THAT(std::string(ExportTensor(*store, "nonsense", folder / "out").message()),
              HasSubstr("model.embed_tokens.weight"));
  status = ExportTensor(*store, "model.norm.weight", folder / "no/such/out");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  status = ExportTensor(*store, "model.norm.weight", folder / "s");
  EXPECT_FALSE(status.ok());  // a folder
  EXPECT_FALSE(fs::exists(folder / "s.tmp"));
}

TEST(Export, StopsWhereTheSinkDoes) {
  TemporaryFolder folder;
  ShardOrDie(ModelDir("bard-6.7M"), folder / "s");
  const std::unique_ptr<LayerStore> store = OpenStore(folder / "s");
  int calls = 0;
  const absl::Status status = ReadTensor(*store, 2, [&](absl::Span<const std::byte>) {
    ++calls;
    return absl::CancelledError("enough");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace sluice
