// Errors of the CUDA runtime, injected call by call: each is a Status that says what was being
// done, and nothing is left behind.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/upload_ring.h"
#include "tests/cuda_emulation/machine.h"

namespace sluice::cuda {
namespace {

using cuda_emulation::FailCall;
using cuda_emulation::Faults;
using cuda_emulation::LiveObjects;
using cuda_emulation::Reset;
using testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(CudaDevice, OpensAndDescribesItself) {
  Reset({.device_memory_bytes = 1000});
  const auto device = Device::Open(0);
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_EQ(device->name(), "emulated device 0");
  EXPECT_EQ(device->compute_capability(), 90);
  EXPECT_EQ(device->memory()->free_bytes, 1000);
}

TEST(CudaDevice, SaysWhichDriverIsNeeded) {
  Reset({.driver_version = 11080});
  const absl::Status status = Device::Open(0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status), HasSubstr("driver too old, needs 13.0"));
  EXPECT_THAT(Message(status), HasSubstr("supports 11.8"));
}

TEST(CudaDevice, CountsNoneWithoutADriverOrADevice) {
  for (const auto& options : {cuda_emulation::MachineOptions{.driver_version = 0},
                              cuda_emulation::MachineOptions{.devices = 0}}) {
    Reset(options);
    EXPECT_EQ(*CountDevices(), 0);
    const absl::Status status = Device::Open(0).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(Message(status), HasSubstr("no device"));
  }
}

TEST(CudaDevice, NamesADeviceThatIsNotThereOrTooOld) {
  Reset({.devices = 2});
  EXPECT_THAT(Message(Device::Open(2).status()), HasSubstr("no device 2; there are 2"));
  Reset({.compute_major = 6});
  const absl::Status status = Device::Open(0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("compute capability 6.0, kernels need 7.5"));
}

TEST(CudaMemory, OutOfMemorySaysForWhatAndHowMuchIsFree) {
  Reset({.device_memory_bytes = 1000});
  CudaAllocator allocator;
  const auto held = DeviceBuffer::Create(&allocator, 700, "slabs");
  ASSERT_TRUE(held.ok());
  const absl::Status status = DeviceBuffer::Create(&allocator, 400, "the KV cache").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(status),
              HasSubstr("the KV cache needs 400 bytes of device memory, 300 of 1000 are free"));
  FailCall("cudaMallocHost", 1, cudaErrorMemoryAllocation);
  const absl::Status pinned = PinnedBuffer::Create(64, "the ring").status();
  EXPECT_EQ(pinned.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(pinned), HasSubstr("pinning 64 bytes of host memory for the ring"));
}

TEST(CudaStatus, SortsErrorsByWhatCanBeDone) {
  EXPECT_TRUE(CudaStatus(cudaSuccess, "nothing").ok());
  const struct {
    cudaError_t error;
    absl::StatusCode code;
  } kCases[] = {{cudaErrorMemoryAllocation, absl::StatusCode::kResourceExhausted},
                {cudaErrorECCUncorrectable, absl::StatusCode::kUnavailable},
                {cudaErrorLaunchTimeout, absl::StatusCode::kUnavailable},
                {cudaErrorUnknown, absl::StatusCode::kUnavailable},
                {cudaErrorIllegalAddress, absl::StatusCode::kInternal},
                {cudaErrorInvalidValue, absl::StatusCode::kInternal}};
  for (const auto& c : kCases) {
    const absl::Status status = CudaStatus(c.error, "copying slab 7");
    EXPECT_EQ(status.code(), c.code) << c.error;
    EXPECT_THAT(Message(status), HasSubstr("CUDA: copying slab 7: ")) << c.error;
  }
}

TEST(CudaStream, ALostDeviceComesBackFromEveryCall) {
  Reset({});
  CudaAllocator allocator;
  const Stream stream = *Stream::Create();
  const Event event = *Event::Create();
  ASSERT_TRUE(stream.Record(event).ok());
  FailCall("cudaStreamSynchronize", 1, cudaErrorECCUncorrectable);
  EXPECT_THAT(Message(stream.Synchronize()), HasSubstr("the device is lost"));
  EXPECT_EQ(stream.Record(event).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(event.Synchronize().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(event.Fired().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(stream.CopyToDevice(nullptr, nullptr, 1).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(DeviceBuffer::Create(&allocator, 4, "x").status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(CudaStream, AnEventHasFiredOnceItsWorkHasRun) {
  Reset({.seed = 3});
  const Stream stream = *Stream::Create();
  const Event event = *Event::Create();
  EXPECT_TRUE(event.Synchronize().ok()) << "never recorded";
  ASSERT_TRUE(stream.Record(event).ok());
  EXPECT_TRUE(event.Synchronize().ok());
  EXPECT_TRUE(*event.Fired());
}

TEST(CudaUploadRing, GrowsASlotAgainAfterAnAllocationFailed) {
  Reset({});
  CudaAllocator allocator;
  const Stream stream = *Stream::Create();
  UploadRing ring = *UploadRing::Create(&stream, &allocator);
  FailCall("cudaMalloc", 1, cudaErrorMemoryAllocation);
  EXPECT_EQ(ring.Begin(10000).status().code(), absl::StatusCode::kResourceExhausted);
  const auto place = ring.Begin(10000);
  ASSERT_TRUE(place.ok());
  EXPECT_NE(place->device, nullptr);
  EXPECT_NE(place->pinned, nullptr);
}

// One call of each kind on a device where call number n of one function fails: an error or all
// well, never a fault, and nothing is left allocated.
TEST(CudaOps, AFailureOfAnyCallIsReturned) {
  const char* const kCalls[] = {"cudaMalloc",           "cudaMallocHost",
                                "cudaMemcpyAsync",      "cudaEventRecord",
                                "cudaEventSynchronize", "cudaEventCreateWithFlags",
                                "cudaLaunchKernel",     "cudaStreamSynchronize"};
  const auto run = [] {
    CudaAllocator allocator;
    auto device = Device::Open(0);
    if (!device.ok()) return device.status();
    auto stream = Stream::Create();
    if (!stream.ok()) return stream.status();
    auto memory = DeviceBuffer::Create(&allocator, 1 << 20, "a test");
    if (!memory.ok()) return memory.status();
    auto ops = MakeCudaOps(*device, &*stream, &allocator);
    if (!ops.ok()) return ops.status();
    auto* const x = reinterpret_cast<float*>(memory->data());
    const std::vector<int32_t> table(20, 0);
    const std::vector<int64_t> positions = {0};
    const AttentionRow row = {table.data(), 1200, 0};
    AttentionArgs args = {.kv = {KvType::kF32, KvType::kF32, 1, 16},
                          .pages = memory->data(),
                          .page_stride = 8192,
                          .num_heads = 1,
                          .attention_scale = 1,
                          .rows = {&row, 1}};
    float* const out = x + 65536;
    absl::Status status = (*ops)->Rope(out, 16, 1, 1, 16, x, positions, nullptr, 0);
    if (status.ok()) status = (*ops)->AppendKv(args, out, out, 16);
    if (status.ok()) status = (*ops)->Attention(args, out, 16, out + 64, 16);
    if (status.ok()) status = (*ops)->RmsNorm(out, 16, 1, 16, x, 1e-5f, out, 16);
    if (status.ok()) {
      status =
          (*ops)->PrepareActivations(ActivationFormat::kF32, out, 16, 1, 16, memory->data() + 4096);
    }
    if (status.ok()) status = stream->Synchronize();
    return status;
  };
  Reset({.seed = 1});
  ASSERT_TRUE(run().ok());
  int failed = 0;
  for (const char* call : kCalls) {
    for (int count = 1; count <= 8; ++count) {
      Reset({.seed = static_cast<uint64_t>(count)});
      FailCall(call, count, cudaErrorMemoryAllocation);
      const absl::Status status = run();
      failed += !status.ok();
      EXPECT_TRUE(count > 1 || !status.ok()) << call;
      EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kResourceExhausted) << status;
      EXPECT_EQ(Faults(), "") << call << " " << count;
      EXPECT_EQ(LiveObjects(), 0) << call << " " << count;
    }
  }
  EXPECT_GT(failed, 20);
}

}  // namespace
}  // namespace sluice::cuda
