// Matrix products: scalar code against double precision, every instruction set against scalar code.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/encodings/encoding.h"
#include "kernels/ops.h"
#include "tests/kernels/matmul_testing.h"

namespace sluice {
namespace {

// The kernels of Isa::kAvxVnni with the EVEX form of their dot products; none where the CPU has no
// AVX-512 VNNI.
struct AvxVnniAsEvex {
  AvxVnniAsEvex() {
#if defined(__x86_64__)
    const std::vector<Isa> isas = SupportedIsas();
    if (std::find(isas.begin(), isas.end(), Isa::kAvx512) == isas.end()) return;
    kernels = kAvx2Kernels;
    kernels.matmul = &kAvxVnniAsEvexMatMuls;
    ops = MakeCpuOpsOf(&kernels, &pool);
#endif
  }
  ThreadPool pool{1};
  KernelTable kernels = {};
  std::unique_ptr<Ops> ops;
};

class MatMulOf : public testing::TestWithParam<Encoding> {};

TEST_P(MatMulOf, ScalarCodeIsCloseToDoublePrecision) {
  std::mt19937 random(1);
  Machine scalar(Isa::kScalar, 1);
  const Encoding encoding = GetParam();
  const ActivationFormat format = Info(encoding).activations;
  for (int64_t k : InterestingKs(encoding)) {
    constexpr int64_t kTokens = 2;
    Matrix matrix(encoding, 21, k, random);
    const std::vector<float> x = RandomFloats(kTokens * k, random);
    LineAlignedBytes activations = Prepared(*scalar.ops, encoding, x, kTokens, k);
    std::vector<float> out(kTokens * matrix.rows);
    ASSERT_TRUE(scalar.ops->MatMul(Args(matrix, activations, kTokens, out.data())).ok());
    std::vector<float> weights(k);
    for (int64_t token = 0; token < kTokens; ++token) {
      const std::byte* row = activations.data() + token * ActivationRowBytes(format, k);
      const std::vector<double> values = Dequantized(format, row, k);
      double magnitude = 0;
      for (double value : values) magnitude += std::fabs(value);
      // At most one rounding a value of K (floats) plus those of scales, minima and segments; each
      // is at most 2^-24 of a sum that terms within -1 .. 1 bound by the activations' magnitude.
      const double tolerance = (static_cast<double>(k) + 16) * std::ldexp(2 * magnitude, -24);
      for (int64_t r = 0; r < matrix.rows; ++r) {
        DecodeRow(encoding, matrix.encoded.data() + r * RowBytes(encoding, k), k, weights.data());
        double want = 0;
        for (int64_t i = 0; i < k; ++i) want += weights[i] * values[i];
        EXPECT_NEAR(out[token * matrix.rows + r], want, tolerance) << "k " << k << " row " << r;
      }
    }
  }
}

struct NamedOps {
  std::string name;
  Ops* ops;
};

// Products by each of `machines`, over shapes and epilogues, against scalar code, which is slow and
// computes each product once for all of them.
void ExpectBitsOfScalarCode(const std::vector<NamedOps>& machines, Encoding encoding) {
  std::mt19937 random(2);
  Machine scalar(Isa::kScalar, 1);
  for (int64_t k : InterestingKs(encoding)) {
    for (const MatMulCase& c : kMatMulCases) {
      if (k > 1100 && c.tokens > 5 && c.tokens != 14) continue;  // scalar code is slow
      // For SwiGLU the matrix of alternating tiles has twice the tiles.
      const bool pairs = c.epilogue == Epilogue::kSwiGlu;
      Matrix matrix(encoding, pairs ? (c.rows + 15) / 16 * 32 : c.rows, k, random);
      const std::vector<float> x = RandomFloats(c.tokens * k, random);
      const std::vector<float> addend = RandomFloats(c.rows, random);
      const std::vector<float> up_addend = RandomFloats(c.rows, random);
      const std::vector<float> before = RandomFloats(c.tokens * c.rows, random);
      LineAlignedBytes activations = Prepared(*scalar.ops, encoding, x, c.tokens, k);
      std::vector<float> want = before;
      MatMulArgs args = Args(matrix, activations, c.tokens, want.data());
      args.num_tiles = (c.rows + 15) / 16;
      args.matrix_rows = args.out_stride = c.rows;
      args.epilogue = c.epilogue;
      if (c.addend) args.addend = addend.data();
      if (c.addend && pairs) args.up_addend = up_addend.data();
      ASSERT_TRUE(scalar.ops->MatMul(args).ok());
      for (const NamedOps& machine : machines) {
        LineAlignedBytes own = Prepared(*machine.ops, encoding, x, c.tokens, k);
        std::vector<float> got = before;
        args.activations = own.data();
        args.out = got.data();
        ASSERT_TRUE(machine.ops->MatMul(args).ok());
        ASSERT_TRUE(SameBits(got, want))
            << machine.name << ", k " << k << ", " << c.rows << " rows, " << c.tokens << " tokens";
      }
    }
  }
}

TEST_P(MatMulOf, EveryInstructionSetGivesTheBitsOfScalarCode) {
  std::vector<std::unique_ptr<Machine>> machines;
  std::vector<NamedOps> named;
  for (Isa isa : SupportedIsas()) {
    for (int threads : {1, 2}) {
      if (isa == Isa::kScalar && threads == 1) continue;  // what all are compared with
      machines.push_back(std::make_unique<Machine>(isa, threads));
      named.push_back(
          {absl::StrCat(IsaName(isa), ", ", threads, " threads"), machines.back()->ops.get()});
    }
  }
  ExpectBitsOfScalarCode(named, GetParam());
}

TEST_P(MatMulOf, TheDotProductsOfAvxVnniGiveTheBitsOfScalarCode) {
  AvxVnniAsEvex vnni;
  if (vnni.ops == nullptr)
    GTEST_SKIP() << "this CPU has no AVX-512 VNNI, whose instructions stand in for AVX-VNNI's";
  ExpectBitsOfScalarCode({{"avxvnni as evex", vnni.ops.get()}}, GetParam());
}

TEST_P(MatMulOf, SlabsGiveTheBitsOfTheWholeMatrix) {
  std::mt19937 random(3);
  const Encoding encoding = GetParam();
  const int64_t k = Info(encoding).quantized() ? 1280 : 1030;
  Machine machine(SupportedIsas().back(), 2);
  Matrix matrix(encoding, 75, k, random);  // 5 tiles
  constexpr int64_t kTokens = 3;
  LineAlignedBytes activations =
      Prepared(*machine.ops, encoding, RandomFloats(kTokens * k, random), kTokens, k);
  std::vector<float> whole(kTokens * matrix.rows);
  ASSERT_TRUE(machine.ops->MatMul(Args(matrix, activations, kTokens, whole.data())).ok());
  for (int64_t cut = 1; cut < 5; ++cut) {
    std::vector<float> parts(kTokens * matrix.rows);
    MatMulArgs args = Args(matrix, activations, kTokens, parts.data());
    args.num_tiles = cut;
    ASSERT_TRUE(machine.ops->MatMul(args).ok());
    args.tiles += cut * TileBytes(encoding, k);
    args.first_row = 16 * cut;
    args.num_tiles = 5 - cut;
    ASSERT_TRUE(machine.ops->MatMul(args).ok());
    EXPECT_TRUE(SameBits(parts, whole)) << "cut after tile " << cut;
  }
}

TEST_P(MatMulOf, WorkAsideIsDoneAndChangesNothing) {
  std::mt19937 random(13);
  const Encoding encoding = GetParam();
  const int64_t k = 256;
  for (const int threads : {1, 2}) {
    Machine machine(SupportedIsas().back(), threads);
    Matrix matrix(encoding, 160, k, random);
    LineAlignedBytes activations =
        Prepared(*machine.ops, encoding, RandomFloats(2 * k, random), 2, k);
    std::vector<float> alone(2 * matrix.rows), beside(2 * matrix.rows);
    MatMulArgs args = Args(matrix, activations, 2, alone.data());
    ASSERT_TRUE(machine.ops->MatMul(args).ok());
    std::atomic<int> calls = 0;
    const std::function<void()> aside = [&calls] { ++calls; };
    args.aside = &aside;
    args.out = beside.data();
    ASSERT_TRUE(machine.ops->MatMul(args).ok());
    EXPECT_GT(calls, 0);
    EXPECT_LE(calls, matrix.rows / 16 / 2) << "not behind the middle of the product";
    EXPECT_TRUE(SameBits(beside, alone));
  }
}

TEST_P(MatMulOf, ATokenGivesTheSameBitsInAnyCompany) {
  std::mt19937 random(4);
  const Encoding encoding = GetParam();
  const int64_t k = 512;
  for (Isa isa : SupportedIsas()) {
    Machine machine(isa, 1);
    Matrix matrix(encoding, 16, k, random);
    const std::vector<float> x = RandomFloats(13 * k, random);
    LineAlignedBytes all = Prepared(*machine.ops, encoding, x, 13, k);
    std::vector<float> together(13 * 16);
    ASSERT_TRUE(machine.ops->MatMul(Args(matrix, all, 13, together.data())).ok());
    std::vector<float> alone(13 * 16);
    for (int64_t token = 0; token < 13; ++token) {
      MatMulArgs args = Args(matrix, all, 1, alone.data() + token * 16);
      args.activations += token * ActivationRowBytes(Info(encoding).activations, k);
      ASSERT_TRUE(machine.ops->MatMul(args).ok());
    }
    EXPECT_TRUE(SameBits(alone, together)) << IsaName(isa);
  }
}

TEST_P(MatMulOf, ANonFiniteActivationComesOutAsNaN) {
  std::mt19937 random(5);
  const Encoding encoding = GetParam();
  const int64_t k = 512;
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    for (Isa isa : SupportedIsas()) {
      if (!Info(encoding).quantized() && std::isinf(bad)) continue;  // f32: infinite, by IEEE 754
      Machine machine(isa, 1);
      Matrix matrix(encoding, 16, k, random);
      std::vector<float> x = RandomFloats(2 * k, random);
      x[k + 300] = bad;
      LineAlignedBytes activations = Prepared(*machine.ops, encoding, x, 2, k);
      std::vector<float> out(2 * 16);
      ASSERT_TRUE(machine.ops->MatMul(Args(matrix, activations, 2, out.data())).ok());
      for (int r = 0; r < 16; ++r) {
        EXPECT_TRUE(std::isfinite(out[r])) << IsaName(isa);
        EXPECT_TRUE(std::isnan(out[16 + r])) << IsaName(isa) << " row " << r;
      }
    }
  }
}

TEST_P(MatMulOf, NothingToDoTouchesNothing) {
  std::mt19937 random(6);
  for (Isa isa : SupportedIsas()) {
    Machine machine(isa, 2);
    Matrix matrix(GetParam(), 16, 256, random);
    LineAlignedBytes activations =
        Prepared(*machine.ops, GetParam(), RandomFloats(256, random), 1, 256);
    MatMulArgs args = Args(matrix, activations, 0, nullptr);
    EXPECT_TRUE(machine.ops->MatMul(args).ok());
    args.num_tokens = 1;
    args.num_tiles = 0;
    EXPECT_TRUE(machine.ops->MatMul(args).ok());
  }
}

INSTANTIATE_TEST_SUITE_P(Encodings, MatMulOf, testing::ValuesIn(AllEncodings()),
                         [](const auto& info) { return NameOf(info.param); });

TEST(MatMul, RefusesAKThatIsNoWholeNumberOfBlocks) {
  Machine scalar(Isa::kScalar, 1);
  MatMulArgs args = {};
  args.encoding = Encoding::kQ4_K;
  args.k = 300;
  args.num_tiles = args.num_tokens = 1;
  EXPECT_EQ(scalar.ops->MatMul(args).code(), absl::StatusCode::kInvalidArgument);
}

// Products at the edge of what the vpmaddubsw of AVX2 can hold: all weights and activations
// extreme, of one sign and of alternating ones.
TEST(MatMul, ExtremeQuantsDoNotSaturate) {
  for (const EncodingInfo& info : Encodings()) {
    if (!info.quantized()) continue;
    const Encoding encoding = info.encoding;
    // 0x77 is 12 of mxfp4, 0x0F puts extremes of iq4 side by side.
    for (int fill : {0x00, 0x7F, 0x80, 0xFF, 0x77, 0x0F}) {
      std::mt19937 random(7);
      Matrix matrix(encoding, 16, 256, random);
      for (std::byte& byte : matrix.encoded) byte = static_cast<std::byte>(fill);
      for (int64_t at = 0; at < static_cast<int64_t>(matrix.encoded.size());
           at += info.block_bytes) {
        PutScale(encoding, 0.5f, matrix.encoded.data() + at);
      }
      matrix.Pack();
      for (float value : {1.0f, -1.0f}) {
        std::vector<float> x(2 * 256, value);
        for (int i = 0; i < 256; i += 2) x[256 + i] = -value;
        std::vector<std::vector<float>> results;
        const auto multiply = [&](Ops& ops) {
          LineAlignedBytes activations = Prepared(ops, encoding, x, 2, 256);
          std::vector<float> out(2 * 16);
          EXPECT_TRUE(ops.MatMul(Args(matrix, activations, 2, out.data())).ok());
          results.push_back(out);
        };
        for (Isa isa : SupportedIsas()) multiply(*Machine(isa, 1).ops);
        if (AvxVnniAsEvex vnni; vnni.ops != nullptr) multiply(*vnni.ops);
        for (const auto& result : results)
          EXPECT_TRUE(SameBits(result, results[0])) << NameOf(encoding);
      }
    }
  }
}

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Row 3 has a scale that is NaN, row 5 an infinite one: they come out as numbers that are not
// finite, the same on every instruction set, and no other row does.
TEST(MatMul, AScaleThatIsNotFiniteStaysInItsRow) {
  for (const EncodingInfo& info : Encodings()) {
    if (!info.quantized()) continue;
    std::mt19937 random(8);
    Matrix matrix(info.encoding, 16, 512, random);
    const int64_t stride = RowBytes(info.encoding, 512);
    for (int row : {3, 5}) {
      std::byte* block =
          matrix.encoded.data() + row * stride + 512 / info.block_values / 2 * info.block_bytes;
      PutScale(info.encoding, row == 3 ? kNaN : std::numeric_limits<float>::infinity(), block);
    }
    matrix.Pack();
    const std::vector<float> x = RandomFloats(512, random);
    std::vector<float> first;
    for (Isa isa : SupportedIsas()) {
      Machine machine(isa, 1);
      LineAlignedBytes activations = Prepared(*machine.ops, info.encoding, x, 1, 512);
      std::vector<float> out(16);
      ASSERT_TRUE(machine.ops->MatMul(Args(matrix, activations, 1, out.data())).ok());
      if (first.empty()) first = out;
      for (int row = 0; row < 16; ++row) {
        const bool spoilt = row == 3 || row == 5;
        EXPECT_EQ(std::isfinite(out[row]), !spoilt) << info.name << " row " << row;
        EXPECT_EQ(std::isnan(out[row]), std::isnan(first[row])) << info.name << " row " << row;
        if (!std::isnan(out[row])) {
          EXPECT_EQ(out[row], first[row]) << info.name;
        }
      }
      EXPECT_TRUE(std::isnan(out[3])) << info.name << ' ' << IsaName(isa);
    }
  }
}

}  // namespace
}  // namespace sluice
