// The emulated machine behind the functions of cuda_runtime_api.h: what tests set and ask.
//
// Streams are queues. Nothing runs when it is put there but by chance: copies, kernels and events
// are taken from the queues late, from one stream or another in an order of chance that a seed
// fixes, no further than somebody waits for. So a buffer that is used before an event, or
// overwritten while it is still to be read, gives a wrong answer under some seed. Memory of the
// device is memory of the host with red zones; copies between device and host take pinned memory of
// the host only, as asynchronous ones do on a GPU.
#ifndef SLUICE_TESTS_CUDA_EMULATION_MACHINE_H_
#define SLUICE_TESTS_CUDA_EMULATION_MACHINE_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace sluice::cuda_emulation {

struct MachineOptions {
  uint64_t seed = 0;
  int devices = 1;
  int driver_version = CUDART_VERSION;  // 0: no driver
  size_t device_memory_bytes = size_t{1} << 30;
  int compute_major = 9;
  int compute_minor = 0;
};

// A machine that nothing has happened to yet. Streams, events and memory of the last one must be
// gone: what is left is reported by Faults().
void Reset(const MachineOptions& options);

// Makes call number `count` (from 1 on, counted from now) of function `name` fail with `error`.
// Kernels are "cudaLaunchKernel". An error that is the device's (lost, illegal address) then comes
// back from all calls.
void FailCall(const std::string& name, int count, cudaError_t error);

// What went wrong in kernels and calls since Reset, a line each; forgotten by being asked.
std::string Faults();

// Bytes of device memory that are allocated, and allocations of both kinds that are not freed.
size_t DeviceBytes();
int LiveObjects();

}  // namespace sluice::cuda_emulation

#endif  // SLUICE_TESTS_CUDA_EMULATION_MACHINE_H_
