// The byte ring: order, wrapping, and room given back out of order.
#include "prefetch/ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace sluice {
namespace {

constexpr int64_t kPage = 4096;

void MakeLeased(Ring* ring, int64_t ticket) {
  for (SlabState to :
       {SlabState::kRead, SlabState::kVerifying, SlabState::kReady, SlabState::kLeased}) {
    ring->Move(ticket, to);
  }
}

TEST(Ring, PlacesSlabsOneAfterTheOtherOnPages) {
  Ring ring(8 * kPage);
  EXPECT_EQ(ring.Allocate(1), 0);
  EXPECT_EQ(ring.Allocate(kPage + 1), kPage);
  EXPECT_EQ(ring.Allocate(5 * kPage), 3 * kPage);
  EXPECT_EQ(ring.Allocate(1), std::nullopt);
  EXPECT_EQ(ring.next_ticket(), 3);
  EXPECT_EQ(ring.begin(1), kPage);
  EXPECT_EQ(ring.state(2), SlabState::kReading);
}

TEST(Ring, GoesToTheStartWhereTheEndIsTooSmall) {
  Ring ring(8 * kPage);
  ASSERT_EQ(ring.Allocate(3 * kPage), 0);
  ASSERT_EQ(ring.Allocate(3 * kPage), 3 * kPage);
  EXPECT_EQ(ring.Allocate(3 * kPage), std::nullopt);
  MakeLeased(&ring, 0);
  ring.Move(0, SlabState::kFree);
  EXPECT_EQ(ring.Allocate(3 * kPage), 0);
  EXPECT_EQ(ring.Allocate(1), std::nullopt)
      << "the two pages at the end are lost until slab 1 is free";
  MakeLeased(&ring, 1);
  ring.Move(1, SlabState::kFree);
  EXPECT_EQ(ring.Allocate(5 * kPage), 3 * kPage);
}

TEST(Ring, FillsToTheLastPage) {
  Ring ring(4 * kPage);
  ASSERT_EQ(ring.Allocate(2 * kPage), 0);
  ASSERT_EQ(ring.Allocate(2 * kPage), 2 * kPage);
  MakeLeased(&ring, 0);
  ring.Move(0, SlabState::kFree);
  EXPECT_EQ(ring.Allocate(2 * kPage), 0);
  EXPECT_EQ(ring.Allocate(1), std::nullopt);
}

TEST(Ring, HasRoomForAllOfItWhenEmpty) {
  Ring ring(4 * kPage);
  for (int i = 0; i < 5; ++i) {
    const int64_t ticket = ring.next_ticket();
    EXPECT_EQ(ring.Allocate((i % 2 == 0 ? 4 : 3) * kPage), 0);
    MakeLeased(&ring, ticket);
    ring.Move(ticket, SlabState::kFree);
  }
  EXPECT_EQ(ring.Allocate(4 * kPage + 1), std::nullopt);
  Ring none(0);
  EXPECT_EQ(none.Allocate(1), std::nullopt);
}

TEST(Ring, GivesRoomBackInAnyOrder) {
  Ring ring(4 * kPage);
  for (int i = 0; i < 4; ++i) ASSERT_EQ(ring.Allocate(kPage), i * kPage);
  for (int i = 0; i < 4; ++i) MakeLeased(&ring, i);
  ring.Move(2, SlabState::kFree);
  ring.Move(1, SlabState::kFree);
  EXPECT_EQ(ring.Allocate(3 * kPage), std::nullopt) << "two pages are free";
  EXPECT_EQ(ring.Allocate(kPage), kPage) << "behind slab 0, which is passed over";
  EXPECT_EQ(ring.Allocate(kPage), 2 * kPage);
  EXPECT_EQ(ring.Allocate(kPage), std::nullopt) << "it was not slab 3's turn yet";
  ring.Move(0, SlabState::kFree);
  EXPECT_EQ(ring.Allocate(kPage), std::nullopt);
  ring.Move(3, SlabState::kFree);
  EXPECT_EQ(ring.Allocate(kPage), 3 * kPage);
  EXPECT_EQ(ring.Allocate(kPage), 0);
  EXPECT_EQ(ring.state(4), SlabState::kReading);
}

// However long a slab is kept, the ring goes on in what lies around it.
TEST(Ring, GoesAroundASlabThatIsKept) {
  for (int kept = 0; kept < 4; ++kept) {
    Ring ring(4 * kPage);
    for (int i = 0; i < 4; ++i) {
      ASSERT_EQ(ring.Allocate(kPage), i * kPage);
      MakeLeased(&ring, i);
    }
    std::vector<int64_t> others;
    for (int64_t i = 0; i < 4; ++i) {
      if (i != kept) others.push_back(i);
    }
    for (int64_t ticket = 4; ticket < 100; ++ticket) {
      ring.Move(others.front(), SlabState::kFree);
      others.erase(others.begin());
      ASSERT_TRUE(ring.Allocate(kPage).has_value()) << ticket << ", slab " << kept << " is kept";
      EXPECT_EQ(ring.Allocate(kPage), std::nullopt);
      MakeLeased(&ring, ticket);
      others.push_back(ticket);
    }
    EXPECT_EQ(ring.begin(kept), kept * kPage);
  }
}

TEST(Ring, NeverHandsOutTheSameByteTwice) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    const int64_t pages = 1 + random() % 12;
    Ring ring(pages * kPage);
    struct Live {
      int64_t ticket, begin, end;
    };
    std::vector<Live> live;
    for (int step = 0; step < 200; ++step) {
      const int64_t bytes = 1 + random() % (pages * kPage);
      const int64_t ticket = ring.next_ticket();
      const std::optional<int64_t> begin = ring.Allocate(bytes);
      ASSERT_TRUE(begin.has_value() || !live.empty());
      if (begin.has_value()) {
        const Live added{ticket, *begin, *begin + bytes};
        ASSERT_EQ(added.begin % kPage, 0);
        ASSERT_LE(added.end, ring.capacity());
        for (const Live& other : live) {
          ASSERT_TRUE(added.end <= other.begin || other.end <= added.begin);
        }
        MakeLeased(&ring, ticket);
        live.push_back(added);
      } else {
        const auto dropped = live.begin() + random() % live.size();
        ring.Move(dropped->ticket, SlabState::kFree);
        live.erase(dropped);
      }
    }
  }
}

#ifndef NDEBUG
TEST(RingDeathTest, RefusesMovesThatTheDrawingDoesNotHave) {
  Ring ring(kPage);
  ASSERT_EQ(ring.Allocate(1), 0);
  EXPECT_DEATH(ring.Move(0, SlabState::kLeased), "MayMove");
  EXPECT_DEATH(ring.Move(0, SlabState::kFree), "MayMove");
  EXPECT_DEATH(ring.Move(1, SlabState::kRead), "ticket");
}
#endif

}  // namespace
}  // namespace sluice
