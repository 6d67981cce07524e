// Tests of sharding: what is in a store, and which folders and options are refused.
#include "storage/shard/sharder.h"

#include <pthread.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/store/verify.h"
#include "store_testing.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr int kFirstMlp = 1;  // the block of layer 0
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Shard, StoresEveryTensorAsItsRecipeSaysAndVerifies) {
  for (const std::string& model : GoldenModels()) {
    for (const char* recipe : {"", "f32", "q8_0", "q4_k_m"}) {
      TemporaryFolder folder;
      const Manifest manifest = ShardOrDie(ModelDir(model), folder / "s", recipe);
      const std::unique_ptr<LayerStore> store = OpenStore(folder / "s");
      EXPECT_EQ(SerializeManifest(store->manifest()), SerializeManifest(manifest));
      const auto damage = VerifyStore(folder / "s", {});
      ASSERT_TRUE(damage.ok()) << damage.status();
      EXPECT_THAT(*damage, IsEmpty()) << model << " " << recipe;
    }
  }
}

TEST(Shard, WritesTheSameBytesWithAnyNumberOfThreads) {
  for (const char* recipe : {"", "q4_k_m"}) {
    TemporaryFolder folder;
    ShardOrDie(ModelDir("bard-6.7M"), folder / "1", recipe, 50000, 1);
    for (const int threads : {2, 3, 16}) {
      const std::string store = folder / absl::StrCat(threads);
      ShardOrDie(ModelDir("bard-6.7M"), store, recipe, 50000, threads);
      EXPECT_THAT(DifferingFiles(folder / "1", store), IsEmpty()) << threads;
    }
  }
}

TEST(Shard, WritesTheSameBytesOnADiskAndInMemory) {
  TemporaryFolder memory, disk(TemporaryFolder::Where::kDisk);
  ShardOrDie(ModelDir("bard-6.7M"), memory / "s", "q8_0", 50000);
  ShardOrDie(ModelDir("bard-6.7M"), disk / "s", "q8_0", 50000);
  EXPECT_THAT(DifferingFiles(memory / "s", disk / "s"), IsEmpty());
}

constexpr StoreCompression kZstd = StoreCompression::kZstd;

// Slabs are as the manifest says: back to back in their files, which end behind the last one.
void ExpectBackToBack(const Manifest& manifest, const std::string& store) {
  std::vector<int64_t> end(manifest.files.size());
  for (const ManifestSlab& slab : manifest.slabs) {
    EXPECT_EQ(slab.offset, end[slab.file]);
    end[slab.file] += (slab.bytes + 4095) / 4096 * 4096;
  }
  for (size_t i = 0; i < end.size(); ++i) {
    EXPECT_EQ(manifest.files[i].bytes, end[i]);
    EXPECT_EQ(fs::file_size(store + "/" + manifest.files[i].path), end[i]);
  }
}

void ExpectSameTensors(const std::string& a, const std::string& b) {
  const std::unique_ptr<LayerStore> store_a = OpenStore(a), store_b = OpenStore(b);
  for (int i = 0; i < store_a->manifest().tensors.size(); ++i) {
    std::string bytes_a, bytes_b;
    ASSERT_TRUE(CollectTensor(*store_a, i, &bytes_a).ok());
    const absl::Status status = CollectTensor(*store_b, i, &bytes_b);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(bytes_a == bytes_b) << b << " " << store_a->manifest().tensors[i].name;
  }
}

TEST(Shard, CompressesTheSlabsForWhichItPays) {
  struct Case {
    const char* recipe;
    SlabCompression expected;  // of most slabs
  };
  for (const Case& c :
       {Case{"", SlabCompression::kZstdPlanes}, Case{"f16", SlabCompression::kZstdPlanes},
        Case{"q8_0", SlabCompression::kNone}, Case{"q4_k", SlabCompression::kNone},
        Case{"f32", SlabCompression::kNone}}) {
    TemporaryFolder folder;
    const Manifest m =
        ShardOrDie(ModelDir("bard-6.7M"), folder / "s", c.recipe, kDefaultSlabBytes, 2, kZstd);
    const std::unique_ptr<LayerStore> store = OpenStore(folder / "s");
    EXPECT_EQ(SerializeManifest(store->manifest()), SerializeManifest(m));
    EXPECT_EQ(m.compression, kZstd);
    ExpectBackToBack(m, folder / "s");
    int compressed = 0;
    for (const ManifestSlab& slab : m.slabs) {
      if (slab.compression == SlabCompression::kNone) continue;
      EXPECT_EQ(slab.compression, c.expected);
      ++compressed;
    }
    EXPECT_EQ(c.expected != SlabCompression::kNone, compressed > m.slabs.size() / 2)
        << c.recipe << ": " << compressed << " of " << m.slabs.size();
    EXPECT_THAT(*VerifyStore(folder / "s", {}), IsEmpty()) << c.recipe;
    if (*c.recipe == '\0') {  // trained weights, bf16
      EXPECT_LE(m.slab_bytes_total(), m.raw_slab_bytes_total() * 0.69);
    }
  }
}

// q8_0 of usual weights is 3% too long, and its scales are what could be saved. Where most weights
// of a block are far smaller than its largest, the quants are few.
TEST(Shard, CompressesQ8_0OfWeightsWithWideTails) {
  TemporaryFolder folder;
  WriteCheckpoint(
      folder / "c", TinyConfig(256, 512, 300), [](const std::string&) { return "F32"; },
      [](const std::string&, std::vector<float>* values) {
        for (float& value : *values) value = value * value * value;
      });
  ShardOrDie(folder / "c", folder / "plain", "q8_0", 150000);
  const Manifest m = ShardOrDie(folder / "c", folder / "s", "q8_0", 150000, 2, kZstd);
  ExpectBackToBack(m, folder / "s");
  for (const ManifestSlab& slab : m.slabs) EXPECT_EQ(slab.compression, SlabCompression::kZstd);
  EXPECT_LT(m.slab_bytes_total(), m.raw_slab_bytes_total() * 0.9);
  EXPECT_THAT(*VerifyStore(folder / "s", {}), IsEmpty());
  ExpectSameTensors(folder / "plain", folder / "s");
}

TEST(Shard, ACompressedStoreHasTheTensorsOfAPlainOne) {
  for (const char* model : {"bard-6.7M", "mistral-window-f16", "llama-gqa-untied-f32"}) {
    for (const char* recipe : {"", "bf16", "q8_0", "q4_k_m"}) {
      TemporaryFolder folder;
      ShardOrDie(ModelDir(model), folder / "plain", recipe, 50000);
      ShardOrDie(ModelDir(model), folder / "small", recipe, 300000, 2, kZstd);
      ExpectSameTensors(folder / "plain", folder / "small");
    }
  }
}

TEST(Shard, CompressesToTheSameBytesWithAnyNumberOfThreads) {
  for (const char* recipe : {"", "f16"}) {
    TemporaryFolder folder;
    ShardOrDie(ModelDir("bard-6.7M"), folder / "1", recipe, 50000, 1, kZstd);
    for (const int threads : {2, 3, 16}) {
      const std::string store = folder / absl::StrCat(threads);
      ShardOrDie(ModelDir("bard-6.7M"), store, recipe, 50000, threads, kZstd);
      EXPECT_THAT(DifferingFiles(folder / "1", store), IsEmpty()) << threads;
    }
  }
}

// Of gate and up only one can be compressed, and its length decides where the other's slabs lie.
TEST(Shard, PlacesRawSlabsBetweenCompressedOnes) {
  TemporaryFolder folder, disk(TemporaryFolder::Where::kDisk);
  WriteCheckpoint(folder / "c", TinyConfig(256, 512, 40), [](const std::string& name) {
    return name.find("up_proj") != std::string::npos ? "F32" : "BF16";
  });
  for (const std::string& store : {folder / "s", disk / "s"}) {
    const Manifest m = ShardOrDie(folder / "c", store, "", 100000, 3, kZstd);
    ExpectBackToBack(m, store);
    std::vector<std::string> mlp;
    for (const ManifestSlab& slab : m.slabs) {
      if (slab.block != kFirstMlp) continue;
      mlp.push_back(absl::StrCat(RoleName(m.tensors[slab.tensors[0]].role), " ",
                                 SlabCompressionName(slab.compression)));
    }
    EXPECT_EQ(mlp[0], "gate zstd-planes");
    EXPECT_EQ(mlp[1], "up none");
    EXPECT_EQ(mlp[2], "gate zstd-planes");
    EXPECT_THAT(*VerifyStore(store, {}), IsEmpty());
  }
  EXPECT_THAT(DifferingFiles(folder / "s", disk / "s"), IsEmpty());
}

TEST(Shard, CutsSlabsOfWholeTilesInTheOrderOfAPass) {
  TemporaryFolder folder;
  WriteCheckpoint(folder / "c", TinyConfig(64, 72, 40), [](const std::string&) { return "F32"; });
  // A tile is 16 x 64 x 4 = 4096 bytes; gate and up take two at a time.
  const Manifest m = ShardOrDie(folder / "c", folder / "s", "", 10000);
  struct Expected {
    int block;
    const char* first;
    size_t tensors;
    int64_t first_tile, num_tiles;
  };
  const std::vector<Expected> expected = {
      {0, "q", 1, 0, 2},    {0, "q", 1, 2, 2},    {0, "k", 1, 0, 2},    {0, "v", 1, 0, 2},
      {0, "o", 1, 0, 2},    {0, "o", 1, 2, 2},    {1, "gate", 2, 0, 1}, {1, "gate", 2, 1, 1},
      {1, "gate", 2, 2, 1}, {1, "gate", 2, 3, 1}, {1, "gate", 2, 4, 1}, {1, "down", 1, 0, 2},
      {1, "down", 1, 2, 2}, {2, "head", 1, 0, 2}, {2, "head", 1, 2, 1}};
  ASSERT_EQ(m.slabs.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const ManifestSlab& slab = m.slabs[i];
    EXPECT_EQ(slab.block, expected[i].block) << i;
    EXPECT_EQ(RoleName(m.tensors[slab.tensors[0]].role), expected[i].first) << i;
    EXPECT_EQ(slab.tensors.size(), expected[i].tensors) << i;
    EXPECT_EQ(slab.first_tile, expected[i].first_tile) << i;
    EXPECT_EQ(slab.num_tiles, expected[i].num_tiles) << i;
    EXPECT_EQ(slab.offset % kSlabAlignment, 0) << i;
  }
  ASSERT_EQ(m.files.size(), 2);
  EXPECT_EQ(m.files[0].path, "layers/000.slabs");
  EXPECT_EQ(m.files[1].path, "head.slabs");
}

TEST(Shard, LetsSlabsOfGateAndUpTakeTurnsWhereTheirEncodingsDiffer) {
  TemporaryFolder folder;
  WriteCheckpoint(folder / "c", TinyConfig(64, 72, 40), [](const std::string& name) {
    return name.find("up_proj") != std::string::npos ? "F32" : "BF16";
  });
  const Manifest m = ShardOrDie(folder / "c", folder / "s", "", 10000);
  std::vector<std::string> mlp;
  for (const ManifestSlab& slab : m.slabs) {
    if (slab.block != kFirstMlp) continue;
    EXPECT_EQ(slab.tensors.size(), 1);
    mlp.push_back(absl::StrCat(RoleName(m.tensors[slab.tensors[0]].role), " ", slab.first_tile, "+",
                               slab.num_tiles));
  }
  EXPECT_THAT(mlp, ElementsAre("gate 0+2", "up 0+2", "gate 2+2", "up 2+2", "gate 4+1", "up 4+1",
                               "down 0+4"));
  EXPECT_THAT(*VerifyStore(folder / "s", {}), IsEmpty());
}

TEST(Shard, LaysOutEmbeddingRowsAndResidentTensorsAsSpecified) {
  TemporaryFolder folder;
  WriteCheckpoint(folder / "c", TinyConfig(36, 40, 21), [](const std::string&) { return "BF16"; });
  const Manifest m = ShardOrDie(folder / "c", folder / "s");
  EXPECT_EQ(m.embedding_stride, 80);  // 36 x 2 + 8
  const std::string rows = ReadBytes(folder / "s/embedding.rows");
  ASSERT_EQ(rows.size(), 21u * 80);
  const std::unique_ptr<Checkpoint> checkpoint = OpenCheckpoint(folder / "c");
  const CheckpointTensor& source = *checkpoint->Find("model.embed_tokens.weight");
  std::string expected(source.bytes, '\0');
  ASSERT_TRUE(
      checkpoint
          ->Read(source, 0,
                 absl::MakeSpan(reinterpret_cast<std::byte*>(expected.data()), expected.size()))
          .ok());
  for (int row = 0; row < 21; ++row) {
    EXPECT_EQ(rows.substr(row * 80, 72), expected.substr(row * 72, 72)) << row;
    uint64_t checksum;
    std::memcpy(&checksum, rows.data() + row * 80 + 72, 8);
    EXPECT_EQ(checksum, Checksum({reinterpret_cast<const std::byte*>(rows.data() + row * 80), 72}));
  }
  EXPECT_EQ(m.resident_bytes, 3 * 192);  // three norms of 36 f32 values, each on 64 bytes
  EXPECT_EQ(m.Find(TensorRole::kMlpNorm, 0)->offset, 192);
  EXPECT_EQ(fs::file_size(folder / "s/resident.bin"), 3 * 192);
}

TEST(Shard, FallsBackForOddShapesAndSaysSo) {
  TemporaryFolder folder;
  WriteCheckpoint(folder / "c", TinyConfig(64, 40, 20), [](const std::string&) { return "F16"; });
  const Manifest m = ShardOrDie(folder / "c", folder / "s", "q4_k");
  EXPECT_EQ(m.recipe, "q4_k");
  EXPECT_EQ(m.Find(TensorRole::kQ, 0)->encoding, Encoding::kQ8_0);
  EXPECT_TRUE(m.Find(TensorRole::kQ, 0)->fallback);
  EXPECT_EQ(m.Find(TensorRole::kDown, 0)->encoding, Encoding::kF16);
  EXPECT_TRUE(m.Find(TensorRole::kDown, 0)->fallback);
  EXPECT_FALSE(m.Find(TensorRole::kFinalNorm, -1)->fallback);
  EXPECT_THAT(*VerifyStore(folder / "s", {}), IsEmpty());
}

TEST(Shard, CopiesTheTokenizersFiles) {
  TemporaryFolder folder;
  const Manifest m = ShardOrDie(ModelDir("bard-6.7M"), folder / "s");
  std::vector<std::string> names;
  for (const ManifestCopy& copy : m.tokenizer_files) {
    names.push_back(copy.name);
    EXPECT_EQ(ReadBytes(folder / ("s/tokenizer/" + copy.name)),
              ReadBytes(ModelDir("bard-6.7M/" + copy.name)));
  }
  EXPECT_THAT(names, ElementsAre("config.json", "generation_config.json", "tokenizer.json",
                                 "tokenizer_config.json"));
}

TEST(Shard, NamesTheSourceByItsFolderOrByTheModelOfACache) {
  TemporaryFolder folder;
  EXPECT_EQ(ShardOrDie(ModelDir("bard-6.7M"), folder / "a").source, "bard-6.7M (bf16)");
  const std::string cache = folder / "models--org--name/snapshots/0123abcd";
  fs::create_directories(cache);
  fs::copy(ModelDir("qwen3-qknorm-bf16"), cache);
  EXPECT_EQ(ShardOrDie(cache, folder / "b").source, "models--org--name (bf16)");
}

TEST(Shard, CarriesOddFloatsOverAndRefusesToQuantizeThem) {
  struct Case {
    const char* dtype;
    float value;
    const char* recipe;
    bool ok;
  };
  constexpr float kInfinity = INFINITY;
  for (const Case& c : {Case{"BF16", kInfinity, "", true}, Case{"F32", NAN, "", true},
                        Case{"F32", NAN, "f16", true}, Case{"F32", kInfinity, "bf16", true},
                        Case{"F32", 65504, "f16", true}, Case{"F32", 65520, "f16", false},
                        Case{"BF16", 1e6, "f16", false}, Case{"F32", 3.4e38, "bf16", false},
                        Case{"BF16", 1e38, "f32", true}, Case{"F32", -1e6, "q8_0", false},
                        Case{"F32", NAN, "q8_0", false}, Case{"BF16", -kInfinity, "q4_0", false},
                        Case{"F16", kInfinity, "q8_0", false}}) {
    TemporaryFolder folder;
    WriteCheckpoint(
        folder / "c", TinyConfig(64, 64, 40), [&](const std::string&) { return c.dtype; },
        [&](const std::string& name, std::vector<float>* values) {
          if (name == "model.layers.0.mlp.down_proj.weight") (*values)[64 * 17 + 5] = c.value;
        });
    const absl::Status status = TryShard(folder / "c", folder / "s", Options(c.recipe));
    if (c.ok) {
      EXPECT_TRUE(status.ok()) << c.recipe << " " << c.value << ": " << status;
      continue;
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.recipe << " " << c.value;
    EXPECT_THAT(Message(status),
                AllOf(HasSubstr("model.layers.0.mlp.down_proj.weight, row 17, column 5"),
                      HasSubstr(c.recipe)));
  }
}

TEST(Shard, ReportsProgressFromTheCallingThread) {
  TemporaryFolder folder;
  ShardOptions options = Options();
  const pthread_t self = pthread_self();
  ShardProgress last;
  options.on_progress = [&](const ShardProgress& progress) {
    EXPECT_TRUE(pthread_equal(pthread_self(), self));
    EXPECT_GE(progress.source_bytes_done, last.source_bytes_done);
    last = progress;
  };
  ASSERT_TRUE(TryShard(ModelDir("bard-6.7M"), folder / "s", options).ok());
  EXPECT_EQ(last.source_bytes_done, last.source_bytes_total);
  EXPECT_EQ(last.source_bytes_total, 2 * (6689024 + 1536 * 256));  // a tied head is read twice
}

TEST(Shard, RefusesFoldersThatAreNotItsOwn) {
  TemporaryFolder folder;
  WriteBytes(folder / "file", "x");
  fs::create_directory(folder / "full");
  WriteBytes(folder / "full/notes.txt", "keep me");
  const std::string model = ModelDir("qwen3-qknorm-bf16");

  absl::Status status = TryShard(model, folder / "file");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(Message(status), HasSubstr("is a file"));
  status = TryShard(model, folder / "full");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(Message(status), HasSubstr("notes.txt"));
  EXPECT_THAT(ReadFolder(folder / "full"), ElementsAre(std::pair("notes.txt", "keep me")));
  status = TryShard(model, folder / "no/such/parent");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_THAT(Message(status), HasSubstr("no/such/parent"));
  status = TryShard(model, folder / "file/s");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(TryShard(model, model).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Shard, LeavesAFinishedStoreAlone) {
  TemporaryFolder folder;
  const std::string store = folder / "s";
  ShardOrDie(ModelDir("qwen3-qknorm-bf16"), store);
  const auto before = ReadFolder(store);
  const auto again = Shard(*OpenCheckpoint(ModelDir("qwen3-qknorm-bf16")), store, Options());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->outcome, ShardOutcome::kComplete);
  EXPECT_FALSE(again->judged_by_headers);
  absl::Status status = TryShard(ModelDir("qwen3-qknorm-bf16"), store, Options("q8_0"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), AllOf(HasSubstr("holds a finished store of qwen3-qknorm-bf16"),
                                     HasSubstr("as checkpoint, not as q8_0")));
  EXPECT_FALSE(TryShard(ModelDir("mistral-window-f16"), store).ok());
  status = TryShard(ModelDir("qwen3-qknorm-bf16"), store, Options("", 16384, 2, kZstd));
  EXPECT_THAT(Message(status), HasSubstr("with compression none, not zstd"));
  status = TryShard(ModelDir("qwen3-qknorm-bf16"), store, Options("", 32768));
  EXPECT_THAT(Message(status), HasSubstr("with slabs of 16384 bytes, not 32768"));
  EXPECT_EQ(ReadFolder(store), before);
}

TEST(Shard, RefusesBadOptions) {
  TemporaryFolder folder;
  for (const ShardOptions& options :
       {Options("", 0), Options("", -5), Options("", 4096, 0), Options("q4_k_xl"),
        Options("", kMaxCompressedSlabBytes + 1, 1, kZstd)}) {
    EXPECT_EQ(TryShard(ModelDir("qwen3-qknorm-bf16"), folder / "s", options).code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_FALSE(fs::exists(folder / "s"));
}

TEST(Shard, RefusesASecondWriterAtOnce) {
  TemporaryFolder folder;
  ShardOptions options = Options();
  int tried = 0;
  options.on_progress = [&](const ShardProgress&) {
    if (tried++ > 0) return;
    const absl::Status status = TryShard(ModelDir("qwen3-qknorm-bf16"), folder / "s");
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_THAT(Message(status), HasSubstr("another process"));
  };
  EXPECT_TRUE(TryShard(ModelDir("qwen3-qknorm-bf16"), folder / "s", options).ok());
  EXPECT_GT(tried, 0);
  EXPECT_FALSE(fs::exists(folder / "s/.lock"));
  EXPECT_THAT(*VerifyStore(folder / "s", {}), IsEmpty());
}

TEST(Shard, OnlyReadsTheSource) {
  TemporaryFolder folder;
  fs::copy(ModelDir("llama3-rope-bf16-sharded"), folder / "c");
  const auto before = ReadFolder(folder / "c");
  const auto time = fs::last_write_time(folder / "c");
  ShardOrDie(folder / "c", folder / "s", "q4_0");
  EXPECT_EQ(ReadFolder(folder / "c"), before);
  EXPECT_EQ(fs::last_write_time(folder / "c"), time);
}

}  // namespace
}  // namespace sluice
