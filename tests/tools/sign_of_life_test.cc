// What long work shows on a terminal before its first text, and that the text stays whole.
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"
#include "tests/tools/terminal.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What stays on the screen of what was written: a line that was cleared begins anew.
std::string OnScreen(const std::string& written) {
  constexpr char kClear[] = "\x1b[K";
  std::vector<std::string> lines = absl::StrSplit(written, '\n');
  for (std::string& line : lines) {
    if (const size_t cleared = line.rfind(kClear); cleared != std::string::npos)
      line.erase(0, cleared + 3);
  }
  std::string screen;
  for (size_t i = 0; i < lines.size(); ++i) screen += (i == 0 ? "" : "\n") + lines[i];
  return screen;
}

// Runs `sluice ARGS...` with standard error in a terminal and standard output in a pipe.
Finished RunWithStderrInATerminal(std::vector<std::string> args) {
  args.insert(args.begin(), SluiceBinary());
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  Finished finished;
  int out[2], controller = -1, terminal = -1;
  if (openpty(&controller, &terminal, nullptr, nullptr, nullptr) != 0 || pipe2(out, O_CLOEXEC) != 0)
    return finished;
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(out[1], STDOUT_FILENO);
    dup2(terminal, STDERR_FILENO);
    close(controller);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(out[1]);
  close(terminal);
  pollfd fds[2] = {{out[0], POLLIN, 0}, {controller, POLLIN, 0}};
  std::string* const texts[2] = {&finished.out, &finished.err};
  for (int open = 2; open > 0;) {
    poll(fds, 2, -1);
    for (int i = 0; i < 2; ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      char chunk[4096];
      const ssize_t n = read(fds[i].fd, chunk, sizeof(chunk));
      if (n > 0) {
        texts[i]->append(chunk, static_cast<size_t>(n));
        continue;
      }
      close(fds[i].fd);
      fds[i].fd = -1;
      --open;
    }
  }
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status)) finished.exit_code = WEXITSTATUS(status);
  return finished;
}

class SignOfLife : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TempDir;
    const Finished run =
        RunSluice({"shard", SLUICE_SOURCE_DIR "/tests/data/models/TinyStories-656K", Store(),
                   "--slab-size", "64KiB"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    std::ofstream(Text())
        << "Once upon a time there was a dog. It had a ball, and the ball was red.\nThe dog ran.";
  }
  static void TearDownTestSuite() { delete dir_; }
  void SetUp() override {
    int controller = -1, terminal = -1;
    if (openpty(&controller, &terminal, nullptr, nullptr, nullptr) != 0)
      GTEST_SKIP() << "no terminal can be had here";
    close(controller);
    close(terminal);
  }
  static std::string Store() { return *dir_ / "store"; }
  static std::string Text() { return *dir_ / "text.txt"; }

  // Reads the whole model in a second: what `run` keeps in memory takes so long to load.
  static std::vector<std::string> Loading(std::vector<std::string> args) {
    args.insert(args.end(), {"--throttle-disk", "2400KB/s", "-t", "1"});
    return args;
  }
  // With little memory and half a second for each pass.
  static std::vector<std::string> Streamed(std::vector<std::string> args) {
    args.insert(args.end(), {"--throttle-disk", "4MB/s", "-t", "1", "-c", "64", "--max-ram", "5MiB",
                             "--ring", "128KiB"});
    return args;
  }
  // Starts the command, waits for the events in this order, and stops it if it is not over yet.
  static void ExpectEvents(const std::vector<std::string>& args,
                           const std::vector<std::string>& events) {
    Terminal terminal(args);
    for (const std::string& event : events) terminal.Expect(event);
    terminal.Signal(SIGINT);
    EXPECT_THAT(terminal.Exit(), testing::AnyOf(130, 0)) << terminal.unread();
  }

  static TempDir* dir_;
};
TempDir* SignOfLife::dir_ = nullptr;

TEST_F(SignOfLife, RunShowsLoadingThenThePromptThenOnlyTheText) {
  SLUICE_SKIP_WITHOUT_TERMINAL();
  const std::vector<std::string> args = {"run", Store(), "-f", Text(), "-n", "4", "--temp", "0"};
  const Finished piped = RunSluice(args);
  ASSERT_EQ(piped.exit_code, 0) << piped.err;
  EXPECT_THAT(piped.err, Not(HasSubstr("loading")));
  EXPECT_THAT(piped.err, Not(HasSubstr("\x1b")));

  Terminal terminal(Loading(args));
  const std::string before = terminal.Expect("loading ");
  EXPECT_EQ(terminal.Exit(), 0) << terminal.unread();
  const std::string screen = OnScreen(before + terminal.unread());
  EXPECT_THAT(screen, testing::StartsWith(piped.out)) << "the prompt, line by line, and the answer";
  EXPECT_THAT(screen, Not(HasSubstr(" left")));
}

TEST_F(SignOfLife, RunShowsMovementWithinAPass) {
  // The text is one pass, of which the first slabs come long before the last ones. Slabs that stay
  // come in it, too.
  ExpectEvents(
      Streamed({"run", Store(), "-f", Text(), "-n", "50", "--temp", "0", "--no-display-prompt"}),
      {"loading ", "prompt ", " of 19"});
}

TEST_F(SignOfLife, StandardOutputMayBeAPipe) {
  const std::vector<std::string> args = {"run", Store(), "-f", Text(), "-n", "4", "--temp", "0"};
  const Finished run = RunWithStderrInATerminal(Loading(args));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, RunSluice(args).out);
  EXPECT_THAT(run.err, HasSubstr("loading "));
}

TEST_F(SignOfLife, JsonComesAloneAndTheLineGoes) {
  const Finished object = RunWithStderrInATerminal(
      Loading({"run", Store(), "-f", Text(), "-n", "4", "--temp", "0", "--json"}));
  EXPECT_THAT(object.err, HasSubstr("loading "));
  EXPECT_EQ(OnScreen(object.err), "");
  EXPECT_TRUE(nlohmann::json::accept(object.out)) << object.out;
}

TEST_F(SignOfLife, EveryTurnOfAChatShowsIt) {
  SLUICE_SKIP_WITHOUT_TERMINAL();
  Terminal terminal(Streamed(
      {"chat", Store(), "--template", "{{ messages[-1].content }}", "-n", "1", "--temp", "0"}));
  terminal.Expect("> ");
  terminal.Type("Once upon a time\r");
  terminal.Expect("loading ");
  terminal.Expect("\n> ");
  terminal.Type("The dog ran\r");
  terminal.Expect("prompt ");
  terminal.Expect("\n> ");
  terminal.Type("\x04");
  EXPECT_EQ(terminal.Exit(), 0) << terminal.unread();
}

TEST_F(SignOfLife, HiddenThoughtsAreCounted) {
  SLUICE_SKIP_WITHOUT_TERMINAL();
  Terminal terminal(
      Streamed({"chat", Store(), "--template",
                "{{ messages[-1].content }}{% if add_generation_prompt %}<think>{% endif %}", "-n",
                "50", "--temp", "0", "--ignore-eos", "--hide-thinking"}));
  terminal.Expect("> ");
  terminal.Type("Once\r");
  terminal.Expect("generating ");
  terminal.Signal(SIGTERM);
  EXPECT_EQ(terminal.Exit(), 130) << terminal.unread();
}

TEST_F(SignOfLife, ScoresPerplexityAndBatchesShowItToo) {
  const std::string output = *dir_ / "results.jsonl";
  ExpectEvents(Streamed({"score", Store(), "-f", Text()}), {"scoring ", " of 19"});
  ExpectEvents(Streamed({"perplexity", Store(), "-f", Text()}), {"loading ", "pass "});
  ExpectEvents(
      Streamed({"batch", Store(), "-i", Text(), "--text", "-o", output, "--batch-size", "1"}),
      {"requests ", "pass "});
  EXPECT_EQ(RunSluice({"score", Store(), "-f", Text()}).err, "");
}

}  // namespace
}  // namespace sluice
