// Which hidden rows are kept, and which take the place of others.
#include "runtime/speculate/hidden_window.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr int64_t kRowSize = 3;

// Rows of tokens `first` .. `end` - 1: all values of a row are its token's number, and `mark`.
std::vector<float> Rows(int64_t first, int64_t end, float mark = 0) {
  std::vector<float> rows;
  for (int64_t token = first; token < end; ++token) {
    rows.insert(rows.end(), kRowSize, static_cast<float>(token) + mark);
  }
  return rows;
}

void ExpectRows(const HiddenWindow& window, int64_t first, int64_t end) {
  EXPECT_EQ(window.first(), first);
  EXPECT_EQ(window.end(), end);
  for (int64_t token = window.first(); token < window.end(); ++token) {
    for (const float value : window.Row(token)) EXPECT_EQ(value, static_cast<float>(token));
  }
}

TEST(HiddenWindow, KeepsAtLeastTheLastHalf) {
  std::mt19937 random(1);
  for (const int64_t most : {2, 5, 8, 64}) {
    HiddenWindow window(kRowSize, most);
    int64_t end = 0;
    for (int i = 0; i < 300; ++i) {
      const int64_t count = 1 + static_cast<int64_t>(random() % (i % 4 == 0 ? 2 * most : 3));
      window.Add(end, Rows(end, end + count));
      end += count;
      ASSERT_EQ(window.end(), end);
      ASSERT_LE(window.end() - window.first(), most);
      ASSERT_GE(window.end() - window.first(), std::min(end, most / 2));
      ExpectRows(window, window.first(), end);
    }
  }
}

TEST(HiddenWindow, LeavesRowsThatComeAgainAsTheyAre) {
  HiddenWindow window(kRowSize, 10);
  window.Add(4, Rows(4, 8));
  window.Add(0, Rows(0, 6, 0.5F));
  ExpectRows(window, 4, 8);
  std::vector<float> rows = Rows(6, 8, 0.5F);
  const std::vector<float> more = Rows(8, 10);
  rows.insert(rows.end(), more.begin(), more.end());
  window.Add(6, rows);
  ExpectRows(window, 4, 10);
}

TEST(HiddenWindow, BeginsAnewBehindAGap) {
  HiddenWindow window(kRowSize, 10);
  window.Add(0, Rows(0, 4));
  window.Add(5, Rows(5, 7));
  ExpectRows(window, 5, 7);
  window.Truncate(3);
  EXPECT_TRUE(window.empty());
  window.Add(2, Rows(2, 4));
  ExpectRows(window, 2, 4);
}

TEST(HiddenWindow, TakesOlderRowsInFront) {
  const auto older = [](int64_t first, int64_t end) {
    HiddenWindow window(kRowSize, 10);
    window.Add(first, Rows(first, end));
    return window;
  };
  HiddenWindow window(kRowSize, 10);
  window.AddInFront(older(1, 5));
  ExpectRows(window, 1, 5);
  window = older(5, 8);
  window.AddInFront(older(2, 6));
  ExpectRows(window, 2, 8);
  window = older(5, 8);
  window.AddInFront(older(2, 4));  // row 4 is missing
  ExpectRows(window, 5, 8);
}

}  // namespace
}  // namespace sluice
