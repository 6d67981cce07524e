#include "prefetch/simulated_disk.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kMegabyte = 1'000'000;
const SimulatedDisk::Clock::time_point kStart{std::chrono::hours(1)};

// 1 GB/s with four reads of a megabyte outstanding: a read takes a millisecond.
SimulatedDisk MakeDisk() {
  SimulatedDisk disk(1000 * kMegabyte, 4 * kMegabyte);
  disk.Wake(kStart);
  return disk;
}

TEST(SimulatedDisk, BeginsTheFirstReadAtOnceAndTheNextWhenItHasCome) {
  SimulatedDisk disk = MakeDisk();
  EXPECT_TRUE(disk.Ready(kStart));
  disk.Begin(kMegabyte, kStart);
  EXPECT_FALSE(disk.Ready(kStart));
  EXPECT_EQ(disk.next_start(), kStart + milliseconds(1));
  EXPECT_TRUE(disk.Ready(kStart + milliseconds(1)));
}

TEST(SimulatedDisk, MakesUpForALateThreadAsFarAsItsQueueReaches) {
  SimulatedDisk disk = MakeDisk();
  disk.Begin(kMegabyte, kStart);
  disk.Begin(kMegabyte, kStart + milliseconds(3));  // two late: both are made up for
  EXPECT_EQ(disk.next_start(), kStart + milliseconds(2));
  disk.Begin(kMegabyte, kStart + milliseconds(100));  // a queue of four would have run dry
  EXPECT_EQ(disk.next_start(), kStart + milliseconds(97));
}

TEST(SimulatedDisk, DoesNotWorkWhileNothingIsAsked) {
  SimulatedDisk disk = MakeDisk();
  disk.Begin(kMegabyte, kStart);
  disk.Wake(kStart + milliseconds(3));
  EXPECT_EQ(disk.next_start(), kStart + milliseconds(3));
  disk.Begin(kMegabyte, kStart + milliseconds(3));
  disk.Wake(kStart + milliseconds(3));  // still busy with the last read
  EXPECT_EQ(disk.next_start(), kStart + milliseconds(4));
}

TEST(SimulatedDisk, WithoutASpeedIsAlwaysReady) {
  SimulatedDisk disk(0, 4 * kMegabyte);
  disk.Wake(kStart);
  disk.Begin(1000 * kMegabyte, kStart);
  EXPECT_TRUE(disk.Ready(kStart));
}

}  // namespace
}  // namespace sluice
