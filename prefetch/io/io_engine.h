// Reads and writes past the page cache, with several requests in flight, in order of priority.
#ifndef SLUICE_PREFETCH_IO_IO_ENGINE_H_
#define SLUICE_PREFETCH_IO_IO_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/cpu/thread.h"

namespace sluice {

enum class IoKind : uint8_t { kAuto, kUring, kThreads };
// "auto", "uring", "threads".
absl::StatusOr<IoKind> ParseIoKind(absl::string_view name);

struct IoOptions {
  IoKind kind = IoKind::kAuto;  // kAuto: io_uring where it is permitted, else the pread threads
  int queue_depth = 32;         // reads in flight, of each disk
  int64_t read_bytes = int64_t{1} << 20;  // a larger request is split into reads of this size
  bool direct = true;            // O_DIRECT where the file system has it, else buffered and dropped
  bool register_buffers = true;  // with io_uring, where RLIMIT_MEMLOCK has room for them
  // Simulates a slower disk (prefetch/io/simulated_disk.h). 0: as fast as the disk is.
  int64_t max_bytes_per_s = 0;
  // If not empty, a file without a name in this folder follows `paths`; it can be written, too.
  std::string scratch_dir = {};
  // Called if some of the engine's threads cannot be started.
  ThreadShortageFn on_fewer_threads = {};
};

// The order in which requests go out, among those that are not in flight yet; equal ones go in the
// order they came. Each disk has one queue for reads and writes.
enum class IoPriority : uint8_t {
  kWaitedFor,  // embedding rows and pages of the KV cache: the pass stands, or soon will
  kSoon,       // slabs that the pass found it needs
  kInTurn,     // slabs that are read ahead
};
inline constexpr int kNumIoPriorities = 3;

// A read of a whole range, or a write. `buffer` must stay until `done` was called.
struct IoRequest {
  int file = 0;        // index into the engine's files
  int64_t offset = 0;  // a multiple of 4096
  // 4096-aligned; its size is `bytes` rounded up to 4096 (a file may end inside the last 4096).
  absl::Span<std::byte> buffer;
  int64_t bytes = 0;   // bytes that must arrive, at least 1
  bool write = false;  // of the whole buffer to the scratch file, `bytes` being a multiple of 4096
  IoPriority priority = IoPriority::kInTurn;
  // Called on an engine thread, exactly once. It must not block; it may Submit. Unavailable: the
  // read or write failed, or the file ended; names path and offset.
  std::function<void(absl::Status)> done;
};

struct IoCounters {
  int64_t bytes_read = 0;
  int64_t bytes_written = 0;
  // With at least one read or write in flight, or as long as the simulated disk would have taken
  double busy_seconds = 0;
  double idle_seconds = 0;  // the rest of the time since the engine was created
};

// Reads and writes, with one queue a disk. Thread-safe. Owns its threads. The destructor lets the
// requests in flight end, answers the queued ones with Cancelled and joins the threads.
class IoEngine {
 public:
  virtual ~IoEngine() = default;

  // Opens `paths`, and creates the scratch file if one is asked for. `buffers` are regions that
  // requests will mostly read into: io_uring registers them if the system allows (in pieces of at
  // most 1 GiB). description() names every fallback that was taken. Unavailable: the system does
  // not have the kind that `options.kind` demands. ResourceExhausted: the system starts no thread.
  static absl::StatusOr<std::unique_ptr<IoEngine>> Create(
      const std::vector<std::string>& paths, absl::Span<const absl::Span<std::byte>> buffers,
      const IoOptions& options);

  virtual void Submit(IoRequest request) = 0;
  virtual IoCounters counters() const = 0;
  // Says what is in use, for the report: "io_uring, O_DIRECT, registered buffers".
  virtual const std::string& description() const = 0;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_IO_IO_ENGINE_H_
