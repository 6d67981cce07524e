// Streams over real files: the bytes, whatever the engine, the ring, the depth and the order of
// leases.
#include "prefetch/slab_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "prefetch/io/host_buffer.h"
#include "tests/prefetch/test_store.h"

namespace sluice {
namespace {

using testing::HasSubstr;

const std::vector<int64_t> kOddSizes = {1,    64,    4095,   4096,    4097, 2304 * 7, 65536,
                                        8191, 70000, 131073, 1048576, 12,   1300001,  4096};

std::unique_ptr<SlabStream> Open(const TestStore& store, const StreamOptions& options) {
  auto stream = SlabStream::Create(store.paths(), store.cycle(), options);
  EXPECT_TRUE(stream.ok()) << stream.status();
  return stream.ok() ? *std::move(stream) : nullptr;
}

bool Equal(absl::Span<const std::byte> a, absl::Span<const std::byte> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

bool Holds(const Lease& lease, const TestStore& store) {
  return Equal(lease.bytes(), store.slab(lease.slab()));
}

// Takes `count` slabs, one at a time, and compares them.
void WalkOver(SlabStream* stream, const TestStore& store, int count) {
  const int n = static_cast<int>(store.cycle().size());
  for (int i = 0; i < count; ++i) {
    absl::StatusOr<Lease> lease = stream->Next();
    ASSERT_TRUE(lease.ok()) << lease.status();
    ASSERT_EQ(lease->slab(), i % n);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(lease->bytes().data()) % 4096, 0);
    ASSERT_TRUE(Holds(*lease, store)) << i;
  }
}

class StreamTest : public testing::TestWithParam<EngineCase> {
 protected:
  void SetUp() override {
    if (const std::string reason = WhyNot(GetParam()); !reason.empty()) GTEST_SKIP() << reason;
  }
};

INSTANTIATE_TEST_SUITE_P(All, StreamTest, testing::ValuesIn(EngineCases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(StreamTest, DeliversEverySlabInOrderWalkAfterWalk) {
  const TestStore store(kOddSizes, 3);
  const int64_t least = RoundUp(store.largest(), 4096);
  for (int64_t ring_bytes : {least, least + 4096, least * 3 / 2, 2 * least, 7 * least}) {
    for (int depth : {1, 3, 16}) {
      for (int64_t read_bytes : {65536, 1 << 20}) {
        SCOPED_TRACE(testing::Message() << "ring " << ring_bytes << ", depth " << depth);
        auto stream =
            Open(store, {.io = GetParam().Options(depth, read_bytes), .ring_bytes = ring_bytes});
        ASSERT_NE(stream, nullptr);
        EXPECT_THAT(stream->io_description(), HasSubstr(GetParam().description));
        WalkOver(stream.get(), store, 2 * kOddSizes.size() + 3);
        EXPECT_EQ(stream->counters().ring_bytes, HostBuffer::RoundedBytes(ring_bytes));
      }
    }
  }
}

TEST_P(StreamTest, ReadsResidentSlabsOnceAndKeepsThem) {
  const int n = static_cast<int>(kOddSizes.size());
  for (int every : {1, 2, 3}) {
    const TestStore store(kOddSizes, 2, [every](int i) { return i % every == 0; });
    int64_t resident_bytes = 0, streamed_bytes = 0, streamed_room = 0;
    for (const StreamSlab& slab : store.cycle()) {
      if (slab.resident) {
        resident_bytes += slab.bytes;
      } else {
        streamed_bytes += slab.bytes;
        streamed_room = std::max(streamed_room, RoundUp(slab.bytes, 4096));
      }
    }
    auto stream = Open(store, {.io = GetParam().Options(4, 65536), .ring_bytes = streamed_room});
    ASSERT_NE(stream, nullptr);
    std::vector<const std::byte*> places(n);
    for (int i = 0; i < 3 * n; ++i) {
      absl::StatusOr<Lease> lease = stream->Next();
      ASSERT_TRUE(lease.ok()) << lease.status();
      ASSERT_TRUE(Holds(*lease, store));
      if (!store.cycle()[i % n].resident) continue;
      if (i < n) places[i] = lease->bytes().data();
      EXPECT_EQ(lease->bytes().data(), places[i % n]);
    }
    const StreamCounters counters = stream->counters();
    EXPECT_EQ(counters.slabs_leased, 3 * n);
    EXPECT_EQ(counters.bytes_leased, 3 * (resident_bytes + streamed_bytes));
    EXPECT_GE(counters.resident_bytes, resident_bytes);
    // Ahead of the last lease it may have read what fits the ring. A read of the last 4096 bytes of
    // a slab brings up to 4095 more.
    EXPECT_GE(counters.io.bytes_read, resident_bytes + 3 * streamed_bytes);
    EXPECT_LE(counters.io.bytes_read,
              resident_bytes + 3 * streamed_bytes + counters.ring_bytes + 4 * n * 4096);
  }
}

TEST_P(StreamTest, LeasesMayBeDroppedInAnyOrder) {
  const TestStore store(kOddSizes, 2, [](int i) { return i % 4 == 1; });
  auto stream =
      Open(store, {.io = GetParam().Options(4, 65536), .ring_bytes = 3 * store.largest()});
  ASSERT_NE(stream, nullptr);
  std::mt19937 random(5);
  std::vector<Lease> held;
  for (int i = 0; i < 200; ++i) {
    absl::StatusOr<Lease> lease = stream->Next();
    while (absl::IsFailedPrecondition(lease.status())) {
      ASSERT_FALSE(held.empty());
      held.erase(held.begin() + random() % held.size());
      lease = stream->Next();
    }
    ASSERT_TRUE(lease.ok()) << lease.status();
    ASSERT_EQ(lease->slab(), i % kOddSizes.size());
    held.push_back(*std::move(lease));
    for (const Lease& one : held) ASSERT_TRUE(Holds(one, store));
    if (random() % 3 == 0) held.erase(held.begin() + random() % held.size());
  }
}

TEST_P(StreamTest, ReadsRangesOfAnyAlignmentAmidTheStream) {
  const TestStore store({300000, 5000, 4000001, 4096}, 2);
  auto stream =
      Open(store, {.io = GetParam().Options(4, 65536), .ring_bytes = 3 * store.largest()});
  ASSERT_NE(stream, nullptr);
  std::mt19937 random(6);
  for (int count : {0, 1, 7, 512}) {
    std::vector<std::vector<std::byte>> rows;
    std::vector<SlabStream::Range> ranges;
    for (int i = 0; i < count; ++i) {
      const int file = random() % 2;
      const int64_t size = store.file(file).size();
      int64_t bytes = random() % 20000;
      if (i == 3) bytes = store.file(file).size();  // in one file more than the bounce buffer
      bytes = std::min(bytes, size);
      const int64_t offset = i == 5 ? size - bytes : random() % (size - bytes + 1);
      rows.emplace_back(bytes);
      ranges.push_back({file, offset, {}});
    }
    for (int i = 0; i < count; ++i) ranges[i].out = absl::MakeSpan(rows[i]);
    const absl::Status status = stream->ReadRanges(ranges);
    ASSERT_TRUE(status.ok()) << status;
    for (const SlabStream::Range& range : ranges) {
      ASSERT_TRUE(Equal(range.out, store.file(range.file).subspan(range.offset, range.out.size())));
    }
    WalkOver(stream.get(), store, 4);
  }
}

TEST_P(StreamTest, ReportsTheSlabWhoseByteFlipped) {
  TestStore store(kOddSizes, 2, [](int i) { return i == 5; });
  for (int bad : {9, 5, 2}) {  // streamed, resident, streamed; each before the last one
    store.FlipByte(bad, store.cycle()[bad].bytes - 1);
    auto stream =
        Open(store, {.io = GetParam().Options(8, 65536), .ring_bytes = 8 * store.largest()});
    ASSERT_NE(stream, nullptr);
    WalkOver(stream.get(), store, bad);
    for (int again = 0; again < 2; ++again) {
      const absl::Status status = stream->Next().status();
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      EXPECT_THAT(std::string(status.message()),
                  testing::MatchesRegex(store.paths()[bad % 2] + ": slab " + std::to_string(bad) +
                                        " at byte [0-9]+: XXH3 [0-9a-f]+, manifest says "
                                        "[0-9a-f]+; `sluice shard --repair MODEL STORE` .*"));
    }
  }
}

TEST_P(StreamTest, ReportsTheFileThatWasCutShort) {
  TestStore store({5000, 70000, 5000, 70000, 9000, 70000}, 2);
  store.Truncate(1, store.cycle()[3].offset + 50000);
  auto stream =
      Open(store, {.io = GetParam().Options(8, 16384), .ring_bytes = 8 * store.largest()});
  ASSERT_NE(stream, nullptr);
  WalkOver(stream.get(), store, 3);
  for (int again = 0; again < 2; ++again) {
    const absl::Status status = stream->Next().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(status.message()), HasSubstr(store.paths()[1] + ": "));
    EXPECT_THAT(std::string(status.message()), HasSubstr("the file ended at byte "));
    EXPECT_THAT(std::string(status.message()), HasSubstr("(slab 3 at byte "));
  }
  std::vector<std::byte> row(100);
  const SlabStream::Range there = {0, 4090, absl::MakeSpan(row)};
  EXPECT_TRUE(stream->ReadRanges({&there, 1}).ok());
  const SlabStream::Range cut = {1, store.cycle()[3].offset + 49950, absl::MakeSpan(row)};
  EXPECT_EQ(stream->ReadRanges({&cut, 1}).code(), absl::StatusCode::kUnavailable);
}

TEST_P(StreamTest, EndsCleanlyAtAnyMoment) {
  const TestStore store(kOddSizes, 2, [](int i) { return i % 3 == 0; });
  for (int taken : {0, 1, 5, 20}) {
    auto stream =
        Open(store, {.io = GetParam().Options(4, 65536), .ring_bytes = 4 * store.largest()});
    ASSERT_NE(stream, nullptr);
    WalkOver(stream.get(), store, taken);
  }
}

// A waiting Next() that is woken in time is in slab_stream_fault_test.cc, where the disk can be
// stopped.
TEST_P(StreamTest, StopsWhenCancelledFromAnotherThread) {
  const TestStore store(kOddSizes, 2);
  auto stream =
      Open(store, {.io = GetParam().Options(4, 65536), .ring_bytes = 2 * store.largest()});
  ASSERT_NE(stream, nullptr);
  std::thread canceller([&] { stream->Cancel(); });
  absl::Status status;
  while (status.ok()) status = stream->Next().status();
  canceller.join();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_TRUE(absl::IsCancelled(stream->Next().status()));
}

TEST_P(StreamTest, NeverStopsWhateverTheSizes) {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    std::vector<int64_t> sizes(1 + random() % 20);
    for (int64_t& size : sizes) size = 1 + random() % (random() % 2 == 0 ? 5000 : 200000);
    const int residents = random() % 4;  // of four slabs; by chance sometimes all
    const uint32_t seed = random();
    const TestStore store(sizes, 1 + random() % 3, [&](int i) {
      return (seed * 2654435761u + i * 40503u) % 7919 % 4 < residents;
    });
    const int64_t ring_bytes = store.largest() + 4096 + random() % (4 * store.largest());
    auto stream = Open(store, {.io = GetParam().Options(1 + random() % 8, 4096 << random() % 6),
                               .ring_bytes = ring_bytes,
                               .worker_threads = 1 + static_cast<int>(random() % 2)});
    ASSERT_NE(stream, nullptr);
    std::vector<Lease> held;
    for (int i = 0; i < 100; ++i) {
      absl::StatusOr<Lease> lease = stream->Next();
      while (absl::IsFailedPrecondition(lease.status())) {
        ASSERT_FALSE(held.empty()) << lease.status();
        held.erase(held.begin() + random() % held.size());
        lease = stream->Next();
      }
      ASSERT_TRUE(lease.ok()) << lease.status();
      ASSERT_EQ(lease->slab(), i % sizes.size());
      ASSERT_TRUE(Holds(*lease, store));
      if (random() % 2 == 0) held.push_back(*std::move(lease));
    }
  }
}

TEST(SlabStream, RefusesWhatCannotBeStreamed) {
  const TestStore store({5000, 9000}, 1);
  struct {
    const char* name;
    std::function<void(std::vector<StreamSlab>*, int64_t*)> damage;
    const char* message;
  } const cases[] = {
      {"a ring too small", [](auto*, int64_t* ring) { *ring = 8192; },
       "slab 1 of 12288 bytes does not fit a ring of 8192"},
      {"no ring", [](auto*, int64_t* ring) { *ring = 0; }, "slab 0 of 8192"},
      {"no slabs", [](auto* cycle, int64_t*) { cycle->clear(); }, "no slabs"},
      {"an empty slab", [](auto* cycle, int64_t*) { (*cycle)[1].bytes = 0; }, "slab 1 has 0 bytes"},
      {"an odd offset", [](auto* cycle, int64_t*) { (*cycle)[1].offset = 512; }, "at byte 512"},
      {"a file too many", [](auto* cycle, int64_t*) { (*cycle)[0].file = 1; }, "file 1 of 1"},
  };
  for (const auto& c : cases) {
    std::vector<StreamSlab> cycle = store.cycle();
    int64_t ring_bytes = 16384;
    c.damage(&cycle, &ring_bytes);
    const auto stream = SlabStream::Create(store.paths(), cycle, {.ring_bytes = ring_bytes});
    EXPECT_EQ(stream.status().code(), absl::StatusCode::kInvalidArgument) << c.name;
    EXPECT_THAT(std::string(stream.status().message()), HasSubstr(c.message));
  }
}

TEST(SlabStream, CountsItsMemory) {
  const std::vector<StreamSlab> cycle = {
      {.file = 0, .offset = 0, .bytes = 1, .resident = true},
      {.file = 0, .offset = 4096, .bytes = 4097, .resident = true},
      {.file = 0, .offset = 12288, .bytes = 50000}};
  const int64_t fixed = SlabStream::MemoryBytes({}, 0);
  const int64_t tables = SlabStream::MemoryBytes({&cycle[2], 1}, 0) - fixed;
  EXPECT_EQ(SlabStream::MemoryBytes(cycle, 0), fixed + 3 * tables + 3 * 4096);
  EXPECT_EQ(SlabStream::MemoryBytes({}, 50000), fixed + 53248);
  EXPECT_EQ(SlabStream::MemoryBytes({}, 50000, 1, 4097), fixed + 53248 + 8192);
  EXPECT_EQ(SlabStream::MemoryBytes({}, (2 << 20) + 1), fixed + (4 << 20));
}

TEST(SlabStream, GivesBackALeaseThatIsAssignedOver) {
  const TestStore store({9000, 9001, 9002}, 1);
  auto stream = Open(store, {.ring_bytes = 12288 * 2});
  ASSERT_NE(stream, nullptr);
  Lease first = *stream->Next();
  Lease second = *stream->Next();
  EXPECT_TRUE(absl::IsFailedPrecondition(stream->Next().status()));
  first = std::move(second);
  EXPECT_EQ(first.slab(), 1);
  EXPECT_TRUE(second.bytes().empty());
  const absl::StatusOr<Lease> third = stream->Next();
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_TRUE(Holds(first, store) && Holds(*third, store));
}

}  // namespace
}  // namespace sluice
