// What a process may take of memory, on systems that are folders here.
#include "kernels/base/memory_limits.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMiB = int64_t{1} << 20;

class MemoryLimits : public testing::Test {
 protected:
  MemoryLimits() {
    Write("/proc/meminfo",
          "MemTotal:       16777216 kB\nMemFree: 100 kB\nMemAvailable:   12582912 kB\n");
  }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path full = dir_.path() + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  void WriteMiB(const std::string& path, int64_t mib) {
    Write(path, std::to_string(mib * kMiB) + "\n");
  }

  // The process is in the group /job/step.
  void UseV1() {
    Write("/proc/self/cgroup", "4:memory:/job/step\n0::/\n");
    Write("/proc/self/mountinfo",
          "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  }
  void UseV2() {
    Write("/proc/self/cgroup", "0::/job/step\n");
    Write("/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  }
  void WriteV1(const std::string& group, int64_t limit_mib, int64_t usage_mib,
               const std::string& stat) {
    const std::string dir = "/sys/fs/cgroup/memory" + group;
    WriteMiB(dir + "/memory.limit_in_bytes", limit_mib);
    WriteMiB(dir + "/memory.usage_in_bytes", usage_mib);
    Write(dir + "/memory.stat", stat);
  }
  void WriteV2(const std::string& group, const std::string& max, int64_t usage_mib,
               const std::string& stat) {
    const std::string dir = "/sys/fs/cgroup" + group;
    Write(dir + "/memory.max", max + "\n");
    WriteMiB(dir + "/memory.current", usage_mib);
    Write(dir + "/memory.stat", stat);
  }
  static std::string Stat(const std::string& key, int64_t mib) {
    return key + " " + std::to_string(mib * kMiB) + "\n";
  }

  DefaultBudget Default() { return DefaultBudgetOf(ReadMemoryLimits(dir_.path())); }

  TempDir dir_;
};

TEST_F(MemoryLimits, AreTheMachinesWithoutACgroup) {
  EXPECT_EQ(Default().bytes, 12 * 1024 * kMiB / 10 * 8);
  EXPECT_EQ(Default().source, "80% of 12.00 GiB free on this machine, limit 16.00 GiB");
  UseV1();
  WriteMiB("/sys/fs/cgroup/memory/memory.limit_in_bytes", 8796093022207);  // none
  EXPECT_THAT(Default().source, HasSubstr("on this machine"));
  UseV2();
  WriteV2("/job", "max", 300, "");
  EXPECT_THAT(Default().source, HasSubstr("on this machine"));
}

TEST_F(MemoryLimits, DoNotCountPageCacheAsUsed) {
  UseV1();
  WriteV1("/job/step", 500, 498,
          Stat("cache", 430) + Stat("total_inactive_file", 300) + Stat("total_active_file", 98));
  EXPECT_EQ(Default().bytes, 400 * kMiB / 10 * 8);
  EXPECT_EQ(Default().source,
            "80% of 400.0 MiB free in the cgroup /sys/fs/cgroup/memory/job/step, limit 500.0 MiB");
  WriteV1("/job/step", 500, 498,
          Stat("inactive_file", 300) + Stat("active_file", 98));  // without a hierarchy
  EXPECT_EQ(Default().bytes, 400 * kMiB / 10 * 8);
  UseV2();
  WriteV2("/job/step", std::to_string(500 * kMiB), 498,
          Stat("anon", 60) + Stat("file", 430) + Stat("inactive_file", 300) +
              Stat("active_file", 90) + Stat("slab_reclaimable", 8) +
              Stat("slab_unreclaimable", 9));
  EXPECT_EQ(Default().bytes, 400 * kMiB / 10 * 8);
  EXPECT_EQ(Default().source,
            "80% of 400.0 MiB free in the cgroup /sys/fs/cgroup/job/step, limit 500.0 MiB");
}

TEST_F(MemoryLimits, CountWhatCannotBeTakenBack) {
  UseV2();  // tmpfs and shared memory are pages of files, too, but of no list of them
  WriteV2("/job/step", std::to_string(500 * kMiB), 450,
          Stat("file", 450) + Stat("shmem", 440) + Stat("inactive_file", 10));
  EXPECT_EQ(Default().bytes, 60 * kMiB / 10 * 8);
  WriteV2("/job/step", std::to_string(500 * kMiB), 600, "");
  EXPECT_EQ(Default().bytes, 0);
}

TEST_F(MemoryLimits, AreTheTightestOfTheGroupsAround) {
  UseV1();
  WriteV1("/job/step", 900, 100, "");
  WriteV1("/job", 700, 600, Stat("total_inactive_file", 100));
  EXPECT_THAT(Default().source,
              HasSubstr("200.0 MiB free in the cgroup /sys/fs/cgroup/memory/job, limit 700.0 MiB"));
  // Set above what the mount shows; swap that is taken counts where memory and swap have a limit
  // together.
  WriteV1("/job", 8796093022207, 600, "");
  WriteV1("", 8796093022207, 600, Stat("hierarchical_memory_limit", 650));
  EXPECT_THAT(Default().source, HasSubstr("50.0 MiB free"));
  WriteV1("", 8796093022207, 600, "");
  WriteV1("/job", 700, 600, Stat("total_inactive_file", 100));
  WriteMiB("/sys/fs/cgroup/memory/job/memory.memsw.limit_in_bytes", 700);
  WriteMiB("/sys/fs/cgroup/memory/job/memory.memsw.usage_in_bytes", 650);
  EXPECT_THAT(Default().source, HasSubstr("150.0 MiB free"));
  UseV2();
  WriteV2("/job", std::to_string(700 * kMiB), 600, Stat("inactive_file", 100));
  EXPECT_THAT(Default().source,
              HasSubstr("200.0 MiB free in the cgroup /sys/fs/cgroup/job, limit 700.0 MiB"));
  Write("/sys/fs/cgroup/job/step/memory.high", std::to_string(128 * kMiB));
  WriteMiB("/sys/fs/cgroup/job/step/memory.current", 8);
  EXPECT_THAT(Default().source,
              HasSubstr("120.0 MiB free in the cgroup /sys/fs/cgroup/job/step, limit 128.0 MiB"));
}

TEST_F(MemoryLimits, WarnOfABudgetThatIsNotThere) {
  UseV2();
  WriteV2("/job/step", std::to_string(500 * kMiB), 200, Stat("inactive_file", 100));
  const std::vector<MemoryLimit> limits = ReadMemoryLimits(dir_.path());
  EXPECT_EQ(BudgetWarning(400 * kMiB, limits), std::nullopt);
  EXPECT_EQ(BudgetWarning(401 * kMiB, limits),
            "--max-ram 401.0 MiB is more than the 400.0 MiB free in the cgroup "
            "/sys/fs/cgroup/job/step, limit 500.0 MiB: "
            "the system may kill sluice when memory runs out");
  EXPECT_THAT(
      BudgetWarning(600 * kMiB, limits).value_or(""),
      HasSubstr("more than the 500.0 MiB there are in the cgroup /sys/fs/cgroup/job/step: "));
  const std::vector<MemoryLimit> machine = {limits.front()};
  EXPECT_THAT(
      BudgetWarning(20 * 1024 * kMiB, machine).value_or(""),
      HasSubstr("--max-ram 20.00 GiB is more than the 16.00 GiB there are on this machine"));
  EXPECT_THAT(BudgetWarning(13 * 1024 * kMiB, machine).value_or(""),
              HasSubstr("more than the 12.00 GiB free on"));
}

TEST_F(MemoryLimits, OfOldKernelsAreWhatIsFreeAndCached) {
  Write("/proc/meminfo",
        "MemTotal: 1048576 kB\nMemFree: 102400 kB\nBuffers: 1024 kB\nCached: 101376 kB\n");
  EXPECT_EQ(Default().source, "80% of 200.0 MiB free on this machine, limit 1.00 GiB");
}

TEST_F(MemoryLimits, AreWhatASystemPromisesThatDoesNotOvercommit) {
  Write("/proc/meminfo",
        "MemTotal: 1048576 kB\nMemAvailable: 1000000 kB\nCommitLimit: 524288 kB\nCommitted_AS: "
        "421888 kB\n");
  Write("/proc/sys/vm/overcommit_memory", "0\n");
  EXPECT_THAT(Default().source, HasSubstr("on this machine"));
  Write("/proc/sys/vm/overcommit_memory", "2\n");
  EXPECT_EQ(Default().source,
            "80% of 100.0 MiB free under vm.overcommit_memory=2, limit 512.0 MiB");
}

}  // namespace
}  // namespace sluice
