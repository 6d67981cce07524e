// The order of visits: a loop, and what a pass puts in front of it.
#include "prefetch/walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <utility>
#include <vector>

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::Pair;

// Pass and slab of the next visits.
std::vector<std::pair<int64_t, int>> Take(Walk* walk, int count) {
  std::vector<std::pair<int64_t, int>> taken;
  for (int i = 0; i < count && walk->Next().has_value(); ++i) {
    const Visit visit = walk->Pop();
    taken.emplace_back(visit.pass, visit.slab);
  }
  return taken;
}

TEST(Walk, OfALoopVisitsAllSlabsPassAfterPass) {
  Walk walk = Walk::Loop(3);
  EXPECT_THAT(Take(&walk, 7), ElementsAre(Pair(0, 0), Pair(0, 1), Pair(0, 2), Pair(1, 0),
                                          Pair(1, 1), Pair(1, 2), Pair(2, 0)));
}

TEST(Walk, LeavesOutWhatIsForTheFirstPassOnly) {
  Walk walk({0, 1, 2}, {1});
  EXPECT_THAT(Take(&walk, 5),
              ElementsAre(Pair(0, 0), Pair(0, 1), Pair(0, 2), Pair(1, 1), Pair(2, 1)));
}

TEST(Walk, EndsWhereNoLaterPassVisitsAnything) {
  Walk walk({0, 1}, {});
  EXPECT_THAT(Take(&walk, 5), ElementsAre(Pair(0, 0), Pair(0, 1)));
  EXPECT_FALSE(walk.Next().has_value());
  walk.Append(1, 4, Urgency::kNow);
  EXPECT_THAT(Take(&walk, 5), ElementsAre(Pair(4, 1)));
}

TEST(Walk, VisitsWhatWasAppendedFirstAndInThatOrder) {
  Walk walk = Walk::Loop(2);
  Take(&walk, 1);
  walk.Append(7, 0, Urgency::kInTurn);
  walk.Append(5, 0, Urgency::kNow);
  EXPECT_EQ(walk.Next()->urgency, Urgency::kInTurn);
  EXPECT_THAT(Take(&walk, 4), ElementsAre(Pair(0, 7), Pair(0, 5), Pair(0, 1), Pair(1, 0)));
}

TEST(Walk, DropsWhatWasNotAskedForYet) {
  Walk walk = Walk::Loop(2);
  const int64_t seven = walk.Append(7, 0, Urgency::kNow);
  const int64_t five = walk.Append(5, 0, Urgency::kNow);
  EXPECT_TRUE(walk.Drop(seven));
  EXPECT_FALSE(walk.Drop(seven));
  EXPECT_EQ(walk.Pop().id, five);
  EXPECT_FALSE(walk.Drop(five)) << "it was asked for";
  EXPECT_THAT(Take(&walk, 2), ElementsAre(Pair(0, 0), Pair(0, 1)));
}

TEST(Walk, GivesEachVisitAnIdOfItsOwn) {
  Walk walk = Walk::Loop(2);
  std::set<int64_t> ids;
  for (int i = 0; i < 20; ++i) {
    if (i % 3 == 0) walk.Append(i, 0, Urgency::kNow);
    ids.insert(walk.Pop().id);
  }
  EXPECT_EQ(ids.size(), 20);
}

}  // namespace
}  // namespace sluice
