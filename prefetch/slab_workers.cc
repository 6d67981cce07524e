// Checks and decodes slabs between their arrival and their lease.
#include <xxhash.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "prefetch/slab_stream_state.h"
#include "storage/store/repair_advice.h"

namespace sluice {

absl::Status SlabStream::State::Verify(int index, const std::byte* data) const {
  const StreamSlab& slab = cycle[index];
  const uint64_t got = XXH3_64bits(data, slab.bytes);
  if (got == slab.checksum) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(paths[slab.file], ": slab ", index, " at byte ", slab.offset, ": XXH3 ",
                   absl::Hex(got, absl::kZeroPad16), ", manifest says ",
                   absl::Hex(slab.checksum, absl::kZeroPad16), "; ", kRepairAdvice));
}

absl::Status SlabStream::State::Decode(int index, std::byte* place, SlabDecoder* decoder) const {
  const StreamSlab& slab = cycle[index];
  const absl::Status status =
      decoder->Decode(slab.compression, {place, static_cast<size_t>(slab.place_bytes())},
                      slab.bytes, slab.raw_bytes);
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(paths[slab.file], ": slab ", index, " at byte ",
                                                  slab.offset, ": ", status.message()));
}

void SlabStream::State::VerifyArrived() {
  const MutexLock lock(&mutex);
  if (!left_to_caller || arrived.empty()) return;
  const Place place = arrived.front();
  arrived.pop_front();
  const std::byte* const data = ReadBufferOf(place).data();
  Move(place, SlabState::kVerifying);
  mutex.Unlock();
  const auto start = std::chrono::steady_clock::now();
  absl::Status status = Verify(place.visit.slab, data);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  mutex.Lock();
  counters.aside_seconds += seconds.count();
  if (status.ok()) verified[place.visit.slab] = verify_once;
  Checked(place, std::move(status));
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

absl::Status SlabStream::State::CheckAt(const Place& place, StageClock<kWorkerStates>* clock) {
  const std::byte* const data = ReadBufferOf(place).data();
  clock->Enter(kChecking);
  Move(place, SlabState::kVerifying);
  mutex.Unlock();
  absl::Status status = Verify(place.visit.slab, data);
  mutex.Lock();
  clock->Enter(kIdle);
  if (status.ok()) verified[place.visit.slab] = verify_once;
  return status;
}

absl::Status SlabStream::State::DecodeAt(const Place& place, SlabDecoder* decoder,
                                         StageClock<kWorkerStates>* clock) {
  std::byte* const address = AddressOf(place);
  clock->Enter(kDecoding);
  Move(place, SlabState::kUnpacking);
  mutex.Unlock();
  absl::Status status = Decode(place.visit.slab, address, decoder);
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
    const Place place = arrived.front();
    arrived.pop_front();
    const int slab = place.visit.slab;
    absl::Status status = verified[slab] ? absl::OkStatus() : CheckAt(place, clock);
    if (status.ok() && cycle[slab].compression != SlabCompression::kNone)
      status = DecodeAt(place, &decoder, clock);
    Checked(place, std::move(status));
  }
}

void SlabStream::State::Checked(const Place& place, absl::Status status) {
  Move(place, status.ok() ? SlabState::kReady : SlabState::kFailed);
  if (dropped.erase(place.visit.id) > 0) {
    Move(place, SlabState::kFree);
    RequestAhead();
  } else if (!status.ok()) {
    failures.emplace(FailureKey(place.visit), std::move(status));
  }
  slab_ready.NotifyOne();
}

}  // namespace sluice
