// Runs one thread that sleeps only in io_uring_enter. A Submit to a sleeping engine writes to an
// eventfd that the ring polls; a Submit to a busy engine costs no system call.
#include "prefetch/io/uring_engine.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/process_limits.h"

namespace sluice {
namespace {

constexpr uint64_t kWakeUserData = ~uint64_t{0};
// The kernel registers no larger region.
constexpr size_t kMaxRegisteredBytes = size_t{1} << 30;
constexpr int kMaxQueueDepth = 1024;
// After so many failures of io_uring_enter in a row, with nothing reaped, the ring does not
// recover.
constexpr int kMaxEnterFailures = 1000;

absl::Status NoUring(absl::string_view call, int error) {
  return absl::UnavailableError(absl::StrCat(call, ": ", std::strerror(error)));
}

bool HasReadsAndWrites(io_uring* ring) {
  io_uring_probe* const probe = io_uring_get_probe_ring(ring);
  if (probe == nullptr) return false;
  const bool has = io_uring_opcode_supported(probe, IORING_OP_READ) &&
                   io_uring_opcode_supported(probe, IORING_OP_WRITE);
  io_uring_free_probe(probe);
  return has;
}

}  // namespace

int UringEngine::Uring::Init(unsigned entries) {
  const int result = io_uring_queue_init(entries, &ring_, 0);
  initialized_ = result == 0;
  return result;
}

void UringEngine::Uring::Exit() {
  if (std::exchange(initialized_, false)) io_uring_queue_exit(&ring_);
}

absl::StatusOr<std::unique_ptr<IoEngine>> UringEngine::Create(
    std::vector<IoFile>* files, absl::Span<const absl::Span<std::byte>> buffers,
    const IoOptions& options) {
  const int depth = std::clamp(options.queue_depth, 1, kMaxQueueDepth);
  auto uring = std::make_unique<Uring>();
  // One entry more, for the poll of the eventfd
  if (const int result = uring->Init(depth + 1); result < 0) {
    return NoUring("io_uring_setup", -result);
  }
  if (!HasReadsAndWrites(uring->get())) return NoUring("IORING_OP_READ", ENOSYS);
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (wake.get() < 0) return NoUring("eventfd", errno);
  auto engine = std::unique_ptr<UringEngine>(
      new UringEngine(std::move(uring), std::move(wake), std::move(*files), options));
  engine->RegisterFiles();
  engine->RegisterBuffers(buffers, options);
  absl::StatusOr<Thread> thread = Thread::Start("sluice-io", [e = engine.get()] { e->Run(); });
  if (!thread.ok()) {
    *files = std::move(engine->files_);
    return ThreadShortage("for reading", 1, 0, thread.status());
  }
  engine->thread_ = *std::move(thread);
  return engine;
}

UringEngine::UringEngine(std::unique_ptr<Uring> uring, UniqueFd wake, std::vector<IoFile> files,
                         const IoOptions& options)
    : files_(std::move(files)),
      on_fewer_threads_(options.on_fewer_threads),
      queue_(&files_, options),
      uring_(std::move(uring)),
      wake_(std::move(wake)),
      description_(absl::StrCat("io_uring, ", DescribeFiles(files_, options.direct))),
      slots_(std::clamp(options.queue_depth, 1, kMaxQueueDepth)) {
  for (int slot = static_cast<int>(slots_.size()) - 1; slot >= 0; --slot)
    free_slots_.push_back(slot);
}

UringEngine::~UringEngine() {
  if (queue_.Close()) Wake();
  thread_.Join();
}

void UringEngine::RegisterFiles() {
  std::vector<int> fds;
  for (const IoFile& file : files_) fds.push_back(file.fd());
  // If the kernel refuses (RLIMIT_NOFILE bounds them), plain descriptors cost a reference count a
  // read.
  files_registered_ = io_uring_register_files(uring_->get(), fds.data(), fds.size()) == 0;
}

void UringEngine::RegisterBuffers(absl::Span<const absl::Span<std::byte>> buffers,
                                  const IoOptions& options) {
  std::vector<iovec> pieces;
  size_t total = 0;
  for (absl::Span<std::byte> buffer : buffers) {
    total += buffer.size();
    for (size_t begin = 0; begin < buffer.size(); begin += kMaxRegisteredBytes) {
      const size_t size = std::min(buffer.size() - begin, kMaxRegisteredBytes);
      pieces.push_back({.iov_base = buffer.data() + begin, .iov_len = size});
    }
  }
  if (!options.register_buffers || pieces.empty()) {
    absl::StrAppend(&description_, ", unregistered buffers");
    return;
  }
  const int result = io_uring_register_buffers(uring_->get(), pieces.data(), pieces.size());
  if (result == 0) {
    for (const iovec& piece : pieces) {
      registered_.emplace_back(static_cast<std::byte*>(piece.iov_base), piece.iov_len);
    }
    absl::StrAppend(&description_, ", registered buffers");
    return;
  }
  absl::StrAppend(&description_, ", unregistered buffers (locking ", total,
                  " bytes: ", std::strerror(-result));
  if (rlimit limit; result == -ENOMEM && getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
    absl::StrAppend(&description_, ", RLIMIT_MEMLOCK is ", limit.rlim_cur);
  }
  absl::StrAppend(&description_, ")");
}

void UringEngine::Submit(IoRequest request) {
  if (queue_.Push(std::move(request))) Wake();
}

void UringEngine::Wake() {
  const uint64_t one = 1;
  // The write fails only if the counter is at its limit, and then the engine is being woken
  // already.
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof(one));
}

void UringEngine::Run() {
  ArmWake();
  int failures = 0;
  // If all slots are taken, the end of a read wakes this thread as well.
  Filled filled;
  while ((filled = Fill()) != Filled::kClosed || free_slots_.size() < slots_.size()) {
    const int result = filled == Filled::kLater ? SubmitAndWaitUntil(queue_.next_start())
                                                : io_uring_submit_and_wait(uring_->get(), 1);
    if (result >= 0) {
      failures = 0;
    } else if ((result != -EINTR && result != -EAGAIN && result != -EBUSY) ||
               ++failures == kMaxEnterFailures) {
      Break(NoUring("io_uring_enter", -result));
      return;
    }
    Reap();
  }
  queue_.RefuseUntilClosed(absl::CancelledError("the engine was closed"));
}

int UringEngine::SubmitAndWaitUntil(ReadQueue::Clock::time_point time) {
  const auto left =
      std::chrono::duration_cast<std::chrono::nanoseconds>(time - ReadQueue::Clock::now());
  __kernel_timespec timeout = {.tv_sec = 0, .tv_nsec = std::max<int64_t>(1, left.count())};
  timeout.tv_sec = timeout.tv_nsec / 1000000000;
  timeout.tv_nsec %= 1000000000;
  io_uring_cqe* cqe;
  const int result = io_uring_submit_and_wait_timeout(uring_->get(), &cqe, 1, &timeout, nullptr);
  return result == -ETIME ? 0 : result;
}

UringEngine::Filled UringEngine::Fill() {
  while (!free_slots_.empty()) {
    const int slot = free_slots_.back();
    switch (queue_.TryTake(&slots_[slot])) {
      case ReadQueue::Taken::kClosed:
        return Filled::kClosed;
      case ReadQueue::Taken::kEmpty:
        return Filled::kAll;
      case ReadQueue::Taken::kLater:
        return Filled::kLater;
      case ReadQueue::Taken::kRead:
        free_slots_.pop_back();
        Prepare(slot);
    }
  }
  return Filled::kAll;
}

void UringEngine::Prepare(int slot) {
  const Read& read = slots_[slot];
  // There is always a free entry: the ring has one for each slot, and one for the eventfd.
  io_uring_sqe* const sqe = io_uring_get_sqe(uring_->get());
  const int fd = files_registered_ ? read.file : files_[read.file].fd();
  const auto holds = [&read](absl::Span<std::byte> buffer) {
    return buffer.data() <= read.data && read.data + read.room <= buffer.data() + buffer.size();
  };
  const auto buffer = std::find_if(registered_.begin(), registered_.end(), holds);
  const int index = static_cast<int>(buffer - registered_.begin());
  const bool fixed = buffer != registered_.end();
  if (read.write && fixed) {
    io_uring_prep_write_fixed(sqe, fd, read.data, read.room, read.offset, index);
  } else if (read.write) {
    io_uring_prep_write(sqe, fd, read.data, read.room, read.offset);
  } else if (fixed) {
    io_uring_prep_read_fixed(sqe, fd, read.data, read.room, read.offset, index);
  } else {
    io_uring_prep_read(sqe, fd, read.data, read.room, read.offset);
  }
  if (files_registered_) sqe->flags |= IOSQE_FIXED_FILE;
  sqe->user_data = slot;
}

void UringEngine::ArmWake() {
  io_uring_sqe* const sqe = io_uring_get_sqe(uring_->get());
  io_uring_prep_poll_add(sqe, wake_.get(), POLLIN);
  sqe->user_data = kWakeUserData;
}

void UringEngine::Reap() {
  io_uring_cqe* cqe;
  while (io_uring_peek_cqe(uring_->get(), &cqe) == 0) {
    const uint64_t user_data = cqe->user_data;
    const int result = cqe->res;
    io_uring_cqe_seen(uring_->get(), cqe);
    if (user_data == kWakeUserData) {
      uint64_t count;
      [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &count, sizeof(count));
      ArmWake();
      continue;
    }
    const int slot = static_cast<int>(user_data);
    // A read that comes back as cancelled is done here. Nobody cancelled it: calls that block go to
    // threads of the kernel, which count as this process's, and the kernel cancels the call if none
    // of them starts.
    if (queue_.Complete(result == -ECANCELED ? CallHere(slots_[slot]) : result, &slots_[slot])) {
      Prepare(slot);
    } else {
      free_slots_.push_back(slot);
    }
  }
}

int UringEngine::CallHere(const Read& read) {
  if (const ThreadShortageFn tell = std::exchange(on_fewer_threads_, nullptr)) {
    tell(ThreadShortage("of the kernel for io_uring", static_cast<int64_t>(slots_.size()), 0,
                        absl::ResourceExhaustedError(DescribeThreadLimit(Thread::kStackBytes))));
  }
  const int fd = files_[read.file].fd();
  const ssize_t result = read.write ? pwrite(fd, read.data, read.room, read.offset)
                                    : pread(fd, read.data, read.room, read.offset);
  return result < 0 ? -errno : static_cast<int>(result);  // at most 1 GiB, as ReadQueue cuts reads
}

void UringEngine::Break(const absl::Status& status) {
  uring_->Exit();  // the kernel keeps the pages of reads in flight until they have ended
  for (Read& read : slots_) {
    if (read.job != nullptr) queue_.End(absl::Status(status.code(), status.message()), &read);
  }
  queue_.RefuseUntilClosed(status);
}

}  // namespace sluice
