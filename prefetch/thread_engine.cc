// Each thread waits for a read or a write, does it to its end, and answers.
#include "prefetch/thread_engine.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// More than any one disk needs; each costs a stack.
constexpr int kMaxThreads = 64;

}  // namespace

ThreadEngine::ThreadEngine(std::vector<IoFile> files, absl::string_view reason,
                           const IoOptions& options)
    : files_(std::move(files)), queue_(&files_, options) {
  const int count = std::clamp(options.queue_depth, 1, kMaxThreads);
  description_ = absl::StrCat(count, " pread threads");
  if (!reason.empty()) absl::StrAppend(&description_, " (", reason, ")");
  absl::StrAppend(&description_, ", ", DescribeFiles(files_, options.direct));
  for (int i = 0; i < count; ++i) threads_.emplace_back([this] { Run(); });
}

ThreadEngine::~ThreadEngine() {
  (void)queue_.Close();  // wakes them all
  for (std::thread& thread : threads_) thread.join();
}

void ThreadEngine::Submit(IoRequest request) {
  (void)queue_.Push(std::move(request));  // wakes one
}

void ThreadEngine::Run() {
  pthread_setname_np(pthread_self(), "sluice-io");
  Read read;
  while (queue_.WaitAndTake(&read)) {
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
