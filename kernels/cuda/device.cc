// Opens devices, makes streams and events; every call's error is a Status.
#include "kernels/cuda/device.h"

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/cuda/cuda_status.h"

namespace sluice::cuda {
namespace {

// What the code in the library needs (cmake/cuda.cmake).
constexpr int kMinComputeCapability = 75;

struct Machine {
  int driver = 0;  // the CUDA version that it is for; 0: no driver
  int devices = 0;
};
absl::StatusOr<Machine> AskMachine() {
  Machine machine;
  SLUICE_RETURN_IF_ERROR(
      CudaStatus(cudaDriverGetVersion(&machine.driver), "asking for the driver's version"));
  if (machine.driver == 0) return machine;
  const cudaError_t error = cudaGetDeviceCount(&machine.devices);
  if (error == cudaErrorInsufficientDriver) return DriverTooOld(machine.driver);
  if (error == cudaErrorNoDevice) return Machine{machine.driver, 0};
  SLUICE_RETURN_IF_ERROR(CudaStatus(error, "counting devices"));
  return machine;
}

absl::Status CheckOrdinal(int ordinal) {
  SLUICE_ASSIGN_OR_RETURN(const Machine machine, AskMachine());
  if (ordinal >= 0 && ordinal < machine.devices) return absl::OkStatus();
  if (machine.driver == 0) {
    return absl::NotFoundError("CUDA: no driver: the system finds no libcuda.so.1 that works");
  }
  if (machine.devices == 0) {
    return absl::NotFoundError(absl::StrCat("CUDA: no device: the driver, for CUDA ",
                                            CudaVersion(machine.driver),
                                            ", finds none; CUDA_VISIBLE_DEVICES may hide them"));
  }
  return absl::NotFoundError(
      absl::StrCat("CUDA: no device ", ordinal, "; there are ", machine.devices));
}

}  // namespace

absl::StatusOr<int> CountDevices() {
  SLUICE_ASSIGN_OR_RETURN(const Machine machine, AskMachine());
  return machine.devices;
}

absl::StatusOr<std::string> PciBusId(int ordinal) {
  SLUICE_RETURN_IF_ERROR(CheckOrdinal(ordinal));
  char id[32] = {};
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaDeviceGetPCIBusId(id, sizeof(id), ordinal),
                                    absl::StrCat("asking for the bus id of device ", ordinal)));
  return std::string(id);
}

absl::StatusOr<Device> Device::Open(int ordinal) {
  SLUICE_RETURN_IF_ERROR(CheckOrdinal(ordinal));
  SLUICE_RETURN_IF_ERROR(
      CudaStatus(cudaSetDevice(ordinal), absl::StrCat("selecting device ", ordinal)));
  cudaDeviceProp properties;
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaGetDeviceProperties(&properties, ordinal),
                                    absl::StrCat("reading properties of device ", ordinal)));
  Device device;
  device.ordinal_ = ordinal;
  device.name_ = properties.name;
  device.compute_capability_ = 10 * properties.major + properties.minor;
  device.multiprocessors_ = properties.multiProcessorCount;
  if (device.compute_capability_ < kMinComputeCapability) {
    return absl::FailedPreconditionError(absl::StrCat("CUDA: device ", ordinal, " (", device.name_,
                                                      ") has compute capability ", properties.major,
                                                      ".", properties.minor, ", kernels need 7.5"));
  }
  return device;
}

absl::StatusOr<Device::Memory> Device::memory() const {
  size_t free = 0;
  size_t total = 0;
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaMemGetInfo(&free, &total),
                                    absl::StrCat("asking for the free memory of ", name_)));
  return Memory{static_cast<int64_t>(free), static_cast<int64_t>(total)};
}

absl::StatusOr<Event> Event::Create(Kind kind) {
  cudaEvent_t event = nullptr;
  const unsigned flags = kind == Kind::kTime ? cudaEventDefault : cudaEventDisableTiming;
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaEventCreateWithFlags(&event, flags), "making an event"));
  return Event(event);
}

Event::~Event() {
  if (event_ != nullptr)
    cudaEventDestroy(event_);  // an error here was, or will be, another call's too
}

absl::Status Event::Synchronize() const {
  return CudaStatus(cudaEventSynchronize(event_), "waiting for an event");
}

absl::StatusOr<bool> Event::Fired() const {
  const cudaError_t error = cudaEventQuery(event_);
  if (error == cudaErrorNotReady) return false;
  SLUICE_RETURN_IF_ERROR(CudaStatus(error, "asking whether an event was reached"));
  return true;
}

absl::StatusOr<double> Event::SecondsSince(const Event& earlier) const {
  float milliseconds = 0;
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaEventElapsedTime(&milliseconds, earlier.get(), event_),
                                    "asking for the time between events"));
  return milliseconds / 1e3;
}

absl::StatusOr<Stream> Stream::Create() {
  cudaStream_t stream = nullptr;
  SLUICE_RETURN_IF_ERROR(
      CudaStatus(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream"));
  return Stream(stream);
}

Stream::~Stream() {
  if (stream_ == nullptr) return;
  cudaStreamSynchronize(stream_);  // memory that its work uses may be freed next
  cudaStreamDestroy(stream_);
}

absl::Status Stream::Record(const Event& event) const {
  return CudaStatus(cudaEventRecord(event.get(), stream_), "recording an event");
}

absl::Status Stream::Wait(const Event& event) const {
  return CudaStatus(cudaStreamWaitEvent(stream_, event.get(), 0),
                    "making a stream wait for an event");
}

absl::Status Stream::Synchronize() const {
  return CudaStatus(cudaStreamSynchronize(stream_), "waiting for a stream");
}

absl::Status Stream::CopyToDevice(void* device, const void* pinned, int64_t bytes) const {
  if (bytes == 0) return absl::OkStatus();
  return CudaStatus(
      cudaMemcpyAsync(device, pinned, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream_),
      absl::StrCat("copying ", bytes, " bytes to the device"));
}

absl::Status Stream::CopyToHost(void* pinned, const void* device, int64_t bytes) const {
  if (bytes == 0) return absl::OkStatus();
  return CudaStatus(
      cudaMemcpyAsync(pinned, device, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream_),
      absl::StrCat("copying ", bytes, " bytes from the device"));
}

}  // namespace sluice::cuda
