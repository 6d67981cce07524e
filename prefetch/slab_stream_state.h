// What a stream consists of: for the files that it is made of.
#ifndef SLUICE_PREFETCH_SLAB_STREAM_STATE_H_
#define SLUICE_PREFETCH_SLAB_STREAM_STATE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/base/mutex.h"
#include "kernels/cpu/thread.h"
#include "kernels/device.h"
#include "prefetch/io/host_buffer.h"
#include "prefetch/io/io_engine.h"
#include "prefetch/range_reader.h"
#include "prefetch/ring.h"
#include "prefetch/slab_stream.h"
#include "prefetch/stream_slab.h"
#include "prefetch/timeline.h"
#include "prefetch/walk.h"
#include "storage/store/slab_codec.h"

namespace sluice {

struct SlabStream::State {
  // What a worker does, and where its time goes.
  enum WorkerState { kIdle, kChecking, kDecoding, kWorkerStates };
  // What Next() does, and where its time goes.
  enum ConsumerState { kNotWaiting, kWaiting, kConsumerStates };

  // Where a visit's slab lies, from when it is asked for until its lease is dropped.
  struct Place {
    Visit visit;
    int64_t ticket = -1;  // of RingOf(visit)
  };

  State(std::vector<std::string> paths, std::vector<StreamSlab> cycle, bool verify_once,
        HostBuffer ring_memory, HostBuffer appended_memory, HostBuffer arena, HostBuffer bounce);
  ~State();

  // Null where the slab is resident.
  Ring* RingOf(const Visit& visit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return cycle[visit.slab].resident ? nullptr : visit.appended ? &appended_ring : &ring;
  }
  // Where the slab lies.
  std::byte* AddressOf(const Place& place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Where it is read to: a compressed one at the end of its place, from where it is decoded
  // forward.
  absl::Span<std::byte> ReadBufferOf(const Place& place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  SlabState StateOf(const Place& place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Move(const Place& place, SlabState to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Visits to a resident slab share its failure.
  int64_t FailureKey(const Visit& visit) const {
    return cycle[visit.slab].resident ? -1 - visit.slab : visit.id;
  }
  // The place that Next() hands out; null: its visit is not asked for yet.
  Place* Front() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  absl::Status StartWorkers(int count, const ThreadShortageFn& on_fewer_threads);
  void RunWorker(StageClock<kWorkerStates>* clock);
  void Arrived(const Place& place, const absl::Status& status);  // on an engine thread
  void VerifyArrived();
  absl::Status Verify(int slab, const std::byte* data) const;
  absl::Status Decode(int slab, std::byte* place, SlabDecoder* decoder) const;

  // Whether slabs that have arrived are for a worker.
  bool ForWorkers() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return !left_to_caller || consumer.state() == kWaiting;
  }
  // What follows from a slab's checking.
  void Checked(const Place& place, absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Asks for the visits that now have room.
  void RequestAhead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Request(const Place& place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Blocks until the front is ready. FailedPrecondition, OutOfRange, Cancelled: as Next().
  absl::Status AwaitFront(const std::atomic<bool>* stop) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Why Next() cannot wait for a visit that is not asked for; OK: it can.
  absl::Status WhyNotAsked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // A worker's, which let go of the mutex for the work.
  absl::Status CheckAt(const Place& place, StageClock<kWorkerStates>* clock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::Status DecodeAt(const Place& place, SlabDecoder* decoder, StageClock<kWorkerStates>* clock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  const std::vector<std::string> paths;
  const std::vector<StreamSlab> cycle;
  const size_t most_ahead;            // visits of the loop that are asked for and not handed out
  std::vector<int64_t> arena_offset;  // [num_slabs]
  const bool verify_once;
  bool any_compressed = false;
  const HostBuffer ring_memory;
  const HostBuffer appended_memory;
  const HostBuffer arena;
  const HostBuffer bounce;
  std::vector<DeviceRange> pinned_ring;  // for copies to a device, where there is one
  std::vector<DeviceRange> pinned_arena;

  mutable Mutex mutex;
  CondVar slab_ready;                // signalled when a slab is ready or failed, and by Cancel()
  CondVar work;                      // signalled when arrived grows or closing is set
  Walk walk ABSL_GUARDED_BY(mutex);  // what is not asked for yet
  Ring ring ABSL_GUARDED_BY(mutex);  // of visits of the loop
  Ring appended_ring ABSL_GUARDED_BY(mutex);
  // What was asked for and is not handed out; appended visits go first.
  std::deque<Place> asked ABSL_GUARDED_BY(mutex);
  std::deque<Place> asked_appended ABSL_GUARDED_BY(mutex);
  // Ids of visits on their way that nobody wants any more.
  std::set<int64_t> dropped ABSL_GUARDED_BY(mutex);
  // [num_slabs]; kFree for slabs of the rings.
  std::vector<SlabState> resident ABSL_GUARDED_BY(mutex);
  std::deque<Place> arrived ABSL_GUARDED_BY(mutex);    // kRead
  bool left_to_caller ABSL_GUARDED_BY(mutex) = false;  // LeaveVerifying
  std::vector<bool> verified ABSL_GUARDED_BY(mutex);   // [num_slabs]: it need not be checked again
  std::map<int64_t, absl::Status> failures ABSL_GUARDED_BY(mutex);  // by FailureKey
  absl::Status ended ABSL_GUARDED_BY(mutex);       // once not OK, what every Next() returns
  bool closing ABSL_GUARDED_BY(mutex) = false;     // the workers are to go home
  StreamCounters counters ABSL_GUARDED_BY(mutex);  // but for the engine's and the clocks'
  StageClock<kConsumerStates> consumer ABSL_GUARDED_BY(mutex);  // Next()
  std::deque<StageClock<kWorkerStates>> worker_clocks ABSL_GUARDED_BY(mutex);
  Timeline timeline ABSL_GUARDED_BY(mutex);

  std::unique_ptr<IoEngine> engine;
  std::optional<RangeReader> range_reader;
  std::vector<Thread> workers;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_SLAB_STREAM_STATE_H_
