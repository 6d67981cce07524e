// Matrix products on a device: the bits of scalar code, for every encoding, kernel, epilogue and
// odd shape.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/encodings/encoding.h"
#include "kernels/encodings/tile.h"
#include "tests/kernels/cuda/scalar_machine.h"
#include "tests/kernels/cuda/test_device.h"
#include "tests/support/matmul_data.h"

namespace sluice::cuda {
namespace {

// `rows` encoded rows in tiles.
std::vector<std::byte> Packed(Encoding encoding, const std::vector<std::byte>& encoded,
                              int64_t rows, int64_t k) {
  std::vector<std::byte> tiles(TilesBytes(encoding, rows, k));
  PackRows(encoding, encoded, rows, k, tiles.data());
  return tiles;
}

// Rows in tiles. Every third row has equal values, every third alternating ones: quants at both
// ends.
std::vector<std::byte> Tiles(Encoding encoding, int64_t rows, int64_t k, std::mt19937& random) {
  const int64_t stride = RowBytes(encoding, k);
  std::vector<std::byte> encoded(rows * stride);
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<float> values = RandomFloats(k, random);
    for (int64_t i = 0; i < k && row % 3 != 0; ++i)
      values[i] = row % 3 == 1 || i % 2 == 0 ? 1.0f : -1.0f;
    EncodeRow(encoding, values.data(), k, encoded.data() + row * stride);
  }
  return Packed(encoding, encoded, rows, k);
}

constexpr MatMulCase kCases[] = {
    {16, 1, Epilogue::kStore, false},   {1, 1, Epilogue::kStore, true},
    {40, 2, Epilogue::kAdd, false},     {33, 3, Epilogue::kAdd, true},
    {31, 4, Epilogue::kSwiGlu, false},  {50, 5, Epilogue::kSwiGlu, true},
    {17, 9, Epilogue::kMultiply, true}, {70, 33, Epilogue::kStore, true},
};

class CudaMatMul : public CudaTest, public testing::WithParamInterface<Encoding> {};

TEST_P(CudaMatMul, GivesTheBitsOfScalarCode) {
  const Encoding encoding = GetParam();
  const EncodingInfo& info = Info(encoding);
  std::mt19937 random(1);
  Scalar scalar;
  const std::vector<uint64_t> seeds = Backend::Seeds();
  size_t turn = 0;
  for (int64_t k : InterestingKs(encoding)) {
    for (const MatMulCase& c : kCases) {
      if (k > 1100 && c.tokens > 9) continue;  // scalar code is slow
      const bool pairs = c.epilogue == Epilogue::kSwiGlu;
      const std::vector<std::byte> tiles =
          Tiles(encoding, pairs ? (c.rows + 15) / 16 * 32 : c.rows, k, random);
      AlignedBytes x =
          Prepared(scalar.ops(), encoding, RandomFloats(c.tokens * k, random), c.tokens, k);
      const std::vector<float> addend = RandomFloats(c.rows, random);
      const std::vector<float> up_addend = RandomFloats(c.rows, random);
      const std::vector<float> before = RandomFloats(c.tokens * (c.rows + 3), random);
      MatMulArgs args = {.encoding = encoding,
                         .tiles = tiles.data(),
                         .num_tiles = (c.rows + 15) / 16,
                         .k = k,
                         .first_row = 0,
                         .matrix_rows = c.rows,
                         .activations = x.data(),
                         .num_tokens = c.tokens,
                         .addend = c.addend ? addend.data() : nullptr,
                         .up_addend = c.addend && pairs ? up_addend.data() : nullptr,
                         .epilogue = c.epilogue,
                         .out = nullptr,
                         .out_stride = c.rows + 3};
      std::vector<float> want = before;
      args.out = want.data();
      ASSERT_TRUE(scalar.ops().MatMul(args).ok());
      for (int64_t mma_min_tokens : {int64_t{1}, int64_t{1} << 40}) {
        if (!info.quantized() && mma_min_tokens > 1) continue;
        TestDevice device(seeds[turn++ % seeds.size()], {.mma_min_tokens = mma_min_tokens});
        const auto device_tiles = device.Put(tiles);
        const auto device_x = device.Put(x.Copy());
        const auto device_addend = device.Put(addend);
        const auto device_up = device.Put(up_addend);
        const auto out = device.Put(before);
        args.tiles = device_tiles.data();
        args.activations = device_x.data();
        if (args.addend != nullptr) args.addend = device_addend.data();
        if (args.up_addend != nullptr) args.up_addend = device_up.data();
        args.out = out.data();
        ASSERT_TRUE(device.ops().MatMul(args).ok());
        ASSERT_TRUE(SameBits(out.Values(), want))
            << info.name << ", k " << k << ", " << c.rows << " rows, " << c.tokens << " tokens, "
            << (mma_min_tokens == 1 ? "mma" : "dp4a");
      }
    }
  }
}

TEST_P(CudaMatMul, SlabsGiveTheBitsOfTheWholeMatrix) {
  std::mt19937 random(2);
  const Encoding encoding = GetParam();
  constexpr int64_t kK = 512, kRows = 75, kTokens = 3;  // 5 tiles
  Scalar scalar;
  for (int64_t mma_min_tokens : {1, 100}) {
    TestDevice device(4, {.mma_min_tokens = mma_min_tokens});
    const auto tiles = device.Put(Tiles(encoding, kRows, kK, random));
    const auto x = device.Put(
        Prepared(scalar.ops(), encoding, RandomFloats(kTokens * kK, random), kTokens, kK).Copy());
    const auto whole = device.Put(std::vector<float>(kTokens * kRows));
    MatMulArgs args = {.encoding = encoding,
                       .tiles = tiles.data(),
                       .num_tiles = 5,
                       .k = kK,
                       .first_row = 0,
                       .matrix_rows = kRows,
                       .activations = x.data(),
                       .num_tokens = kTokens,
                       .out = whole.data(),
                       .out_stride = kRows};
    ASSERT_TRUE(device.ops().MatMul(args).ok());
    for (int64_t cut : {1, 4}) {
      const auto parts = device.Put(std::vector<float>(kTokens * kRows));
      MatMulArgs part = args;
      part.out = parts.data();
      part.num_tiles = cut;
      ASSERT_TRUE(device.ops().MatMul(part).ok());
      part.tiles += cut * TileBytes(encoding, kK);
      part.first_row = 16 * cut;
      part.num_tiles = 5 - cut;
      ASSERT_TRUE(device.ops().MatMul(part).ok());
      EXPECT_TRUE(SameBits(parts.Values(), whole.Values())) << "cut after tile " << cut;
    }
  }
}

TEST_P(CudaMatMul, ANonFiniteActivationComesOutAsNaN) {
  std::mt19937 random(3);
  const Encoding encoding = GetParam();
  constexpr int64_t kK = 512, kTokens = 2;
  Scalar scalar;
  std::vector<float> x = RandomFloats(kTokens * kK, random);
  x[kK + 300] = std::numeric_limits<float>::quiet_NaN();
  for (int64_t mma_min_tokens : {1, 100}) {
    TestDevice device(5, {.mma_min_tokens = mma_min_tokens});
    const auto tiles = device.Put(Tiles(encoding, 16, kK, random));
    const auto prepared = device.Put(Prepared(scalar.ops(), encoding, x, kTokens, kK).Copy());
    const auto out = device.Put(std::vector<float>(kTokens * 16));
    ASSERT_TRUE(device.ops()
                    .MatMul({.encoding = encoding,
                             .tiles = tiles.data(),
                             .num_tiles = 1,
                             .k = kK,
                             .first_row = 0,
                             .matrix_rows = 16,
                             .activations = prepared.data(),
                             .num_tokens = kTokens,
                             .out = out.data(),
                             .out_stride = 16})
                    .ok());
    const std::vector<float> values = out.Values();
    for (int row = 0; row < 16; ++row) {
      EXPECT_TRUE(std::isfinite(values[row]));
      EXPECT_TRUE(std::isnan(values[16 + row]));
    }
  }
}

// Quants, scales and minima of every value, scales that are subnormal, infinite or NaN with them.
TEST_P(CudaMatMul, WeightsOfAnyBitsGiveTheBitsOfScalarCode) {
  const Encoding encoding = GetParam();
  if (!Info(encoding).quantized()) GTEST_SKIP() << "all its bits are one number";
  std::mt19937 random(6);
  constexpr int64_t kK = 768, kRows = 32, kTokens = 2;
  std::vector<std::byte> encoded(kRows * RowBytes(encoding, kK));
  for (std::byte& byte : encoded) byte = static_cast<std::byte>(random());
  const std::vector<std::byte> tiles = Packed(encoding, encoded, kRows, kK);
  Scalar scalar;
  AlignedBytes x =
      Prepared(scalar.ops(), encoding, RandomFloats(kTokens * kK, random), kTokens, kK);
  std::vector<float> want(kTokens * kRows);
  MatMulArgs args = {.encoding = encoding,
                     .tiles = tiles.data(),
                     .num_tiles = kRows / 16,
                     .k = kK,
                     .first_row = 0,
                     .matrix_rows = kRows,
                     .activations = x.data(),
                     .num_tokens = kTokens,
                     .out = want.data(),
                     .out_stride = kRows};
  ASSERT_TRUE(scalar.ops().MatMul(args).ok());
  EXPECT_GT(std::count_if(want.begin(), want.end(), [](float y) { return std::isfinite(y); }), 0);
  for (int64_t mma_min_tokens : {1, 100}) {
    TestDevice device(6, {.mma_min_tokens = mma_min_tokens});
    const auto device_tiles = device.Put(tiles);
    const auto device_x = device.Put(x.Copy());
    const auto out = device.Put(std::vector<float>(kTokens * kRows));
    args.tiles = device_tiles.data();
    args.activations = device_x.data();
    args.out = out.data();
    ASSERT_TRUE(device.ops().MatMul(args).ok());
    EXPECT_TRUE(SameBits(out.Values(), want)) << (mma_min_tokens == 1 ? "mma" : "dp4a");
  }
}

INSTANTIATE_TEST_SUITE_P(Encodings, CudaMatMul, testing::ValuesIn(AllEncodings()),
                         [](const auto& info) { return NameOf(info.param); });

class CudaMatMulArguments : public CudaTest {};

TEST_F(CudaMatMulArguments, NothingToDoTouchesNothing) {
  TestDevice device(1);
  MatMulArgs args = {};
  args.encoding = Encoding::kQ4_K;
  args.k = 256;
  args.num_tiles = 1;
  EXPECT_TRUE(device.ops().MatMul(args).ok());
  args.num_tiles = 0;
  args.num_tokens = 1;
  EXPECT_TRUE(device.ops().MatMul(args).ok());
}

TEST_F(CudaMatMulArguments, RefusesAKThatIsNoWholeNumberOfBlocks) {
  TestDevice device(1);
  MatMulArgs args = {};
  args.encoding = Encoding::kQ4_K;
  args.k = 300;
  args.num_tiles = args.num_tokens = 1;
  EXPECT_EQ(device.ops().MatMul(args).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CudaMatMulArguments, RefusesAKWhoseSumsNoBlockHasRoomFor) {
  TestDevice device(1);
  MatMulArgs args = {};
  args.encoding = Encoding::kF16;
  args.num_tiles = 1;
  args.num_tokens = 2;
  args.k = 98305;
  const absl::Status status = device.ops().MatMul(args);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("1 tiles of f16, K 98305, with 2 tokens"),
            absl::string_view::npos)
      << status;
}

}  // namespace
}  // namespace sluice::cuda
