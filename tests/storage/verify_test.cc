// Tests of verifying: every damaged byte of a store is found and named, and all damages are listed.
#include "storage/store/verify.h"

#include <pthread.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/store/layer_store.h"
#include "store_testing.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// What Open and VerifyStore say about a store, in lines.
std::vector<std::string> Complaints(const std::string& store, int num_threads = 2) {
  VerifyOptions options;
  options.num_threads = num_threads;
  absl::StatusOr<std::vector<std::string>> damage = VerifyStore(store, options);
  if (!damage.ok()) return {std::string(damage.status().message())};
  return *damage;
}

void Flip(const std::string& path, size_t byte, int bit = 0) {
  std::string bytes = ReadBytes(path);
  bytes.at(byte) ^= static_cast<char>(1 << bit);
  WriteBytes(path, bytes);
}

TEST(Verify, FindsAnyFlippedBitOfAnyFile) {
  for (const auto where : {TemporaryFolder::Where::kMemory, TemporaryFolder::Where::kDisk}) {
    TemporaryFolder folder(where);
    const std::string store = folder / "s";
    ShardOrDie(ModelDir("qwen2-bias-bf16"), store, "q8_0", 20000);
    ASSERT_THAT(Complaints(store), IsEmpty());
    std::mt19937 random(3);
    for (const auto& [name, bytes] : ReadFolder(store)) {
      std::vector<size_t> places = {0, bytes.size() - 1};
      for (int i = 0; i < 12; ++i) places.push_back(random() % bytes.size());
      for (const size_t place : places) {
        Flip(store + "/" + name, place, static_cast<int>(place % 8));
        EXPECT_THAT(Complaints(store), ElementsAre(HasSubstr(name))) << "byte " << place;
        WriteBytes(store + "/" + name, bytes);
      }
    }
    EXPECT_THAT(Complaints(store), IsEmpty());
  }
}

TEST(Verify, FindsFlippedBitsOfCompressedSlabs) {
  TemporaryFolder folder;
  const std::string store = folder / "s";
  const Manifest m =
      ShardOrDie(ModelDir("bard-6.7M"), store, "", 100000, 2, StoreCompression::kZstd);
  ASSERT_THAT(Complaints(store), IsEmpty());
  int64_t padded = -1;  // a compressed slab with padding
  for (size_t i = 0; i < m.slabs.size(); ++i) {
    if (m.slabs[i].bytes < m.slabs[i].raw_bytes && m.slabs[i].bytes % 4096 != 0) padded = i;
  }
  ASSERT_GE(padded, 0);
  const ManifestSlab& slab = m.slabs[padded];
  const std::string path = store + "/" + m.files[slab.file].path;
  const std::string name = absl::StrCat("slab ", padded, " at byte");
  for (const int64_t at : {int64_t{0}, slab.bytes / 3, slab.bytes - 1}) {
    Flip(path, slab.offset + at);
    EXPECT_THAT(Complaints(store), ElementsAre(AllOf(HasSubstr(name), HasSubstr("XXH3"))));
    Flip(path, slab.offset + at);
  }
  Flip(path, slab.offset + slab.bytes);
  EXPECT_THAT(Complaints(store), ElementsAre(AllOf(HasSubstr(name), HasSubstr("padding"))));
}

TEST(Verify, NamesSlabTensorRowAndPaddingAndListsThemAll) {
  TemporaryFolder folder;
  const std::string store = folder / "s";
  WriteCheckpoint(folder / "c", TinyConfig(36, 72, 40), [](const std::string&) { return "BF16"; });
  const Manifest m = ShardOrDie(folder / "c", store, "", 4000);
  ASSERT_THAT(Complaints(store), IsEmpty());
  const ManifestSlab& slab = m.slabs[3];
  const ManifestSlab& padded = m.slabs.back();
  ASSERT_NE(padded.bytes % 4096, 0);
  Flip(store + "/" + m.files[slab.file].path, slab.offset + slab.bytes / 2);
  Flip(store + "/" + m.files[padded.file].path, padded.offset + padded.bytes);
  for (const int row : {4, 5, 6, 39})
    Flip(store + "/embedding.rows", row * m.embedding_stride + 70);
  Flip(store + "/resident.bin", m.Find(TensorRole::kMlpNorm, 0)->offset + 5);
  Flip(store + "/resident.bin", 36 * 4);  // behind the first norm
  Flip(store + "/tokenizer/config.json", 3);
  for (const int threads : {1, 4}) {
    EXPECT_THAT(Complaints(store, threads),
                ElementsAre(AllOf(HasSubstr("resident.bin"), HasSubstr("padding at byte 144")),
                            AllOf(HasSubstr("resident.bin"), HasSubstr("post_attention_layernorm")),
                            AllOf(HasSubstr("embedding.rows"), HasSubstr("row 4 to 6 at byte")),
                            AllOf(HasSubstr("embedding.rows"), HasSubstr("row 39 at byte")),
                            AllOf(HasSubstr("layers/000.slabs"), HasSubstr("slab 3 at byte"),
                                  HasSubstr(ChecksumToHex(slab.checksum))),
                            AllOf(HasSubstr("head.slabs"), HasSubstr("padding")),
                            HasSubstr("tokenizer/config.json")));
  }
}

TEST(Verify, GoesOnBehindMissingAndShortFiles) {
  TemporaryFolder folder;
  const std::string store = folder / "s";
  const Manifest m = ShardOrDie(ModelDir("qwen3-qknorm-bf16"), store);
  fs::resize_file(store + "/layers/000.slabs", m.files[0].bytes - 4096);
  fs::remove(store + "/resident.bin");
  fs::resize_file(store + "/embedding.rows", 3 * m.embedding_stride + 1);
  fs::remove_all(store + "/tokenizer");
  fs::create_directory(store + "/tokenizer");
  Flip(store + "/head.slabs", 0);
  const std::vector<std::string> lines = Complaints(store);
  const std::string all = absl::StrCat(lines[0], "\n", lines[1], "\n", lines[2], "\n");
  EXPECT_THAT(all, AllOf(HasSubstr("resident.bin: missing"), HasSubstr("embedding.rows: "),
                         HasSubstr("layers/000.slabs: ")));
  EXPECT_THAT(lines, testing::Contains(AllOf(HasSubstr("embedding.rows: row 3 to"))));
  EXPECT_THAT(lines, testing::Contains(AllOf(HasSubstr("000.slabs: slab "), HasSubstr("ends at"))));
  EXPECT_THAT(lines, testing::Contains(HasSubstr("head.slabs: slab ")));
  EXPECT_THAT(lines, testing::Contains(HasSubstr("tokenizer/config.json: missing")));
}

TEST(Verify, NeedsAManifest) {
  TemporaryFolder folder;
  EXPECT_EQ(VerifyStore(folder / "none", {}).status().code(), absl::StatusCode::kNotFound);
  const std::string store = folder / "s";
  ShardOrDie(ModelDir("qwen3-qknorm-bf16"), store);
  Flip(store + "/manifest.json", 100);
  EXPECT_EQ(VerifyStore(store, {}).status().code(), absl::StatusCode::kDataLoss);
  WriteBytes(store + "/unfinished.json", "{}");
  EXPECT_EQ(VerifyStore(store, {}).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Verify, ReportsProgressAndStops) {
  TemporaryFolder folder;
  const std::string store = folder / "s";
  ShardOrDie(ModelDir("bard-6.7M"), store);
  VerifyOptions options;
  VerifyProgress last;
  const pthread_t self = pthread_self();
  options.on_progress = [&](const VerifyProgress& progress) {
    EXPECT_TRUE(pthread_equal(pthread_self(), self));
    last = progress;
  };
  EXPECT_THAT(*VerifyStore(store, options), IsEmpty());
  EXPECT_EQ(last.bytes_done, last.bytes_total);
  EXPECT_GT(last.bytes_total, 13000000);
  const std::atomic<bool> stop{true};
  options.stop = &stop;
  EXPECT_EQ(VerifyStore(store, options).status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace sluice
