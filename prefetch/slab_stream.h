// Hands out slabs in cycle order, for ever, and those that a pass appends, reading ahead as far as
// its rings have room.
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
  int64_t ring_bytes = 0;  // for streamed slabs; at least the largest place_bytes() of them.
                           // 0 is right where every slab is resident. From 2 MiB on it is rounded
                           // up to 2 MiB, and all of that is used.
  // For streamed slabs of visits that are appended; 0: there are none.
  int64_t appended_ring_bytes = 0;
  // They verify and decode. One checks 7 GB/s and more, but decodes only some 2 GB/s.
  int worker_threads = 1;
  bool verify_once = false;  // only the first time that a slab is read
  // Where not null, the memory of slabs is pinned for copies to it. Outlives the stream.
  Device* device = nullptr;
  // If not null, it is set to the bytes that could be pinned. If Create failed because the system
  // pins no more, these are fewer than the bytes of the ring and the resident slabs.
  int64_t* pinned_bytes = nullptr;
};

// Each stage's seconds add up to wall_seconds, the workers' to worker_threads times that.
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
  // Of the slabs that are read on the first walk only, resident ones and others
  int64_t kept_bytes_read = 0;
};

class SlabStream : public SlabSource {
 public:
  // Memory that a stream over `cycle` holds: its rings (rounded to a huge page where they are that
  // large) plus the places of resident slabs, and what its tables and threads take. For the
  // planner.
  static int64_t MemoryBytes(absl::Span<const StreamSlab> cycle, int64_t ring_bytes,
                             int worker_threads = 1, int64_t appended_ring_bytes = 0);

  // Opens the files and starts reading at once. `paths` may hold more files than the cycle uses
  // (the embedding's, for ReadRanges).
  static absl::StatusOr<std::unique_ptr<SlabStream>> Create(std::vector<std::string> paths,
                                                            std::vector<StreamSlab> cycle,
                                                            const StreamOptions& options);

  // The same on an engine of the caller's (tests: faults). The factory is called once, with the
  // paths, the buffers to register, and options.io.
  using EngineFactory = std::function<absl::StatusOr<std::unique_ptr<IoEngine>>(
      const std::vector<std::string>&, absl::Span<const absl::Span<std::byte>>, const IoOptions&)>;
  static absl::StatusOr<std::unique_ptr<SlabStream>> CreateWithEngine(
      std::vector<std::string> paths, std::vector<StreamSlab> cycle, const StreamOptions& options,
      const EngineFactory& make_engine);

  // Waits for the reads in flight. No lease may be held, and no call may be running.
  ~SlabStream() override;

  // The next slab of the walk 0, 1, ..., n-1, 0, ... (without what was for the first walk only);
  // blocks until it is verified. A lease not yet dropped keeps its room in the ring. DataLoss:
  // wrong checksum; Unavailable: failed or short read; both name file, slab and offset, come when
  // the walk reaches that slab (those before it are still handed out), and every later call returns
  // the same. Cancelled after Cancel(). OutOfRange: after the first walk of a cycle that is for the
  // first walk only.
  absl::StatusOr<Lease> Next(const std::atomic<bool>* stop = nullptr) override;
  absl::Status Settle() override { return absl::OkStatus(); }

  // Wants a visit to a slab ahead of those of the loop that were not handed out yet, behind what
  // was appended before: the next calls of Next() hand it out. Appended visits have a ring of their
  // own, which what was read ahead for the loop cannot fill. `pass` is for the timeline. Returns
  // the visit's id. InvalidArgument: no such slab, or it does not fit that ring. Any thread.
  absl::StatusOr<int64_t> Append(int slab, int64_t pass, Urgency urgency);
  // Takes back an appended visit; without effect once it was handed out. Any thread.
  void Drop(int64_t id);

  // While on, slabs that arrive are left for VerifyArrived(), except while Next() waits: then a
  // worker checks them, as always while off, which it is at first. For threads that compute on all
  // CPUs: a worker that woke up beside them would take a CPU from one of them, and the others would
  // wait for that one (with two threads on two CPUs, 8% of a pass of 384 rows for 3% of its work).
  // Compressed slabs are for workers in any case. For the thread that calls Next().
  void LeaveVerifying(bool on);
  // Checks a slab that has arrived and that nobody checks yet, if LeaveVerifying is on and there is
  // one. Any thread.
  void VerifyArrived();

  // Reads [offset, offset + out.size()) of a file ahead of the queued slabs, and waits. Any
  // alignment (embedding rows). Does the read on the engine's thread, not the caller's. Several
  // ranges go out at once. Not verified: rows carry checksums of their own. Any thread.
  // Unavailable: as Next(); it does not end the stream, and Cancel() does not end it.
  struct Range {
    int file;
    int64_t offset;
    absl::Span<std::byte> out;
  };
  absl::Status ReadRanges(absl::Span<const Range> ranges);

  // Wakes a blocked Next() with Cancelled. Async-signal-safe it is not: call it from a thread.
  void Cancel();

  // Any thread.
  StreamCounters counters() const;
  const std::string& io_description() const;
  // The engine that reads the slabs, for whoever else reads or writes. What is given to it must
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
