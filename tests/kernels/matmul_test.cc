// Matrix products: scalar code against double precision, every instruction set against scalar code.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/encodings/activation_layout.h"
#include "kernels/encodings/encoding.h"
#include "kernels/encodings/tile.h"
#include "kernels/ops.h"

namespace sluice {
namespace {

// Memory on 64 bytes, as tiles and activations are.
class Bytes {
 public:
  explicit Bytes(int64_t size) : storage_(size + 64) {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    data_ = storage_.data() + (64 - address % 64) % 64;
  }
  std::byte* data() { return data_; }

 private:
  std::vector<std::byte> storage_;
  std::byte* data_;
};

void PutHalf(float value, std::byte* at) {
  const uint16_t bits = F32ToF16(value);
  std::memcpy(at, &bits, 2);
}

// A row of random blocks: every bit pattern of quants, scales and minima, and block scales for
// which each of a value's terms stays within -1 .. 1.
std::vector<std::byte> RandomRow(Encoding encoding, int64_t k, std::mt19937& random) {
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
    switch (encoding) {
      case Encoding::kQ8_0:
        PutHalf(unit(random) / 128, block);
        break;
      case Encoding::kQ4_0:
        PutHalf(unit(random) / 8, block);
        break;
      case Encoding::kQ5_0:
        PutHalf(unit(random) / 16, block);
        break;
      case Encoding::kQ4_1:
      case Encoding::kQ5_1:
        PutHalf(unit(random) / 31, block);
        PutHalf(unit(random), block + 2);
        break;
      case Encoding::kIQ4_NL:
        PutHalf(unit(random) / 127, block);
        break;
      case Encoding::kIQ4_XS:
        PutHalf(unit(random) / (32 * 127), block);
        break;
      case Encoding::kMXFP4:  // 2^-4 at most, and every exponent below that
        *block = static_cast<std::byte>(random() % 3 == 0 ? random() % 125 : 118 + random() % 7);
        break;
      case Encoding::kQ3_K:
        PutHalf(unit(random) / (32 * 4), block + info.block_bytes - 2);
        break;
      case Encoding::kQ2_K:
        PutHalf(unit(random) / (15 * 3), block + info.block_bytes - 4);
        PutHalf(unit(random) / 15, block + info.block_bytes - 2);
        break;
      case Encoding::kQ6_K:
        PutHalf(unit(random) / (128 * 32), block + info.block_bytes - 2);
        break;
      default:  // q4_k, q5_k
        PutHalf(unit(random) / (63 * 31), block);
        PutHalf(unit(random) / 63, block + 2);
        break;
    }
  }
  return row;
}

std::vector<float> RandomFloats(int64_t n, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

// A matrix in tiles, and the rows that it was packed from.
struct Matrix {
  Matrix(Encoding encoding, int64_t rows, int64_t k, std::mt19937& random)
      : encoding(encoding), rows(rows), k(k), tiles((rows + 15) / 16 * TileBytes(encoding, k)) {
    for (int64_t row = 0; row < rows; ++row) {
      const std::vector<std::byte> one = RandomRow(encoding, k, random);
      encoded.insert(encoded.end(), one.begin(), one.end());
    }
    const int64_t stride = RowBytes(encoding, k);
    for (int64_t row = 0; row < rows; row += 16) {
      PackTile(encoding, encoded.data() + row * stride, stride,
               static_cast<int>(std::min<int64_t>(16, rows - row)), k,
               tiles.data() + row / 16 * TileBytes(encoding, k));
    }
  }
  Encoding encoding;
  int64_t rows;
  int64_t k;
  std::vector<std::byte> encoded;
  Bytes tiles;
};

struct Machine {
  Machine(Isa isa, int threads) : pool(threads), ops(*MakeCpuOps(isa, &pool)) {}
  ThreadPool pool;
  std::unique_ptr<Ops> ops;
};

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

Bytes Prepared(Ops& ops, Encoding encoding, const std::vector<float>& x, int64_t tokens,
               int64_t k) {
  const ActivationFormat format = Info(encoding).activations;
  Bytes out(tokens * ActivationRowBytes(format, k));
  EXPECT_TRUE(ops.PrepareActivations(format, x.data(), k, tokens, k, out.data()).ok());
  return out;
}

// What MatMul sees of x: the quantized values times their scale.
std::vector<double> Dequantized(ActivationFormat format, const std::byte* row, int64_t k) {
  std::vector<double> values(k);
  for (int64_t i = 0; i < k; ++i) {
    switch (format) {
      case ActivationFormat::kF32:
        values[i] = reinterpret_cast<const float*>(row)[i];
        break;
      case ActivationFormat::kBF16: {
        uint16_t bits;
        std::memcpy(&bits, row + 2 * i, 2);
        values[i] = BF16ToF32(bits);
        break;
      }
      case ActivationFormat::kF16:
        ADD_FAILURE() << "no CPU reads it";
        break;
      case ActivationFormat::kInt8Block32: {
        const auto& group = reinterpret_cast<const ActivationGroup32*>(row)[i / 256];
        values[i] = double{group.scales[i % 256 / 32]} * group.quants[i % 256];
        break;
      }
      case ActivationFormat::kInt8Block256: {
        const auto& group = reinterpret_cast<const ActivationGroup256*>(row)[i / 256];
        values[i] = double{group.scale} * group.quants[i % 256];
        break;
      }
    }
  }
  return values;
}

MatMulArgs Args(Matrix& matrix, Bytes& activations, int64_t tokens, float* out) {
  MatMulArgs args = {};
  args.encoding = matrix.encoding;
  args.tiles = matrix.tiles.data();
  args.num_tiles = (matrix.rows + 15) / 16;
  args.k = matrix.k;
  args.first_row = 0;
  args.matrix_rows = matrix.rows;
  args.activations = activations.data();
  args.num_tokens = tokens;
  args.out = out;
  args.out_stride = matrix.rows;
  return args;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// K values worth a look: one block, a tail group, whole segments, segments and a tail.
std::vector<int64_t> Ks(Encoding encoding) {
  switch (Info(encoding).block_values) {
    case 1:
      return {1, 2, 3, 7, 16, 30, 1023, 1024, 1025, 2052};
    case 32:
      return {32, 96, 256, 288, 1024, 1056, 2272};
    default:
      return {256, 512, 768, 1024, 1280, 2304};
  }
}

std::string NameOf(Encoding encoding) { return std::string(Info(encoding).name); }

class MatMulOf : public testing::TestWithParam<Encoding> {};

TEST_P(MatMulOf, ScalarCodeIsCloseToDoublePrecision) {
  std::mt19937 random(1);
  Machine scalar(Isa::kScalar, 1);
  const Encoding encoding = GetParam();
  const ActivationFormat format = Info(encoding).activations;
  for (int64_t k : Ks(encoding)) {
    constexpr int64_t kTokens = 2;
    Matrix matrix(encoding, 21, k, random);
    const std::vector<float> x = RandomFloats(kTokens * k, random);
    Bytes activations = Prepared(*scalar.ops, encoding, x, kTokens, k);
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

struct Case {
  int64_t rows;
  int64_t tokens;
  Epilogue epilogue;
  bool addend;
};
// Every block of tokens (8, 6, 4, 3, 2, 1 and mixtures), more than a panel of 64, a last tile with
// padding, a single row.
constexpr Case kCases[] = {
    {16, 1, Epilogue::kStore, false},   {1, 1, Epilogue::kStore, true},
    {40, 2, Epilogue::kAdd, false},     {33, 3, Epilogue::kAdd, true},
    {31, 4, Epilogue::kSwiGlu, false},  {50, 5, Epilogue::kSwiGlu, true},
    {17, 7, Epilogue::kMultiply, true}, {32, 9, Epilogue::kStore, true},
    {15, 14, Epilogue::kAdd, false},    {16, 23, Epilogue::kMultiply, false},
    {24, 70, Epilogue::kSwiGlu, true},
};

// Products by `ops`, over shapes and epilogues, against scalar code.
void ExpectBitsOfScalarCode(Ops& ops, Encoding encoding, const std::string& name) {
  std::mt19937 random(2);
  Machine scalar(Isa::kScalar, 1);
  for (int64_t k : Ks(encoding)) {
    for (const Case& c : kCases) {
      if (k > 1100 && c.tokens > 5 && c.tokens != 14) continue;  // scalar code is slow
      // For SwiGLU the matrix of alternating tiles has twice the tiles.
      const bool pairs = c.epilogue == Epilogue::kSwiGlu;
      Matrix matrix(encoding, pairs ? (c.rows + 15) / 16 * 32 : c.rows, k, random);
      const std::vector<float> x = RandomFloats(c.tokens * k, random);
      const std::vector<float> addend = RandomFloats(c.rows, random);
      const std::vector<float> up_addend = RandomFloats(c.rows, random);
      Bytes activations = Prepared(ops, encoding, x, c.tokens, k);
      std::vector<float> want = RandomFloats(c.tokens * c.rows, random);
      std::vector<float> got = want;
      MatMulArgs args = Args(matrix, activations, c.tokens, want.data());
      args.num_tiles = (c.rows + 15) / 16;
      args.matrix_rows = args.out_stride = c.rows;
      args.epilogue = c.epilogue;
      if (c.addend) args.addend = addend.data();
      if (c.addend && pairs) args.up_addend = up_addend.data();
      ASSERT_TRUE(scalar.ops->MatMul(args).ok());
      args.out = got.data();
      ASSERT_TRUE(ops.MatMul(args).ok());
      ASSERT_TRUE(SameBits(got, want))
          << name << ", k " << k << ", " << c.rows << " rows, " << c.tokens << " tokens";
    }
  }
}

TEST_P(MatMulOf, EveryInstructionSetGivesTheBitsOfScalarCode) {
  for (Isa isa : SupportedIsas()) {
    for (int threads : {1, 2}) {
      Machine machine(isa, threads);
      ExpectBitsOfScalarCode(*machine.ops, GetParam(),
                             absl::StrCat(IsaName(isa), ", ", threads, " threads"));
    }
  }
}

TEST_P(MatMulOf, TheDotProductsOfAvxVnniGiveTheBitsOfScalarCode) {
  AvxVnniAsEvex vnni;
  if (vnni.ops == nullptr)
    GTEST_SKIP() << "this CPU has no AVX-512 VNNI, whose instructions stand in for AVX-VNNI's";
  ExpectBitsOfScalarCode(*vnni.ops, GetParam(), "avxvnni as evex");
}

TEST_P(MatMulOf, SlabsGiveTheBitsOfTheWholeMatrix) {
  std::mt19937 random(3);
  const Encoding encoding = GetParam();
  const int64_t k = Info(encoding).quantized() ? 1280 : 1030;
  Machine machine(SupportedIsas().back(), 2);
  Matrix matrix(encoding, 75, k, random);  // 5 tiles
  constexpr int64_t kTokens = 3;
  Bytes activations =
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
    Bytes activations = Prepared(*machine.ops, encoding, RandomFloats(2 * k, random), 2, k);
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
    Bytes all = Prepared(*machine.ops, encoding, x, 13, k);
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
      Bytes activations = Prepared(*machine.ops, encoding, x, 2, k);
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
    Bytes activations = Prepared(*machine.ops, GetParam(), RandomFloats(256, random), 1, 256);
    MatMulArgs args = Args(matrix, activations, 0, nullptr);
    EXPECT_TRUE(machine.ops->MatMul(args).ok());
    args.num_tokens = 1;
    args.num_tiles = 0;
    EXPECT_TRUE(machine.ops->MatMul(args).ok());
  }
}

std::vector<Encoding> AllEncodings() {
  std::vector<Encoding> all;
  for (const EncodingInfo& info : Encodings()) all.push_back(info.encoding);
  return all;
}

// --fast-math: bf16 weights times activations rounded to bf16, where this CPU has vdpbf16ps.
class RoundedMatMul : public testing::Test {
 protected:
  void SetUp() override {
    if (!RoundsActivations(SupportedIsas().back())) GTEST_SKIP() << "this CPU has no AVX512_BF16";
  }

  static Bytes Rounded(Ops& ops, const std::vector<float>& x, int64_t tokens, int64_t k) {
    Bytes out(tokens * ActivationRowBytes(ActivationFormat::kBF16, k));
    EXPECT_TRUE(
        ops.PrepareActivations(ActivationFormat::kBF16, x.data(), k, tokens, k, out.data()).ok());
    return out;
  }

  static MatMulArgs RoundedArgs(Matrix& matrix, Bytes& activations, int64_t tokens, float* out) {
    MatMulArgs args = Args(matrix, activations, tokens, out);
    args.rounded_activations = true;
    return args;
  }
};

TEST_F(RoundedMatMul, RoundsActivationsToTheNearestBF16AndNothingElseMuch) {
  std::mt19937 random(21);
  Machine machine(SupportedIsas().back(), 1);
  for (int64_t k : Ks(Encoding::kBF16)) {
    constexpr int64_t kTokens = 11;
    Matrix matrix(Encoding::kBF16, 21, k, random);
    const std::vector<float> x = RandomFloats(kTokens * k, random);
    Bytes activations = Rounded(*machine.ops, x, kTokens, k);
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
    for (int64_t k : Ks(Encoding::kBF16)) {
      for (const Case& c : kCases) {
        if (k > 1100 && c.tokens > 5 && c.tokens != 14) continue;  // scalar code is slow
        const bool pairs = c.epilogue == Epilogue::kSwiGlu;
        Matrix matrix(Encoding::kBF16, pairs ? (c.rows + 15) / 16 * 32 : c.rows, k, random);
        std::vector<float> row(k), x(c.tokens * k);
        for (int64_t r = 0; r < matrix.rows; ++r) {
          for (float& value : row) value = static_cast<float>(static_cast<int>(random() % 17) - 8);
          EncodeRow(Encoding::kBF16, row.data(), k,
                    matrix.encoded.data() + r * RowBytes(Encoding::kBF16, k));
        }
        for (int64_t r = 0; r < matrix.rows; r += 16) {
          PackTile(Encoding::kBF16, matrix.encoded.data() + r * RowBytes(Encoding::kBF16, k),
                   RowBytes(Encoding::kBF16, k),
                   static_cast<int>(std::min<int64_t>(16, matrix.rows - r)), k,
                   matrix.tiles.data() + r / 16 * TileBytes(Encoding::kBF16, k));
        }
        for (float& value : x) value = static_cast<float>(static_cast<int>(random() % 17) - 8);
        const std::vector<float> addend = RandomFloats(c.rows, random),
                                 up_addend = RandomFloats(c.rows, random);
        Bytes exact = Prepared(*scalar.ops, Encoding::kBF16, x, c.tokens, k);
        Bytes rounded = Rounded(*machine.ops, x, c.tokens, k);
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
  Bytes all = Rounded(*machine.ops, RandomFloats(kTokens * kK, random), kTokens, kK);
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
    Bytes activations = Rounded(*machine.ops, x, 2, 512);
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
  Bytes out(ActivationRowBytes(ActivationFormat::kBF16, 64));
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

// Where a block's f16 scales are, and where its exponent.
std::vector<int64_t> ScalePlaces(const EncodingInfo& info) {
  switch (info.encoding) {
    case Encoding::kQ6_K:
    case Encoding::kQ3_K:
      return {info.block_bytes - 2};
    case Encoding::kQ2_K:
      return {info.block_bytes - 4, info.block_bytes - 2};
    case Encoding::kQ5_K:
    case Encoding::kQ4_K:
    case Encoding::kQ4_1:
    case Encoding::kQ5_1:
      return {0, 2};
    case Encoding::kMXFP4:
      return {};
    default:
      return {0};
  }
}
constexpr int kMxfp4Exponent = 0;

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
        std::byte* block = matrix.encoded.data() + at;
        float scale = 0.5f;
        for (int64_t place : ScalePlaces(info)) {
          PutHalf(scale, block + place);
          scale /= 2;
        }
        if (encoding == Encoding::kMXFP4) block[kMxfp4Exponent] = std::byte{127};
      }
      const int64_t stride = RowBytes(encoding, 256);
      PackTile(encoding, matrix.encoded.data(), stride, 16, 256, matrix.tiles.data());
      for (float value : {1.0f, -1.0f}) {
        std::vector<float> x(2 * 256, value);
        for (int i = 0; i < 256; i += 2) x[256 + i] = -value;
        std::vector<std::vector<float>> results;
        const auto multiply = [&](Ops& ops) {
          Bytes activations = Prepared(ops, encoding, x, 2, 256);
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
      const uint16_t bits = row == 3 ? 0x7E00 : 0x7C00;
      for (int64_t place : ScalePlaces(info)) std::memcpy(block + place, &bits, 2);
      if (info.encoding == Encoding::kMXFP4) block[kMxfp4Exponent] = std::byte{255};
    }
    PackTile(info.encoding, matrix.encoded.data(), stride, 16, 512, matrix.tiles.data());
    const std::vector<float> x = RandomFloats(512, random);
    std::vector<float> first;
    for (Isa isa : SupportedIsas()) {
      Machine machine(isa, 1);
      Bytes activations = Prepared(*machine.ops, info.encoding, x, 1, 512);
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
