// Queues of work, and the thread that does it in an order of its own.
#include "tests/prefetch/late_device.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {

class LateDevice::LateEvent : public Event {
 public:
  explicit LateEvent(LateDevice* device) : device_(device) {}
  absl::Status Wait() override {
    std::unique_lock<std::mutex> lock(device_->mutex_);
    const int64_t wanted = recorded;
    device_->done_.wait(lock, [&] { return done >= wanted; });
    return absl::OkStatus();
  }

  absl::StatusOr<double> SecondsSince(Event* earlier) override {
    const auto* const other = static_cast<LateEvent*>(earlier);
    std::lock_guard<std::mutex> lock(device_->mutex_);
    for (const LateEvent* event : {static_cast<const LateEvent*>(this), other}) {
      if (event->done == 0 || event->done < event->recorded) {
        return absl::InternalError("the time of an event that was not reached");
      }
    }
    return std::chrono::duration<double>(reached - other->reached).count();
  }

  int64_t recorded = 0;                           // marks queued
  int64_t done = 0;                               // marks reached
  std::chrono::steady_clock::time_point reached;  // the latest of them

 private:
  LateDevice* const device_;
};

class LateDevice::LateStream : public Stream {
 public:
  explicit LateStream(LateDevice* device) : device_(device) {}
  ~LateStream() override {
    Finish().IgnoreError();
    std::lock_guard<std::mutex> lock(device_->mutex_);
    auto& streams = device_->streams_;
    streams.erase(std::find(streams.begin(), streams.end(), this));
  }

  absl::Status CopyToDevice(std::byte* device, const std::byte* host, int64_t bytes) override {
    return Copy(device, host, bytes);
  }
  absl::Status CopyToHost(std::byte* host, const std::byte* device, int64_t bytes) override {
    return Copy(host, device, bytes);
  }
  absl::Status Record(Event* event) override {
    auto* const late = static_cast<LateEvent*>(event);
    std::lock_guard<std::mutex> lock(device_->mutex_);
    ++late->recorded;
    Push({.run = nullptr, .mark = late});
    return absl::OkStatus();
  }
  absl::Status WaitFor(Event* event) override {
    if (device_->faults_.ignore_waits) return absl::OkStatus();
    auto* const late = static_cast<LateEvent*>(event);
    std::lock_guard<std::mutex> lock(device_->mutex_);
    Push({.run = nullptr, .wait_for = late, .count = late->recorded});
    return absl::OkStatus();
  }
  absl::Status Finish() override {
    std::unique_lock<std::mutex> lock(device_->mutex_);
    device_->done_.wait(lock, [this] { return work.empty(); });
    return absl::OkStatus();
  }

  void Push(Work item) {  // wants the mutex
    work.push_back(std::move(item));
    device_->more_.notify_one();
  }

  std::deque<Work> work;  // the first is being done

 private:
  absl::Status Copy(std::byte* to, const std::byte* from, int64_t bytes) {
    const int64_t copy = device_->copies_++;
    if (copy == device_->failing_copy_) {
      return absl::UnavailableError(
          absl::StrCat("copy ", copy, " of ", bytes, " bytes: the device is lost"));
    }
    std::lock_guard<std::mutex> lock(device_->mutex_);
    Push({.run = [=] { std::memcpy(to, from, bytes); }});
    return absl::OkStatus();
  }

  LateDevice* const device_;
};

LateDevice::LateDevice(uint32_t seed, Faults faults)
    : faults_(faults), random_(seed), failing_copy_(faults.failing_copy) {
  thread_ = std::thread([this] { Run(); });
}

LateDevice::~LateDevice() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
    more_.notify_one();
  }
  thread_.join();
}

bool LateDevice::Runnable(const LateStream& stream) const {
  if (stream.work.empty()) return false;
  const Work& first = stream.work.front();
  return first.wait_for == nullptr || first.wait_for->done >= first.count;
}

void LateDevice::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    std::vector<LateStream*> runnable;
    more_.wait(lock, [&] {
      runnable.clear();
      for (LateStream* stream : streams_) {
        if (Runnable(*stream)) runnable.push_back(stream);
      }
      return closing_ || !runnable.empty();
    });
    if (closing_) return;
    if (faults_.first_stream != Faults::FirstStream::kInTurn && runnable.size() > 1) {
      const bool early = faults_.first_stream == Faults::FirstStream::kEarly;
      const bool able =
          std::find(runnable.begin(), runnable.end(), streams_.front()) != runnable.end();
      if (able && early) runnable = {streams_.front()};
      if (able && !early) std::erase(runnable, streams_.front());
    }
    LateStream* const stream = runnable[random_() % runnable.size()];
    const std::function<void()> run = stream->work.front().run;
    // Now and then the host gets ahead by a few steps.
    const bool yields = random_() % 4 == 0;
    lock.unlock();
    if (yields) std::this_thread::yield();
    if (run != nullptr) run();
    lock.lock();
    if (LateEvent* const mark = stream->work.front().mark; mark != nullptr) {
      ++mark->done;
      mark->reached = std::chrono::steady_clock::now();
    }
    stream->work.pop_front();
    done_.notify_all();
  }
}

void LateDevice::Launch(Stream* stream, std::function<void()> kernel) {
  std::lock_guard<std::mutex> lock(mutex_);
  static_cast<LateStream*>(stream)->Push({.run = std::move(kernel)});
}

absl::StatusOr<DeviceRange> LateDevice::Allocate(int64_t bytes) {
  if (allocated_ + bytes > faults_.memory_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("no ", bytes, " bytes of device memory"));
  }
  allocated_ += bytes;
  auto* const memory = new (std::align_val_t(4096)) std::byte[bytes];
  return DeviceRange({memory, static_cast<size_t>(bytes)}, [this, memory, bytes] {
    allocated_ -= bytes;
    operator delete[](memory, std::align_val_t(4096));
  });
}

absl::StatusOr<DeviceRange> LateDevice::Pin(absl::Span<std::byte> host) {
  if (pinned_ + static_cast<int64_t>(host.size()) > faults_.pinnable_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("no ", host.size(), " bytes can be pinned"));
  }
  pinned_ += static_cast<int64_t>(host.size());
  return DeviceRange(host, [this, bytes = static_cast<int64_t>(host.size())] { pinned_ -= bytes; });
}

absl::StatusOr<std::unique_ptr<Stream>> LateDevice::NewStream() {
  auto stream = std::make_unique<LateStream>(this);
  std::lock_guard<std::mutex> lock(mutex_);
  streams_.push_back(stream.get());
  return std::unique_ptr<Stream>(std::move(stream));
}

absl::StatusOr<std::unique_ptr<Event>> LateDevice::NewEvent() {
  ++events_;
  return std::unique_ptr<Event>(std::make_unique<LateEvent>(this));
}

}  // namespace sluice
