#include "prefetch/io/simulated_disk.h"

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

// One thread asks for a copy when it has a slab, and when the link is done with the one before.
TEST(SimulatedDisk, AsALinkLosesTimeWithoutASlabAndNotThatOfALateTimer) {
  SimulatedDisk link(1000 * kMegabyte, 16 * kMegabyte);
  const auto ask = [&link](int ms) {
    link.Wake(kStart + milliseconds(ms));
    return link.Ready(kStart + milliseconds(ms));
  };
  EXPECT_TRUE(ask(0));
  link.Begin(8 * kMegabyte, kStart);
  EXPECT_FALSE(ask(1)) << "the next slab is there, and waits";
  link.Begin(8 * kMegabyte, kStart + milliseconds(9));  // the timer was late by one
  EXPECT_EQ(link.next_start(), kStart + milliseconds(16));
  EXPECT_TRUE(ask(30)) << "the disk had nothing";
  link.Begin(8 * kMegabyte, kStart + milliseconds(30));
  EXPECT_EQ(link.next_start(), kStart + milliseconds(38));
}

TEST(SimulatedDisk, WithoutASpeedIsAlwaysReady) {
  SimulatedDisk disk(0, 4 * kMegabyte);
  disk.Wake(kStart);
  disk.Begin(1000 * kMegabyte, kStart);
  EXPECT_TRUE(disk.Ready(kStart));
}

}  // namespace
}  // namespace sluice
