// The interface through which a pass takes slabs, in host memory or in a device's.
#ifndef SLUICE_PREFETCH_SLAB_SOURCE_H_
#define SLUICE_PREFETCH_SLAB_SOURCE_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "prefetch/timeline.h"
#include "prefetch/walk.h"

namespace sluice {

class SlabSource;

// How often a wait for a slab looks at its `stop` flag.
inline constexpr std::chrono::milliseconds kStopInterval(50);

// The right to read a slab's bytes, until the lease is destroyed. Leases may be destroyed in any
// order, but before their source.
class Lease {
 public:
  // The slabs that a source hands out with one lease.
  struct Grant {
    Visit visit;
    int num_slabs = 1;    // the first of them is visit.slab
    int64_t ticket = -1;  // of the source's ring; -1: the slab is not in it
    bool on_host = true;
    absl::Span<const std::byte> bytes;
  };

  Lease() = default;
  // The lease goes back to `source` when it is destroyed.
  Lease(SlabSource* source, const Grant& grant) : source_(source), grant_(grant) {}
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease();

  const Visit& visit() const { return grant_.visit; }
  int slab() const { return grant_.visit.slab; }  // index into the cycle
  // The number of slabs from slab() on; more than one where slabs on a device lie one behind the
  // other.
  int num_slabs() const { return grant_.num_slabs; }
  // Host memory is aligned to 4096 bytes. Device memory is aligned to 256 bytes in the ring; a
  // resident slab begins where the slab before it ends.
  absl::Span<const std::byte> bytes() const { return grant_.bytes; }
  // Returns whether bytes() are host memory. A device's source then keeps them there for its whole
  // life.
  bool on_host() const { return grant_.on_host; }

 private:
  SlabSource* source_ = nullptr;  // null: there is nothing to give back
  Grant grant_;
};

// One thread calls Next() and drops the leases.
class SlabSource {
 public:
  virtual ~SlabSource() = default;

  // Returns the next slab of the walk, and blocks until it can be used; each source says more.
  // FailedPrecondition: the leases that are held leave no room for the next slab (there is no
  // deadlock); the call may be repeated once a lease was dropped. Cancelled: `stop` is given and
  // became true while the call waited; it returns within kStopInterval and may be repeated. (A
  // signal handler sets the flag, and cannot wake anybody.) Leases stay valid after any error.
  virtual absl::StatusOr<Lease> Next(const std::atomic<bool>* stop = nullptr) = 0;

  // Waits for the work of all dropped leases and adds its times to the counters. Called after a
  // pass by the thread that calls Next().
  virtual absl::Status Settle() = 0;

  // Returns the moves of slabs since the last call, in each memory in order of time. Of more than
  // Timeline::kEvents moves only the latest are kept. Any thread.
  virtual std::vector<TimelineEvent> TakeTimeline() = 0;

 protected:
  friend class Lease;
  // The destructor of a lease calls this.
  virtual void Release(const Lease::Grant& grant) = 0;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_SLAB_SOURCE_H_
