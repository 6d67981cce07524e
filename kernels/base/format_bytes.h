// A number of bytes as people read it.
#ifndef SLUICE_KERNELS_BASE_FORMAT_BYTES_H_
#define SLUICE_KERNELS_BASE_FORMAT_BYTES_H_

#include <cstdint>
#include <string>

namespace sluice {

// "12.3 MiB"
std::string FormatBytes(int64_t bytes);

}  // namespace sluice

#endif  // SLUICE_KERNELS_BASE_FORMAT_BYTES_H_
