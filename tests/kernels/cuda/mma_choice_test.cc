#include "kernels/cuda/mma_choice.h"

#include "gtest/gtest.h"
#include "tests/kernels/cuda/test_device.h"

namespace sluice::cuda {
namespace {

TEST(MmaChoice, TakesTensorCoresWhereTheyAreFasterAndNeverWhereNot) {
  const struct {
    double dp4a_s, mma_s;
    int64_t tokens;
  } kCases[] = {
      {1.0, 0.01, 17},
      {1.0, 0.5, 17},
      {1.0, 0.51, 17},
      {1.0, 0.63, 21},
      {1.0, 0.75, 25},
      {1.0, 0.99, 29},
      {1.0, 1.0, kNoMma},
      {1e-5, 3e-5, kNoMma},
      {4e-5, 1e-5, 17},
      // A clock that did not move decides for dp4a.
      {0.0, 0.0, kNoMma},
      {1.0, 0.0, 17},
  };
  for (const auto& c : kCases)
    EXPECT_EQ(MmaMinTokens(c.dp4a_s, c.mma_s), c.tokens) << c.dp4a_s << " " << c.mma_s;
  EXPECT_LT(int64_t{1} << 40, kNoMma) << "no pass has as many";
}

class MmaChoiceOnDevice : public CudaTest {};

TEST_F(MmaChoiceOnDevice, ReturnsOneOfTheChoices) {
  TestDevice test(1);
  const auto device = Device::Open(0);
  ASSERT_TRUE(device.ok()) << device.status();
  const auto chosen = ChooseMmaMinTokens(*device, test.stream(), test.allocator());
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  if (device->compute_capability() != 75) {
    EXPECT_EQ(*chosen, kMmaMinTokens);
  }
  EXPECT_GE(*chosen, kMmaMinTokens);
}

}  // namespace
}  // namespace sluice::cuda
