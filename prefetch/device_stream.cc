// The hop from host memory to a device. Order on the device is kept by events alone: a slab's copy
// waits for whoever last read those bytes of the ring, and what reads the slab waits for its copy.
#include "prefetch/device_stream.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <optional>
#include <utility>

#include "absl/base/macros.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/mutex.h"
#include "kernels/base/status_macros.h"
#include "kernels/cpu/thread.h"
#include "prefetch/device_clock.h"
#include "prefetch/event_pool.h"
#include "prefetch/io/host_buffer.h"
#include "prefetch/io/simulated_disk.h"
#include "prefetch/ring_space.h"
#include "prefetch/timeline.h"

namespace sluice {
namespace {

using Time = std::chrono::steady_clock::time_point;

Time Now() { return std::chrono::steady_clock::now(); }

// Leases whose times wait to be looked at: enough work for the device while the host does.
constexpr size_t kMostUnsettled = 8;
// A simulated link makes up for a timer that is late by this much.
constexpr int64_t kTimersPerSecond = 500;

int64_t LinkWindow(absl::Span<const DeviceSlab> cycle, int64_t bytes_per_s) {
  int64_t most = 0;
  for (const DeviceSlab& slab : cycle) most = std::max(most, slab.bytes);
  return std::max(2 * most, bytes_per_s / kTimersPerSecond);
}

// Where the slabs that are kept lie.
struct KeptPlaces {
  std::vector<int64_t> offset;  // [num_slabs]
  std::vector<int> run_slabs;   // [num_slabs]: how many lie one behind the other from this one on
  int64_t bytes = 0;            // of all
};
KeptPlaces PlaceKept(absl::Span<const DeviceSlab> cycle) {
  KeptPlaces places;
  places.offset.resize(cycle.size());
  places.run_slabs.assign(cycle.size(), 1);
  const auto joins = [cycle](size_t i) {
    return i > 0 && cycle[i].follows && cycle[i].kept && cycle[i - 1].kept;
  };
  for (size_t i = 0; i < cycle.size(); ++i) {
    if (!joins(i)) places.bytes = RoundUp(places.bytes, kReadAlignment);
    places.offset[i] = places.bytes;
    if (cycle[i].kept) places.bytes += cycle[i].bytes;
  }
  places.bytes = RoundUp(places.bytes, kReadAlignment);
  for (size_t i = cycle.size(); i-- > 1;) {
    if (joins(i)) places.run_slabs[i - 1] += places.run_slabs[i];
  }
  return places;
}

absl::Status Check(absl::Span<const DeviceSlab> cycle, const DeviceStreamOptions& options) {
  if (cycle.empty()) return absl::InvalidArgumentError("a stream of no slabs");
  for (size_t i = 0; i < cycle.size(); ++i) {
    if (cycle[i].bytes <= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("slab ", i, " has ", cycle[i].bytes, " bytes"));
    }
    if (!cycle[i].kept && cycle[i].bytes > options.ring_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("slab ", i, " of ", cycle[i].bytes,
                                                     " bytes does not fit a device ring of ",
                                                     options.ring_bytes));
    }
    if (cycle[i].kept && cycle[i].host) {
      return absl::InvalidArgumentError(
          absl::StrCat("slab ", i, " cannot stay on the host and on the device"));
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
        kept(PlaceKept(cycle)),
        compute(options.compute),
        events(options.device),
        ring(RoundUp(options.ring_bytes, kReadAlignment)),
        link(options.max_bytes_per_s, LinkWindow(cycle, options.max_bytes_per_s)),
        host(std::move(host_in)) {
    host_bytes.resize(cycle.size());
    all_kept =
        std::all_of(cycle.begin(), cycle.end(), [](const DeviceSlab& slab) { return slab.kept; });
  }

  // What was copied, or is being copied, and not leased yet.
  struct Copied {
    int64_t position;  // of the walk
    int64_t ticket;    // -1: a kept slab, or one on the host
    const std::byte* data;
    EventPool::Handle done;  // null: on the host
  };
  // A copy that may still read host memory.
  struct InFlight {
    SlabStream::Lease lease;
    int64_t position;
    EventPool::Handle begun;
    EventPool::Handle done;
    Time asked;
    Time simulated_end;  // of the simulated link; long ago where there is none
  };
  // A lease whose times are not known yet.
  struct Unsettled {
    int64_t position;
    int num_slabs = 1;
    EventPool::Handle come = nullptr;    // the compute stream came to it; null: the last of slabs
                                         // that stay, timed together
    EventPool::Handle copied = nullptr;  // null: a slab that stays
    EventPool::Handle done = nullptr;    // null: the lease is held
    Time asked = {};
    KernelTimes times = {};  // what the host waited, so far
  };

  absl::Status StartThreads();
  void RunCopier();
  void RunRetirer();
  absl::Status CopyNext();
  absl::StatusOr<SlabStream::Lease> NextOfHost();
  // Whether a slab of the host's stays there in this walk; if so, hands it on.
  bool LeaveOnHost(const SlabStream::Lease& lease, int64_t at);
  // Finds room and tells the copy stream what to wait for. Cancelled: the stream is being closed.
  absl::StatusOr<int64_t> TakeRoom(int64_t bytes, int64_t* ticket);
  // Returns when the simulated link has room for `bytes` more, and when it will be done with them.
  Time TakeLink(int64_t bytes);
  // Looks at the times of a copy that is done.
  absl::Status TimeCopy(const InFlight& copy);
  // Looks at the times of the oldest leases until `most` are left.
  absl::Status Settle(size_t most);
  absl::Status SettleOldest();
  // Whether the end of a lease must be known whose last slab is this one, which stays: only if
  // another kind comes next.
  bool LastKept(int slab) const { return !cycle[(slab + 1) % cycle.size()].kept; }

  void End(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void EnterCopier(int state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // What Next() waits for while the copying thread is in its state.
  int ConsumerWait() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Whether Next() has something to return.
  bool HasCome() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  const std::vector<DeviceSlab> cycle;
  const KeptPlaces kept;
  bool all_kept = false;
  Stream* const compute;
  EventPool events;
  DeviceRange ring_memory;
  DeviceRange kept_memory;
  std::unique_ptr<Stream> copies;  // the copying thread's
  int64_t copy_position = 0;       // the copying thread's: of the walk

  // The retiring thread's: when the copy before ended.
  EventPool::Handle last_copy;
  DeviceClock copy_clock{Now()};
  // The compute thread's.
  std::deque<Unsettled> unsettled;
  EventPool::Handle last_kernels;  // the end of the work that was settled last
  DeviceClock kernel_clock{Now()};
  bool every_lease = false;

  mutable Mutex mutex;
  CondVar copied_more;     // to Next()
  CondVar room;            // to the copying thread: a lease was dropped, a host lease returned
  CondVar in_flight_more;  // to the retiring thread
  RingSpace ring ABSL_GUARDED_BY(mutex);
  std::deque<int64_t> ticket_bytes
      ABSL_GUARDED_BY(mutex);  // of the ring's tickets from first_ticket() on
  std::vector<ReadRange> being_read ABSL_GUARDED_BY(mutex);
  std::deque<Copied> copied ABSL_GUARDED_BY(mutex);
  std::deque<InFlight> in_flight ABSL_GUARDED_BY(mutex);
  int64_t retired ABSL_GUARDED_BY(mutex) = 0;  // copies that are done, their host leases dropped
  bool wants_room ABSL_GUARDED_BY(mutex) = false;  // the copying thread found none
  bool copier_done ABSL_GUARDED_BY(mutex) =
      false;  // it returned: `failure` says why, or all slabs are kept
  bool closing ABSL_GUARDED_BY(mutex) = false;
  absl::Status failure
      ABSL_GUARDED_BY(mutex);  // what Next() returns when nothing is left in `copied`
  absl::Status ended ABSL_GUARDED_BY(mutex);    // what every Next() returns at once
  int64_t position ABSL_GUARDED_BY(mutex) = 0;  // Next()'s
  // Slabs marked `host` are left on the host from the one position to the other. What is before
  // `decided` goes the way that it went on.
  int64_t on_host_from ABSL_GUARDED_BY(mutex) = 0;
  int64_t on_host_until ABSL_GUARDED_BY(mutex) = 0;
  int64_t decided ABSL_GUARDED_BY(mutex) = 0;
  // [num_slabs], of those marked `host` as they were read.
  std::vector<absl::Span<const std::byte>> host_bytes ABSL_GUARDED_BY(mutex);
  int64_t slabs_copied ABSL_GUARDED_BY(mutex) = 0;
  int64_t bytes_copied ABSL_GUARDED_BY(mutex) = 0;
  // Up to link_busy_until, which may lie ahead: simulated.
  std::chrono::steady_clock::duration link_busy ABSL_GUARDED_BY(mutex){0};
  Time link_busy_until ABSL_GUARDED_BY(mutex);
  KernelSums kernels ABSL_GUARDED_BY(mutex);
  SimulatedDisk link ABSL_GUARDED_BY(mutex);
  enum { kIssuing, kWaitingForHost, kWaitingForCopies, kWaitingForRoom, kHeldBack, kCopierStates };
  StageClock<kCopierStates> copier_clock ABSL_GUARDED_BY(mutex);
  enum { kNotWaiting, kWaitingForDisk, kWaitingForCopy, kConsumerStates };
  StageClock<kConsumerStates> consumer ABSL_GUARDED_BY(mutex);  // Next()
  Timeline timeline ABSL_GUARDED_BY(mutex);                     // of the device

  const std::unique_ptr<SlabStream> host;  // no lease of it is left once the threads are gone
  Thread copier;
  Thread retirer;
};

void DeviceStream::State::End(absl::Status status) {
  ended.Update(std::move(status));
  copied_more.NotifyAll();
  room.NotifyAll();
}

int DeviceStream::State::ConsumerWait() const {
  return copier_clock.state() == kWaitingForHost ? kWaitingForDisk : kWaitingForCopy;
}

bool DeviceStream::State::HasCome() const {
  return !ended.ok() || !copied.empty() || copier_done || wants_room;
}

void DeviceStream::State::EnterCopier(int state) {
  const Time now = Now();
  copier_clock.Enter(state, now);
  if (consumer.state() != kNotWaiting) consumer.Enter(ConsumerWait(), now);
}

absl::StatusOr<SlabStream::Lease> DeviceStream::State::NextOfHost() {
  const MutexLock lock(&mutex);
  for (;;) {
    EnterCopier(kWaitingForHost);
    const int64_t before = retired;
    mutex.Unlock();
    absl::StatusOr<SlabStream::Lease> lease = host->Next();
    mutex.Lock();
    // The host's ring may be full of slabs whose copies run: one of them comes back.
    if (absl::IsFailedPrecondition(lease.status()) && before < slabs_copied && !closing &&
        ended.ok()) {
      EnterCopier(kWaitingForCopies);
      while (retired == before && !closing && ended.ok()) room.Wait(&mutex);
      continue;
    }
    EnterCopier(kIssuing);
    return lease;
  }
}

absl::StatusOr<int64_t> DeviceStream::State::TakeRoom(int64_t bytes, int64_t* ticket) {
  std::vector<EventPool::Handle> readers;
  int64_t begin;
  {
    const MutexLock lock(&mutex);
    std::optional<int64_t> place;
    for (;;) {
      if (closing || !ended.ok()) return absl::CancelledError("the stream is being closed");
      *ticket = ring.next_ticket();
      place = ring.Allocate(bytes);
      if (place.has_value()) break;
      wants_room = true;
      copied_more.NotifyAll();
      EnterCopier(kWaitingForRoom);
      while (wants_room && !closing && ended.ok()) room.Wait(&mutex);
    }
    EnterCopier(kIssuing);
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
  for (const EventPool::Handle& reader : readers)
    SLUICE_RETURN_IF_ERROR(copies->WaitFor(reader.get()));
  return begin;
}

Time DeviceStream::State::TakeLink(int64_t bytes) {
  const MutexLock lock(&mutex);
  link.Wake(Now());
  while (!link.Ready(Now()) && !closing && ended.ok()) {
    EnterCopier(kHeldBack);
    room.WaitUntil(&mutex, std::chrono::system_clock::now() + (link.next_start() - Now()));
  }
  EnterCopier(kIssuing);
  link.Begin(bytes, Now());
  return link.next_start();
}

bool DeviceStream::State::LeaveOnHost(const SlabStream::Lease& lease, int64_t at) {
  const MutexLock lock(&mutex);
  decided = at + 1;
  if (!cycle[lease.slab()].host) return false;
  host_bytes[lease.slab()] = lease.bytes();
  if (at < on_host_from || at >= on_host_until) return false;
  copied.push_back({.position = at, .ticket = -1, .data = lease.bytes().data(), .done = nullptr});
  copied_more.NotifyAll();
  return true;
}

absl::Status DeviceStream::State::CopyNext() {
  SLUICE_ASSIGN_OR_RETURN(SlabStream::Lease lease, NextOfHost());
  const auto n = static_cast<int64_t>(cycle.size());
  while (copy_position >= n && cycle[copy_position % n].kept) ++copy_position;
  ABSL_ASSERT(copy_position % n == lease.slab());
  const int64_t position = copy_position++;
  const DeviceSlab& slab = cycle[lease.slab()];
  if (static_cast<int64_t>(lease.bytes().size()) != slab.bytes) {
    return absl::InternalError(absl::StrCat("slab ", lease.slab(), " has ", lease.bytes().size(),
                                            " bytes on the host, ", slab.bytes, " on the device"));
  }
  if (LeaveOnHost(lease, position)) return absl::OkStatus();
  Copied item = {.position = position, .ticket = -1, .data = nullptr, .done = nullptr};
  std::byte* to = kept_memory.data() + kept.offset[lease.slab()];
  if (!slab.kept) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t begin, TakeRoom(slab.bytes, &item.ticket));
    to = ring_memory.data() + begin;
  }
  item.data = to;
  const Time simulated_end = TakeLink(slab.bytes);
  const Time asked = Now();
  SLUICE_ASSIGN_OR_RETURN(EventPool::Handle begun, events.Take());
  SLUICE_ASSIGN_OR_RETURN(item.done, events.Take());
  SLUICE_RETURN_IF_ERROR(copies->Record(begun.get()));
  SLUICE_RETURN_IF_ERROR(copies->CopyToDevice(to, lease.bytes().data(), slab.bytes));
  SLUICE_RETURN_IF_ERROR(copies->Record(item.done.get()));
  const MutexLock lock(&mutex);
  ++slabs_copied;
  bytes_copied += slab.bytes;
  in_flight.push_back(
      {std::move(lease), position, std::move(begun), item.done, asked, simulated_end});
  copied.push_back(std::move(item));
  in_flight_more.NotifyOne();
  copied_more.NotifyAll();
  return absl::OkStatus();
}

absl::Status DeviceStream::State::StartThreads() {
  absl::StatusOr<Thread> thread = Thread::Start("sluice-retirer", [this] { RunRetirer(); });
  if (!thread.ok()) return ThreadShortage("for copies to the device", 2, 0, thread.status());
  retirer = *std::move(thread);
  thread = Thread::Start("sluice-copier", [this] { RunCopier(); });
  if (thread.ok()) {
    copier = *std::move(thread);
    return absl::OkStatus();
  }
  {
    const MutexLock lock(&mutex);
    copier_done = true;
    in_flight_more.NotifyAll();
  }
  retirer.Join();
  return ThreadShortage("for copies to the device", 2, 1, thread.status());
}

void DeviceStream::State::RunCopier() {
  absl::Status status;
  while (status.ok()) {
    status = CopyNext();
    const MutexLock lock(&mutex);
    if (closing || !ended.ok()) break;
  }
  const MutexLock lock(&mutex);
  // One walk was all there is to copy.
  if (!(all_kept && absl::IsOutOfRange(status))) failure = std::move(status);
  copier_done = true;
  copied_more.NotifyAll();
  in_flight_more.NotifyAll();
}

void DeviceStream::State::RunRetirer() {
  const MutexLock lock(&mutex);
  for (;;) {
    while (!copier_done && in_flight.empty()) in_flight_more.Wait(&mutex);
    if (in_flight.empty()) return;
    InFlight oldest = std::move(in_flight.front());
    in_flight.pop_front();
    mutex.Unlock();
    absl::Status status = oldest.done->Wait();
    oldest.lease = {};
    if (status.ok()) status = TimeCopy(oldest);
    oldest = {};
    mutex.Lock();
    ++retired;
    room.NotifyAll();
    if (!status.ok()) End(std::move(status));
  }
}

absl::Status DeviceStream::State::TimeCopy(const InFlight& copy) {
  SLUICE_ASSIGN_OR_RETURN(const double pause, copy.begun->SecondsSince(last_copy.get()));
  SLUICE_ASSIGN_OR_RETURN(const double seconds, copy.done->SecondsSince(copy.begun.get()));
  last_copy = copy.done;
  const DeviceClock::Span span = copy_clock.Place(pause, seconds, copy.asked, Now());
  const MutexLock lock(&mutex);
  timeline.Stamp({span.begin, copy.position, SlabState::kReading, Hop::kDevice});
  timeline.Stamp({span.end, copy.position, SlabState::kReady, Hop::kDevice});
  const Time begin = std::max(span.begin, link_busy_until);
  link_busy_until = std::max({span.end, copy.simulated_end, begin});
  link_busy += link_busy_until - begin;
  return absl::OkStatus();
}

absl::Status DeviceStream::State::Settle(size_t most) {
  while (unsettled.size() > most && unsettled.front().done != nullptr)
    SLUICE_RETURN_IF_ERROR(SettleOldest());
  return absl::OkStatus();
}

absl::Status DeviceStream::State::SettleOldest() {
  const Unsettled slab = std::move(unsettled.front());
  unsettled.pop_front();
  SLUICE_RETURN_IF_ERROR(slab.done->Wait());
  KernelTimes times = slab.times;
  Event* const come = slab.come != nullptr ? slab.come.get() : last_kernels.get();
  SLUICE_ASSIGN_OR_RETURN(times.paused, come->SecondsSince(last_kernels.get()));
  SLUICE_ASSIGN_OR_RETURN(times.until_end, slab.done->SecondsSince(come));
  if (slab.copied != nullptr) {
    SLUICE_RETURN_IF_ERROR(slab.copied->Wait());
    SLUICE_ASSIGN_OR_RETURN(times.copy_late, slab.copied->SecondsSince(come));
  }
  last_kernels = slab.done;
  const double late = std::clamp(times.copy_late, 0.0, std::max(0.0, times.until_end));
  const DeviceClock::Span span =
      kernel_clock.Place(times.paused + late, times.until_end - late, slab.asked, Now());
  const MutexLock lock(&mutex);
  kernels.Add(times);
  if (slab.come == nullptr) return absl::OkStatus();
  timeline.Stamp({span.begin, slab.position, SlabState::kLeased, Hop::kDevice, slab.num_slabs});
  timeline.Stamp({span.end, slab.position, SlabState::kFree, Hop::kDevice, slab.num_slabs});
  return absl::OkStatus();
}

DeviceStream::Lease::Lease(Lease&& other) noexcept
    : stream_(std::exchange(other.stream_, nullptr)),
      slab_(std::exchange(other.slab_, -1)),
      num_slabs_(std::exchange(other.num_slabs_, 1)),
      position_(std::exchange(other.position_, -1)),
      ticket_(std::exchange(other.ticket_, -1)),
      bytes_(std::exchange(other.bytes_, {})),
      on_host_(std::exchange(other.on_host_, false)) {}

DeviceStream::Lease& DeviceStream::Lease::operator=(Lease&& other) noexcept {
  Lease taken(std::move(other));  // takes along what was held here, and drops it
  std::swap(stream_, taken.stream_);
  std::swap(slab_, taken.slab_);
  std::swap(num_slabs_, taken.num_slabs_);
  std::swap(position_, taken.position_);
  std::swap(ticket_, taken.ticket_);
  std::swap(bytes_, taken.bytes_);
  std::swap(on_host_, taken.on_host_);
  return *this;
}

DeviceStream::Lease::~Lease() {
  if (stream_ != nullptr) stream_->Release(position_, ticket_);
}

int64_t DeviceStream::MemoryBytes(absl::Span<const DeviceSlab> cycle, int64_t ring_bytes) {
  return PlaceKept(cycle).bytes + RoundUp(ring_bytes, kReadAlignment);
}

absl::StatusOr<std::unique_ptr<DeviceStream>> DeviceStream::Create(
    std::unique_ptr<SlabStream> host, std::vector<DeviceSlab> cycle,
    const DeviceStreamOptions& options) {
  SLUICE_RETURN_IF_ERROR(Check(cycle, options));
  auto state = std::make_unique<State>(std::move(host), std::move(cycle), options);
  if (const int64_t ring_bytes = RoundUp(options.ring_bytes, kReadAlignment); ring_bytes > 0) {
    SLUICE_ASSIGN_OR_RETURN(state->ring_memory, options.device->Allocate(ring_bytes));
  }
  if (state->kept.bytes > 0) {
    SLUICE_ASSIGN_OR_RETURN(state->kept_memory, options.device->Allocate(state->kept.bytes));
  }
  SLUICE_ASSIGN_OR_RETURN(state->copies, options.device->NewStream());
  // Times are counted from here.
  SLUICE_ASSIGN_OR_RETURN(state->last_copy, state->events.Take());
  SLUICE_RETURN_IF_ERROR(state->copies->Record(state->last_copy.get()));
  SLUICE_RETURN_IF_ERROR(state->last_copy->Wait());
  state->copy_clock = DeviceClock(Now());
  SLUICE_ASSIGN_OR_RETURN(state->last_kernels, state->events.Take());
  SLUICE_RETURN_IF_ERROR(state->compute->Record(state->last_kernels.get()));
  SLUICE_RETURN_IF_ERROR(state->last_kernels->Wait());
  state->kernel_clock = DeviceClock(Now());
  SLUICE_RETURN_IF_ERROR(state->StartThreads());
  return std::unique_ptr<DeviceStream>(new DeviceStream(std::move(state)));
}

DeviceStream::DeviceStream(std::unique_ptr<State> state) : state_(std::move(state)) {}

DeviceStream::~DeviceStream() {
  {
    const MutexLock lock(&state_->mutex);
    state_->closing = true;
    state_->room.NotifyAll();
  }
  state_->host->Cancel();
  state_->copier.Join();
  state_->retirer.Join();
  // Errors were told by Next(), or nobody waits for them any more.
  state_->copies->Finish().IgnoreError();
  state_->compute->Finish().IgnoreError();
}

absl::StatusOr<DeviceStream::Lease> DeviceStream::Next(const std::atomic<bool>* stop) {
  State& state = *state_;
  absl::Status settled = state.Settle(kMostUnsettled);
  MutexLock lock(&state.mutex);
  if (!settled.ok()) state.End(std::move(settled));
  const int64_t n = static_cast<int64_t>(state.cycle.size());
  const int64_t position = state.position;
  const int slab = static_cast<int>(position % n);
  const auto size = static_cast<size_t>(state.cycle[slab].bytes);
  State::Unsettled unsettled = {.position = position};
  if (state.cycle[slab].kept && position >= n) {
    SLUICE_RETURN_IF_ERROR(state.ended);
    Lease lease(this, slab, position, -1, {});
    lease.num_slabs_ = state.kept.run_slabs[slab];
    const int last = slab + lease.num_slabs_ - 1;
    const int64_t end = state.kept.offset[last] + state.cycle[last].bytes;
    lease.bytes_ =
        state.kept_memory.span().subspan(state.kept.offset[slab], end - state.kept.offset[slab]);
    state.position += lease.num_slabs_;
    lock.Unlock();
    unsettled.num_slabs = lease.num_slabs_;
    if (state.every_lease) {
      SLUICE_ASSIGN_OR_RETURN(unsettled.come, state.events.Take());
      SLUICE_RETURN_IF_ERROR(state.compute->Record(unsettled.come.get()));
    }
    unsettled.asked = Now();
    if (state.every_lease || state.LastKept(last)) state.unsettled.push_back(std::move(unsettled));
    return lease;
  }
  const auto before = state.consumer.Seconds();
  state.consumer.Enter(state.ConsumerWait());
  bool stopped = false;
  while (!stopped && !state.HasCome()) {
    if (stop == nullptr) {
      state.copied_more.Wait(&state.mutex);
    } else if (state.copied_more.WaitFor(&state.mutex, kStopInterval)) {
      stopped = stop->load();
    }
  }
  state.consumer.Enter(State::kNotWaiting);
  if (stopped && !state.HasCome()) return absl::CancelledError("interrupted");
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
  ABSL_ASSERT(item.position == position);
  ++state.position;
  const auto after = state.consumer.Seconds();
  unsettled.times.host_disk = after[State::kWaitingForDisk] - before[State::kWaitingForDisk];
  unsettled.times.host_copy = after[State::kWaitingForCopy] - before[State::kWaitingForCopy];
  lock.Unlock();
  Lease lease(this, slab, position, item.ticket, {item.data, size});
  if (item.done == nullptr) {
    lease.on_host_ = true;
    return lease;
  }
  SLUICE_ASSIGN_OR_RETURN(unsettled.come, state.events.Take());
  unsettled.asked = Now();
  SLUICE_RETURN_IF_ERROR(state.compute->Record(unsettled.come.get()));
  SLUICE_RETURN_IF_ERROR(state.compute->WaitFor(item.done.get()));
  unsettled.copied = std::move(item.done);
  state.unsettled.push_back(std::move(unsettled));
  return lease;
}

void DeviceStream::Release(int64_t position, int64_t ticket) {
  State& state = *state_;
  const auto timed =
      std::find_if(state.unsettled.rbegin(), state.unsettled.rend(),
                   [position](const State::Unsettled& slab) { return slab.position == position; });
  if (timed == state.unsettled.rend() && ticket < 0) return;
  absl::StatusOr<EventPool::Handle> done = state.events.Take();
  absl::Status status = done.status();
  if (status.ok()) status = state.compute->Record(done->get());
  if (status.ok() && timed != state.unsettled.rend()) timed->done = *done;
  const MutexLock lock(&state.mutex);
  if (!status.ok()) {  // nobody knows when these bytes are free: the ring keeps them
    state.End(std::move(status));
    return;
  }
  if (ticket < 0) return;
  const int64_t first = state.ring.first_ticket();
  const int64_t begin = state.ring.begin(ticket);
  state.being_read.push_back({begin, begin + state.ticket_bytes[ticket - first], *std::move(done)});
  state.ring.Free(ticket);
  state.ticket_bytes.erase(state.ticket_bytes.begin(),
                           state.ticket_bytes.begin() + (state.ring.first_ticket() - first));
  state.wants_room = false;
  state.room.NotifyAll();
}

int DeviceStream::ComputeOnHost() {
  const MutexLock lock(&state_->mutex);
  const auto n = static_cast<int64_t>(state_->cycle.size());
  const int64_t begin = state_->position;
  ABSL_ASSERT(begin % n == 0);
  if (begin == 0) return static_cast<int>(n);
  state_->on_host_from = std::max(begin, state_->decided);
  state_->on_host_until = begin + n;
  return static_cast<int>(std::min(state_->on_host_from - begin, n));
}

absl::Span<const std::byte> DeviceStream::HostBytes(int slab) const {
  const MutexLock lock(&state_->mutex);
  return state_->host_bytes[slab];
}

absl::Status DeviceStream::Settle() { return state_->Settle(0); }

void DeviceStream::TimeEveryLease(bool every) { state_->every_lease = every; }

SlabStream* DeviceStream::host() const { return state_->host.get(); }

DeviceStreamCounters DeviceStream::counters() const {
  const MutexLock lock(&state_->mutex);
  const auto copier = state_->copier_clock.Seconds();
  const auto consumer = state_->consumer.Seconds();
  DeviceStreamCounters counters;
  counters.slabs_copied = state_->slabs_copied;
  counters.bytes_copied = state_->bytes_copied;
  counters.issue_seconds = copier[State::kIssuing];
  counters.host_wait_seconds = copier[State::kWaitingForHost];
  counters.copy_wait_seconds = copier[State::kWaitingForCopies];
  counters.room_wait_seconds = copier[State::kWaitingForRoom];
  counters.held_back_seconds = copier[State::kHeldBack];
  for (const double seconds : copier) counters.wall_seconds += seconds;
  const auto ahead =
      std::max(state_->link_busy_until - Now(), std::chrono::steady_clock::duration::zero());
  counters.link_busy_seconds = std::chrono::duration<double>(state_->link_busy - ahead).count();
  counters.link_idle_seconds = counters.wall_seconds - counters.link_busy_seconds;
  counters.kernel_seconds = state_->kernels.kernel_seconds;
  counters.wait_disk_seconds = state_->kernels.wait_disk_seconds;
  counters.wait_copy_seconds = state_->kernels.wait_copy_seconds;
  counters.wait_seconds = consumer[State::kWaitingForDisk] + consumer[State::kWaitingForCopy];
  return counters;
}

std::vector<TimelineEvent> DeviceStream::TakeTimeline() {
  std::vector<TimelineEvent> events = state_->host->TakeTimeline();
  // A lease of the host stream is a copy, which the device's own moves show.
  std::erase_if(events, [](const TimelineEvent& event) { return event.to == SlabState::kLeased; });
  const MutexLock lock(&state_->mutex);
  const std::vector<TimelineEvent> own = state_->timeline.Take();
  events.insert(events.end(), own.begin(), own.end());
  return events;
}

}  // namespace sluice
