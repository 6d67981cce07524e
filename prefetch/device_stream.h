// Hands out slabs in device memory, in the order of the cycle: the next slabs are copied while
// earlier ones compute.
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

// How the device treats one slab of the cycle.
struct DeviceSlab {
  int64_t bytes = 0;  // that the host stream hands out
  // The slab is copied on the first walk, into device memory of its own. Its StreamSlab is then
  // first_walk_only.
  bool kept = false;
  // The slab's StreamSlab is resident: walks that ComputeOnHost() began leave it in host memory.
  bool host = false;
  // The slab and the one before it in the cycle are both `kept`, and its bytes lie right behind
  // that one's. One lease then covers both.
  bool follows = false;
};

struct DeviceStreamOptions {
  Device* device = nullptr;
  // The stream on which leases are used; the thread that calls Next() and drops leases uses it.
  Stream* compute = nullptr;
  // The ring for slabs that are not `kept`: at least the largest of them, rounded up to 4096.
  int64_t ring_bytes = 0;
  // Simulates a slower link (prefetch/io/simulated_disk.h). 0: as fast as the link is.
  int64_t max_bytes_per_s = 0;
};

// The seconds of the copying thread add up to wall_seconds, and so do the two times of the link.
struct DeviceStreamCounters {
  int64_t slabs_copied = 0;
  int64_t bytes_copied = 0;
  double wall_seconds = 0;  // since the stream was created
  // Where the copying thread's time went:
  double host_wait_seconds = 0;  // waiting for the host stream's next slab
  double copy_wait_seconds = 0;  // the host's ring is full of slabs that are being copied
  double room_wait_seconds = 0;  // waiting for room in the device's ring
  double held_back_seconds = 0;  // the simulated link is not done with the previous slab
  double issue_seconds = 0;      // giving work to the copy stream
  double ended_seconds = 0;      // nothing is left to copy: all slabs are kept, or one had an error
  // The link's time for copies that are known to be done, by the device's clock:
  double link_busy_seconds = 0;  // copying, or as long as the simulated link would have
  double link_idle_seconds = 0;
  // Where the compute stream's time went, for settled leases, by the device's clock. What is in
  // neither of the waits is computing. kernel_seconds runs from the first use of a slab to the end
  // of its lease; it includes waits for anything but the slab's copy, such as pages of a KV cache.
  // Slabs that are kept are timed together, from the first to the last of a run; a cycle of nothing
  // else has no time here.
  double kernel_seconds = 0;
  // The stream had nothing to do, while Next() waited for the host stream
  double wait_disk_seconds = 0;
  // The stream waited for a copy that was queued, or that could not be queued before others were
  // done.
  double wait_copy_seconds = 0;
  double wait_seconds = 0;  // the host waited in Next(), for the disk or for copies
};

// Owns two threads. One takes slabs from the host stream and queues their copies; it never waits
// for the device. The other gives host memory back once a copy is done. The compute thread waits
// only for work that it queued some slabs ago, to read its times. prefetch/device_ring.h draws the
// states of a slot of the device's ring.
//
// A lease lets work on the compute stream read a slab; dropping the lease marks where that work
// ends.
class DeviceStream : public SlabSource {
 public:
  // Returns the device memory that a stream over `cycle` holds.
  static int64_t MemoryBytes(absl::Span<const DeviceSlab> cycle, int64_t ring_bytes);

  // Takes over `host`, a stream over the same slabs, and starts copying at once. Nothing was taken
  // from `host` before, and nothing is appended to its walk. InvalidArgument: a slab does not fit
  // the ring. ResourceExhausted: the device has too little memory.
  static absl::StatusOr<std::unique_ptr<DeviceStream>> Create(std::unique_ptr<SlabStream> host,
                                                              std::vector<DeviceSlab> cycle,
                                                              const DeviceStreamOptions& options);

  // Waits for the copies in flight and for the compute stream. No lease may be held.
  ~DeviceStream() override;

  // Returns the next slab of the walk 0, 1, ..., n-1, 0, ... Blocks until its copy is queued, and
  // makes the compute stream wait for the copy. From the second walk on, kept slabs that follow
  // each other come in one lease. An error of the host stream is returned when the walk reaches its
  // slab, an error of the device at once; every later call returns the same error.
  absl::StatusOr<Lease> Next(const std::atomic<bool>* stop = nullptr) override;

  // Makes the coming walk hand out the slabs that are marked `host` in host memory, without a copy
  // to the device. Returns the first slab for which that holds: earlier ones are being copied
  // already, as in a walk without this call. The first walk copies all slabs, as it reads them; for
  // it the number of slabs is returned. Call it before a walk begins, from the thread that calls
  // Next().
  int ComputeOnHost();
  // Returns a slab that is marked `host`, in host memory, where it stays for the stream's life.
  // Call it after the first walk, from the thread that calls Next().
  absl::Span<const std::byte> HostBytes(int slab) const;

  absl::Status Settle() override;
  // While `every` is set, each lease of a kept slab is timed by itself; that takes two events a
  // lease. Call it from the thread that calls Next().
  void TimeEveryLease(bool every);

  // Copies of anything else, in either direction, take their time on this link, too. Any thread.
  DeviceLink* link() const;
  // Returns the host stream, for its ranges of files and its counters; its slabs are this stream's.
  SlabStream* host() const;

  // Any thread.
  DeviceStreamCounters counters() const;
  // Includes the moves of slabs on the host.
  std::vector<TimelineEvent> TakeTimeline() override;

 private:
  struct State;
  explicit DeviceStream(std::unique_ptr<State> state);
  // Next() for a kept slab from the second walk on, and for any other slab.
  absl::StatusOr<Lease> NextKept();
  absl::StatusOr<Lease> NextCopied(const std::atomic<bool>* stop);
  void Release(const Lease::Grant& grant) override;
  std::unique_ptr<State> state_;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_DEVICE_STREAM_H_
