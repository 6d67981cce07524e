// Hands out slabs in the order of the cycle, for ever, and slabs that a pass appends. It reads
// ahead as far as its rings have room.
#ifndef SLUICE_PREFETCH_SLAB_STREAM_H_
#define SLUICE_PREFETCH_SLAB_STREAM_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/device.h"
#include "prefetch/io/io_engine.h"
#include "prefetch/slab_source.h"
#include "prefetch/stream_slab.h"
#include "prefetch/timeline.h"

namespace sluice {

struct StreamOptions {
  IoOptions io = {};
  // The ring for streamed slabs: at least the largest place_bytes() of them, or 0 if every slab is
  // resident. From 2 MiB on it is rounded up to 2 MiB, and all of that is used.
  int64_t ring_bytes = 0;
  // The ring for slabs of appended visits. 0: no visit is appended.
  int64_t appended_ring_bytes = 0;
  // The workers verify and decode. One checks 7 GB/s and more, but decodes only some 2 GB/s.
  int worker_threads = 1;
  bool verify_once = false;  // a slab is verified only the first time that it is read
  // If not null, the memory of slabs is pinned for copies to this device, which outlives the
  // stream.
  Device* device = nullptr;
  // If not null, it is set to the number of bytes that could be pinned. If Create failed because
  // the system pins no more, the number is smaller than the bytes of the ring and the resident
  // slabs.
  int64_t* pinned_bytes = nullptr;
};

// The seconds of each stage add up to wall_seconds; those of the workers to worker_threads times
// that.
struct StreamCounters {
  IoCounters io;
  int64_t slabs_leased = 0;
  int64_t bytes_leased = 0;        // decoded
  double wall_seconds = 0;         // since the stream was created
  double wait_seconds = 0;         // Next() waiting for a slab
  double verify_seconds = 0;       // of all workers: checking XXH3
  double unpack_seconds = 0;       // of all workers: decoding compressed slabs
  double worker_idle_seconds = 0;  // of all workers
  double aside_seconds = 0;        // of the threads that called VerifyArrived(): checking XXH3
  int64_t ring_bytes = 0;
  int64_t resident_bytes = 0;  // memory held for resident slabs
  // Bytes of slabs that are read only on the first walk, resident ones and others.
  int64_t kept_bytes_read = 0;
};

class SlabStream : public SlabSource {
 public:
  // Returns the memory that a stream over `cycle` holds, for the planner: its rings (rounded to a
  // huge page if they are that large), the places of resident slabs, its tables, and what its
  // threads take.
  static int64_t MemoryBytes(absl::Span<const StreamSlab> cycle, int64_t ring_bytes,
                             int worker_threads = 1, int64_t appended_ring_bytes = 0);

  // Opens the files and starts reading at once. `paths` may name more files than the cycle uses
  // (the embedding's, for ReadRanges).
  static absl::StatusOr<std::unique_ptr<SlabStream>> Create(std::vector<std::string> paths,
                                                            std::vector<StreamSlab> cycle,
                                                            const StreamOptions& options);

  // Does the same with an engine of the caller's (tests inject faults). The factory is called once,
  // with the paths, the buffers to register, and options.io.
  using EngineFactory = std::function<absl::StatusOr<std::unique_ptr<IoEngine>>(
      const std::vector<std::string>&, absl::Span<const absl::Span<std::byte>>, const IoOptions&)>;
  static absl::StatusOr<std::unique_ptr<SlabStream>> CreateWithEngine(
      std::vector<std::string> paths, std::vector<StreamSlab> cycle, const StreamOptions& options,
      const EngineFactory& make_engine);

  // Waits for the reads in flight. No lease may be held, and no call may be running.
  ~SlabStream() override;

  // Returns the next slab of the walk 0, 1, ..., n-1, 0, ...; later walks leave out slabs that are
  // for the first walk only. Blocks until the slab is verified. A lease keeps its room in the ring
  // until it is dropped. DataLoss: wrong checksum. Unavailable: failed or short read. Both name
  // file, slab and offset and are returned when the walk reaches that slab, after the slabs before
  // it; every later call returns the same. Cancelled: Cancel() was called. OutOfRange: the first
  // walk is over, and all slabs of the cycle are for the first walk only.
  absl::StatusOr<Lease> Next(const std::atomic<bool>* stop = nullptr) override;
  absl::Status Settle() override { return absl::OkStatus(); }

  // Appends a visit to a slab. Next() hands it out ahead of the visits of the loop that were not
  // handed out yet, and behind earlier appended visits. Appended visits have a ring of their own,
  // which slabs that are read ahead for the loop cannot fill. `pass` is for the timeline. Returns
  // the visit's id. InvalidArgument: there is no such slab, or it does not fit that ring. Any
  // thread.
  absl::StatusOr<int64_t> Append(int slab, int64_t pass, Urgency urgency);
  // Takes an appended visit back; does nothing if it was handed out. Any thread.
  void Drop(int64_t id);

  // While this is on, slabs that arrive are left for VerifyArrived(); only while Next() waits does
  // a worker check them. While it is off, as at first, workers check all slabs. It is for threads
  // that compute on all CPUs: a worker that wakes up beside them takes a CPU from one of them, and
  // the others wait for that one (with two threads on two CPUs, 8% of a pass of 384 rows for 3% of
  // its work). Workers decode compressed slabs in any case. Called by the thread that calls Next().
  void LeaveVerifying(bool on);
  // Checks a slab that has arrived and that nobody checks yet, if LeaveVerifying is on and there is
  // such a slab. Any thread.
  void VerifyArrived();

  // Reads [offset, offset + out.size()) of a file, at any alignment, ahead of the queued slabs, and
  // waits. It is for embedding rows. The engine's thread reads, not the caller's, and several
  // ranges go out at once. Nothing is verified, as rows carry checksums of their own. Unavailable:
  // as for Next(), but it does not end the stream. Cancel() does not end a call. Any thread.
  struct Range {
    int file;
    int64_t offset;
    absl::Span<std::byte> out;
  };
  absl::Status ReadRanges(absl::Span<const Range> ranges);

  // Wakes a blocked Next() with Cancelled. It is not async-signal-safe: call it from a thread.
  void Cancel();

  // Any thread.
  StreamCounters counters() const;
  const std::string& io_description() const;
  // Returns the engine that reads the slabs, for other reads and writes. The buffers of those must
  // outlive the stream.
  IoEngine* io_engine() const;
  std::vector<TimelineEvent> TakeTimeline() override;

 private:
  struct State;
  explicit SlabStream(std::unique_ptr<State> state);
  void Release(const Lease::Grant& grant) override;
  std::unique_ptr<State> state_;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_SLAB_STREAM_H_
