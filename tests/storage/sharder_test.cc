// Tests of sharding: what is in a store, and what a crash, a full disk or a wrong folder leaves behind.
#include "storage/sharder.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fault_injection.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/tile.h"
#include "storage/durable_file.h"
#include "storage/layer_store.h"
#include "storage/store_geometry.h"
#include "storage/verify.h"
#include "store_testing.h"

#if defined(__SANITIZE_THREAD__)
#define SKIP_UNDER_TSAN() GTEST_SKIP() << "ThreadSanitizer does not follow threads into a fork"
#else
#define SKIP_UNDER_TSAN() static_cast<void>(0)
#endif

namespace sluice {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

ShardOptions Options(absl::string_view recipe = "", int64_t slab_bytes = 16384, int num_threads = 2) {
  ShardOptions options;
  if (!recipe.empty()) options.recipe = Recipe{std::string(recipe)};
  options.slab_bytes = slab_bytes;
  options.num_threads = num_threads;
  return options;
}

absl::Status TryShard(const std::string& model_dir, const std::string& store,
                      const ShardOptions& options = Options()) {
  absl::StatusOr<std::unique_ptr<Checkpoint>> checkpoint = Checkpoint::Open(model_dir);
  if (!checkpoint.ok()) return checkpoint.status();
  return Shard(**checkpoint, store, options).status();
}

// Runs `body` in a child process and returns what waitpid says. The child has the parent's memory but
// none of its threads; it must not return into the test.
int RunInChild(const std::function<absl::Status()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    const absl::Status status = body();
    _exit(static_cast<int>(status.code()));
  }
  int result = -1;
  EXPECT_EQ(waitpid(child, &result, 0), child);
  return result;
}

absl::StatusCode CodeOf(int wait_result) {
  EXPECT_TRUE(WIFEXITED(wait_result)) << wait_result;
  return static_cast<absl::StatusCode>(WEXITSTATUS(wait_result));
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

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
    if (slab.block != MlpBlock(0)) continue;
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
  ASSERT_TRUE(checkpoint->Read(source, 0, absl::MakeSpan(reinterpret_cast<std::byte*>(expected.data()),
                                                         expected.size())).ok());
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
    WriteCheckpoint(folder / "c", TinyConfig(64, 64, 40), [&](const std::string&) { return c.dtype; },
                    [&](const std::string& name, std::vector<float>* values) {
                      if (name == "model.layers.0.mlp.down_proj.weight") (*values)[64 * 17 + 5] = c.value;
                    });
    const absl::Status status = TryShard(folder / "c", folder / "s", Options(c.recipe));
    if (c.ok) {
      EXPECT_TRUE(status.ok()) << c.recipe << " " << c.value << ": " << status;
      continue;
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.recipe << " " << c.value;
    EXPECT_THAT(Message(status), AllOf(HasSubstr("model.layers.0.mlp.down_proj.weight, row 17, column 5"),
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
  absl::Status status = TryShard(ModelDir("qwen3-qknorm-bf16"), store);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("already complete"));
  status = TryShard(ModelDir("qwen3-qknorm-bf16"), store, Options("q8_0"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), AllOf(HasSubstr("holds a finished store of qwen3-qknorm-bf16"),
                                     Not(HasSubstr("already"))));
  EXPECT_FALSE(TryShard(ModelDir("mistral-window-f16"), store).ok());
  EXPECT_EQ(ReadFolder(store), before);
}

TEST(Shard, RefusesBadOptions) {
  TemporaryFolder folder;
  for (const ShardOptions& options : {Options("", 0), Options("", -5), Options("", 4096, 0),
                                      Options("q4_k_xl")}) {
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

TEST(Shard, StopsCleanlyAndGoesOn) {
  TemporaryFolder folder;
  ShardOrDie(ModelDir("bard-6.7M"), folder / "whole");
  std::atomic<bool> stop{true};
  ShardOptions options = Options();
  options.stop = &stop;
  const absl::Status status = TryShard(ModelDir("bard-6.7M"), folder / "s", options);
  // The files are few and small: without a disk to wait for, it may be over before it looks.
  if (status.ok()) GTEST_SKIP() << "was done before it could be stopped";
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  EXPECT_TRUE(fs::exists(folder / "s/unfinished.json"));
  EXPECT_EQ(LayerStore::Open(folder / "s").status().code(), absl::StatusCode::kFailedPrecondition);
  stop = false;
  EXPECT_TRUE(TryShard(ModelDir("bard-6.7M"), folder / "s", options).ok());
  EXPECT_THAT(DifferingFiles(folder / "whole", folder / "s"), IsEmpty());
}

// An unfinished store of the given model: one write in the middle fails, some files are recorded.
void ShardHalf(const std::string& model, const std::string& store, const ShardOptions& options) {
  ArmFaults({FaultPlan::Action::kFail, 200, EIO, /*writes_only=*/true});
  const absl::Status status = TryShard(model, store, options);
  DisarmFaults();
  ASSERT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  ASSERT_TRUE(fs::exists(store + "/unfinished.json"));
}

TEST(Shard, GoesOnOnlyWithTheSameSourceAndOptions) {
  TemporaryFolder folder;
  const std::string model = ModelDir("bard-6.7M"), store = folder / "s";
  ShardHalf(model, store, Options("", 32768));
  const auto before = ReadFolder(store);
  EXPECT_THAT(before.at("unfinished.json"), HasSubstr("layers/000.slabs"));
  struct Case {
    std::string model;
    ShardOptions options;
    const char* message;
  };
  for (const Case& c : {Case{model, Options("", 65536), "with slabs of 32768 bytes, not 65536"},
                        Case{model, Options("q8_0", 32768), "as checkpoint, not as q8_0"},
                        Case{ModelDir("qwen3-qknorm-bf16"), Options("", 32768),
                             "of bard-6.7M (bf16), not of this checkpoint (qwen3-qknorm-bf16"}}) {
    const absl::Status status = TryShard(c.model, store, c.options);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(Message(status), HasSubstr(c.message));
  }
  EXPECT_EQ(ReadFolder(store), before);

  int64_t done_at_start = -1;
  ShardOptions options = Options("", 32768);
  options.on_progress = [&](const ShardProgress& p) {
    if (done_at_start < 0) done_at_start = p.source_bytes_done;
  };
  const absl::StatusOr<ShardResult> result = Shard(*OpenCheckpoint(model), store, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->resumed);
  EXPECT_GT(done_at_start, 0);
  ShardOrDie(model, folder / "whole", "", 32768);
  EXPECT_THAT(DifferingFiles(folder / "whole", store), IsEmpty());
}

TEST(Shard, WritesFilesAgainThatAreNotWhatTheRecordSays) {
  TemporaryFolder folder;
  const std::string model = ModelDir("bard-6.7M");
  ShardOrDie(model, folder / "whole", "", 32768);
  const auto cut = [](const std::string& store) { fs::resize_file(store + "/layers/000.slabs", 4096); };
  const auto remove = [](const std::string& store) { fs::remove(store + "/resident.bin"); };
  const auto edit = [](const std::string& store) {
    json record = json::parse(ReadBytes(store + "/unfinished.json"));
    record["finished"]["layers/000.slabs"]["checksums"].erase(0);
    record["finished"]["../../etc/passwd"] = {{"bytes", 1}, {"checksums", json::array()}};
    WriteBytes(store + "/unfinished.json", record.dump());
  };
  int i = 0;
  for (const std::function<void(const std::string&)>& damage :
       std::vector<std::function<void(const std::string&)>>{cut, remove, edit}) {
    const std::string store = folder / absl::StrCat(i++);
    ShardHalf(model, store, Options("", 32768));
    damage(store);
    EXPECT_TRUE(TryShard(model, store, Options("", 32768)).ok());
    EXPECT_THAT(DifferingFiles(folder / "whole", store), IsEmpty()) << i;
  }
}

TEST(Shard, RefusesARecordThatItCannotRead) {
  TemporaryFolder folder;
  const std::string store = folder / "s";
  fs::create_directory(store);
  for (const char* text : {"", "{", "[]", "{\"format_version\": 1}", "{\"format_version\": 2}",
                           "{\"format_version\": 1, \"source\": \"\", \"recipe\": \"\", \"slab_bytes\": 1,"
                           "\"source_fingerprint\": \"0000000000000000\", \"finished\": {\"x\": 3}}"}) {
    WriteBytes(store + "/unfinished.json", text);
    const absl::Status status = TryShard(ModelDir("qwen3-qknorm-bf16"), store);
    EXPECT_THAT(Message(status), HasSubstr("unfinished.json")) << text;
    EXPECT_EQ(ReadBytes(store + "/unfinished.json"), text);
  }
}

// A killed process leaves .lock and temporary files; nothing of them may be seen in the end.
TEST(Shard, SurvivesKillBeforeEverySystemCall) {
  SKIP_UNDER_TSAN();
  TemporaryFolder folder;
  const std::string model = ModelDir("qwen3-qknorm-bf16"), whole = folder / "whole";
  const ShardOptions options = Options("q8_0", 65536, 1);
  ArmFaults({});
  ASSERT_TRUE(TryShard(model, whole, options).ok());
  const int64_t calls = DisarmFaults();
  ASSERT_GT(calls, 60);
  int unfinished = 0;
  for (int64_t at = 0; at < calls; ++at) {
    const std::string store = folder / absl::StrCat(at);
    const int result = RunInChild([&] {
      ArmFaults({FaultPlan::Action::kKill, at});
      return TryShard(model, store, options);
    });
    ASSERT_TRUE(WIFSIGNALED(result) && WTERMSIG(result) == SIGKILL) << at;
    // Whole or resumable: whole only from the moment on that unfinished.json is gone.
    const absl::Status opened = LayerStore::Open(store).status();
    const absl::Status resumed = TryShard(model, store, options);
    if (opened.ok()) {
      EXPECT_THAT(Message(resumed), HasSubstr("already complete")) << at;
      fs::remove(store + "/.lock");  // the killed process's, which means nothing
    } else {
      EXPECT_TRUE(absl::IsFailedPrecondition(opened) || absl::IsNotFound(opened)) << opened;
      ASSERT_TRUE(resumed.ok()) << "killed at call " << at << ": " << resumed;
      ++unfinished;
    }
    ASSERT_THAT(DifferingFiles(whole, store), IsEmpty()) << "killed at call " << at;
    fs::remove_all(store);
  }
  EXPECT_GT(unfinished, calls - 6);
}

// With two workers and the finisher at once, on a model of several files.
TEST(Shard, SurvivesKillAtRandomPointsOfABusyRun) {
  SKIP_UNDER_TSAN();
  std::mt19937 random(11);
  for (const auto where : {TemporaryFolder::Where::kMemory, TemporaryFolder::Where::kDisk}) {
    TemporaryFolder folder(where);
    const std::string model = ModelDir("bard-6.7M"), whole = folder / "whole";
    const ShardOptions options = Options("", 65536, 2);
    ArmFaults({});
    ASSERT_TRUE(TryShard(model, whole, options).ok());
    const int64_t calls = DisarmFaults();
    for (int i = 0; i < (where == TemporaryFolder::Where::kMemory ? 50 : 4); ++i) {
      const int64_t at = static_cast<int64_t>(random() % (calls - 6));
      const std::string store = folder / "s";
      const auto kill_at = [&](int64_t call) {
        return RunInChild([&] {
          ArmFaults({FaultPlan::Action::kKill, call});
          return TryShard(model, store, options);
        });
      };
      ASSERT_TRUE(WIFSIGNALED(kill_at(at))) << at;
      if (i % 5 == 0) kill_at(at / 2);  // and once more while it goes on
      const absl::Status status = TryShard(model, store, options);
      ASSERT_TRUE(status.ok() || absl::StrContains(Message(status), "already complete")) << status;
      fs::remove(store + "/.lock");
      ASSERT_THAT(DifferingFiles(whole, store), IsEmpty()) << "killed at call " << at;
      fs::remove_all(store);
    }
  }
}

TEST(Shard, ReportsEveryFailingSystemCallAndGoesOnAfterwards) {
  TemporaryFolder folder;
  const std::string model = ModelDir("qwen3-qknorm-bf16"), whole = folder / "whole";
  const ShardOptions options = Options("q8_0", 65536, 1);
  ArmFaults({});
  ASSERT_TRUE(TryShard(model, whole, options).ok());
  const int64_t calls = DisarmFaults();
  int reported = 0;
  for (int64_t at = 0; at < calls; ++at) {
    const std::string store = folder / absl::StrCat(at);
    ArmFaults({at % 2 == 0 ? FaultPlan::Action::kFail : FaultPlan::Action::kFailAll, at, EIO});
    const absl::Status status = TryShard(model, store, options);
    DisarmFaults();
    if (!status.ok()) {
      ++reported;
      EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << at << ": " << status;
      EXPECT_THAT(Message(status), AllOf(HasSubstr(folder.path()), HasSubstr("nput/output error"),
                                         Not(HasSubstr("\n")))) << at;
      const absl::Status again = TryShard(model, store, options);
      ASSERT_TRUE(again.ok() || absl::StrContains(Message(again), "already complete"))
          << at << ": " << again;
    }
    fs::remove(store + "/.lock");  // its removal may be what failed
    ASSERT_THAT(DifferingFiles(whole, store), IsEmpty()) << "failed at call " << at;
    fs::remove_all(store);
  }
  EXPECT_GT(reported, calls * 2 / 3);  // the others are hints, as fallocate
}

TEST(Shard, SaysHowMuchDiskSpaceIsMissingBeforeItWrites) {
  TemporaryFolder folder;
  SetFreeDiskBytes(1000000);
  const absl::Status status = TryShard(ModelDir("bard-6.7M"), folder / "s");
  SetFreeDiskBytes(-1);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(Message(status), AllOf(HasSubstr("0.014 GB"), HasSubstr("0.001 GB (999424 bytes)")));
  EXPECT_FALSE(fs::exists(folder / "s"));
}

TEST(Shard, CountsFinishedAndHalfWrittenFilesIntoTheDiskSpace) {
  TemporaryFolder folder;
  const std::string model = ModelDir("bard-6.7M"), store = folder / "s";
  ShardHalf(model, store, Options("", 32768));
  SetFreeDiskBytes(12900000);  // 14.3 MB would not fit
  const absl::Status status = TryShard(model, store, Options("", 32768));
  SetFreeDiskBytes(-1);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(Shard, KeepsWhatIsDoneWhenTheDiskRunsFull) {
  TemporaryFolder folder;
  const std::string model = ModelDir("bard-6.7M");
  ShardOrDie(model, folder / "whole", "", 65536);
  int i = 0;
  for (const int64_t at : {0, 3, 20, 60, 150}) {
    const std::string store = folder / absl::StrCat(i++);
    ArmFaults({FaultPlan::Action::kFailAll, at, ENOSPC, /*writes_only=*/true});
    const absl::Status status = TryShard(model, store, Options("", 65536));
    DisarmFaults();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(Message(status), AllOf(HasSubstr("No space left"), HasSubstr(store)));
    EXPECT_TRUE(TryShard(model, store, Options("", 65536)).ok());
    EXPECT_THAT(DifferingFiles(folder / "whole", store), IsEmpty());
  }
}

TEST(Shard, ReportsTheLimitOnFileSizes) {
  SKIP_UNDER_TSAN();
  TemporaryFolder folder;
  const std::string model = ModelDir("bard-6.7M");
  const int result = RunInChild([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {1000000, 1000000};
    setrlimit(RLIMIT_FSIZE, &limit);
    return TryShard(model, folder / "s", Options("", 65536));
  });
  EXPECT_EQ(CodeOf(result), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(TryShard(model, folder / "s", Options("", 65536)).ok());
  EXPECT_THAT(*VerifyStore(folder / "s", {}), IsEmpty());
}

TEST(Shard, ReportsTargetsThatCannotBeWritten) {
  SKIP_UNDER_TSAN();
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  TemporaryFolder folder;
  fs::create_directory(folder / "mine");
  ASSERT_EQ(chmod(folder.path().c_str(), 0755), 0);
  for (const char* target : {"mine", "new"}) {
    const int result = RunInChild([&] {
      if (setuid(65534) != 0) return absl::InternalError("setuid");
      return TryShard(ModelDir("qwen3-qknorm-bf16"), folder / target);
    });
    EXPECT_EQ(CodeOf(result), absl::StatusCode::kPermissionDenied) << target;
  }
  EXPECT_THAT(ReadFolder(folder.path()), IsEmpty());
}

TEST(Shard, ReportsASourceThatWasCutAndGoesOnOnceItIsWhole) {
  TemporaryFolder folder;
  fs::copy(ModelDir("bard-6.7M"), folder / "c");
  const std::string weights = folder / "c/model.safetensors";
  const std::string bytes = ReadBytes(weights);
  {
    const std::unique_ptr<Checkpoint> checkpoint = OpenCheckpoint(folder / "c");
    fs::resize_file(weights, bytes.size() - 1000000);
    const absl::Status status = Shard(*checkpoint, folder / "s", Options()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_THAT(Message(status), HasSubstr("model.safetensors"));
  }
  WriteBytes(weights, bytes);
  EXPECT_TRUE(TryShard(folder / "c", folder / "s").ok());
  ShardOrDie(ModelDir("bard-6.7M"), folder / "whole");
  // But for the name of the source's folder, all is the same.
  EXPECT_THAT(DifferingFiles(folder / "whole", folder / "s"), ElementsAre("manifest.json"));
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
