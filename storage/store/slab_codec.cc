// The only file that knows zstd: cuts a slab into chunks, splits words into planes, and back.
#include "storage/store/slab_codec.h"

#define ZSTD_STATIC_LINKING_ONLY  // for ZSTD_compressSequences and ZSTD_estimateDCtxSize
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/base/macros.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "storage/store/store_geometry.h"

namespace sluice {
namespace {

constexpr int64_t kTableEntryBytes = 4;
constexpr int64_t kMaxChunks = kMaxCompressedSlabBytes / kChunkBytes;

int64_t NumChunks(int64_t raw_bytes) { return (raw_bytes + kChunkBytes - 1) / kChunkBytes; }

int64_t RawBytesOfChunk(int64_t chunk, int64_t raw_bytes) {
  return std::min(kChunkBytes, raw_bytes - chunk * kChunkBytes);
}

// The most stored bytes that pay: 97% of the raw 4 KiB blocks.
int64_t MostStoredBytes(int64_t raw_bytes) {
  return RoundUp(raw_bytes, kSlabAlignment) * 97 / 100 / kSlabAlignment * kSlabAlignment;
}

void StoreTableEntry(uint32_t value, std::byte* out) {
  for (int i = 0; i < kTableEntryBytes; ++i) out[i] = static_cast<std::byte>(value >> (8 * i));
}

uint32_t LoadTableEntry(const std::byte* in) {
  uint32_t value = 0;
  for (int i = 0; i < kTableEntryBytes; ++i) value |= static_cast<uint32_t>(in[i]) << (8 * i);
  return value;
}

// The two loops below are plain so that the compiler vectorizes them; words are little-endian, as
// all machines that sluice runs on.

// A word rotated left by one has the exponent (of f16, and three bits of mantissa) in its high
// byte.
void SplitPlanes(const std::byte* words, int64_t num_words, uint8_t* high, uint8_t* low) {
  for (int64_t i = 0; i < num_words; ++i) {
    uint16_t word;
    std::memcpy(&word, words + 2 * i, 2);
    const uint16_t rotated = static_cast<uint16_t>(word << 1 | word >> 15);
    high[i] = static_cast<uint8_t>(rotated >> 8);
    low[i] = static_cast<uint8_t>(rotated);
  }
}

void MergePlanes(const uint8_t* __restrict high, const uint8_t* __restrict low, int64_t num_words,
                 std::byte* __restrict words) {
  for (int64_t i = 0; i < num_words; ++i) {
    const uint16_t rotated = static_cast<uint16_t>(high[i] << 8 | low[i]);
    const uint16_t word = static_cast<uint16_t>(rotated >> 1 | rotated << 15);
    std::memcpy(words + 2 * i, &word, 2);
  }
}

}  // namespace

absl::string_view SlabCompressionName(SlabCompression compression) {
  switch (compression) {
    case SlabCompression::kNone:
      return "none";
    case SlabCompression::kZstd:
      return "zstd";
    case SlabCompression::kZstdPlanes:
      return "zstd-planes";
  }
  return "";
}

absl::StatusOr<SlabCompression> ParseSlabCompression(absl::string_view name) {
  for (const SlabCompression compression : {SlabCompression::kZstd, SlabCompression::kZstdPlanes}) {
    if (name == SlabCompressionName(compression)) return compression;
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown compression \"", name.substr(0, 80),
                                                 "\"; known are zstd and zstd-planes"));
}

SlabCompression CompressionFor(Encoding encoding) {
  switch (Info(encoding).redundancy) {
    case Redundancy::kExponents:
      return SlabCompression::kZstdPlanes;
    case Redundancy::kBytes:
      return SlabCompression::kZstd;
    case Redundancy::kNone:
      return SlabCompression::kNone;
  }
  return SlabCompression::kNone;
}

int64_t CompressedPlaceBytes(int64_t raw_bytes) {
  return RoundUp(raw_bytes, kSlabAlignment) + kSlabAlignment;
}

struct SlabEncoder::State {
  absl::StatusOr<int64_t> Compress(const void* bytes, int64_t size);

  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context{ZSTD_createCCtx(), &ZSTD_freeCCtx};
  std::array<std::byte, ZSTD_COMPRESSBOUND(kChunkBytes)> frame;
  std::array<uint8_t, kChunkBytes / 2> high, low;
};

SlabEncoder::SlabEncoder() : state_(std::make_unique<State>()) {
  if (state_->context == nullptr) return;  // Encode says so
  const auto set = [&](ZSTD_cParameter parameter, int value) {
    const size_t result = ZSTD_CCtx_setParameter(state_->context.get(), parameter, value);
    ABSL_ASSERT(!ZSTD_isError(result));
    (void)result;
  };
  set(ZSTD_c_blockDelimiters, ZSTD_sf_explicitBlockDelimiters);
  set(ZSTD_c_literalCompressionMode, ZSTD_ps_enable);
  set(ZSTD_c_strategy, ZSTD_fast);
  set(ZSTD_c_windowLog, 17);              // a chunk
  set(ZSTD_c_hashLog, ZSTD_HASHLOG_MIN);  // nothing is looked up
}

SlabEncoder::~SlabEncoder() = default;

// Makes `frame` a frame of `bytes` and returns its length. ZSTD_compress2 would search for matches,
// find a few by chance, and pay for them in the speed of decoding; so the block's one "sequence" is
// given: literals to the end.
absl::StatusOr<int64_t> SlabEncoder::State::Compress(const void* bytes, int64_t size) {
  const ZSTD_Sequence all_literals = {0, static_cast<unsigned>(size), 0, 0};
  const size_t n = ZSTD_compressSequences(context.get(), frame.data(), frame.size(), &all_literals,
                                          1, bytes, static_cast<size_t>(size));
  if (!ZSTD_isError(n)) return static_cast<int64_t>(n);
  return absl::ResourceExhaustedError(absl::StrCat("zstd: ", ZSTD_getErrorName(n)));
}

absl::StatusOr<std::optional<int64_t>> SlabEncoder::Encode(SlabCompression compression,
                                                           absl::Span<const std::byte> raw,
                                                           absl::Span<std::byte> stored) {
  const int64_t raw_bytes = static_cast<int64_t>(raw.size());
  const bool planes = compression == SlabCompression::kZstdPlanes;
  ABSL_ASSERT(stored.size() >= raw.size());
  ABSL_ASSERT(!planes || raw_bytes % 2 == 0);
  if (compression == SlabCompression::kNone || raw_bytes > kMaxCompressedSlabBytes) {
    return std::nullopt;
  }
  if (state_->context == nullptr) return absl::ResourceExhaustedError("no memory for zstd");
  const int64_t most = MostStoredBytes(raw_bytes);
  int64_t end = NumChunks(raw_bytes) * kTableEntryBytes;
  if (end > most) return std::nullopt;
  const auto append = [&](const void* bytes, int64_t size) {
    std::memcpy(stored.data() + end, bytes, size);
    end += size;
  };
  for (int64_t chunk = 0; chunk < NumChunks(raw_bytes); ++chunk) {
    const int64_t bytes = RawBytesOfChunk(chunk, raw_bytes);
    const std::byte* const in = raw.data() + chunk * kChunkBytes;
    const int64_t low_bytes = planes ? bytes / 2 : 0;
    if (planes) SplitPlanes(in, bytes / 2, state_->high.data(), state_->low.data());
    const void* const coded = planes ? static_cast<const void*>(state_->high.data()) : in;
    SLUICE_ASSIGN_OR_RETURN(const int64_t frame_bytes, state_->Compress(coded, bytes - low_bytes));
    const bool pays = frame_bytes + low_bytes < bytes;
    if (end + (pays ? frame_bytes + low_bytes : bytes) > most) return std::nullopt;
    StoreTableEntry(pays ? static_cast<uint32_t>(frame_bytes) : 0,
                    stored.data() + chunk * kTableEntryBytes);
    if (pays) {
      append(state_->frame.data(), frame_bytes);
      append(state_->low.data(), low_bytes);
    } else {
      append(in, bytes);
    }
  }
  return end;
}

struct SlabDecoder::State {
  int64_t StoredBytesOfChunk(int64_t chunk) const;
  absl::Status ReadTable(absl::Span<const std::byte> stored);
  absl::Status DecodeChunk(int64_t chunk, const std::byte* in, std::byte* out);
  absl::Status Decompress(absl::Span<const std::byte> frame, void* out, int64_t size);

  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context{ZSTD_createDCtx(), &ZSTD_freeDCtx};
  bool planes;        // of the slab in hand, as
  int64_t raw_bytes;  // this
  std::array<uint32_t, kMaxChunks> table;
  std::array<std::byte, kChunkBytes> stored_chunk;
  std::array<uint8_t, kChunkBytes / 2> high;
};

SlabDecoder::SlabDecoder() : state_(std::make_unique<State>()) {}
SlabDecoder::SlabDecoder(SlabDecoder&&) noexcept = default;
SlabDecoder& SlabDecoder::operator=(SlabDecoder&&) noexcept = default;
SlabDecoder::~SlabDecoder() = default;

int64_t SlabDecoder::MemoryBytes() {
  return static_cast<int64_t>(sizeof(State) + ZSTD_estimateDCtxSize());
}

int64_t SlabDecoder::State::StoredBytesOfChunk(int64_t chunk) const {
  const int64_t bytes = RawBytesOfChunk(chunk, raw_bytes);
  return table[chunk] == 0 ? bytes : table[chunk] + (planes ? bytes / 2 : 0);
}

// Copies the table and checks that no chunk is longer than its raw bytes, and that table and chunks
// are all of `stored`.
absl::Status SlabDecoder::State::ReadTable(absl::Span<const std::byte> stored) {
  const int64_t stored_bytes = static_cast<int64_t>(stored.size());
  const int64_t num_chunks = NumChunks(raw_bytes);
  int64_t end = num_chunks * kTableEntryBytes;
  for (int64_t chunk = 0; chunk < num_chunks && end <= stored_bytes; ++chunk) {
    table[chunk] = LoadTableEntry(stored.data() + chunk * kTableEntryBytes);
    const int64_t bytes = StoredBytesOfChunk(chunk);
    if (bytes > RawBytesOfChunk(chunk, raw_bytes)) {
      return absl::DataLossError(absl::StrCat("chunk ", chunk, ": ", bytes, " stored bytes for ",
                                              RawBytesOfChunk(chunk, raw_bytes), " raw ones"));
    }
    end += bytes;
  }
  if (end == stored_bytes) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("the table of chunks does not add up to ", stored_bytes, " stored bytes"));
}

// Decodes a frame to exactly `size` bytes.
absl::Status SlabDecoder::State::Decompress(absl::Span<const std::byte> frame, void* out,
                                            int64_t size) {
  // One frame of the present format. Left to itself the library would also take several, skippable
  // ones, and those of its first versions.
  if (frame.size() < kTableEntryBytes || LoadTableEntry(frame.data()) != ZSTD_MAGICNUMBER ||
      ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size()) {
    return absl::DataLossError(absl::StrCat("its ", frame.size(), " bytes are not a zstd frame"));
  }
  const size_t n = ZSTD_decompressDCtx(context.get(), out, static_cast<size_t>(size), frame.data(),
                                       frame.size());
  if (ZSTD_isError(n)) return absl::DataLossError(absl::StrCat("zstd: ", ZSTD_getErrorName(n)));
  if (static_cast<int64_t>(n) == size) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("decodes to ", n, " bytes instead of ", size));
}

// `in` lies in the same memory as `out`, behind it; the two may overlap.
absl::Status SlabDecoder::State::DecodeChunk(int64_t chunk, const std::byte* in, std::byte* out) {
  const int64_t bytes = RawBytesOfChunk(chunk, raw_bytes);
  const size_t frame_bytes = table[chunk];
  if (frame_bytes == 0) {
    std::memmove(out, in, bytes);
    return absl::OkStatus();
  }
  // Of a slab that shrinks well most chunks lie clear of their output and need no copy.
  if (out + bytes > in) {
    std::memcpy(stored_chunk.data(), in, StoredBytesOfChunk(chunk));
    in = stored_chunk.data();
  }
  const absl::Status status = planes ? Decompress({in, frame_bytes}, high.data(), bytes / 2)
                                     : Decompress({in, frame_bytes}, out, bytes);
  if (!status.ok()) {
    return absl::DataLossError(absl::StrCat("chunk ", chunk, ": ", status.message()));
  }
  if (planes) {
    MergePlanes(high.data(), reinterpret_cast<const uint8_t*>(in + frame_bytes), bytes / 2, out);
  }
  return absl::OkStatus();
}

// Why this may go front to back in one piece of memory. Let c(i) and r(i) be the stored and the raw
// bytes of chunk i. ReadTable saw to it that c(i) <= r(i), and that table and chunks are all of the
// stored bytes. Chunk i's output ends at
//     raw_bytes - sum of r(j), j > i,
// and what is still unread behind chunk i begins at
//     place.size() - padding - sum of c(j), j > i,    padding = what rounds stored_bytes up to
//     4096.
// As c(j) <= r(j), it is enough that raw_bytes <= place.size() - padding; and padding < 4096, by
// which `place` is longer than the raw bytes. So no output reaches what is unread, once the chunk's
// own stored bytes are out of the way; and the table is copied before anything is written.
absl::Status SlabDecoder::Decode(SlabCompression compression, absl::Span<std::byte> place,
                                 int64_t stored_bytes, int64_t raw_bytes) {
  const bool planes = compression == SlabCompression::kZstdPlanes;
  if (compression == SlabCompression::kNone || raw_bytes > kMaxCompressedSlabBytes ||
      stored_bytes < 1 || stored_bytes >= raw_bytes || (planes && raw_bytes % 2 != 0) ||
      static_cast<int64_t>(place.size()) != CompressedPlaceBytes(raw_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat("a compressed slab of ", stored_bytes,
                                                   " bytes, raw ", raw_bytes, ", in ", place.size(),
                                                   " bytes of memory"));
  }
  if (state_->context == nullptr) return absl::ResourceExhaustedError("no memory for zstd");
  state_->planes = planes;
  state_->raw_bytes = raw_bytes;
  const auto stored = place.last(RoundUp(stored_bytes, kSlabAlignment)).first(stored_bytes);
  SLUICE_RETURN_IF_ERROR(state_->ReadTable(stored));
  const std::byte* in = stored.data() + NumChunks(raw_bytes) * kTableEntryBytes;
  std::byte* out = place.data();
  for (int64_t chunk = 0; chunk < NumChunks(raw_bytes); ++chunk) {
    SLUICE_RETURN_IF_ERROR(state_->DecodeChunk(chunk, in, out));
    in += state_->StoredBytesOfChunk(chunk);
    out += RawBytesOfChunk(chunk, raw_bytes);
  }
  return absl::OkStatus();
}

}  // namespace sluice
