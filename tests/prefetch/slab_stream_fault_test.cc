// Streams over a disk that the test moves by hand: order, faults, and that it is never left idle.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "prefetch/slab_stream.h"
#include "tests/prefetch/test_store.h"

namespace sluice {
namespace {

using testing::HasSubstr;

// Holds requests until Answer(), which acts as the engine's thread.
class ManualEngine : public IoEngine {
 public:
  ~ManualEngine() override {
    while (waiting() > 0) Answer(0, absl::CancelledError("closed"));
  }

  void Submit(IoRequest request) override {
    std::lock_guard<std::mutex> lock(mutex_);
    requests_.push_back(std::move(request));
  }
  IoCounters counters() const override { return {}; }
  const std::string& description() const override { return description_; }

  // Of the i-th waiting request the bytes arrive: a function of the offset, so that checksums can
  // be known. A failed one leaves its buffer as it was.
  void Answer(int i, absl::Status status = absl::OkStatus()) {
    IoRequest request = Remove(i);
    if (status.ok()) {
      for (size_t at = 0; at < request.buffer.size(); ++at) {
        request.buffer[at] = ByteAt(request.offset + at);
      }
    }
    request.done(std::move(status));
  }
  int waiting() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return static_cast<int>(requests_.size());
  }
  int64_t offset(int i) const {
    std::lock_guard<std::mutex> lock(mutex_);
    return requests_[i].offset;
  }
  IoPriority priority(int i) const {
    std::lock_guard<std::mutex> lock(mutex_);
    return requests_[i].priority;
  }

  static std::byte ByteAt(int64_t offset) { return static_cast<std::byte>(offset * 31 >> 3); }

 private:
  IoRequest Remove(int i) {
    std::lock_guard<std::mutex> lock(mutex_);
    IoRequest request = std::move(requests_[i]);
    requests_.erase(requests_.begin() + i);
    return request;
  }

  mutable std::mutex mutex_;
  std::deque<IoRequest> requests_;  // guarded by mutex_
  const std::string description_ = "by hand";
};

// The state of a thread in its /proc stat file: 'R' runs, 'S' sleeps.
char StateOf(const std::string& stat) {
  std::ifstream in(stat);
  std::string line;
  std::getline(in, line);
  const size_t name_end = line.rfind(')');
  return name_end == std::string::npos ? '?' : line[name_end + 2];
}

constexpr int64_t kSlabBytes = 5000;  // takes 8192
constexpr int64_t kRoom = 8192;

std::vector<StreamSlab> Cycle(int n, const std::vector<int>& resident = {}) {
  std::vector<StreamSlab> cycle;
  for (int i = 0; i < n; ++i) {
    std::vector<std::byte> bytes(kSlabBytes);
    for (int64_t at = 0; at < kSlabBytes; ++at) bytes[at] = ManualEngine::ByteAt(i * kRoom + at);
    cycle.push_back({.file = 0,
                     .offset = i * kRoom,
                     .bytes = kSlabBytes,
                     .checksum = XXH3_64bits(bytes.data(), bytes.size()),
                     .resident = std::ranges::count(resident, i) > 0});
  }
  return cycle;
}

class FaultTest : public testing::Test {
 protected:
  void Open(const std::vector<StreamSlab>& cycle, int64_t ring_bytes, bool verify_once = false,
            int64_t appended_ring_bytes = 0) {
    auto stream = SlabStream::CreateWithEngine(
        {"/store/000.slabs"}, cycle,
        {.ring_bytes = ring_bytes,
         .appended_ring_bytes = appended_ring_bytes,
         .verify_once = verify_once},
        [this](const std::vector<std::string>&, absl::Span<const absl::Span<std::byte>>,
               const IoOptions&) -> absl::StatusOr<std::unique_ptr<IoEngine>> {
          auto engine = std::make_unique<ManualEngine>();
          engine_ = engine.get();
          return engine;
        });
    ASSERT_TRUE(stream.ok()) << stream.status();
    stream_ = *std::move(stream);
  }

  void ExpectNext(int slab) {
    absl::StatusOr<Lease> lease = stream_->Next();
    ASSERT_TRUE(lease.ok()) << lease.status();
    EXPECT_EQ(lease->slab(), slab);
    EXPECT_EQ(lease->bytes()[kSlabBytes - 1], ManualEngine::ByteAt(slab * kRoom + kSlabBytes - 1));
  }

  ManualEngine* engine_ = nullptr;  // the stream's
  std::unique_ptr<SlabStream> stream_;
};

TEST_F(FaultTest, AsksForTheNextSlabWheneverThereIsRoom) {
  Open(Cycle(3), 4 * kRoom);
  ASSERT_EQ(engine_->waiting(), 4) << "the walk goes on past the end of a pass";
  EXPECT_EQ(engine_->offset(3), 0);
  for (int i = 0; i < 10; ++i) {
    engine_->Answer(0);
    EXPECT_EQ(engine_->waiting(), 3);
    absl::StatusOr<Lease> lease = stream_->Next();
    ASSERT_TRUE(lease.ok()) << lease.status();
    EXPECT_EQ(engine_->waiting(), 3) << "a lease takes up room";
    *lease = Lease();
    ASSERT_EQ(engine_->waiting(), 4) << "and its end is a request";
    EXPECT_EQ(engine_->offset(3), (i + 4) % 3 * kRoom);
  }
}

// As a signal handler sets it, which wakes nobody.
TEST_F(FaultTest, AWaitEndsWhereItsStopFlagIsSetAndMayBeRepeated) {
  Open(Cycle(3), 4 * kRoom);
  std::atomic<bool> stop{true};
  EXPECT_TRUE(absl::IsCancelled(stream_->Next(&stop).status()));
  engine_->Answer(0);
  {
    const absl::StatusOr<Lease> ready = stream_->Next();
    ASSERT_TRUE(ready.ok()) << ready.status();
    EXPECT_EQ(ready->slab(), 0);
  }
  stop = false;
  std::future<absl::Status> waiting =
      std::async(std::launch::async, [&] { return stream_->Next(&stop).status(); });
  stop = true;
  EXPECT_TRUE(absl::IsCancelled(waiting.get()));
  stop = false;
  engine_->Answer(0);
  const absl::StatusOr<Lease> next = stream_->Next(&stop);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->slab(), 1);
}

TEST_F(FaultTest, AsksForResidentSlabsInTheOrderOfTheFirstWalkOnly) {
  Open(Cycle(4, {0, 2}), kRoom);
  ASSERT_EQ(engine_->waiting(), 3) << "0, 1 and 2; 3 has no room";
  for (int slab : {0, 1, 2, 3}) {
    ASSERT_GE(engine_->waiting(), 1);
    EXPECT_EQ(engine_->offset(0), slab * kRoom);
    engine_->Answer(0);
    ExpectNext(slab);
  }
  for (int slab : {0, 1, 2, 3, 0, 1}) {
    if (slab % 2 == 1) {
      ASSERT_EQ(engine_->waiting(), 1);
      EXPECT_EQ(engine_->offset(0), slab * kRoom);
      engine_->Answer(0);
    }
    ExpectNext(slab);
  }
}

TEST_F(FaultTest, ReadsNothingMoreOnceAllIsResident) {
  Open(Cycle(3, {0, 1, 2}), 0);
  ASSERT_EQ(engine_->waiting(), 3);
  for (int i = 0; i < 3; ++i) engine_->Answer(0);
  for (int i = 0; i < 9; ++i) ExpectNext(i % 3);
  EXPECT_EQ(engine_->waiting(), 0);
}

TEST_F(FaultTest, HandsOutInOrderWhatArrivesInAny) {
  Open(Cycle(5), 4 * kRoom);
  for (int i : {3, 1, 0, 0}) engine_->Answer(i);
  for (int slab : {0, 1, 2, 3}) ExpectNext(slab);
}

TEST_F(FaultTest, ReportsAFailedReadWhenTheWalkReachesIt) {
  Open(Cycle(6), 5 * kRoom);
  // Slabs 3 and 2 fail in this order, before 0 and 1 are there.
  engine_->Answer(3, absl::UnavailableError("/store/000.slabs: reading: Input/output error"));
  engine_->Answer(2, absl::UnavailableError("/store/000.slabs: reading: the file ended"));
  engine_->Answer(0);
  engine_->Answer(0);
  ExpectNext(0);
  ExpectNext(1);
  EXPECT_EQ(engine_->waiting(), 1) << "nothing is asked for after a failure";
  for (int again = 0; again < 2; ++again) {
    const absl::Status status = stream_->Next().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(status.message(), "/store/000.slabs: reading: the file ended (slab 2 at byte 16384)");
  }
}

TEST_F(FaultTest, ReportsAWrongChecksumOfAResidentSlab) {
  std::vector<StreamSlab> cycle = Cycle(2, {1});
  cycle[1].checksum = 0xab;
  Open(cycle, kRoom);
  engine_->Answer(1);
  engine_->Answer(0);
  ExpectNext(0);
  const absl::Status status = stream_->Next().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("/store/000.slabs: slab 1 at byte 8192: XXH3 "));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("manifest says 00000000000000ab; `sluice shard --repair"));
}

TEST_F(FaultTest, SaysWhenLeasesLeaveNoRoom) {
  Open(Cycle(4), 2 * kRoom);
  engine_->Answer(0);
  engine_->Answer(0);
  Lease first = *stream_->Next();
  Lease second = *stream_->Next();
  const absl::Status status = stream_->Next().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("slab 2 of 8192 bytes"));
  second = Lease();
  ASSERT_EQ(engine_->waiting(), 1) << "the lease that is held does not keep the room behind it";
  engine_->Answer(0);
  ExpectNext(2);
  first = Lease();
  ASSERT_EQ(engine_->waiting(), 2);
  engine_->Answer(0);
  ExpectNext(3);
}

TEST_F(FaultTest, ALeaseThatIsKeptDoesNotStopTheWalk) {
  Open(Cycle(5), 3 * kRoom);
  engine_->Answer(0);
  const Lease kept = *stream_->Next();
  for (int i = 1; i < 40; ++i) {
    ASSERT_EQ(engine_->waiting(), 2) << i;
    engine_->Answer(0);
    ExpectNext(i % 5);
  }
  EXPECT_EQ(kept.bytes()[kSlabBytes - 1], ManualEngine::ByteAt(kSlabBytes - 1));
}

// What was read ahead for the loop neither comes before an appended visit nor takes its room.
TEST_F(FaultTest, AppendedVisitsComeNext) {
  Open(Cycle(4), 3 * kRoom, false, 2 * kRoom);
  for (int i = 0; i < 3; ++i) engine_->Answer(0);
  ASSERT_EQ(engine_->waiting(), 0) << "the loop's ring is full";
  for (int slab : {3, 1}) ASSERT_TRUE(stream_->Append(slab, 0, Urgency::kNow).ok());
  ASSERT_TRUE(stream_->Append(2, 0, Urgency::kInTurn).ok());
  ASSERT_EQ(engine_->waiting(), 2) << "the third one waits for room";
  EXPECT_EQ(engine_->priority(0), IoPriority::kSoon);
  engine_->Answer(1);
  engine_->Answer(0);
  ExpectNext(3);
  ASSERT_EQ(engine_->waiting(), 1);
  EXPECT_EQ(engine_->priority(0), IoPriority::kInTurn);
  EXPECT_EQ(engine_->offset(0), 2 * kRoom);
  ExpectNext(1);
  engine_->Answer(0);
  for (int slab : {2, 0, 1, 2}) ExpectNext(slab);
}

TEST_F(FaultTest, LeasesOfAppendedVisitsTakeUpTheirRingOnly) {
  Open(Cycle(4), kRoom, false, kRoom);
  engine_->Answer(0);
  for (int slab : {3, 1}) ASSERT_TRUE(stream_->Append(slab, 0, Urgency::kNow).ok());
  engine_->Answer(0);
  Lease held = *stream_->Next();
  EXPECT_EQ(held.slab(), 3);
  const absl::Status status = stream_->Next().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("slab 1 of 8192 bytes"));
  held = Lease();
  engine_->Answer(0);
  ExpectNext(1);
  ExpectNext(0);
}

TEST_F(FaultTest, VisitsThatWereDroppedAreNotHandedOut) {
  Open(Cycle(4), kRoom, false, 3 * kRoom);
  engine_->Answer(0);
  std::vector<int64_t> ids;
  for (int slab : {1, 2, 3, 1}) ids.push_back(*stream_->Append(slab, 0, Urgency::kNow));
  ASSERT_EQ(engine_->waiting(), 3);
  stream_->Drop(ids[3]);  // not asked for
  stream_->Drop(ids[0]);  // on its way
  stream_->Drop(ids[1]);  // on its way, where it is lost
  EXPECT_EQ(engine_->waiting(), 3);
  engine_->Answer(1, absl::UnavailableError("gone"));
  engine_->Answer(0);
  engine_->Answer(0);
  ExpectNext(3);
  stream_->Drop(ids[2]);  // handed out
  ids = {*stream_->Append(1, 0, Urgency::kNow), *stream_->Append(2, 0, Urgency::kNow)};
  for (int i = 0; i < 2; ++i) engine_->Answer(0);
  ExpectNext(1);
  stream_->Drop(ids[1]);  // ready, or soon
  ExpectNext(0);
}

TEST_F(FaultTest, SaysWhichAppendedVisitCannotFit) {
  Open(Cycle(2), kRoom);
  EXPECT_TRUE(absl::IsInvalidArgument(stream_->Append(2, 0, Urgency::kNow).status()));
  const absl::Status status = stream_->Append(1, 0, Urgency::kNow).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(status.message(), HasSubstr("slab 1 of 8192 bytes does not fit"));
}

TEST_F(FaultTest, WakesAWaitingNextWhenCancelled) {
  Open(Cycle(4), 2 * kRoom);  // no slab ever comes
  absl::Status status;
  std::promise<pid_t> id;
  std::thread compute([&] {
    id.set_value(gettid());
    status = stream_->Next().status();
  });
  const std::string stat = absl::StrCat("/proc/self/task/", id.get_future().get(), "/stat");
  while (StateOf(stat) != 'S') std::this_thread::yield();
  stream_->Cancel();
  compute.join();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_GT(stream_->counters().wait_seconds, 0);
}

TEST_F(FaultTest, KeepsLeasesValidAfterAnError) {
  Open(Cycle(4), 3 * kRoom);
  engine_->Answer(0);
  const Lease lease = *stream_->Next();
  engine_->Answer(0, absl::UnavailableError("gone"));
  EXPECT_FALSE(stream_->Next().ok());
  EXPECT_EQ(lease.bytes()[0], ManualEngine::ByteAt(0));
}

TEST_F(FaultTest, SendsRangesAheadOfSlabsAndAllAtOnce) {
  Open(Cycle(4), 2 * kRoom);
  std::vector<std::byte> out(4 * 100);
  std::vector<SlabStream::Range> ranges;
  for (int i = 0; i < 4; ++i) {
    ranges.push_back({0, i * 5000 + 4090, absl::MakeSpan(out).subspan(i * 100, 100)});
  }
  absl::Status status = absl::UnknownError("not read");
  std::thread reader([&] { status = stream_->ReadRanges(ranges); });
  while (engine_->waiting() < 6) std::this_thread::yield();
  for (int i = 2; i < 6; ++i) EXPECT_EQ(engine_->priority(i), IoPriority::kWaitedFor);
  for (int i = 0; i < 4; ++i) engine_->Answer(2);
  reader.join();
  ASSERT_TRUE(status.ok()) << status;
  for (int i = 0; i < 4; ++i) {
    for (int at = 0; at < 100; ++at) {
      ASSERT_EQ(out[i * 100 + at], ManualEngine::ByteAt(i * 5000 + 4090 + at));
    }
  }
}

TEST_F(FaultTest, VerifiesASlabOnlyTheFirstTimeWhereThatIsAsked) {
  for (const bool once : {false, true}) {
    std::vector<StreamSlab> cycle = Cycle(3);
    Open(cycle, 2 * kRoom, once);
    for (int i = 0; i < 6; ++i) {
      engine_->Answer(0);
      ExpectNext(i % 3);
    }
    int verified = 0;
    for (const TimelineEvent& event : stream_->TakeTimeline()) {
      verified += event.to == SlabState::kVerifying;
    }
    EXPECT_EQ(verified, once ? 3 : 6);
    stream_.reset();
  }
}

TEST_F(FaultTest, LeavesWhatArrivesToTheCallerWhereThatIsWanted) {
  Open(Cycle(4), 4 * kRoom);
  stream_->LeaveVerifying(true);
  for (int i = 0; i < 4; ++i) engine_->Answer(0);
  for (int i = 0; i < 4; ++i) stream_->VerifyArrived();
  stream_->VerifyArrived();  // nothing is left
  for (int slab = 0; slab < 4; ++slab) ExpectNext(slab);
  EXPECT_EQ(stream_->counters().verify_seconds, 0);
  EXPECT_GT(stream_->counters().aside_seconds, 0);
}

TEST_F(FaultTest, AWorkerChecksWhatNobodyTookOnceNextWaitsForIt) {
  Open(Cycle(3), 3 * kRoom);
  stream_->LeaveVerifying(true);
  for (int i = 0; i < 3; ++i) engine_->Answer(0);
  for (int slab = 0; slab < 3; ++slab) ExpectNext(slab);
  EXPECT_EQ(stream_->counters().aside_seconds, 0);
  // Arrives while Next() waits.
  auto next = std::async(std::launch::async, [this] { return stream_->Next().ok(); });
  engine_->Answer(0);
  EXPECT_TRUE(next.get());
  // And what was left is checked once it is no longer wanted so.
  engine_->Answer(0);
  stream_->LeaveVerifying(false);
  stream_->VerifyArrived();  // not the caller's any more
  ExpectNext(1);
  EXPECT_EQ(stream_->counters().aside_seconds, 0);
}

TEST_F(FaultTest, AWrongChecksumThatTheCallerFindsEndsTheRunAtItsSlab) {
  std::vector<StreamSlab> cycle = Cycle(3);
  cycle[1].checksum ^= 1;
  Open(cycle, 3 * kRoom);
  stream_->LeaveVerifying(true);
  for (int i = 0; i < 3; ++i) engine_->Answer(0);
  for (int i = 0; i < 3; ++i) stream_->VerifyArrived();
  ExpectNext(0);
  const absl::Status status = stream_->Next().status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("/store/000.slabs: slab 1 at byte 8192"));
}

TEST_F(FaultTest, AccountsForAllOfEachStagesTime) {
  Open(Cycle(3), 2 * kRoom);
  for (int i = 0; i < 30; ++i) {
    engine_->Answer(0);
    ExpectNext(i % 3);
  }
  const StreamCounters counters = stream_->counters();
  EXPECT_GT(counters.wall_seconds, 0);
  EXPECT_LE(counters.wait_seconds, counters.wall_seconds);
  EXPECT_GT(counters.verify_seconds, 0);
  EXPECT_NEAR(counters.verify_seconds + counters.worker_idle_seconds, counters.wall_seconds, 0.05);
}

TEST_F(FaultTest, StampsEveryMove) {
  Open(Cycle(2), kRoom);
  engine_->Answer(0);
  ExpectNext(0);
  std::vector<std::pair<int64_t, SlabState>> moves;
  const std::vector<TimelineEvent> events = stream_->TakeTimeline();
  for (const TimelineEvent& event : events) moves.emplace_back(event.slab, event.to);
  EXPECT_THAT(moves,
              testing::ElementsAre(
                  testing::Pair(0, SlabState::kReading), testing::Pair(0, SlabState::kRead),
                  testing::Pair(0, SlabState::kVerifying), testing::Pair(0, SlabState::kReady),
                  testing::Pair(0, SlabState::kLeased), testing::Pair(0, SlabState::kFree),
                  testing::Pair(1, SlabState::kReading)));
  EXPECT_TRUE(std::ranges::is_sorted(events, {}, &TimelineEvent::time));
}

TEST(Timeline, KeepsTheLatestMoves) {
  Timeline timeline;
  EXPECT_TRUE(timeline.Take().empty());
  for (int i = 0; i < Timeline::kEvents + 10; ++i) timeline.Stamp({.slab = i}, SlabState::kReady);
  const std::vector<TimelineEvent> events = timeline.Take();
  ASSERT_EQ(events.size(), Timeline::kEvents);
  EXPECT_EQ(events.front().slab, 10);
  EXPECT_EQ(events.back().slab, Timeline::kEvents + 9);
  EXPECT_EQ(timeline.lost(), 10);
  EXPECT_TRUE(timeline.Take().empty()) << "each is taken once";
}

TEST(StageClock, IsInOneStateAtATime) {
  using Clock = StageClock<3>::Clock;
  StageClock<3> clock;
  const Clock::time_point start = Clock::now();
  clock.Enter(1, start);
  clock.Enter(2, start + std::chrono::seconds(5));
  clock.Enter(1, start + std::chrono::seconds(6));
  clock.Enter(0, start + std::chrono::seconds(8));
  const std::array<double, 3> seconds = clock.Seconds();
  EXPECT_EQ(seconds[1], 7);
  EXPECT_EQ(seconds[2], 1);
  const double wall = std::chrono::duration<double>(Clock::now() - start).count();
  EXPECT_NEAR(seconds[0] + seconds[1] + seconds[2], wall, 0.05);
}

}  // namespace
}  // namespace sluice
