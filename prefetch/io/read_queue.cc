// Keeps a request at the front of its queue until its last read was handed out.
#include "prefetch/io/read_queue.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/base/macros.h"
#include "absl/strings/str_cat.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {

// The queue's mutex guards all members but `request`, which never changes.
struct ReadJob {
  IoRequest request;
  int64_t issued = 0;   // bytes of request.buffer handed out; all of them once it failed
  int in_flight = 0;    // reads in flight
  absl::Status status;  // the first failure

  int64_t size() const { return static_cast<int64_t>(request.buffer.size()); }
};

namespace {

// A call that is interrupted so often in a row will not get through.
constexpr int kMaxAttempts = 1000;
// The kernel cuts a read at 2 GiB less a page.
constexpr int64_t kMaxReadBytes = int64_t{1} << 30;

absl::Status FailedRead(const IoFile& file, const Read& read, absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(file.path(), read.write ? ": writing " : ": reading ",
                                             read.wanted, " bytes at byte ", read.offset, ": ",
                                             what));
}

}  // namespace

absl::StatusOr<bool> Advance(const IoFile& file, int64_t result, Read* read) {
  if (result == -EINTR || result == -EAGAIN) {
    if (++read->attempts < kMaxAttempts) return false;
  }
  if (result < 0) return FailedRead(file, *read, std::strerror(static_cast<int>(-result)));
  if (result >= read->wanted) return true;
  // A direct read goes on after the last whole block; only at the end of the file does it stop
  // inside one.
  const int64_t progress = file.direct() ? result / kReadAlignment * kReadAlignment : result;
  if (progress == 0) {
    return FailedRead(
        file, *read,
        absl::StrCat(read->write ? "nothing goes to disk from byte " : "the file ended at byte ",
                     read->offset + result));
  }
  read->attempts = 0;
  read->offset += progress;
  read->data += progress;
  read->room -= progress;
  read->wanted -= progress;
  return false;
}

ReadQueue::ReadQueue(const std::vector<IoFile>* files, const IoOptions& options)
    : files_(*files),
      read_bytes_(
          std::clamp(RoundUp(options.read_bytes, kReadAlignment), kReadAlignment, kMaxReadBytes)),
      disk_(options.max_bytes_per_s, options.queue_depth * read_bytes_) {}

bool ReadQueue::Push(IoRequest request) {
  ABSL_ASSERT(request.file >= 0 && request.file < static_cast<int>(files_.size()));
  ABSL_ASSERT(request.offset % kReadAlignment == 0 && request.bytes > 0);
  ABSL_ASSERT(reinterpret_cast<uintptr_t>(request.buffer.data()) % kReadAlignment == 0);
  ABSL_ASSERT(static_cast<int64_t>(request.buffer.size()) ==
              RoundUp(request.bytes, kReadAlignment));
  ABSL_ASSERT(!request.write || request.bytes % kReadAlignment == 0);
  auto job = std::make_shared<ReadJob>();
  const auto priority = static_cast<int>(request.priority);
  job->request = std::move(request);
  const MutexLock lock(&mutex_);
  if (!HasWorkLocked()) disk_.Wake(Clock::now());
  queues_[priority].push_back(std::move(job));
  work_.NotifyOne();
  return std::exchange(taker_sleeps_, false);
}

ReadQueue::Taken ReadQueue::TryTake(Read* read) {
  const MutexLock lock(&mutex_);
  if (closed_) return Taken::kClosed;
  if (TakeLocked(read)) return Taken::kRead;
  taker_sleeps_ = true;
  // HasWorkLocked() is asked only now: a queue that was held back a moment ago would look empty.
  return HasWorkLocked() ? Taken::kLater : Taken::kEmpty;
}

ReadQueue::Clock::time_point ReadQueue::next_start() const {
  const MutexLock lock(&mutex_);
  return disk_.next_start();
}

bool ReadQueue::WaitAndTake(Read* read) {
  const MutexLock lock(&mutex_);
  while (!closed_) {
    if (TakeLocked(read)) {
      // Another taker may take the next read of the request
      if (HasWorkLocked()) work_.NotifyOne();
      return true;
    }
    if (HasWorkLocked()) {
      work_.WaitUntil(&mutex_,
                      std::chrono::system_clock::now() + (disk_.next_start() - Clock::now()));
    } else {
      work_.Wait(&mutex_);
    }
  }
  return false;
}

bool ReadQueue::ShortOfTakers(int takers) const {
  const MutexLock lock(&mutex_);
  return HasWorkLocked() && in_flight_ >= takers;
}

bool ReadQueue::HasWorkLocked() const {
  return std::any_of(std::begin(queues_), std::end(queues_),
                     [](const auto& queue) { return !queue.empty(); });
}

bool ReadQueue::TakeLocked(Read* read) {
  if (!disk_.Ready(Clock::now())) return false;
  for (std::deque<std::shared_ptr<ReadJob>>& queue : queues_) {
    while (!queue.empty()) {
      ReadJob& job = *queue.front();
      if (job.issued == job.size()) {  // the request failed while a part of it waited here
        queue.pop_front();
        continue;
      }
      const IoRequest& request = job.request;
      read->write = request.write;
      read->file = request.file;
      read->offset = request.offset + job.issued;
      read->data = request.buffer.data() + job.issued;
      read->room = std::min(read_bytes_, job.size() - job.issued);
      read->wanted = std::min(read->room, request.bytes - job.issued);
      read->attempts = 0;
      read->job = queue.front();
      job.issued += read->room;
      ++job.in_flight;
      if (job.issued == job.size()) queue.pop_front();
      const Clock::time_point now = Clock::now();
      if (in_flight_++ == 0) busy_since_ = std::max(now, idle_since_);
      disk_.Begin(read->room, now);
      return true;
    }
  }
  return false;
}

bool ReadQueue::Complete(int64_t result, Read* read) {
  const IoFile& file = files_[read->file];
  if (!file.direct() && !read->write && result > 0) file.DropPages(read->offset, read->room);
  absl::StatusOr<bool> arrived = Advance(file, result, read);
  if (result > 0) {
    const MutexLock lock(&mutex_);
    (read->write ? bytes_written_ : bytes_read_) += result;
  }
  if (arrived.ok() && !*arrived) return true;
  End(std::move(arrived).status(), read);
  return false;
}

// Hands the status over and never shares it: Abseil counts its references, and Debian's Abseil is
// not built for TSan.
void ReadQueue::End(absl::Status status, Read* read) {
  const std::shared_ptr<ReadJob> job = std::move(read->job);
  bool last;
  {
    const MutexLock lock(&mutex_);
    last = EndLocked(std::move(status), job.get());
  }
  if (last) job->request.done(std::move(job->status));
}

bool ReadQueue::EndLocked(absl::Status status, ReadJob* job) {
  if (!status.ok()) {
    job->status.Update(std::move(status));
    job->issued = job->size();  // after a failure the rest is not worth reading
  }
  if (--in_flight_ == 0) {
    idle_since_ = std::max({Clock::now(), busy_since_, disk_.next_start()});
    busy_ += idle_since_ - busy_since_;
  }
  return --job->in_flight == 0 && job->issued == job->size();
}

bool ReadQueue::Close() {
  const MutexLock lock(&mutex_);
  closed_ = true;
  work_.NotifyAll();
  return std::exchange(taker_sleeps_, false);
}

void ReadQueue::RefuseUntilClosed(const absl::Status& status) {
  const MutexLock lock(&mutex_);
  for (;;) {
    std::vector<std::shared_ptr<ReadJob>> answers;
    for (std::deque<std::shared_ptr<ReadJob>>& queue : queues_) {
      for (std::shared_ptr<ReadJob>& job : queue) {
        if (job->issued == job->size()) continue;  // its last read will answer
        job->status.Update(absl::Status(status.code(), status.message()));
        job->issued = job->size();
        if (job->in_flight == 0) answers.push_back(std::move(job));
      }
      queue.clear();
    }
    if (!answers.empty()) {
      mutex_.Unlock();
      for (const auto& job : answers) job->request.done(std::move(job->status));
      mutex_.Lock();
    } else if (closed_) {
      return;
    } else {
      work_.Wait(&mutex_);
    }
  }
}

IoCounters ReadQueue::counters() const {
  const MutexLock lock(&mutex_);
  const Clock::time_point now = Clock::now();
  Clock::duration busy = busy_;
  if (in_flight_ > 0) {
    busy += now - busy_since_;
  } else if (idle_since_ > now) {
    busy -= idle_since_ - now;
  }
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  return {.bytes_read = bytes_read_,
          .bytes_written = bytes_written_,
          .busy_seconds = seconds(busy),
          .idle_seconds = seconds(now - created_ - busy)};
}

}  // namespace sluice
