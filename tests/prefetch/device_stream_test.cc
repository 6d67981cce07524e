// Slabs through host and device rings, on a device whose copies and kernels come late and out of
// step.
#include "prefetch/device_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "prefetch/io/host_buffer.h"
#include "tests/prefetch/late_device.h"
#include "tests/prefetch/test_store.h"

namespace sluice {
namespace {

using testing::HasSubstr;

const std::vector<int64_t> kSizesOnDevice = {1,    64,    4095, 4096,  4097, 16128,
                                             8191, 30000, 12,   65536, 4096};

bool Nothing(int) { return false; }

// A store whose slabs `kept` stay on the device and `resident` in host memory, streamed to
// `device`.
struct Pipeline {
  Pipeline(
      LateDevice* device_in, int64_t host_ring, int64_t device_ring,
      const std::function<bool(int)>& kept = Nothing,
      const std::function<bool(int)>& resident = Nothing,
      const std::function<void(TestStore&)>& damage = [](TestStore&) {},
      int64_t max_bytes_per_s = 0, const std::function<bool(int)>& host = Nothing,
      const std::function<bool(int)>& follows = Nothing)
      : device(device_in), store(kSizesOnDevice, 3, resident) {
    damage(store);
    std::vector<StreamSlab> host_cycle = store.cycle();
    std::vector<DeviceSlab> cycle;
    for (size_t i = 0; i < host_cycle.size(); ++i) {
      const bool stays = kept(static_cast<int>(i));
      host_cycle[i].first_walk_only = stays;
      cycle.push_back(
          {host_cycle[i].bytes, stays, host(static_cast<int>(i)), follows(static_cast<int>(i))});
    }
    auto slabs = SlabStream::Create(
        store.paths(), host_cycle,
        {.io = {.kind = IoKind::kThreads}, .ring_bytes = host_ring, .device = device});
    EXPECT_TRUE(slabs.ok()) << slabs.status();
    compute = *device->NewStream();
    auto created = DeviceStream::Create(*std::move(slabs), cycle,
                                        {.device = device,
                                         .compute = compute.get(),
                                         .ring_bytes = device_ring,
                                         .max_bytes_per_s = max_bytes_per_s});
    status = created.status();
    if (created.ok()) stream = *std::move(created);
  }

  // Takes `count` slabs; a kernel a slab compares what it finds when it runs.
  void Walk(int count) {
    for (int i = 0; i < count;) {
      absl::StatusOr<Lease> lease = stream->Next();
      ASSERT_TRUE(lease.ok()) << lease.status();
      ASSERT_EQ(lease->slab(), next % static_cast<int>(kSizesOnDevice.size()));
      ++leases;
      on_host += lease->on_host();
      next += lease->num_slabs();
      i += lease->num_slabs();
      LaunchCompare(*lease);
    }
  }
  void LaunchCompare(const Lease& lease) {
    absl::Span<const std::byte> got = lease.bytes();
    for (int i = 0; i < lease.num_slabs(); ++i) {
      const absl::Span<const std::byte> want = store.slab(lease.slab() + i);
      ASSERT_GE(got.size(), want.size());
      device->Launch(compute.get(), [this, got, want] {
        if (std::memcmp(got.data(), want.data(), want.size()) != 0) ++wrong;
      });
      got.remove_prefix(want.size());
    }
    ASSERT_TRUE(got.empty());
  }

  LateDevice* device;
  TestStore store;
  std::unique_ptr<Stream> compute;
  std::unique_ptr<DeviceStream> stream;
  absl::Status status;
  int next = 0;
  int leases = 0;
  int on_host = 0;  // of them
  std::atomic<int> wrong = 0;
};

TEST(DeviceStream, KernelsFindEverySlabWhateverTheRingsAndTheOrder) {
  for (uint32_t seed = 0; seed < 6; ++seed) {
    for (const int64_t host_ring : {65536, 65536 + 4096, 2 * 65536}) {
      for (const int64_t device_ring : {65536, 65536 + 4096, 3 * 65536}) {
        SCOPED_TRACE(testing::Message()
                     << "seed " << seed << ", rings " << host_ring << " " << device_ring);
        LateDevice device(seed);
        Pipeline pipeline(&device, host_ring, device_ring);
        ASSERT_TRUE(pipeline.status.ok()) << pipeline.status;
        pipeline.Walk(2 * kSizesOnDevice.size() + 3);
        ASSERT_TRUE(pipeline.compute->Finish().ok());
        EXPECT_EQ(pipeline.wrong, 0);
        EXPECT_LE(device.most_events(), 64) << "events are used again";
      }
    }
  }
}

// The check above is worth something only if it sees what a forgotten wait does.
TEST(DeviceStream, WithoutWaitsKernelsWouldFindWrongBytes) {
  int wrong = 0;
  for (uint32_t seed = 0; seed < 20 && wrong == 0; ++seed) {
    LateDevice device(seed, {.ignore_waits = true});
    Pipeline pipeline(&device, 2 * 65536, 65536 + 4096);
    pipeline.Walk(3 * kSizesOnDevice.size());
    ASSERT_TRUE(pipeline.compute->Finish().ok());
    wrong += pipeline.wrong;
  }
  EXPECT_GT(wrong, 0);
}

TEST(DeviceStream, KeptSlabsAreReadAndCopiedOnce) {
  const auto even = [](int slab) { return slab % 2 == 0; };
  const auto third = [](int slab) { return slab % 3 == 1 && slab % 2 == 1; };
  for (uint32_t seed = 0; seed < 4; ++seed) {
    LateDevice device(seed);
    Pipeline pipeline(&device, 2 * 65536, 65536, even, third);
    ASSERT_TRUE(pipeline.status.ok()) << pipeline.status;
    pipeline.Walk(4 * kSizesOnDevice.size());
    ASSERT_TRUE(pipeline.compute->Finish().ok());
    EXPECT_EQ(pipeline.wrong, 0);
    int64_t first = 0, each = 0;
    for (size_t i = 0; i < kSizesOnDevice.size(); ++i)
      (even(i) ? first : each) += kSizesOnDevice[i];
    const DeviceStreamCounters counters = pipeline.stream->counters();
    EXPECT_GE(counters.bytes_copied, first + 4 * each);
    EXPECT_LE(counters.bytes_copied, first + 5 * each) << "one walk ahead at the most";
    EXPECT_GT(device.pinned(), 0);
  }
}

// Those that follow each other lie without gaps, and are one lease once all of them are there; a
// slab that is not kept ends a run.
TEST(DeviceStream, KeptSlabsThatFollowEachOtherComeTogether) {
  const int n = static_cast<int>(kSizesOnDevice.size());
  const auto all = [](int) { return true; };
  struct Case {
    const char* name;
    std::function<bool(int)> kept;
    std::function<bool(int)> follows;
    int leases;  // of a walk
  };
  const Case kCases[] = {
      {"all are one", all, all, 1},
      {"the first of a walk follows none", all, [](int slab) { return slab == 0; }, n},
      {"threes", all, [](int slab) { return slab % 3 != 0; }, (n + 2) / 3},
      {"no run without the fifth", [](int slab) { return slab != 5; }, all, 3},
      {"every other slab is streamed", [](int slab) { return slab % 2 == 0; }, all, n},
  };
  for (const Case& c : kCases) {
    for (uint32_t seed = 0; seed < 4; ++seed) {
      SCOPED_TRACE(testing::Message() << c.name << ", seed " << seed);
      LateDevice device(seed);
      Pipeline pipeline(
          &device, 2 * 65536, 65536, c.kept, Nothing, [](TestStore&) {}, 0, Nothing, c.follows);
      ASSERT_TRUE(pipeline.status.ok()) << pipeline.status;
      pipeline.stream->TimeEveryLease(seed % 2 == 0);
      pipeline.Walk(n);
      EXPECT_EQ(pipeline.leases, n) << "as they come";
      pipeline.leases = 0;
      pipeline.Walk(2 * n);
      EXPECT_EQ(pipeline.leases, 2 * c.leases);
      ASSERT_TRUE(pipeline.stream->Settle().ok());
      EXPECT_EQ(pipeline.wrong, 0);
    }
  }
}

// What is kept takes no more than its bytes, rounded up once a run.
TEST(DeviceStream, KeptSlabsThatFollowEachOtherHaveNoGaps) {
  std::vector<DeviceSlab> cycle = {{.bytes = 64, .kept = true},
                                   {.bytes = 64, .kept = true, .follows = true}};
  EXPECT_EQ(DeviceStream::MemoryBytes(cycle, 0), 4096);
  cycle[1].follows = false;
  EXPECT_EQ(DeviceStream::MemoryBytes(cycle, 4097), 4 * 4096);
  cycle[1] = {.bytes = 64, .follows = true};
  EXPECT_EQ(DeviceStream::MemoryBytes(cycle, 4096), 2 * 4096);
}

// Slabs of the host's are handed out there in walks that ask for it, but for those that are on
// their way when it is asked; they are copied in all others. Nothing else changes.
TEST(DeviceStream, LeavesSlabsOnTheHostInWalksThatAskForIt) {
  const int n = static_cast<int>(kSizesOnDevice.size());
  const auto kept = [](int slab) { return slab % 5 == 1; };
  for (const int every : {1, 2, 3}) {
    const auto host = [&](int slab) { return slab % every == 0 && !kept(slab); };
    for (uint32_t seed = 0; seed < 8; ++seed) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", every " << every);
      LateDevice device(seed);
      Pipeline pipeline(
          &device, 2 * 65536, 65536 + 4096, kept, host, [](TestStore&) {}, 0, host);
      ASSERT_TRUE(pipeline.status.ok()) << pipeline.status;
      EXPECT_EQ(pipeline.stream->ComputeOnHost(), n) << "the first walk reads them";
      pipeline.Walk(n);
      EXPECT_EQ(pipeline.on_host, 0);
      for (int i = 0; i < n; ++i) {
        if (!host(i)) continue;
        EXPECT_EQ(pipeline.stream->HostBytes(i), pipeline.store.slab(i));
      }
      for (int walk = 0; walk < 8; ++walk) {
        const bool ask = (seed >> walk % 3 & 1) != 0;
        const int from = ask ? pipeline.stream->ComputeOnHost() : n;
        int want = 0;
        for (int i = from; i < n; ++i) want += host(i);
        pipeline.on_host = 0;
        pipeline.Walk(n);
        EXPECT_EQ(pipeline.on_host, want);
      }
      ASSERT_TRUE(pipeline.stream->Settle().ok());
      EXPECT_EQ(pipeline.wrong, 0);
    }
  }
}

TEST(DeviceStream, CopiesNothingOfACycleThatStaysOnTheHost) {
  LateDevice device(3);
  const auto all = [](int) { return true; };
  Pipeline pipeline(
      &device, 2 * 65536, 65536, Nothing, all, [](TestStore&) {}, 0, all);
  const int n = static_cast<int>(kSizesOnDevice.size());
  pipeline.Walk(n);
  const int from = pipeline.stream->ComputeOnHost();
  const int64_t copied = pipeline.stream->counters().slabs_copied;
  pipeline.Walk(n);
  EXPECT_EQ(pipeline.on_host, n - from);
  ASSERT_TRUE(pipeline.stream->Settle().ok());
  EXPECT_GE(pipeline.stream->counters().slabs_copied, copied);
  EXPECT_EQ(pipeline.wrong, 0);
  LateDevice other(3);
  EXPECT_EQ(Pipeline(
                &other, 65536, 65536, all, Nothing, [](TestStore&) {}, 0, all)
                .status.code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(DeviceStream, KeepsTheWholeCycleWithoutARing) {
  LateDevice device(1);
  Pipeline pipeline(&device, 2 * 65536, 0, [](int) { return true; });
  ASSERT_TRUE(pipeline.status.ok()) << pipeline.status;
  pipeline.Walk(3 * kSizesOnDevice.size());
  ASSERT_TRUE(pipeline.compute->Finish().ok());
  EXPECT_EQ(pipeline.wrong, 0);
  EXPECT_EQ(pipeline.stream->counters().slabs_copied, static_cast<int64_t>(kSizesOnDevice.size()));
}

TEST(DeviceStream, SaysWhichSlabIsDamagedAfterTheOnesBeforeIt) {
  LateDevice device(3);
  Pipeline pipeline(&device, 2 * 65536, 65536, Nothing, Nothing,
                    [](TestStore& store) { store.FlipByte(5, 100); });
  pipeline.Walk(5);
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = pipeline.stream->Next().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_THAT(status.message(), HasSubstr("slab 5"));
  }
}

TEST(DeviceStream, ALostDeviceEndsTheWalk) {
  for (const int64_t failing : {0, 1, 7}) {
    LateDevice device(4, {.failing_copy = failing});
    Pipeline pipeline(&device, 2 * 65536, 2 * 65536);
    absl::Status status;
    for (int i = 0; i <= failing && status.ok(); ++i) status = pipeline.stream->Next().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_THAT(status.message(), HasSubstr("the device is lost"));
  }
}

TEST(DeviceStream, RefusesWhatCannotFit) {
  LateDevice device(5);
  EXPECT_EQ(Pipeline(&device, 65536, 65535).status.code(), absl::StatusCode::kInvalidArgument);
  LateDevice small(5, {.memory_bytes = 65535});
  EXPECT_EQ(Pipeline(&small, 65536, 65536).status.code(), absl::StatusCode::kResourceExhausted);
}

TEST(DeviceStream, SaysWhenLeasesTakeUpTheRoom) {
  LateDevice device(6);
  Pipeline pipeline(&device, 2 * 65536, 65536);
  std::vector<Lease> held;
  absl::Status status;
  for (size_t i = 0; i < kSizesOnDevice.size(); ++i) {
    absl::StatusOr<Lease> lease = pipeline.stream->Next();
    status = lease.status();
    if (!lease.ok()) break;
    held.push_back(*std::move(lease));
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  const int taken = static_cast<int>(held.size());
  held.clear();
  pipeline.next = taken;
  pipeline.Walk(kSizesOnDevice.size());
  ASSERT_TRUE(pipeline.compute->Finish().ok());
  EXPECT_EQ(pipeline.wrong, 0);
}

TEST(DeviceStream, MayBeClosedAnywhere) {
  for (uint32_t seed = 0; seed < 12; ++seed) {
    LateDevice device(seed);
    {
      Pipeline pipeline(&device, seed % 2 == 0 ? 65536 : 3 * 65536,
                        seed % 3 == 0 ? 65536 : 3 * 65536);
      pipeline.Walk(seed);
    }
    EXPECT_EQ(device.allocated(), 0);
    EXPECT_EQ(device.pinned(), 0);
  }
}

void ExpectTimesAddUp(const DeviceStreamCounters& c) {
  constexpr double kRounding = 1e-6;
  EXPECT_NEAR(c.issue_seconds + c.host_wait_seconds + c.copy_wait_seconds + c.room_wait_seconds +
                  c.held_back_seconds + c.ended_seconds,
              c.wall_seconds, kRounding);
  EXPECT_NEAR(c.link_busy_seconds + c.link_idle_seconds, c.wall_seconds, kRounding);
  EXPECT_GE(c.link_idle_seconds, -kRounding);
  EXPECT_GE(c.wait_disk_seconds, 0);
  EXPECT_GE(c.wait_copy_seconds, 0);
  EXPECT_LE(c.kernel_seconds + c.wait_disk_seconds + c.wait_copy_seconds,
            c.wall_seconds + kRounding);
}

TEST(DeviceStream, TimesOfCopyingLinkAndKernelsAddUp) {
  for (uint32_t seed = 0; seed < 4; ++seed) {
    for (const bool every : {false, true}) {
      LateDevice device(seed);
      Pipeline pipeline(&device, 65536 + 4096, 65536, [](int slab) { return slab % 3 == 0; });
      pipeline.stream->TimeEveryLease(every);
      pipeline.Walk(3 * kSizesOnDevice.size());
      ASSERT_TRUE(pipeline.stream->Settle().ok());
      const DeviceStreamCounters counters = pipeline.stream->counters();
      ExpectTimesAddUp(counters);
      EXPECT_GT(counters.link_busy_seconds, 0);
      EXPECT_GT(counters.kernel_seconds, 0);
    }
  }
}

// A lease of several slabs is one move.
TEST(DeviceStream, StampsSlabsThatComeTogetherOnce) {
  const auto all = [](int) { return true; };
  const int n = static_cast<int>(kSizesOnDevice.size());
  LateDevice device(11);
  Pipeline pipeline(
      &device, 2 * 65536, 0, all, Nothing, [](TestStore&) {}, 0, Nothing,
      [](int slab) { return slab % 4 != 0; });
  pipeline.stream->TimeEveryLease(true);
  pipeline.Walk(2 * n);
  ASSERT_TRUE(pipeline.stream->Settle().ok());
  std::vector<std::pair<int64_t, int>> used;
  for (const TimelineEvent& event : pipeline.stream->TakeTimeline()) {
    if (event.hop != Hop::kDevice || event.to != SlabState::kLeased || event.pass == 0) continue;
    used.emplace_back(event.slab, event.num_slabs);
  }
  EXPECT_THAT(used,
              testing::ElementsAre(testing::Pair(0, 4), testing::Pair(4, 4), testing::Pair(8, 3)));
}

// Each copy and each lease has a beginning and an end, in order; those of slabs that stay if they
// are asked for.
TEST(DeviceStream, StampsCopiesAndKernelsInOrder) {
  const auto kept = [](int slab) { return slab % 2 == 1; };
  for (const bool every : {false, true}) {
    LateDevice device(11);
    Pipeline pipeline(&device, 2 * 65536, 65536, kept);
    pipeline.stream->TimeEveryLease(every);
    const int n = static_cast<int>(kSizesOnDevice.size());
    pipeline.Walk(2 * n);
    ASSERT_TRUE(pipeline.stream->Settle().ok());
    std::vector<TimelineEvent> copies, kernels;
    for (const TimelineEvent& event : pipeline.stream->TakeTimeline()) {
      if (event.hop == Hop::kHost) {
        EXPECT_NE(event.to, SlabState::kLeased) << "copies stand for the host's leases";
        continue;
      }
      const bool copy = event.to == SlabState::kReading || event.to == SlabState::kReady;
      (copy ? copies : kernels).push_back(event);
    }
    for (const auto* events : {&copies, &kernels}) {
      for (size_t i = 1; i < events->size(); ++i)
        EXPECT_LE((*events)[i - 1].time, (*events)[i].time) << i;
      for (size_t i = 0; i + 1 < events->size(); i += 2) {
        EXPECT_EQ((*events)[i].pass, (*events)[i + 1].pass);
        EXPECT_EQ((*events)[i].slab, (*events)[i + 1].slab);
      }
    }
    std::vector<int64_t> used;
    for (size_t i = 0; i < kernels.size(); i += 2) {
      EXPECT_EQ(kernels[i].to, SlabState::kLeased);
      used.push_back(kernels[i].pass * n + kernels[i].slab);
    }
    std::vector<int64_t> want;
    for (int i = 0; i < 2 * n; ++i) {
      if (i < n || !kept(i % n) || every) want.push_back(i);
    }
    EXPECT_EQ(used, want);
    EXPECT_FALSE(copies.empty()) << "the last ones may not have been looked at";
  }
}

// 1.5 MB at 10 MB/s, less what the simulated link may be ahead by: a timer's lateness of 2 ms or
// two slabs.
TEST(DeviceStream, IsNoFasterThanTheSimulatedLink) {
  constexpr int64_t kRate = 10'000'000;
  LateDevice device(12);
  Pipeline pipeline(
      &device, 2 * 65536, 2 * 65536, Nothing, Nothing, [](TestStore&) {}, kRate);
  int64_t walk = 0;
  for (const int64_t bytes : kSizesOnDevice) walk += bytes;
  const int walks = static_cast<int>(1'500'000 / walk) + 1;
  const auto start = std::chrono::steady_clock::now();
  pipeline.Walk(walks * static_cast<int>(kSizesOnDevice.size()));
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  const double least = static_cast<double>(walks * walk - 2 * 65536) / kRate;
  EXPECT_GE(taken.count(), least);
  ASSERT_TRUE(pipeline.stream->Settle().ok());
  EXPECT_EQ(pipeline.wrong, 0);
  const DeviceStreamCounters counters = pipeline.stream->counters();
  ExpectTimesAddUp(counters);
  EXPECT_GT(counters.held_back_seconds, 0);
  EXPECT_GE(counters.link_busy_seconds, least / 2)
      << "as long as the simulated link would have, of copies looked at";
}

// What else goes over the link takes its time from the slabs.
TEST(DeviceStream, CopiesOfOthersTakeTheSimulatedLinksTime) {
  constexpr int64_t kRate = 10'000'000;
  constexpr int64_t kPages = 1'000'000;
  LateDevice device(13);
  Pipeline pipeline(
      &device, 2 * 65536, 2 * 65536, Nothing, Nothing, [](TestStore&) {}, kRate);
  int64_t walk = 0;
  for (const int64_t bytes : kSizesOnDevice) walk += bytes;
  const auto start = std::chrono::steady_clock::now();
  pipeline.Walk(1);
  pipeline.stream->link()->Begin(kPages, std::chrono::steady_clock::now());
  pipeline.Walk(3 * static_cast<int>(kSizesOnDevice.size()) - 1);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  EXPECT_GE(taken.count(), static_cast<double>(3 * walk + kPages - 6 * 65536) / kRate);
  ASSERT_TRUE(pipeline.stream->Settle().ok());
  EXPECT_EQ(pipeline.wrong, 0);
}

}  // namespace
}  // namespace sluice
