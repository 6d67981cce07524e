// What the emulated machine is for: mistakes that a GPU may hide are seen, and correct code is not
// blamed.
//
// Only of the emulation, and so not part of the tests that run on a device as well.
#include <cuda_runtime.h>

#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/ptx.h"
#include "tests/cuda_emulation/machine.h"

namespace sluice::cuda {
namespace {

using cuda_emulation::Faults;
using cuda_emulation::Reset;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int kSeeds = 20;

struct Job {
  int32_t* out;
  bool right;
};

// Launches one kernel and brings back `count` values. `error` is what the stream said.
template <typename J>
std::vector<int32_t> RunKernel(void (*kernel)(J), J job, LaunchShape shape, int count,
                               absl::Status* error = nullptr) {
  CudaAllocator allocator;
  const Stream stream = *Stream::Create();
  const DeviceBuffer out = *DeviceBuffer::Create(&allocator, count * 4, "a test");
  const PinnedBuffer pinned = *PinnedBuffer::Create(count * 4, "a test");
  job.out = reinterpret_cast<int32_t*>(out.data());
  EXPECT_EQ(Launch(kernel, shape, job, stream.get()), cudaSuccess);
  EXPECT_TRUE(stream.CopyToHost(pinned.data(), out.data(), count * 4).ok());
  const absl::Status status = stream.Synchronize();
  if (error != nullptr) *error = status;
  std::vector<int32_t> values(count);
  std::memcpy(values.data(), pinned.data(), count * 4);
  return values;
}

// How many of the seeds give something else than `want`.
template <typename J>
int WrongSeeds(void (*kernel)(J), J job, LaunchShape shape, const std::vector<int32_t>& want) {
  int wrong = 0;
  for (int seed = 0; seed < kSeeds; ++seed) {
    Reset({.seed = static_cast<uint64_t>(seed)});
    wrong += RunKernel(kernel, job, shape, static_cast<int>(want.size())) != want;
    EXPECT_THAT(Faults(), IsEmpty());
  }
  return wrong;
}

// Each thread reads its neighbour's value.
void RotateKernel(Job job) {
  SharedMemory shared;
  int32_t* const values = shared.Take<int32_t>(64);
  const int i = static_cast<int>(threadIdx.x);
  values[i] = i;
  if (job.right) SyncBlock();
  job.out[i] = values[(i + 1) % 64];
}

TEST(CudaEmulation, AMissingBarrierShows) {
  std::vector<int32_t> want(64);
  for (int i = 0; i < 64; ++i) want[i] = (i + 1) % 64;
  const LaunchShape shape = {
      .blocks_x = 1, .threads = 64, .shared_bytes = SharedBytes<int32_t>(64)};
  EXPECT_EQ(WrongSeeds(RotateKernel, Job{nullptr, true}, shape, want), 0);
  EXPECT_GT(WrongSeeds(RotateKernel, Job{nullptr, false}, shape, want), kSeeds / 2);
}

// Two rounds through one array: without the second barrier a quick thread overwrites what a slow
// one reads.
void TwoRoundsKernel(Job job) {
  SharedMemory shared;
  int32_t* const values = shared.Take<int32_t>(64);
  const int i = static_cast<int>(threadIdx.x);
  int32_t sum = 0;
  for (int round = 0; round < 2; ++round) {
    values[i] = 100 * round + i;
    SyncBlock();
    sum += values[(i + 1) % 64];
    if (job.right) SyncBlock();
  }
  job.out[i] = sum;
}

TEST(CudaEmulation, AMissingBarrierBeforeOverwritingShows) {
  std::vector<int32_t> want(64);
  for (int i = 0; i < 64; ++i) want[i] = 100 + 2 * ((i + 1) % 64);
  const LaunchShape shape = {
      .blocks_x = 1, .threads = 64, .shared_bytes = SharedBytes<int32_t>(64)};
  EXPECT_EQ(WrongSeeds(TwoRoundsKernel, Job{nullptr, true}, shape, want), 0);
  EXPECT_GT(WrongSeeds(TwoRoundsKernel, Job{nullptr, false}, shape, want), kSeeds / 2);
}

// Lanes of one warp do not run in step.
void WarpKernel(Job job) {
  SharedMemory shared;
  int32_t* const values = shared.Take<int32_t>(32);
  const int i = static_cast<int>(threadIdx.x);
  values[i] = i;
  if (job.right) SyncBlock();
  job.out[i] = values[31 - i];
}

TEST(CudaEmulation, LanesThatRelyOnRunningInStepAreFound) {
  std::vector<int32_t> want(32);
  for (int i = 0; i < 32; ++i) want[i] = 31 - i;
  const LaunchShape shape = {
      .blocks_x = 1, .threads = 32, .shared_bytes = SharedBytes<int32_t>(32)};
  EXPECT_EQ(WrongSeeds(WarpKernel, Job{nullptr, true}, shape, want), 0);
  EXPECT_GT(WrongSeeds(WarpKernel, Job{nullptr, false}, shape, want), kSeeds / 2);
}

void BlocksKernel(Job job) {
  // A block that relies on the one before it.
  const int i = static_cast<int>(blockIdx.x);
  job.out[i] = i == 0 || job.right ? i : job.out[i - 1] + 1;
}

TEST(CudaEmulation, BlocksThatRelyOnTheirOrderAreFound) {
  const std::vector<int32_t> want = {0, 1, 2, 3, 4, 5};
  const LaunchShape shape = {.blocks_x = 6, .threads = 1};
  EXPECT_EQ(WrongSeeds(BlocksKernel, Job{nullptr, true}, shape, want), 0);
  EXPECT_GT(WrongSeeds(BlocksKernel, Job{nullptr, false}, shape, want), kSeeds / 2);
}

struct FaultCase {
  const char* name;
  void (*kernel)(Job);
  const char* fault;
};

TEST(CudaEmulation, FaultsOfAKernelAreReportedAndLoseTheDevice) {
  const FaultCase kCases[] = {
    {"some threads end before a barrier",
     [](Job) {
       if (threadIdx.x >= 40) return;
       SyncBlock();
     },
     "40 of 64 threads wait at the barrier"},
    {"two barriers",
     [](Job) {
       if (threadIdx.x < 32) {
         SyncBlock();
       } else {
         SyncBlock();
       }
     },
     "different barriers"},
    {"half a warp exchanges",
     [](Job) {
       if (threadIdx.x % 32 < 16) ShuffleXor(1.0f, 1);
     },
     "16 lanes of warp"},
    {"a warp exchanges at two places",
     [](Job) {
       if (threadIdx.x % 2 == 0) {
         ShuffleXor(1.0f, 1);
       } else {
         ShuffleXor(1.0f, 1);
       }
     },
     "diverges"},
    {"more shared memory than the launch asked for",
     [](Job) {
       SharedMemory shared;
       shared.Take<float>(17)[0] = 0;
     },
     "the launch asked for 64"},
#if !defined(__SANITIZE_ADDRESS__)
    {"a write beyond an array",
     [](Job) {
       SharedMemory shared;
       volatile char* const array = shared.Take<char>(5);
       if (threadIdx.x == 0) array[5] = 1;
     },
     "beyond array 0"},
#endif
  };
  for (const FaultCase& c : kCases) {
    Reset({.seed = 1});
    absl::Status error;
    RunKernel(c.kernel, Job{}, {.blocks_x = 1, .threads = 64, .shared_bytes = 64}, 1, &error);
    EXPECT_EQ(error.code(), absl::StatusCode::kInternal) << c.name;
    EXPECT_THAT(Faults(), HasSubstr(c.fault)) << c.name;
    EXPECT_FALSE(Stream::Create().ok()) << c.name << ": nothing works on a lost device";
  }
}

// A copy into a slot, a kernel that reads it on another stream, and the slot's next copy.
int32_t SlotReused(uint64_t seed, bool wait_for_copy, bool wait_for_kernel) {
  Reset({.seed = seed});
  CudaAllocator allocator;
  const Stream copies = *Stream::Create();
  const Stream kernels = *Stream::Create();
  const Event copied = *Event::Create();
  const Event used = *Event::Create();
  const DeviceBuffer slot = *DeviceBuffer::Create(&allocator, 4, "a slot");
  const DeviceBuffer out = *DeviceBuffer::Create(&allocator, 4, "a result");
  const PinnedBuffer pinned = *PinnedBuffer::Create(12, "a test");
  auto* const host = reinterpret_cast<int32_t*>(pinned.data());
  host[0] = 7;
  host[1] = 9;
  struct Read {
    int32_t* out;
    const int32_t* slot;
  };
  EXPECT_TRUE(copies.CopyToDevice(slot.data(), host, 4).ok());
  EXPECT_TRUE(copies.Record(copied).ok());
  if (wait_for_copy) {
    EXPECT_TRUE(kernels.Wait(copied).ok());
  }
  const Read read = {reinterpret_cast<int32_t*>(out.data()),
                     reinterpret_cast<const int32_t*>(slot.data())};
  void (*const kernel)(Read) = [](Read job) { *job.out = *job.slot; };
  EXPECT_EQ(Launch(kernel, {.blocks_x = 1, .threads = 1}, read, kernels.get()), cudaSuccess);
  EXPECT_TRUE(kernels.Record(used).ok());
  if (wait_for_kernel) {
    EXPECT_TRUE(copies.Wait(used).ok());
  }
  EXPECT_TRUE(copies.CopyToDevice(slot.data(), host + 1, 4).ok());
  EXPECT_TRUE(kernels.CopyToHost(host + 2, out.data(), 4).ok());
  EXPECT_TRUE(kernels.Synchronize().ok());
  EXPECT_TRUE(copies.Synchronize().ok());
  EXPECT_THAT(Faults(), IsEmpty());
  return host[2];
}

TEST(CudaEmulation, AMissingWaitForAnEventGivesAWrongAnswer) {
  int without_copy = 0;
  int without_kernel = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    EXPECT_EQ(SlotReused(seed, true, true), 7);
    without_copy += SlotReused(seed, false, true) != 7;
    without_kernel += SlotReused(seed, true, false) != 7;
  }
  EXPECT_GT(without_copy, 5);
  EXPECT_GT(without_kernel, 5);
}

TEST(CudaEmulation, PinnedMemoryThatIsOverwrittenTooEarlyGivesAWrongAnswer) {
  int wrong = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Reset({.seed = seed});
    CudaAllocator allocator;
    const Stream stream = *Stream::Create();
    const DeviceBuffer to = *DeviceBuffer::Create(&allocator, 4, "a test");
    const PinnedBuffer pinned = *PinnedBuffer::Create(8, "a test");
    auto* const host = reinterpret_cast<int32_t*>(pinned.data());
    host[0] = 1;
    ASSERT_TRUE(stream.CopyToDevice(to.data(), host, 4).ok());
    host[0] = 2;  // the copy may not have run
    ASSERT_TRUE(stream.CopyToHost(host + 1, to.data(), 4).ok());
    ASSERT_TRUE(stream.Synchronize().ok());
    wrong += host[1] != 1;
  }
  EXPECT_GT(wrong, 5);
}

TEST(CudaEmulation, CopiesBeyondMemoryOrFromWhatIsNotPinnedAreFaults) {
  Reset({});
  CudaAllocator allocator;
  {
    const Stream stream = *Stream::Create();
    const DeviceBuffer to = *DeviceBuffer::Create(&allocator, 8, "a test");
    const PinnedBuffer pinned = *PinnedBuffer::Create(16, "a test");
    const int32_t stack[2] = {};
    ASSERT_TRUE(stream.CopyToDevice(to.data(), pinned.data(), 8).ok());
    ASSERT_TRUE(stream.Synchronize().ok());
    EXPECT_THAT(Faults(), IsEmpty());
    ASSERT_TRUE(stream.CopyToDevice(to.data(), pinned.data(), 9).ok());
    ASSERT_TRUE(stream.Synchronize().ok());
    EXPECT_THAT(Faults(), HasSubstr("copies 9 bytes"));
    ASSERT_TRUE(stream.CopyToDevice(to.data(), stack, 8).ok());
    ASSERT_TRUE(stream.Synchronize().ok());
    EXPECT_THAT(Faults(), HasSubstr("not pinned"));
  }
  EXPECT_EQ(cuda_emulation::LiveObjects(), 0);
}

// Every matrix instruction against the product by the book, with fragments filled as the PTX ISA
// says.
struct MmaJob {
  int32_t* out;  // [16][8]
  const int8_t (*a)[32];
  const int8_t (*b)[8];
  int kind;
};
uint32_t Pack(int8_t a, int8_t b, int8_t c, int8_t d) {
  const int8_t bytes[4] = {a, b, c, d};
  uint32_t word;
  std::memcpy(&word, bytes, 4);
  return word;
}
void MmaKernel(MmaJob job) {
  const int g = static_cast<int>(threadIdx.x) / 4;
  const int t = static_cast<int>(threadIdx.x) % 4;
  uint32_t a[4], b[2];
  for (int i = 0; i < 4; ++i) {
    const int8_t* const row = job.a[g + i % 2 * 8] + 4 * t + i / 2 * 16;
    a[i] = Pack(row[0], row[1], row[2], row[3]);
  }
  for (int i = 0; i < 2; ++i) {
    const int k = 4 * t + 16 * i;
    b[i] = Pack(job.b[k][g], job.b[k + 1][g], job.b[k + 2][g], job.b[k + 3][g]);
  }
  int32_t c[4] = {1, 2, 3, 4};
  if (job.kind == 0) Mma16x8x32(c, a, b);
  if (job.kind == 1) TuringMma16x8x32(c, a, b);
  if (job.kind == 2) {
    Mma16x8x16(c, a[0], a[1], b[0]);
    TuringMma16x8x16(c, a[2], a[3], b[1]);
  }
  for (int i = 0; i < 4; ++i) job.out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = c[i] - (i + 1);
}

TEST(CudaEmulation, MatrixInstructionsMultiplyMatrices) {
  int8_t a[16][32], b[32][8];
  for (int i = 0; i < 16 * 32; ++i) a[i / 32][i % 32] = static_cast<int8_t>(i * 37 + 11);
  for (int i = 0; i < 32 * 8; ++i) b[i / 8][i % 8] = static_cast<int8_t>(i * 91 + 5);
  std::vector<int32_t> want(16 * 8);
  for (int i = 0; i < 16 * 8; ++i) {
    for (int k = 0; k < 32; ++k) want[i] += a[i / 8][k] * b[k][i % 8];
  }
  for (int kind = 0; kind < 3; ++kind) {
    Reset({.seed = static_cast<uint64_t>(kind)});
    const LaunchShape shape = {.blocks_x = 1, .threads = 32};
    EXPECT_EQ(RunKernel(MmaKernel, MmaJob{nullptr, a, b, kind}, shape, 16 * 8), want) << kind;
  }
}

}  // namespace
}  // namespace sluice::cuda
