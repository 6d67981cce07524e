// The hop from host memory to a device. Events alone keep the order on the device: a slab's copy
// waits for the work that last read its place in the ring, and work that reads the slab waits for
// its copy.
#include "prefetch/device_stream.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/base/macros.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "prefetch/device_stream_state.h"
#include "prefetch/device_timers.h"
#include "prefetch/io/host_buffer.h"
#include "prefetch/kept_places.h"
#include "prefetch/timeline.h"

namespace sluice {
namespace {

// The number of leases whose times may be unread: enough that the device has work while the host
// reads them.
constexpr size_t kMostUnsettled = 8;
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

}  // namespace

absl::Status DeviceStream::State::Settle(size_t most) {
  for (;;) {
    SLUICE_ASSIGN_OR_RETURN(const std::optional<KernelTimer::Settled> lease,
                            kernel_timer.SettleOldest(most));
    if (!lease.has_value()) return absl::OkStatus();
    const MutexLock lock(&mutex);
    kernels.Add(lease->times);
    if (!lease->alone) continue;
    const Visit& visit = lease->visit;
    timeline.Stamp({lease->span.begin, visit.pass, visit.slab, SlabState::kLeased, Hop::kDevice,
                    lease->num_slabs});
    timeline.Stamp({lease->span.end, visit.pass, visit.slab, SlabState::kFree, Hop::kDevice,
                    lease->num_slabs});
  }
}

absl::Status DeviceStream::State::AwaitCopied(const std::atomic<bool>* stop) {
  consumer.Enter(ConsumerWait());
  bool stopped = false;
  while (!stopped && !HasCome()) {
    if (stop == nullptr) {
      copied_more.Wait(&mutex);
    } else if (copied_more.WaitFor(&mutex, kStopInterval)) {
      stopped = stop->load();
    }
  }
  consumer.Enter(kNotWaiting);
  return HasCome() ? absl::OkStatus() : absl::CancelledError("interrupted");
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
  SLUICE_RETURN_IF_ERROR(state->copy_timer.Start(state->copies.get(), &state->events));
  SLUICE_RETURN_IF_ERROR(state->kernel_timer.Start(state->compute, &state->events));
  SLUICE_RETURN_IF_ERROR(state->StartThreads());
  return std::unique_ptr<DeviceStream>(new DeviceStream(std::move(state)));
}

DeviceStream::DeviceStream(std::unique_ptr<State> state) : state_(std::move(state)) {}

DeviceStream::~DeviceStream() {
  {
    const MutexLock lock(&state_->mutex);
    state_->End(absl::CancelledError("the stream is being closed"));
  }
  state_->host->Cancel();
  state_->copier.Join();
  state_->retirer.Join();
  // Next() has returned the errors, or nobody waits for them any more.
  state_->copies->Finish().IgnoreError();
  state_->compute->Finish().IgnoreError();
}

absl::StatusOr<Lease> DeviceStream::Next(const std::atomic<bool>* stop) {
  State& state = *state_;
  absl::Status settled = state.Settle(kMostUnsettled);
  if (!settled.ok()) {
    const MutexLock lock(&state.mutex);
    state.End(std::move(settled));
  }
  const Visit next = *state.walk.Next();
  return state.cycle[next.slab].kept && next.pass > 0 ? NextKept() : NextCopied(stop);
}

absl::StatusOr<Lease> DeviceStream::NextKept() {
  State& state = *state_;
  const int slab = state.walk.Next()->slab;
  const int num_slabs = state.kept.run_slabs[slab];
  const int last = slab + num_slabs - 1;
  const int64_t begin = state.kept.offset[slab];
  const int64_t end = state.kept.offset[last] + state.cycle[last].bytes;
  {
    const MutexLock lock(&state.mutex);
    SLUICE_RETURN_IF_ERROR(state.ended);
  }
  const Visit visit = state.walk.Pop();
  for (int more = 1; more < num_slabs; ++more) state.walk.Pop();
  KernelTimer::Lease timed = {.visit = visit, .num_slabs = num_slabs};
  if (state.every_lease) {
    SLUICE_ASSIGN_OR_RETURN(timed.come, state.events.Take());
    SLUICE_RETURN_IF_ERROR(state.compute->Record(timed.come.get()));
  }
  timed.asked = State::Now();
  if (state.every_lease || state.LastKept(last)) state.kernel_timer.Add(std::move(timed));
  return Lease(this, {.visit = visit,
                      .num_slabs = num_slabs,
                      .on_host = false,
                      .bytes = state.kept_memory.span().subspan(begin, end - begin)});
}

absl::StatusOr<Lease> DeviceStream::NextCopied(const std::atomic<bool>* stop) {
  State& state = *state_;
  const int slab = state.walk.Next()->slab;
  const auto size = static_cast<size_t>(state.cycle[slab].bytes);
  KernelTimer::Lease timed;
  State::Copied item;
  {
    const MutexLock lock(&state.mutex);
    const auto before = state.consumer.Seconds();
    SLUICE_RETURN_IF_ERROR(state.AwaitCopied(stop));
    SLUICE_RETURN_IF_ERROR(state.ended);
    if (state.copied.empty() && state.copier_clock.state() == State::kEnded) {
      state.ended = state.failure;
      return state.ended;
    }
    if (state.copied.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("slab ", slab, " of ", size, " bytes does not fit a device ring of ",
                       state.ring.capacity(), " bytes beside the leases held; drop one first"));
    }
    item = std::move(state.copied.front());
    state.copied.pop_front();
    timed.visit = state.walk.Pop();
    ABSL_ASSERT(item.visit.slab == slab && item.visit.pass == timed.visit.pass);
    if (item.ticket >= 0) state.ring.Lease(item.ticket);
    const auto after = state.consumer.Seconds();
    timed.times.host_disk = after[State::kWaitingForDisk] - before[State::kWaitingForDisk];
    timed.times.host_copy = after[State::kWaitingForCopy] - before[State::kWaitingForCopy];
  }
  Lease lease(this, {.visit = timed.visit,
                     .ticket = item.ticket,
                     .on_host = item.done == nullptr,
                     .bytes = {item.data, size}});
  if (lease.on_host()) return lease;
  SLUICE_ASSIGN_OR_RETURN(timed.come, state.events.Take());
  timed.asked = State::Now();
  SLUICE_RETURN_IF_ERROR(state.compute->Record(timed.come.get()));
  SLUICE_RETURN_IF_ERROR(state.compute->WaitFor(item.done.get()));
  timed.copied = std::move(item.done);
  state.kernel_timer.Add(std::move(timed));
  return lease;
}

void DeviceStream::Release(const Lease::Grant& grant) {
  State& state = *state_;
  KernelTimer::Lease* const timed = state.kernel_timer.Find(grant.visit.id);
  if (timed == nullptr && grant.ticket < 0) return;
  absl::StatusOr<EventPool::Handle> done = state.events.Take();
  absl::Status status = done.status();
  if (status.ok()) status = state.compute->Record(done->get());
  if (status.ok() && timed != nullptr) timed->done = *done;
  const MutexLock lock(&state.mutex);
  if (!status.ok()) {  // the ring keeps these bytes, as nobody knows when they are free
    state.End(std::move(status));
    return;
  }
  if (grant.ticket < 0) return;
  state.ring.Release(grant.ticket, *std::move(done));
  if (state.copier_clock.state() == State::kWaitingForRoom) state.MoveCopier(State::kIssuing);
  state.room.NotifyAll();
}

int DeviceStream::ComputeOnHost() {
  State& state = *state_;
  const auto n = static_cast<int>(state.cycle.size());
  const Visit next = *state.walk.Next();
  ABSL_ASSERT(next.slab == 0);
  if (next.pass == 0) return n;
  const MutexLock lock(&state.mutex);
  state.on_host_pass = next.pass;
  state.on_host_from = state.decided.pass > next.pass    ? n
                       : state.decided.pass == next.pass ? state.decided.slab + 1
                                                         : 0;
  return state.on_host_from;
}

absl::Span<const std::byte> DeviceStream::HostBytes(int slab) const {
  const MutexLock lock(&state_->mutex);
  return state_->host_bytes[slab];
}

absl::Status DeviceStream::Settle() { return state_->Settle(0); }

void DeviceStream::TimeEveryLease(bool every) { state_->every_lease = every; }

DeviceLink* DeviceStream::link() const { return &state_->link; }

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
  counters.ended_seconds = copier[State::kEnded];
  for (const double seconds : copier) counters.wall_seconds += seconds;
  const auto ahead =
      std::max(state_->link_busy_until - State::Now(), std::chrono::steady_clock::duration::zero());
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
  // The host stream's leases are left out: each is a copy, which the device's own moves show.
  std::erase_if(events, [](const TimelineEvent& event) { return event.to == SlabState::kLeased; });
  const MutexLock lock(&state_->mutex);
  const std::vector<TimelineEvent> own = state_->timeline.Take();
  events.insert(events.end(), own.begin(), own.end());
  return events;
}

}  // namespace sluice
