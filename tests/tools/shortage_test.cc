// Every command where threads, memory or stacks are refused: it goes on with fewer, or ends with
// one line and exit code 1.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

using Args = std::vector<std::string>;

class Shortage : public testing::Test {
 protected:
  // Files that a user without rights can read, and the program beside them.
  void SetUp() override {
#ifdef SLUICE_SANITIZED
    GTEST_SKIP() << "a sanitizer starts a thread and reserves memory of its own";
#endif
    fs::permissions(dir_.path(), fs::perms::all);
    CacheHome() = dir_ / "cache";  // no probe that another test left
    fs::copy(SLUICE_SOURCE_DIR "/tests/data/models/TinyStories-656K", dir_ / "model");
    fs::copy_file(SluiceBinary(), dir_ / "sluice");
    binary_ = std::exchange(SluiceBinary(), dir_ / "sluice");
    ASSERT_EQ(
        RunSluice({"shard", dir_ / "model", dir_ / "store", "--slab-size", "64KiB"}).exit_code, 0);
    RemoveWritten();
    std::ofstream(dir_ / "text") << "Once upon a time\nThere was a girl\n";
    std::ofstream(dir_ / "context") << R"({"messages": [{"role": "user", "content": "Hi"}]})";
    std::ofstream(dir_ / "chat.jinja") << "{% for m in messages %}{{ m.content }}{% endfor %}";
    for (const char* name : {"store", "model"}) {
      for (const fs::directory_entry& entry : fs::recursive_directory_iterator(dir_ / name)) {
        fs::permissions(entry, fs::perms::all);
      }
      fs::permissions(dir_ / name, fs::perms::all);
    }
  }
  void TearDown() override {
    BeforeExec() = nullptr;
    CacheHome() = SLUICE_BINARY_DIR "/no-cache";
    if (!binary_.empty()) SluiceBinary() = binary_;
  }

  // A command line of each command that reads or computes with `threads` compute threads.
  std::vector<Args> Computing(const std::string& threads) const {
    const std::string store = dir_ / "store";
    return {
        {"run", store, "-p", "Once", "-n", "2", "-t", threads},
        {"run", store, "-p", "Once", "-n", "2", "-t", threads, "--io", "threads"},
        {"chat", store, "--template", dir_ / "chat.jinja", "-n", "2", "-t", threads},
        {"batch", store, "-i", dir_ / "text", "--text", "-o", dir_ / "out/results.jsonl", "-t",
         threads},
        {"score", store, "-f", dir_ / "text", "-t", threads},
        {"perplexity", store, "-f", dir_ / "text", "-t", threads},
        {"bench", store, "-n", "1", "-p", "2", "-r", "1", "-t", threads},
        {"plan", store, "-t", threads},
        {"probe", store, "--quick", "-t", threads},
        {"verify", store, "-t", threads},
        {"shard", dir_ / "model", dir_ / "out/again", "-t", threads},
        {"synth", dir_ / "out/random", "--shape", "llama-3.2-1b", "--layers", "1", "-t", threads}};
  }
  // Of those that need no thread.
  std::vector<Args> Reading() const {
    const std::string store = dir_ / "store";
    return {{"inspect", store},
            {"tokenize", store, "-p", "Once"},
            {"template", dir_ / "chat.jinja", "--context", dir_ / "context"},
            {"plan", store, "--no-probe"},
            {"completion", "bash"}};
  }
  void RemoveWritten() {
    fs::remove_all(dir_ / "out");
    fs::create_directory(dir_ / "out");
    fs::permissions(dir_ / "out", fs::perms::all);
  }

  TempDir dir_;
  std::string binary_;
};

std::string Line(const Args& args) {
  std::string line;
  for (const std::string& arg : args) line += arg + " ";
  return line;
}

// No crash, and where it failed one line that says why.
void ExpectOneLine(const Args& args, const Finished& run) {
  EXPECT_EQ(run.signal, 0) << Line(args) << run.err;
  EXPECT_THAT(run.err, Not(HasSubstr("terminate"))) << Line(args);
  if (run.exit_code == 0) return;
  EXPECT_EQ(run.exit_code, 1) << Line(args) << run.err;
  const size_t error = run.err.find("sluice " + args[0] + ": ");
  ASSERT_NE(error, std::string::npos) << Line(args) << run.err;
  EXPECT_EQ(run.err.find('\n', error), run.err.size() - 1) << Line(args) << run.err;
}

void ForbidThreads() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {.len = std::size(code), .filter = code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    _exit(9);
}

void Limit(__rlimit_resource resource, rlim_t value) {
  const rlimit limit = {.rlim_cur = value, .rlim_max = value};
  if (setrlimit(resource, &limit) != 0) _exit(9);
}

// This process and its threads, of a user who has no other.
void AllowThreads(rlim_t most) {
  Limit(RLIMIT_NPROC, most);
  if (setgroups(0, nullptr) != 0 || setgid(65534) != 0) _exit(9);
  if (setuid(100000 + static_cast<uid_t>(getpid()) % 1000000) != 0) _exit(9);
}

TEST_F(Shortage, OfAllThreadsIsOneLineAndLeavesNothingBehind) {
  BeforeExec() = ForbidThreads;
  for (const Args& args : Computing("4")) {
    const Finished run = RunSluice(args);
    if (run.exit_code == 9) GTEST_SKIP() << "no seccomp filter here";
    ExpectOneLine(args, run);
    EXPECT_EQ(run.exit_code, 1) << Line(args) << run.err;
    EXPECT_THAT(run.err, HasSubstr("cannot start a thread for ")) << Line(args);
    EXPECT_THAT(run.err, HasSubstr(" wanted): ")) << Line(args);
    EXPECT_EQ(run.out, "") << Line(args);
  }
  EXPECT_FALSE(fs::exists(dir_ / "out/again"));
  EXPECT_FALSE(fs::exists(dir_ / "out/random"));
  for (const Args& args : Reading()) EXPECT_EQ(RunSluice(args).exit_code, 0) << Line(args);
  BeforeExec() = nullptr;
  for (const Args& args : Computing("2")) {
    if (args[0] != "shard" && args[0] != "batch") continue;
    EXPECT_EQ(RunSluice(args).exit_code, 0) << Line(args);
  }
}

TEST_F(Shortage, OfSomeThreadsIsSaidOnceAndChangesNoResult) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become a user who has no other process";
  const Args generate = {"run", dir_ / "store", "-p", "Once upon a time", "-n", "8", "--temp",
                         "0",   "-t",           "4"};
  const std::string text = RunSluice(generate).out;
  for (const int most : {2, 3, 4}) {
    BeforeExec() = [most] { AllowThreads(most); };
    EXPECT_EQ(RunSluice(generate).out, most == 2 ? "" : text);
    for (const Args& args : Computing("8")) {
      if (args[0] == "synth" || args[0] == "probe" || args[0] == "plan" || args[0] == "bench")
        continue;  // seconds
      RemoveWritten();
      const Finished run = RunSluice(args);
      if (run.exit_code == 9) GTEST_SKIP() << "no other user here";
      ExpectOneLine(args, run);
      if (most == 2) continue;  // one more thread is enough to verify only
      EXPECT_EQ(run.exit_code, 0) << Line(args) << run.err;
      const size_t said = run.err.find("sluice: going on with fewer threads: started ");
      ASSERT_NE(said, std::string::npos) << Line(args) << run.err;
      EXPECT_THAT(run.err, HasSubstr("ulimit -u is " + std::to_string(most) + ": raise it"))
          << Line(args);
      EXPECT_EQ(run.err.find("going on with fewer", said + 20), std::string::npos)
          << Line(args) << run.err;
    }
  }
}

// A file system that io_uring hands over to threads of the kernel, which count as the process's.
TEST_F(Shortage, OfTheKernelsThreadsForReading) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become a user who has no other process";
  const std::string store = "/dev/shm/sluice-shortage-" + std::to_string(getpid());
  std::error_code error;
  fs::copy(dir_ / "store", store, fs::copy_options::recursive, error);
  if (error) GTEST_SKIP() << "no /dev/shm: " << error.message();
  const Args args = {"run", store, "-p", "Once upon a time", "-n", "8", "--temp", "0", "-t", "1"};
  const Finished free = RunSluice(args);
  BeforeExec() = [] { AllowThreads(3); };
  const Finished run = RunSluice(args);
  fs::remove_all(store);
  ASSERT_EQ(free.exit_code, 0) << free.err;
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, free.out);
}

// What the system's loader needs for the program and its libraries: below that, it is the one who
// speaks.
int LeastMib(__rlimit_resource resource) {
  for (int mib = 8; mib < 200; ++mib) {
    BeforeExec() = [=] { Limit(resource, static_cast<rlim_t>(mib) << 20); };
    if (RunSluice({"--version"}).exit_code == 0) return mib;
  }
  ADD_FAILURE() << "the program does not start in 200 MiB";
  return 200;
}

TEST_F(Shortage, OfMemoryIsOneLine) {
  for (const auto resource : {RLIMIT_AS, RLIMIT_DATA}) {
    const int least = LeastMib(resource);
    for (const int mib : {least, least + 2, least + 8, 200}) {
      BeforeExec() = [=] { Limit(resource, static_cast<rlim_t>(mib) << 20); };
      for (Args& args : Computing("2")) {
        if (args[0] == "bench" || args[0] == "probe" || args[0] == "synth") continue;  // seconds
        if (args[0] == "plan") args.push_back("--no-probe");
        RemoveWritten();
        const Finished run = RunSluice(args);
        ExpectOneLine(args, run);
        if (mib == 200) {
          EXPECT_EQ(run.exit_code, 0) << Line(args) << run.err;
        }
      }
    }
  }
}

TEST_F(Shortage, OfMemoryNamesTheLimitWhereTheBudgetComesFrom) {
  BeforeExec() = [] { Limit(RLIMIT_AS, rlim_t{300} << 20); };
  const Finished plan = RunSluice({"plan", dir_ / "store", "--no-probe"});
  EXPECT_THAT(plan.out, HasSubstr("MiB free under ulimit -v, limit 300.0 MiB)")) << plan.err;
  EXPECT_THAT(plan.err, Not(HasSubstr("warning")));
  const Finished much = RunSluice({"plan", dir_ / "store", "--no-probe", "--max-ram", "1GiB"});
  EXPECT_THAT(
      much.err,
      HasSubstr(
          "warning: --max-ram 1.00 GiB is more than the 300.0 MiB there are under ulimit -v"));
  const int little = LeastMib(RLIMIT_AS) + 4;
  BeforeExec() = [=] { Limit(RLIMIT_AS, static_cast<rlim_t>(little) << 20); };
  const Finished refused = RunSluice({"probe", dir_ / "store", "--quick"});
  ExpectOneLine({"probe"}, refused);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("ulimit -v is " + std::to_string(little) + " MiB, "))
      << refused.err;
}

TEST_F(Shortage, StacksOfAnySizeWork) {
  for (const rlim_t bytes :
       {rlim_t{64} << 10, rlim_t{256} << 10, rlim_t{1} << 30, rlim_t{1} << 40, RLIM_INFINITY}) {
    BeforeExec() = [bytes] { Limit(RLIMIT_STACK, bytes); };
    for (const Args& args : Computing("4")) {
      if (args[0] == "synth" || args[0] == "probe" || args[0] == "plan" || args[0] == "bench")
        continue;  // seconds
      RemoveWritten();
      const Finished run = RunSluice(args);
      if (run.exit_code == 9) break;  // more than this user may have
      EXPECT_EQ(run.exit_code, 0) << bytes << ": " << Line(args) << run.err;
    }
  }
}

TEST_F(Shortage, IsWarnedOfBeforeTheSystemEndsTheProcess) {
  const std::string store = dir_ / "store";
  const std::vector<Args> commands = {
      {"run", store, "-p", "Once", "-n", "1"},
      {"plan", store, "--no-probe"},
      {"chat", store, "--template", dir_ / "chat.jinja"},
      {"batch", store, "-i", dir_ / "text", "--text", "-o", dir_ / "out/results.jsonl"},
      {"score", store, "-f", dir_ / "text"},
      {"perplexity", store, "-f", dir_ / "text"}};
  for (Args args : commands) {
    args.insert(args.end(), {"--max-ram", "1000000TiB"});
    const Finished run = RunSluice(args);
    EXPECT_EQ(run.exit_code, 0) << Line(args) << run.err;
    const size_t warned =
        run.err.find("sluice: warning: --max-ram 1024000000.00 GiB is more than the ");
    ASSERT_NE(warned, std::string::npos) << Line(args) << run.err;
    EXPECT_EQ(run.err.find("warning", warned + 20), std::string::npos) << Line(args) << run.err;
    args.back() = "16MiB";
    EXPECT_THAT(RunSluice(args).err, Not(HasSubstr("warning"))) << Line(args);
  }
}

// A group whose limit is reached by the pages of a file.
TEST_F(Shortage, OfACgroupIsNotItsPageCache) {
  const bool v1 = fs::exists("/sys/fs/cgroup/memory/memory.limit_in_bytes");
  const std::string group =
      (v1 ? "/sys/fs/cgroup/memory/sluice-test-" : "/sys/fs/cgroup/sluice-test-") +
      std::to_string(getpid());
  std::error_code error;
  if (!fs::create_directory(group, error)) GTEST_SKIP() << "cgroups cannot be made here";
  const std::string limit = group + (v1 ? "/memory.limit_in_bytes" : "/memory.max");
  if (!(std::ofstream(limit) << "80M" << std::flush)) {
    fs::remove(group, error);
    GTEST_SKIP() << limit << " cannot be written";
  }
  const std::string file = dir_ / "pages";
  BeforeExec() = [&] {
    std::ofstream(group + "/cgroup.procs") << getpid() << std::flush;
    const int fd = open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    static const std::string chunk(1 << 20, 'x');
    for (int i = 0; i < 100; ++i) {
      if (write(fd, chunk.data(), chunk.size()) != static_cast<ssize_t>(chunk.size())) _exit(9);
    }
    fsync(fd);
  };
  const Finished run = RunSluice({"run", dir_ / "store", "-p", "Once", "-n", "1"});
  BeforeExec() = [&] { std::ofstream(group + "/cgroup.procs") << getpid() << std::flush; };
  const Finished plan = RunSluice({"plan", dir_ / "store", "--no-probe"});
  fs::remove(file);
  std::ofstream(group + (v1 ? "/memory.force_empty" : "/memory.reclaim")) << "80M" << std::flush;
  fs::remove(group, error);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(plan.out, HasSubstr("free in the cgroup " + group + ", limit 80.0 MiB)")) << plan.err;
}

}  // namespace
}  // namespace sluice
