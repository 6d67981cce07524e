// The two threads of a DeviceStream: one queues copies, the other waits until they are done.
#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/base/macros.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "prefetch/device_stream_state.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {
namespace {

// A simulated link makes up for a timer that is late by this much.
constexpr int64_t kTimersPerSecond = 500;

int64_t LinkWindow(absl::Span<const DeviceSlab> cycle, int64_t bytes_per_s) {
  int64_t most = 0;
  for (const DeviceSlab& slab : cycle) most = std::max(most, slab.bytes);
  return std::max(2 * most, bytes_per_s / kTimersPerSecond);
}

}  // namespace

DeviceStream::State::State(std::unique_ptr<SlabStream> host_in, std::vector<DeviceSlab> cycle_in,
                           const DeviceStreamOptions& options)
    : cycle(std::move(cycle_in)),
      kept(PlaceKept(cycle)),
      compute(options.compute),
      events(options.device),
      link(options.max_bytes_per_s, LinkWindow(cycle, options.max_bytes_per_s)),
      walk(Walk::Loop(static_cast<int>(cycle.size()))),
      ring(RoundUp(options.ring_bytes, kReadAlignment)),
      host(std::move(host_in)) {
  host_bytes.resize(cycle.size());
}

bool DeviceStream::State::MayMoveCopier(int from, CopierState to) {
  switch (to) {
    case kIssuing:
      return from != kEnded;
    case kWaitingForHost:
      return from == kIssuing || from == kWaitingForCopies;
    case kWaitingForCopies:
      return from == kWaitingForHost;
    case kWaitingForRoom:
    case kHeldBack:
    case kEnded:
      return from == kIssuing;
    case kCopierStates:
      return false;
  }
  return false;
}

void DeviceStream::State::End(absl::Status status) {
  ended.Update(std::move(status));
  copied_more.NotifyAll();
  room.NotifyAll();
}

DeviceStream::State::ConsumerState DeviceStream::State::ConsumerWait() const {
  return copier_clock.state() == kWaitingForHost ? kWaitingForDisk : kWaitingForCopy;
}

bool DeviceStream::State::HasCome() const {
  const int copier_state = copier_clock.state();
  return !ended.ok() || !copied.empty() || copier_state == kEnded ||
         copier_state == kWaitingForRoom;
}

void DeviceStream::State::MoveCopier(CopierState to) {
  if (copier_clock.state() == to) return;
  ABSL_ASSERT(MayMoveCopier(copier_clock.state(), to));
  const Time now = Now();
  copier_clock.Enter(to, now);
  if (consumer.state() != kNotWaiting) consumer.Enter(ConsumerWait(), now);
}

absl::StatusOr<Lease> DeviceStream::State::NextOfHost() {
  const MutexLock lock(&mutex);
  for (;;) {
    MoveCopier(kWaitingForHost);
    const int64_t before = retired;
    mutex.Unlock();
    absl::StatusOr<Lease> lease = host->Next();
    mutex.Lock();
    // The host's ring may be full of slabs whose copies still run: room comes back as they end.
    if (absl::IsFailedPrecondition(lease.status()) && before < slabs_copied && ended.ok()) {
      MoveCopier(kWaitingForCopies);
      while (retired == before && ended.ok()) room.Wait(&mutex);
      continue;
    }
    MoveCopier(kIssuing);
    return lease;
  }
}

absl::StatusOr<DeviceRing::Room> DeviceStream::State::TakeRoom(int64_t bytes) {
  const MutexLock lock(&mutex);
  for (;;) {
    MoveCopier(kIssuing);
    if (!ended.ok()) return absl::CancelledError("the stream is being closed");
    std::optional<DeviceRing::Room> found = ring.Allocate(bytes);
    if (found.has_value()) return *std::move(found);
    MoveCopier(kWaitingForRoom);
    copied_more.NotifyAll();
    while (copier_clock.state() == kWaitingForRoom && ended.ok()) room.Wait(&mutex);
  }
}

DeviceStream::State::Time DeviceStream::State::TakeLink(int64_t bytes) {
  const MutexLock lock(&mutex);
  link.Wake(Now());
  while (!link.Ready(Now()) && ended.ok()) {
    MoveCopier(kHeldBack);
    room.WaitUntil(&mutex, std::chrono::system_clock::now() + (link.next_start() - Now()));
  }
  MoveCopier(kIssuing);
  return link.Begin(bytes, Now());
}

bool DeviceStream::State::LeaveOnHost(const Lease& lease) {
  const MutexLock lock(&mutex);
  decided = lease.visit();
  if (!cycle[lease.slab()].host) return false;
  host_bytes[lease.slab()] = lease.bytes();
  if (lease.visit().pass != on_host_pass || lease.slab() < on_host_from) return false;
  copied.push_back({.visit = lease.visit(), .data = lease.bytes().data()});
  copied_more.NotifyAll();
  return true;
}

absl::Status DeviceStream::State::CopyNext() {
  SLUICE_ASSIGN_OR_RETURN(Lease lease, NextOfHost());
  const DeviceSlab& slab = cycle[lease.slab()];
  if (static_cast<int64_t>(lease.bytes().size()) != slab.bytes) {
    return absl::InternalError(absl::StrCat("slab ", lease.slab(), " has ", lease.bytes().size(),
                                            " bytes on the host, ", slab.bytes, " on the device"));
  }
  if (LeaveOnHost(lease)) return absl::OkStatus();
  Copied item = {.visit = lease.visit()};
  std::byte* to = kept_memory.data() + kept.offset[lease.slab()];
  if (!slab.kept) {
    SLUICE_ASSIGN_OR_RETURN(const DeviceRing::Room taken, TakeRoom(slab.bytes));
    item.ticket = taken.ticket;
    to = ring_memory.data() + taken.begin;
    for (const EventPool::Handle& reader : taken.readers)
      SLUICE_RETURN_IF_ERROR(copies->WaitFor(reader.get()));
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
      {item.visit, std::move(lease), std::move(begun), item.done, asked, simulated_end});
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
    MoveCopier(kEnded);
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
    if (!ended.ok()) break;
  }
  const MutexLock lock(&mutex);
  // The end of the host's first walk is no failure if all slabs are kept: nothing is left to copy.
  if (!(AllKept() && absl::IsOutOfRange(status))) failure = std::move(status);
  MoveCopier(kEnded);
  copied_more.NotifyAll();
  in_flight_more.NotifyAll();
}

void DeviceStream::State::RunRetirer() {
  const MutexLock lock(&mutex);
  for (;;) {
    while (copier_clock.state() != kEnded && in_flight.empty()) in_flight_more.Wait(&mutex);
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
  SLUICE_ASSIGN_OR_RETURN(const DeviceClock::Span span,
                          copy_timer.Time(copy.begun.get(), copy.done, copy.asked));
  const MutexLock lock(&mutex);
  timeline.Stamp({span.begin, copy.visit.pass, copy.visit.slab, SlabState::kReading, Hop::kDevice});
  timeline.Stamp({span.end, copy.visit.pass, copy.visit.slab, SlabState::kReady, Hop::kDevice});
  const Time begin = std::max(span.begin, link_busy_until);
  link_busy_until = std::max({span.end, copy.simulated_end, begin});
  link_busy += link_busy_until - begin;
  return absl::OkStatus();
}

}  // namespace sluice
