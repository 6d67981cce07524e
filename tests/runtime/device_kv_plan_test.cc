// Where the plan puts keys and values while a device computes, and what each place takes.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/kv/kv_cache.h"
#include "runtime/kv/kv_staging.h"
#include "runtime/pass/memory_plan.h"
#include "storage/model/model_shapes.h"
#include "storage/shard/store_plan.h"
#include "storage/store/store_paths.h"
#include "tests/runtime/model_harness.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

// A store of Llama-3.3-70B's shape in q4_k_m, in files that hold nothing but their size.
std::unique_ptr<LayerStore> OpenEmpty70B(const TempDir& dir) {
  StorePlan plan = PlanStore({.hyper_parameters = *ModelShape("llama-3.3-70b"),
                              .name = "empty llama-3.3-70b",
                              .encoding = [](const TensorSpec&) { return Encoding::kBF16; }},
                             *ParseRecipe("q4_k_m"), kDefaultSlabBytes);
  for (ManifestTensor& tensor : plan.manifest.tensors) {
    if (PlaceOf(tensor.role) != TensorPlace::kResident) continue;
    const std::vector<std::byte> zeros(tensor.shape[0] * sizeof(float));
    tensor.checksum = Checksum(zeros);
  }
  std::filesystem::create_directory(dir / "layers");
  for (const PlannedFile& file : plan.files) {
    std::ofstream(dir / file.path).close();
    std::filesystem::resize_file(dir / file.path, file.bytes);
  }
  std::ofstream(dir / "manifest.json") << SerializeManifest(plan.manifest);
  auto store = LayerStore::Open(dir.path());
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

// 680 MiB of keys and values; on the device 17 MiB of them at once. 600 MiB for a context and 48
// for the kernels' buffers are the most that a device is taken to need.
TEST(DevicePlan, Holds70BWith4096TokensIn1536MiBOfDeviceMemory) {
  const TempDir dir;
  const std::unique_ptr<LayerStore> store = OpenEmpty70B(dir);
  ASSERT_NE(store, nullptr);
  EXPECT_NEAR(static_cast<double>(store->manifest().slab_bytes_total()), 42e9, 1e9);
  PlanRequest request;
  request.max_ram_bytes = int64_t{8} << 30;
  request.context_tokens = 4096;
  request.pass_rows = 512;
  request.k_type = request.v_type = KvType::kQ8_0;
  request.device =
      DeviceBudget{.max_bytes = 1536 << 20, .scratch_bytes = 648 << 20, .kv_place = KvPlace::kHost};
  const auto plan = PlanMemory(*store, request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->pass_rows, 512);
  EXPECT_LE(plan->nearest().total_bytes(), 1536 << 20);
  EXPECT_EQ(plan->kv_host_bytes, 680 << 20);
  EXPECT_EQ(plan->kv_staged_pages, 64);
  EXPECT_EQ(plan->nearest().items[0].name, "KV pages on their way");
  EXPECT_EQ(plan->nearest().items[0].bytes, 18 << 20)
      << "64 pages of 136 KiB, twice, in whole huge pages";
  EXPECT_EQ(plan->host().items[0].name, "KV cache");
  EXPECT_EQ(plan->host().items[0].bytes, 680 << 20);
  EXPECT_GT(plan->nearest().kept_bytes, 500 << 20)
      << "what the cache would have taken holds weights";
  EXPECT_LT(plan->nearest().minimum_bytes, 720 << 20) << "beside a small context 1 GiB does";
  // What decides by itself comes to the same: passes have more rows so.
  request.device->kv_place = KvPlace::kAuto;
  EXPECT_TRUE(PlanMemory(*store, request)->KvInHostMemory());
  request.device->kv_place = KvPlace::kDevice;
  const auto on_device = PlanMemory(*store, request);
  ASSERT_TRUE(on_device.ok()) << on_device.status();
  EXPECT_LT(on_device->pass_rows, 512);
  EXPECT_GT(on_device->nearest().minimum_bytes, 1340 << 20);
  request.device->max_bytes = 1024 << 20;
  EXPECT_TRUE(absl::IsResourceExhausted(PlanMemory(*store, request).status()));
  request.device->kv_place = KvPlace::kAuto;
  EXPECT_TRUE(PlanMemory(*store, request).ok());
  // With room for everything it lies on the device.
  request.device->max_bytes = int64_t{80} << 30;
  EXPECT_FALSE(PlanMemory(*store, request)->KvInHostMemory());
}

class DeviceKvPlan : public testing::Test {
 protected:
  DeviceKvPlan() {
    request_.context_tokens = 512;
    request_.max_ram_bytes = int64_t{1} << 33;
    request_.device = DeviceBudget{.max_bytes = int64_t{1} << 33};
  }
  MemoryPlan Roomy(KvPlace place) {
    PlanRequest request = request_;
    request.device->kv_place = place;
    return *PlanMemory(*store_, request);
  }
  absl::StatusOr<MemoryPlan> Plan(KvPlace place, int64_t ram, int64_t vram,
                                  int64_t pinned = std::numeric_limits<int64_t>::max()) {
    PlanRequest request = request_;
    request.max_ram_bytes = ram;
    request.device->max_bytes = vram;
    request.device->max_pinned_bytes = pinned;
    request.device->kv_place = place;
    return PlanMemory(*store_, request);
  }

  const TestStore store_{"qwen2-bias-bf16", "",
                         16 << 10};  // three layers: a third of the pages is saved
  PlanRequest request_;
};

TEST_F(DeviceKvPlan, PutsThemOnTheDeviceIfItHasRoomAndElseInHostMemory) {
  const MemoryPlan device = Roomy(KvPlace::kDevice), host = Roomy(KvPlace::kHost),
                   either = Roomy(KvPlace::kAuto);
  const int64_t device_vram = device.nearest().minimum_bytes,
                host_vram = host.nearest().minimum_bytes;
  ASSERT_LT(host_vram, device_vram);
  ASSERT_LT(device.host().minimum_bytes, host.host().minimum_bytes);
  EXPECT_FALSE(either.KvInHostMemory());
  EXPECT_EQ(either.nearest().minimum_bytes, host_vram) << "as little as that would do";
  EXPECT_EQ(either.host().minimum_bytes, device.host().minimum_bytes);
  const int64_t ram = int64_t{1} << 33;
  EXPECT_FALSE(Plan(KvPlace::kAuto, ram, device_vram)->KvInHostMemory());
  EXPECT_TRUE(Plan(KvPlace::kAuto, ram, device_vram - 1)->KvInHostMemory());
  EXPECT_TRUE(Plan(KvPlace::kAuto, ram, host_vram)->KvInHostMemory());
  // Each refusal says what would do.
  EXPECT_THAT(std::string(Plan(KvPlace::kAuto, ram, host_vram - 1).status().message()),
              HasSubstr(absl::StrCat("at least ", host_vram)));
  EXPECT_THAT(std::string(Plan(KvPlace::kDevice, ram, device_vram - 1).status().message()),
              testing::AllOf(HasSubstr(absl::StrCat("at least ", device_vram)),
                             HasSubstr("--no-kv-offload")));
  EXPECT_THAT(
      std::string(
          Plan(KvPlace::kAuto, host.host().minimum_bytes - 1, device_vram - 1).status().message()),
      HasSubstr(absl::StrCat("at least ", device_vram)))
      << "host memory has no room for them";
  EXPECT_THAT(
      std::string(
          Plan(KvPlace::kHost, host.host().minimum_bytes - 1, device_vram).status().message()),
      HasSubstr("--max-ram"));
  EXPECT_TRUE(Plan(KvPlace::kHost, host.host().minimum_bytes, host_vram).ok());
}

TEST_F(DeviceKvPlan, CountsThemAmongWhatIsPinned) {
  const MemoryPlan host = Roomy(KvPlace::kHost);
  const int64_t ram = int64_t{1} << 33, vram = host.nearest().minimum_bytes;
  const int64_t all = Plan(KvPlace::kHost, ram, vram)->pinned_bytes();
  EXPECT_GT(all, host.kv_host_bytes);
  const auto fewer = Plan(KvPlace::kHost, ram, vram, all - 4096);
  ASSERT_TRUE(fewer.ok()) << fewer.status();
  EXPECT_LE(fewer->pinned_bytes(), all - 4096);
  EXPECT_GT(fewer->residency.streamed_bytes, 0);
  EXPECT_THAT(
      std::string(Plan(KvPlace::kHost, ram, vram, host.kv_host_bytes).status().message()),
      testing::AllOf(HasSubstr("the system pins no more"), HasSubstr("with the KV cache there")));
  // Then they are on the device, if that has room.
  EXPECT_FALSE(Plan(KvPlace::kAuto, ram, int64_t{1} << 33, host.kv_host_bytes)->KvInHostMemory());
}

TEST_F(DeviceKvPlan, LeavesTheHostsOwnPlanAsItIs) {
  request_.device.reset();
  const MemoryPlan plan = *PlanMemory(*store_, request_);
  EXPECT_FALSE(plan.KvInHostMemory());
  EXPECT_EQ(plan.pinned_bytes(), plan.host().ring_bytes + plan.host().kept_bytes);
}

}  // namespace
}  // namespace sluice
