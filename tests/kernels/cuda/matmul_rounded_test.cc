// Products with rounded activations (--fast-math) on a device: near exact sums, and the same bits
// whatever rows stand beside a row. Which bits is a device's own affair: nothing here compares them
// with a CPU's.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
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

constexpr int64_t kFew = int64_t{1} << 40, kMany = 1;  // CudaOpsOptions::mma_min_tokens

// Rows of weights, as numbers and in tiles.
struct Weights {
  Weights(Encoding encoding, int64_t rows, int64_t k, std::mt19937& random)
      : values(RandomFloats(rows * k, random)) {
    const int64_t stride = RowBytes(encoding, k);
    std::vector<std::byte> encoded(rows * stride);
    for (int64_t row = 0; row < rows; ++row) {
      EncodeRow(encoding, values.data() + row * k, k, encoded.data() + row * stride);
      DecodeRow(encoding, encoded.data() + row * stride, k, values.data() + row * k);
    }
    tiles.resize(TilesBytes(encoding, rows, k));
    PackRows(encoding, encoded, rows, k, tiles.data());
  }
  std::vector<float> values;  // [rows, k]
  std::vector<std::byte> tiles;
};

class CudaRounded : public CudaTest, public testing::WithParamInterface<Encoding> {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (IsSkipped()) return;
    Backend::Start(0);
    const auto device = Device::Open(0);
    ASSERT_TRUE(device.ok()) << device.status();
    if (device->compute_capability() < 80) GTEST_SKIP() << "needs compute capability 8.0";
  }
  static ActivationFormat Format() {
    return GetParam() == Encoding::kF16 ? ActivationFormat::kF16 : ActivationFormat::kBF16;
  }
  static float Rounded(float x) {
    return GetParam() == Encoding::kF16 ? F16ToF32(F32ToF16(x)) : BF16ToF32(F32ToBF16(x));
  }

  // Activations x [tokens, k] as the device rounds them.
  static OnDevice<std::byte> Prepare(TestDevice& device, const std::vector<float>& x,
                                     int64_t tokens, int64_t k) {
    const auto floats = device.Put(x);
    auto rounded = device.Put(std::vector<std::byte>(tokens * ActivationRowBytes(Format(), k)));
    EXPECT_TRUE(device.ops()
                    .PrepareActivations(Format(), floats.data(), k, tokens, k, rounded.data())
                    .ok());
    EXPECT_TRUE(device.stream().Synchronize().ok());
    return rounded;
  }
  // x [tokens, k] times all rows of `weights`.
  static std::vector<float> Products(TestDevice& device, const Weights& weights, int64_t rows,
                                     int64_t k, const std::vector<float>& x, int64_t tokens) {
    const auto tiles = device.Put(weights.tiles);
    const auto rounded = Prepare(device, x, tokens, k);
    const auto out = device.Put(std::vector<float>(tokens * rows));
    EXPECT_TRUE(device.ops().MatMul(Args(tiles, rounded, rows, k, tokens, out)).ok());
    return out.Values();
  }
  static MatMulArgs Args(const OnDevice<std::byte>& tiles, const OnDevice<std::byte>& rounded,
                         int64_t rows, int64_t k, int64_t tokens, const OnDevice<float>& out) {
    return {.encoding = GetParam(),
            .tiles = tiles.data(),
            .num_tiles = (rows + 15) / 16,
            .k = k,
            .first_row = 0,
            .matrix_rows = rows,
            .activations = rounded.data(),
            .num_tokens = tokens,
            .rounded_activations = true,
            .out = out.data(),
            .out_stride = rows};
  }
};

TEST_P(CudaRounded, ActivationsAreRoundedToNearestEvenAndPaddedWithZeros) {
  const float infinity = std::numeric_limits<float>::infinity();
  std::mt19937 random(1);
  std::vector<float> x = {1.0f + 0x1p-8f,
                          1.0f + 0x1.8p-7f,
                          1.0f + 0x1p-11f,
                          1.0f + 0x1.8p-10f,
                          0.0f,
                          -0.0f,
                          65519.0f,
                          65520.0f,
                          3.4e38f,
                          -3.4e38f,
                          1e-40f,
                          0x1p-25f,
                          0x1.8p-24f,
                          infinity,
                          -infinity,
                          std::numeric_limits<float>::quiet_NaN()};
  const std::vector<float> more = RandomFloats(31, random);
  x.insert(x.end(), more.begin(), more.end());
  const auto k = static_cast<int64_t>(x.size());
  TestDevice device(1);
  const std::vector<std::byte> row = Prepare(device, x, 1, k).Values();
  ASSERT_EQ(row.size(), 192) << "an odd number of 64 bytes";
  for (size_t i = 0; i < row.size() / 2; ++i) {
    uint16_t bits;
    std::memcpy(&bits, row.data() + 2 * i, 2);
    const float got = GetParam() == Encoding::kF16 ? F16ToF32(bits) : BF16ToF32(bits);
    const float want = i < x.size() ? Rounded(x[i]) : 0.0f;
    EXPECT_TRUE(SameBits({got}, {want})) << "value " << i;
  }
}

// Each product of 16-bit floats is exact in f32. A step along K adds 16 of them to the chain, and
// may lose half a unit in the last place of the largest of them (a device that cuts off: one, or
// two with a bit less), so of f32's 24 bits not more than 2^-22 of the terms' magnitudes a step, as
// for each segment's sum.
TEST_P(CudaRounded, IsNearTheExactSum) {
  std::mt19937 random(2);
  const std::vector<uint64_t> seeds = Backend::Seeds();
  size_t turn = 0;
  for (int64_t k : {1, 3, 4, 6, 30, 120, 132, 1023, 1024, 1030, 2200}) {
    for (const auto& [rows, tokens] :
         {std::pair<int64_t, int64_t>{1, 1}, {40, 3}, {17, 9}, {150, 2}, {33, 67}}) {
      if (k > 1100 && rows * tokens > 200) continue;  // the emulation is slow
      const Weights weights(GetParam(), rows, k, random);
      const std::vector<float> x = RandomFloats(tokens * k, random);
      for (int64_t mma_min_tokens : {kFew, kMany}) {
        TestDevice device(seeds[turn++ % seeds.size()], {.mma_min_tokens = mma_min_tokens});
        const std::vector<float> got = Products(device, weights, rows, k, x, tokens);
        for (int64_t token = 0; token < tokens; ++token) {
          for (int64_t row = 0; row < rows; ++row) {
            double want = 0, magnitude = 0;
            for (int64_t i = 0; i < k; ++i) {
              const double term = double{weights.values[row * k + i]} * Rounded(x[token * k + i]);
              want += term;
              magnitude += std::abs(term);
            }
            const int64_t roundings = k / 16 + k / 1024 + 2;
            const double bound = static_cast<double>(roundings) * 0x1p-22 * magnitude;
            ASSERT_NEAR(got[token * rows + row], want, bound)
                << "k " << k << ", row " << row << " of " << rows << ", token " << token << " of "
                << tokens << (mma_min_tokens == kMany ? ", many" : ", few");
          }
        }
      }
    }
  }
}

TEST_P(CudaRounded, ARowsBitsDoNotDependOnItsCompany) {
  std::mt19937 random(3);
  constexpr int64_t kRows = 24, kTokens = 512;
  for (int64_t k : {1060, 2100}) {
    const int64_t tokens = k > 2000 ? 70 : kTokens;
    const Weights weights(GetParam(), kRows, k, random);
    const std::vector<float> x = RandomFloats(tokens * k, random);
    std::vector<float> all;
    for (int64_t mma_min_tokens : {kMany, kFew}) {
      TestDevice device(1, {.mma_min_tokens = mma_min_tokens});
      if (mma_min_tokens == kMany) all = Products(device, weights, kRows, k, x, tokens);
      for (const auto& [first, count] :
           {std::pair<int64_t, int64_t>{0, 1}, {tokens - 1, 1}, {5, 8}, {3, 9}, {1, 65}}) {
        const std::vector<float> part(x.begin() + first * k, x.begin() + (first + count) * k);
        const std::vector<float> want(all.begin() + first * kRows,
                                      all.begin() + (first + count) * kRows);
        EXPECT_TRUE(SameBits(Products(device, weights, kRows, k, part, count), want))
            << count << " rows from " << first << (mma_min_tokens == kMany ? ", many" : ", few");
      }
    }
  }
}

TEST_P(CudaRounded, EpiloguesAndAddendsTakeTheProductThatIsStored) {
  std::mt19937 random(4);
  constexpr int64_t kK = 84;
  const auto silu = [](double x) { return x / (1 + std::exp(-x)); };
  for (const auto& [rows, tokens] :
       {std::pair<int64_t, int64_t>{16, 1}, {41, 5}, {136, 3}, {1, 66}}) {
    const int64_t tiles_each_rows = (rows + 15) / 16 * 16;
    const Weights gate(GetParam(), rows, kK, random), up(GetParam(), rows, kK, random);
    const std::vector<float> x = RandomFloats(tokens * kK, random);
    const std::vector<float> addend = RandomFloats(rows, random),
                             up_addend = RandomFloats(rows, random);
    const std::vector<float> before = RandomFloats(tokens * rows, random);
    // Tiles of gate and up, one after the other in turn.
    const int64_t tile_bytes = TileBytes(GetParam(), kK);
    std::vector<std::byte> both;
    for (int64_t tile = 0; tile < tiles_each_rows / 16; ++tile) {
      for (const Weights* weights : {&gate, &up}) {
        const auto begin = weights->tiles.begin() + tile * tile_bytes;
        both.insert(both.end(), begin, begin + tile_bytes);
      }
    }
    for (int64_t mma_min_tokens : {kFew, kMany}) {
      TestDevice device(5, {.mma_min_tokens = mma_min_tokens});
      const std::vector<float> y = Products(device, gate, rows, kK, x, tokens);
      const std::vector<float> y_up = Products(device, up, rows, kK, x, tokens);
      const auto rounded = Prepare(device, x, tokens, kK);
      const auto gate_tiles = device.Put(gate.tiles), both_tiles = device.Put(both);
      const auto on_device_addend = device.Put(addend), on_device_up = device.Put(up_addend);
      for (const Epilogue epilogue :
           {Epilogue::kStore, Epilogue::kAdd, Epilogue::kSwiGlu, Epilogue::kMultiply}) {
        for (const bool with_addend : {false, true}) {
          const bool pairs = epilogue == Epilogue::kSwiGlu;
          const auto out = device.Put(before);
          MatMulArgs args = Args(pairs ? both_tiles : gate_tiles, rounded, rows, kK, tokens, out);
          args.epilogue = epilogue;
          args.addend = with_addend ? on_device_addend.data() : nullptr;
          args.up_addend = with_addend && pairs ? on_device_up.data() : nullptr;
          ASSERT_TRUE(device.ops().MatMul(args).ok());
          const std::vector<float> got = out.Values();
          for (int64_t i = 0; i < tokens * rows; ++i) {
            const float product = with_addend ? y[i] + addend[i % rows] : y[i];
            const float product_up = with_addend ? y_up[i] + up_addend[i % rows] : y_up[i];
            const double want = epilogue == Epilogue::kStore ? product
                                : epilogue == Epilogue::kAdd ? before[i] + product
                                : pairs                      ? silu(product) * product_up
                                                             : silu(before[i]) * product;
            // silu has f32's rounding; the other two are exact.
            const double bound =
                epilogue == Epilogue::kStore || epilogue == Epilogue::kAdd ? 0 : 1e-6;
            ASSERT_NEAR(got[i], want, bound * (1 + std::abs(want)))
                << "epilogue " << static_cast<int>(epilogue) << ", addend " << with_addend << ", "
                << rows << " rows, " << tokens << " tokens, value " << i
                << (mma_min_tokens == kMany ? ", many" : ", few");
          }
        }
      }
    }
  }
}

TEST_P(CudaRounded, SlabsGiveTheBitsOfTheWholeMatrix) {
  std::mt19937 random(6);
  constexpr int64_t kK = 1100, kRows = 140, kTokens = 3;  // 9 tiles
  const Weights weights(GetParam(), kRows, kK, random);
  const std::vector<float> x = RandomFloats(kTokens * kK, random);
  for (int64_t mma_min_tokens : {kFew, kMany}) {
    TestDevice device(7, {.mma_min_tokens = mma_min_tokens});
    const auto tiles = device.Put(weights.tiles);
    const auto rounded = Prepare(device, x, kTokens, kK);
    const std::vector<float> whole = Products(device, weights, kRows, kK, x, kTokens);
    for (int64_t cut : {1, 4}) {
      const auto parts = device.Put(std::vector<float>(kTokens * kRows));
      // The later one first: what the other wrote beyond its own rows would show.
      MatMulArgs part = Args(tiles, rounded, kRows, kK, kTokens, parts);
      part.tiles += cut * TileBytes(GetParam(), kK);
      part.first_row = 16 * cut;
      part.num_tiles = 9 - cut;
      ASSERT_TRUE(device.ops().MatMul(part).ok());
      part.tiles = tiles.data();
      part.first_row = 0;
      part.num_tiles = cut;
      ASSERT_TRUE(device.ops().MatMul(part).ok());
      EXPECT_TRUE(SameBits(parts.Values(), whole)) << "cut after tile " << cut;
    }
  }
}

TEST_P(CudaRounded, WhatIsNotFiniteStaysSoAndInItsRow) {
  std::mt19937 random(8);
  constexpr int64_t kK = 300, kRows = 20, kTokens = 4;
  const Weights weights(GetParam(), kRows, kK, random);
  std::vector<float> x = RandomFloats(kTokens * kK, random);
  x[1 * kK + 299] = std::numeric_limits<float>::quiet_NaN();
  x[2 * kK + 7] = std::numeric_limits<float>::infinity();
  x[3 * kK + 100] = 1e6f;  // finite in bf16 only
  for (int64_t mma_min_tokens : {kFew, kMany}) {
    TestDevice device(9, {.mma_min_tokens = mma_min_tokens});
    const std::vector<float> got = Products(device, weights, kRows, kK, x, kTokens);
    for (int row = 0; row < kRows; ++row) {
      EXPECT_TRUE(std::isfinite(got[row]));
      EXPECT_TRUE(std::isnan(got[kRows + row]));
      EXPECT_FALSE(std::isfinite(got[2 * kRows + row]));
      EXPECT_EQ(std::isfinite(got[3 * kRows + row]), GetParam() == Encoding::kBF16);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaRounded, testing::Values(Encoding::kF16, Encoding::kBF16),
                         [](const auto& info) { return std::string(Info(info.param).name); });

class CudaRoundedArguments : public CudaTest {};

TEST_F(CudaRoundedArguments, OtherEncodingsHaveNone) {
  TestDevice device(1);
  for (const Encoding encoding : {Encoding::kF32, Encoding::kQ8_0}) {
    MatMulArgs args = {};
    args.encoding = encoding;
    args.k = 256;
    args.num_tiles = args.num_tokens = 1;
    args.rounded_activations = true;
    EXPECT_EQ(device.ops().MatMul(args).code(), absl::StatusCode::kUnimplemented);
  }
}

}  // namespace
}  // namespace sluice::cuda
