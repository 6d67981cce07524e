// Runs the sluice command as users do: a process with pipes and an exit code.
#ifndef SLUICE_TESTS_TOOLS_SUBPROCESS_H_
#define SLUICE_TESTS_TOOLS_SUBPROCESS_H_

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {

struct Finished {
  int exit_code = -1;  // -1: killed by a signal
  int signal = 0;
  std::string out;
  std::string err;
  int64_t peak_rss_bytes = 0;
};

// Where the command remembers a probe: in the build folder, so that the machine is not measured by
// each test, unless a test sets it.
inline std::string& CacheHome() {
  static std::string* const home = new std::string(SLUICE_BINARY_DIR "/no-cache");
  return *home;
}

// The program that is run.
inline std::string& SluiceBinary() {
  static std::string* const binary = new std::string(SLUICE_BINARY_DIR "/sluice");
  return *binary;
}

// What the process does before it becomes sluice: to limit itself. It must not throw.
inline std::function<void()>& BeforeExec() {
  static std::function<void()>* const action = new std::function<void()>;
  return *action;
}

// Runs `sluice ARGS...`. `on_output`, where given, sees all of standard output so far and the
// process id, whenever more has come: to send a signal at the right moment without sleeping.
inline Finished RunSluice(std::vector<std::string> args,
                          const std::function<void(const std::string&, pid_t)>& on_output = nullptr,
                          const std::string& input = "") {
  args.insert(args.begin(), SluiceBinary());
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  int out[2], err[2], in[2];
  EXPECT_EQ(pipe2(out, O_CLOEXEC) | pipe2(err, O_CLOEXEC) | pipe2(in, O_CLOEXEC), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    setenv("XDG_CACHE_HOME", CacheHome().c_str(), /*overwrite=*/1);
    if (BeforeExec()) BeforeExec()();
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  EXPECT_EQ(write(in[1], input.data(), input.size()), static_cast<ssize_t>(input.size()));
  close(in[1]);

  Finished finished;
  pollfd fds[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  std::string* const texts[2] = {&finished.out, &finished.err};
  for (int open = 2; open > 0;) {
    poll(fds, 2, -1);
    for (int i = 0; i < 2; ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      char chunk[1 << 16];
      const ssize_t n = read(fds[i].fd, chunk, sizeof(chunk));
      if (n > 0) {
        texts[i]->append(chunk, n);
        if (i == 0 && on_output) on_output(finished.out, pid);
      } else {
        close(fds[i].fd);
        fds[i].fd = -1;
        --open;
      }
    }
  }
  int status = 0;
  rusage usage = {};
  EXPECT_EQ(wait4(pid, &status, 0, &usage), pid);
  if (WIFEXITED(status)) finished.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) finished.signal = WTERMSIG(status);
  finished.peak_rss_bytes = static_cast<int64_t>(usage.ru_maxrss) * 1024;
  return finished;
}

}  // namespace sluice

#endif  // SLUICE_TESTS_TOOLS_SUBPROCESS_H_
