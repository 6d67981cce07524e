// Runs threads that each wait for a read or a write, do it to its end, and answer.
#include "prefetch/io/thread_engine.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/cpu/cpu_topology.h"

namespace sluice {
namespace {

// The largest number of threads: more than any one disk needs. Each costs a stack.
constexpr int kMaxThreads = 64;
constexpr int64_t kIoStackBytes = int64_t{256} << 10;  // a call and its answer

}  // namespace

ThreadEngine::ThreadEngine(std::vector<IoFile> files, absl::string_view reason,
                           const IoOptions& options)
    : files_(std::move(files)),
      on_fewer_threads_(options.on_fewer_threads),
      cpus_(AllowedCpus()),
      queue_(&files_, options),
      most_threads_(std::clamp(options.queue_depth, 1, kMaxThreads)) {
  description_ = absl::StrCat("up to ", most_threads_, " pread threads");
  if (!reason.empty()) absl::StrAppend(&description_, " (", reason, ")");
  absl::StrAppend(&description_, ", ", DescribeFiles(files_, options.direct));
}

absl::StatusOr<std::unique_ptr<IoEngine>> ThreadEngine::Create(std::vector<IoFile> files,
                                                               absl::string_view reason,
                                                               const IoOptions& options) {
  std::unique_ptr<ThreadEngine> engine(new ThreadEngine(std::move(files), reason, options));
  const MutexLock lock(&engine->threads_mutex_);
  if (absl::Status refusal = engine->StartThread(); !refusal.ok()) {
    return ThreadShortage("for reading", engine->most_threads_, 0, refusal);
  }
  return engine;
}

ThreadEngine::~ThreadEngine() {
  {
    const MutexLock lock(&threads_mutex_);
    most_threads_ = 0;  // from here on threads_ does not change
  }
  (void)queue_.Close();  // wakes them all
  threads_.clear();      // joins them
}

absl::Status ThreadEngine::StartThread() {
  const auto body = [this] {
    RunOnCpus(cpus_).IgnoreError();  // a thread that cannot be moved reads all the same
    Run();
  };
  SLUICE_ASSIGN_OR_RETURN(Thread thread, Thread::Start("sluice-io", body, kIoStackBytes));
  threads_.push_back(std::move(thread));
  return absl::OkStatus();
}

void ThreadEngine::StartThreadIfShort() {
  const MutexLock lock(&threads_mutex_);
  const auto started = static_cast<int>(threads_.size());
  if (started >= most_threads_ || !queue_.ShortOfTakers(started)) return;
  const absl::Status refusal = StartThread();
  if (refusal.ok()) return;
  const int wanted = std::exchange(most_threads_, started);
  if (on_fewer_threads_) on_fewer_threads_(ThreadShortage("for reading", wanted, started, refusal));
}

void ThreadEngine::Submit(IoRequest request) {
  (void)queue_.Push(std::move(request));  // wakes one
  StartThreadIfShort();
}

void ThreadEngine::Run() {
  Read read;
  while (queue_.WaitAndTake(&read)) {
    StartThreadIfShort();  // the request may be many reads
    int64_t result;
    do {
      const int fd = files_[read.file].fd();
      result = read.write ? pwrite(fd, read.data, read.room, read.offset)
                          : pread(fd, read.data, read.room, read.offset);
      if (result < 0) result = -errno;
    } while (queue_.Complete(result, &read));
  }
  queue_.RefuseUntilClosed(absl::CancelledError("the engine was closed"));
}

}  // namespace sluice
