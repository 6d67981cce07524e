// Every engine reads the same bytes, ends cleanly, and says what it uses.
#include "prefetch/io/io_engine.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "prefetch/io/host_buffer.h"
#include "prefetch/io/io_file.h"
#include "tests/prefetch/test_store.h"

namespace sluice {
namespace {

using testing::HasSubstr;

// Counts answers and keeps the first failure.
class Answers {
 public:
  std::function<void(absl::Status)> Callback() {
    return [this](absl::Status status) {
      std::lock_guard<std::mutex> lock(mutex_);
      status_.Update(std::move(status));
      ++count_;
      more_.notify_one();
    };
  }
  absl::Status WaitFor(int count) {
    std::unique_lock<std::mutex> lock(mutex_);
    more_.wait(lock, [&] { return count_ >= count; });
    return status_;
  }
  int count() {
    std::lock_guard<std::mutex> lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable more_;
  int count_ = 0;        // guarded by mutex_
  absl::Status status_;  // guarded by mutex_
};

IoRequest ReadOf(absl::Span<std::byte> buffer, int64_t offset, int64_t bytes, Answers* answers) {
  IoRequest request;
  request.offset = offset;
  request.buffer = buffer.first(RoundUp(bytes, 4096));
  request.bytes = bytes;
  request.done = answers->Callback();
  return request;
}

class EngineTest : public testing::TestWithParam<EngineCase> {
 protected:
  void SetUp() override {
    if (const std::string reason = WhyNot(GetParam()); !reason.empty()) GTEST_SKIP() << reason;
  }
  TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(All, EngineTest, testing::ValuesIn(EngineCases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(EngineTest, ReadsWhatTheFileHolds) {
  const std::vector<std::byte> bytes = RandomBytes(1000003, 7);
  WriteFile(dir_.Path("file"), bytes);
  const HostBuffer buffer = *HostBuffer::Create(RoundUp(bytes.size(), 4096));
  for (int depth : {1, 2, 16}) {
    for (int64_t read_bytes : {1, 4096, 65536, 1 << 20}) {
      const absl::Span<std::byte> region = buffer.span();
      auto engine = IoEngine::Create({dir_.Path("file")}, {&region, 1},
                                     GetParam().Options(depth, read_bytes));
      ASSERT_TRUE(engine.ok()) << engine.status();
      EXPECT_THAT((*engine)->description(), HasSubstr(GetParam().description));
      std::fill(region.begin(), region.end(), std::byte{0});
      Answers answers;
      (*engine)->Submit(ReadOf(region, 0, bytes.size(), &answers));
      const absl::Status status = answers.WaitFor(1);
      ASSERT_TRUE(status.ok()) << status;
      EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), region.begin()));
      EXPECT_EQ((*engine)->counters().bytes_read, bytes.size());
      EXPECT_GT((*engine)->counters().busy_seconds, 0);
    }
  }
}

TEST_P(EngineTest, ReadsIntoMemoryThatWasNotRegistered) {
  const std::vector<std::byte> bytes = RandomBytes(300000, 8);
  WriteFile(dir_.Path("file"), bytes);
  const HostBuffer registered = *HostBuffer::Create(8192);
  const HostBuffer other = *HostBuffer::Create(RoundUp(bytes.size(), 4096));
  const absl::Span<std::byte> region = registered.span();
  auto engine = IoEngine::Create({dir_.Path("file")}, {&region, 1}, GetParam().Options(4, 65536));
  ASSERT_TRUE(engine.ok()) << engine.status();
  Answers answers;
  (*engine)->Submit(ReadOf(other.span(), 0, bytes.size(), &answers));
  ASSERT_TRUE(answers.WaitFor(1).ok());
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), other.data()));
}

// However late its threads wake, it may be ahead of the simulated disk by its window and one read.
TEST_P(EngineTest, IsNoFasterThanTheSimulatedDisk) {
  constexpr int64_t kBytes = 1 << 20;
  constexpr int64_t kReadBytes = 65536;
  WriteFile(dir_.Path("file"), RandomBytes(kBytes, 9));
  const HostBuffer buffer = *HostBuffer::Create(kBytes);
  const absl::Span<std::byte> region = buffer.span();
  IoOptions options = GetParam().Options(1, kReadBytes);
  options.max_bytes_per_s = 50'000'000;
  auto engine = IoEngine::Create({dir_.Path("file")}, {&region, 1}, options);
  ASSERT_TRUE(engine.ok()) << engine.status();
  const auto start = std::chrono::steady_clock::now();
  Answers answers;
  (*engine)->Submit(ReadOf(region, 0, kBytes, &answers));
  ASSERT_TRUE(answers.WaitFor(1).ok());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_GE(seconds.count(), (kBytes - 2 * kReadBytes) / 50e6);
}

TEST_P(EngineTest, ReportsTheFileThatEndedEarly) {
  WriteFile(dir_.Path("file"), RandomBytes(10000, 9));
  const HostBuffer buffer = *HostBuffer::Create(1 << 16);
  auto engine = IoEngine::Create({dir_.Path("file")}, {}, GetParam().Options(4, 4096));
  ASSERT_TRUE(engine.ok()) << engine.status();
  struct {
    int64_t offset, bytes;
    const char* message;  // empty: it is all there
  } const cases[] = {{0, 10000, ""},
                     {8192, 1808, ""},
                     {8192, 1809, "ended at byte 10000"},
                     {8192, 4096, "ended at byte 10000"},
                     {4096, 40000, "the file ended at byte "},
                     {12288, 1, "ended at byte 12288"}};
  for (const auto& c : cases) {
    Answers answers;
    (*engine)->Submit(ReadOf(buffer.span(), c.offset, c.bytes, &answers));
    const absl::Status status = answers.WaitFor(1);
    EXPECT_EQ(status.ok(), *c.message == 0) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message));
    if (!status.ok()) {
      EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
      EXPECT_THAT(std::string(status.message()), HasSubstr(dir_.Path("file")));
    }
  }
}

TEST_P(EngineTest, AnswersEveryRequestWhenItIsDestroyedAtOnce) {
  WriteFile(dir_.Path("file"), RandomBytes(1 << 20, 10));
  const HostBuffer buffer = *HostBuffer::Create(1 << 20);
  for (int requests : {0, 1, 3, 50}) {
    Answers answers;
    {
      auto engine = IoEngine::Create({dir_.Path("file")}, {}, GetParam().Options(2, 65536));
      ASSERT_TRUE(engine.ok()) << engine.status();
      for (int i = 0; i < requests; ++i) {
        (*engine)->Submit(ReadOf(buffer.span(), 0, 1 << 20, &answers));
      }
    }
    EXPECT_EQ(answers.count(), requests);
  }
}

TEST_P(EngineTest, ReadsForRequestsThatAnswersSubmit) {
  WriteFile(dir_.Path("file"), RandomBytes(1 << 16, 11));
  const HostBuffer buffer = *HostBuffer::Create(1 << 16);
  auto engine = IoEngine::Create({dir_.Path("file")}, {}, GetParam().Options(2, 4096));
  ASSERT_TRUE(engine.ok()) << engine.status();
  Answers answers;
  IoRequest first = ReadOf(buffer.span(), 0, 4096, &answers);
  first.done = [&](absl::Status status) {
    EXPECT_TRUE(status.ok()) << status;
    (*engine)->Submit(ReadOf(buffer.span(), 4096, 4096, &answers));
  };
  (*engine)->Submit(std::move(first));
  EXPECT_TRUE(answers.WaitFor(1).ok());
}

TEST_P(EngineTest, ReadsBackWhatItWroteToAFileThatHasNoName) {
  const std::vector<std::byte> bytes = RandomBytes(1 << 20, 13);
  WriteFile(dir_.Path("file"), RandomBytes(4096, 14));
  const HostBuffer registered = *HostBuffer::Create(bytes.size());
  const HostBuffer other = *HostBuffer::Create(bytes.size());
  const absl::Span<std::byte> region = registered.span();
  for (int64_t read_bytes : {4096, 65536, 1 << 20}) {
    IoOptions options = GetParam().Options(4, read_bytes);
    options.scratch_dir = dir_.Path("");
    auto engine = IoEngine::Create({dir_.Path("file")}, {&region, 1}, options);
    ASSERT_TRUE(engine.ok()) << engine.status();
    const auto in_folder = std::filesystem::directory_iterator(dir_.Path(""));
    EXPECT_EQ(std::distance(begin(in_folder), end(in_folder)), 1) << "only what it is to read";
    // From either memory to the other, somewhere inside the file.
    for (const auto& [from, to] :
         {std::pair(region, other.span()), std::pair(other.span(), region)}) {
      std::copy(bytes.begin(), bytes.end(), from.begin());
      std::fill(to.begin(), to.end(), std::byte{0});
      Answers answers;
      IoRequest request = ReadOf(from, 3 * 4096, bytes.size(), &answers);
      request.file = 1;
      request.write = true;
      (*engine)->Submit(std::move(request));
      absl::Status status = answers.WaitFor(1);
      ASSERT_TRUE(status.ok()) << status;
      request = ReadOf(to, 3 * 4096, bytes.size(), &answers);
      request.file = 1;
      (*engine)->Submit(std::move(request));
      status = answers.WaitFor(2);
      ASSERT_TRUE(status.ok()) << status;
      EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), to.begin()));
    }
    EXPECT_EQ((*engine)->counters().bytes_written, 2 * bytes.size());
    EXPECT_EQ((*engine)->counters().bytes_read, 2 * bytes.size());
    Answers answers;
    IoRequest behind = ReadOf(region, 3 * 4096 + bytes.size(), 4096, &answers);
    behind.file = 1;
    (*engine)->Submit(std::move(behind));
    EXPECT_THAT(std::string(answers.WaitFor(1).message()), HasSubstr("the file ended"));
  }
}

// /dev/shm is a file system of its own on most machines.
TEST_P(EngineTest, ReadsFromSeveralDisksAtOnce) {
  struct stat here, there;
  if (stat("/dev/shm", &there) != 0 || access("/dev/shm", W_OK) != 0 ||
      stat(dir_.Path("").c_str(), &here) != 0 || here.st_dev == there.st_dev) {
    GTEST_SKIP() << "there is one file system only";
  }
  const std::string other = (std::filesystem::path("/dev/shm") /
                             std::filesystem::path(dir_.Path("")).parent_path().filename())
                                .string();
  std::vector<std::string> paths = {dir_.Path("0"), other + "-1", dir_.Path("2"), other + "-3"};
  std::vector<std::vector<std::byte>> bytes;
  for (size_t i = 0; i < paths.size(); ++i) {
    bytes.push_back(RandomBytes(50000 + static_cast<int64_t>(i), static_cast<uint32_t>(i)));
    WriteFile(paths[i], bytes[i]);
  }
  const absl::Cleanup remove = [&paths] {
    for (const std::string& path : paths) unlink(path.c_str());
  };
  constexpr int64_t kRoom = 16 * 4096;
  const HostBuffer buffer = *HostBuffer::Create(4 * kRoom);
  const absl::Span<std::byte> region = buffer.span();
  auto engine = IoEngine::Create(paths, {&region, 1}, GetParam().Options(4, 8192));
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_THAT((*engine)->description(), HasSubstr("2 disks; "));
  Answers answers;
  int64_t read = 0;
  for (int i = 0; i < 4; ++i) {
    IoRequest request =
        ReadOf(region.subspan(i * kRoom), 0, static_cast<int64_t>(bytes[i].size()), &answers);
    request.file = i;
    (*engine)->Submit(std::move(request));
    read += static_cast<int64_t>(bytes[i].size());
  }
  const absl::Status status = answers.WaitFor(4);
  ASSERT_TRUE(status.ok()) << status;
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(std::equal(bytes[i].begin(), bytes[i].end(), region.data() + i * kRoom)) << i;
  }
  EXPECT_EQ((*engine)->counters().bytes_read, read);
}

TEST(IoEngine, NamesTheFolderThatTakesNoScratchFile) {
  const TempDir dir;
  const auto engine = IoEngine::Create({}, {}, {.scratch_dir = dir.Path("absent")});
  EXPECT_EQ(engine.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(engine.status().message()), HasSubstr(dir.Path("absent")));
}

TEST(IoEngine, NamesTheFileThatIsNotThere) {
  const TempDir dir;
  for (bool direct : {true, false}) {
    const auto engine = IoEngine::Create({dir.Path("absent")}, {}, {.direct = direct});
    EXPECT_EQ(engine.status().code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(std::string(engine.status().message()), HasSubstr(dir.Path("absent")));
  }
}

// Tasks of this process, of which a thread that was just joined may be one still.
int64_t CountTasks() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

TEST(IoEngine, HasNoMoreThreadsThanReadsInFlight) {
  const TempDir dir;
  WriteFile(dir.Path("file"), RandomBytes(1 << 20, 9));
  const HostBuffer buffer = *HostBuffer::Create(1 << 20);
  std::thread([] {}).join();  // a sanitizer has one of its own from the first thread on
  const int64_t before = CountTasks();
  auto engine =
      IoEngine::Create({dir.Path("file")}, {},
                       {.kind = IoKind::kThreads, .queue_depth = 32, .read_bytes = 64 << 10});
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_LE(CountTasks(), before + 1);
  Answers answers;
  for (int i = 1; i <= 20; ++i) {
    (*engine)->Submit(ReadOf(buffer.span(), 0, 4096, &answers));
    ASSERT_TRUE(answers.WaitFor(i).ok());
    EXPECT_LE(CountTasks(), before + 1) << "one read after the other";
  }
  (*engine)->Submit(ReadOf(buffer.span(), 0, 192 << 10, &answers));
  ASSERT_TRUE(answers.WaitFor(21).ok());
  EXPECT_LE(CountTasks(), before + 3) << "three reads at once";
}

TEST(IoEngine, ParsesItsKinds) {
  EXPECT_EQ(*ParseIoKind("auto"), IoKind::kAuto);
  EXPECT_EQ(*ParseIoKind("uring"), IoKind::kUring);
  EXPECT_EQ(*ParseIoKind("threads"), IoKind::kThreads);
  EXPECT_EQ(ParseIoKind("Uring").status().code(), absl::StatusCode::kInvalidArgument);
}

// Pages of `path` that the page cache holds; -1 where this cannot be told.
int64_t CachedPages(const std::string& path, int64_t size) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  void* const mapping = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (mapping == MAP_FAILED) return -1;
  std::vector<unsigned char> in_core(RoundUp(size, 4096) / 4096);
  const int result = mincore(mapping, size, in_core.data());
  munmap(mapping, size);
  if (result != 0) return -1;
  int64_t pages = 0;
  for (unsigned char page : in_core) pages += page & 1;
  return pages;
}

TEST(IoEngine, LeavesNoPagesInTheCache) {
  const TempDir dir;
  const std::string path = dir.Path("file");
  constexpr int64_t kBytes = (24 << 20) + 1;  // enough for readahead to grow its pages
  WriteFile(path, RandomBytes(kBytes, 12));
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(fsync(fd.get()), 0);
  ASSERT_EQ(posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  if (CachedPages(path, kBytes) != 0) {
    GTEST_SKIP() << "the file system of " << path << " keeps its pages";
  }
  const HostBuffer buffer = *HostBuffer::Create(RoundUp(kBytes, 4096));
  for (const EngineCase& c : EngineCases()) {
    for (int64_t read_bytes : {1 << 16, 1 << 20}) {
      auto engine = IoEngine::Create({path}, {}, c.Options(16, read_bytes));
      if (!engine.ok()) continue;
      Answers answers;
      int requests = 0;
      for (int64_t offset = 0; offset < kBytes; offset += 4 << 20, ++requests) {
        IoRequest request = ReadOf(buffer.span().subspan(offset), offset,
                                   std::min<int64_t>(4 << 20, kBytes - offset), &answers);
        (*engine)->Submit(std::move(request));
      }
      ASSERT_TRUE(answers.WaitFor(requests).ok());
      engine->reset();
      EXPECT_EQ(CachedPages(path, kBytes), 0) << c.name << ", reads of " << read_bytes;
    }
  }
}

}  // namespace
}  // namespace sluice
