// Reads and writes through io_uring: one thread submits, reaps and answers.
#ifndef SLUICE_PREFETCH_IO_URING_ENGINE_H_
#define SLUICE_PREFETCH_IO_URING_ENGINE_H_

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/cpu/thread.h"
#include "prefetch/io/io_engine.h"
#include "prefetch/io/io_file.h"
#include "prefetch/io/read_queue.h"

namespace sluice {

// Owns the thread "sluice-io", which alone touches the io_uring once it runs.
class UringEngine : public IoEngine {
 public:
  // Takes over `files` on success, and leaves them to the caller on failure. Unavailable: this
  // process may not use io_uring, or the kernel's is too old (reads need Linux 5.6).
  // ResourceExhausted: the system does not start the engine's thread.
  static absl::StatusOr<std::unique_ptr<IoEngine>> Create(
      std::vector<IoFile>* files, absl::Span<const absl::Span<std::byte>> buffers,
      const IoOptions& options);
  ~UringEngine() override;

  void Submit(IoRequest request) override;
  IoCounters counters() const override { return queue_.counters(); }
  const std::string& description() const override { return description_; }

 private:
  // An initialized io_uring; the destructor gives it back.
  class Uring {
   public:
    Uring() = default;
    Uring(const Uring&) = delete;
    Uring& operator=(const Uring&) = delete;
    ~Uring() { Exit(); }
    int Init(unsigned entries);  // 0 or -errno
    void Exit();
    io_uring* get() { return &ring_; }

   private:
    io_uring ring_ = {};
    bool initialized_ = false;
  };

  UringEngine(std::unique_ptr<Uring> uring, UniqueFd wake, std::vector<IoFile> files,
              const IoOptions& options);

  void RegisterFiles();
  void RegisterBuffers(absl::Span<const absl::Span<std::byte>> buffers, const IoOptions& options);

  // Everything below is called on the engine's thread, unless it says otherwise.
  void Run();
  // Queues reads while there are free slots. kLater: the next read waits for the simulated disk.
  enum class Filled : uint8_t { kAll, kLater, kClosed };
  Filled Fill();
  int SubmitAndWaitUntil(ReadQueue::Clock::time_point time);  // 0 or more, or -errno
  void Prepare(int slot);
  void ArmWake();
  void Reap();
  // Makes a call on this thread after the kernel has given it up, because it could start no thread
  // of its own for it. Returns bytes or -errno.
  int CallHere(const Read& read);
  // Ends the io_uring. Requests in flight, and all that come after, are answered with `status`.
  void Break(const absl::Status& status);
  void Wake();  // any thread

  std::vector<IoFile> files_;
  ThreadShortageFn on_fewer_threads_;  // empty once it was called
  ReadQueue queue_;
  std::unique_ptr<Uring> uring_;
  UniqueFd wake_;  // an eventfd; once it is readable, the thread looks at the queue
  bool files_registered_ = false;
  std::vector<absl::Span<std::byte>> registered_;  // by buffer index
  std::string description_;

  std::vector<Read> slots_;  // the reads in flight, by user_data; `job` is null in a free slot
  std::vector<int> free_slots_;
  Thread thread_;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_IO_URING_ENGINE_H_
