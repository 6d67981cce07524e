// How slabs are shared out between a link and the CPU.
#include "runtime/floor/host_share.h"

#include <cstdlib>

#include "gtest/gtest.h"
#include "runtime/pass/memory_plan.h"
#include "tests/runtime/model_harness.h"

namespace sluice {
namespace {

// 1,000 bytes that are copied, or computed by the CPU with one row; a link of 200 bytes/s, products
// of 800.
MachineRates ShareRates() {
  MachineRates rates;
  rates.disk_bytes_per_s = 100;
  rates.link_bytes_per_s = 200;
  rates.device_memory_bytes_per_s = 100000;
  rates.num_threads = 2;
  rates.num_cpus = 2;
  rates.kernels = {{Encoding::kQ8_0, 1, 800}, {Encoding::kQ8_0, 64, 40}};
  return rates;
}
PassWork Copied() {
  PassWork work;
  work.num_threads = 2;
  work.memories.resize(3);
  work.host().sent_bytes = 1000;
  work.nearest().touched_bytes = 2000;
  return work;
}
PassWork ByHost() {
  PassWork work;
  work.num_threads = 2;
  work.memories.resize(3);
  work.products = {{Encoding::kQ8_0, 1, 1000}};
  return work;
}

TEST(HostShare, LinkAndCpuAreDoneTogether) {
  EXPECT_NEAR(BalancedHostShare(Copied(), ByHost(), ShareRates()), 0.8, 2e-3)
      << "of bytes that are whole";
  MachineRates even = ShareRates();
  even.link_bytes_per_s = 800;
  EXPECT_NEAR(BalancedHostShare(Copied(), ByHost(), even), 0.5, 2e-3);
}

TEST(HostShare, AFasterLinkGetsMoreAndAFasterCpuToo) {
  double before = 1;
  for (const double link : {50, 100, 400, 1600, 25600}) {
    MachineRates rates = ShareRates();
    rates.link_bytes_per_s = link;
    const double share = BalancedHostShare(Copied(), ByHost(), rates);
    EXPECT_LT(share, before) << link;
    before = share;
  }
  before = 0;
  for (const double cpu : {50, 100, 400, 1600, 25600}) {
    MachineRates rates = ShareRates();
    rates.kernels = {{Encoding::kQ8_0, 1, cpu}};
    const double share = BalancedHostShare(Copied(), ByHost(), rates);
    EXPECT_GT(share, before) << cpu;
    before = share;
  }
}

TEST(HostShare, IsNoMoreThanTakesTheLinkFromTheBottleneck) {
  PassWork copied = Copied(), by_host = ByHost();
  copied.disk().sent_bytes = by_host.disk().sent_bytes = 500;  // 5 s, as long as the link
  EXPECT_EQ(BalancedHostShare(copied, by_host, ShareRates()), 0);
  copied.disk().sent_bytes = by_host.disk().sent_bytes = 400;
  EXPECT_NEAR(BalancedHostShare(copied, by_host, ShareRates()), 0.2, 2e-3)
      << "800 bytes in the 4 s of the disk";
  MachineRates rates = ShareRates();
  rates.device_memory_bytes_per_s = 400;
  EXPECT_EQ(BalancedHostShare(Copied(), ByHost(), rates), 0)
      << "the device's own memory is as slow";
}

TEST(HostShare, IsNothingWhereRatesAreNotKnown) {
  MachineRates rates = ShareRates();
  rates.link_bytes_per_s = 0;
  EXPECT_EQ(BalancedHostShare(Copied(), ByHost(), rates), 0);
  rates = ShareRates();
  rates.kernels.clear();
  EXPECT_EQ(BalancedHostShare(Copied(), ByHost(), rates), 0);
}

TEST(HostShare, SpreadsEvenlyOverTheWalk) {
  std::vector<int64_t> bytes;
  std::vector<bool> possible;
  for (int i = 0; i < 200; ++i) {
    bytes.push_back(100 + i * 37 % 60);
    possible.push_back(i % 5 != 2);
  }
  for (const double fraction : {0.0, 0.1, 0.37, 0.5, 0.9, 1.0}) {
    const std::vector<bool> chosen = SpreadOver(bytes, possible, fraction);
    double all = 0, taken = 0;
    for (size_t i = 0; i < bytes.size(); ++i) {
      EXPECT_LE(chosen[i], possible[i]);
      if (possible[i]) all += static_cast<double>(bytes[i]);
      if (chosen[i]) taken += static_cast<double>(bytes[i]);
      EXPECT_LE(std::abs(taken - fraction * all), 160)
          << "a slab at the most, " << fraction << " at " << i;
    }
  }
}

class ChosenShare : public testing::Test {
 protected:
  ChosenShare() : store_("qwen2-bias-bf16", "q8_0", 4 << 10) {
    residency_.tier.assign(manifest().slabs.size(), kInRam);
    residency_.tier_bytes.resize(2);
    request_.rates = ShareRates();
    request_.num_threads = 2;
  }
  const Manifest& manifest() const { return store_->manifest(); }
  HostShare Choose(int64_t rows, bool rounded = false) const {
    return ChooseHostShare(manifest(), residency_, request_, rows, 1, rounded);
  }

  static constexpr int kOnDevice = 0, kInRam = 1;
  const TestStore store_;
  Residency residency_;
  HostShareRequest request_;
};

TEST_F(ChosenShare, IsFasterThanCopyingAllAndBothTakeAsLong) {
  const HostShare share = Choose(1);
  ASSERT_FALSE(share.slabs.empty());
  const PassFloor floor =
      FloorOf(DescribePass(manifest(), residency_, 1, 1, 2, false, share.slabs), ShareRates());
  const PassFloor copied =
      FloorOf(DescribePass(manifest(), residency_, 1, 1, 2, false), ShareRates());
  EXPECT_LT(floor.predicted_s(), 0.25 * copied.predicted_s());
  EXPECT_NEAR(floor.Seconds(kLinkTerm), floor.processor_s, 2.0 * (8 << 10) / 200)
      << "but for a slab or two";
  EXPECT_GE(share.most_rows, 1);
  EXPECT_LT(FloorOf(DescribePass(manifest(), residency_, share.most_rows, 1, 2, false, share.slabs),
                    ShareRates())
                .predicted_s(),
            copied.predicted_s());
}

TEST_F(ChosenShare, LeavesManyRowsToTheDevice) {
  request_.rates.kernels = {{Encoding::kQ8_0, 1, 800}, {Encoding::kQ8_0, 64, 12.5}};
  const int64_t most = Choose(1).most_rows;
  EXPECT_GT(most, 1);
  EXPECT_LT(most, kMostSharedRows);
  EXPECT_TRUE(Choose(kMostSharedRows + 1).slabs.empty());
  request_.fraction = 0.5;
  EXPECT_EQ(Choose(kMostSharedRows + 1).most_rows, kMostSharedRows) << "as asked for";
}

TEST_F(ChosenShare, TakesOnlyWhatLiesInHostMemory) {
  request_.fraction = 1;
  for (size_t i = 0; i < residency_.tier.size(); ++i) {
    residency_.tier[i] = i % 3 == 0 ? kOnDisk : i % 3 == 1 ? kOnDevice : kInRam;
  }
  const HostShare share = Choose(1);
  ASSERT_EQ(share.slabs.size(), residency_.tier.size());
  int64_t slabs = 0;
  for (size_t i = 0; i < share.slabs.size(); ++i) {
    EXPECT_EQ(share.slabs[i], i % 3 == 2);
    slabs += share.slabs[i];
  }
  EXPECT_EQ(share.num_slabs, slabs);
  request_.fraction = 0;
  EXPECT_TRUE(Choose(1).slabs.empty());
}

TEST_F(ChosenShare, LeavesWeightsThatTheDeviceRoundsToIt) {
  const TestStore floats("qwen2-bias-bf16", "", 4 << 10);
  residency_.tier.assign(floats->manifest().slabs.size(), kInRam);
  request_.fraction = 1;
  const auto choose = [&](bool rounded) {
    return ChooseHostShare(floats->manifest(), residency_, request_, 1, 1, rounded);
  };
  EXPECT_EQ(choose(false).num_slabs, static_cast<int64_t>(residency_.tier.size()));
  EXPECT_EQ(choose(true).num_slabs, 0);
}

TEST_F(ChosenShare, PlansBuffersForItWhereThereIsAny) {
  PlanRequest request;
  request.context_tokens = 64;
  request.max_ram_bytes = int64_t{1} << 30;
  request.device = DeviceBudget{.max_bytes = int64_t{1} << 30, .kv_place = KvPlace::kDevice};
  const MemoryPlan without = *PlanMemory(*store_, request);
  request.device->max_bytes = without.nearest().minimum_bytes;
  request.host_share = request_;
  EXPECT_TRUE(PlanMemory(*store_, request)->host_share.slabs.empty()) << "no room for the buffers";
  const HostProductSizes sizes = SizeHostProducts(manifest(), 1, 1);
  EXPECT_GE(sizes.product_bytes, manifest().hyper_parameters.vocab_size * 4);
  request.device->max_bytes += sizes.product_bytes;
  const MemoryPlan plan = *PlanMemory(*store_, request);
  EXPECT_FALSE(plan.host_share.slabs.empty());
  EXPECT_EQ(plan.host().fixed_bytes, without.host().fixed_bytes + sizes.host_bytes());
  EXPECT_EQ(plan.nearest().fixed_bytes, without.nearest().fixed_bytes + sizes.product_bytes);
  EXPECT_EQ(plan.host().minimum_bytes, without.host().minimum_bytes)
      << "a smaller budget works without a share";
  EXPECT_EQ(plan.nearest().minimum_bytes, without.nearest().minimum_bytes);
  EXPECT_EQ(plan.HostSlabs(1), plan.host_share.slabs);
  EXPECT_TRUE(plan.HostSlabs(plan.host_share.most_rows + 1).empty());
}

}  // namespace
}  // namespace sluice
