// The hop from host memory to a device. Order on the device is kept by events alone: a slab's copy waits
// for whoever last read those bytes of the ring, and what reads the slab waits for its copy.
#include "prefetch/device_stream.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/macros.h"
#include "absl/strings/str_cat.h"
#include "kernels/status_macros.h"
#include "prefetch/event_pool.h"
#include "prefetch/host_buffer.h"
#include "prefetch/ring_space.h"
#include "prefetch/timeline.h"

namespace sluice {
namespace {

int64_t KeptBytes(absl::Span<const DeviceSlab> cycle) {
  int64_t bytes = 0;
  for (const DeviceSlab& slab : cycle) {
    if (slab.kept) bytes += RoundUp(slab.bytes, kReadAlignment);
  }
  return bytes;
}

absl::Status Check(absl::Span<const DeviceSlab> cycle, const DeviceStreamOptions& options) {
  if (cycle.empty()) return absl::InvalidArgumentError("a stream of no slabs");
  for (size_t i = 0; i < cycle.size(); ++i) {
    if (cycle[i].bytes <= 0) {
      return absl::InvalidArgumentError(absl::StrCat("slab ", i, " has ", cycle[i].bytes, " bytes"));
    }
    if (!cycle[i].kept && cycle[i].bytes > options.ring_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("slab ", i, " of ", cycle[i].bytes,
                                                     " bytes does not fit a device ring of ",
                                                     options.ring_bytes));
    }
  }
  return absl::OkStatus();
}

// Bytes of the ring that work on the compute stream may still read, until `done`.
struct ReadRange {
  int64_t begin;
  int64_t end;
  EventPool::Handle done;
};

}  // namespace

struct DeviceStream::State {
  State(std::unique_ptr<SlabStream> host_in, std::vector<DeviceSlab> cycle_in,
        const DeviceStreamOptions& options)
      : cycle(std::move(cycle_in)),
        compute(options.compute),
        events(options.device),
        ring(RoundUp(options.ring_bytes, kReadAlignment)),
        host(std::move(host_in)) {
    int64_t end = 0;
    for (const DeviceSlab& slab : cycle) {
      kept_offset.push_back(end);
      if (slab.kept) end += RoundUp(slab.bytes, kReadAlignment);
    }
    all_kept = std::all_of(cycle.begin(), cycle.end(), [](const DeviceSlab& slab) { return slab.kept; });
  }

  // What was copied, or is being copied, and not leased yet.
  struct Copied {
    int slab;
    int64_t ticket;  // -1: a kept slab
    std::byte* data;
    EventPool::Handle done;
  };
  // A copy that may still read host memory.
  struct InFlight {
    SlabStream::Lease lease;
    EventPool::Handle done;
  };

  void RunCopier();
  void RunRetirer();
  absl::Status CopyNext();
  absl::StatusOr<SlabStream::Lease> NextOfHost();
  // Finds room and tells the copy stream what to wait for. Cancelled: the stream is being closed.
  absl::StatusOr<int64_t> TakeRoom(int64_t bytes, int64_t* ticket);
  void End(absl::Status status);  // wants the mutex

  const std::vector<DeviceSlab> cycle;
  std::vector<int64_t> kept_offset;
  bool all_kept = false;
  Stream* const compute;
  EventPool events;
  DeviceRange ring_memory;
  DeviceRange kept_memory;
  std::unique_ptr<Stream> copies;  // the copying thread's

  mutable std::mutex mutex;  // guards all down to `consumer`
  std::condition_variable copied_more;   // to Next()
  std::condition_variable room;          // to the copying thread: a lease was dropped, a host lease returned
  std::condition_variable in_flight_more;  // to the retiring thread
  RingSpace ring;
  std::deque<int64_t> ticket_bytes;  // of the ring's tickets from first_ticket() on
  std::vector<ReadRange> being_read;
  std::deque<Copied> copied;
  std::deque<InFlight> in_flight;
  int64_t retired = 0;         // copies that are done, their host leases dropped
  bool wants_room = false;     // the copying thread found none
  bool copier_done = false;    // it returned: `failure` says why, or all slabs are kept
  bool closing = false;
  absl::Status failure;        // what Next() returns when nothing is left in `copied`
  absl::Status ended;          // what every Next() returns at once
  int64_t position = 0;        // Next()'s
  int64_t slabs_copied = 0;
  int64_t bytes_copied = 0;
  enum { kIssuing, kWaitingForHost, kWaitingForRoom, kCopierStates };
  StageClock<kCopierStates> copier_clock;
  enum { kNotWaiting, kWaiting, kConsumerStates };
  StageClock<kConsumerStates> consumer;  // Next()

  const std::unique_ptr<SlabStream> host;  // no lease of it is left once the threads are gone
  std::thread copier;
  std::thread retirer;
};

void DeviceStream::State::End(absl::Status status) {
  ended.Update(std::move(status));
  copied_more.notify_all();
  room.notify_all();
}

absl::StatusOr<SlabStream::Lease> DeviceStream::State::NextOfHost() {
  std::unique_lock<std::mutex> lock(mutex);
  copier_clock.Enter(kWaitingForHost);
  for (;;) {
    const int64_t before = retired;
    lock.unlock();
    absl::StatusOr<SlabStream::Lease> lease = host->Next();
    lock.lock();
    // The host's ring may be full of slabs whose copies run: one of them comes back.
    if (absl::IsFailedPrecondition(lease.status()) && before < slabs_copied && !closing && ended.ok()) {
      room.wait(lock, [&] { return retired > before || closing || !ended.ok(); });
      continue;
    }
    copier_clock.Enter(kIssuing);
    return lease;
  }
}

absl::StatusOr<int64_t> DeviceStream::State::TakeRoom(int64_t bytes, int64_t* ticket) {
  std::vector<EventPool::Handle> readers;
  int64_t begin;
  {
    std::unique_lock<std::mutex> lock(mutex);
    std::optional<int64_t> place;
    for (;;) {
      if (closing || !ended.ok()) return absl::CancelledError("the stream is being closed");
      *ticket = ring.next_ticket();
      place = ring.Allocate(bytes);
      if (place.has_value()) break;
      wants_room = true;
      copied_more.notify_all();
      copier_clock.Enter(kWaitingForRoom);
      room.wait(lock, [this] { return !wants_room || closing || !ended.ok(); });
    }
    copier_clock.Enter(kIssuing);
    begin = *place;
    ticket_bytes.push_back(RoundUp(bytes, kReadAlignment));
    const int64_t end = begin + ticket_bytes.back();
    std::vector<ReadRange> left;
    for (ReadRange& range : being_read) {
      if (range.end <= begin || range.begin >= end) {
        left.push_back(std::move(range));
        continue;
      }
      if (range.begin < begin) left.push_back({range.begin, begin, range.done});
      if (range.end > end) left.push_back({end, range.end, range.done});
      readers.push_back(std::move(range.done));
    }
    being_read = std::move(left);
  }
  for (const EventPool::Handle& reader : readers) SLUICE_RETURN_IF_ERROR(copies->WaitFor(reader.get()));
  return begin;
}

absl::Status DeviceStream::State::CopyNext() {
  SLUICE_ASSIGN_OR_RETURN(SlabStream::Lease lease, NextOfHost());
  const DeviceSlab& slab = cycle[lease.slab()];
  if (static_cast<int64_t>(lease.bytes().size()) != slab.bytes) {
    return absl::InternalError(absl::StrCat("slab ", lease.slab(), " has ", lease.bytes().size(),
                                            " bytes on the host, ", slab.bytes, " on the device"));
  }
  Copied item = {.slab = lease.slab(), .ticket = -1, .data = nullptr, .done = nullptr};
  if (slab.kept) {
    item.data = kept_memory.data() + kept_offset[item.slab];
  } else {
    SLUICE_ASSIGN_OR_RETURN(const int64_t begin, TakeRoom(slab.bytes, &item.ticket));
    item.data = ring_memory.data() + begin;
  }
  SLUICE_ASSIGN_OR_RETURN(item.done, events.Take());
  SLUICE_RETURN_IF_ERROR(copies->CopyToDevice(item.data, lease.bytes().data(), slab.bytes));
  SLUICE_RETURN_IF_ERROR(copies->Record(item.done.get()));
  std::lock_guard<std::mutex> lock(mutex);
  ++slabs_copied;
  bytes_copied += slab.bytes;
  in_flight.push_back({std::move(lease), item.done});
  copied.push_back(std::move(item));
  in_flight_more.notify_one();
  copied_more.notify_all();
  return absl::OkStatus();
}

void DeviceStream::State::RunCopier() {
  pthread_setname_np(pthread_self(), "sluice-copier");
  absl::Status status;
  while (status.ok()) {
    status = CopyNext();
    std::lock_guard<std::mutex> lock(mutex);
    if (closing || !ended.ok()) break;
  }
  std::lock_guard<std::mutex> lock(mutex);
  // One walk was all there is to copy.
  if (!(all_kept && absl::IsOutOfRange(status))) failure = std::move(status);
  copier_done = true;
  copied_more.notify_all();
  in_flight_more.notify_all();
}

void DeviceStream::State::RunRetirer() {
  pthread_setname_np(pthread_self(), "sluice-retirer");
  std::unique_lock<std::mutex> lock(mutex);
  for (;;) {
    in_flight_more.wait(lock, [this] { return copier_done || !in_flight.empty(); });
    if (in_flight.empty()) return;
    InFlight oldest = std::move(in_flight.front());
    in_flight.pop_front();
    lock.unlock();
    absl::Status status = oldest.done->Wait();
    oldest = {};
    lock.lock();
    ++retired;
    room.notify_all();
    if (!status.ok()) End(std::move(status));
  }
}

DeviceStream::Lease::Lease(Lease&& other) noexcept
    : stream_(std::exchange(other.stream_, nullptr)),
      slab_(std::exchange(other.slab_, -1)),
      ticket_(std::exchange(other.ticket_, -1)),
      bytes_(std::exchange(other.bytes_, {})) {}

DeviceStream::Lease& DeviceStream::Lease::operator=(Lease&& other) noexcept {
  Lease taken(std::move(other));  // takes along what was held here, and drops it
  std::swap(stream_, taken.stream_);
  std::swap(slab_, taken.slab_);
  std::swap(ticket_, taken.ticket_);
  std::swap(bytes_, taken.bytes_);
  return *this;
}

DeviceStream::Lease::~Lease() {
  if (stream_ != nullptr && ticket_ >= 0) stream_->Release(ticket_);
}

int64_t DeviceStream::MemoryBytes(absl::Span<const DeviceSlab> cycle, int64_t ring_bytes) {
  return KeptBytes(cycle) + RoundUp(ring_bytes, kReadAlignment);
}

absl::StatusOr<std::unique_ptr<DeviceStream>> DeviceStream::Create(std::unique_ptr<SlabStream> host,
                                                                   std::vector<DeviceSlab> cycle,
                                                                   const DeviceStreamOptions& options) {
  SLUICE_RETURN_IF_ERROR(Check(cycle, options));
  auto state = std::make_unique<State>(std::move(host), std::move(cycle), options);
  if (state->ring.capacity() > 0) {
    SLUICE_ASSIGN_OR_RETURN(state->ring_memory, options.device->Allocate(state->ring.capacity()));
  }
  if (const int64_t kept = KeptBytes(state->cycle); kept > 0) {
    SLUICE_ASSIGN_OR_RETURN(state->kept_memory, options.device->Allocate(kept));
  }
  SLUICE_ASSIGN_OR_RETURN(state->copies, options.device->NewStream());
  state->copier = std::thread([s = state.get()] { s->RunCopier(); });
  state->retirer = std::thread([s = state.get()] { s->RunRetirer(); });
  return std::unique_ptr<DeviceStream>(new DeviceStream(std::move(state)));
}

DeviceStream::DeviceStream(std::unique_ptr<State> state) : state_(std::move(state)) {}

DeviceStream::~DeviceStream() {
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    state_->closing = true;
    state_->room.notify_all();
  }
  state_->host->Cancel();
  state_->copier.join();
  state_->retirer.join();
  // Errors were told by Next(), or nobody waits for them any more.
  state_->copies->Finish().IgnoreError();
  state_->compute->Finish().IgnoreError();
}

absl::StatusOr<DeviceStream::Lease> DeviceStream::Next() {
  State& state = *state_;
  std::unique_lock<std::mutex> lock(state.mutex);
  const int64_t n = static_cast<int64_t>(state.cycle.size());
  const int slab = static_cast<int>(state.position % n);
  const auto size = static_cast<size_t>(state.cycle[slab].bytes);
  if (state.cycle[slab].kept && state.position >= n) {
    SLUICE_RETURN_IF_ERROR(state.ended);
    ++state.position;
    return Lease(this, slab, -1, {state.kept_memory.data() + state.kept_offset[slab], size});
  }
  state.consumer.Enter(State::kWaiting);
  state.copied_more.wait(lock, [&state] {
    return !state.ended.ok() || !state.copied.empty() || state.copier_done || state.wants_room;
  });
  state.consumer.Enter(State::kNotWaiting);
  SLUICE_RETURN_IF_ERROR(state.ended);
  if (state.copied.empty() && state.copier_done) {
    state.ended = state.failure;
    return state.ended;
  }
  if (state.copied.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("slab ", slab, " of ", size, " bytes does not fit a device ring of ",
                     state.ring.capacity(), " bytes beside the leases held; drop one first"));
  }
  State::Copied item = std::move(state.copied.front());
  state.copied.pop_front();
  ABSL_ASSERT(item.slab == slab);
  ++state.position;
  lock.unlock();
  Lease lease(this, item.slab, item.ticket, {item.data, size});
  SLUICE_RETURN_IF_ERROR(state.compute->WaitFor(item.done.get()));
  return lease;
}

void DeviceStream::Release(int64_t ticket) {
  State& state = *state_;
  absl::StatusOr<EventPool::Handle> done = state.events.Take();
  absl::Status status = done.status();
  if (status.ok()) status = state.compute->Record(done->get());
  std::lock_guard<std::mutex> lock(state.mutex);
  if (!status.ok()) {  // nobody knows when these bytes are free: the ring keeps them
    state.End(std::move(status));
    return;
  }
  const int64_t first = state.ring.first_ticket();
  const int64_t begin = state.ring.begin(ticket);
  state.being_read.push_back({begin, begin + state.ticket_bytes[ticket - first], *std::move(done)});
  state.ring.Free(ticket);
  state.ticket_bytes.erase(state.ticket_bytes.begin(),
                           state.ticket_bytes.begin() + (state.ring.first_ticket() - first));
  state.wants_room = false;
  state.room.notify_all();
}

SlabStream* DeviceStream::host() const { return state_->host.get(); }

DeviceStreamCounters DeviceStream::counters() const {
  std::lock_guard<std::mutex> lock(state_->mutex);
  const auto copier = state_->copier_clock.Seconds();
  DeviceStreamCounters counters;
  counters.slabs_copied = state_->slabs_copied;
  counters.bytes_copied = state_->bytes_copied;
  counters.issue_seconds = copier[State::kIssuing];
  counters.host_wait_seconds = copier[State::kWaitingForHost];
  counters.room_wait_seconds = copier[State::kWaitingForRoom];
  counters.wall_seconds = counters.issue_seconds + counters.host_wait_seconds + counters.room_wait_seconds;
  counters.wait_seconds = state_->consumer.Seconds()[State::kWaiting];
  return counters;
}

}  // namespace sluice
