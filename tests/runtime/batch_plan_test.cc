// The batch size: what the measured rates say is best, within the budget.
#include "runtime/batch/batch_plan.h"

#include <algorithm>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/runtime/model_harness.h"
#include "tests/support/synthetic_checkpoint.h"

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
        SCOPED_TRACE(testing::Message()
                     << budget << " bytes, disk " << disk << ", kernels " << kernel);
        const MachineRates rates = Rates(disk, kernel);
        const auto chosen = PlanBatch(*store, Request(budget), rates, kThreads, false, shape, 0);
        ASSERT_TRUE(chosen.ok()) << chosen.status();
        EXPECT_LE(chosen->memory.host().total_bytes(), budget);
        EXPECT_EQ(chosen->memory.kv_pages, std::max<int64_t>(8, 3 * chosen->batch_size))
            << "150 tokens are three pages, and one sequence may fill the context";
        double best = 0;
        for (int64_t size = 1; size <= 256; size += 1 + size / 8) {
          const auto other =
              PlanBatch(*store, Request(budget), rates, kThreads, false, shape, size);
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

// A budget without room for more than that many at once, if there are so many.
int64_t BudgetFor(const TestStore& store, const MachineRates& rates, const BatchShape& shape,
                  int64_t at_once) {
  const auto plan =
      PlanBatch(*store, Request(int64_t{1} << 30), rates, kThreads, false, shape, at_once);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan->memory.host().minimum_bytes;
}

// 64 requests of a 70B were run as 63 and then 1.
TEST(BatchPlan, PlansEqualWavesOfWhatIsLeft) {
  // Keys and values of a sequence take little beside the weights, as those of a large model do.
  const TempDir dir;
  WriteSyntheticCheckpoint(
      dir / "model",
      {.hidden_size = 64, .intermediate_size = 4096, .num_key_value_heads = 1, .vocab_size = 512});
  const TestStore store(dir / "model", "", 64 << 10);
  MachineRates rates = Rates(1e6, 1e13);  // a pass of many rows takes as long as one
  for (KernelRate& rate : rates.kernels) rate.encoding = Encoding::kBF16;
  struct Case {
    int64_t requests, room;
    int64_t at_once, passes;
    const char* reason;
  };
  for (const Case& c : std::vector<Case>{
           {64, 64, 64, 6, "1 wave of 64: 64 sequences are left, in 6 passes and about"},
           {64, 63, 32, 12, "2 waves of 32: 64 sequences are left, in 12 passes and about"},
           {64, 40, 32, 12, "the budget has room for 40"},
           {64, 31, 22, 18, "3 waves of 22"},
           {65, 64, 33, 12, "2 waves of 33"},
           {7, 3, 3, 18, "the budget has room for no more"},
           {2, 1, 1, 12, "2 waves of 1"},
           {1, 8, 1, 6, "1 wave of 1: 1 sequence is left"}}) {
    SCOPED_TRACE(testing::Message() << c.requests << " requests, room for " << c.room);
    BatchShape shape = {.prompt_tokens = 1, .answer_tokens = 6};
    ExpectSequences(c.requests, &shape);
    const int64_t budget = BudgetFor(store, rates, shape, c.room);
    const auto plan = PlanBatch(*store, Request(budget), rates, kThreads, false, shape, 0);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ(plan->batch_size, c.at_once);
    EXPECT_EQ(plan->job.passes, c.passes);
    EXPECT_THAT(DescribeWaves(*plan, shape), testing::HasSubstr(c.reason));
    EXPECT_LE(plan->memory.host().total_bytes(), budget);
  }
}

TEST(BatchPlan, CountsTheTailOfUnequalAnswersAndPagesForEachOfThem) {
  const TestStore store("TinyStories-656K", "", 64 << 10);
  const MachineRates rates = Rates(1e6, 1e13);
  BatchShape shape;
  shape.left.assign(10, {10, 20});
  shape.left.back() = {10, 400};  // as long as twenty of the others
  shape.num_sequences = 10;
  shape.prompt_tokens = 10;
  shape.answer_tokens = (9 * 20 + 400) / 10.0;
  const auto plan = [&](int64_t size) {
    return PlanBatch(*store, Request(64 << 20), rates, kThreads, false, shape, size);
  };
  EXPECT_EQ(plan(10)->memory.kv_pages, 9 * 1 + 7)
      << "a page for each short one, seven for the long one";
  EXPECT_EQ(plan(10)->job.passes, 400);
  EXPECT_EQ(plan(1)->job.passes, 9 * 20 + 400);
  EXPECT_EQ(plan(2)->job.passes, 4 * 20 + 400) << "the long one is admitted after four others each";
  shape.left.clear();
  EXPECT_EQ(plan(2)->job.passes, 0) << "without an end there is no tail";
}

TEST(BatchPlan, BalancesRowsWhereComputingMeetsTheDisk) {
  const TestStore store("TinyStories-656K", "", 64 << 10);
  const MachineRates rates = Rates(1e8, 2e9);
  const auto plan = PlanBatch(*store, Request(9 << 20), rates, kThreads, false, {}, 16);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_GT(plan->memory.residency.streamed_bytes, 0);
  const auto floor = [&](int64_t rows) {
    return FloorOf(DescribePass(store->manifest(), plan->memory.residency, rows,
                                std::min<int64_t>(rows, 16), kThreads, false),
                   rates);
  };
  ASSERT_LT(plan->balanced_rows, plan->memory.pass_rows);
  EXPECT_LE(floor(plan->balanced_rows).processor_s, floor(plan->balanced_rows).Seconds(kDiskTerm));
  EXPECT_GT(floor(plan->balanced_rows + 1).processor_s,
            floor(plan->balanced_rows + 1).Seconds(kDiskTerm));
}

// The parts of the head and of the other slabs that are streamed.
std::pair<double, double> StreamedParts(const Manifest& manifest, const MemoryPlan& plan) {
  double all[2] = {}, of_these[2] = {};
  for (size_t i = 0; i < manifest.slabs.size(); ++i) {
    const bool head = OfLogitRows(manifest.ProductOf(manifest.slabs[i]));
    const auto bytes = static_cast<double>(manifest.slabs[i].bytes);
    all[head] += bytes;
    if (plan.residency.tier[i] == kOnDisk) of_these[head] += bytes;
  }
  return {of_these[1] / all[1], of_these[0] / all[0]};
}

// A pass with prompts has many rows, of which few go through the head.
TEST(BatchPlan, StreamsOfTheHeadWhatTheDiskReadsWhileItComputes) {
  const TestStore store("TinyStories-656K", "", 64 << 10);
  const auto streamed = [&](double kernel) {
    const auto plan =
        PlanBatch(*store, Request(9 << 20), Rates(1e8, kernel), kThreads, false, {}, 16);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return StreamedParts(store->manifest(), plan->memory);
  };
  const double slab = 0.1;  // of the head, at most
  const auto [head, others] = streamed(6.4e9);
  EXPECT_NEAR(head, 16 * 1e8 / 6.4e9, slab) << "the disk takes four times as long for the head";
  EXPECT_GT(others, head + 2 * slab);
  const auto [slow_head, slow_others] = streamed(1e9);
  EXPECT_NEAR(slow_head, slow_others, slab) << "16 rows take longer than reading";
}

// All rows of drafts want logits, those of a single sequence too.
TEST(MemoryPlan, StreamsMoreOfTheHeadWithDrafts) {
  const TestStore store("TinyStories-656K", "", 64 << 10);
  PlanRequest request = Request(7 << 20);
  request.pass_rows = 64;
  const auto plain = PlanMemory(*store, request);
  ASSERT_TRUE(plain.ok()) << plain.status();
  const double slab = 0.1;  // of the head, at most
  EXPECT_LT(StreamedParts(store->manifest(), *plain).first, slab) << "one row";
  request.draft_rows = 15;
  request.head_streamed_share =
      HeadStreamedShare(store->manifest(), Rates(1e8, 6.4e9), kThreads, 1 + request.draft_rows);
  EXPECT_NEAR(request.head_streamed_share, 16 * 1e8 / 6.4e9, 0.01);
  const auto drafted = PlanMemory(*store, request);
  ASSERT_TRUE(drafted.ok()) << drafted.status();
  ASSERT_EQ(drafted->draft_rows, 15);
  const auto [head, others] = StreamedParts(store->manifest(), *drafted);
  EXPECT_NEAR(head, request.head_streamed_share, slab);
  EXPECT_GT(others, head);
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
    const auto plan =
        PlanBatch(*store, Request(9 << 20), Rates(disk, kernel), kThreads, false, {}, 16);
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
  EXPECT_NEAR(plan->resume.row_s, plan->pass.predicted_s() / plan->rows, 1e-12)
      << "its share of the pass";
}

TEST(DiskTraffic, IsWhatMemoryHasNoRoomFor) {
  // Four pages of prompt, half of two pages of answer, half a page that is not full.
  const BatchShape shape = {.prompt_tokens = 256, .answer_tokens = 128};
  EXPECT_EQ(DiskTrafficOf(shape, 10, 55).pages_read, 0);
  EXPECT_EQ(DiskTrafficOf(shape, 10, 55).pages_written, 0);
  EXPECT_EQ(DiskTrafficOf(shape, 10, 35).pages_read, 20);
  EXPECT_EQ(DiskTrafficOf(shape, 10, 35).pages_written, 20.0 / 128)
      << "of prompts alone, a page in 128 passes";
  EXPECT_EQ(DiskTrafficOf(shape, 10, 15).pages_written, 40.0 / 128) << "room for all that grows";
  EXPECT_EQ(DiskTrafficOf(shape, 10, 0).pages_read, 55);
  EXPECT_EQ(DiskTrafficOf(shape, 10, 0).pages_written, 40.0 / 128 + 10);
  EXPECT_EQ(DiskTrafficOf(shape, 10, 6).pages_written, 40.0 / 128 + 10 * (1 - 6.0 / 15));
}

// Four pages of prompt, three of them the same for all.
TEST(BatchPlan, HoldsAPrefixThatAllShareOnce) {
  const BatchShape apart = {.prompt_tokens = 256, .answer_tokens = 128};
  BatchShape together = apart;
  together.shared_pages_each = together.shared_pages = 3;
  together.shared_among = 64;
  EXPECT_EQ(OwnPromptTokens(apart, 10), 256);
  EXPECT_EQ(OwnPromptTokens(together, 1), 256);
  EXPECT_DOUBLE_EQ(OwnPromptTokens(together, 10), 256 - 192 + 19.2);
  EXPECT_DOUBLE_EQ(OwnPromptTokens(together, 640), 256 - 192 + 3.0) << "other prefixes further on";
  const TestStore store("TinyStories-656K", "", 64 << 10);
  const MachineRates rates = Rates(1e6, 1e12);
  const auto plan = [&](const BatchShape& shape, int64_t size) {
    return PlanBatch(*store, Request(40 << 20), rates, kThreads, false, shape, size);
  };
  const auto sixteen = plan(together, 16);
  ASSERT_TRUE(sixteen.ok()) << sixteen.status();
  EXPECT_EQ(sixteen->memory.kv_pages, 16 * 3 + 3);
  EXPECT_EQ(sixteen->rows, 16 * (1 + (256 - 192 + 12) / 128.0));
  EXPECT_EQ(plan(apart, 16)->memory.kv_pages, 16 * 6);
  const auto chosen = plan(together, 0), fewer = plan(apart, 0);
  ASSERT_TRUE(chosen.ok() && fewer.ok());
  EXPECT_GT(chosen->batch_size, fewer->batch_size);
  EXPECT_EQ(DiskTrafficOf(together, 10, 0).pages_read, DiskTrafficOf(apart, 10, 0).pages_read - 27);
}

// Twelve layers, so that a page on disk takes a sixth of the memory of one that is there.
class BatchPlanWithDisk : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TempDir;
    WriteSyntheticCheckpoint(
        *dir_ / "model",
        {.hidden_size = 64, .intermediate_size = 512, .num_key_value_heads = 1, .vocab_size = 512});
    store_ = new TestStore(*dir_ / "model", "", 16 << 10);
    const auto plan =
        PlanBatch(**store_, Request(int64_t{1} << 30), {}, kThreads, false, kShape, 8);
    ASSERT_TRUE(plan.ok()) << plan.status();
    budget_ = plan->memory.host().minimum_bytes;
  }
  static void TearDownTestSuite() {
    delete store_;
    delete dir_;
  }
  static MachineRates Rates(double disk, double kernel) {
    MachineRates rates = sluice::Rates(disk, kernel);
    for (KernelRate& rate : rates.kernels) rate.encoding = Encoding::kBF16;
    return rates;
  }
  static absl::StatusOr<BatchPlan> Plan(int64_t budget, const MachineRates& rates, int64_t size,
                                        std::optional<int64_t> disk_pages) {
    return PlanBatch(**store_, Request(budget), rates, kThreads, false, kShape, size, disk_pages);
  }

  static constexpr BatchShape kShape = {.prompt_tokens = 60, .answer_tokens = 60};  // two pages
  static TempDir* dir_;
  static TestStore* store_;
  static int64_t budget_;  // room for eight sequences beside the smallest ring
};
TempDir* BatchPlanWithDisk::dir_ = nullptr;
TestStore* BatchPlanWithDisk::store_ = nullptr;
int64_t BatchPlanWithDisk::budget_ = 0;

TEST_F(BatchPlanWithDisk, PutsPagesThereOnceAllWeightsAreReadEachPassAndItPays) {
  const MachineRates slow_disk = Rates(1e7, 1e12), slow_kernels = Rates(1e10, 1e6);
  const auto memory_only = Plan(budget_, slow_disk, 0, 0);
  ASSERT_TRUE(memory_only.ok()) << memory_only.status();
  EXPECT_EQ(memory_only->memory.kv_disk_pages, 0);
  EXPECT_EQ(memory_only->kv_disk_bytes, 0);
  const auto chosen = Plan(budget_, slow_disk, 0, std::nullopt);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_GT(chosen->memory.kv_disk_pages, 0);
  EXPECT_GT(chosen->kv_disk_bytes, 0);
  EXPECT_GT(chosen->batch_size, memory_only->batch_size);
  EXPECT_GT(chosen->tokens_per_s, 1.1 * memory_only->tokens_per_s);
  EXPECT_LE(chosen->memory.host().total_bytes(), budget_);
  // What it says of a pass is the floor's arithmetic.
  const auto& plan = *chosen;
  const double weights = static_cast<double>(plan.memory.residency.streamed_bytes);
  EXPECT_NEAR(plan.pass.Seconds(kDiskTerm),
              (weights + static_cast<double>(plan.kv_disk_bytes)) / 1e7, 1e-9);
  // Where computing decides, more sequences gain nothing.
  const auto computes = Plan(budget_, slow_kernels, 0, std::nullopt);
  ASSERT_TRUE(computes.ok()) << computes.status();
  EXPECT_EQ(computes->memory.kv_disk_pages, 0);
  // Where memory has room for what it takes, nothing is on disk.
  const auto roomy = Plan(int64_t{4} << 30, slow_disk, 0, std::nullopt);
  ASSERT_TRUE(roomy.ok()) << roomy.status();
  EXPECT_EQ(roomy->memory.kv_disk_pages, 0);
}

// Twelve layers: pages that take turns on a device take a sixth of its memory.
TEST_F(BatchPlanWithDisk, RunsMoreSequencesOnADeviceWithPagesInHostMemory) {
  MachineRates rates = Rates(1e7, 1e12);
  rates.link_bytes_per_s = 1e8;
  rates.device_memory_bytes_per_s = 1e12;
  const auto plan = [&](KvPlace place, int64_t vram, int64_t size) {
    PlanRequest request = Request(int64_t{1} << 30);
    request.device = DeviceBudget{.max_bytes = vram, .kv_place = place};
    return PlanBatch(**store_, request, rates, kThreads, false, kShape, size);
  };
  const int64_t vram = plan(KvPlace::kDevice, int64_t{1} << 30, 8)->memory.nearest().minimum_bytes;
  const auto on_device = plan(KvPlace::kDevice, vram, 0), either = plan(KvPlace::kAuto, vram, 0);
  ASSERT_TRUE(on_device.ok() && either.ok()) << on_device.status() << either.status();
  EXPECT_TRUE(either->memory.KvInHostMemory());
  EXPECT_GT(either->batch_size, on_device->batch_size);
  EXPECT_GT(either->tokens_per_s, 1.1 * on_device->tokens_per_s);
  // What goes over the link: the weights, two pages in for each that generates and one out, the
  // prompts' pages out.
  const BatchPlan& plan_of_either = *either;
  const double pages = plan_of_either.rows / 2 * (2 + 1);
  const int64_t page_bytes =
      KvPageBytes({KvType::kF16, KvType::kF16, 1, (*store_)->hyper_parameters().head_dim});
  const double kv_bytes =
      pages * static_cast<double>(page_bytes * (*store_)->hyper_parameters().num_hidden_layers);
  const double weights = static_cast<double>(plan_of_either.memory.raw_bytes -
                                             plan_of_either.memory.nearest().kept_bytes);
  EXPECT_GT(plan_of_either.pass.Seconds(kLinkTerm), (weights + kv_bytes) / 1e8);
  EXPECT_LT(plan_of_either.pass.Seconds(kLinkTerm), (weights + 1.2 * kv_bytes) / 1e8);
}

TEST_F(BatchPlanWithDisk, MakesRoomForASizeThatIsAskedForAndTakesAnAmountAsItIs) {
  const MachineRates rates = Rates(1e7, 1e12);
  ASSERT_TRUE(absl::IsResourceExhausted(Plan(budget_, rates, 16, 0).status()));
  const auto made = Plan(budget_, rates, 16, std::nullopt);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->batch_size, 16);
  EXPECT_GT(made->memory.kv_disk_pages, 0);
  EXPECT_TRUE(absl::IsResourceExhausted(Plan(budget_, rates, 1000, std::nullopt).status()));
  const auto roomy = Plan(int64_t{4} << 30, rates, 32, 50);
  ASSERT_TRUE(roomy.ok()) << roomy.status();
  EXPECT_EQ(roomy->memory.kv_disk_pages, 50);
  EXPECT_EQ(roomy->memory.kv_pages, 32 * 2);
}

TEST_F(BatchPlanWithDisk, CountsADraftModelWhereItHasRows) {
  const DraftModelBytesFn draft = [](int64_t sequences) { return 200000 + sequences * 1000; };
  const auto plan = [&](int64_t budget, const MachineRates& rates, int64_t size) {
    PlanRequest request = Request(budget);
    request.draft_rows = 64;
    request.draft_model_bytes = 1;  // of one text: not a batch's
    return PlanBatch(**store_, request, rates, kThreads, false, kShape, size, 0, draft);
  };
  const MachineRates slow_disk = Rates(1e7, 1e12), slow_kernels = Rates(1e10, 1e6);
  int64_t too_small = budget_, fits = int64_t{64} << 20;
  while (fits - too_small > 1) {
    const int64_t middle = (fits + too_small) / 2;
    (plan(middle, slow_disk, 8).ok() ? fits : too_small) = middle;
  }
  EXPECT_GT(fits, budget_ + 208000);
  const absl::Status refused = plan(too_small, slow_disk, 8).status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("needs at least"));
  const auto tight = plan(fits, slow_disk, 8), roomier = plan(fits + 300000, slow_disk, 8);
  ASSERT_TRUE(tight.ok() && roomier.ok()) << tight.status() << roomier.status();
  EXPECT_GT(tight->memory.residency.streamed_bytes, 0);
  EXPECT_EQ(tight->memory.draft_rows, 4) << "the fewest that are worth it";
  EXPECT_EQ(roomier->memory.draft_rows, roomier->balanced_rows - 8);
  EXPECT_EQ(tight->memory.request.draft_model_bytes, 208000);
  // Computing takes as long as the disk without drafts, so that the draft model has no rows.
  const auto busy = plan(budget_, slow_kernels, 8);
  ASSERT_TRUE(busy.ok()) << busy.status();
  EXPECT_EQ(busy->memory.draft_rows, 0);
  EXPECT_EQ(busy->memory.request.draft_model_bytes, 0);
  const auto resident = plan(int64_t{4} << 30, slow_disk, 8);
  ASSERT_TRUE(resident.ok()) << resident.status();
  EXPECT_EQ(resident->memory.draft_rows, 4);
  // One sequence has room for it, so larger sizes may go without.
  const auto chosen = plan(fits, slow_disk, 0);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_GT(chosen->batch_size, 1);
  EXPECT_LE(chosen->memory.host().total_bytes(), fits);
}

TEST(BatchPlan, CountsWhatRequestsHold) {
  const TestStore store("TinyStories-656K", "", 64 << 10);
  const MachineRates rates = Rates(1e8, 1e10);
  BatchShape shape = {.prompt_tokens = 100, .answer_tokens = 50};
  const auto plan = [&](int64_t held, int64_t each) {
    shape.held_bytes = held;
    shape.held_bytes_each = each;
    return PlanBatch(*store, Request(40 << 20), rates, kThreads, false, shape, 4);
  };
  const auto none = plan(0, 0), some = plan(5 << 20, 10000);
  ASSERT_TRUE(none.ok() && some.ok()) << none.status() << some.status();
  EXPECT_EQ(none->held_bytes, 0);
  EXPECT_EQ(some->held_bytes, (5 << 20) + 8 * 10000);
  EXPECT_EQ(some->memory.request.requests_bytes,
            none->memory.request.requests_bytes + some->held_bytes);
  EXPECT_TRUE(absl::IsResourceExhausted(plan(40 << 20, 0).status()));
}

TEST(BatchPlan, NeverExceedsTheNumberOfRequestsAndSaysWhatIsTooSmall) {
  const TestStore store("TinyStories-656K", "", 64 << 10);
  BatchShape shape;
  shape.num_sequences = 5;
  const auto plan =
      PlanBatch(*store, Request(64 << 20), Rates(1e5, 1e12), kThreads, false, shape, 0);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_LE(plan->batch_size, 5);
  EXPECT_TRUE(absl::IsResourceExhausted(
      PlanBatch(*store, Request(1 << 20), Rates(1e5, 1e12), kThreads, false, shape, 0).status()));
}

}  // namespace
}  // namespace sluice
