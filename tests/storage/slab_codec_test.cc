// Tests of compressed slabs: every byte comes back, in place, and no stored bytes do harm.
#include "storage/store/slab_codec.h"

#define ZSTD_STATIC_LINKING_ONLY  // for ZSTD_frameHeaderSize
#include <zstd.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/store/manifest.h"
#include "storage/store/store_geometry.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

constexpr SlabCompression kBoth[] = {SlabCompression::kZstd, SlabCompression::kZstdPlanes};

// Words whose high bytes, rotated, are as unevenly spread as those of weights.
Bytes Weights(int64_t bytes, Encoding encoding = Encoding::kBF16) {
  std::mt19937 random(5);
  Bytes out(bytes);
  for (int64_t i = 0; i + 1 < bytes; i += 2) {
    float value = -6;  // about normal, as the sum of twelve
    for (int j = 0; j < 12; ++j) value += static_cast<float>(random()) / 4294967296.0f;
    value *= 0.02f;
    const uint16_t word = encoding == Encoding::kBF16 ? F32ToBF16(value) : F32ToF16(value);
    std::memcpy(out.data() + i, &word, 2);
  }
  return out;
}

Bytes Noise(int64_t bytes) {
  std::mt19937 random(9);
  Bytes out(bytes);
  for (std::byte& b : out) b = static_cast<std::byte>(random() >> 24);
  return out;
}

// Bytes of which four fifths are one of 16.
Bytes Uneven(int64_t bytes) {
  std::mt19937 random(13);
  Bytes out(bytes);
  for (std::byte& b : out) {
    const uint32_t r = random();
    b = static_cast<std::byte>(r % 5 == 0 ? r >> 24 : 120 + (r >> 28));
  }
  return out;
}

// Empty where it does not pay.
Bytes Encode(SlabCompression compression, const Bytes& raw) {
  Bytes stored(raw.size());
  SlabEncoder encoder;
  const absl::StatusOr<std::optional<int64_t>> bytes =
      encoder.Encode(compression, raw, absl::MakeSpan(stored));
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  stored.resize(bytes.ok() ? bytes->value_or(0) : 0);
  return stored;
}

// Of exactly the size that is promised, so that the address sanitizer sees each step beyond.
absl::Status DecodeInPlace(SlabCompression compression, const Bytes& stored, int64_t raw_bytes,
                           Bytes* raw) {
  Bytes place(CompressedPlaceBytes(raw_bytes), std::byte{0xa5});
  std::copy(stored.begin(), stored.end(),
            place.end() - RoundUp(static_cast<int64_t>(stored.size()), kSlabAlignment));
  SlabDecoder decoder;
  const absl::Status status = decoder.Decode(compression, absl::MakeSpan(place),
                                             static_cast<int64_t>(stored.size()), raw_bytes);
  raw->assign(place.begin(), place.begin() + raw_bytes);
  return status;
}

void ExpectComesBack(SlabCompression compression, const Bytes& raw, const Bytes& stored) {
  Bytes back;
  const absl::Status status =
      DecodeInPlace(compression, stored, static_cast<int64_t>(raw.size()), &back);
  ASSERT_TRUE(status.ok()) << status << ", " << raw.size();
  EXPECT_TRUE(back == raw) << SlabCompressionName(compression) << ", " << raw.size();
}

uint32_t TableEntry(const Bytes& stored, int64_t chunk) {
  uint32_t entry;
  std::memcpy(&entry, stored.data() + 4 * chunk, 4);
  return entry;
}

void SetTableEntry(Bytes* stored, int64_t chunk, uint32_t entry) {
  std::memcpy(stored->data() + 4 * chunk, &entry, 4);
}

TEST(SlabCodec, GivesEveryByteBackAtSizesAroundChunksAndBlocks) {
  for (const int64_t middle : {int64_t{0}, int64_t{4096}, int64_t{40960}, kChunkBytes,
                               2 * kChunkBytes, 5 * kChunkBytes, 64 * kChunkBytes}) {
    for (const int64_t off : {-4098, -4096, -258, -2, -1, 0, 1, 2, 4, 258, 4094, 4096, 4098}) {
      const int64_t size = middle + off;
      if (size < 1) continue;
      for (const SlabCompression compression : kBoth) {
        const bool planes = compression == SlabCompression::kZstdPlanes;
        if (planes && size % 2 != 0) continue;
        const Bytes raw = planes ? Weights(size) : Uneven(size);
        const Bytes stored = Encode(compression, raw);
        // Two blocks of 4 KiB cannot become fewer by a third.
        if (size > 16384) {
          EXPECT_FALSE(stored.empty()) << size;
        }
        if (stored.empty()) continue;
        EXPECT_LE(RoundUp(static_cast<int64_t>(stored.size()), 4096) * 100,
                  RoundUp(size, 4096) * 97);
        ExpectComesBack(compression, raw, stored);
      }
    }
  }
}

TEST(SlabCodec, GivesEveryPatternOfAWordBack) {
  // 4,096 patterns a chunk, and zeros between them that make it pay.
  Bytes raw(16 * kChunkBytes);
  for (uint32_t word = 0; word < 65536; ++word) {
    const uint16_t pattern = static_cast<uint16_t>(word);
    std::memcpy(raw.data() + 32 * word + 2 * (word % 16), &pattern, 2);
  }
  const Bytes stored = Encode(SlabCompression::kZstdPlanes, raw);
  ASSERT_FALSE(stored.empty());
  for (int chunk = 0; chunk < 16; ++chunk) EXPECT_NE(TableEntry(stored, chunk), 0u) << chunk;
  ExpectComesBack(SlabCompression::kZstdPlanes, raw, stored);
}

TEST(SlabCodec, StoresWeightsInTwoThirds) {
  const Bytes bf16 = Weights(8 << 20), f16 = Weights(8 << 20, Encoding::kF16);
  EXPECT_LT(Encode(SlabCompression::kZstdPlanes, bf16).size(), bf16.size() * 0.67);
  EXPECT_LT(Encode(SlabCompression::kZstdPlanes, f16).size(), f16.size() * 0.88);
  ExpectComesBack(SlabCompression::kZstdPlanes, f16, Encode(SlabCompression::kZstdPlanes, f16));
}

TEST(SlabCodec, LeavesRawWhatDoesNotPay) {
  for (const SlabCompression compression : kBoth) {
    for (const int64_t size : {int64_t{2}, int64_t{4096}, kChunkBytes, 3 * kChunkBytes + 4000}) {
      EXPECT_TRUE(Encode(compression, Noise(size)).empty()) << size;
    }
    EXPECT_TRUE(Encode(compression, Weights(4096)).empty());  // a block stays a block
    EXPECT_TRUE(Encode(compression, {}).empty());
    EXPECT_TRUE(Encode(compression, Bytes(kMaxCompressedSlabBytes + 2)).empty());
  }
  EXPECT_TRUE(Encode(SlabCompression::kNone, Bytes(kChunkBytes)).empty());
}

TEST(SlabCodec, StoresAChunkRawWhereThatIsShorter) {
  for (const SlabCompression compression : kBoth) {
    Bytes raw = compression == SlabCompression::kZstd ? Uneven(5 * kChunkBytes + 100)
                                                      : Weights(5 * kChunkBytes + 100);
    const Bytes noise = Noise(kChunkBytes);
    std::copy(noise.begin(), noise.end(), raw.begin() + 2 * kChunkBytes);
    const Bytes stored = Encode(compression, raw);
    ASSERT_FALSE(stored.empty());
    EXPECT_NE(TableEntry(stored, 1), 0u);
    EXPECT_EQ(TableEntry(stored, 2), 0u);
    ExpectComesBack(compression, raw, stored);
  }
}

// The tightest case in place: little is saved, by the first chunk alone or by the last one alone.
TEST(SlabCodec, DecodesInPlaceWhereOutputRunsCloseBehindInput) {
  for (const SlabCompression compression : kBoth) {
    for (const bool first : {true, false}) {
      for (const int64_t tail : {2, 500, 4096, 70000}) {
        Bytes raw = Noise(10 * kChunkBytes + tail);
        std::fill_n(first ? raw.begin() : raw.end() - kChunkBytes, kChunkBytes, std::byte{0});
        const Bytes stored = Encode(compression, raw);
        ASSERT_FALSE(stored.empty());
        ExpectComesBack(compression, raw, stored);
      }
    }
  }
}

// What the format promises to those who write another reader.
TEST(SlabCodec, FramesAreLiteralsThatAnyZstdDecodes) {
  for (const SlabCompression compression : kBoth) {
    const bool planes = compression == SlabCompression::kZstdPlanes;
    const Bytes raw = planes ? Weights(3 * kChunkBytes) : Uneven(3 * kChunkBytes);
    const Bytes stored = Encode(compression, raw);
    int64_t at = 3 * 4;
    for (int chunk = 0; chunk < 3; ++chunk) {
      const size_t frame_bytes = TableEntry(stored, chunk);
      const size_t decoded_bytes = planes ? kChunkBytes / 2 : kChunkBytes;
      const std::byte* const frame = stored.data() + at;
      Bytes decoded(decoded_bytes + 1);
      ASSERT_EQ(ZSTD_decompress(decoded.data(), decoded.size(), frame, frame_bytes), decoded_bytes);
      for (int64_t i = 0; i < decoded_bytes; ++i) {
        const std::byte* const in = raw.data() + chunk * kChunkBytes;
        const std::byte* const low = frame + frame_bytes;
        if (planes) {
          const int word = std::to_integer<int>(in[2 * i]) | std::to_integer<int>(in[2 * i + 1])
                                                                 << 8;
          ASSERT_EQ(std::to_integer<int>(decoded[i]), word >> 7 & 255);
          ASSERT_EQ(std::to_integer<int>(low[i]), (word << 1 & 254) | word >> 15);
        } else {
          ASSERT_EQ(decoded[i], in[i]);
        }
      }
      // RFC 8878: one block, compressed, whose literals are all of it.
      const std::byte* block = frame + ZSTD_frameHeaderSize(frame, frame_bytes);
      uint64_t header = 0;
      std::memcpy(&header, block, 3);
      EXPECT_EQ(header & 7, 5u) << "the last block, and compressed";
      EXPECT_EQ(block + 3 + (header >> 3), frame + frame_bytes) << "no checksum";
      std::memcpy(&header, block + 3, 5);
      EXPECT_EQ(header & 15, 14u) << "Huffman-coded, sizes of 18 bits";
      EXPECT_EQ(header >> 4 & 0x3ffff, decoded_bytes);
      at += static_cast<int64_t>(frame_bytes + (planes ? kChunkBytes / 2 : 0));
    }
    EXPECT_EQ(at, stored.size());
  }
}

TEST(SlabCodec, OneEncoderAndOneDecoderServeAnySlabs) {
  SlabEncoder encoder;
  SlabDecoder decoder;
  for (const int64_t size : {int64_t{9} << 20, int64_t{60000}, int64_t{300000}}) {
    for (const SlabCompression compression : kBoth) {
      const Bytes raw = compression == SlabCompression::kZstd ? Uneven(size) : Weights(size);
      Bytes stored(raw.size());
      const auto bytes = encoder.Encode(compression, raw, absl::MakeSpan(stored));
      ASSERT_TRUE(bytes.ok() && bytes->has_value());
      stored.resize(**bytes);
      EXPECT_TRUE(stored == Encode(compression, raw)) << "bytes depend on what came before";
      Bytes place(CompressedPlaceBytes(size));
      std::copy(stored.begin(), stored.end(), place.end() - RoundUp(**bytes, 4096));
      ASSERT_TRUE(decoder.Decode(compression, absl::MakeSpan(place), **bytes, size).ok());
      EXPECT_TRUE(std::equal(raw.begin(), raw.end(), place.begin()));
    }
  }
  EXPECT_GT(SlabDecoder::MemoryBytes(), 2 * kChunkBytes);
  EXPECT_LT(SlabDecoder::MemoryBytes(), 512 << 10);
}

TEST(SlabCodec, ReportsTablesAndFramesThatLie) {
  const int64_t raw_bytes = 4 * kChunkBytes + 6000;
  const Bytes planes = Encode(SlabCompression::kZstdPlanes, Weights(raw_bytes));
  const Bytes zstd = Encode(SlabCompression::kZstd, Uneven(raw_bytes));
  struct Case {
    const char* what;
    SlabCompression compression;
    std::function<void(Bytes*)> edit;
    const char* message;
  };
  const auto shift = [](Bytes* stored, uint32_t by) {  // from the second chunk to the first
    SetTableEntry(stored, 0, TableEntry(*stored, 0) + by);
    SetTableEntry(stored, 1, TableEntry(*stored, 1) - by);
  };
  const std::vector<Case> cases = {
      {"entry too long", SlabCompression::kZstd,
       [](Bytes* s) { SetTableEntry(s, 1, kChunkBytes + 1); }, "chunk 1: 131073 stored bytes"},
      {"entry of 4 GiB", SlabCompression::kZstdPlanes,
       [](Bytes* s) { SetTableEntry(s, 0, UINT32_MAX); }, "chunk 0: 4295032831 stored bytes"},
      {"entry one more", SlabCompression::kZstd,
       [](Bytes* s) { SetTableEntry(s, 2, TableEntry(*s, 2) + 1); }, "does not add up"},
      {"last entry zero", SlabCompression::kZstd, [](Bytes* s) { SetTableEntry(s, 4, 0); },
       "does not add up"},
      {"shorter than its table", SlabCompression::kZstd, [](Bytes* s) { s->resize(19); },
       "does not add up"},
      {"cut", SlabCompression::kZstdPlanes, [](Bytes* s) { s->pop_back(); }, "does not add up"},
      {"longer", SlabCompression::kZstdPlanes, [](Bytes* s) { s->push_back({}); },
       "does not add up"},
      {"frame and a byte", SlabCompression::kZstd, [&](Bytes* s) { shift(s, 1); }, "chunk 0: its "},
      {"cut frame", SlabCompression::kZstdPlanes, [&](Bytes* s) { shift(s, -1); }, "chunk 0: its "},
      {"another magic number", SlabCompression::kZstd,
       [](Bytes* s) { (*s)[5 * 4] = std::byte{0x27}; }, "not a zstd frame"},  // of version 0.7
      {"frame of another size", SlabCompression::kZstd,
       [](Bytes* s) {
         const std::string small(1000, 'x');
         Bytes frame(2000);
         frame.resize(ZSTD_compress(frame.data(), frame.size(), small.data(), small.size(), 1));
         const int64_t old = TableEntry(*s, 0);
         SetTableEntry(s, 0, static_cast<uint32_t>(frame.size()));
         s->erase(s->begin() + 20, s->begin() + 20 + old);
         s->insert(s->begin() + 20, frame.begin(), frame.end());
       },
       "chunk 0: decodes to 1000 bytes instead of 131072"},
      {"longer frame", SlabCompression::kZstdPlanes,
       [](Bytes* s) {
         const Bytes zeros(kChunkBytes);
         Bytes frame(2000);
         frame.resize(ZSTD_compress(frame.data(), frame.size(), zeros.data(), zeros.size(), 1));
         const int64_t old = TableEntry(*s, 0);
         SetTableEntry(s, 0, static_cast<uint32_t>(frame.size()));
         s->erase(s->begin() + 20, s->begin() + 20 + old);
         s->insert(s->begin() + 20, frame.begin(), frame.end());
       },
       "chunk 0: zstd: "},
      {"all zeros", SlabCompression::kZstd,
       [](Bytes* s) { std::fill(s->begin(), s->end(), std::byte{0}); }, "does not add up"},
  };
  for (const Case& c : cases) {
    Bytes stored = c.compression == SlabCompression::kZstd ? zstd : planes;
    c.edit(&stored);
    Bytes raw;
    const absl::Status status = DecodeInPlace(c.compression, stored, raw_bytes, &raw);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << c.what << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message)) << c.what;
  }
}

TEST(SlabCodec, NoDamageDoesMoreThanFailOrGiveOtherBytes) {
  std::mt19937 random(17);
  const int64_t raw_bytes = kChunkBytes + 30000;
  for (const SlabCompression compression : kBoth) {
    const Bytes raw =
        compression == SlabCompression::kZstd ? Uneven(raw_bytes) : Weights(raw_bytes);
    const Bytes good = Encode(compression, raw);
    int failed = 0;
    for (int i = 0; i < 1500; ++i) {
      Bytes stored = good;
      for (int flips = 1 + random() % 3; flips > 0; --flips) {
        // Half of them where the table, frame headers and Huffman tables are.
        const size_t at = random() % (i % 2 == 0 ? 160 : stored.size());
        stored[at] ^= static_cast<std::byte>(1 << random() % 8);
      }
      if (i % 7 == 0) stored.resize(1 + random() % stored.size());
      Bytes back;
      const absl::Status status = DecodeInPlace(compression, stored, raw_bytes, &back);
      if (status.ok()) continue;
      ++failed;
      ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    }
    EXPECT_GT(failed, 500);
  }
  for (const int64_t size : {1, 4, 8, 100, 5000}) {
    Bytes back;
    const Bytes noise = Noise(size);
    for (const SlabCompression compression : kBoth) {
      EXPECT_EQ(DecodeInPlace(compression, noise, raw_bytes, &back).code(),
                absl::StatusCode::kDataLoss);
    }
  }
}

TEST(SlabCodec, RefusesSizesThatNoManifestMayHave) {
  SlabDecoder decoder;
  Bytes place(CompressedPlaceBytes(10000));
  const auto code = [&](SlabCompression compression, int64_t stored_bytes, int64_t raw_bytes) {
    return decoder.Decode(compression, absl::MakeSpan(place), stored_bytes, raw_bytes).code();
  };
  for (const auto& [stored, raw] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 10000},
                                                {-1, 10000},
                                                {10000, 10000},
                                                {10001, 10000},
                                                {5000, 20000},
                                                {5000, 100},
                                                {INT64_MAX, INT64_MAX},
                                                {100, -1},
                                                {5000, kMaxCompressedSlabBytes + 1}}) {
    EXPECT_EQ(code(SlabCompression::kZstd, stored, raw), absl::StatusCode::kInvalidArgument)
        << stored << " of " << raw;
  }
  EXPECT_EQ(code(SlabCompression::kZstdPlanes, 5000, 9999), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(SlabCompression::kNone, 5000, 10000), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(SlabCompression::kZstd, 5000, 10000), absl::StatusCode::kDataLoss);
}

TEST(SlabCodec, NamesComeBack) {
  for (const SlabCompression compression : kBoth) {
    EXPECT_EQ(*ParseSlabCompression(SlabCompressionName(compression)), compression);
  }
  for (const char* name : {"", "none", "lz4", "zstd-plane"}) {
    EXPECT_EQ(ParseSlabCompression(name).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace sluice
