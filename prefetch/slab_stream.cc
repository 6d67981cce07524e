// The walk ahead of the compute: whoever frees room in the ring asks for the slabs that now fit,
// the engine's thread reads them, a worker checks and decodes them, and Next() hands them out.
#include "prefetch/slab_stream.h"

#include <xxhash.h>

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
#include "prefetch/io/host_buffer.h"
#include "prefetch/pinned_memory.h"
#include "prefetch/range_reader.h"
#include "prefetch/ring.h"
#include "storage/store/repair_advice.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

// Rows of a prompt's tokens are gathered through this; one huge page.
constexpr int64_t kBounceBytes = kHugePageBytes;
// io_uring's rings, stacks as far as they are touched, the timeline.
constexpr int64_t kOverheadBytes = int64_t{1} << 20;
// Its StreamSlab and place, and a request in the queue: the first walk asks for resident slabs at
// once.
constexpr int64_t kTableBytesPerSlab = 256;

// What a worker does, for its clock.
enum WorkerState { kIdle, kChecking, kDecoding, kWorkerStates };

int64_t ArenaBytes(absl::Span<const StreamSlab> cycle) {
  int64_t bytes = 0;
  for (const StreamSlab& slab : cycle) {
    if (slab.resident) bytes += slab.place_bytes();
  }
  return bytes;
}

// What a manifest may have got wrong, or the caller's plan.
absl::Status Check(const std::vector<std::string>& paths, absl::Span<const StreamSlab> cycle,
                   int64_t ring_bytes) {
  if (cycle.empty()) return absl::InvalidArgumentError("a stream of no slabs");
  const int num_files = static_cast<int>(paths.size());
  for (size_t i = 0; i < cycle.size(); ++i) {
    const StreamSlab& slab = cycle[i];
    if (slab.file < 0 || slab.file >= num_files) {
      return absl::InvalidArgumentError(
          absl::StrCat("slab ", i, " is in file ", slab.file, " of ", num_files));
    }
    const std::string& path = paths[slab.file];
    if (slab.offset < 0 || slab.offset % kReadAlignment != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": slab ", i, " is at byte ", slab.offset, ", not a multiple of ", kReadAlignment));
    }
    if (slab.bytes <= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": slab ", i, " has ", slab.bytes, " bytes"));
    }
    if (slab.compression != SlabCompression::kNone && slab.raw_bytes < slab.bytes) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": slab ", i, " is compressed from ",
                                                     slab.raw_bytes, " to ", slab.bytes, " bytes"));
    }
    if (slab.resident && slab.first_walk_only) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": slab ", i, " is to stay and to be kept elsewhere"));
    }
    if (!slab.resident && slab.place_bytes() > RoundUp(ring_bytes, kReadAlignment)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": slab ", i, " of ", slab.place_bytes(),
                                                     " bytes does not fit a ring of ", ring_bytes));
    }
  }
  return absl::OkStatus();
}

}  // namespace

int64_t StreamSlab::leased_bytes() const {
  return compression == SlabCompression::kNone ? bytes : raw_bytes;
}

int64_t StreamSlab::place_bytes() const {
  return compression == SlabCompression::kNone ? RoundUp(bytes, kReadAlignment)
                                               : CompressedPlaceBytes(raw_bytes);
}

// A slab's visit is known by its position in the walk: pass * slabs of the cycle + slab. Streamed
// slabs take the ring's tickets in that order; the first walk has more of them than the others
// where some are for it only.
struct SlabStream::State {
  State(std::vector<std::string> paths, std::vector<StreamSlab> cycle, bool verify_once,
        HostBuffer ring_memory, HostBuffer arena, HostBuffer bounce);
  ~State();

  int SlabAt(int64_t position) const { return static_cast<int>(position % n); }
  int64_t TicketAt(int64_t position) const {
    const int slab = SlabAt(position);
    const int64_t pass = position / n;
    return pass == 0 ? first_rank[slab]
                     : streamed_first + (pass - 1) * streamed_per_walk + place[slab];
  }
  bool LeftOut(int64_t position) const {
    return position >= n && cycle[SlabAt(position)].first_walk_only;
  }
  // Whether every walk from `position` on is empty.
  bool NothingFrom(int64_t position) const {
    return position >= n && streamed_first == n && streamed_per_walk == 0;
  }
  // Where the slab lies; a streamed one must have room in the ring.
  std::byte* PlaceAt(int64_t position) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Where it is read to: a compressed one at the end of its place, from where it is decoded
  // forward.
  absl::Span<std::byte> ReadBufferAt(int64_t position) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // kFree: not yet asked for.
  SlabState StateAt(int64_t position) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void MoveAt(int64_t position, SlabState to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  absl::Status StartWorkers(int count, const ThreadShortageFn& on_fewer_threads);
  void RunWorker(StageClock<kWorkerStates>* clock);
  void Arrived(int64_t position, const absl::Status& status);  // on an engine thread
  void VerifyArrived();
  absl::Status Verify(int64_t position, const std::byte* data) const;
  absl::Status Decode(int64_t position, std::byte* place, SlabDecoder* decoder) const;

  // Whether slabs that have arrived are for a worker.
  bool ForWorkers() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return !left_to_caller || consumer.state() == kWaiting;
  }
  // What follows from a slab's checking.
  void Checked(int64_t position, absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void RequestAhead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Request(int64_t position) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Fail(int64_t position, absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // A worker's, which let go of the mutex for the work.
  absl::Status CheckAt(int64_t position, StageClock<kWorkerStates>* clock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::Status DecodeAt(int64_t position, SlabDecoder* decoder, StageClock<kWorkerStates>* clock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  const std::vector<std::string> paths;
  const std::vector<StreamSlab> cycle;
  const int64_t n;
  std::vector<int64_t>
      place;  // a resident slab's offset in the arena, a streamed one's rank in a walk
  std::vector<int64_t> first_rank;  // a streamed slab's rank in the first walk
  int64_t streamed_first = 0;       // slabs that the first walk streams
  int64_t streamed_per_walk = 0;    // that each later one does
  const bool verify_once;
  bool any_compressed = false;
  const HostBuffer ring_memory;
  const HostBuffer arena;
  const HostBuffer bounce;
  std::vector<DeviceRange> pinned_ring;  // for copies to a device, where there is one
  std::vector<DeviceRange> pinned_arena;

  mutable Mutex mutex;
  CondVar slab_ready;  // signalled when a slab is ready or failed, and by Cancel()
  CondVar work;        // signalled when arrived grows or closing is set
  Ring ring ABSL_GUARDED_BY(mutex);
  // A slab of the cycle each; kFree for those of the ring.
  std::vector<SlabState> resident ABSL_GUARDED_BY(mutex);
  int64_t requested ABSL_GUARDED_BY(mutex) = 0;        // positions below it were asked for
  int64_t position ABSL_GUARDED_BY(mutex) = 0;         // Next()'s
  std::deque<int64_t> arrived ABSL_GUARDED_BY(mutex);  // positions that are kRead
  bool left_to_caller ABSL_GUARDED_BY(mutex) = false;  // LeaveVerifying
  // A slab of the cycle each: it need not be checked again.
  std::vector<bool> verified ABSL_GUARDED_BY(mutex);
  int64_t failed_at ABSL_GUARDED_BY(mutex) =
      -1;  // the lowest position known to have failed; -1: none
  absl::Status failure ABSL_GUARDED_BY(mutex);     // of failed_at
  absl::Status ended ABSL_GUARDED_BY(mutex);       // once not OK, what every Next() returns
  bool closing ABSL_GUARDED_BY(mutex) = false;     // the workers are to go home
  StreamCounters counters ABSL_GUARDED_BY(mutex);  // but for the engine's and the clocks'
  enum { kNotWaiting, kWaiting, kConsumerStates };
  StageClock<kConsumerStates> consumer ABSL_GUARDED_BY(mutex);  // Next()
  std::deque<StageClock<kWorkerStates>> worker_clocks ABSL_GUARDED_BY(mutex);
  Timeline timeline ABSL_GUARDED_BY(mutex);

  std::unique_ptr<IoEngine> engine;
  std::optional<RangeReader> range_reader;
  std::vector<Thread> workers;
};

SlabStream::State::State(std::vector<std::string> paths_in, std::vector<StreamSlab> cycle_in,
                         bool verify_once_in, HostBuffer ring_memory_in, HostBuffer arena_in,
                         HostBuffer bounce_in)
    : paths(std::move(paths_in)),
      cycle(std::move(cycle_in)),
      n(static_cast<int64_t>(cycle.size())),
      verify_once(verify_once_in),
      ring_memory(std::move(ring_memory_in)),
      arena(std::move(arena_in)),
      bounce(std::move(bounce_in)),
      ring(ring_memory.size()),
      resident(cycle.size(), SlabState::kFree),
      verified(cycle.size(), false) {
  int64_t arena_end = 0;
  for (const StreamSlab& slab : cycle) {
    first_rank.push_back(streamed_first);
    any_compressed |= slab.compression != SlabCompression::kNone;
    if (slab.resident) {
      place.push_back(arena_end);
      arena_end += slab.place_bytes();
    } else {
      ++streamed_first;
      place.push_back(slab.first_walk_only ? -1 : streamed_per_walk++);
    }
  }
  counters.ring_bytes = ring_memory.size();
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

absl::Span<std::byte> SlabStream::State::ReadBufferAt(int64_t position) const {
  const StreamSlab& slab = cycle[SlabAt(position)];
  const int64_t size = RoundUp(slab.bytes, kReadAlignment);
  return {PlaceAt(position) + slab.place_bytes() - size, static_cast<size_t>(size)};
}

std::byte* SlabStream::State::PlaceAt(int64_t position) const {
  const int slab = SlabAt(position);
  return cycle[slab].resident ? arena.data() + place[slab]
                              : ring_memory.data() + ring.begin(TicketAt(position));
}

SlabState SlabStream::State::StateAt(int64_t position) const {
  const int slab = SlabAt(position);
  if (cycle[slab].resident) return resident[slab];
  return position < requested ? ring.state(TicketAt(position)) : SlabState::kFree;
}

void SlabStream::State::MoveAt(int64_t position, SlabState to) {
  const int slab = SlabAt(position);
  if (cycle[slab].resident) {
    MoveSlab(&resident[slab], to);
  } else {
    ring.Move(TicketAt(position), to);
  }
  timeline.Stamp(position, to);
}

void SlabStream::State::RequestAhead() {
  while (ended.ok() && failed_at < 0) {
    const StreamSlab& slab = cycle[SlabAt(requested)];
    if (requested >= n && streamed_per_walk == 0) return;  // all is here, or on its way
    if (slab.resident) {
      if (requested < n) {
        MoveAt(requested, SlabState::kReading);
        Request(requested);
      }
    } else if (!LeftOut(requested)) {
      if (!ring.Allocate(slab.place_bytes()).has_value()) return;
      timeline.Stamp(requested, SlabState::kReading);
      Request(requested);
    }
    ++requested;
  }
}

void SlabStream::State::Request(int64_t position) {
  const StreamSlab& slab = cycle[SlabAt(position)];
  IoRequest request;
  request.file = slab.file;
  request.offset = slab.offset;
  request.buffer = ReadBufferAt(position);
  request.bytes = slab.bytes;
  request.done = [this, position](absl::Status status) { Arrived(position, status); };
  engine->Submit(std::move(request));
}

void SlabStream::State::Arrived(int64_t position, const absl::Status& status) {
  const MutexLock lock(&mutex);
  if (!status.ok()) {
    Fail(position, absl::Status(status.code(),
                                absl::StrCat(status.message(), " (slab ", SlabAt(position),
                                             " at byte ", cycle[SlabAt(position)].offset, ")")));
    return;
  }
  MoveAt(position, SlabState::kRead);
  const int slab = SlabAt(position);
  if (cycle[slab].resident || cycle[slab].first_walk_only)
    counters.kept_bytes_read += cycle[slab].bytes;
  if (verified[slab] && cycle[slab].compression == SlabCompression::kNone) {
    MoveAt(position, SlabState::kReady);
    slab_ready.NotifyOne();
    return;
  }
  arrived.push_back(position);
  if (ForWorkers()) work.NotifyOne();
}

void SlabStream::State::Fail(int64_t position, absl::Status status) {
  MoveAt(position, SlabState::kFailed);
  if (failed_at < 0 || position < failed_at) {
    failed_at = position;
    failure = std::move(status);
  }
  slab_ready.NotifyOne();
}

absl::Status SlabStream::State::Verify(int64_t position, const std::byte* data) const {
  const StreamSlab& slab = cycle[SlabAt(position)];
  const uint64_t got = XXH3_64bits(data, slab.bytes);
  if (got == slab.checksum) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(paths[slab.file], ": slab ", SlabAt(position), " at byte ", slab.offset,
                   ": XXH3 ", absl::Hex(got, absl::kZeroPad16), ", manifest says ",
                   absl::Hex(slab.checksum, absl::kZeroPad16), "; ", kRepairAdvice));
}

absl::Status SlabStream::State::Decode(int64_t position, std::byte* place,
                                       SlabDecoder* decoder) const {
  const StreamSlab& slab = cycle[SlabAt(position)];
  const absl::Status status =
      decoder->Decode(slab.compression, {place, static_cast<size_t>(slab.place_bytes())},
                      slab.bytes, slab.raw_bytes);
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(paths[slab.file], ": slab ", SlabAt(position), " at byte ",
                                   slab.offset, ": ", status.message()));
}

void SlabStream::State::Checked(int64_t position, absl::Status status) {
  if (!status.ok()) {
    Fail(position, std::move(status));
    return;
  }
  MoveAt(position, SlabState::kReady);
  slab_ready.NotifyOne();
}

void SlabStream::State::VerifyArrived() {
  const MutexLock lock(&mutex);
  if (!left_to_caller || arrived.empty()) return;
  const int64_t position = arrived.front();
  arrived.pop_front();
  const std::byte* const data = ReadBufferAt(position).data();
  MoveAt(position, SlabState::kVerifying);
  mutex.Unlock();
  const Clock::time_point start = Clock::now();
  absl::Status status = Verify(position, data);
  const std::chrono::duration<double> seconds = Clock::now() - start;
  mutex.Lock();
  counters.aside_seconds += seconds.count();
  if (status.ok()) verified[SlabAt(position)] = verify_once;
  Checked(position, std::move(status));
}

absl::Status SlabStream::State::StartWorkers(int count, const ThreadShortageFn& on_fewer_threads) {
  while (static_cast<int>(workers.size()) < count) {
    StageClock<kWorkerStates>* clock;
    {
      const MutexLock lock(&mutex);
      clock = &worker_clocks.emplace_back();
    }
    absl::StatusOr<Thread> worker =
        Thread::Start("sluice-worker", [this, clock] { RunWorker(clock); });
    if (worker.ok()) {
      workers.push_back(*std::move(worker));
      continue;
    }
    {
      const MutexLock lock(&mutex);
      worker_clocks.pop_back();
    }
    absl::Status shortage = ThreadShortage("for checking slabs", count,
                                           static_cast<int64_t>(workers.size()), worker.status());
    if (workers.empty()) return shortage;
    if (on_fewer_threads) on_fewer_threads(shortage);
    break;
  }
  return absl::OkStatus();
}

absl::Status SlabStream::State::CheckAt(int64_t position, StageClock<kWorkerStates>* clock) {
  const std::byte* const data = ReadBufferAt(position).data();
  clock->Enter(kChecking);
  MoveAt(position, SlabState::kVerifying);
  mutex.Unlock();
  absl::Status status = Verify(position, data);
  mutex.Lock();
  clock->Enter(kIdle);
  if (status.ok()) verified[SlabAt(position)] = verify_once;
  return status;
}

absl::Status SlabStream::State::DecodeAt(int64_t position, SlabDecoder* decoder,
                                         StageClock<kWorkerStates>* clock) {
  std::byte* const place = PlaceAt(position);
  clock->Enter(kDecoding);
  MoveAt(position, SlabState::kUnpacking);
  mutex.Unlock();
  absl::Status status = Decode(position, place, decoder);
  mutex.Lock();
  clock->Enter(kIdle);
  return status;
}

void SlabStream::State::RunWorker(StageClock<kWorkerStates>* clock) {
  SlabDecoder decoder;
  const MutexLock lock(&mutex);
  for (;;) {
    while (!closing && (arrived.empty() || !ForWorkers())) work.Wait(&mutex);
    if (closing) return;
    const int64_t position = arrived.front();
    arrived.pop_front();
    const int slab = SlabAt(position);
    absl::Status status = verified[slab] ? absl::OkStatus() : CheckAt(position, clock);
    if (status.ok() && cycle[slab].compression != SlabCompression::kNone)
      status = DecodeAt(position, &decoder, clock);
    Checked(position, std::move(status));
  }
}

int64_t SlabStream::MemoryBytes(absl::Span<const StreamSlab> cycle, int64_t ring_bytes,
                                int worker_threads) {
  return HostBuffer::RoundedBytes(ring_bytes) + HostBuffer::RoundedBytes(ArenaBytes(cycle)) +
         HostBuffer::RoundedBytes(kBounceBytes) + kOverheadBytes +
         worker_threads * SlabDecoder::MemoryBytes() +
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
  SLUICE_RETURN_IF_ERROR(Check(paths, cycle, HostBuffer::RoundedBytes(options.ring_bytes)));
  SLUICE_ASSIGN_OR_RETURN(HostBuffer ring_memory, HostBuffer::Create(options.ring_bytes));
  SLUICE_ASSIGN_OR_RETURN(HostBuffer arena, HostBuffer::Create(ArenaBytes(cycle)));
  SLUICE_ASSIGN_OR_RETURN(HostBuffer bounce, HostBuffer::Create(kBounceBytes));
  auto state = std::make_unique<State>(std::move(paths), std::move(cycle), options.verify_once,
                                       std::move(ring_memory), std::move(arena), std::move(bounce));
  if (options.pinned_bytes != nullptr) *options.pinned_bytes = 0;
  if (options.device != nullptr) {
    std::vector<int64_t> places;
    for (const StreamSlab& slab : state->cycle) {
      if (slab.resident) places.push_back(slab.place_bytes());
    }
    // A slab may lie anywhere in the ring, which therefore is one piece.
    SLUICE_ASSIGN_OR_RETURN(state->pinned_ring, PinMemory(options.device, state->ring_memory.span(),
                                                          {}, options.pinned_bytes));
    SLUICE_ASSIGN_OR_RETURN(state->pinned_arena, PinMemory(options.device, state->arena.span(),
                                                           places, options.pinned_bytes));
  }
  // The arena is not registered: that would take all of its pages before the first read, and each
  // is read into once.
  std::vector<absl::Span<std::byte>> buffers = {state->bounce.span()};
  if (state->ring_memory.size() > 0) buffers.push_back(state->ring_memory.span());
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
  if (state.NothingFrom(state.position)) {
    return absl::OutOfRangeError("the stream was for one walk, which is over");
  }
  while (state.LeftOut(state.position)) ++state.position;
  const int64_t position = state.position;
  const StreamSlab& slab = state.cycle[state.SlabAt(position)];
  for (;;) {
    if (state.failed_at == position && state.ended.ok()) state.ended = state.failure;
    if (!state.ended.ok()) break;
    const SlabState now = state.StateAt(position);
    if (now == SlabState::kReady) break;
    if (now == SlabState::kFree) {  // all before it went out: their leases take up the room
      return absl::FailedPreconditionError(
          absl::StrCat("slab ", state.SlabAt(position), " of ", slab.place_bytes(),
                       " bytes does not fit a ring of ", state.ring.capacity(),
                       " bytes beside the leases held; drop one first"));
    }
    state.consumer.Enter(State::kWaiting);
    if (state.left_to_caller && !state.arrived.empty()) state.work.NotifyOne();
    if (stop == nullptr) {
      state.slab_ready.Wait(&state.mutex);
      continue;
    }
    if (stop->load()) {
      state.consumer.Enter(State::kNotWaiting);
      return absl::CancelledError("interrupted");
    }
    state.slab_ready.WaitFor(&state.mutex, kStopInterval);
  }
  if (state.consumer.state() == State::kWaiting) state.consumer.Enter(State::kNotWaiting);
  SLUICE_RETURN_IF_ERROR(state.ended);
  if (slab.resident) {
    state.timeline.Stamp(position, SlabState::kLeased);
  } else {
    state.MoveAt(position, SlabState::kLeased);
  }
  ++state.position;
  ++state.counters.slabs_leased;
  state.counters.bytes_leased += slab.leased_bytes();
  return Lease(this,
               {.position = position,
                .slab = state.SlabAt(position),
                .bytes = {state.PlaceAt(position), static_cast<size_t>(slab.leased_bytes())}});
}

void SlabStream::Release(const Lease::Grant& grant) {
  const MutexLock lock(&state_->mutex);
  if (state_->cycle[grant.slab].resident) {
    state_->timeline.Stamp(grant.position, SlabState::kFree);
    return;
  }
  state_->MoveAt(grant.position, SlabState::kFree);
  state_->RequestAhead();
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
  for (const StageClock<kWorkerStates>& clock : state_->worker_clocks) {
    const auto seconds = clock.Seconds();
    counters.verify_seconds += seconds[kChecking];
    counters.unpack_seconds += seconds[kDecoding];
    counters.worker_idle_seconds += seconds[kIdle];
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
