// Opened when it is needed, so that nothing links against it; the few types of nvml.h that are used
// are written out.
#include "kernels/cuda/nvml.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace sluice::cuda {
namespace {

constexpr int kSuccess = 0;
constexpr unsigned long long kNotAvailable = ~0ull;
// More processes than will be on one device.
constexpr unsigned kMostProcesses = 1024;

struct Memory {  // nvmlMemory_t
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

struct Process {  // nvmlProcessInfo_v2_t
  unsigned pid;
  unsigned long long used_memory;
  unsigned gpu_instance;
  unsigned compute_instance;
};

using DeviceHandle = void*;

}  // namespace

struct MemoryMeter::Library {
  explicit Library(void* handle) : handle(handle) {}
  ~Library() {
    if (initialized) shutdown();
    dlclose(handle);
  }

  template <typename Function>
  bool Find(const char* name, Function** function) {
    *function = reinterpret_cast<Function*>(dlsym(handle, name));
    return *function != nullptr;
  }
  bool FindAll() {
    Find("nvmlDeviceGetComputeRunningProcesses_v3", &processes);  // not in drivers before 510
    return Find("nvmlInit_v2", &init) && Find("nvmlShutdown", &shutdown) &&
           Find("nvmlDeviceGetHandleByPciBusId_v2", &find_device) &&
           Find("nvmlDeviceGetMemoryInfo", &memory);
  }

  void* const handle;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*find_device)(const char*, DeviceHandle*) = nullptr;
  int (*memory)(DeviceHandle, Memory*) = nullptr;
  int (*processes)(DeviceHandle, unsigned*, Process*) = nullptr;
  bool initialized = false;
  DeviceHandle device = nullptr;
};

std::unique_ptr<MemoryMeter> MemoryMeter::Create(const std::string& pci_bus_id,
                                                 const std::string& library) {
  void* const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return nullptr;
  auto loaded = std::make_unique<Library>(handle);
  if (!loaded->FindAll() || loaded->init() != kSuccess) return nullptr;
  loaded->initialized = true;
  if (loaded->find_device(pci_bus_id.c_str(), &loaded->device) != kSuccess) return nullptr;
  std::unique_ptr<MemoryMeter> meter(new MemoryMeter(std::move(loaded)));
  const std::optional<int64_t> used = meter->UsedBytes();
  if (!used.has_value()) return nullptr;
  meter->used_before_ = *used;
  return meter;
}

MemoryMeter::MemoryMeter(std::unique_ptr<Library> library) : library_(std::move(library)) {}

MemoryMeter::~MemoryMeter() = default;

std::optional<int64_t> MemoryMeter::UsedBytes() const {
  Memory memory = {};
  if (library_->memory(library_->device, &memory) != kSuccess) return std::nullopt;
  return static_cast<int64_t>(memory.used);
}

std::optional<int64_t> MemoryMeter::OwnBytes() const {
  if (library_->processes == nullptr) return std::nullopt;
  std::vector<Process> list(kMostProcesses);
  unsigned count = kMostProcesses;
  if (library_->processes(library_->device, &count, list.data()) != kSuccess) return std::nullopt;
  list.resize(std::min(count, kMostProcesses));
  for (const Process& process : list) {
    if (process.pid != static_cast<unsigned>(getpid()) || process.used_memory == kNotAvailable)
      continue;
    return static_cast<int64_t>(process.used_memory);
  }
  return std::nullopt;  // another namespace of process ids, say
}

std::optional<int64_t> MemoryMeter::TakenBytes() const {
  if (const std::optional<int64_t> own = OwnBytes(); own.has_value()) return own;
  const std::optional<int64_t> used = UsedBytes();
  if (!used.has_value()) return std::nullopt;
  return std::max<int64_t>(0, *used - used_before_);
}

}  // namespace sluice::cuda
