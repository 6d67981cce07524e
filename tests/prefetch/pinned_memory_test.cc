#include "prefetch/pinned_memory.h"

#include <vector>

#include "gtest/gtest.h"
#include "prefetch/io/host_buffer.h"
#include "tests/prefetch/late_device.h"

namespace sluice {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

// Nothing of it is touched, so it takes no memory.
HostBuffer Memory(int64_t bytes) { return *HostBuffer::Create(bytes); }

TEST(PinnedMemory, CutsPiecesOfAGibibyteAtPlaces) {
  LateDevice device(1);
  const HostBuffer memory = Memory(3 * kGiB);
  const std::vector<int64_t> places(9, 300 << 20);  // 2700 MiB; the rest is what rounding adds
  int64_t pinned = 0;
  const auto ranges = PinMemory(&device, memory.span(), places, &pinned);
  ASSERT_TRUE(ranges.ok()) << ranges.status();
  std::vector<int64_t> sizes;
  for (const DeviceRange& range : *ranges) sizes.push_back(range.size() >> 20);
  EXPECT_EQ(sizes, (std::vector<int64_t>{900, 900, 3072 - 1800}));
  EXPECT_EQ(pinned, 3 * kGiB);
  EXPECT_EQ(device.pinned(), 3 * kGiB);
}

TEST(PinnedMemory, PinsNothingAndOnePieceWhereThereAreNoPlaces) {
  LateDevice device(1);
  EXPECT_TRUE(PinMemory(&device, {}, {}, nullptr)->empty());
  const HostBuffer memory = Memory(2 * kGiB);
  EXPECT_EQ(PinMemory(&device, memory.span(), {}, nullptr)->size(), 1);
}

TEST(PinnedMemory, SaysHowMuchCanBePinnedAndKeepsNothing) {
  for (const int64_t limit : {int64_t{0}, int64_t{4096}, kGiB - 4096, kGiB, kGiB + (5 << 20)}) {
    LateDevice device(1, {.pinnable_bytes = limit});
    const HostBuffer memory = Memory(2 * kGiB);
    int64_t pinned = 0;
    const absl::Status status = PinMemory(&device, memory.span(), {kGiB, kGiB}, &pinned).status();
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_EQ(pinned, limit);
    EXPECT_EQ(device.pinned(), 0);
    EXPECT_EQ(*PinnableBytes(&device, 2 * kGiB), limit);
    EXPECT_EQ(*PinnableBytes(&device, 0), 0);
  }
}

}  // namespace
}  // namespace sluice
