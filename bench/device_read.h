// Reading a device's memory as fast as a kernel can: the limit that products of one row run into.
#ifndef SLUICE_BENCH_DEVICE_READ_H_
#define SLUICE_BENCH_DEVICE_READ_H_

#include <cuda_runtime_api.h>
#include <stdint.h>

namespace sluice {

// Every byte once, on a device with that many multiprocessors. `data` is device memory on 16,
// `bytes` a multiple of 16; *sink, device memory too, is set where all bits together are a number
// that is not likely: so that nothing is left out.
cudaError_t LaunchDeviceRead(const uint8_t* data, int64_t bytes, int multiprocessors,
                             uint32_t* sink, cudaStream_t stream);

}  // namespace sluice

#endif  // SLUICE_BENCH_DEVICE_READ_H_
