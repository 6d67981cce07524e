// Cutting requests into reads, their order, and what becomes of short and failed ones.
#include "prefetch/io/read_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

#include "prefetch/io/host_buffer.h"
#include "tests/prefetch/test_store.h"

namespace sluice {
namespace {

using testing::HasSubstr;

class ReadQueueTest : public testing::Test {
 protected:
  ReadQueueTest() {
    WriteFile(dir_.Path("file"), RandomBytes(64, 0));
    for (bool direct : {true, false}) {
      auto file = IoFile::Open(dir_.Path("file"), direct);
      EXPECT_TRUE(file.ok()) << file.status();
      files_.push_back(*std::move(file));
    }
    buffer_ = *HostBuffer::Create(1 << 20);
  }

  // Offset and buffer begin at the same byte. The answer is appended to answers_.
  IoRequest Request(int64_t offset, int64_t bytes, IoPriority priority = IoPriority::kInTurn) {
    IoRequest request;
    request.file = 1;
    request.offset = offset;
    request.buffer = buffer_.span().subspan(offset, RoundUp(bytes, 4096));
    request.bytes = bytes;
    request.priority = priority;
    request.done = [this](absl::Status status) { answers_.push_back(std::move(status)); };
    return request;
  }

  TempDir dir_;
  std::vector<IoFile> files_;  // 0: direct (where the system has it), 1: buffered
  HostBuffer buffer_;
  std::vector<absl::Status> answers_;
};

TEST_F(ReadQueueTest, CutsARequestIntoReadsOfTheAskedSize) {
  ReadQueue queue(&files_, {.read_bytes = 8192});
  (void)queue.Push(Request(4096, 20000));
  std::vector<std::pair<int64_t, int64_t>> room_and_wanted;
  Read reads[3];
  for (Read& read : reads) {
    ASSERT_EQ(queue.TryTake(&read), ReadQueue::Taken::kRead);
    EXPECT_EQ(read.data - buffer_.data(), read.offset);
    room_and_wanted.emplace_back(read.room, read.wanted);
  }
  EXPECT_THAT(room_and_wanted,
              testing::ElementsAre(testing::Pair(8192, 8192), testing::Pair(8192, 8192),
                                   testing::Pair(4096, 20000 - 16384)));
  Read none;
  EXPECT_EQ(queue.TryTake(&none), ReadQueue::Taken::kEmpty);
  EXPECT_FALSE(queue.Complete(8192, &reads[1]));
  EXPECT_FALSE(queue.Complete(3616, &reads[2]));
  EXPECT_TRUE(answers_.empty());
  EXPECT_FALSE(queue.Complete(8192, &reads[0]));
  ASSERT_EQ(answers_.size(), 1);
  EXPECT_TRUE(answers_[0].ok()) << answers_[0];
  EXPECT_EQ(queue.counters().bytes_read, 20000);
}

TEST_F(ReadQueueTest, HandsOutRequestsByPriority) {
  ReadQueue queue(&files_, {.read_bytes = 4096});
  for (int64_t page : {0, 1}) (void)queue.Push(Request(page * 8192, 8192));
  Read first;
  ASSERT_EQ(queue.TryTake(&first), ReadQueue::Taken::kRead);
  for (int64_t page : {30, 31}) (void)queue.Push(Request(page * 4096, 1, IoPriority::kSoon));
  for (int64_t page : {20, 21}) (void)queue.Push(Request(page * 4096, 1, IoPriority::kWaitedFor));
  std::vector<int64_t> pages;
  std::vector<Read> reads(7);
  for (Read& read : reads) {
    ASSERT_EQ(queue.TryTake(&read), ReadQueue::Taken::kRead);
    pages.push_back(read.offset / 4096);
  }
  EXPECT_THAT(pages, testing::ElementsAre(20, 21, 30, 31, 1, 2, 3));
}

// What was asked for first goes first, whether it reads or writes: neither holds the other up for
// longer.
TEST_F(ReadQueueTest, HandsOutWritesInTheirTurn) {
  ReadQueue queue(&files_, {.read_bytes = 4096});
  (void)queue.Push(Request(0, 4096));
  IoRequest write = Request(4096, 8192);
  write.write = true;
  (void)queue.Push(std::move(write));
  (void)queue.Push(Request(4 * 4096, 4096));
  std::vector<std::pair<bool, int64_t>> calls;
  std::vector<Read> reads(4);
  for (Read& read : reads) {
    ASSERT_EQ(queue.TryTake(&read), ReadQueue::Taken::kRead);
    calls.emplace_back(read.write, read.offset / 4096);
  }
  EXPECT_THAT(calls, testing::ElementsAre(testing::Pair(false, 0), testing::Pair(true, 1),
                                          testing::Pair(true, 2), testing::Pair(false, 4)));
  for (Read& read : reads) EXPECT_FALSE(queue.Complete(4096, &read));
  EXPECT_EQ(answers_.size(), 3);
  EXPECT_EQ(queue.counters().bytes_read, 2 * 4096);
  EXPECT_EQ(queue.counters().bytes_written, 2 * 4096);
}

TEST_F(ReadQueueTest, AsksForAWakeOnlyWhereTheTakerSleeps) {
  ReadQueue queue(&files_, {.read_bytes = 4096});
  EXPECT_FALSE(queue.Push(Request(0, 1)));
  Read read;
  ASSERT_EQ(queue.TryTake(&read), ReadQueue::Taken::kRead);
  Read none;
  ASSERT_EQ(queue.TryTake(&none), ReadQueue::Taken::kEmpty);
  EXPECT_TRUE(queue.Push(Request(4096, 1)));
  EXPECT_FALSE(queue.Push(Request(8192, 1)));
}

TEST_F(ReadQueueTest, AnswersAFailedRequestOnceAndReadsNoMoreOfIt) {
  ReadQueue queue(&files_, {.read_bytes = 4096});
  (void)queue.Push(Request(0, 5 * 4096));
  Read first, second, other;
  ASSERT_EQ(queue.TryTake(&first), ReadQueue::Taken::kRead);
  ASSERT_EQ(queue.TryTake(&second), ReadQueue::Taken::kRead);
  (void)queue.Push(Request(16 * 4096, 1));
  EXPECT_FALSE(queue.Complete(-EIO, &second));
  EXPECT_TRUE(answers_.empty()) << "a read of it is still in flight";
  ASSERT_EQ(queue.TryTake(&other), ReadQueue::Taken::kRead);
  EXPECT_EQ(other.offset, 16 * 4096);
  EXPECT_FALSE(queue.Complete(4096, &first));
  ASSERT_EQ(answers_.size(), 1);
  EXPECT_EQ(answers_[0].code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(answers_[0].message(), HasSubstr(dir_.Path("file")));
  EXPECT_THAT(answers_[0].message(), HasSubstr("4096 bytes at byte 4096: Input/output error"));
}

TEST_F(ReadQueueTest, CancelsWhatWaitsWhenClosed) {
  ReadQueue queue(&files_, {.read_bytes = 4096});
  (void)queue.Push(Request(0, 3 * 4096));
  (void)queue.Push(Request(4 * 4096, 1));
  Read read;
  ASSERT_EQ(queue.TryTake(&read), ReadQueue::Taken::kRead);
  (void)queue.Close();
  Read none;
  EXPECT_EQ(queue.TryTake(&none), ReadQueue::Taken::kClosed);
  EXPECT_FALSE(queue.WaitAndTake(&none));
  queue.RefuseUntilClosed(absl::CancelledError("closed"));
  EXPECT_EQ(answers_.size(), 1) << "the other has a read in flight";
  EXPECT_FALSE(queue.Complete(4096, &read));
  ASSERT_EQ(answers_.size(), 2);
  for (const absl::Status& answer : answers_) EXPECT_TRUE(absl::IsCancelled(answer)) << answer;
}

TEST_F(ReadQueueTest, CountsTheTimeWithReadsInFlightOnce) {
  ReadQueue queue(&files_, {.read_bytes = 4096});
  EXPECT_EQ(queue.counters().busy_seconds, 0);
  (void)queue.Push(Request(0, 2 * 4096));
  Read reads[2];
  using Clock = std::chrono::steady_clock;
  const Clock::time_point before = Clock::now();
  ASSERT_EQ(queue.TryTake(&reads[0]), ReadQueue::Taken::kRead);
  const Clock::time_point between = Clock::now();
  while (Clock::now() - between < std::chrono::milliseconds(2)) {
  }
  ASSERT_EQ(queue.TryTake(&reads[1]), ReadQueue::Taken::kRead);
  for (Read& read : reads) EXPECT_FALSE(queue.Complete(4096, &read));
  const double busy = queue.counters().busy_seconds;
  EXPECT_GE(busy, 0.002);
  EXPECT_LE(busy, std::chrono::duration<double>(Clock::now() - before).count());
  EXPECT_EQ(queue.counters().busy_seconds, busy) << "it stands still while nothing is in flight";
}

TEST_F(ReadQueueTest, HandsOutNoFasterThanTheSimulatedDisk) {
  // A page in 100 s: what comes later does not come in this test.
  ReadQueue queue(&files_, {.queue_depth = 1, .read_bytes = 4096, .max_bytes_per_s = 41});
  (void)queue.Push(Request(0, 2 * 4096));
  Read read;
  ASSERT_EQ(queue.TryTake(&read), ReadQueue::Taken::kRead) << "the first may go at once";
  Read none;
  EXPECT_EQ(queue.TryTake(&none), ReadQueue::Taken::kLater);
  const auto left = queue.next_start() - ReadQueue::Clock::now();
  EXPECT_GT(left, std::chrono::seconds(90));
  EXPECT_LE(left, std::chrono::seconds(100));
  EXPECT_FALSE(queue.Complete(4096, &read));
  const IoCounters counters = queue.counters();
  EXPECT_GT(counters.busy_seconds, 0) << "the simulated disk is not done";
  EXPECT_NEAR(counters.idle_seconds, 0, 0.05);
  (void)queue.Close();
  EXPECT_EQ(queue.TryTake(&none), ReadQueue::Taken::kClosed);
}

TEST_F(ReadQueueTest, SplitsItsTimeIntoBusyAndIdle) {
  const ReadQueue::Clock::time_point before = ReadQueue::Clock::now();
  ReadQueue queue(&files_, {.read_bytes = 4096});
  (void)queue.Push(Request(0, 4096));
  Read read;
  for (int i = 0; i < 2; ++i) {
    const IoCounters counters = queue.counters();
    const double wall = std::chrono::duration<double>(ReadQueue::Clock::now() - before).count();
    EXPECT_NEAR(counters.busy_seconds + counters.idle_seconds, wall, 0.05);
    if (i == 0) {
      ASSERT_EQ(queue.TryTake(&read), ReadQueue::Taken::kRead);
    }
  }
  EXPECT_FALSE(queue.Complete(4096, &read));
}

struct AdvanceCase {
  const char* name;
  bool direct;
  int64_t result;       // of a call for 3 pages at byte 4096, of which 9000 bytes are wanted
  int expected;         // 1: arrived, 0: again, -1: failed
  int64_t progress;     // where again
  const char* message;  // where failed
  bool write = false;
};

TEST_F(ReadQueueTest, ContinuesShortReadsAndWritesAndReportsTheEndOfTheFile) {
  const AdvanceCase cases[] = {
      {"all", true, 12288, 1, 0, ""},
      {"exactly what is wanted", true, 9000, 1, 0, ""},
      {"one byte short, direct", true, 8999, 0, 8192, ""},
      {"one byte short, buffered", false, 8999, 0, 8999, ""},
      {"one page", true, 4096, 0, 4096, ""},
      {"less than a page, buffered", false, 100, 0, 100, ""},
      {"less than a page, direct", true, 100, -1, 0, "the file ended at byte 4196"},
      {"nothing", true, 0, -1, 0, "the file ended at byte 4096"},
      {"nothing, buffered", false, 0, -1, 0, "the file ended at byte 4096"},
      {"interrupted", true, -EINTR, 0, 0, ""},
      {"try again", false, -EAGAIN, 0, 0, ""},
      {"an error", true, -EIO, -1, 0, "Input/output error"},
      {"a short write", true, 8192, 0, 8192, "", true},
      {"a short write inside a page, direct", true, 5000, 0, 4096, "", true},
      {"a short write inside a page, buffered", false, 5000, 0, 5000, "", true},
      {"a write of nothing", true, 0, -1, 0, "nothing goes to disk from byte 4096", true},
      {"a full disk", true, -ENOSPC, -1, 0, "writing 9000 bytes at byte 4096: No space left", true},
      {"a write's error", false, -EIO, -1, 0, "writing 9000 bytes at byte 4096: Input/output error",
       true},
  };
  if (!files_[0].direct()) GTEST_SKIP() << "no O_DIRECT in " << files_[0].path();
  for (const AdvanceCase& c : cases) {
    SCOPED_TRACE(c.name);
    Read read;
    read.write = c.write;
    read.offset = 4096;
    read.data = buffer_.data();
    read.room = 12288;
    read.wanted = 9000;
    const absl::StatusOr<bool> arrived = Advance(files_[c.direct ? 0 : 1], c.result, &read);
    if (c.expected < 0) {
      EXPECT_EQ(arrived.status().code(), absl::StatusCode::kUnavailable);
      EXPECT_THAT(arrived.status().message(), HasSubstr(c.message));
      continue;
    }
    ASSERT_TRUE(arrived.ok()) << arrived.status();
    EXPECT_EQ(*arrived, c.expected == 1);
    EXPECT_EQ(read.offset, 4096 + c.progress);
    EXPECT_EQ(read.data, buffer_.data() + c.progress);
    EXPECT_EQ(read.room, 12288 - c.progress);
    EXPECT_EQ(read.wanted, 9000 - c.progress);
  }
}

TEST_F(ReadQueueTest, GivesUpAReadThatIsInterruptedForEver) {
  Read read;
  read.wanted = read.room = 4096;
  int64_t attempts = 1;
  while (Advance(files_[1], -EAGAIN, &read).ok()) ASSERT_LT(++attempts, 10000);
  EXPECT_GE(attempts, 100);
}

}  // namespace
}  // namespace sluice
