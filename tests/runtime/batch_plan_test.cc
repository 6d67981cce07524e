// The batch size: what the measured rates say is best, within the budget.
#include "runtime/batch/batch_plan.h"

#include <algorithm>

#include "gtest/gtest.h"
#include "tests/runtime/model_harness.h"

namespace sluice {
namespace {

constexpr int kThreads = 2;

PlanRequest Request(int64_t max_ram_bytes) {
  PlanRequest request;
  request.max_ram_bytes = max_ram_bytes;
  request.context_tokens = 512;
  request.bytes_in_flight = 256 << 10;
  return request;
}

// A product of f32 weights: time in proportion to the rows, from one row on.
MachineRates Rates(double disk, double kernel) {
  MachineRates rates;
  rates.disk_bytes_per_s = disk;
  rates.memory_bytes_per_s = 20e9;
  rates.verify_bytes_per_s = 8e9;
  rates.num_threads = rates.num_cpus = kThreads;
  rates.kernels = {{Encoding::kF32, 1, kernel}, {Encoding::kF32, 64, kernel / 64}};
  return rates;
}

TEST(BatchPlan, TakesASizeThatNoOtherBeats) {
  const TestStore store("TinyStories-656K", "", 64 << 10);
  const BatchShape shape = {.prompt_tokens = 100, .answer_tokens = 50};
  int64_t smallest = 1 << 20, largest = 0;
  for (const int64_t budget : {int64_t{9} << 20, int64_t{12} << 20, int64_t{40} << 20}) {
    for (const double disk : {1e6, 1e8, 1e10}) {
      for (const double kernel : {1e8, 1e10, 1e12}) {
        SCOPED_TRACE(testing::Message() << budget << " bytes, disk " << disk << ", kernels " << kernel);
        const MachineRates rates = Rates(disk, kernel);
        const auto chosen = PlanBatch(*store, Request(budget), rates, kThreads, false, shape, 0);
        ASSERT_TRUE(chosen.ok()) << chosen.status();
        EXPECT_LE(chosen->memory.total_bytes(), budget);
        EXPECT_EQ(chosen->memory.kv_pages, std::max<int64_t>(8, 3 * chosen->batch_size))
            << "150 tokens are three pages, and one sequence may fill the context";
        double best = 0;
        for (int64_t size = 1; size <= 256; size += 1 + size / 8) {
          const auto other = PlanBatch(*store, Request(budget), rates, kThreads, false, shape, size);
          if (absl::IsResourceExhausted(other.status())) break;
          ASSERT_TRUE(other.ok()) << other.status();
          best = std::max(best, other->tokens_per_s);
        }
        // A size is taken for 2% or more; sizes are tried a quarter apart.
        EXPECT_GE(chosen->tokens_per_s, 0.95 * best) << chosen->batch_size;
        smallest = std::min(smallest, chosen->batch_size);
        largest = std::max(largest, chosen->batch_size);
      }
    }
  }
  EXPECT_LT(smallest, 4) << "computing that is slow gains nothing by company";
  EXPECT_GT(largest, 30) << "a slow disk asks for it";
}

TEST(BatchPlan, BalancesRowsWhereComputingMeetsTheDisk) {
  const TestStore store("TinyStories-656K", "", 64 << 10);
  const MachineRates rates = Rates(1e8, 2e9);
  const auto plan = PlanBatch(*store, Request(9 << 20), rates, kThreads, false, {}, 16);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_GT(plan->memory.residency.streamed_bytes, 0);
  const auto floor = [&](int64_t rows) {
    return FloorOf(
        DescribePass(store->manifest(), plan->memory.residency, rows, std::min<int64_t>(rows, 16), kThreads, false),
        rates);
  };
  ASSERT_LT(plan->balanced_rows, plan->memory.pass_rows);
  EXPECT_LE(floor(plan->balanced_rows).processor_s, floor(plan->balanced_rows).disk_s);
  EXPECT_GT(floor(plan->balanced_rows + 1).processor_s, floor(plan->balanced_rows + 1).disk_s);
}

TEST(ResumeCost, IsTheDisksTimeOrThatOfRowsThatDoNotFitBesideIt) {
  const ResumeCosts costs = {.page_s = 0.25, .free_rows = 100, .row_s = 0.125};
  EXPECT_EQ(SwapSeconds(costs, 0), 0);
  EXPECT_EQ(SwapSeconds(costs, 3), 1.5) << "out and in";
  EXPECT_EQ(RecomputeSeconds(costs, 1), 0);
  EXPECT_EQ(RecomputeSeconds(costs, 100), 0);
  EXPECT_EQ(RecomputeSeconds(costs, 108), 1);
  constexpr int64_t kPage = 1 << 20;
  EXPECT_EQ(LearnedPageSeconds(costs, kPage, 0, 0), 0.25);
  EXPECT_EQ(LearnedPageSeconds(costs, kPage, 64 * kPage, 64 * 0.75), 0.5);
  EXPECT_NEAR(LearnedPageSeconds(costs, kPage, 6400 * kPage, 6400 * 0.75), 0.745, 1e-3);
}

// Where the disk decides, rows that fit beside it are free; where computing does, none are.
TEST(BatchPlan, KnowsWhatAPreemptedSequenceCosts) {
  const TestStore store("TinyStories-656K", "", 64 << 10);
  const HyperParameters& h = store->hyper_parameters();
  const auto costs = [&](double disk, double kernel) {
    const auto plan = PlanBatch(*store, Request(9 << 20), Rates(disk, kernel), kThreads, false, {}, 16);
    EXPECT_TRUE(plan.ok()) << plan.status();
    const KvShape kv = {KvType::kF16, KvType::kF16, h.num_key_value_heads, h.head_dim};
    EXPECT_NEAR(plan->resume.page_s, KvPageBytes(kv) * h.num_hidden_layers / disk, 1e-12);
    return plan->resume;
  };
  const ResumeCosts disk_bound = costs(1e6, 1e12);
  EXPECT_GT(disk_bound.free_rows, 1000);
  const ResumeCosts compute_bound = costs(1e10, 1e8);
  EXPECT_EQ(compute_bound.free_rows, 0);
  EXPECT_GT(RecomputeSeconds(compute_bound, 200), SwapSeconds(compute_bound, 4));
  MachineRates unmeasured = Rates(1e6, 0);
  unmeasured.kernels.clear();
  const auto plan = PlanBatch(*store, Request(9 << 20), unmeasured, kThreads, false, {}, 16);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->resume.free_rows, 0);
  EXPECT_NEAR(plan->resume.row_s, plan->pass.predicted_s() / plan->rows, 1e-12) << "its share of the pass";
}

TEST(BatchPlan, NeverExceedsTheNumberOfRequestsAndSaysWhatIsTooSmall) {
  const TestStore store("TinyStories-656K", "", 64 << 10);
  BatchShape shape;
  shape.num_sequences = 5;
  const auto plan = PlanBatch(*store, Request(64 << 20), Rates(1e5, 1e12), kThreads, false, shape, 0);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_LE(plan->batch_size, 5);
  EXPECT_TRUE(absl::IsResourceExhausted(
      PlanBatch(*store, Request(1 << 20), Rates(1e5, 1e12), kThreads, false, shape, 0).status()));
}

}  // namespace
}  // namespace sluice
