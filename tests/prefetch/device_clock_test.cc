#include "prefetch/device_clock.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using Time = DeviceClock::Time;

Time At(int ms) { return Time(milliseconds(1000 + ms)); }

int Millis(Time time) {
  return static_cast<int>(std::chrono::round<milliseconds>(time - At(0)).count());
}

TEST(DeviceClock, PlacesSpansOneAfterTheOther) {
  DeviceClock clock(At(0));
  const auto first = clock.Place(0.010, 0.005, At(5), At(20));
  EXPECT_EQ(Millis(first.begin), 10);
  EXPECT_EQ(Millis(first.end), 15);
  const auto second = clock.Place(0.002, 0.003, At(5), At(21));
  EXPECT_EQ(Millis(second.begin), 17);
  EXPECT_EQ(Millis(second.end), 20);
}

TEST(DeviceClock, NothingEndsAfterItWasSeenToBeOver) {
  DeviceClock clock(At(0));  // a device whose seconds are longer than the host's
  const auto span = clock.Place(0.010, 0.010, At(0), At(16));
  EXPECT_EQ(Millis(span.begin), 6);
  EXPECT_EQ(Millis(span.end), 16);
  EXPECT_EQ(Millis(clock.Place(0, 0.001, At(0), At(30)).begin), 16) << "the clock is set";
}

TEST(DeviceClock, NothingBeginsBeforeItWasAskedFor) {
  DeviceClock clock(At(0));
  const auto span = clock.Place(0.010, 0.002, At(15), At(30));
  EXPECT_EQ(Millis(span.begin), 15);
  EXPECT_EQ(Millis(span.end), 17);
  // Both at once: seen wins, and what came before stays before.
  const auto squeezed = clock.Place(0, 0.010, At(19), At(20));
  EXPECT_EQ(Millis(squeezed.begin), 17);
  EXPECT_EQ(Millis(squeezed.end), 20);
}

TEST(KernelSums, SplitTheTimeOfTheComputeStream) {
  struct Case {
    const char* what;
    KernelTimes times;
    double kernels, disk, copy;
  };
  for (const Case& c : {
           Case{"the copy was there", {.copy_late = -3, .until_end = 2}, 2, 0, 0},
           Case{"the copy came late", {.copy_late = 3, .until_end = 5}, 2, 0, 3},
           Case{"the copy is never later than the end", {.copy_late = 6, .until_end = 5}, 0, 0, 5},
           Case{"the host waited for the disk",
                {.paused = 4, .until_end = 2, .host_disk = 4},
                2,
                4,
                0},
           Case{"the kernels before hid half of that",
                {.paused = 2, .until_end = 2, .host_disk = 4},
                2,
                2,
                0},
           Case{"the host waited for both",
                {.paused = 2, .until_end = 2, .host_disk = 3, .host_copy = 1},
                2,
                1.5,
                0.5},
           Case{"a pause between passes", {.paused = 9, .until_end = 2, .host_disk = 1}, 2, 1, 0},
           Case{"the host did not wait", {.paused = 9, .until_end = 2}, 2, 0, 0},
           Case{"a device's clock that ran backwards",
                {.paused = -1, .until_end = -1, .host_disk = 1},
                0,
                0,
                0},
       }) {
    SCOPED_TRACE(c.what);
    KernelSums sums;
    sums.Add(c.times);
    EXPECT_DOUBLE_EQ(sums.kernel_seconds, c.kernels);
    EXPECT_DOUBLE_EQ(sums.wait_disk_seconds, c.disk);
    EXPECT_DOUBLE_EQ(sums.wait_copy_seconds, c.copy);
  }
}

}  // namespace
}  // namespace sluice
