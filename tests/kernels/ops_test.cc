// Row operations: activations, RMS norm, RoPE, exp; definitions, and the same bits everywhere.
#include "kernels/ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/exp_constants.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/encodings/activation_layout.h"
#include "kernels/encodings/tile.h"
#include "tests/support/cpu_machine.h"

namespace sluice {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

const KernelTable& Kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx2) return kAvx2Kernels;
  if (isa == Isa::kAvxVnni) return kAvxVnniKernels;
  if (isa == Isa::kAvx512) return kAvx512Kernels;
#elif defined(__aarch64__)
  if (isa == Isa::kNeon) return kNeonKernels;
#endif
  return kScalarKernels;
}

std::vector<float> RandomFloats(int64_t n, uint32_t seed, float scale = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

// NaNs count as equal whatever their payload, which is not defined.
testing::AssertionResult SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (std::memcmp(&a[i], &b[i], 4) != 0) {
      return testing::AssertionFailure() << a[i] << " and " << b[i] << " at " << i;
    }
  }
  return testing::AssertionSuccess();
}

TEST(CpuOps, NamesParseAndScalarIsAlwaysThere) {
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512, Isa::kNeon}) {
    EXPECT_EQ(*ParseIsa(IsaName(isa)), isa);
  }
  EXPECT_EQ(ParseIsa("sse").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SupportedIsas().front(), Isa::kScalar);
}

TEST(PrepareActivations, QuantizesWithinHalfAStepAndKeepsTheSums) {
  const int64_t k = 1000;
  const std::vector<float> x = RandomFloats(k, 1);
  for (Isa isa : SupportedIsas()) {
    ActivationGroup32 by32[4];
    ActivationGroup256 by256[4];
    Kernels(isa).quantize_block32(x.data(), k, by32);
    Kernels(isa).quantize_block256(x.data(), k, by256);
    int64_t sum32 = 0;
    int64_t sum256 = 0;
    for (int64_t i = 0; i < 1024; ++i) {
      const float want = i < k ? x[i] : 0.0f;
      const int8_t q32 = by32[i / 256].quants[i % 256];
      const int8_t q256 = by256[i / 256].quants[i % 256];
      const float scale32 = by32[i / 256].scales[i % 256 / 32];
      // Half a step, and the rounding of the scale times 127 steps.
      EXPECT_NEAR(q32 * scale32, want, 0.5001f * scale32);
      EXPECT_NEAR(q256 * by256[i / 256].scale, want, 0.5001f * by256[i / 256].scale);
      sum32 += q32;
      sum256 += q256;
    }
    for (int g = 0; g < 4; ++g) {
      for (int32_t sum : by32[g].minus_sums) sum32 += sum;
      for (int i = 0; i < 8; ++i) {
        EXPECT_EQ(by32[g].minus_sums16[2 * i] + by32[g].minus_sums16[2 * i + 1],
                  by32[g].minus_sums[i]);
      }
      for (int16_t sum : by256[g].sums32) sum256 -= sum;
      for (int i = 0; i < 16; ++i) {
        int16_t sum = 0;
        for (int j = 0; j < 16; ++j) sum += by256[g].quants[16 * i + j];
        int16_t sum_by32 = 0;
        for (int j = 0; j < 16; ++j) sum_by32 += by32[g].quants[16 * i + j];
        EXPECT_EQ(by32[g].minus_sums16[i], -sum_by32);
        EXPECT_EQ(by256[g].sums16[i / 4 * 4 + kSumPlace[i % 4]], sum);
      }
    }
    EXPECT_EQ(sum32, 0);
    EXPECT_EQ(sum256, 0);
  }
}

TEST(PrepareActivations, EveryInstructionSetGivesTheBitsOfScalarCode) {
  struct Case {
    const char* name;
    float scale;
    std::vector<std::pair<int64_t, float>> odd;  // values put at places
  };
  const Case kCases[] = {
      {"plain", 1.0f, {}},
      {"zeros", 0.0f, {}},
      {"below what counts", 1e-34f, {}},
      {"subnormal beside normal", 1e-40f, {{5, 1e-3f}}},
      {"large", 1e37f, {}},
      {"NaN", 1.0f, {{40, kNaN}}},
      {"infinity", 1.0f, {{0, kInfinity}, {300, -kInfinity}}},
      {"ties", 0.0f, {{0, 127.0f}, {1, 0.5f}, {2, 1.5f}, {3, -2.5f}, {4, -127.0f}}},
  };
  for (ActivationFormat format :
       {ActivationFormat::kF32, ActivationFormat::kInt8Block32, ActivationFormat::kInt8Block256}) {
    for (int64_t k : {1, 15, 31, 32, 33, 255, 256, 257, 320, 1000}) {
      for (const Case& c : kCases) {
        constexpr int64_t kRows = 3;
        std::vector<float> x = RandomFloats(kRows * k, 7, c.scale);
        for (const auto& [place, value] : c.odd) {
          if (place < kRows * k) x[place] = value;
        }
        const int64_t bytes = kRows * ActivationRowBytes(format, k);
        std::vector<float> want(bytes / 4);
        Machine scalar(Isa::kScalar, 1);
        ASSERT_TRUE(scalar.ops
                        ->PrepareActivations(format, x.data(), k, kRows, k,
                                             reinterpret_cast<std::byte*>(want.data()))
                        .ok());
        for (Isa isa : SupportedIsas()) {
          Machine machine(isa, 2);
          std::vector<float> got(bytes / 4, 123.0f);  // all of a row is written, padding too
          ASSERT_TRUE(machine.ops
                          ->PrepareActivations(format, x.data(), k, kRows, k,
                                               reinterpret_cast<std::byte*>(got.data()))
                          .ok());
          EXPECT_TRUE(SameBits(got, want)) << IsaName(isa) << " " << c.name << " k " << k;
        }
      }
    }
  }
}

TEST(RmsNorm, EveryInstructionSetGivesTheBitsOfScalarCode) {
  for (int64_t n : {1, 8, 16, 17, 100, 128, 4096, 4099}) {
    const std::vector<float> x = RandomFloats(5 * n, 11);
    const std::vector<float> weight = RandomFloats(n, 12);
    std::vector<float> want(5 * n);
    Machine scalar(Isa::kScalar, 1);
    ASSERT_TRUE(scalar.ops->RmsNorm(x.data(), n, 5, n, weight.data(), 1e-5f, want.data(), n).ok());
    for (int64_t row = 0; row < 5; ++row) {
      double squares = 0;
      for (int64_t i = 0; i < n; ++i) squares += double{x[row * n + i]} * x[row * n + i];
      for (int64_t i = 0; i < n; ++i) {
        const double exact = x[row * n + i] / std::sqrt(squares / n + 1e-5) * weight[i];
        // Chains of n / 16 roundings, halved by the root, and five more.
        const int64_t roundings = n / 16 + 10;
        EXPECT_NEAR(want[row * n + i], exact,
                    std::fabs(exact) * static_cast<double>(roundings) * 0x1p-24);
      }
    }
    for (Isa isa : SupportedIsas()) {
      Machine machine(isa, 2);
      std::vector<float> got = x;  // in place
      ASSERT_TRUE(
          machine.ops->RmsNorm(got.data(), n, 5, n, weight.data(), 1e-5f, got.data(), n).ok());
      EXPECT_TRUE(SameBits(got, want)) << IsaName(isa) << " n " << n;
    }
  }
}

TEST(RmsNorm, NaNSpoilsItsRowOnly) {
  for (Isa isa : SupportedIsas()) {
    Machine machine(isa, 1);
    std::vector<float> x = RandomFloats(2 * 40, 13);
    x[45] = kNaN;
    const std::vector<float> weight(40, 1.0f);
    ASSERT_TRUE(machine.ops->RmsNorm(x.data(), 40, 2, 40, weight.data(), 0, x.data(), 40).ok());
    EXPECT_TRUE(std::all_of(x.begin(), x.begin() + 40, [](float v) { return std::isfinite(v); }));
    EXPECT_TRUE(std::all_of(x.begin() + 40, x.end(), [](float v) { return std::isnan(v); }));
  }
}

TEST(Rope, RotatesByThePositionAndEveryInstructionSetAgrees) {
  for (int64_t head_dim : {2, 8, 16, 64, 80, 96, 128, 256}) {
    for (bool norm : {false, true}) {
      constexpr int64_t kRows = 4;
      constexpr int64_t kHeads = 3;
      const int64_t stride = kHeads * head_dim + 7;
      const std::vector<float> x = RandomFloats(kRows * stride, 21);
      const std::vector<float> weight = RandomFloats(head_dim, 22);
      const std::vector<int64_t> positions = {0, 5, 2, 9};
      std::vector<float> table(10 * head_dim);
      for (int64_t p = 0; p < 10; ++p) {
        for (int64_t i = 0; i < head_dim / 2; ++i) {
          table[p * head_dim + i] = std::cos(p * 0.37f * i);
          table[p * head_dim + head_dim / 2 + i] = std::sin(p * 0.37f * i);
        }
      }
      std::vector<float> want = x;
      Machine scalar(Isa::kScalar, 1);
      ASSERT_TRUE(scalar.ops
                      ->Rope(want.data(), stride, kRows, kHeads, head_dim, table.data(), positions,
                             norm ? weight.data() : nullptr, 1e-6f)
                      .ok());
      if (!norm) {
        const int64_t at = 1 * stride + 2 * head_dim;  // row 1, head 2: position 5
        const double c = table[5 * head_dim];
        const double s = table[5 * head_dim + head_dim / 2];
        EXPECT_NEAR(want[at], x[at] * c - x[at + head_dim / 2] * s, 1e-6);  // three roundings
        EXPECT_NEAR(want[at + head_dim / 2], x[at + head_dim / 2] * c + x[at] * s, 1e-6);
      }
      for (Isa isa : SupportedIsas()) {
        Machine machine(isa, 2);
        std::vector<float> got = x;
        ASSERT_TRUE(machine.ops
                        ->Rope(got.data(), stride, kRows, kHeads, head_dim, table.data(), positions,
                               norm ? weight.data() : nullptr, 1e-6f)
                        .ok());
        EXPECT_TRUE(SameBits(got, want)) << IsaName(isa) << " head_dim " << head_dim;
      }
    }
  }
}

TEST(Exp, IsCloseToTheLibraryAndTheSameEverywhere) {
  std::vector<float> x = {0.0f,   -0.0f,     1.0f,       -1.0f,  88.37f,    88.3762626647949f,
                          89.0f,  1e30f,     -87.3f,     -88.0f, -87.3365f, -87.33651f,
                          -1e30f, kInfinity, -kInfinity, kNaN,   1e-40f};
  for (float value = -90.0f; value < 90.0f; value += 0.00371f) x.push_back(value);
  std::vector<float> want(x.size());
  Kernels(Isa::kScalar).exp(x.data(), x.size(), want.data());
  EXPECT_EQ(want[0], 1.0f);
  EXPECT_TRUE(std::isnan(want[15]));
  EXPECT_EQ(want[14], 0.0f);
  EXPECT_TRUE(std::isfinite(want[13]));
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i])) continue;
    const double exact = x[i] < kExpMin ? 0.0 : std::exp(double{std::min(x[i], kExpMax)});
    // The polynomial, and a few roundings of it and of r.
    EXPECT_NEAR(want[i], exact, 3 * exact * 0x1p-24) << x[i];
  }
  for (Isa isa : SupportedIsas()) {
    std::vector<float> got(x.size());
    Kernels(isa).exp(x.data(), x.size(), got.data());
    EXPECT_TRUE(SameBits(got, want)) << IsaName(isa);
  }
}

// A product that is stored compactly and ended by itself is the one that MatMul ends.
TEST(Ops, EndProductIsWhatMatMulDoesAfterTheSum) {
  constexpr int64_t kK = 64, kRows = 40, kTokens = 3, kStride = 50;
  const int64_t tiles = (kRows + kTileRows - 1) / kTileRows;
  const std::vector<float> weights = RandomFloats(tiles * TileBytes(Encoding::kF32, kK) / 4, 3);
  const std::vector<float> x = RandomFloats(kTokens * kK, 4), addend = RandomFloats(kRows, 5);
  const std::vector<float> before = RandomFloats(kTokens * kStride, 6);
  for (Isa isa : SupportedIsas()) {
    Machine machine(isa, 2);
    std::vector<float> y(kTokens * kRows);
    MatMulArgs args = {.encoding = Encoding::kF32,
                       .tiles = reinterpret_cast<const std::byte*>(weights.data()),
                       .num_tiles = tiles,
                       .k = kK,
                       .first_row = 0,
                       .matrix_rows = kRows,
                       .activations = reinterpret_cast<const std::byte*>(x.data()),
                       .num_tokens = kTokens,
                       .addend = addend.data(),
                       .out = y.data(),
                       .out_stride = kRows};
    ASSERT_TRUE(machine.ops->MatMul(args).ok());
    for (const Epilogue epilogue : {Epilogue::kStore, Epilogue::kAdd, Epilogue::kMultiply}) {
      std::vector<float> want = before, got = before;
      args.epilogue = epilogue;
      args.out = want.data();
      args.out_stride = kStride;
      ASSERT_TRUE(machine.ops->MatMul(args).ok());
      ASSERT_TRUE(
          machine.ops->EndProduct({y.data(), kTokens, kRows, epilogue, got.data(), kStride}).ok());
      EXPECT_TRUE(SameBits(got, want))
          << IsaName(isa) << ", epilogue " << static_cast<int>(epilogue);
    }
    EXPECT_FALSE(
        machine.ops->EndProduct({y.data(), kTokens, kRows, Epilogue::kSwiGlu, y.data(), kRows})
            .ok());
  }
}

TEST(Ops, NoRowsAreNoWork) {
  for (Isa isa : SupportedIsas()) {
    Machine machine(isa, 2);
    Ops& ops = *machine.ops;
    EXPECT_TRUE(
        ops.PrepareActivations(ActivationFormat::kInt8Block32, nullptr, 0, 0, 64, nullptr).ok());
    EXPECT_TRUE(ops.RmsNorm(nullptr, 0, 0, 64, nullptr, 0, nullptr, 0).ok());
    EXPECT_TRUE(ops.Rope(nullptr, 0, 0, 1, 64, nullptr, {}, nullptr, 0).ok());
    AttentionArgs args = {.kv = {KvType::kF16, KvType::kF16, 1, 64},
                          .pages = nullptr,
                          .page_stride = 0,
                          .num_heads = 1,
                          .attention_scale = 1,
                          .rows = {}};
    EXPECT_TRUE(ops.AppendKv(args, nullptr, nullptr, 0).ok());
    EXPECT_TRUE(ops.Attention(args, nullptr, 0, nullptr, 0).ok());
  }
}

}  // namespace
}  // namespace sluice
