// Reads ahead of the compute thread: whoever frees room in a ring asks for the slabs that now fit,
// the engine's thread reads them, a worker checks and decodes them, and Next() hands them out.
#include "prefetch/slab_stream.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/base/macros.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "prefetch/io/host_buffer.h"
#include "prefetch/pinned_memory.h"
#include "prefetch/slab_stream_state.h"

namespace sluice {
namespace {

// The bounce buffer for rows of a prompt's tokens: one huge page.
constexpr int64_t kBounceBytes = kHugePageBytes;
// The memory of io_uring's rings, of stacks as far as they are touched, and of the timeline.
constexpr int64_t kOverheadBytes = int64_t{1} << 20;
// The memory of a slab's StreamSlab, its place, and a request in the queue: the first walk asks for
// all resident slabs at once.
constexpr int64_t kTableBytesPerSlab = 256;

// Visits of the loop may be asked for ahead of Next() for one pass and this many more. (If a few
// small slabs are streamed, the ring would have room for the visits of many passes.)
constexpr size_t kLeastAhead = 64;

int64_t ArenaBytes(absl::Span<const StreamSlab> cycle) {
  int64_t bytes = 0;
  for (const StreamSlab& slab : cycle) {
    if (slab.resident) bytes += slab.place_bytes();
  }
  return bytes;
}

Walk WalkOf(absl::Span<const StreamSlab> cycle) {
  std::vector<int> first, later;
  for (size_t i = 0; i < cycle.size(); ++i) {
    first.push_back(static_cast<int>(i));
    if (!cycle[i].first_walk_only) later.push_back(static_cast<int>(i));
  }
  return Walk(std::move(first), std::move(later));
}

}  // namespace

SlabStream::State::State(std::vector<std::string> paths_in, std::vector<StreamSlab> cycle_in,
                         bool verify_once_in, HostBuffer ring_memory_in,
                         HostBuffer appended_memory_in, HostBuffer arena_in, HostBuffer bounce_in)
    : paths(std::move(paths_in)),
      cycle(std::move(cycle_in)),
      most_ahead(cycle.size() + kLeastAhead),
      verify_once(verify_once_in),
      ring_memory(std::move(ring_memory_in)),
      appended_memory(std::move(appended_memory_in)),
      arena(std::move(arena_in)),
      bounce(std::move(bounce_in)),
      walk(WalkOf(cycle)),
      ring(ring_memory.size()),
      appended_ring(appended_memory.size()),
      resident(cycle.size(), SlabState::kFree),
      verified(cycle.size(), false) {
  int64_t arena_end = 0;
  for (const StreamSlab& slab : cycle) {
    any_compressed |= slab.compression != SlabCompression::kNone;
    arena_offset.push_back(arena_end);
    if (slab.resident) arena_end += slab.place_bytes();
  }
  counters.ring_bytes = ring_memory.size() + appended_memory.size();
  counters.resident_bytes = arena.size();
}

SlabStream::State::~State() {
  {
    const MutexLock lock(&mutex);
    ended.Update(absl::CancelledError("the stream is being closed"));
  }
  engine.reset();  // answers every request, so nothing reaches the memory or `arrived` from here on
  {
    const MutexLock lock(&mutex);
    closing = true;
    work.NotifyAll();
  }
  workers.clear();  // joins them
}

absl::Span<std::byte> SlabStream::State::ReadBufferOf(const Place& place) {
  const StreamSlab& slab = cycle[place.visit.slab];
  const int64_t size = RoundUp(slab.bytes, kReadAlignment);
  return {AddressOf(place) + slab.place_bytes() - size, static_cast<size_t>(size)};
}

std::byte* SlabStream::State::AddressOf(const Place& place) {
  const Ring* const its_ring = RingOf(place.visit);
  if (its_ring == nullptr) return arena.data() + arena_offset[place.visit.slab];
  return (place.visit.appended ? appended_memory : ring_memory).data() +
         its_ring->begin(place.ticket);
}

SlabState SlabStream::State::StateOf(const Place& place) {
  const Ring* const its_ring = RingOf(place.visit);
  return its_ring != nullptr ? its_ring->state(place.ticket) : resident[place.visit.slab];
}

void SlabStream::State::Move(const Place& place, SlabState to) {
  if (Ring* const its_ring = RingOf(place.visit); its_ring != nullptr) {
    its_ring->Move(place.ticket, to);
  } else {
    MoveSlab(&resident[place.visit.slab], to);
  }
  timeline.Stamp(place.visit, to);
}

SlabStream::State::Place* SlabStream::State::Front() {
  if (!asked_appended.empty()) return &asked_appended.front();
  const std::optional<Visit> next = walk.Next();
  if (asked.empty() || (next.has_value() && next->appended)) return nullptr;
  return &asked.front();
}

void SlabStream::State::RequestAhead() {
  while (ended.ok() && failures.empty()) {
    const std::optional<Visit> next = walk.Next();
    if (!next.has_value() || (!next->appended && asked.size() >= most_ahead)) return;
    Place place;
    Ring* const its_ring = RingOf(*next);
    if (its_ring != nullptr) {
      place.ticket = its_ring->next_ticket();
      if (!its_ring->Allocate(cycle[next->slab].place_bytes()).has_value()) return;
    }
    place.visit = walk.Pop();
    (place.visit.appended ? asked_appended : asked).push_back(place);
    if (its_ring != nullptr) {
      timeline.Stamp(place.visit, SlabState::kReading);
      Request(place);
    } else if (resident[place.visit.slab] == SlabState::kFree) {
      Move(place, SlabState::kReading);
      Request(place);
    }
  }
}

void SlabStream::State::Request(const Place& place) {
  const StreamSlab& slab = cycle[place.visit.slab];
  IoRequest request;
  request.file = slab.file;
  request.offset = slab.offset;
  request.buffer = ReadBufferOf(place);
  request.bytes = slab.bytes;
  request.priority = place.visit.urgency == Urgency::kNow ? IoPriority::kSoon : IoPriority::kInTurn;
  request.done = [this, place](const absl::Status& status) { Arrived(place, status); };
  engine->Submit(std::move(request));
}

void SlabStream::State::Arrived(const Place& place, const absl::Status& status) {
  const MutexLock lock(&mutex);
  const int slab = place.visit.slab;
  if (!status.ok()) {
    Checked(place, absl::Status(status.code(), absl::StrCat(status.message(), " (slab ", slab,
                                                            " at byte ", cycle[slab].offset, ")")));
    return;
  }
  Move(place, SlabState::kRead);
  if (cycle[slab].resident || cycle[slab].first_walk_only)
    counters.kept_bytes_read += cycle[slab].bytes;
  if (verified[slab] && cycle[slab].compression == SlabCompression::kNone) {
    Checked(place, absl::OkStatus());
    return;
  }
  arrived.push_back(place);
  if (ForWorkers()) work.NotifyOne();
}

absl::Status SlabStream::State::WhyNotAsked() const {
  const std::optional<Visit> next = walk.Next();
  if (!next.has_value()) return absl::OutOfRangeError("the stream was for one walk, which is over");
  // The room of the dropped visits comes back
  if (next->appended && !dropped.empty()) return absl::OkStatus();
  // All earlier slabs were handed out, so that their leases take up the room.
  return absl::FailedPreconditionError(absl::StrCat(
      "slab ", next->slab, " of ", cycle[next->slab].place_bytes(),
      " bytes does not fit a ring of ", (next->appended ? appended_ring : ring).capacity(),
      " bytes beside the leases held; drop one first"));
}

absl::Status SlabStream::State::AwaitFront(const std::atomic<bool>* stop) {
  for (;;) {
    const Place* const front = Front();
    if (front == nullptr && ended.ok()) SLUICE_RETURN_IF_ERROR(WhyNotAsked());
    if (front != nullptr && ended.ok() && StateOf(*front) == SlabState::kFailed)
      ended = failures[FailureKey(front->visit)];
    SLUICE_RETURN_IF_ERROR(ended);
    if (front != nullptr && StateOf(*front) == SlabState::kReady) return absl::OkStatus();
    consumer.Enter(kWaiting);
    if (left_to_caller && !arrived.empty()) work.NotifyOne();
    if (stop == nullptr) {
      slab_ready.Wait(&mutex);
    } else if (stop->load()) {
      return absl::CancelledError("interrupted");
    } else {
      slab_ready.WaitFor(&mutex, kStopInterval);
    }
  }
}

int64_t SlabStream::MemoryBytes(absl::Span<const StreamSlab> cycle, int64_t ring_bytes,
                                int worker_threads, int64_t appended_ring_bytes) {
  return HostBuffer::RoundedBytes(ring_bytes) + HostBuffer::RoundedBytes(appended_ring_bytes) +
         HostBuffer::RoundedBytes(ArenaBytes(cycle)) + HostBuffer::RoundedBytes(kBounceBytes) +
         kOverheadBytes + worker_threads * SlabDecoder::MemoryBytes() +
         kTableBytesPerSlab * static_cast<int64_t>(cycle.size());
}

absl::StatusOr<std::unique_ptr<SlabStream>> SlabStream::Create(std::vector<std::string> paths,
                                                               std::vector<StreamSlab> cycle,
                                                               const StreamOptions& options) {
  return CreateWithEngine(std::move(paths), std::move(cycle), options, &IoEngine::Create);
}

absl::StatusOr<std::unique_ptr<SlabStream>> SlabStream::CreateWithEngine(
    std::vector<std::string> paths, std::vector<StreamSlab> cycle, const StreamOptions& options,
    const EngineFactory& make_engine) {
  SLUICE_RETURN_IF_ERROR(CheckSlabs(paths, cycle, HostBuffer::RoundedBytes(options.ring_bytes)));
  SLUICE_ASSIGN_OR_RETURN(HostBuffer ring_memory, HostBuffer::Create(options.ring_bytes));
  SLUICE_ASSIGN_OR_RETURN(HostBuffer appended_memory,
                          HostBuffer::Create(options.appended_ring_bytes));
  SLUICE_ASSIGN_OR_RETURN(HostBuffer arena, HostBuffer::Create(ArenaBytes(cycle)));
  SLUICE_ASSIGN_OR_RETURN(HostBuffer bounce, HostBuffer::Create(kBounceBytes));
  auto state = std::make_unique<State>(std::move(paths), std::move(cycle), options.verify_once,
                                       std::move(ring_memory), std::move(appended_memory),
                                       std::move(arena), std::move(bounce));
  if (options.pinned_bytes != nullptr) *options.pinned_bytes = 0;
  if (options.device != nullptr) {
    std::vector<int64_t> places;
    for (const StreamSlab& slab : state->cycle) {
      if (slab.resident) places.push_back(slab.place_bytes());
    }
    // The ring must be one piece, as a slab may lie anywhere in it.
    SLUICE_ASSIGN_OR_RETURN(state->pinned_ring, PinMemory(options.device, state->ring_memory.span(),
                                                          {}, options.pinned_bytes));
    SLUICE_ASSIGN_OR_RETURN(state->pinned_arena, PinMemory(options.device, state->arena.span(),
                                                           places, options.pinned_bytes));
  }
  // The arena is not registered with the engine: that would take all of its pages before the first
  // read, and each page is read into only once.
  std::vector<absl::Span<std::byte>> buffers = {state->bounce.span()};
  for (const HostBuffer* memory : {&state->ring_memory, &state->appended_memory}) {
    if (memory->size() > 0) buffers.push_back(memory->span());
  }
  SLUICE_ASSIGN_OR_RETURN(state->engine, make_engine(state->paths, buffers, options.io));
  state->range_reader.emplace(state->engine.get(), state->bounce.span());
  SLUICE_RETURN_IF_ERROR(
      state->StartWorkers(std::max(1, options.worker_threads), options.io.on_fewer_threads));
  {
    const MutexLock lock(&state->mutex);
    state->RequestAhead();
  }
  return std::unique_ptr<SlabStream>(new SlabStream(std::move(state)));
}

SlabStream::SlabStream(std::unique_ptr<State> state) : state_(std::move(state)) {}

SlabStream::~SlabStream() = default;

absl::StatusOr<Lease> SlabStream::Next(const std::atomic<bool>* stop) {
  State& state = *state_;
  const MutexLock lock(&state.mutex);
  const absl::Status status = state.AwaitFront(stop);
  if (state.consumer.state() == State::kWaiting) state.consumer.Enter(State::kNotWaiting);
  SLUICE_RETURN_IF_ERROR(status);
  const State::Place place = *state.Front();
  (place.visit.appended ? state.asked_appended : state.asked).pop_front();
  if (state.RingOf(place.visit) == nullptr) {
    state.timeline.Stamp(place.visit, SlabState::kLeased);
  } else {
    state.Move(place, SlabState::kLeased);
  }
  const int64_t bytes = state.cycle[place.visit.slab].leased_bytes();
  ++state.counters.slabs_leased;
  state.counters.bytes_leased += bytes;
  const Lease::Grant grant = {.visit = place.visit,
                              .ticket = place.ticket,
                              .bytes = {state.AddressOf(place), static_cast<size_t>(bytes)}};
  state.RequestAhead();
  return Lease(this, grant);
}

void SlabStream::Release(const Lease::Grant& grant) {
  const MutexLock lock(&state_->mutex);
  if (state_->RingOf(grant.visit) == nullptr) {
    state_->timeline.Stamp(grant.visit, SlabState::kFree);
    return;
  }
  state_->Move({grant.visit, grant.ticket}, SlabState::kFree);
  state_->RequestAhead();
}

absl::StatusOr<int64_t> SlabStream::Append(int slab, int64_t pass, Urgency urgency) {
  State& state = *state_;
  if (slab < 0 || slab >= static_cast<int>(state.cycle.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("a visit to slab ", slab, " of ", state.cycle.size()));
  }
  const int64_t bytes = state.cycle[slab].place_bytes();
  const MutexLock lock(&state.mutex);
  if (!state.cycle[slab].resident && bytes > state.appended_ring.capacity()) {
    return absl::InvalidArgumentError(absl::StrCat("slab ", slab, " of ", bytes,
                                                   " bytes does not fit a ring for appended "
                                                   "visits of ",
                                                   state.appended_ring.capacity()));
  }
  const int64_t id = state.walk.Append(slab, pass, urgency);
  state.RequestAhead();
  return id;
}

void SlabStream::Drop(int64_t id) {
  State& state = *state_;
  const MutexLock lock(&state.mutex);
  if (state.walk.Drop(id)) {
    state.RequestAhead();
    return;
  }
  std::deque<State::Place>& asked = state.asked_appended;
  const auto found = std::find_if(asked.begin(), asked.end(),
                                  [id](const State::Place& place) { return place.visit.id == id; });
  if (found == asked.end()) return;
  const State::Place place = *found;
  asked.erase(found);
  if (state.RingOf(place.visit) == nullptr) return;
  const SlabState now = state.StateOf(place);
  if (now != SlabState::kReady && now != SlabState::kFailed) {
    state.dropped.insert(id);
    return;
  }
  state.failures.erase(state.FailureKey(place.visit));
  state.Move(place, SlabState::kFree);
  state.RequestAhead();
}

void SlabStream::LeaveVerifying(bool on) {
  const MutexLock lock(&state_->mutex);
  state_->left_to_caller = on && !state_->any_compressed;
  if (!state_->left_to_caller && !state_->arrived.empty()) state_->work.NotifyAll();
}

void SlabStream::VerifyArrived() { state_->VerifyArrived(); }

absl::Status SlabStream::ReadRanges(absl::Span<const Range> ranges) {
  const int num_files = static_cast<int>(state_->paths.size());
  for (const Range& range : ranges) {
    if (range.file < 0 || range.file >= num_files || range.offset < 0) {
      return absl::InvalidArgumentError(absl::StrCat("a range at byte ", range.offset, " of file ",
                                                     range.file, " of ", num_files));
    }
  }
  return state_->range_reader->Read(ranges);
}

void SlabStream::Cancel() {
  const MutexLock lock(&state_->mutex);
  state_->ended.Update(absl::CancelledError("the stream was cancelled"));
  state_->slab_ready.NotifyOne();
}

StreamCounters SlabStream::counters() const {
  const MutexLock lock(&state_->mutex);
  StreamCounters counters = state_->counters;
  counters.io = state_->engine->counters();
  const auto consumer = state_->consumer.Seconds();
  counters.wait_seconds = consumer[State::kWaiting];
  counters.wall_seconds = consumer[State::kWaiting] + consumer[State::kNotWaiting];
  for (const StageClock<State::kWorkerStates>& clock : state_->worker_clocks) {
    const auto seconds = clock.Seconds();
    counters.verify_seconds += seconds[State::kChecking];
    counters.unpack_seconds += seconds[State::kDecoding];
    counters.worker_idle_seconds += seconds[State::kIdle];
  }
  return counters;
}

const std::string& SlabStream::io_description() const { return state_->engine->description(); }

IoEngine* SlabStream::io_engine() const { return state_->engine.get(); }

std::vector<TimelineEvent> SlabStream::TakeTimeline() {
  const MutexLock lock(&state_->mutex);
  return state_->timeline.Take();
}

}  // namespace sluice
