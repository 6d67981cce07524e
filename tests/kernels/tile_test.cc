// Tiles: every bit lies where the comments of kernels/encodings/*_planes.h put it, and comes back.
#include "kernels/encodings/tile.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using Bytes = std::vector<std::byte>;

Bytes RandomBytes(int64_t n, int seed) {
  std::mt19937 random(seed);
  Bytes bytes(n);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random() & 0xFF);
  return bytes;
}

// Values of a row that make every kind of tail: one block, two, whole groups, a group and a block.
std::vector<int64_t> InterestingLengths(const EncodingInfo& info) {
  std::vector<int64_t> lengths = {
      info.block_values,       2 * info.block_values, 3 * info.block_values, 256, 512, 768,
      1024 + info.block_values};
  if (!info.quantized()) lengths.insert(lengths.end(), {5, 255, 257, 1030, 1031});
  return lengths;
}

TEST(Tile, HasTheBytesThatTheLayoutAddsUpTo) {
  struct Case {
    Encoding encoding;
    int64_t k;
    int64_t bytes;
  };
  const Case kCases[] = {
      {Encoding::kF32, 1, 4 * 64},
      {Encoding::kF32, 260, 260 * 64},
      {Encoding::kF16, 1, 2 * 64},
      {Encoding::kF16, 6, 4 * 64},
      {Encoding::kBF16, 256, 128 * 64},
      {Encoding::kQ8_0, 32, 64 + 512},
      {Encoding::kQ8_0, 256, 4352},
      {Encoding::kQ8_0, 352, 4352 + 128 + 3 * 512},
      {Encoding::kQ4_0, 64, 64 + 512},
      {Encoding::kQ4_0, 256, 2304},
      {Encoding::kQ4_0, 288, 2304 + 320},
      {Encoding::kQ4_K, 256, 2304},
      {Encoding::kQ4_K, 1024, 4 * 2304},
      {Encoding::kQ5_K, 512, 2 * 2816},
      {Encoding::kQ6_K, 256, 3392},
      {Encoding::kQ6_K, 512, 6720},
      {Encoding::kQ6_K, 1280, 2 * 6720 + 3392},
      {Encoding::kQ4_K, 0, 0},
      {Encoding::kQ3_K, 256, 3 * 64 + 1600},
      {Encoding::kQ3_K, 512, 3520},
      {Encoding::kQ3_K, 768, 3520 + 1792},
      {Encoding::kQ2_K, 512, 2 * 1344},
      {Encoding::kQ4_1, 96, 3 * (64 + 256)},
      {Encoding::kQ4_1, 256, 2560},
      {Encoding::kQ5_0, 32, 64 + 64 + 256},
      {Encoding::kQ5_0, 256, 2816},
      {Encoding::kQ5_1, 256, 3072},
      {Encoding::kIQ4_NL, 288, 2304 + 320},
      {Encoding::kIQ4_XS, 512, 2 * 2176},
      {Encoding::kMXFP4, 32, 64 + 256},
      {Encoding::kMXFP4, 256, 2176},
      {Encoding::kINT4G32, 256, 384 + 2048},
      {Encoding::kINT4G32, 32, 64 + 256},
      {Encoding::kINT4G64, 512, 2 * (192 + 2048)},
      {Encoding::kINT4G128, 512, 192 + 4096},
      {Encoding::kINT4G128, 640, 192 + 4096 + 64 + 1024},
  };
  for (const Case& c : kCases) {
    EXPECT_EQ(TileBytes(c.encoding, c.k), c.bytes) << Info(c.encoding).name << " k " << c.k;
  }
}

TEST(Tile, GivesBackEveryByteOfTheRows) {
  for (const EncodingInfo& info : Encodings()) {
    for (const int64_t k : InterestingLengths(info)) {
      const int64_t row_bytes = RowBytes(info.encoding, k);
      const int64_t stride = row_bytes + 3;  // nothing may rely on alignment
      for (int num_rows = 1; num_rows <= kTileRows; ++num_rows) {
        const Bytes rows = RandomBytes(num_rows * stride, num_rows);
        Bytes tile(TileBytes(info.encoding, k), std::byte{0xAA});
        PackTile(info.encoding, rows.data(), stride, num_rows, k, tile.data());
        Bytes unpacked(rows.size());
        UnpackTile(info.encoding, tile.data(), num_rows, k, unpacked.data(), stride);
        for (int r = 0; r < num_rows; ++r) {
          ASSERT_EQ(std::memcmp(&unpacked[r * stride], &rows[r * stride], row_bytes), 0)
              << info.name << " k " << k << " rows " << num_rows << " row " << r;
          for (int i = 0; i < 3; ++i) {
            ASSERT_EQ(unpacked[r * stride + row_bytes + i], std::byte{0}) << "wrote between rows";
          }
        }
      }
    }
  }
}

// A slow twin of PackTile that looks at one value at a time: where the comments
// of kernels/encodings/*_planes.h put its bits, and where GGUF has them in the row. Shares nothing
// with the code under test.
class SlowTile {
 public:
  SlowTile(Encoding encoding, int64_t k)
      : encoding_(encoding), k_(k), tile_(TileBytes(encoding, k)) {}

  void AddRow(int r, const std::byte* row) {
    r_ = r;
    row_ = reinterpret_cast<const uint8_t*>(row);
    for (int64_t v = 0; v < k_; ++v) AddValue(v);
  }

  const Bytes& bytes() const { return tile_; }

 private:
  void AddValue(int64_t v) {
    switch (encoding_) {
      case Encoding::kF32:
        return Copy(4 * v, v * 64 + 4 * r_, 4);
      case Encoding::kF16:
      case Encoding::kBF16:
        return Copy(2 * v, v / 2 * 64 + 4 * r_ + 2 * (v % 2), 2);
      case Encoding::kQ8_0:
        return AddQ8_0(v);
      case Encoding::kQ4_0:
      case Encoding::kIQ4_NL:
        return AddBlock32(v, 2, false);
      case Encoding::kQ4_1:
        return AddBlock32(v, 4, false);
      case Encoding::kQ5_0:
        return AddBlock32(v, 2, true);
      case Encoding::kQ5_1:
        return AddBlock32(v, 4, true);
      case Encoding::kMXFP4:
        return AddBlock32(v, 1, false);
      case Encoding::kINT4G32:
        return AddInt4G(v, 32, 256);
      case Encoding::kINT4G64:
        return AddInt4G(v, 64, 256);
      case Encoding::kINT4G128:
        return AddInt4G(v, 128, 512);
      case Encoding::kQ4_K:
        return AddQ4_KOrQ5_K(v, 144, 2304, 16, 256);
      case Encoding::kQ5_K:
        return AddQ4_KOrQ5_K(v, 176, 2816, 48, 768);
      case Encoding::kQ6_K:
        return AddQ6_K(v);
      case Encoding::kIQ4_XS:
        return AddIQ4_XS(v);
      case Encoding::kQ2_K:
        return AddQ2_K(v);
      case Encoding::kQ3_K:
        return AddQ3_K(v);
    }
  }

  void AddQ8_0(int64_t v) {
    const int64_t group = v / 256 * 4352, b = v % 256 / 32, t = v % 32 / 4, i = v % 4;
    const int64_t block = v / 32 * 34;
    Copy(block, group + (b * 16 + r_) * 2, 2);
    const int8_t q = static_cast<int8_t>(row_[block + 2 + v % 32]);
    Put(group + Padded(32 * BlocksOfGroup(v, 256, 32)) + (b * 8 + t) * 64 + 4 * r_ + i, 0, 8,
        q + 128);
  }

  // Blocks of 32 with `head` bytes of scales, fifth bits, nibbles.
  void AddBlock32(int64_t v, int64_t head, bool fifth) {
    const int64_t block_bytes = head + (fifth ? 4 : 0) + 16, n = BlocksOfGroup(v, 256, 32);
    const int64_t group = v / 256 * 128 * block_bytes, b = v % 256 / 32;
    const int64_t block = v / 32 * block_bytes, i = v % 32;
    if (head == 1) Copy(block, group + b * 16 + r_, 1);
    if (head == 2) Copy(block, group + (b * 16 + r_) * 2, 2);
    if (head == 4) {
      Copy(block, group + b * 64 + 2 * r_, 2);
      Copy(block + 2, group + b * 64 + 32 + 2 * r_, 2);
    }
    int64_t plane = group + Padded(16 * head * n);
    if (fifth) {
      Put(plane + b * 64 + 4 * r_ + i % 4, static_cast<int>(i / 4), 1,
          row_[block + head + i / 8] >> i % 8 & 1);
      plane += 64 * n;
    }
    const uint8_t* nibbles = row_ + block + block_bytes - 16;
    PutNibble(plane, b, static_cast<int>(i), i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4);
  }

  // Blocks with a scale, z, and nibbles as q4_0's.
  void AddInt4G(int64_t v, int64_t block_values, int64_t group_values) {
    const int64_t block_bytes = 3 + block_values / 2,
                  n = BlocksOfGroup(v, group_values, block_values);
    const int64_t group = v / group_values * 16 * group_values / block_values * block_bytes;
    const int64_t block = v / block_values * block_bytes;
    const int64_t b = v % group_values / block_values, run = v % group_values / 32, i = v % 32;
    Copy(block, group + 48 * b + 2 * r_, 2);
    Copy(block + 2, group + 48 * b + 32 + r_, 1);
    const uint8_t* nibbles = row_ + block + 3 + v % block_values / 32 * 16;
    PutNibble(group + Padded(48 * n), run, static_cast<int>(i),
              i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4);
  }

  void AddIQ4_XS(int64_t v) {
    const int64_t block = v / 256 * 136, group = v / 256 * 2176;
    const int s = v % 256 / 32, i = v % 32;
    Copy(block, group + 2 * r_, 2);
    Put(group + 32 + 2 * r_ + s / 4, s % 4 * 2, 2, row_[block + 2 + s / 4] >> s % 4 * 2 & 3);
    Put(group + 64 + 4 * r_ + s / 2, s % 2 * 4, 4, row_[block + 4 + s / 2] >> s % 2 * 4 & 15);
    PutNibble(group + 128, s, i, row_[block + 8 + 16 * s + i % 16] >> (i < 16 ? 0 : 4) & 15);
  }

  // ggml: of each half of 128 values, quarter j has bits 2j and 2j + 1 of 32 bytes.
  int LowBits(int64_t bytes, int v) const {
    return row_[bytes + v / 128 * 32 + v % 32] >> v % 128 / 32 * 2 & 3;
  }
  void PutPairOfBits(int64_t plane, int v, int bits) {
    Put(plane + v / 16 * 64 + 4 * r_ + v % 4, v % 16 / 4 * 2, 2, bits);
  }

  void AddQ2_K(int64_t v) {
    const int64_t block = v / 256 * 84, group = v / 256 * 1344;
    const int in_block = v % 256, s = in_block / 16;
    Copy(block + 80, group + 2 * r_, 2);
    Copy(block + 82, group + 32 + 2 * r_, 2);
    Copy(block + s, group + 64 + s / 4 * 64 + 4 * r_ + s % 4, 1);
    PutPairOfBits(group + 320, in_block, LowBits(block + 16, in_block));
  }

  void AddQ3_K(int64_t v) {
    const int64_t block = v / 256 * 110, group = v / 512 * 3520;
    const int64_t ns = BlocksOfGroup(v, 512, 256), b = v % 512 / 256;
    const int64_t scales = group + 64 + b * 192, third = group + 64 + ns * 192 + b * 512;
    const int in_block = v % 256, s = in_block / 16, i = in_block % 32;
    Copy(block + 108, group + b * 32 + 2 * r_, 2);
    // ggml: the low nibbles of bytes 0..7 are scales 0..7, the high ones 8..15; bytes 8..11 have
    // the upper bits of scales 0..3, 4..7, ...
    const uint8_t* bytes = row_ + block + 96;
    Put(scales + s / 4 % 2 * 64 + 4 * r_ + s % 4, s / 8 * 4, 4, bytes[s % 8] >> s / 8 * 4 & 15);
    Put(scales + 128 + 4 * r_ + s % 4, s / 4 * 2, 2, bytes[8 + s % 4] >> s / 4 * 2 & 3);
    Put(third + in_block / 32 * 64 + 4 * r_ + i % 4, i / 4, 1,
        row_[block + i] >> in_block / 32 & 1);
    PutPairOfBits(group + 64 + ns * 704 + b * 1024, in_block, LowBits(block + 32, in_block));
  }

  // `low` is where the row's low 4 bits start in a block, `quants` the tile's plane of them in a
  // group.
  void AddQ4_KOrQ5_K(int64_t v, int64_t block_bytes, int64_t group_bytes, int low, int quants) {
    const int64_t block = v / 256 * block_bytes, group = v / 256 * group_bytes;
    const int s = v % 256 / 32, i = v % 32;
    Copy(block, group + 2 * r_, 2);
    Copy(block + 2, group + 32 + 2 * r_, 2);
    const uint8_t* b = row_ + block + 4;
    const int scale = s < 4 ? b[s] & 63 : (b[s + 4] & 15) | (b[s - 4] >> 6 << 4);
    const int min = s < 4 ? b[s + 4] & 63 : (b[s + 4] >> 4) | (b[s] >> 6 << 4);
    const int64_t word = group + 64 + 4 * r_ + s % 4;
    Put(word, s / 4 * 4, 4, scale & 15);
    Put(word + 64, s / 4 * 4, 4, min & 15);
    Put(word + 128, s / 4 * 2, 2, scale >> 4);
    Put(word + 128, 4 + s / 4 * 2, 2, min >> 4);
    PutNibble(group + quants, s, i, row_[block + low + s / 2 * 32 + i] >> s % 2 * 4 & 15);
    if (encoding_ == Encoding::kQ5_K) {
      const int t = i / 4;
      Put(group + 256 + s * 64 + 4 * r_ + i % 4, t, 1, row_[block + 16 + i] >> s & 1);
    }
  }

  void AddQ6_K(int64_t v) {
    const int64_t block = v / 256 * 210, group = v / 512 * 6720;
    const int64_t ns = BlocksOfGroup(v, 512, 256), b = v % 512 / 256;
    const int64_t scales = 64, high = scales + ns * 256, quants = high + ns * 1024;
    const int in_block = v % 256, s = in_block / 32, i = in_block % 32, t = i / 4;
    Copy(block + 208, group + b * 32 + 2 * r_, 2);
    Put(group + scales + (b * 4 + in_block / 64) * 64 + 4 * r_ + in_block % 64 / 16, 0, 8,
        row_[block + 192 + in_block / 16]);
    // ggml: of each half of 128 values, quarter j has low nibbles of bytes 0.., 32.., then high
    // ones.
    const int h = in_block / 128, j = in_block % 128 / 32;
    const int q_low = row_[block + 64 * h + (j & 1) * 32 + i] >> (j >= 2 ? 4 : 0) & 15;
    const int q_high = row_[block + 128 + 32 * h + i] >> 2 * j & 3;
    Put(group + high + ((b * 8 + s) * 2 + t / 4) * 64 + 4 * r_ + i % 4, 2 * (t % 4), 2, q_high);
    PutNibble(group + quants, b * 8 + s, i, q_low);
  }

  // Line l of a sub-block of 32: low nibbles quad l, high nibbles quad l + 4.
  void PutNibble(int64_t plane, int64_t sub_block, int i, int q) {
    const int t = i / 4;
    Put(plane + (sub_block * 4 + t % 4) * 64 + 4 * r_ + i % 4, t < 4 ? 0 : 4, 4, q);
  }

  void Put(int64_t byte, int bit, int width, int value) {
    const int mask = ((1 << width) - 1) << bit;
    tile_.at(byte) =
        static_cast<std::byte>((static_cast<int>(tile_.at(byte)) & ~mask) | value << bit);
  }
  void Copy(int64_t from, int64_t to, int n) {
    for (int i = 0; i < n; ++i) Put(to + i, 0, 8, row_[from + i]);
  }
  int64_t BlocksOfGroup(int64_t v, int64_t group_values, int64_t block_values) const {
    return std::min(group_values, k_ - v / group_values * group_values) / block_values;
  }
  static int64_t Padded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

  Encoding encoding_;
  int64_t k_;
  Bytes tile_;
  int r_ = 0;
  const uint8_t* row_ = nullptr;
};

TEST(Tile, LiesAsTheHeaderSaysWithZerosForPaddingAndMissingRows) {
  for (const EncodingInfo& info : Encodings()) {
    for (const int64_t k : InterestingLengths(info)) {
      for (const int num_rows : {1, 7, 16}) {
        const int64_t row_bytes = RowBytes(info.encoding, k);
        const Bytes rows = RandomBytes(num_rows * row_bytes, 100 + num_rows);
        Bytes tile(TileBytes(info.encoding, k), std::byte{0xAA});
        PackTile(info.encoding, rows.data(), row_bytes, num_rows, k, tile.data());
        SlowTile slow(info.encoding, k);
        for (int r = 0; r < num_rows; ++r) slow.AddRow(r, &rows[r * row_bytes]);
        const auto [got, want] = std::mismatch(tile.begin(), tile.end(), slow.bytes().begin());
        ASSERT_TRUE(got == tile.end())
            << info.name << " k " << k << " rows " << num_rows << ": byte " << got - tile.begin()
            << " of " << tile.size() << " is " << static_cast<int>(*got) << ", not "
            << static_cast<int>(*want);
      }
    }
  }
}

}  // namespace
}  // namespace sluice
