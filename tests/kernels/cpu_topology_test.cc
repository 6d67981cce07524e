// The order of CPUs over machines that are folders here.
#include "kernels/cpu/cpu_topology.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::ElementsAre;

// A sysfs with what is told of each CPU: its siblings ("" for nothing) and its node (-1 for
// nothing).
class FakeSysfs {
 public:
  struct Cpu {
    const char* siblings;
    int node;
  };
  explicit FakeSysfs(const std::vector<Cpu>& cpus) {
    std::string name = (std::filesystem::temp_directory_path() / "sluice-sysfs.XXXXXX").string();
    root_ = mkdtemp(name.data());
    for (size_t i = 0; i < cpus.size(); ++i) {
      const std::string dir = root_ + "/cpu/cpu" + std::to_string(i);
      std::filesystem::create_directories(dir + "/topology");
      if (*cpus[i].siblings != '\0') {
        std::ofstream(dir + "/topology/thread_siblings_list") << cpus[i].siblings << "\n";
      }
      if (cpus[i].node >= 0) {
        std::filesystem::create_directories(dir + "/node" + std::to_string(cpus[i].node));
      }
      all_.push_back(static_cast<int>(i));
    }
  }
  ~FakeSysfs() { std::filesystem::remove_all(root_); }
  std::vector<CpuPlace> Places() const { return ReadCpuPlaces(root_, all_); }
  std::vector<CpuPlace> Places(const std::vector<int>& cpus) const {
    return ReadCpuPlaces(root_, cpus);
  }

 private:
  std::string root_;
  std::vector<int> all_;
};

TEST(CpuTopology, TakesEachCoreOnceBeforeItsSiblings) {
  const FakeSysfs neighbours({{"0-1", 0}, {"0-1", 0}, {"2-3", 0}, {"2-3", 0}});
  EXPECT_EQ(CountCores(neighbours.Places()), 2);
  EXPECT_THAT(ComputeOrder(neighbours.Places()), ElementsAre(0, 2, 1, 3));
  const FakeSysfs halves({{"0,2", 0}, {"1,3", 0}, {"0,2", 0}, {"1,3", 0}});
  EXPECT_THAT(ComputeOrder(halves.Places()), ElementsAre(0, 1, 2, 3));
  // Of what is allowed, CPU 3 is the only one of its core.
  EXPECT_EQ(CountCores(halves.Places({0, 2, 3})), 2);
  EXPECT_THAT(ComputeOrder(halves.Places({0, 2, 3})), ElementsAre(0, 3, 2));
}

TEST(CpuTopology, TakesNodesInTurn) {
  const FakeSysfs two_nodes({{"0,4", 0},
                             {"1,5", 0},
                             {"2,6", 1},
                             {"3,7", 1},
                             {"0,4", 0},
                             {"1,5", 0},
                             {"2,6", 1},
                             {"3,7", 1}});
  EXPECT_EQ(CountCores(two_nodes.Places()), 4);
  EXPECT_THAT(ComputeOrder(two_nodes.Places()), ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
}

TEST(CpuTopology, TakesWhatIsNotToldForCoresOfTheirOwn) {
  const FakeSysfs silent({{"", -1}, {"nonsense", -1}, {"", -1}});
  EXPECT_EQ(CountCores(silent.Places()), 3);
  EXPECT_THAT(ComputeOrder(silent.Places()), ElementsAre(0, 1, 2));
}

TEST(CpuTopology, KnowsTheCpusOfThisProcess) {
  const std::vector<int> cpus = AllowedCpus();
  ASSERT_FALSE(cpus.empty());
  EXPECT_TRUE(RunOnCpus(cpus).ok());
  EXPECT_THAT(AllowedCpus(), testing::ContainerEq(cpus));
  EXPECT_TRUE(absl::IsUnavailable(RunOnCpus({8191})));
}

TEST(CpuTopology, ParsesRangesAndMasks) {
  EXPECT_THAT(*ParseCpuRange("2"), ElementsAre(2));
  EXPECT_THAT(*ParseCpuRange("0-2,8,1-3"), ElementsAre(0, 1, 2, 3, 8));
  for (const char* text : {"", "-1", "3-1", "a", "1-", "0-99999", "1-2-3", "1,"}) {
    EXPECT_FALSE(ParseCpuRange(text).ok()) << text;
  }
  EXPECT_THAT(*ParseCpuMask("0x5"), ElementsAre(0, 2));
  EXPECT_THAT(*ParseCpuMask("F0"), ElementsAre(4, 5, 6, 7));
  for (const char* text : {"", "0x", "0", "xyz", "-1"})
    EXPECT_FALSE(ParseCpuMask(text).ok()) << text;
}

}  // namespace
}  // namespace sluice
