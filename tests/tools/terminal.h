// A program in a terminal of its own, driven like a person would: read until something appears,
// then type.
#ifndef SLUICE_TESTS_TOOLS_TERMINAL_H_
#define SLUICE_TESTS_TOOLS_TERMINAL_H_

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/tools/subprocess.h"

namespace sluice {

// Why this machine gives out no terminal, such as a container without devpts; empty where it does.
inline std::string WhyNoTerminal() {
  const int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  std::string why;
  if (fd < 0 || grantpt(fd) != 0 || unlockpt(fd) != 0 || ptsname(fd) == nullptr ||
      access(ptsname(fd), R_OK | W_OK) != 0) {
    why = std::strerror(errno);
  }
  if (fd >= 0) close(fd);
  return why;
}

// For the first line of each test that needs one.
#define SLUICE_SKIP_WITHOUT_TERMINAL()                                                     \
  if (const std::string why = WhyNoTerminal(); !why.empty()) {                             \
    GTEST_SKIP() << "the test needs a pseudo-terminal, and none can be had here: " << why; \
  }

class Terminal {
 public:
  // Runs `sluice ARGS...` in a terminal of 80 columns. Where no terminal can be had, the test has
  // failed, and every call fails at once.
  explicit Terminal(std::vector<std::string> args, const char* term = "xterm") {
    args.insert(args.begin(), SLUICE_BINARY_DIR "/sluice");
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    winsize size = {24, 80, 0, 0};
    pid_ = forkpty(&fd_, nullptr, nullptr, &size);
    if (pid_ == 0) {
      setenv("TERM", term, 1);
      setenv("LC_ALL", "C.UTF-8", 1);
      setenv("HOME", "/nonexistent", 1);  // no ~/.editrc
      setenv("XDG_CACHE_HOME", CacheHome().c_str(), 1);
      unsetenv("NO_COLOR");
      execv(argv[0], argv.data());
      _exit(127);
    }
    EXPECT_GT(pid_, 0);
  }
  ~Terminal() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    if (fd_ >= 0) close(fd_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // Reads until `text` comes behind what earlier calls found; returns what came before it, less
  // carriage returns. A generous deadline stands for never.
  std::string Expect(const std::string& text) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (true) {
      const size_t found = unread_.find(text);
      if (found != std::string::npos) {
        const std::string before = unread_.substr(0, found);
        unread_.erase(0, found + text.size());
        return before;
      }
      if (!ReadSome(deadline)) {
        ADD_FAILURE() << "\"" << text << "\" did not come behind \"" << unread_ << "\"";
        return "";
      }
    }
  }

  void Type(const std::string& keys) {
    if (pid_ <= 0) return;
    EXPECT_EQ(write(fd_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  void Resize(int columns) {
    winsize size = {24, static_cast<unsigned short>(columns), 0, 0};
    EXPECT_EQ(ioctl(fd_, TIOCSWINSZ, &size), 0);  // which sends SIGWINCH
  }
  void Signal(int signal) {
    if (pid_ > 0) kill(pid_, signal);
  }
  // Stops the program, lets the terminal echo and collect lines as a shell does, and has the
  // program go on.
  void StopAndContinue() {
    if (pid_ <= 0) return;
    kill(pid_, SIGSTOP);
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
    EXPECT_TRUE(WIFSTOPPED(status));
    termios modes;
    EXPECT_EQ(tcgetattr(fd_, &modes), 0);
    modes.c_lflag |= ICANON | ECHO;
    EXPECT_EQ(tcsetattr(fd_, TCSANOW, &modes), 0);
    kill(pid_, SIGCONT);
  }

  // Reads to the end; the exit code, or -1 after a signal.
  int Exit() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (ReadSome(deadline)) {
    }
    if (pid_ <= 0) return -1;
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  const std::string& unread() const { return unread_; }

 private:
  // False at the end of the output, or when the deadline has passed.
  bool ReadSome(std::chrono::steady_clock::time_point deadline) {
    if (fd_ < 0) return false;
    using std::chrono::milliseconds;
    const auto left =
        std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd ready = {fd_, POLLIN, 0};
    if (left.count() <= 0 || poll(&ready, 1, static_cast<int>(left.count())) <= 0) return false;
    char chunk[4096];
    const ssize_t n = read(fd_, chunk, sizeof(chunk));
    for (ssize_t i = 0; i < n; ++i) {
      if (chunk[i] != '\r') unread_.push_back(chunk[i]);
    }
    return n > 0;
  }

  int fd_ = -1;
  pid_t pid_ = -1;
  std::string unread_;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_TOOLS_TERMINAL_H_
