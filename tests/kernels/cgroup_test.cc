// The control groups of a process, on systems that are folders here.
#include "kernels/base/cgroup.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kV1Mount[] =
    "35 31 0:32 %ROOT% /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n";
constexpr char kV2Mount[] =
    "30 23 0:26 %ROOT% /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

std::string Mount(std::string line, const std::string& root) {
  return line.replace(line.find("%ROOT%"), 6, root);
}

class CgroupTest : public testing::Test {
 protected:
  CgroupTest() {
    std::string name = (std::filesystem::temp_directory_path() / "sluice-cgroup.XXXXXX").string();
    root_ = mkdtemp(name.data());
    std::filesystem::create_directories(root_ + "/proc/self");
  }
  ~CgroupTest() override { std::filesystem::remove_all(root_); }

  std::vector<std::string> Find(const std::string& cgroup, const std::string& mountinfo) {
    std::ofstream(root_ + "/proc/self/cgroup") << cgroup;
    std::ofstream(root_ + "/proc/self/mountinfo") << "22 1 259:1 / / rw - ext4 /dev/root rw\n"
                                                  << mountinfo;
    std::vector<std::string> dirs;
    for (const Cgroup& group : FindCgroups(root_, "memory")) dirs.push_back(group.dir);
    return dirs;
  }

  std::string root_;
};

TEST_F(CgroupTest, WalksFromTheProcessToTheRoot) {
  EXPECT_THAT(Find("0::/user.slice/a.scope\n", Mount(kV2Mount, "/")),
              ElementsAre("/sys/fs/cgroup/user.slice/a.scope", "/sys/fs/cgroup/user.slice",
                          "/sys/fs/cgroup"));
  EXPECT_THAT(
      Find("9:pids:/x\n4:cpu,memory:/slurm/job_5/step_0\n", Mount(kV1Mount, "/")),
      ElementsAre("/sys/fs/cgroup/memory/slurm/job_5/step_0", "/sys/fs/cgroup/memory/slurm/job_5",
                  "/sys/fs/cgroup/memory/slurm", "/sys/fs/cgroup/memory"));
}

TEST_F(CgroupTest, KnowsThatAContainerSeesItsOwnGroupAtTheMount) {
  EXPECT_THAT(Find("4:memory:/docker/3f\n", Mount(kV1Mount, "/docker/3f")),
              ElementsAre("/sys/fs/cgroup/memory"));
  EXPECT_THAT(Find("4:memory:/docker/3f/in\n", Mount(kV1Mount, "/docker/3f")),
              ElementsAre("/sys/fs/cgroup/memory/in", "/sys/fs/cgroup/memory"));
  EXPECT_THAT(Find("0::/\n", Mount(kV2Mount, "/")),
              ElementsAre("/sys/fs/cgroup"));  // a namespace of its own
}

TEST_F(CgroupTest, TakesTheMountWhereThePathIsNotBelowIt) {
  // Mounted before the namespace was made: the group is two levels below, its name is not told.
  EXPECT_THAT(Find("0::/a\n", Mount(kV2Mount, "/../..")), ElementsAre("/sys/fs/cgroup"));
  for (const char* other : {"/x/1/a", "/y/2", "/y/3/a"}) {
    std::filesystem::create_directories(root_ + "/sys/fs/cgroup" + other);
    std::ofstream(root_ + "/sys/fs/cgroup" + other + "/cgroup.procs") << "1\n";
  }
  std::ofstream(root_ + "/sys/fs/cgroup/y/3/a/cgroup.procs") << "1\n" << getpid() << "\n";
  EXPECT_THAT(Find("0::/a\n", Mount(kV2Mount, "/../..")),
              ElementsAre("/sys/fs/cgroup/y/3/a", "/sys/fs/cgroup/y/3", "/sys/fs/cgroup/y",
                          "/sys/fs/cgroup"));
  // Moved out of the namespace.
  EXPECT_THAT(Find("0::/../other\n", Mount(kV2Mount, "/")), ElementsAre("/sys/fs/cgroup"));
  EXPECT_THAT(Find("4:memory:/kubepods/pod1/c\n", Mount(kV1Mount, "/system.slice")),
              ElementsAre("/sys/fs/cgroup/memory"));
  // Not taken for a name that only begins in the same way.
  EXPECT_THAT(Find("4:memory:/docker/3f0\n", Mount(kV1Mount, "/docker/3f")),
              ElementsAre("/sys/fs/cgroup/memory"));
}

TEST_F(CgroupTest, FindsBothHierarchiesOfAHybridSystem) {
  const std::string unified = "38 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
  EXPECT_THAT(Find("4:memory:/a\n0::/b\n", Mount(kV1Mount, "/") + unified),
              ElementsAre("/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory",
                          "/sys/fs/cgroup/unified/b", "/sys/fs/cgroup/unified"));
}

TEST_F(CgroupTest, ReadsMountsInOtherPlacesAndWithoutMountinfo) {
  EXPECT_THAT(Find("0::/a\n", "30 23 0:26 / /my\\040mounts/cg rw - cgroup2 cgroup2 rw\n"),
              ElementsAre("/my mounts/cg/a", "/my mounts/cg"));
  EXPECT_THAT(Find("0::/a\n", ""), ElementsAre("/sys/fs/cgroup/a", "/sys/fs/cgroup"));
  EXPECT_THAT(Find("4:memory:/a\n", ""),
              ElementsAre("/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory"));
  EXPECT_THAT(Find("", ""), IsEmpty());
}

}  // namespace
}  // namespace sluice
