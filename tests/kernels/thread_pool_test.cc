// The thread pool: ranges cover the loop once, for any count, and thousands of times.
#include "kernels/cpu/thread_pool.h"

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(ThreadPool, RangesCoverTheLoopExactlyOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.num_threads(), threads);
    for (int64_t count : {0, 1, 2, 3, 7, 64, 1000}) {
      for (int64_t grain : {1, 3, 100}) {
        std::vector<std::atomic<int>> visits(count);
        std::atomic<int> short_ranges = 0;
        pool.Run(count, grain, [&](int64_t begin, int64_t end) {
          ASSERT_LT(begin, end);
          if (end - begin < grain) short_ranges.fetch_add(1);
          for (int64_t i = begin; i < end; ++i) visits[i].fetch_add(1);
        });
        for (int64_t i = 0; i < count; ++i) {
          ASSERT_EQ(visits[i].load(), 1) << threads << " threads, " << i << " of " << count;
        }
        EXPECT_LE(short_ranges.load(), 1);
      }
    }
  }
}

TEST(ThreadPool, ServesThousandsOfLoopsOneAfterTheOther) {
  for (int threads : {2, 4}) {
    ThreadPool pool(threads);
    std::vector<int64_t> values(64);  // plain memory: Run must order loops for all threads
    for (int loop = 0; loop < 5000; ++loop) {
      pool.Run(values.size(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) values[i] += i;
      });
    }
    for (int64_t i = 0; i < static_cast<int64_t>(values.size()); ++i) {
      EXPECT_EQ(values[i], 5000 * i);
    }
  }
}

TEST(ThreadPool, WakesWorkersThatHaveGoneToSleep) {
  ThreadPool pool(2);
  // Both ranges wait for each other, so that the loop ends only if a worker has come.
  for (int loop = 0; loop < 20; ++loop) {
    std::atomic<int> inside = 0;
    pool.Run(2, 1, [&](int64_t, int64_t) {
      inside.fetch_add(1);
      while (inside.load() < 2) std::this_thread::yield();
    });
    // Longer than the workers spin; nothing is expected to happen in it.
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(500);
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
  }
}

TEST(ThreadPool, OneThreadRunsInline) {
  ThreadPool pool(1);
  const std::thread::id caller = std::this_thread::get_id();
  int calls = 0;
  pool.Run(100, 1, [&](int64_t begin, int64_t end) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 100);
    ++calls;
  });
  EXPECT_EQ(calls, 1);
}

TEST(ThreadPool, StartsAndStopsWithoutWork) {
  for (int i = 0; i < 50; ++i) ThreadPool pool(1 + i % 5);
}

}  // namespace
}  // namespace sluice
