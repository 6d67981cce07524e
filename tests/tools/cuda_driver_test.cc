// The command and CUDA's own runtime on machines whose driver is too old or finds no device. The
// driver is tests/support/fake_cuda_driver.cc; without CUDA in the build there is none.
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

constexpr char kDriverFolder[] = SLUICE_BINARY_DIR "/tests/fake_cuda_driver";

class CudaDriver : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(std::string(kDriverFolder) + "/libcuda.so.1"))
      GTEST_SKIP() << "no CUDA in this build";
    const Finished shard = RunSluice(
        {"shard", SLUICE_SOURCE_DIR "/tests/data/models/TinyStories-656K", dir_ / "store"});
    ASSERT_EQ(shard.exit_code, 0) << shard.err;
  }

  // Two tokens of the model on `device`, the driver being of `version`.
  Finished Run(const char* version, const char* device) {
    setenv("LD_LIBRARY_PATH", kDriverFolder, /*overwrite=*/1);
    setenv("FAKE_CUDA_DRIVER", version, /*overwrite=*/1);
    Finished run = RunSluice(
        {"run", dir_ / "store", "-p", "Once", "-n", "2", "--temp", "0", "--device", device});
    unsetenv("FAKE_CUDA_DRIVER");
    unsetenv("LD_LIBRARY_PATH");
    return run;
  }

  TempDir dir_;
};

TEST_F(CudaDriver, ThatIsTooOldIsAnErrorOfItsOwn) {
  const Finished run = Run("11080", "cuda");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.out, "");
  EXPECT_THAT(run.err, testing::MatchesRegex(
                           "sluice run: CUDA: driver too old, needs ([0-9]+ or newer, for )?CUDA "
                           "[0-9]+\\.0; this one is for CUDA 11\\.8\n"));
}

TEST_F(CudaDriver, ThatIsTooOldLeavesAutoToTheCpuWhichSaysSo) {
  const Finished run = Run("11080", "auto");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, testing::HasSubstr("computing on the CPU: CUDA: driver too old, needs "));
  EXPECT_NE(run.out, "");
}

TEST_F(CudaDriver, ThatFindsNoDeviceSaysSo) {
  const Finished run = Run("99000", "cuda");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.err,
            "sluice run: CUDA: no device: the driver, for CUDA 99.0, finds none; "
            "CUDA_VISIBLE_DEVICES may hide them\n");
  const Finished chosen = Run("99000", "auto");
  EXPECT_EQ(chosen.exit_code, 0) << chosen.err;
  EXPECT_THAT(chosen.err, testing::HasSubstr("sluice: computing on the CPU: CUDA: no device: "));
}

}  // namespace
}  // namespace sluice
