// Whole models on a device whose copies and kernels come late: the logits are those of the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "prefetch/timeline.h"
#include "tests/runtime/late_model.h"
#include "tests/runtime/model_harness.h"

namespace sluice {
namespace {

class DeviceModel : public testing::TestWithParam<const char*> {};

TEST_P(DeviceModel, GivesTheHostsBitsWhateverStaysWhereAndHoweverLateItIs) {
  for (const StoreCompression compression : {StoreCompression::kNone, StoreCompression::kZstd}) {
    const TestStore store(GetParam(), "", 16 << 10, compression);
    const std::vector<int32_t> tokens = SomeTokens(store->hyper_parameters().vocab_size);
    RunConfig config;
    config.context = 128;
    const std::vector<float> expected = TestModel(*store, config).Logits(tokens);
    int64_t kept = 0, in_ram = 0, streamed = 0;
    uint32_t seed = 0;
    for (const int64_t more_vram : {0, 40 << 10, 1 << 30}) {
      for (const int64_t more_ram : {0, 4 << 20}) {
        for (const int64_t rows : {4, 64}) {
          SCOPED_TRACE(testing::Message()
                       << "vram +" << more_vram << ", ram +" << more_ram << ", rows " << rows);
          LateModel late(*store, ++seed, more_vram, more_ram, rows);
          for (size_t i = 0; i < store->manifest().slabs.size(); ++i) {
            (late.plan.OnDevice(i) ? kept : late.plan.InHostMemory(i) ? in_ram : streamed) += 1;
          }
          const auto logits = LogitsOf(*late.model, tokens);
          ASSERT_TRUE(logits.ok()) << logits.status();
          EXPECT_EQ(*logits, expected);
          EXPECT_LE(late.device.allocated(), late.plan.nearest().total_bytes());
          const PassCounters counters = late.model->pass_counters();
          EXPECT_NEAR(counters.compute_seconds + counters.wait_disk_seconds +
                          counters.wait_copy_seconds + counters.other_seconds,
                      counters.wall_seconds, 1e-6);
          EXPECT_GE(std::min({counters.compute_seconds, counters.wait_disk_seconds,
                              counters.wait_copy_seconds}),
                    0);
        }
      }
    }
    EXPECT_GT(kept, 0);
    EXPECT_GT(in_ram, 0);
    EXPECT_GT(streamed, 0);
  }
}

// A sliding window, biases, norms of heads, float and quantized weights.
INSTANTIATE_TEST_SUITE_P(All, DeviceModel,
                         testing::Values("mistral-window-f16", "qwen2-bias-bf16",
                                         "qwen3-qknorm-bf16"),
                         [](const testing::TestParamInfo<const char*>& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Slabs of a matrix that stay on the device are one product from the second pass on; gate and up
// are one matrix, where they stand tile by tile.
TEST(DeviceModel, ComputesAMatrixThatStaysInOneProduct) {
  const TestStore store("qwen3-qknorm-bf16", "", 4 << 10);
  const std::vector<ManifestSlab>& slabs = store->manifest().slabs;
  int64_t matrices = 0;
  for (size_t i = 0; i < slabs.size(); ++i)
    matrices += i == 0 || slabs[i].tensors != slabs[i - 1].tensors;
  ASSERT_LT(2 * matrices, static_cast<int64_t>(slabs.size()));
  const std::vector<int32_t> tokens = SomeTokens(store->hyper_parameters().vocab_size);
  RunConfig config;
  config.context = 128;
  const std::vector<float> expected = TestModel(*store, config).Logits(tokens);
  LateModel late(*store, 1, 1 << 30, 0, 32);
  for (size_t i = 0; i < slabs.size(); ++i) ASSERT_TRUE(late.plan.OnDevice(i));
  const auto logits = LogitsOf(*late.model, tokens);
  ASSERT_TRUE(logits.ok()) << logits.status();
  EXPECT_EQ(*logits, expected);
  const int64_t more_passes = late.model->pass_counters().passes - 1;
  ASSERT_GT(more_passes, 0);
  EXPECT_EQ(late.ops.products, static_cast<int64_t>(slabs.size()) + more_passes * matrices);
}

// A walk of few slabs, so often that its moves are more than a timeline holds.
TEST(DeviceModel, GivesTheSinkAllMovesOfShortWalks) {
  const TestStore store("TinyStories-656K", "", 64 << 10);
  const auto n = static_cast<int64_t>(store->manifest().slabs.size());
  ASSERT_LT(n, 64);
  const int64_t passes = 2 * Timeline::kEvents / (2 * n);
  LateModel late(*store, 1, 0, 4 << 20, 1, 0, {}, {.streamed = true});
  RunConfig config;
  config.placement = Placement::kStreamed;
  TestModel host(*store, config);
  for (Model* const model : {late.model.get(), host.model.get()}) {
    std::vector<bool> used(passes * n);
    model->SetTimelineSink([&used, n](absl::Span<const TimelineEvent> events) {
      for (const TimelineEvent& event : events) {
        if (event.to == SlabState::kLeased) used[event.pass * n + event.slab] = true;
      }
    });
    KvSequence sequence;
    ASSERT_TRUE(model->kv_cache().Reserve(sequence, 1).ok());
    for (int64_t i = 0; i < passes; ++i)
      ASSERT_TRUE(model->RunPass({{&sequence, 0, 7, true}}).ok());
    model->FlushTimeline();
    EXPECT_EQ(std::count(used.begin(), used.end(), false), 0);
  }
}

// Passes end at any layer, of the first walk too, and others follow, timed or not: they find each
// slab of the walk that was left, whether slabs come alone or together.
TEST(DeviceModel, GoesOnAfterPassesThatWereCancelledAtAnyLayer) {
  for (const StoreCompression compression : {StoreCompression::kNone, StoreCompression::kZstd}) {
    const TestStore store("qwen3-qknorm-bf16", "", 4 << 10, compression);
    const std::vector<int32_t> tokens = SomeTokens(store->hyper_parameters().vocab_size);
    const std::vector<float> expected = TestModel(*store, {.context = 128}).Logits(tokens);
    const uint32_t first_seed = compression == StoreCompression::kNone ? 0 : 8;
    for (uint32_t seed = first_seed; seed < first_seed + 8; ++seed) {
      SCOPED_TRACE(testing::Message() << "seed " << seed);
      std::mt19937 random(seed);
      const int64_t more_vram = (int64_t{64} << 10) << (seed % 4 * 2);
      LateModel late(*store, seed, more_vram, 4 << 20, 16, 0, {},
                     {.kv = seed % 2 == 0 ? KvPlace::kHost : KvPlace::kDevice,
                      .host_share = seed % 3 == 0 ? std::optional<double>(0.5) : std::nullopt});
      std::atomic<bool> stop;
      int64_t appended = 0, stop_after = 0;
      late.ops.on_append = [&] { stop = ++appended == stop_after; };
      KvSequence sequence;
      ASSERT_TRUE(late.model->kv_cache().Reserve(sequence, 1).ok());
      for (int i = 0; i < 6; ++i) {
        if (random() % 2 == 0) late.model->SetTimelineSink([](absl::Span<const TimelineEvent>) {});
        if (random() % 2 == 0) late.model->SetTimelineSink(nullptr);
        stop = false;
        appended = 0;
        stop_after = random() % 2 + 1;
        const auto cancelled = late.model->RunPass({{&sequence, 0, 7, true}}, &stop);
        EXPECT_TRUE(absl::IsCancelled(cancelled.status())) << cancelled.status();
        if (i % 2 == 0) continue;
        const auto logits = LogitsOf(*late.model, tokens);
        ASSERT_TRUE(logits.ok()) << logits.status();
        EXPECT_EQ(*logits, expected);
      }
      EXPECT_LE(late.device.allocated(), late.plan.nearest().total_bytes());
      const PassCounters passes = late.model->pass_counters();
      EXPECT_NEAR(passes.compute_seconds + passes.wait_disk_seconds + passes.wait_copy_seconds +
                      passes.other_seconds,
                  passes.wall_seconds, 1e-6);
      EXPECT_GE(passes.compute_seconds, 0);
    }
  }
}

// A link of 4 MB/s that all weights go over each pass, of a device that computes at once.
TEST(DeviceModel, ComputingWaitsForASlowLink) {
  constexpr int64_t kRate = 4'000'000;
  const TestStore store("qwen2-bias-bf16", "", 16 << 10);
  LateModel late(*store, 5, 0, 4 << 20, 64, kRate);
  const auto logits = LogitsOf(*late.model, {1, 2, 3});
  ASSERT_TRUE(logits.ok()) << logits.status();
  const PassCounters counters = late.model->pass_counters();
  // But for what a simulated link may be ahead by.
  const double least =
      static_cast<double>(counters.passes * late.plan.weight_bytes - (64 << 10)) / kRate;
  EXPECT_GE(counters.pass_seconds, least);
  EXPECT_GT(counters.wait_copy_seconds, 0);
}

// The same model where the system pins less and less host memory: fewer slabs stay there, down to
// the ring alone.
TEST(DeviceModel, KeepsFewerSlabsInHostMemoryThatCannotBePinned) {
  const TestStore store("qwen2-bias-bf16", "", 16 << 10);
  const std::vector<int32_t> tokens = SomeTokens(store->hyper_parameters().vocab_size);
  RunConfig config;
  config.context = 128;
  const std::vector<float> expected = TestModel(*store, config).Logits(tokens);
  int64_t in_ram = std::numeric_limits<int64_t>::max();
  for (const int64_t pinnable :
       {int64_t{1} << 40, int64_t{400} << 10, int64_t{200} << 10, int64_t{120} << 10}) {
    SCOPED_TRACE(testing::Message() << pinnable << " bytes can be pinned");
    LateModel late(*store, 3, 0, 4 << 20, 64, 0,
                   {.pinnable_bytes = ComputePlace::kStagingBytes + pinnable});
    const MemoryPlan& plan = late.model->plan();
    const int64_t here = plan.residency.tier_bytes[plan.residency.host_tier()];
    EXPECT_LT(here, in_ram);
    EXPECT_LE(late.device.pinned(), ComputePlace::kStagingBytes + pinnable);
    EXPECT_EQ(plan.unpinned_bytes > 0, pinnable < (1 << 30));
    in_ram = here;
    const auto logits = LogitsOf(*late.model, tokens);
    ASSERT_TRUE(logits.ok()) << logits.status();
    EXPECT_EQ(*logits, expected);
  }
}

TEST(DeviceModel, SaysSoWhereNotEvenTheRingCanBePinned) {
  const TestStore store("qwen2-bias-bf16", "", 16 << 10);
  LateDevice device(1, {.pinnable_bytes = ComputePlace::kStagingBytes + 4096});
  const std::unique_ptr<Stream> stream = *device.NewStream();
  LateOps ops(&device, stream.get());
  const std::unique_ptr<ComputePlace> place = *MakeDevicePlace(&device, stream.get(), &ops);
  PlanRequest request;
  request.context_tokens = 64;
  request.max_ram_bytes = int64_t{1} << 30;
  request.device = DeviceBudget{.max_bytes = int64_t{1} << 30};
  request.device->max_bytes = PlanMemory(*store, request)->nearest().minimum_bytes;
  const absl::Status status = Model::Create(*store, *PlanMemory(*store, request), place.get(),
                                            {.io = {.kind = IoKind::kThreads}})
                                  .status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(status.message(), testing::HasSubstr("the system pins no more than 4096 bytes"));
}

TEST(DevicePlan, CountsTheDriversHostMemory) {
  const TestStore store("qwen2-bias-bf16", "", 16 << 10);
  PlanRequest request;
  request.context_tokens = 64;
  request.max_ram_bytes = int64_t{1} << 33;
  request.device = DeviceBudget{.max_bytes = int64_t{1} << 33};
  const int64_t without = PlanMemory(*store, request)->host().minimum_bytes;
  request.device->host_bytes = 200 << 20;
  EXPECT_EQ(PlanMemory(*store, request)->host().minimum_bytes, without + (200 << 20));
}

TEST(DevicePlan, CountsTheBuffersOfUploadsOnBothSides) {
  const TestStore store("qwen2-bias-bf16", "", 16 << 10);
  PlanRequest request;
  request.context_tokens = 64;
  request.num_sequences = 500;
  request.pass_rows = 500;
  request.kv_pages = 500;
  request.max_ram_bytes = int64_t{1} << 33;
  request.device = DeviceBudget{.max_bytes = int64_t{1} << 33, .scratch_bytes = 12345};
  const MemoryPlan plan = *PlanMemory(*store, request);
  // 24 + 8 bytes a row and 4 a page table of one page: 18,192 with the rows on 256, in whole pages.
  const int64_t bytes = 8 * 20480;
  const auto item = [](const std::vector<PlanItem>& items, const std::string& name) {
    for (const PlanItem& i : items) {
      if (i.name == name) return i.bytes;
    }
    return int64_t{0};
  };
  EXPECT_EQ(item(plan.nearest().items, "kernels and the device's runtime"), 12345 + bytes);
  EXPECT_EQ(item(plan.host().items, "copies to the device"),
            ComputePlace::kStagingBytes + bytes +
                SizeWorkspace(store->manifest(), PassSizeOf(plan), Rounding::kNone).staging_bytes);
}

TEST(DevicePlan, NamesTheMemoryThatIsTooSmall) {
  const TestStore store("qwen2-bias-bf16", "", 16 << 10);
  PlanRequest request;
  request.context_tokens = 64;
  request.max_ram_bytes = int64_t{1} << 33;
  request.device = DeviceBudget{.max_bytes = int64_t{1} << 33, .scratch_bytes = 12345};
  const MemoryPlan roomy = *PlanMemory(*store, request);
  EXPECT_EQ(roomy.residency.streamed_bytes, 0);
  EXPECT_EQ(roomy.nearest().ring_bytes, 0) << "all of it stays";
  request.device->max_bytes = roomy.nearest().minimum_bytes;
  EXPECT_TRUE(PlanMemory(*store, request).ok());
  --request.device->max_bytes;
  EXPECT_THAT(PlanMemory(*store, request).status().message(), testing::HasSubstr("--max-vram"));
  request.device->max_bytes = int64_t{1} << 33;
  request.max_ram_bytes = roomy.host().minimum_bytes - 1;
  EXPECT_THAT(PlanMemory(*store, request).status().message(), testing::HasSubstr("--max-ram"));
}

}  // namespace
}  // namespace sluice
