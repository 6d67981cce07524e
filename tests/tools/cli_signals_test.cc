// Signals, as users, terminals and container runtimes send them.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/tools/cli_testing.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

TEST_F(Cli, CtrlCStopsReportsAndExitsWith130) {
  const std::string store = MakeStore();
  bool sent = false;
  const Finished run =
      RunSluice({"run", store, "-p", "Once", "--ignore-eos", "-c", "512", "--max-ram", "24MiB"},
                [&](const std::string& out, pid_t pid) {
                  if (!sent && out.size() > 20) sent = kill(pid, SIGINT) == 0;
                });
  EXPECT_TRUE(sent);
  // A fast machine may fill the context before the signal arrives.
  if (run.exit_code != 0) {
    EXPECT_EQ(run.exit_code, 130) << run.err;
  }
  EXPECT_THAT(run.err, HasSubstr("generation"));
}

// `timeout` and container runtimes signal a process and its group, and terminals may send one
// beside.
TEST_F(Cli, SeveralSignalsAtOnceAreOneAndTheRunStillReports) {
  const std::string store = MakeStore();
  for (const std::pair<int, int>& both :
       {std::pair{SIGTERM, SIGTERM}, {SIGINT, SIGTERM}, {SIGTERM, SIGINT}}) {
    bool sent = false;
    const Finished run = RunSluice({"run", store, "-p", "Once", "--ignore-eos", "-c", "512",
                                    "--max-ram", "24MiB", "--throttle-disk", "50MB/s"},
                                   [&](const std::string& out, pid_t pid) {
                                     if (sent || out.size() <= 20) return;
                                     sent =
                                         kill(pid, both.first) == 0 && kill(pid, both.second) == 0;
                                   });
    EXPECT_TRUE(sent);
    if (run.exit_code != 0) {
      EXPECT_EQ(run.exit_code, 130) << run.err;
    }
    EXPECT_THAT(run.err, HasSubstr("generation")) << both.first << " and " << both.second;
  }
}

// Nobody can tell a read that hangs to return; the program ends without it.
TEST_F(Cli, OneSignalEndsARunWhoseDiskHangs) {
  const std::string store = MakeStore();
  for (const int signal : {SIGTERM, SIGINT}) {
    bool sent = false;
    const Finished run = RunSluice(
        {"run", store, "-p", "Once", "-n", "3", "--throttle-disk", "1B/s", "--max-ram", "24MiB"},
        [&](const std::string&, pid_t pid) { sent = sent || kill(pid, signal) == 0; });
    EXPECT_TRUE(sent);
    EXPECT_EQ(run.exit_code, 130) << run.err;
    EXPECT_THAT(run.err, HasSubstr("interrupted"));
  }
}

// A pipe that nobody writes to, as a disk that does not answer.
TEST_F(Cli, OneSignalEndsACommandThatWaitsForItsInput) {
  const std::string store = MakeStore();
  ASSERT_EQ(mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  for (const std::string command : {"run", "score", "perplexity"}) {
    const pid_t pid = fork();
    if (pid == 0) {
      const int nothing = open("/dev/null", O_WRONLY);
      dup2(nothing, STDOUT_FILENO);
      dup2(nothing, STDERR_FILENO);
      execl(SluiceBinary().c_str(), "sluice", command.c_str(), store.c_str(), "-f",
            (dir_ / "pipe").c_str(), nullptr);
      _exit(127);
    }
    // Returns once the command reads
    const int writer = open((dir_ / "pipe").c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_GE(writer, 0);
    kill(pid, SIGTERM);
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    close(writer);
    ASSERT_TRUE(WIFEXITED(status)) << command;
    EXPECT_EQ(WEXITSTATUS(status), 130) << command;
  }
}

}  // namespace
}  // namespace sluice
