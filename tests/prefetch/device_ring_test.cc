// The ring in device memory: whom a copy must wait for, and the moves of its slots.
#include "prefetch/device_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "tests/prefetch/late_device.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kRingPage = 4096;

class DeviceRingTest : public testing::Test {
 protected:
  EventPool::Handle NewEvent() { return *events_.Take(); }

  LateDevice device_{1};
  EventPool events_{&device_};
};

TEST_F(DeviceRingTest, ACopyWaitsForWhatReadsItsBytesAndForNothingElse) {
  DeviceRing ring(4 * kRingPage);
  for (int i = 0; i < 4; ++i) {
    const std::optional<DeviceRing::Room> room = ring.Allocate(kRingPage - 1);
    ASSERT_TRUE(room.has_value());
    EXPECT_EQ(room->ticket, i);
    EXPECT_EQ(room->begin, i * kRingPage);
    EXPECT_THAT(room->readers, IsEmpty());
    ring.Lease(i);
  }
  EXPECT_FALSE(ring.Allocate(1).has_value());
  const std::vector<EventPool::Handle> reads = {NewEvent(), NewEvent(), NewEvent()};
  for (int i = 0; i < 3; ++i) ring.Release(i, reads[i]);
  // One page of the three, then the two others.
  std::optional<DeviceRing::Room> room = ring.Allocate(kRingPage);
  ASSERT_TRUE(room.has_value());
  EXPECT_EQ(room->begin, 0);
  EXPECT_THAT(room->readers, ElementsAre(reads[0]));
  room = ring.Allocate(2 * kRingPage);
  ASSERT_TRUE(room.has_value());
  EXPECT_EQ(room->begin, kRingPage);
  EXPECT_THAT(room->readers, ElementsAre(reads[1], reads[2]));
}

TEST_F(DeviceRingTest, WhatIsLeftOfAReadRangeStillHasItsReader) {
  DeviceRing ring(4 * kRingPage);
  ASSERT_TRUE(ring.Allocate(4 * kRingPage).has_value());
  ring.Lease(0);
  const EventPool::Handle read = NewEvent();
  ring.Release(0, read);
  for (int i = 0; i < 4; ++i) {
    const std::optional<DeviceRing::Room> room = ring.Allocate(kRingPage);
    ASSERT_TRUE(room.has_value());
    EXPECT_THAT(room->readers, ElementsAre(read)) << i;
  }
}

TEST_F(DeviceRingTest, ASlotThatIsHeldDoesNotKeepTheRoomBehindIt) {
  DeviceRing ring(2 * kRingPage);
  ASSERT_TRUE(ring.Allocate(kRingPage).has_value());
  ring.Lease(0);
  EventPool::Handle last;
  for (int64_t ticket = 1; ticket < 10; ++ticket) {
    const std::optional<DeviceRing::Room> room = ring.Allocate(kRingPage);
    ASSERT_TRUE(room.has_value()) << ticket;
    EXPECT_EQ(room->begin, kRingPage);
    EXPECT_EQ(room->readers.size(), ticket > 1 ? 1 : 0);
    if (ticket > 1) {
      EXPECT_EQ(room->readers[0], last);
    }
    EXPECT_FALSE(ring.Allocate(kRingPage).has_value());
    ring.Lease(ticket);
    last = NewEvent();
    ring.Release(ticket, last);
  }
  ring.Release(0, NewEvent());
  EXPECT_TRUE(ring.Allocate(2 * kRingPage).has_value());
}

#ifndef NDEBUG
TEST(DeviceSlotDeathTest, RefusesMovesThatTheDrawingDoesNotHave) {
  DeviceSlot slot = DeviceSlot::kFree;
  EXPECT_DEATH(MoveDeviceSlot(&slot, DeviceSlot::kLeased), "MayMoveOnDevice");
  MoveDeviceSlot(&slot, DeviceSlot::kCopying);
  EXPECT_DEATH(MoveDeviceSlot(&slot, DeviceSlot::kFree), "MayMoveOnDevice");
  EXPECT_DEATH(MoveDeviceSlot(&slot, DeviceSlot::kCopying), "MayMoveOnDevice");
}
#endif

}  // namespace
}  // namespace sluice
