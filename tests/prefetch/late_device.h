// A device for tests: its memory is the host's, and its streams work late and out of step.
#ifndef SLUICE_TESTS_PREFETCH_LATE_DEVICE_H_
#define SLUICE_TESTS_PREFETCH_LATE_DEVICE_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "kernels/device.h"

namespace sluice {

// One thread does a random stream's oldest work, a step at a time, so that any order that streams
// and events allow happens under some seed. Work of a stream that waits for an event stands.
class LateDevice : public Device {
 public:
  struct Faults {
    bool ignore_waits = false;  // Stream::WaitFor does nothing: what a forgotten wait would do
    // The stream that was made first works whenever it can (kEarly), or only when no other can
    // (kLate).
    enum class FirstStream : uint8_t { kInTurn, kEarly, kLate };
    FirstStream first_stream = FirstStream::kInTurn;
    int64_t failing_copy = -1;  // this copy, counted from 0, fails when it is queued
    int64_t memory_bytes = int64_t{1} << 40;
    int64_t pinnable_bytes = int64_t{1} << 40;  // of host memory
  };
  LateDevice(uint32_t seed, Faults faults);
  explicit LateDevice(uint32_t seed) : LateDevice(seed, Faults()) {}
  ~LateDevice() override;

  absl::StatusOr<DeviceRange> Allocate(int64_t bytes) override;
  absl::StatusOr<DeviceRange> Pin(absl::Span<std::byte> host) override;
  absl::StatusOr<std::unique_ptr<Stream>> NewStream() override;
  absl::StatusOr<std::unique_ptr<Event>> NewEvent() override;

  // A kernel: runs when the stream, one of this device, gets to it.
  void Launch(Stream* stream, std::function<void()> kernel);

  // Of the copies that are queued from here on, lets this one, counted from 0, fail.
  void FailCopy(int64_t copy) { failing_copy_ = copies_ + copy; }

  int64_t allocated() const { return allocated_; }
  int64_t pinned() const { return pinned_; }
  int64_t most_events() const { return events_; }

 private:
  class LateEvent;
  class LateStream;
  struct Work {
    std::function<void()> run;      // null: only waits or marks
    LateEvent* wait_for = nullptr;  // until its done count reaches `count`
    LateEvent* mark = nullptr;
    int64_t count = 0;
  };
  void Run();
  bool Runnable(const LateStream& stream) const;

  const Faults faults_;
  std::mt19937 random_;  // the thread's
  std::mutex mutex_;     // guards what follows and all streams and events
  std::condition_variable more_;
  std::condition_variable done_;
  std::vector<LateStream*> streams_;
  bool closing_ = false;
  std::atomic<int64_t> copies_ = 0;
  std::atomic<int64_t> failing_copy_;
  std::atomic<int64_t> allocated_ = 0;
  std::atomic<int64_t> pinned_ = 0;
  std::atomic<int64_t> events_ = 0;
  std::thread thread_;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_PREFETCH_LATE_DEVICE_H_
