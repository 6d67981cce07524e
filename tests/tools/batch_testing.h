// The fixture of batch jobs: a small store, the lines of results, and jobs that run beside the
// test.
#ifndef SLUICE_TESTS_TOOLS_BATCH_TESTING_H_
#define SLUICE_TESTS_TOOLS_BATCH_TESTING_H_

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/reference_file.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {

// A sluice that runs beside the test. Its standard output is the test's.
class RunningSluice {
 public:
  // Starts `sluice ARGS...` with its standard error in `error_file`.
  explicit RunningSluice(std::vector<std::string> args,
                         const std::string& error_file = "/dev/null") {
    args.insert(args.begin(), SluiceBinary());
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    int life[2];  // a pipe whose writing end only the process has
    EXPECT_EQ(pipe2(life, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      if (freopen(error_file.c_str(), "w", stderr) == nullptr || dup(life[1]) < 0) _exit(126);
      setenv("XDG_CACHE_HOME", CacheHome().c_str(), /*overwrite=*/1);
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(life[1]);
    ended_ = life[0];
  }
  ~RunningSluice() { close(ended_); }
  RunningSluice(const RunningSluice&) = delete;
  RunningSluice& operator=(const RunningSluice&) = delete;

  void Signal(int signal) const { kill(pid_, signal); }

  // Waits until `reached` holds, and looks again whenever a file of `folder` is made or written.
  // Returns false if the process ends without that.
  bool Await(const std::string& folder, const std::function<bool()>& reached) const {
    const int changes = inotify_init1(IN_CLOEXEC);
    EXPECT_GE(inotify_add_watch(changes, folder.c_str(), IN_CREATE | IN_MODIFY | IN_MOVED_TO), 0);
    pollfd fds[2] = {{changes, POLLIN, 0}, {ended_, POLLIN, 0}};
    bool is_reached = reached();
    while (!is_reached && fds[1].revents == 0) {
      poll(fds, 2, -1);
      char events[4096];
      if (fds[0].revents != 0) {
        EXPECT_GT(read(changes, events, sizeof(events)), 0);
      }
      is_reached = reached();
    }
    close(changes);
    return is_reached;
  }
  // Returns whether the process ends before the time is over.
  bool EndsWithin(int milliseconds) const {
    pollfd fd = {ended_, POLLIN, 0};
    return poll(&fd, 1, milliseconds) == 1;
  }
  // Waits for the end and returns what waitpid() says. At most once.
  int Wait() const {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    return status;
  }

 private:
  pid_t pid_;
  int ended_;  // the pipe's reading end
};

class Batch : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TempDir;
    const Finished run =
        RunSluice({"shard", SLUICE_SOURCE_DIR "/tests/data/models/TinyStories-656K", Store(),
                   "--slab-size", "256KiB"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
  }
  static void TearDownTestSuite() { delete dir_; }
  static std::string Store() { return *dir_ / "store"; }

  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(mine_ / name, std::ios::binary | std::ios::trunc) << text;
    return mine_ / name;
  }

  std::vector<std::string> Args(const std::string& input, const std::string& output,
                                const std::vector<std::string>& more = {},
                                const std::string& batch_size = "8") {
    std::vector<std::string> args = {
        "batch", Store(),        "-i",       input,       "-o",    output, "-c",
        "256",   "--batch-size", batch_size, "--max-ram", "64MiB", "-t",   "1"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }

  // The lines of a results or errors file by custom_id, each once and whole, without when the job
  // began.
  static std::map<std::string, nlohmann::json> Lines(const std::string& path) {
    std::map<std::string, nlohmann::json> lines;
    const std::string text = ReadWholeFile(path);
    EXPECT_TRUE(text.empty() || text.back() == '\n');
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      nlohmann::json line = nlohmann::json::parse(text.substr(at, end - at));
      line["response"]["body"].erase("created");
      EXPECT_TRUE(lines.emplace(line["custom_id"], line).second)
          << "doubled: " << line["custom_id"];
      at = end + 1;
    }
    return lines;
  }

  // Nothing but inputs and what jobs that are done leave.
  void ExpectOnlyResults() const {
    for (const std::filesystem::directory_entry& entry :
         std::filesystem::directory_iterator(mine_.path())) {
      EXPECT_THAT(entry.path().filename().string(),
                  testing::AnyOf(testing::EndsWith(".jsonl"), testing::EndsWith(".job.json")));
    }
  }

  inline static TempDir* dir_ = nullptr;
  TempDir mine_;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_TOOLS_BATCH_TESTING_H_
