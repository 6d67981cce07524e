// Errors of the CUDA runtime, injected call by call: each is a Status that says what was being
// done, and nothing is left behind.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cuda/cuda_compute.h"
#include "kernels/cuda/cuda_ops.h"
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

TEST(CudaDevice, CountsNoneWithoutADriverOrADevice) {
  for (const auto& options : {cuda_emulation::MachineOptions{.driver_version = 0},
                              cuda_emulation::MachineOptions{.devices = 0}}) {
    Reset(options);
    EXPECT_EQ(*CountDevices(), 0);
  }
}

// What a user reads where there is nothing to compute on: one line, exactly.
TEST(CudaDevice, SaysWhyItDoesNotOpen) {
  const struct {
    const char* what;
    cuda_emulation::MachineOptions machine;
    int ordinal = 0;
    const char* call = "";
    cudaError_t error = cudaSuccess;
    absl::StatusCode code;
    const char* text;
  } kCases[] = {
      {.what = "no driver",
       .machine = {.driver_version = 0},
       .code = absl::StatusCode::kNotFound,
       .text = "CUDA: no driver: the system finds no libcuda.so.1 that works"},
      {.what = "a driver of the last major version",
       .machine = {.driver_version = 12080},
       .code = absl::StatusCode::kUnavailable,
       .text =
           "CUDA: driver too old, needs 580 or newer, for CUDA 13.0; this one is for CUDA 12.8"},
      {.what = "no device",
       .machine = {.devices = 0},
       .code = absl::StatusCode::kNotFound,
       .text = "CUDA: no device: the driver, for CUDA 13.0, finds none; CUDA_VISIBLE_DEVICES may "
               "hide them"},
      {.what = "fewer devices",
       .machine = {.devices = 2},
       .ordinal = 2,
       .code = absl::StatusCode::kNotFound,
       .text = "CUDA: no device 2; there are 2"},
      {.what = "a device before Turing",
       .machine = {.compute_major = 6},
       .code = absl::StatusCode::kFailedPrecondition,
       .text = "CUDA: device 0 (emulated device 0) has compute capability 6.0, kernels need 7.5"},
      {.what = "a program has the device for itself",
       .machine = {},
       .call = "cudaStreamCreateWithFlags",
       .error = cudaErrorDevicesUnavailable,
       .code = absl::StatusCode::kUnavailable,
       .text = "CUDA: making a stream: cudaErrorDevicesUnavailable (CUDA-capable device(s) is/are "
               "busy or "
               "unavailable); nvidia-smi shows which programs use it, and its compute mode"},
      {.what = "programs left no memory for a context",
       .machine = {},
       .call = "cudaStreamCreateWithFlags",
       .error = cudaErrorMemoryAllocation,
       .code = absl::StatusCode::kResourceExhausted,
       .text = "CUDA: making a stream: cudaErrorMemoryAllocation (out of memory); emulated device "
               "0 has no room for "
               "a context: nvidia-smi shows which programs hold its memory"},
      {.what = "a device that fell off the bus",
       .machine = {},
       .call = "cudaMemGetInfo",
       .error = cudaErrorUnknown,
       .code = absl::StatusCode::kUnavailable,
       .text = "CUDA: asking for the free memory of emulated device 0: cudaErrorUnknown (unknown "
               "error); "
               "this process has lost the device; look in dmesg for an Xid of the driver"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.what);
    Reset(c.machine);
    if (c.error != cudaSuccess) FailCall(c.call, 1, c.error);
    const absl::Status status = OpenCudaDevice(c.ordinal).status();
    EXPECT_EQ(status.code(), c.code);
    EXPECT_EQ(Message(status), c.text);
    EXPECT_EQ(LiveObjects(), 0);
  }
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

TEST(CudaStream, ALostDeviceComesBackFromEveryCall) {
  Reset({});
  CudaAllocator allocator;
  const Stream stream = *Stream::Create();
  const Event event = *Event::Create();
  ASSERT_TRUE(stream.Record(event).ok());
  FailCall("cudaStreamSynchronize", 1, cudaErrorECCUncorrectable);
  EXPECT_THAT(Message(stream.Synchronize()), HasSubstr("this process has lost the device"));
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
