// The state of a SlabStream and the functions that its source files share.
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
  // The states of a worker, and where its time goes.
  enum WorkerState { kIdle, kChecking, kDecoding, kWorkerStates };
  // The states of Next(), and where its time goes.
  enum ConsumerState { kNotWaiting, kWaiting, kConsumerStates };

  // Where a visit's slab lies, from the request until its lease is dropped.
  struct Place {
    Visit visit;
    int64_t ticket = -1;  // of RingOf(visit)
  };

  State(std::vector<std::string> paths, std::vector<StreamSlab> cycle, bool verify_once,
        HostBuffer ring_memory, HostBuffer appended_memory, HostBuffer arena, HostBuffer bounce);
  ~State();

  // Returns the ring that the visit's slab lies in; null if the slab is resident.
  Ring* RingOf(const Visit& visit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return cycle[visit.slab].resident ? nullptr : visit.appended ? &appended_ring : &ring;
  }
  // Returns where the slab lies.
  std::byte* AddressOf(const Place& place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Returns the buffer that the slab is read into. A compressed slab is read to the end of its
  // place and decoded forward from there.
  absl::Span<std::byte> ReadBufferOf(const Place& place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  SlabState StateOf(const Place& place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Move(const Place& place, SlabState to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Visits to a resident slab share one failure.
  int64_t FailureKey(const Visit& visit) const {
    return cycle[visit.slab].resident ? -1 - visit.slab : visit.id;
  }
  // Returns the place that Next() hands out; null if its visit is not asked for yet.
  Place* Front() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  absl::Status StartWorkers(int count, const ThreadShortageFn& on_fewer_threads);
  void RunWorker(StageClock<kWorkerStates>* clock);
  void Arrived(const Place& place, const absl::Status& status);  // on an engine thread
  void VerifyArrived();
  absl::Status Verify(int slab, const std::byte* data) const;
  absl::Status Decode(int slab, std::byte* place, SlabDecoder* decoder) const;

  // Returns whether workers are to check slabs that have arrived.
  bool ForWorkers() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return !left_to_caller || consumer.state() == kWaiting;
  }
  // Moves a slab on once it was checked.
  void Checked(const Place& place, absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Asks for the visits that now have room.
  void RequestAhead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Request(const Place& place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Blocks until the front is ready. FailedPrecondition, OutOfRange, Cancelled: as for Next().
  absl::Status AwaitFront(const std::atomic<bool>* stop) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Returns why Next() cannot wait for a visit that is not asked for; OK: it can.
  absl::Status WhyNotAsked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Checks a slab on a worker's thread, without the mutex during the work.
  absl::Status CheckAt(const Place& place, StageClock<kWorkerStates>* clock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::Status DecodeAt(const Place& place, SlabDecoder* decoder, StageClock<kWorkerStates>* clock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  const std::vector<std::string> paths;
  const std::vector<StreamSlab> cycle;
  const size_t most_ahead;            // visits of the loop that may be asked for and not handed out
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
  Walk walk ABSL_GUARDED_BY(mutex);  // the visits that are not asked for yet
  Ring ring ABSL_GUARDED_BY(mutex);  // for visits of the loop
  Ring appended_ring ABSL_GUARDED_BY(mutex);
  // The visits that were asked for and are not handed out; appended visits go first.
  std::deque<Place> asked ABSL_GUARDED_BY(mutex);
  std::deque<Place> asked_appended ABSL_GUARDED_BY(mutex);
  // The ids of visits on their way that nobody wants any more.
  std::set<int64_t> dropped ABSL_GUARDED_BY(mutex);
  // [num_slabs]; kFree for slabs of the rings.
  std::vector<SlabState> resident ABSL_GUARDED_BY(mutex);
  std::deque<Place> arrived ABSL_GUARDED_BY(mutex);    // their slabs are kRead
  bool left_to_caller ABSL_GUARDED_BY(mutex) = false;  // LeaveVerifying
  // [num_slabs]: the slab need not be checked again
  std::vector<bool> verified ABSL_GUARDED_BY(mutex);
  std::map<int64_t, absl::Status> failures ABSL_GUARDED_BY(mutex);  // by FailureKey
  absl::Status ended ABSL_GUARDED_BY(mutex);       // once it is not OK, every Next() returns it
  bool closing ABSL_GUARDED_BY(mutex) = false;     // the workers end
  StreamCounters counters ABSL_GUARDED_BY(mutex);  // all but the engine's and the clocks'
  StageClock<kConsumerStates> consumer ABSL_GUARDED_BY(mutex);  // Next()
  std::deque<StageClock<kWorkerStates>> worker_clocks ABSL_GUARDED_BY(mutex);
  Timeline timeline ABSL_GUARDED_BY(mutex);

  std::unique_ptr<IoEngine> engine;
  std::optional<RangeReader> range_reader;
  std::vector<Thread> workers;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_SLAB_STREAM_STATE_H_
