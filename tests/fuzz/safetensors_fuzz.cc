// Fuzzes the safetensors header parser: whatever it accepts must lie inside the file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "storage/source/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kMost = 1 << 16;
  if (size < 2 || size > kMost) return 0;
  // The first two bytes are the size of the data behind the header.
  const int64_t data_bytes = data[0] | data[1] << 8;
  const absl::string_view header(reinterpret_cast<const char*>(data) + 2, size - 2);
  const int64_t data_begin = 8 + static_cast<int64_t>(header.size());
  const auto file = sluice::ParseSafetensorsHeader(header, data_begin + data_bytes, "fuzz");
  if (!file.ok()) {
    if (file.status().message().find('\n') != absl::string_view::npos) std::abort();
    return 0;
  }
  int64_t total = 0;
  for (const sluice::CheckpointTensor& tensor : file->tensors) {
    if (tensor.offset < data_begin || tensor.bytes < 0) std::abort();
    if (tensor.offset + tensor.bytes > data_begin + data_bytes) std::abort();
    total += tensor.bytes;
  }
  if (total > data_bytes) std::abort();
  return 0;
}
