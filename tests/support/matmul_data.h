// Matrices, activations and shapes for tests of products, on CPUs and on devices.
#ifndef SLUICE_TESTS_SUPPORT_MATMUL_DATA_H_
#define SLUICE_TESTS_SUPPORT_MATMUL_DATA_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/encodings/encoding.h"
#include "kernels/encodings/tile.h"
#include "kernels/ops.h"
#include "tests/support/random_floats.h"

namespace sluice {

// Memory on 64 bytes, as tiles and activations are.
class LineAlignedBytes {
 public:
  explicit LineAlignedBytes(int64_t size) : size_(size), storage_(size + 64) {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    data_ = storage_.data() + (64 - address % 64) % 64;
  }
  LineAlignedBytes(LineAlignedBytes&&) = default;

  std::byte* data() { return data_; }
  std::vector<std::byte> Copy() const { return {data_, data_ + size_}; }

 private:
  int64_t size_;
  std::vector<std::byte> storage_;
  std::byte* data_;
};

inline std::vector<Encoding> AllEncodings() {
  std::vector<Encoding> all;
  for (const EncodingInfo& info : Encodings()) all.push_back(info.encoding);
  return all;
}

inline std::string NameOf(Encoding encoding) { return std::string(Info(encoding).name); }

// A product's shape and epilogue.
struct MatMulCase {
  int64_t rows;
  int64_t tokens;
  Epilogue epilogue;
  bool addend;
};

// K values worth a look: one block, a tail group, whole segments, segments and a tail, more
// segments than a device's block has warps.
inline std::vector<int64_t> InterestingKs(Encoding encoding) {
  const int64_t block = Info(encoding).block_values;
  if (block == 1) return {1, 2, 3, 7, 16, 30, 1023, 1024, 1025, 2052};
  if (block == 256) return {256, 512, 768, 1024, 1280, 2304};
  return {block, 3 * block, 256, 256 + block, 1024, 1024 + block, 2048 + 7 * block};
}

// Packs `rows` rows of `encoded` into tiles.
inline void PackRows(Encoding encoding, const std::vector<std::byte>& encoded, int64_t rows,
                     int64_t k, std::byte* tiles) {
  const int64_t stride = RowBytes(encoding, k);
  for (int64_t row = 0; row < rows; row += kTileRows) {
    PackTile(encoding, encoded.data() + row * stride, stride,
             static_cast<int>(std::min<int64_t>(kTileRows, rows - row)), k,
             tiles + row / kTileRows * TileBytes(encoding, k));
  }
}

inline int64_t TilesBytes(Encoding encoding, int64_t rows, int64_t k) {
  return (rows + kTileRows - 1) / kTileRows * TileBytes(encoding, k);
}

// An f16 in a block: where it is, and the largest number that quants and inner scales multiply it
// with.
struct BlockHalf {
  int64_t at;
  float most;
};
// The block's scale and, where there are some, the scale of its minima.
inline std::vector<BlockHalf> BlockHalves(Encoding encoding) {
  const int64_t end = Info(encoding).block_bytes;
  switch (encoding) {
    case Encoding::kQ8_0:
      return {{0, 128}};
    case Encoding::kQ4_0:
      return {{0, 8}};
    case Encoding::kQ5_0:
      return {{0, 16}};
    case Encoding::kQ4_1:
    case Encoding::kQ5_1:
      return {{0, 31}, {2, 1}};
    case Encoding::kIQ4_NL:
      return {{0, 127}};
    case Encoding::kIQ4_XS:
      return {{0, 32 * 127}};
    case Encoding::kQ3_K:
      return {{end - 2, 32 * 4}};
    case Encoding::kQ2_K:
      return {{end - 4, 15 * 3}, {end - 2, 15}};
    case Encoding::kQ6_K:
      return {{end - 2, 128 * 32}};
    case Encoding::kQ4_K:
    case Encoding::kQ5_K:
      return {{0, 63 * 31}, {2, 63}};
    default:
      return {};  // floats, an exponent, and scales of either kind
  }
}

// Blocks whose scale is a bf16 or an f16, as the top bit of their third byte says.
inline bool IsInt4G(Encoding encoding) {
  return encoding == Encoding::kINT4G32 || encoding == Encoding::kINT4G64 ||
         encoding == Encoding::kINT4G128;
}
inline void PutInt4GScale(float scale, std::byte* block) {
  const bool is_bf16 = (block[2] & std::byte{128}) != std::byte{0};
  const uint16_t bits = is_bf16 ? F32ToBF16(scale) : F32ToF16(scale);
  std::memcpy(block, &bits, 2);
}

// Sets a block's scale, and the scale of its minima to half of that. `scale` is a power of two, or
// not finite.
inline void PutScale(Encoding encoding, float scale, std::byte* block) {
  if (encoding == Encoding::kMXFP4) {
    *block = static_cast<std::byte>(std::isfinite(scale) ? 128 + std::ilogb(scale) : 255);
  }
  if (IsInt4G(encoding)) PutInt4GScale(scale, block);
  for (const BlockHalf& half : BlockHalves(encoding)) {
    const uint16_t bits = F32ToF16(scale);
    std::memcpy(block + half.at, &bits, 2);
    scale /= 2;
  }
}

// A row of random blocks: every bit pattern of quants, scales and minima, and block scales for
// which each of a value's terms stays within -1 .. 1.
inline std::vector<std::byte> RandomRow(Encoding encoding, int64_t k, std::mt19937& random) {
  std::vector<std::byte> row(RowBytes(encoding, k));
  std::uniform_real_distribution<float> unit(-1.0f, 1.0f);
  const EncodingInfo& info = Info(encoding);
  if (!info.quantized()) {
    std::vector<float> values(k);
    for (float& value : values) value = unit(random);
    EncodeRow(encoding, values.data(), k, row.data());
    return row;
  }
  for (std::byte& byte : row) byte = static_cast<std::byte>(random());
  for (std::byte* block = row.data(); block < row.data() + row.size(); block += info.block_bytes) {
    for (const BlockHalf& half : BlockHalves(encoding)) {
      const uint16_t bits = F32ToF16(unit(random) / half.most);
      std::memcpy(block + half.at, &bits, 2);
    }
    if (IsInt4G(encoding)) PutInt4GScale(unit(random) / 127, block);
    if (encoding == Encoding::kMXFP4) {  // 2^-4 at most, and every exponent below that
      *block = static_cast<std::byte>(random() % 3 == 0 ? random() % 125 : 118 + random() % 7);
    }
  }
  return row;
}

// Activations x [tokens, k] as products of `encoding` read them.
inline LineAlignedBytes Prepared(Ops& ops, Encoding encoding, const std::vector<float>& x,
                                 int64_t tokens, int64_t k) {
  const ActivationFormat format = Info(encoding).activations;
  LineAlignedBytes out(tokens * ActivationRowBytes(format, k));
  EXPECT_TRUE(ops.PrepareActivations(format, x.data(), k, tokens, k, out.data()).ok());
  return out;
}

}  // namespace sluice

#endif  // SLUICE_TESTS_SUPPORT_MATMUL_DATA_H_
