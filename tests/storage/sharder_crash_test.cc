// Tests of what a kill, a failing disk, a full one or a lost source leaves behind: a store that is
// whole, or one that the same call goes on with.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fault_injection.h"
#include "gguf_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/shard/sharder.h"
#include "storage/store/layer_store.h"
#include "storage/store/verify.h"
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

// Runs `body` in a child process and returns what waitpid says. The child has the parent's memory
// but none of its threads; it must not return into the test.
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

TEST(ShardCrash, StopsCleanlyAndGoesOn) {
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

TEST(ShardCrash, GoesOnOnlyWithTheSameSourceAndOptions) {
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
                             "of bard-6.7M (bf16), not of this checkpoint (qwen3-qknorm-bf16"},
                        Case{model, Options("", 32768, 2, StoreCompression::kZstd),
                             "with compression none, not zstd"}}) {
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
  EXPECT_TRUE(result->outcome == ShardOutcome::kResumed);
  EXPECT_GT(done_at_start, 0);
  ShardOrDie(model, folder / "whole", "", 32768);
  EXPECT_THAT(DifferingFiles(folder / "whole", store), IsEmpty());
}

TEST(ShardCrash, WritesFilesAgainThatAreNotWhatTheRecordSays) {
  TemporaryFolder folder;
  const std::string model = ModelDir("bard-6.7M");
  ShardOrDie(model, folder / "whole", "", 32768);
  const auto cut = [](const std::string& store) {
    fs::resize_file(store + "/layers/000.slabs", 4096);
  };
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

TEST(ShardCrash, GoesOnWithACompressedStore) {
  const std::string model = ModelDir("bard-6.7M");
  const ShardOptions options = Options("", 32768, 2, StoreCompression::kZstd);
  TemporaryFolder folder;
  ASSERT_TRUE(TryShard(model, folder / "whole", options).ok());
  ArmFaults({});
  ASSERT_TRUE(TryShard(model, folder / "counted", options).ok());
  const int64_t calls = DisarmFaults();
  for (int64_t at = 3; at < calls; at += calls / 12) {
    const std::string store = folder / absl::StrCat(at);
    ArmFaults({FaultPlan::Action::kFailAll, at, EIO});
    const absl::Status status = TryShard(model, store, options);
    DisarmFaults();
    if (status.ok()) continue;  // the call was a hint
    if (fs::exists(store + "/unfinished.json")) {
      const absl::Status other = TryShard(model, store, Options("", 32768));
      EXPECT_THAT(Message(other), HasSubstr("with compression zstd, not none")) << at;
    }
    const absl::Status again = TryShard(model, store, options);
    ASSERT_TRUE(again.ok()) << again;
    fs::remove(store + "/.lock");
    ASSERT_THAT(DifferingFiles(folder / "whole", store), IsEmpty()) << at;
    fs::remove_all(store);
  }
}

TEST(ShardCrash, WritesCompressedFilesAgainThatAreNotWhatTheRecordSays) {
  TemporaryFolder folder;
  const std::string model = ModelDir("bard-6.7M");
  const ShardOptions options = Options("", 32768, 2, StoreCompression::kZstd);
  ASSERT_TRUE(TryShard(model, folder / "whole", options).ok());
  const auto edit = [](const std::function<void(json&)>& change) {
    return [change](const std::string& store) {
      json record = json::parse(ReadBytes(store + "/unfinished.json"));
      change(record["finished"]["layers/000.slabs"]);
      WriteBytes(store + "/unfinished.json", record.dump());
    };
  };
  int i = 0;
  for (const std::function<void(const std::string&)>& damage :
       std::vector<std::function<void(const std::string&)>>{
           [](const std::string& store) { fs::resize_file(store + "/layers/000.slabs", 4096); },
           edit([](json& file) { file["stored_bytes"].erase(0); }),
           edit([](json& file) { file.erase("stored_bytes"); }),
           edit([](json& file) { file["stored_bytes"][0] = -4096; }),
           edit([](json& file) { file["stored_bytes"][0] = 1 << 30; }), edit([](json& file) {
             file["stored_bytes"][0] = file["stored_bytes"][0].get<int>() - 4096;
           })}) {
    const std::string store = folder / absl::StrCat(i++);
    ShardHalf(model, store, options);
    ASSERT_THAT(ReadBytes(store + "/unfinished.json"), HasSubstr("layers/000.slabs"));
    damage(store);
    EXPECT_TRUE(TryShard(model, store, options).ok());
    EXPECT_THAT(DifferingFiles(folder / "whole", store), IsEmpty()) << i;
  }
}

TEST(ShardCrash, RefusesARecordThatItCannotRead) {
  TemporaryFolder folder;
  const std::string store = folder / "s";
  fs::create_directory(store);
  for (const char* text :
       {"", "{", "[]", "{\"format_version\": 1}", "{\"format_version\": 4}",
        "{\"format_version\": 1, \"source\": \"\", \"recipe\": \"\", \"slab_bytes\": 1,"
        "\"source_fingerprint\": \"0000000000000000\", \"finished\": {\"x\": 3}}"}) {
    WriteBytes(store + "/unfinished.json", text);
    const absl::Status status = TryShard(ModelDir("qwen3-qknorm-bf16"), store);
    EXPECT_THAT(Message(status), HasSubstr("unfinished.json")) << text;
    EXPECT_EQ(ReadBytes(store + "/unfinished.json"), text);
  }
}

// A killed process leaves .lock and temporary files; nothing of them may be seen in the end.
void KillBeforeEverySystemCall(const std::string& model, const ShardOptions& options) {
  TemporaryFolder folder;
  const std::string whole = folder / "whole";
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
      EXPECT_TRUE(resumed.ok()) << at << ": " << resumed;
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

TEST(ShardCrash, SurvivesKillBeforeEverySystemCall) {
  SKIP_UNDER_TSAN();
  KillBeforeEverySystemCall(ModelDir("qwen3-qknorm-bf16"), Options("q8_0", 65536, 1));
}

TEST(ShardCrash, SurvivesKillBeforeEverySystemCallForAGgufFile) {
  SKIP_UNDER_TSAN();
  TemporaryFolder folder;
  ConvertToGguf("llama3-rope-bf16-sharded").Write(folder / "m.gguf");
  KillBeforeEverySystemCall(folder / "m.gguf", Options("", 65536, 1));
}

// With two workers and the finisher at once, on a model of ten files.
TEST(ShardCrash, SurvivesKillAtRandomPointsOfABusyRun) {
  SKIP_UNDER_TSAN();
  std::mt19937 random(11);
  for (const auto where : {TemporaryFolder::Where::kMemory, TemporaryFolder::Where::kDisk}) {
    TemporaryFolder folder(where);
    const std::string model = folder / "c", whole = folder / "whole";
    json config = TinyConfig(64, 192, 300);
    config["num_hidden_layers"] = 8;
    WriteCheckpoint(model, config, [](const std::string&) { return "BF16"; });
    const ShardOptions options = Options("", 8192, 2);
    ArmFaults({});
    ASSERT_TRUE(TryShard(model, whole, options).ok());
    const int64_t calls = DisarmFaults();
    for (int i = 0; i < (where == TemporaryFolder::Where::kMemory ? 60 : 5); ++i) {
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
      ASSERT_TRUE(status.ok()) << status;
      fs::remove(store + "/.lock");
      ASSERT_THAT(DifferingFiles(whole, store), IsEmpty()) << "killed at call " << at;
      fs::remove_all(store);
    }
  }
}

TEST(ShardCrash, ReportsEveryFailingSystemCallAndGoesOnAfterwards) {
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
                                         Not(HasSubstr("\n"))))
          << at;
      const absl::Status again = TryShard(model, store, options);
      ASSERT_TRUE(again.ok()) << at << ": " << again;
    }
    fs::remove(store + "/.lock");  // its removal may be what failed
    ASSERT_THAT(DifferingFiles(whole, store), IsEmpty()) << "failed at call " << at;
    fs::remove_all(store);
  }
  EXPECT_GT(reported, calls * 2 / 3);  // the others are hints, as fallocate
}

TEST(ShardCrash, SaysHowMuchDiskSpaceIsMissingBeforeItWrites) {
  TemporaryFolder folder;
  SetFreeDiskBytes(1000000);
  const absl::Status status = TryShard(ModelDir("bard-6.7M"), folder / "s");
  SetFreeDiskBytes(-1);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("GB (14"),
                    HasSubstr("bytes) are still to be written, 0.001 GB (999424 bytes)")));
  EXPECT_FALSE(fs::exists(folder / "s"));
}

TEST(ShardCrash, CountsFinishedAndHalfWrittenFilesIntoTheDiskSpace) {
  TemporaryFolder folder;
  const std::string model = ModelDir("bard-6.7M"), store = folder / "s";
  ShardHalf(model, store, Options("", 32768));
  SetFreeDiskBytes(12900000);  // 14.3 MB would not fit
  const absl::Status status = TryShard(model, store, Options("", 32768));
  SetFreeDiskBytes(-1);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(ShardCrash, KeepsWhatIsDoneWhenTheDiskRunsFull) {
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

TEST(ShardCrash, ReportsTheLimitOnFileSizes) {
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

TEST(ShardCrash, ReportsTargetsThatCannotBeWritten) {
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

TEST(ShardCrash, ReportsASourceThatWasCutAndGoesOnOnceItIsWhole) {
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
  EXPECT_THAT(DifferingFiles(folder / "whole", folder / "s"),
              ElementsAre("manifest.json", "record.json"));
}

}  // namespace
}  // namespace sluice
