// Placement of slabs: capacities hold, what stays is spread over the walk.
#include "prefetch/residency.h"

#include <cstdint>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::Each;

// Slabs that take whole pages.
std::vector<SlabSize> Sizes(const std::vector<int64_t>& stored) {
  std::vector<SlabSize> sizes;
  for (const int64_t bytes : stored) sizes.push_back({bytes, (bytes + 4095) / 4096 * 4096});
  return sizes;
}

TEST(Residency, KeepsEverythingWhereItFits) {
  const std::vector<int64_t> slabs = {4096, 1, 10000};
  const Residency r = PlaceSlabs(Sizes(slabs), {4096 + 4096 + 12288});
  EXPECT_THAT(r.tier, Each(0));
  EXPECT_EQ(r.streamed_bytes, 0);
}

TEST(Residency, StreamsEverythingWithoutCapacity) {
  const std::vector<int64_t> slabs = {4096, 1, 10000};
  const Residency r = PlaceSlabs(Sizes(slabs), {0});
  EXPECT_THAT(r.tier, Each(kOnDisk));
  EXPECT_EQ(r.streamed_bytes, 14097);
  EXPECT_EQ(PlaceSlabs(Sizes(slabs), {}).streamed_bytes, 14097);
  EXPECT_EQ(PlaceSlabs({}, {100}).streamed_bytes, 0);
}

TEST(Residency, SpreadsEvenlyOverTheWalk) {
  const std::vector<int64_t> slabs(100, 8192);
  for (const int64_t fits : {1, 10, 25, 50, 99}) {
    const Residency r = PlaceSlabs(Sizes(slabs), {fits * 8192 + 4095});
    int64_t resident = 0;
    for (size_t i = 0; i < slabs.size(); ++i) {
      resident += r.tier[i] == 0;
      // After i + 1 slabs, the resident share is within one slab of the whole's.
      EXPECT_NEAR(static_cast<double>(resident), (i + 1) * fits / 100.0, 1.01)
          << fits << " at " << i;
    }
    EXPECT_EQ(resident, fits);
    EXPECT_EQ(r.tier_bytes[0], fits * 8192);
  }
}

TEST(Residency, KeepsBriefSlabsFirst) {
  std::vector<SlabSize> slabs(10, {.stored_bytes = 8192, .place_bytes = 8192});
  for (int i = 6; i < 10; ++i) slabs[i].brief = true;
  const auto kept = [&](int64_t fits) {
    const Residency r = PlaceSlabs(slabs, {fits * 8192});
    int first = 0, brief = 0;
    for (int i = 0; i < 10; ++i) (i < 6 ? first : brief) += r.tier[i] == 0;
    return std::pair(first, brief);
  };
  EXPECT_EQ(kept(2), std::pair(0, 2));
  EXPECT_EQ(kept(4), std::pair(0, 4));
  EXPECT_EQ(kept(7), std::pair(3, 4));
  EXPECT_EQ(kept(10), std::pair(6, 4));
}

TEST(Residency, StreamsOfTheBriefSlabsWhatTheDiskReadsBesideThem) {
  std::vector<SlabSize> slabs(100, {.stored_bytes = 8192, .place_bytes = 8192});
  for (int i = 60; i < 100; ++i) slabs[i].brief = true;
  const auto kept = [&](int64_t fits, double brief_streamed) {
    const Residency r = PlaceSlabs(slabs, {fits * 8192}, brief_streamed);
    int first = 0, brief = 0;
    for (int i = 0; i < 100; ++i) (i < 60 ? first : brief) += r.tier[i] == 0;
    return std::pair(first, brief);
  };
  EXPECT_EQ(kept(20, 0.25), std::pair(0, 20));
  EXPECT_EQ(kept(30, 0.25), std::pair(0, 30));
  EXPECT_EQ(kept(45, 0.25), std::pair(15, 30)) << "a quarter of 40 is streamed";
  EXPECT_EQ(kept(75, 0.25), std::pair(45, 30));
  EXPECT_EQ(kept(90, 0.25), std::pair(54, 36)) << "no larger part than of the others";
  EXPECT_EQ(kept(100, 0.25), std::pair(60, 40));
  EXPECT_EQ(kept(50, 1), std::pair(30, 20));
}

TEST(Residency, NeverExceedsACapacityAndUsesTheNextTier) {
  std::vector<int64_t> slabs;
  for (int i = 1; i < 200; ++i) slabs.push_back(i * 37 % 9000 + 1);
  const std::vector<int64_t> capacities = {100000, 250001};
  const Residency r = PlaceSlabs(Sizes(slabs), capacities);
  std::vector<int64_t> used(2);
  int64_t streamed = 0;
  for (size_t i = 0; i < slabs.size(); ++i) {
    if (r.tier[i] == kOnDisk) {
      streamed += slabs[i];
    } else {
      used[r.tier[i]] += Sizes(slabs)[i].place_bytes;
    }
  }
  EXPECT_EQ(used, r.tier_bytes);
  EXPECT_EQ(streamed, r.streamed_bytes);
  for (int t = 0; t < 2; ++t) {
    EXPECT_LE(used[t], capacities[t]);
    EXPECT_GT(used[t], capacities[t] - 12288) << "no more than a slab of room is left";
  }
}

}  // namespace
}  // namespace sluice
