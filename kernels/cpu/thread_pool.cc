// A team that joins an open loop, takes ranges of it until none is left, and leaves.
//
// All of the team's state is one 32-bit word, so that one compare-and-swap decides who is in:
//
//   bits 0-10 members now inside | bit 11 open | bit 12 stop | bits 13-31 generation
//
//   idle    --Run-->   open: workers may join (members + 1) until the caller finds no range left
//   open    --close--> closed: nobody joins; members leave (members - 1)
//   closed with no members = idle: only then may the caller write the loop's fields again
//
// A worker that sleeps through a loop is not waited for: on a busy machine the others do its share.
#include "kernels/cpu/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <utility>
#include <vector>

#include "kernels/base/mutex.h"
#include "kernels/cpu/cpu_topology.h"
#include "kernels/cpu/thread.h"

namespace sluice {
namespace {

constexpr uint32_t kMembers = (1u << 11) - 1;
constexpr uint32_t kOpen = 1u << 11;
constexpr uint32_t kStop = 1u << 12;
constexpr uint32_t kGeneration = 1u << 13;
constexpr uint32_t kGenerationMask = ~(kGeneration - 1);

// Of a team that the system refuses: left for the threads that read and check.
constexpr int kThreadsForOthers = 8;

constexpr auto kSpinTime = std::chrono::microseconds(40);
// The ranges of a loop shrink: each round hands out a quarter of what is left, a range to each
// thread, until ranges would be shorter than the grain; the rest goes in grains. Long ranges suit
// the prefetchers, short ones at the end let the threads finish together. Measured on Zen 4, two
// threads, slabs of 8 MiB: 256 tokens q4_k 552 GOPS, q8_0 594 (12 equal ranges: 478, 522; halves
// instead of quarters: 538, 560), and one token the same as with equal ranges.
struct Ranges {
  int64_t count;
  int64_t grain;
  int64_t threads;

  // Where range `index` begins, `count` from the end on.
  int64_t Begin(int64_t index) const {
    int64_t begin = 0;
    for (;;) {
      const int64_t length = (count - begin) / (4 * threads);
      if (length <= grain) return std::min(count, begin + index * grain);
      if (index < threads) return begin + index * length;
      begin += threads * length;
      index -= threads;
    }
  }
};

void Place(const ThreadPlacement& placement, int thread) {
  if (placement.cpus.empty()) return;
  const int cpu = placement.cpus[thread % placement.cpus.size()];
  // What the system refuses is left as it is: a thread in another place computes the same.
  RunOnCpus(placement.strict ? std::vector<int>{cpu} : placement.cpus).IgnoreError();
}

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

struct ThreadPool::State {
  using Body = absl::FunctionRef<void(int64_t begin, int64_t end)>;

  alignas(64) std::atomic<uint32_t> word{0};
  alignas(64) std::atomic<int64_t> next{0};
  // The loop; written by the caller of Run while no member is inside, read by members.
  alignas(64) const Body* body = nullptr;
  Ranges ranges = {};

  // False where threads outnumber CPUs: spinning would take a CPU from one that works
  bool spin = true;
  ThreadPlacement placement;
  absl::Status shortage;
  std::vector<Thread> workers;

  Mutex thrown_mutex;
  std::exception_ptr thrown ABSL_GUARDED_BY(thrown_mutex);  // the first of a loop's bodies

  void TakeRangesOrKeepException() {
    try {
      TakeRanges();
    } catch (...) {
      const MutexLock lock(&thrown_mutex);
      if (thrown == nullptr) thrown = std::current_exception();
    }
  }

  // Starts workers until there are `count`, or the system refuses.
  absl::Status StartWorkers(int count);
  void StopWorkers();

  void TakeRanges() {
    for (;;) {
      const int64_t index = next.fetch_add(1, std::memory_order_relaxed);
      const int64_t begin = ranges.Begin(index);
      if (begin >= ranges.count) return;
      (*body)(begin, ranges.Begin(index + 1));
    }
  }

  // Waits until the word is no longer `seen` and returns it: spinning for a while, then asleep.
  uint32_t WaitForChange(uint32_t seen) {
    if (spin) {
      const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
      do {
        for (int i = 0; i < 32; ++i) {
          const uint32_t now = word.load(std::memory_order_acquire);
          if (now != seen) return now;
          Pause();
        }
      } while (std::chrono::steady_clock::now() < deadline);
    }
    word.wait(seen, std::memory_order_acquire);
    return word.load(std::memory_order_acquire);
  }

  // Worker threads: join each generation at most once.
  void Work() {
    uint32_t joined = 0;  // generation bits
    uint32_t now = word.load(std::memory_order_acquire);
    for (;;) {
      if (now & kStop) return;
      if ((now & kOpen) == 0 || (now & kGenerationMask) == joined) {
        now = WaitForChange(now);
        continue;
      }
      if (!word.compare_exchange_weak(now, now + 1, std::memory_order_acquire)) continue;
      joined = now & kGenerationMask;
      TakeRangesOrKeepException();
      const uint32_t before = word.fetch_sub(1, std::memory_order_acq_rel);
      if ((before & kMembers) == 1 && (before & kOpen) == 0) word.notify_all();
      now = before - 1;
    }
  }
};

ThreadPool::ThreadPool(int num_threads, ThreadPlacement placement)
    : state_(std::make_unique<State>()) {
  state_->placement = std::move(placement);
  Grow(num_threads);
}

ThreadPool::~ThreadPool() { state_->StopWorkers(); }

void ThreadPool::Grow(int num_threads) {
  State& state = *state_;
  num_threads = std::clamp(num_threads, 1, static_cast<int>(kMembers));
  const size_t cpus =
      state.placement.cpus.empty() ? AllowedCpus().size() : state.placement.cpus.size();
  const bool spin = num_threads <= static_cast<int>(cpus);
  if (spin != state.spin) state.StopWorkers();  // they read it
  state.spin = spin;
  const absl::Status refusal = state.StartWorkers(num_threads - 1);
  if (refusal.ok()) return;
  const auto started = static_cast<int>(state.workers.size());
  state.StopWorkers();
  state.StartWorkers(started - std::min(kThreadsForOthers, started / 2)).IgnoreError();
  state.shortage = ThreadShortage("for computing", num_threads, this->num_threads(), refusal);
}

absl::Status ThreadPool::State::StartWorkers(int count) {
  workers.reserve(count);
  while (static_cast<int>(workers.size()) < count) {
    const auto thread = static_cast<int>(workers.size()) + 1;
    absl::StatusOr<Thread> worker = Thread::Start("sluice-compute", [this, thread] {
      Place(placement, thread);
      Work();
    });
    if (!worker.ok()) return std::move(worker).status();
    workers.push_back(*std::move(worker));
  }
  return absl::OkStatus();
}

void ThreadPool::State::StopWorkers() {
  word.fetch_or(kStop, std::memory_order_release);
  word.notify_all();
  workers.clear();  // joins them
  word.fetch_and(~kStop, std::memory_order_relaxed);
}

int ThreadPool::num_threads() const { return static_cast<int>(state_->workers.size()) + 1; }

const absl::Status& ThreadPool::shortage() const { return state_->shortage; }

void ThreadPool::PlaceCaller() { Place(state_->placement, 0); }

void ThreadPool::Run(int64_t count, int64_t grain,
                     absl::FunctionRef<void(int64_t begin, int64_t end)> body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(1, grain);
  State& state = *state_;
  if (state.workers.empty() || count <= grain) {
    body(0, count);
    return;
  }
  state.body = &body;
  state.ranges = {.count = count, .grain = grain, .threads = num_threads()};
  state.next.store(0, std::memory_order_relaxed);
  const uint32_t generation =
      (state.word.load(std::memory_order_relaxed) & kGenerationMask) + kGeneration;
  state.word.store(generation | kOpen, std::memory_order_release);
  state.word.notify_all();
  state.TakeRangesOrKeepException();
  uint32_t now = state.word.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  while ((now & kMembers) != 0) now = state.WaitForChange(now);
  const MutexLock lock(&state.thrown_mutex);
  if (state.thrown != nullptr) std::rethrow_exception(std::exchange(state.thrown, nullptr));
}

}  // namespace sluice
