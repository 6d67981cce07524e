// A whole model on a CUDA device for a test, emulated or real (tests/kernels/cuda/test_device.h).
#ifndef SLUICE_TESTS_RUNTIME_CUDA_DEVICE_MODEL_H_
#define SLUICE_TESTS_RUNTIME_CUDA_DEVICE_MODEL_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "gtest/gtest.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cuda/cuda_compute.h"
#include "runtime/place/compute_place.h"
#include "tests/kernels/cuda/test_device.h"
#include "tests/runtime/model_harness.h"

namespace sluice {

// A model on the first device, with so much of its memory beyond the least that it needs; the CPU
// computes such a share of the slabs in host memory. `seed` is the emulated machine's.
struct DeviceModelOf {
  DeviceModelOf(const LayerStore& store, uint64_t seed, int64_t more_vram, const RunConfig& config,
                KvPlace kv_place = KvPlace::kDevice, double cpu_share = 0)
      : pool(2), cpu_ops(*MakeCpuOps(SupportedIsas().back(), &pool)) {
    cuda::Backend::Start(seed);
    compute = *OpenCudaDevice(0);
    place = *MakeDevicePlace(compute->device(), compute->stream(), compute->ops(), cpu_ops.get());
    PlanRequest request;
    request.context_tokens = config.context;
    request.pass_rows = config.chunk;
    request.logits_of_all_rows = config.all_logits;
    request.kv_pages = config.kv_pages;
    request.draft_rows = config.draft_rows;
    request.k_type = request.v_type = config.kv;
    request.bytes_in_flight = 1;  // a ring of a few slabs
    request.max_ram_bytes = int64_t{1} << 33;
    request.fast_math = config.fast_math;
    request.device = DeviceBudget{.max_bytes = int64_t{1} << 33,
                                  .scratch_bytes = compute->overhead_bytes(),
                                  .kv_place = kv_place};
    request.device->max_bytes = PlanMemory(store, request)->nearest().minimum_bytes + more_vram;
    if (cpu_share > 0) {
      request.host_share.emplace().fraction = cpu_share;
      request.device->max_bytes +=
          SizeHostProducts(store.manifest(), config.chunk, config.chunk).product_bytes;
    }
    const auto plan = PlanMemory(store, request);
    EXPECT_TRUE(plan.ok()) << plan.status();
    EXPECT_TRUE(compute->ops()->Reserve(LimitsOf(*plan, store.manifest().spec)).ok());
    auto made = Model::Create(store, *plan, place.get(), {.io = {.kind = IoKind::kThreads}});
    EXPECT_TRUE(made.ok()) << made.status();
    model = *std::move(made);
  }
  ~DeviceModelOf() {
    model.reset();
    place.reset();
    compute.reset();
    EXPECT_EQ(cuda::Backend::Faults(), "");
    EXPECT_EQ(cuda::Backend::LiveObjects(), 0);
  }

  ThreadPool pool;
  std::unique_ptr<Ops> cpu_ops;
  std::unique_ptr<CudaCompute> compute;
  std::unique_ptr<ComputePlace> place;
  std::unique_ptr<Model> model;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_RUNTIME_CUDA_DEVICE_MODEL_H_
