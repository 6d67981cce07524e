// The types of kernels/cuda behind those of kernels/device.h.
#include "kernels/cuda/cuda_compute.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/mma_choice.h"
#include "kernels/cuda/nvml.h"

namespace sluice {
namespace {

class EventOfCuda : public Event {
 public:
  explicit EventOfCuda(cuda::Event event) : event_(std::move(event)) {}
  absl::Status Wait() override { return event_.Synchronize(); }
  absl::StatusOr<double> SecondsSince(Event* earlier) override {
    return event_.SecondsSince(static_cast<EventOfCuda*>(earlier)->event_);
  }
  const cuda::Event& native() const { return event_; }

 private:
  const cuda::Event event_;
};

class StreamOfCuda : public Stream {
 public:
  explicit StreamOfCuda(cuda::Stream stream) : stream_(std::move(stream)) {}
  absl::Status CopyToDevice(std::byte* device, const std::byte* host, int64_t bytes) override {
    return stream_.CopyToDevice(device, host, bytes);
  }
  absl::Status CopyToHost(std::byte* host, const std::byte* device, int64_t bytes) override {
    return stream_.CopyToHost(host, device, bytes);
  }
  absl::Status Record(Event* event) override { return stream_.Record(Native(event)); }
  absl::Status WaitFor(Event* event) override { return stream_.Wait(Native(event)); }
  absl::Status Finish() override { return stream_.Synchronize(); }
  const cuda::Stream& native() const { return stream_; }

 private:
  static const cuda::Event& Native(Event* event) {
    return static_cast<EventOfCuda*>(event)->native();
  }
  const cuda::Stream stream_;
};

class DeviceOfCuda : public Device {
 public:
  explicit DeviceOfCuda(int ordinal) : ordinal_(ordinal) {}

  absl::StatusOr<DeviceRange> Allocate(int64_t bytes) override {
    SLUICE_RETURN_IF_ERROR(Select());
    SLUICE_ASSIGN_OR_RETURN(
        cuda::DeviceBuffer buffer,
        cuda::DeviceBuffer::Create(&allocator_, bytes, "weights, cache and activations"));
    const absl::Span<std::byte> span(buffer.data(), static_cast<size_t>(buffer.bytes()));
    auto owned = std::make_shared<cuda::DeviceBuffer>(std::move(buffer));
    return DeviceRange(span, [owned] {});
  }
  absl::StatusOr<DeviceRange> Pin(absl::Span<std::byte> host) override {
    SLUICE_RETURN_IF_ERROR(Select());
    SLUICE_ASSIGN_OR_RETURN(cuda::PinnedRange range, cuda::PinnedRange::Create(host));
    auto owned = std::make_shared<cuda::PinnedRange>(std::move(range));
    return DeviceRange(host, [owned] {});
  }
  absl::StatusOr<std::unique_ptr<Stream>> NewStream() override {
    SLUICE_RETURN_IF_ERROR(Select());
    SLUICE_ASSIGN_OR_RETURN(cuda::Stream stream, cuda::Stream::Create());
    return std::unique_ptr<Stream>(std::make_unique<StreamOfCuda>(std::move(stream)));
  }
  absl::StatusOr<std::unique_ptr<Event>> NewEvent() override {
    SLUICE_RETURN_IF_ERROR(Select());
    SLUICE_ASSIGN_OR_RETURN(cuda::Event event, cuda::Event::Create(cuda::Event::Kind::kTime));
    return std::unique_ptr<Event>(std::make_unique<EventOfCuda>(std::move(event)));
  }
  cuda::DeviceAllocator* allocator() { return &allocator_; }

 private:
  // A thread that never chose one is on device 0.
  absl::Status Select() const {
    return cuda::CudaStatus(cudaSetDevice(ordinal_), absl::StrCat("selecting device ", ordinal_));
  }

  const int ordinal_;
  cuda::CudaAllocator allocator_;
};

class Compute : public CudaCompute {
 public:
  explicit Compute(int ordinal) : device_(ordinal), ordinal_(ordinal) {}

  absl::Status Open() {
    SLUICE_ASSIGN_OR_RETURN(const std::string bus_id, cuda::PciBusId(ordinal_));
    meter_ = cuda::MemoryMeter::Create(bus_id);  // before the context
    SLUICE_ASSIGN_OR_RETURN(const cuda::Device native, cuda::Device::Open(ordinal_));
    name_ = native.name();
    compute_capability_ = native.compute_capability();
    absl::StatusOr<cuda::Stream> stream = cuda::Stream::Create();  // makes the context
    if (absl::IsResourceExhausted(stream.status())) {
      return absl::ResourceExhaustedError(
          absl::StrCat(stream.status().message(), "; ", name_,
                       " has no room for a context: nvidia-smi shows which programs "
                       "hold its memory"));
    }
    SLUICE_RETURN_IF_ERROR(stream.status());
    stream_.emplace(*std::move(stream));
    SLUICE_ASSIGN_OR_RETURN(memory_, native.memory());
    context_bytes_ = TakenBytes().value_or(
        std::min(memory_.total_bytes - memory_.free_bytes, kMostContextBytes));
    SLUICE_ASSIGN_OR_RETURN(
        options_.mma_min_tokens,
        cuda::ChooseMmaMinTokens(native, stream_->native(), device_.allocator()));
    SLUICE_ASSIGN_OR_RETURN(
        ops_, cuda::MakeCudaOps(native, &stream_->native(), device_.allocator(), options_));
    return absl::OkStatus();
  }

  Device* device() override { return &device_; }
  Stream* stream() override { return &*stream_; }
  Ops* ops() override { return ops_.get(); }
  const std::string& name() const override { return name_; }
  int compute_capability() const override { return compute_capability_; }
  absl::Status CheckRoundsActivations() const override {
    return cuda::CheckRoundsActivations(compute_capability_);
  }
  int64_t total_bytes() const override { return memory_.total_bytes; }
  int64_t free_bytes() const override { return memory_.free_bytes; }
  int64_t context_bytes() const override { return context_bytes_; }
  int64_t overhead_bytes() const override {
    return context_bytes_ + options_.attention_scratch_bytes;
  }
  std::optional<int64_t> TakenBytes() const override {
    return meter_ != nullptr ? meter_->TakenBytes() : std::nullopt;
  }

 private:
  cuda::CudaOpsOptions options_;
  DeviceOfCuda device_;
  const int ordinal_;
  std::string name_;
  int compute_capability_ = 0;
  cuda::Device::Memory memory_ = {};
  std::unique_ptr<cuda::MemoryMeter> meter_;  // null: without NVML
  int64_t context_bytes_ = 0;
  std::optional<StreamOfCuda> stream_;
  std::unique_ptr<Ops> ops_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CudaCompute>> OpenCudaDevice(int ordinal) {
  auto compute = std::make_unique<Compute>(ordinal);
  SLUICE_RETURN_IF_ERROR(compute->Open());
  return std::unique_ptr<CudaCompute>(std::move(compute));
}

}  // namespace sluice
