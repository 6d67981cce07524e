// Hands out slabs in device memory, in cycle order: the next ones are copied while earlier ones
// compute.
#ifndef SLUICE_PREFETCH_DEVICE_STREAM_H_
#define SLUICE_PREFETCH_DEVICE_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/device.h"
#include "prefetch/device_link.h"
#include "prefetch/slab_source.h"
#include "prefetch/slab_stream.h"

namespace sluice {

// One slab of the cycle, as the device sees it.
struct DeviceSlab {
  int64_t bytes = 0;  // that the host stream hands out
  bool kept = false;  // copied on the first walk, into memory of its own. Its StreamSlab is then
                      // first_walk_only.
  // its StreamSlab is resident: walks that ComputeOnHost() began leave it where it lies
  bool host = false;
  // Its bytes lie right behind those of the slab before it in the cycle, where both are kept. One
  // lease then has both.
  bool follows = false;
};

struct DeviceStreamOptions {
  Device* device = nullptr;
  // Where leases are used; of the thread that calls Next() and drops leases
  Stream* compute = nullptr;
  // For slabs that are not kept; at least the largest of them. Rounded up to 4096.
  int64_t ring_bytes = 0;
  // A slower link, simulated (prefetch/io/simulated_disk.h). 0: as fast as the link is.
  int64_t max_bytes_per_s = 0;
};

// What the copying thread did adds up to wall_seconds, and so do the two times of the link.
struct DeviceStreamCounters {
  int64_t slabs_copied = 0;
  int64_t bytes_copied = 0;
  double wall_seconds = 0;  // since the stream was created
  // The copying thread:
  double host_wait_seconds = 0;  // waiting for the host stream's next slab
  double copy_wait_seconds = 0;  // the host's ring is full of slabs that are being copied
  double room_wait_seconds = 0;  // waiting for room in the device's ring
  double held_back_seconds = 0;  // the simulated link is not done with the slab before
  double issue_seconds = 0;      // giving work to the copy stream
  double ended_seconds = 0;      // with nothing left to copy: all slabs stay, or one had an error
  // The link, of copies that are known to be done, by the device's clock:
  double link_busy_seconds = 0;  // copying, or as long as the simulated link would have
  double link_idle_seconds = 0;
  // The compute stream, by the device's clock, of leases that were settled. A pass's time that is
  // neither of the waits is its computing.
  // between the first use of a slab and the end of its lease, with waits for anything but its copy,
  // such as pages of a KV cache. Of slabs that stay, one after the other, from the first to the
  // last; a cycle of nothing else has none
  double kernel_seconds = 0;
  double wait_disk_seconds = 0;  // with nothing to do, while Next() waited for the host stream
  // For a copy that was queued, or that could not be as others were not done
  double wait_copy_seconds = 0;
  double wait_seconds = 0;  // the host in Next(), for either
};

// Owns two threads: one takes slabs from the host stream and queues their copies, one gives the
// host's memory back once a copy is done. prefetch/device_ring.h draws how a slot of the device's
// ring moves. The copying thread never waits for the device, and the compute thread only for what
// it queued some slabs ago, to look at its times.
//
// A lease lets work on the compute stream read a slab; dropping it marks where that work ends.
class DeviceStream : public SlabSource {
 public:
  // Device memory that a stream over `cycle` holds.
  static int64_t MemoryBytes(absl::Span<const DeviceSlab> cycle, int64_t ring_bytes);

  // Takes `host`, a stream over the same slabs, of which nothing was taken yet, and to whose walk
  // nothing is appended; starts copying at once. InvalidArgument: a slab that does not fit the
  // ring; ResourceExhausted: no such device memory.
  static absl::StatusOr<std::unique_ptr<DeviceStream>> Create(std::unique_ptr<SlabStream> host,
                                                              std::vector<DeviceSlab> cycle,
                                                              const DeviceStreamOptions& options);

  // Waits for the copies in flight and for the compute stream. No lease may be held.
  ~DeviceStream() override;

  // The next slab of the walk 0, 1, ..., n-1, 0, ...; blocks until its copy is queued, and makes
  // the compute stream wait for it. From the second walk on, kept slabs that follow each other come
  // together. Errors of the host stream come when the walk reaches their slab, those of the device
  // at once; every later call returns the same.
  absl::StatusOr<Lease> Next(const std::atomic<bool>* stop = nullptr) override;

  // To be called before a walk begins, by the thread that calls Next(). In this walk, slabs that
  // are marked `host` are handed out in host memory, without a copy to the device. Returns the
  // first slab for which that holds: earlier slabs are being copied to the device already, as in a
  // walk without this call. The first walk, which reads the slabs, copies all of them; it returns
  // the number of slabs.
  int ComputeOnHost();
  // A slab marked `host` in host memory, for as long as the stream is there. After the first walk;
  // the same thread.
  absl::Span<const std::byte> HostBytes(int slab) const;

  absl::Status Settle() override;
  // From here on leases of slabs that stay are timed, each by itself, too: that takes two events a
  // lease. For the same thread.
  void TimeEveryLease(bool every);

  // What else is copied to the device or back takes its time there, too. Any thread.
  DeviceLink* link() const;
  // The host stream, for ranges of files and its counters; not for its slabs.
  SlabStream* host() const;

  // Any thread.
  DeviceStreamCounters counters() const;
  // Of slabs on the host, too.
  std::vector<TimelineEvent> TakeTimeline() override;

 private:
  struct State;
  explicit DeviceStream(std::unique_ptr<State> state);
  // A slab that stays, from the second walk on, and any other.
  absl::StatusOr<Lease> NextKept();
  absl::StatusOr<Lease> NextCopied(const std::atomic<bool>* stop);
  void Release(const Lease::Grant& grant) override;
  std::unique_ptr<State> state_;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_DEVICE_STREAM_H_
