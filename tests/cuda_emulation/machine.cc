// Streams, events, memory and errors of the emulated machine.
#include "tests/cuda_emulation/machine.h"

#include <cuda_runtime.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/cuda_emulation/grid.h"
#include "tests/cuda_emulation/red_zone.h"

struct CUevent_st {
  uint64_t recorded = 0;  // times that it was put into a queue
  uint64_t fired = 0;     // the latest of them that was reached
  bool timed = false;
  std::chrono::steady_clock::time_point time;  // when that was
};

namespace {

struct Operation {
  std::function<void()> run;
  // Until it has fired as often as it was recorded when the wait was queued
  CUevent_st* waits_for = nullptr;
  uint64_t times = 0;
};

}  // namespace

struct CUstream_st {
  std::deque<Operation> queue;
};

namespace sluice::cuda_emulation {
namespace {

// One in this many calls runs some of what is queued, as a GPU that is quick.
constexpr uint32_t kEagerness = 3;

class Machine {
 public:
  void Reset(const MachineOptions& options) {
    const int left = LiveObjects();
    *this = {};
    options_ = options;
    random_.seed(static_cast<uint32_t>(options.seed * 2654435761u + 1));
    if (left > 0) Fault(absl::StrCat(left, " objects of the machine before were never freed"));
  }

  const MachineOptions& options() const { return options_; }

  // The error that a call of `name` has to return before it does anything.
  cudaError_t Begin(const char* name) {
    if (lost_ != cudaSuccess) return lost_;
    const auto found = failures_.find(name);
    if (found != failures_.end() && --found->second.count == 0) {
      const cudaError_t error = found->second.error;
      failures_.erase(found);
      if (IsOfTheDevice(error)) lost_ = error;
      return error;
    }
    return cudaSuccess;
  }

  void FailCall(const std::string& name, int count, cudaError_t error) {
    failures_[name] = {count, error};
  }

  void Fault(std::string fault) { faults_.push_back(std::move(fault)); }
  std::string TakeFaults() {
    std::string all;
    for (const std::string& fault : faults_) absl::StrAppend(&all, fault, "\n");
    faults_.clear();
    return all;
  }

  cudaError_t Allocate(void** memory, size_t bytes, bool device) {
    if (device && device_bytes_ + bytes > options_.device_memory_bytes)
      return cudaErrorMemoryAllocation;
    auto block = std::make_unique<RedZoned>(bytes, random_);
    *memory = block->data();
    (device ? device_ : pinned_)[block->data()] = std::move(block);
    if (device) device_bytes_ += bytes;
    return cudaSuccess;
  }
  cudaError_t Free(void* memory, bool device) {
    if (memory == nullptr) return cudaSuccess;
    Drain();
    Blocks& blocks = device ? device_ : pinned_;
    const auto found = blocks.find(static_cast<std::byte*>(memory));
    if (found == blocks.end()) return cudaErrorInvalidValue;
    if (!found->second->Intact()) Fault("writes beyond an allocation");
    if (device) device_bytes_ -= found->second->bytes();
    blocks.erase(found);
    return cudaSuccess;
  }
  size_t device_bytes() const { return device_bytes_; }

  cudaError_t Register(void* memory, size_t bytes) {
    registered_[static_cast<std::byte*>(memory)] = bytes;
    return cudaSuccess;
  }
  cudaError_t Unregister(void* memory) {
    Drain();
    return registered_.erase(static_cast<std::byte*>(memory)) == 1 ? cudaSuccess
                                                                   : cudaErrorInvalidValue;
  }

  CUstream_st* NewStream() {
    streams_.push_back(std::make_unique<CUstream_st>());
    return streams_.back().get();
  }
  void Remove(CUstream_st* stream) {
    Drain();
    std::erase_if(streams_, [stream](const auto& own) { return own.get() == stream; });
  }
  CUevent_st* NewEvent() {
    events_.push_back(std::make_unique<CUevent_st>());
    return events_.back().get();
  }
  void Remove(CUevent_st* event) {
    Drain();
    std::erase_if(events_, [event](const auto& own) { return own.get() == event; });
  }
  bool Has(const CUstream_st* stream) const {
    for (const auto& own : streams_) {
      if (own.get() == stream) return true;
    }
    return false;
  }

  void Enqueue(CUstream_st* stream, Operation operation) {
    stream->queue.push_back(std::move(operation));
    while (random_() % kEagerness == 0 && RunOne()) {
    }
  }

  // Runs operations of any stream until `done`.
  void RunUntil(const std::function<bool()>& done) {
    while (!done()) {
      if (RunOne()) continue;
      Fault("waits for what nothing in the queues will bring");
      return;
    }
  }
  void Drain() {
    while (RunOne()) {
    }
  }

  void RunGrid(const std::function<void()>& thread, dim3 grid, dim3 block, size_t shared_bytes) {
    if (lost_ != cudaSuccess) return;
    const std::string fault = grid_.Run(thread, grid, block, shared_bytes, random_);
    if (fault.empty()) return;
    Fault(fault);
    lost_ = cudaErrorLaunchFailure;
  }

  // Copies between what a cudaMemcpyKind names, when its turn comes.
  void Copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    const bool to_device = kind != cudaMemcpyDeviceToHost;
    const bool from_device = kind != cudaMemcpyHostToDevice;
    if (!(to_device ? Holds(device_, to, bytes) : IsPinned(to, bytes)) ||
        !(from_device ? Holds(device_, from, bytes) : IsPinned(from, bytes))) {
      Fault(absl::StrCat("copies ", bytes, " bytes, kind ", kind,
                         ", beyond one allocation, or not pinned"));
      return;
    }
    std::memcpy(to, from, bytes);
  }

  int LiveObjects() const {
    return static_cast<int>(device_.size() + pinned_.size() + registered_.size() + streams_.size() +
                            events_.size());
  }
  cudaError_t lost() const { return lost_; }

 private:
  struct Failure {
    int count;
    cudaError_t error;
  };
  using Blocks = std::map<std::byte*, std::unique_ptr<RedZoned>>;

  static bool IsOfTheDevice(cudaError_t error) {
    return error >= cudaErrorIllegalAddress || error == cudaErrorECCUncorrectable;
  }
  static bool Holds(const Blocks& blocks, const void* p, size_t bytes) {
    for (const auto& [start, block] : blocks) {
      if (block->Contains(p, bytes)) return true;
    }
    return false;
  }

  bool IsPinned(const void* p, size_t bytes) const {
    const auto* const at = static_cast<const std::byte*>(p);
    for (const auto& [start, size] : registered_) {
      if (at >= start && at + bytes <= start + size) return true;
    }
    return Holds(pinned_, p, bytes);
  }

  bool RunOne() {
    std::vector<CUstream_st*> ready;
    for (const auto& stream : streams_) {
      if (stream->queue.empty()) continue;
      const Operation& next = stream->queue.front();
      if (next.waits_for == nullptr || next.waits_for->fired >= next.times)
        ready.push_back(stream.get());
    }
    if (ready.empty()) return false;
    CUstream_st* const stream = ready[random_() % ready.size()];
    const Operation operation = std::move(stream->queue.front());
    stream->queue.pop_front();
    if (operation.run) operation.run();
    return true;
  }

  MachineOptions options_;
  std::mt19937 random_;
  std::map<std::string, Failure> failures_;
  cudaError_t lost_ = cudaSuccess;
  std::vector<std::string> faults_;
  size_t device_bytes_ = 0;
  Blocks device_;
  Blocks pinned_;
  std::map<std::byte*, size_t> registered_;  // pinned in place
  std::vector<std::unique_ptr<CUstream_st>> streams_;
  std::vector<std::unique_ptr<CUevent_st>> events_;
  Grid grid_;
};

// One call at a time: whoever calls runs what is queued, a kernel that calls nothing included.
std::recursive_mutex& Mutex() {
  static std::recursive_mutex& mutex = *new std::recursive_mutex;
  return mutex;
}

Machine& TheMachine() {
  static Machine& machine = *new Machine;
  return machine;
}

}  // namespace

void Reset(const MachineOptions& options) { TheMachine().Reset(options); }
void FailCall(const std::string& name, int count, cudaError_t error) {
  TheMachine().FailCall(name, count, error);
}
std::string Faults() { return TheMachine().TakeFaults(); }
size_t DeviceBytes() { return TheMachine().device_bytes(); }
int LiveObjects() { return TheMachine().LiveObjects(); }

}  // namespace sluice::cuda_emulation

using sluice::cuda_emulation::TheMachine;

#define ONE_AT_A_TIME() \
  const std::lock_guard<std::recursive_mutex> lock(sluice::cuda_emulation::Mutex())
#define RETURN_IF_FAILED(name) \
  ONE_AT_A_TIME();             \
  if (const cudaError_t error = TheMachine().Begin(name); error != cudaSuccess) return error

namespace {

// As the runtime says them.
struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
#define ERROR_TEXT(error, text) \
  { error, #error, text }
constexpr ErrorText kErrorTexts[] = {
    ERROR_TEXT(cudaSuccess, "no error"),
    ERROR_TEXT(cudaErrorInvalidValue, "invalid argument"),
    ERROR_TEXT(cudaErrorMemoryAllocation, "out of memory"),
    ERROR_TEXT(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    ERROR_TEXT(cudaErrorInsufficientDriver,
               "CUDA driver version is insufficient for CUDA runtime version"),
    ERROR_TEXT(cudaErrorDevicesUnavailable, "CUDA-capable device(s) is/are busy or unavailable"),
    ERROR_TEXT(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    ERROR_TEXT(cudaErrorInvalidDevice, "invalid device ordinal"),
    ERROR_TEXT(cudaErrorNoKernelImageForDevice,
               "no kernel image is available for execution on the device"),
    ERROR_TEXT(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered"),
    ERROR_TEXT(cudaErrorDeviceAlreadyInUse,
               "exclusive-thread device already in use by a different thread"),
    ERROR_TEXT(cudaErrorNvlinkUncorrectable,
               "uncorrectable NVLink error detected during the execution"),
    ERROR_TEXT(cudaErrorJitCompilerNotFound, "PTX JIT compiler library not found"),
    ERROR_TEXT(cudaErrorUnsupportedPtxVersion,
               "the provided PTX was compiled with an unsupported toolchain."),
    ERROR_TEXT(cudaErrorJitCompilationDisabled, "PTX JIT compilation was disabled"),
    ERROR_TEXT(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    ERROR_TEXT(cudaErrorNotReady, "device not ready"),
    ERROR_TEXT(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    ERROR_TEXT(cudaErrorLaunchTimeout, "the launch timed out and was terminated"),
    ERROR_TEXT(cudaErrorHardwareStackError, "hardware stack error"),
    ERROR_TEXT(cudaErrorIllegalInstruction, "an illegal instruction was encountered"),
    ERROR_TEXT(cudaErrorMisalignedAddress, "misaligned address"),
    ERROR_TEXT(cudaErrorInvalidAddressSpace,
               "operation not supported on global/shared address space"),
    ERROR_TEXT(cudaErrorInvalidPc, "invalid program counter"),
    ERROR_TEXT(cudaErrorLaunchFailure, "unspecified launch failure"),
    ERROR_TEXT(cudaErrorUnknown, "unknown error"),
};
#undef ERROR_TEXT

ErrorText TextOf(cudaError_t error) {
  for (const ErrorText& text : kErrorTexts) {
    if (text.error == error) return text;
  }
  return {error, "unrecognized error code", "unrecognized error code"};
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) { return TextOf(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return TextOf(error).text; }
cudaError_t cudaGetLastError() {
  ONE_AT_A_TIME();
  return TheMachine().lost();
}

cudaError_t cudaDriverGetVersion(int* version) {
  RETURN_IF_FAILED("cudaDriverGetVersion");
  *version = TheMachine().options().driver_version;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  RETURN_IF_FAILED("cudaGetDeviceCount");
  const auto& options = TheMachine().options();
  *count = 0;
  if (options.driver_version < CUDART_VERSION / 1000 * 1000) return cudaErrorInsufficientDriver;
  if (options.devices == 0) return cudaErrorNoDevice;
  *count = options.devices;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  RETURN_IF_FAILED("cudaSetDevice");
  return device >= 0 && device < TheMachine().options().devices ? cudaSuccess
                                                                : cudaErrorInvalidDevice;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  RETURN_IF_FAILED("cudaGetDeviceProperties");
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulated device %d", device);
  properties->totalGlobalMem = TheMachine().options().device_memory_bytes;
  properties->major = TheMachine().options().compute_major;
  properties->minor = TheMachine().options().compute_minor;
  properties->multiProcessorCount = 4;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* id, int bytes, int device) {
  RETURN_IF_FAILED("cudaDeviceGetPCIBusId");
  std::snprintf(id, static_cast<size_t>(bytes), "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  RETURN_IF_FAILED("cudaMemGetInfo");
  *total = TheMachine().options().device_memory_bytes;
  *free = *total - TheMachine().device_bytes();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  RETURN_IF_FAILED("cudaMalloc");
  return TheMachine().Allocate(memory, bytes, true);
}
cudaError_t cudaFree(void* memory) {
  ONE_AT_A_TIME();
  return TheMachine().Free(memory, true);
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  RETURN_IF_FAILED("cudaMallocHost");
  return TheMachine().Allocate(memory, bytes, false);
}
cudaError_t cudaFreeHost(void* memory) {
  ONE_AT_A_TIME();
  return TheMachine().Free(memory, false);
}
cudaError_t cudaHostRegister(void* memory, size_t bytes, unsigned) {
  RETURN_IF_FAILED("cudaHostRegister");
  return TheMachine().Register(memory, bytes);
}
cudaError_t cudaHostUnregister(void* memory) {
  ONE_AT_A_TIME();
  return TheMachine().Unregister(memory);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  RETURN_IF_FAILED("cudaStreamCreateWithFlags");
  *stream = TheMachine().NewStream();
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  ONE_AT_A_TIME();
  TheMachine().Remove(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  RETURN_IF_FAILED("cudaStreamSynchronize");
  TheMachine().RunUntil([stream] { return stream->queue.empty(); });
  return TheMachine().lost();
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  RETURN_IF_FAILED("cudaStreamWaitEvent");
  TheMachine().Enqueue(stream, {.run = {}, .waits_for = event, .times = event->recorded});
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  RETURN_IF_FAILED("cudaEventCreateWithFlags");
  *event = TheMachine().NewEvent();
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  ONE_AT_A_TIME();
  TheMachine().Remove(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  RETURN_IF_FAILED("cudaEventRecord");
  const uint64_t time = ++event->recorded;
  TheMachine().Enqueue(stream, {.run = [event, time] {
                         event->fired = time;
                         event->time = std::chrono::steady_clock::now();
                       }});
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  RETURN_IF_FAILED("cudaEventSynchronize");
  TheMachine().RunUntil([event] { return event->fired >= event->recorded; });
  return TheMachine().lost();
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  RETURN_IF_FAILED("cudaEventQuery");
  return event->fired >= event->recorded ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  RETURN_IF_FAILED("cudaEventElapsedTime");
  for (const cudaEvent_t event : {from, to}) {
    if (!event->timed || event->recorded == 0) return cudaErrorInvalidResourceHandle;
    if (event->fired < event->recorded) return cudaErrorNotReady;
  }
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  RETURN_IF_FAILED("cudaMemcpyAsync");
  TheMachine().Enqueue(stream, {.run = [=] { TheMachine().Copy(to, from, bytes, kind); }});
  return cudaSuccess;
}

cudaError_t EmulatedLaunch(std::function<void()> thread, dim3 grid, dim3 block, size_t shared_bytes,
                           cudaStream_t stream) {
  RETURN_IF_FAILED("cudaLaunchKernel");
  if (block.x * block.y * block.z > 1024 || block.x == 0) return cudaErrorInvalidConfiguration;
  if (shared_bytes > 48 << 10) return cudaErrorInvalidValue;
  TheMachine().Enqueue(stream, {.run = [thread = std::move(thread), grid, block, shared_bytes] {
                         TheMachine().RunGrid(thread, grid, block, shared_bytes);
                       }});
  return cudaSuccess;
}
