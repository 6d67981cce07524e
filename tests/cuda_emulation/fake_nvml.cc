// A library in NVML's place, as far as kernels/cuda/nvml.cc uses it: it says what FakeNvml() was
// told.
#include <cstring>

namespace {

unsigned long long used_bytes = 0;
unsigned process_id = 0;
unsigned long long process_bytes = 0;
int users = 0;

struct Memory {
  unsigned long long total, free, used;
};
struct Process {
  unsigned pid;
  unsigned long long used_memory;
  unsigned gpu_instance, compute_instance;
};

}  // namespace

extern "C" {

// `pid` 0: no process is listed. Returns how many have the library open.
int FakeNvml(unsigned long long used, unsigned pid, unsigned long long bytes) {
  used_bytes = used;
  process_id = pid;
  process_bytes = bytes;
  return users;
}

int nvmlInit_v2() {
  ++users;
  return 0;
}
int nvmlShutdown() {
  --users;
  return 0;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, void** device) {
  if (std::strcmp(bus_id, "0000:01:00.0") != 0) return 6;
  *device = &used_bytes;
  return 0;
}
int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  if (device != &used_bytes) return 2;
  *memory = {1ull << 32, (1ull << 32) - used_bytes, used_bytes};
  return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void*, unsigned* count, Process* processes) {
  if (*count < 2) return 7;
  *count = process_id == 0 ? 1 : 2;
  processes[0] = {1, 12345, 0, 0};
  processes[1] = {process_id, process_bytes, 0, 0};
  return 0;
}

}  // extern "C"
