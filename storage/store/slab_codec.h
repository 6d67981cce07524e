// Compressed slabs: lossless, in chunks that are entropy-coded alone, decoded in place.
// docs/store-format.md, "Compressed slabs", specifies the bytes.
//
// Weights have no repeated strings, so there is nothing to match; what can be saved is that some
// bytes are likelier than others. Of a bf16 weight those are the exponent's (2.6 bits of
// information in 8); sign and mantissa are noise and are stored as they are.
#ifndef SLUICE_STORAGE_STORE_SLAB_CODEC_H_
#define SLUICE_STORAGE_STORE_SLAB_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/encodings/encoding.h"

namespace sluice {

enum class SlabCompression : uint8_t {
  kNone,
  kZstd,        // "zstd": a chunk's bytes are a zstd frame
  kZstdPlanes,  // "zstd-planes": of 16-bit words, the bytes that hold the exponents are a zstd
                // frame
};

// As the manifest spells it; "none" stands in no manifest.
absl::string_view SlabCompressionName(SlabCompression compression);
// InvalidArgument for all but "zstd" and "zstd-planes".
absl::StatusOr<SlabCompression> ParseSlabCompression(absl::string_view name);

// What is worth trying for tiles of an encoding: planes for bf16 and f16, zstd for q8_0. The other
// quantized encodings have no likelier bytes, and nobody streams f32.
SlabCompression CompressionFor(Encoding encoding);

// Raw bytes of a chunk; the last one of a slab is shorter. As much as a block of a zstd frame may
// hold.
inline constexpr int64_t kChunkBytes = 131072;

// No slab of more raw bytes is compressed: it bounds what encoding and decoding hold in memory.
inline constexpr int64_t kMaxCompressedSlabBytes = int64_t{64} << 20;

// The memory in which a compressed slab of `raw_bytes` is decoded in place: its bytes rounded up to
// 4096, and 4096 more.
int64_t CompressedPlaceBytes(int64_t raw_bytes);

// Keeps its buffers (less than 2 MiB) between calls; one a thread.
class SlabEncoder {
 public:
  SlabEncoder();
  ~SlabEncoder();

  // Writes the stored form of `raw` to the beginning of `stored` (at least as long as `raw`) and
  // returns its bytes; what lies behind them is not touched. Nothing where it does not pay: where
  // less than 3% of the slab's 4 KiB blocks would be saved, or `raw` is longer than
  // kMaxCompressedSlabBytes. The same version of zstd gives the same bytes. kZstdPlanes: `raw` is
  // 16-bit little-endian words. ResourceExhausted: no memory.
  absl::StatusOr<std::optional<int64_t>> Encode(SlabCompression compression,
                                                absl::Span<const std::byte> raw,
                                                absl::Span<std::byte> stored);

 private:
  struct State;  // keeps zstd out of this header
  std::unique_ptr<State> state_;
};

// Owns all that decoding needs besides the place; one a thread.
class SlabDecoder {
 public:
  SlabDecoder();
  SlabDecoder(SlabDecoder&& other) noexcept;
  SlabDecoder& operator=(SlabDecoder&& other) noexcept;
  ~SlabDecoder();

  // Heap held by one decoder: about a third of a MiB, whatever the slabs.
  static int64_t MemoryBytes();

  // Decodes a slab in place. `place` is CompressedPlaceBytes(raw_bytes) long, of any alignment; the
  // stored bytes begin RoundUp(stored_bytes, 4096) before its end. On success the raw bytes begin
  // at place[0] and all behind them is undefined; after an error all of `place` is. DataLoss: bytes
  // that no encoder writes; nothing outside `place` is read or written whatever they are.
  // InvalidArgument: sizes that no manifest may have (storage/store/manifest.h). ResourceExhausted:
  // no memory.
  absl::Status Decode(SlabCompression compression, absl::Span<std::byte> place,
                      int64_t stored_bytes, int64_t raw_bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice

#endif  // SLUICE_STORAGE_STORE_SLAB_CODEC_H_
