// Matrix products with activations rounded to bf16 (--fast-math): near exact sums, and the same
// bits in any company.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/encodings/encoding.h"
#include "kernels/ops.h"
#include "tests/kernels/matmul_testing.h"

namespace sluice {
namespace {

// --fast-math: bf16 weights times activations rounded to bf16, where this CPU has vdpbf16ps.
class RoundedMatMul : public testing::Test {
 protected:
  void SetUp() override {
    if (!RoundsActivations(SupportedIsas().back())) GTEST_SKIP() << "this CPU has no AVX512_BF16";
  }

  static LineAlignedBytes Rounded(Ops& ops, const std::vector<float>& x, int64_t tokens,
                                  int64_t k) {
    LineAlignedBytes out(tokens * ActivationRowBytes(ActivationFormat::kBF16, k));
    EXPECT_TRUE(
        ops.PrepareActivations(ActivationFormat::kBF16, x.data(), k, tokens, k, out.data()).ok());
    return out;
  }

  static MatMulArgs RoundedArgs(Matrix& matrix, LineAlignedBytes& activations, int64_t tokens,
                                float* out) {
    MatMulArgs args = Args(matrix, activations, tokens, out);
    args.rounded_activations = true;
    return args;
  }
};

TEST_F(RoundedMatMul, RoundsActivationsToTheNearestBF16AndNothingElseMuch) {
  std::mt19937 random(21);
  Machine machine(SupportedIsas().back(), 1);
  for (int64_t k : InterestingKs(Encoding::kBF16)) {
    constexpr int64_t kTokens = 11;
    Matrix matrix(Encoding::kBF16, 21, k, random);
    const std::vector<float> x = RandomFloats(kTokens * k, random);
    LineAlignedBytes activations = Rounded(*machine.ops, x, kTokens, k);
    std::vector<float> out(kTokens * matrix.rows), weights(k);
    ASSERT_TRUE(machine.ops->MatMul(RoundedArgs(matrix, activations, kTokens, out.data())).ok());
    for (int64_t token = 0; token < kTokens; ++token) {
      const std::byte* row =
          activations.data() + token * ActivationRowBytes(ActivationFormat::kBF16, k);
      const std::vector<double> rounded = Dequantized(ActivationFormat::kBF16, row, k);
      for (int64_t i = 0; i < k; ++i) EXPECT_EQ(rounded[i], BF16ToF32(F32ToBF16(x[token * k + i])));
      for (int64_t r = 0; r < matrix.rows; ++r) {
        DecodeRow(Encoding::kBF16, matrix.encoded.data() + r * RowBytes(Encoding::kBF16, k), k,
                  weights.data());
        double want = 0, exact = 0, magnitude = 0;
        for (int64_t i = 0; i < k; ++i) {
          want += weights[i] * rounded[i];
          exact += double{weights[i]} * x[token * k + i];
          magnitude += std::fabs(double{weights[i]} * x[token * k + i]);
        }
        // bf16 has 8 significant bits: an activation moves by at most 2^-8 of itself. Adding up
        // rounds at most once a value, by 2^-24 of a sum that the terms' magnitudes bound.
        const double adding = (static_cast<double>(k) + 16) * std::ldexp(1.01 * magnitude, -24);
        EXPECT_NEAR(out[token * matrix.rows + r], want, adding) << "k " << k << " row " << r;
        EXPECT_NEAR(out[token * matrix.rows + r], exact, adding + std::ldexp(magnitude, -8))
            << "k " << k << " row " << r;
      }
    }
  }
}

// Small integers lose nothing in bf16 and their sums nothing in f32, so any way of adding up gives
// the exact bits.
TEST_F(RoundedMatMul, GivesTheBitsOfTheExactProductWhereNothingIsRounded) {
  std::mt19937 random(22);
  Machine scalar(Isa::kScalar, 1);
  for (int threads : {1, 2}) {
    Machine machine(SupportedIsas().back(), threads);
    for (int64_t k : InterestingKs(Encoding::kBF16)) {
      for (const MatMulCase& c : kMatMulCases) {
        if (k > 1100 && c.tokens > 5 && c.tokens != 14) continue;  // scalar code is slow
        const bool pairs = c.epilogue == Epilogue::kSwiGlu;
        Matrix matrix(Encoding::kBF16, pairs ? (c.rows + 15) / 16 * 32 : c.rows, k, random);
        std::vector<float> row(k), x(c.tokens * k);
        for (int64_t r = 0; r < matrix.rows; ++r) {
          for (float& value : row) value = static_cast<float>(static_cast<int>(random() % 17) - 8);
          EncodeRow(Encoding::kBF16, row.data(), k,
                    matrix.encoded.data() + r * RowBytes(Encoding::kBF16, k));
        }
        matrix.Pack();
        for (float& value : x) value = static_cast<float>(static_cast<int>(random() % 17) - 8);
        const std::vector<float> addend = RandomFloats(c.rows, random),
                                 up_addend = RandomFloats(c.rows, random);
        LineAlignedBytes exact = Prepared(*scalar.ops, Encoding::kBF16, x, c.tokens, k);
        LineAlignedBytes rounded = Rounded(*machine.ops, x, c.tokens, k);
        std::vector<float> want = RandomFloats(c.tokens * c.rows, random), got = want;
        MatMulArgs args = Args(matrix, exact, c.tokens, want.data());
        args.num_tiles = (c.rows + 15) / 16;
        args.matrix_rows = args.out_stride = c.rows;
        args.epilogue = c.epilogue;
        if (c.addend) args.addend = addend.data();
        if (c.addend && pairs) args.up_addend = up_addend.data();
        ASSERT_TRUE(scalar.ops->MatMul(args).ok());
        args.activations = rounded.data();
        args.rounded_activations = true;
        args.out = got.data();
        ASSERT_TRUE(machine.ops->MatMul(args).ok());
        ASSERT_TRUE(SameBits(got, want)) << threads << " threads, k " << k << ", " << c.rows
                                         << " rows, " << c.tokens << " tokens";
      }
    }
  }
}

TEST_F(RoundedMatMul, ATokenGivesTheSameBitsInAnyCompanyAndOnAnyNumberOfThreads) {
  std::mt19937 random(23);
  constexpr int64_t kK = 2052, kTokens = 79,
                    kRows = 40;  // a segment's tail, more than a panel, a padded tile
  const Isa isa = SupportedIsas().back();
  Machine machine(isa, 1), two(isa, 2);
  Matrix matrix(Encoding::kBF16, kRows, kK, random);
  LineAlignedBytes all = Rounded(*machine.ops, RandomFloats(kTokens * kK, random), kTokens, kK);
  std::vector<float> together(kTokens * kRows), shared = together, parts = together;
  ASSERT_TRUE(machine.ops->MatMul(RoundedArgs(matrix, all, kTokens, together.data())).ok());
  ASSERT_TRUE(two.ops->MatMul(RoundedArgs(matrix, all, kTokens, shared.data())).ok());
  EXPECT_TRUE(SameBits(shared, together));
  int64_t first = 0;
  for (int64_t count = 1; first < kTokens; first += count, count = count % 12 + 1) {
    count = std::min(count, kTokens - first);
    MatMulArgs args = RoundedArgs(matrix, all, count, parts.data() + first * kRows);
    args.activations += first * ActivationRowBytes(ActivationFormat::kBF16, kK);
    ASSERT_TRUE(machine.ops->MatMul(args).ok());
  }
  EXPECT_TRUE(SameBits(parts, together));
}

TEST_F(RoundedMatMul, ANonFiniteActivationComesOutAsSuch) {
  std::mt19937 random(24);
  Machine machine(SupportedIsas().back(), 1);
  Matrix matrix(Encoding::kBF16, 16, 512, random);
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> x = RandomFloats(2 * 512, random);
    x[512 + 300] = bad;
    LineAlignedBytes activations = Rounded(*machine.ops, x, 2, 512);
    std::vector<float> out(2 * 16);
    ASSERT_TRUE(machine.ops->MatMul(RoundedArgs(matrix, activations, 2, out.data())).ok());
    for (int r = 0; r < 16; ++r) {
      EXPECT_TRUE(std::isfinite(out[r]));
      EXPECT_FALSE(std::isfinite(out[16 + r]));
    }
  }
}

TEST(MatMul, RefusesRoundedActivationsWhereNothingTakesThem) {
  Machine scalar(Isa::kScalar, 1);
  EXPECT_FALSE(RoundsActivations(Isa::kScalar));
  const std::vector<float> x(64, 1.0f);
  LineAlignedBytes out(ActivationRowBytes(ActivationFormat::kBF16, 64));
  EXPECT_EQ(scalar.ops->PrepareActivations(ActivationFormat::kBF16, x.data(), 64, 1, 64, out.data())
                .code(),
            absl::StatusCode::kUnimplemented);
  Machine best(SupportedIsas().back(), 1);
  MatMulArgs args = {};
  args.encoding = Encoding::kQ8_0;
  args.k = 64;
  args.num_tiles = args.num_tokens = 1;
  args.rounded_activations = true;
  EXPECT_EQ(best.ops->MatMul(args).code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace sluice
