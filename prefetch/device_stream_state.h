// What a stream to a device consists of: for the files that it is made of.
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

  // What the copying thread does, and where its time goes:
  //
  //   kIssuing -> kWaitingForHost <-> kWaitingForCopies  for the next slab; its ring is full
  //   kIssuing -> kWaitingForRoom                        in the device's ring
  //   kIssuing -> kHeldBack                              by the simulated link
  //   kIssuing -> kEnded                                 by an error, or as all slabs stay
  //
  // and back to kIssuing, but from kEnded. The compute thread moves it from kWaitingForRoom, as it
  // drops a lease; all other moves are the copying thread's.
  enum CopierState {
    kIssuing,
    kWaitingForHost,
    kWaitingForCopies,
    kWaitingForRoom,
    kHeldBack,
    kEnded,
    kCopierStates
  };

  // What Next() does, and where its time goes.
  enum ConsumerState { kNotWaiting, kWaitingForDisk, kWaitingForCopy, kConsumerStates };

  State(std::unique_ptr<SlabStream> host, std::vector<DeviceSlab> cycle,
        const DeviceStreamOptions& options);

  // What was copied, or is being copied, and not leased yet.
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
    Time simulated_end;  // of the simulated link; long ago where there is none
  };
  absl::Status StartThreads();
  void RunCopier();
  void RunRetirer();
  absl::Status CopyNext();
  absl::StatusOr<Lease> NextOfHost();
  // Whether a slab of the host's stays there in this walk; if so, hands it on.
  bool LeaveOnHost(const Lease& lease);
  // Waits for room in the ring. Cancelled: the stream is being closed.
  absl::StatusOr<DeviceRing::Room> TakeRoom(int64_t bytes);
  // Returns when the simulated link has room for `bytes` more, and when it will be done with them.
  Time TakeLink(int64_t bytes);
  // Looks at the times of a copy that is done.
  absl::Status TimeCopy(const InFlight& copy);
  // Looks at the times of the oldest leases until `most` are left.
  absl::Status Settle(size_t most);
  // Whether the end of a lease must be known whose last slab is this one, which stays: only if
  // another kind comes next.
  bool LastKept(int slab) const { return !cycle[(slab + 1) % cycle.size()].kept; }
  bool AllKept() const {
    return std::all_of(cycle.begin(), cycle.end(),
                       [](const DeviceSlab& slab) { return slab.kept; });
  }

  static bool MayMoveCopier(int from, CopierState to);
  void End(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Moves the copying thread; asserts that the move is one of those above. Does nothing where the
  // thread is in that state.
  void MoveCopier(CopierState to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // What Next() waits for while the copying thread is in its state.
  ConsumerState ConsumerWait() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Whether Next() has something to return.
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
  // What Next() returns when nothing is left in `copied`.
  absl::Status failure ABSL_GUARDED_BY(mutex);
  absl::Status ended ABSL_GUARDED_BY(mutex);  // what every Next() returns at once
  // In pass `on_host_pass` slabs marked `host` are left on the host, from `on_host_from` on. The
  // visit that was `decided` last, and all before it, went the way that they went on.
  int64_t on_host_pass ABSL_GUARDED_BY(mutex) = -1;
  int on_host_from ABSL_GUARDED_BY(mutex) = 0;
  Visit decided ABSL_GUARDED_BY(mutex);
  // [num_slabs], of those marked `host` as they were read.
  std::vector<absl::Span<const std::byte>> host_bytes ABSL_GUARDED_BY(mutex);
  int64_t slabs_copied ABSL_GUARDED_BY(mutex) = 0;
  int64_t bytes_copied ABSL_GUARDED_BY(mutex) = 0;
  // Up to link_busy_until, which may lie ahead: simulated.
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
