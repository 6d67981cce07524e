// What a pass takes slabs from, whichever memory they are handed out in.
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

// The right to read a slab's bytes, until the lease is destroyed (any order, before its source).
class Lease {
 public:
  // What a source hands out.
  struct Grant {
    Visit visit;
    int num_slabs = 1;    // from visit.slab on
    int64_t ticket = -1;  // of the source's ring; -1: the slab is not in it
    bool on_host = true;
    absl::Span<const std::byte> bytes;
  };

  Lease() = default;
  // `source` takes the lease back.
  Lease(SlabSource* source, const Grant& grant) : source_(source), grant_(grant) {}
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease();

  const Visit& visit() const { return grant_.visit; }
  int slab() const { return grant_.visit.slab; }  // index into the cycle
  // From slab() on: more than one where slabs that stay on a device lie one behind the other.
  int num_slabs() const { return grant_.num_slabs; }
  // A host's: 4096-byte aligned. A device's: 256-byte aligned in its ring; of slabs that stay, as
  // those before them leave it.
  absl::Span<const std::byte> bytes() const { return grant_.bytes; }
  // Whether bytes() are host memory. A device's source then keeps them there for its whole life.
  bool on_host() const { return grant_.on_host; }

 private:
  SlabSource* source_ = nullptr;  // null: there is nothing to give back
  Grant grant_;
};

// Next() and the dropping of leases are for one thread.
class SlabSource {
 public:
  virtual ~SlabSource() = default;

  // The next slab of the walk; blocks until it can be used, which the source says more of. Holding
  // so many leases that the next slab cannot fit is FailedPrecondition, never a deadlock, and the
  // call may be repeated once a lease was dropped. Where `stop` is given and becomes true while the
  // call waits, it returns Cancelled within kStopInterval, and may be repeated: a signal handler
  // sets the flag, which can wake nobody. Leases stay valid after any error.
  virtual absl::StatusOr<Lease> Next(const std::atomic<bool>* stop = nullptr) = 0;

  // Takes the times of all dropped leases into account, waiting for their work. For the thread that
  // calls Next(), after a pass.
  virtual absl::Status Settle() = 0;

  // The moves of slabs since the last call, those in each memory in order of time; of more than
  // Timeline::kEvents the latest. Any thread.
  virtual std::vector<TimelineEvent> TakeTimeline() = 0;

 protected:
  friend class Lease;
  // Called as a lease is dropped.
  virtual void Release(const Lease::Grant& grant) = 0;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_SLAB_SOURCE_H_
