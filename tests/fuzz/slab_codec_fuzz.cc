// Compressed slabs are decoded from any stored bytes without touching memory outside their place.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "storage/store/slab_codec.h"
#include "storage/store/store_geometry.h"

// Byte 0: which compression; bytes 1 and 2: the raw size in units of 16 bytes; the rest is stored
// bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  if (size < 4) return 0;
  const SlabCompression compression =
      data[0] % 2 == 0 ? SlabCompression::kZstd : SlabCompression::kZstdPlanes;
  const int64_t raw_bytes = 16 * (1 + data[1] + 256 * data[2]);
  const int64_t stored_bytes = static_cast<int64_t>(size) - 3;
  if (stored_bytes >= raw_bytes) return 0;
  std::vector<std::byte> place(CompressedPlaceBytes(raw_bytes));
  std::copy_n(reinterpret_cast<const std::byte*>(data) + 3, stored_bytes,
              place.end() - RoundUp(stored_bytes, kSlabAlignment));
  static SlabDecoder decoder;
  (void)decoder.Decode(compression, absl::MakeSpan(place), stored_bytes, raw_bytes).ok();
  return 0;
}
