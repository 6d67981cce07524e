// The state of a DeviceStream and the functions that its source files share.
#ifndef SLUICE_PREFETCH_DEVICE_STREAM_STATE_H_
#define SLUICE_PREFETCH_DEVICE_STREAM_STATE_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/base/mutex.h"
#include "kernels/cpu/thread.h"
#include "kernels/device.h"
#include "prefetch/device_clock.h"
#include "prefetch/device_link.h"
#include "prefetch/device_ring.h"
#include "prefetch/device_stream.h"
#include "prefetch/device_timers.h"
#include "prefetch/event_pool.h"
#include "prefetch/kept_places.h"
#include "prefetch/slab_stream.h"
#include "prefetch/timeline.h"
#include "prefetch/walk.h"

namespace sluice {

struct DeviceStream::State {
  using Time = std::chrono::steady_clock::time_point;
  static Time Now() { return std::chrono::steady_clock::now(); }

  // The copying thread's states, and where its time goes:
  //
  //   kIssuing -> kWaitingForHost <-> kWaitingForCopies  for the next slab; the host's ring is full
  //   kIssuing -> kWaitingForRoom                        in the device's ring
  //   kIssuing -> kHeldBack                              by the simulated link
  //   kIssuing -> kEnded                                 an error, or all slabs are kept
  //
  // Each state but kEnded goes back to kIssuing. The compute thread makes that move from
  // kWaitingForRoom when it drops a lease; the copying thread makes all others.
  enum CopierState {
    kIssuing,
    kWaitingForHost,
    kWaitingForCopies,
    kWaitingForRoom,
    kHeldBack,
    kEnded,
    kCopierStates
  };

  // The states of Next(), and where its time goes.
  enum ConsumerState { kNotWaiting, kWaitingForDisk, kWaitingForCopy, kConsumerStates };

  State(std::unique_ptr<SlabStream> host, std::vector<DeviceSlab> cycle,
        const DeviceStreamOptions& options);

  // A slab that was copied, or is being copied, and is not leased yet.
  struct Copied {
    Visit visit;          // of the host's walk
    int64_t ticket = -1;  // -1: a kept slab, or one on the host
    const std::byte* data = nullptr;
    EventPool::Handle done = nullptr;  // null: on the host
  };
  // A copy that may still read host memory.
  struct InFlight {
    Visit visit;
    Lease lease;  // the host's
    EventPool::Handle begun;
    EventPool::Handle done;
    Time asked;
    Time simulated_end;  // when the simulated link is done; long ago if no link is simulated
  };
  absl::Status StartThreads();
  void RunCopier();
  void RunRetirer();
  absl::Status CopyNext();
  absl::StatusOr<Lease> NextOfHost();
  // If this walk leaves the host's slab in host memory, hands it on and returns true.
  bool LeaveOnHost(const Lease& lease);
  // Waits for room in the ring. Cancelled: the stream is being closed.
  absl::StatusOr<DeviceRing::Room> TakeRoom(int64_t bytes);
  // Takes `bytes` of the simulated link. Returns when the link will be done with them.
  Time TakeLink(int64_t bytes);
  // Adds the times of a copy that is done to the counters.
  absl::Status TimeCopy(const InFlight& copy);
  // Adds the times of the oldest leases to the counters until `most` are left.
  absl::Status Settle(size_t most);
  // Returns whether a run of kept slabs ends with this one, so that the end of its lease must be
  // known.
  bool LastKept(int slab) const { return !cycle[(slab + 1) % cycle.size()].kept; }
  bool AllKept() const {
    return std::all_of(cycle.begin(), cycle.end(),
                       [](const DeviceSlab& slab) { return slab.kept; });
  }

  static bool MayMoveCopier(int from, CopierState to);
  void End(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Moves the copying thread to a state; asserts that the drawing above has the move. Does nothing
  // if the thread is in that state.
  void MoveCopier(CopierState to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Returns what Next() waits for while the copying thread is in its state.
  ConsumerState ConsumerWait() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Returns whether Next() has something to hand out.
  bool HasCome() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Blocks until HasCome(). Cancelled: `stop` was set.
  absl::Status AwaitCopied(const std::atomic<bool>* stop) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  const std::vector<DeviceSlab> cycle;
  const KeptPlaces kept;
  Stream* const compute;
  EventPool events;
  DeviceLink link;
  DeviceRange ring_memory;
  DeviceRange kept_memory;
  std::unique_ptr<Stream> copies;  // the copying thread's

  CopyTimer copy_timer;      // the retiring thread's
  KernelTimer kernel_timer;  // the compute thread's
  bool every_lease = false;  // the compute thread's
  Walk walk;                 // the compute thread's: what Next() hands out

  mutable Mutex mutex;
  CondVar copied_more;     // to Next()
  CondVar room;            // to the copying thread: a lease was dropped, a host lease returned
  CondVar in_flight_more;  // to the retiring thread
  DeviceRing ring ABSL_GUARDED_BY(mutex);
  std::deque<Copied> copied ABSL_GUARDED_BY(mutex);
  std::deque<InFlight> in_flight ABSL_GUARDED_BY(mutex);
  int64_t retired ABSL_GUARDED_BY(mutex) = 0;  // copies that are done, their host leases dropped
  // What Next() returns once `copied` is empty.
  absl::Status failure ABSL_GUARDED_BY(mutex);
  absl::Status ended ABSL_GUARDED_BY(mutex);  // what every Next() returns at once
  // In pass `on_host_pass`, slabs marked `host` stay on the host from slab `on_host_from` on. For
  // the visit `decided`, and for all before it, the choice between copying and staying is made.
  int64_t on_host_pass ABSL_GUARDED_BY(mutex) = -1;
  int on_host_from ABSL_GUARDED_BY(mutex) = 0;
  Visit decided ABSL_GUARDED_BY(mutex);
  // [num_slabs]: the bytes of slabs marked `host`, noted as they were read.
  std::vector<absl::Span<const std::byte>> host_bytes ABSL_GUARDED_BY(mutex);
  int64_t slabs_copied ABSL_GUARDED_BY(mutex) = 0;
  int64_t bytes_copied ABSL_GUARDED_BY(mutex) = 0;
  // How long the link was busy up to link_busy_until, which may lie ahead when the link is
  // simulated.
  std::chrono::steady_clock::duration link_busy ABSL_GUARDED_BY(mutex){0};
  Time link_busy_until ABSL_GUARDED_BY(mutex);
  KernelSums kernels ABSL_GUARDED_BY(mutex);
  StageClock<kCopierStates> copier_clock ABSL_GUARDED_BY(mutex);
  StageClock<kConsumerStates> consumer ABSL_GUARDED_BY(mutex);  // Next()
  Timeline timeline ABSL_GUARDED_BY(mutex);                     // of the device

  const std::unique_ptr<SlabStream> host;  // no lease of it is left once the threads are gone
  Thread copier;
  Thread retirer;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_DEVICE_STREAM_STATE_H_
