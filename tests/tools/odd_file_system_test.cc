// The command on file systems that lack something: locks, a size, O_DIRECT, fsync
// (tests/support/odd_file_system.cc).
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/reference_file.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr char kSmallModel[] = SLUICE_SOURCE_DIR "/tests/data/models/TinyStories-656K";
constexpr char kFileSystem[] = SLUICE_BINARY_DIR "/tests/libodd_file_system.so";

int CountOf(const std::string& text, const std::string& words) {
  int count = 0;
  for (size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1))
    ++count;
  return count;
}

class OddFileSystem : public testing::Test {
 protected:
  // Runs the command where `variable` is `value`.
  static Finished RunOn(const char* variable, const std::string& value,
                        std::vector<std::string> args) {
    setenv("LD_PRELOAD", kFileSystem, /*overwrite=*/1);
    setenv(variable, value.c_str(), /*overwrite=*/1);
    Finished run = RunSluice(std::move(args));
    unsetenv(variable);
    unsetenv("LD_PRELOAD");
    return run;
  }

  std::vector<std::string> Batch(const std::string& name) {
    const std::string input = dir_ / "in.jsonl";
    std::FILE* const file = std::fopen(input.c_str(), "w");
    std::fputs("{\"prompt\": \"Once\", \"max_tokens\": 2}\n", file);
    std::fclose(file);
    return {"batch", dir_ / "store", "-i", input, "-o", dir_ / name, "--max-ram", "64MiB"};
  }
  std::vector<std::string> Shard(const std::string& name) {
    return {"shard", kSmallModel, dir_ / name};
  }

  // Of every file of a store.
  std::string Bytes(const std::string& name) {
    std::vector<std::string> paths;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(dir_ / name)) {
      if (entry.is_regular_file()) paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    std::string bytes;
    for (const std::string& path : paths)
      bytes += path.substr((dir_ / name).size()) + ReadWholeFile(path);
    return bytes;
  }

  void SetUp() override {
    const Finished shard = RunSluice(Shard("store"));
    ASSERT_EQ(shard.exit_code, 0) << shard.err;
  }

  TempDir dir_;
};

TEST_F(OddFileSystem, WithoutLocksIsWrittenToAndSaysSoOnce) {
  for (const int error : {ENOSYS, ENOLCK, EOPNOTSUPP, EINVAL}) {
    const std::string value = std::to_string(error);
    const std::string store = "store-" + value, results = value + ".jsonl";
    for (const std::vector<std::string>& command : {Shard(store), Batch(results)}) {
      const Finished run = RunOn("ODD_FLOCK", value, command);
      EXPECT_EQ(run.exit_code, 0) << command[0] << " " << error << ": " << run.err;
      EXPECT_EQ(CountOf(run.err, "has no locks"), 1)
          << command[0] << " " << error << ": " << run.err;
    }
    EXPECT_EQ(Bytes(store), Bytes("store")) << error;
    EXPECT_EQ(CountOf(ReadWholeFile(dir_ / results), "\n"), 1) << error;
  }
}

TEST_F(OddFileSystem, ALockThatAnotherProcessHoldsStaysAnError) {
  for (const int error : {EWOULDBLOCK, EIO}) {
    for (const std::vector<std::string>& command : {Shard("other"), Batch("other.jsonl")}) {
      const Finished run = RunOn("ODD_FLOCK", std::to_string(error), command);
      EXPECT_EQ(run.exit_code, 1) << command[0] << " " << error << ": " << run.err;
      EXPECT_THAT(run.err, HasSubstr(error == EIO ? "cannot lock" : "another process is writing"));
    }
  }
}

TEST_F(OddFileSystem, WithoutASizeIsWrittenTo) {
  for (const std::string& size :
       {std::string("none"), std::string("endless"), std::to_string(ENOSYS)}) {
    const Finished run = RunOn("ODD_SIZE", size, Shard("store-" + size));
    EXPECT_EQ(run.exit_code, 0) << size << ": " << run.err;
    EXPECT_EQ(Bytes("store-" + size), Bytes("store")) << size;
  }
  const Finished run = RunOn("ODD_SIZE", std::to_string(EIO), Shard("store-unknown"));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("cannot ask the free space of"));
}

TEST_F(OddFileSystem, ThatRefusesDirectWritesGetsTheSameBytes) {
  const Finished run = RunOn("ODD_DIRECT", std::to_string(EINVAL), Shard("buffered"));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(Bytes("buffered"), Bytes("store"));
}

TEST_F(OddFileSystem, ThatCannotSyncIsWrittenTo) {
  for (const int error : {EINVAL, ENOSYS, EOPNOTSUPP}) {
    const std::string value = std::to_string(error);
    for (const std::vector<std::string>& command :
         {Shard("store-" + value), Batch(value + ".jsonl")}) {
      const Finished run = RunOn("ODD_SYNC", value, command);
      EXPECT_EQ(run.exit_code, 0) << command[0] << " " << error << ": " << run.err;
    }
  }
  // A disk that is broken is another thing.
  const Finished run = RunOn("ODD_SYNC", std::to_string(EIO), Shard("broken"));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("cannot sync"));
}

}  // namespace
}  // namespace sluice
