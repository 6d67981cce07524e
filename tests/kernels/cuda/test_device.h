// A device for a test, emulated or real: memory where each buffer stands alone, and Ops on it.
#ifndef SLUICE_TESTS_KERNELS_CUDA_TEST_DEVICE_H_
#define SLUICE_TESTS_KERNELS_CUDA_TEST_DEVICE_H_

#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/memory.h"
#include "kernels/ops.h"

namespace sluice::cuda {

// What differs between a machine that is emulated and a real one (backend_emulated.cc,
// backend_device.cc).
struct Backend {
  // Whether tests can run at all.
  static bool HasDevice();
  // Orders of execution to try: many where a seed makes one, else one.
  static std::vector<uint64_t> Seeds();
  // A machine with this order, before anything is allocated.
  static void Start(uint64_t seed);
  // What went wrong that no call returned; "" on a real device.
  static std::string Faults();
  // Allocations, streams and events that are there; 0 on a real device.
  static int LiveObjects();
};

// Memory of the device with the host's values in it.
template <typename T>
class OnDevice {
 public:
  OnDevice(const Stream& stream, DeviceAllocator* allocator, const std::vector<T>& values)
      : stream_(&stream), count_(values.size()) {
    const auto bytes = static_cast<int64_t>(count_ * sizeof(T));
    auto memory = DeviceBuffer::Create(allocator, bytes, "a test");
    auto pinned = PinnedBuffer::Create(bytes, "a test");
    EXPECT_TRUE(memory.ok() && pinned.ok()) << memory.status() << pinned.status();
    memory_ = *std::move(memory);
    if (bytes == 0) return;
    std::memcpy(pinned->data(), values.data(), bytes);
    EXPECT_TRUE(stream.CopyToDevice(memory_.data(), pinned->data(), bytes).ok());
    EXPECT_TRUE(stream.Synchronize().ok());
  }

  T* data() const { return reinterpret_cast<T*>(memory_.data()); }

  // After all that is queued.
  std::vector<T> Values() const {
    const auto bytes = static_cast<int64_t>(count_ * sizeof(T));
    auto pinned = PinnedBuffer::Create(bytes, "a test");
    EXPECT_TRUE(stream_->CopyToHost(pinned->data(), memory_.data(), bytes).ok());
    const absl::Status ran = stream_->Synchronize();
    EXPECT_TRUE(ran.ok()) << ran << "\n" << Backend::Faults();
    std::vector<T> values(count_);
    if (bytes > 0) std::memcpy(values.data(), pinned->data(), bytes);
    return values;
  }

 private:
  const Stream* stream_;
  size_t count_;
  DeviceBuffer memory_;
};

class TestDevice {
 public:
  explicit TestDevice(uint64_t seed, const CudaOpsOptions& options = {}) {
    Backend::Start(seed);
    auto device = Device::Open(0);
    auto stream = Stream::Create();
    EXPECT_TRUE(device.ok() && stream.ok()) << device.status() << stream.status();
    stream_.emplace(*std::move(stream));
    auto ops = MakeCudaOps(*device, &*stream_, &allocator_, options);
    EXPECT_TRUE(ops.ok()) << ops.status();
    ops_ = *std::move(ops);
  }
  ~TestDevice() {
    EXPECT_TRUE(stream_->Synchronize().ok());
    ops_.reset();
    EXPECT_EQ(Backend::Faults(), "");
  }

  Ops& ops() { return *ops_; }
  const Stream& stream() const { return *stream_; }
  CudaAllocator* allocator() { return &allocator_; }

  template <typename T>
  OnDevice<T> Put(const std::vector<T>& values) {
    return OnDevice<T>(*stream_, &allocator_, values);
  }

 private:
  CudaAllocator allocator_;
  std::optional<Stream> stream_;
  std::unique_ptr<Ops> ops_;
};

// Bits of a and b, but that any NaN is like any other.
inline testing::AssertionResult SameBits(const std::vector<float>& got,
                                         const std::vector<float>& want) {
  if (got.size() != want.size())
    return testing::AssertionFailure() << got.size() << " values, not " << want.size();
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(got[i]) && std::isnan(want[i])) continue;
    if (std::memcmp(&got[i], &want[i], sizeof(float)) != 0) {
      return testing::AssertionFailure() << got[i] << " instead of " << want[i] << " at " << i;
    }
  }
  return testing::AssertionSuccess();
}

// A fixture that skips where there is no device.
class CudaTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!Backend::HasDevice()) GTEST_SKIP() << "no CUDA device";
  }
};

}  // namespace sluice::cuda

#endif  // SLUICE_TESTS_KERNELS_CUDA_TEST_DEVICE_H_
