// Activations, RMS norm, RoPE and the KV cache on a device: the bits of scalar code.
#include <algorithm>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tests/kernels/cuda/scalar_machine.h"
#include "tests/kernels/cuda/test_device.h"

namespace sluice::cuda {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class CudaRows : public CudaTest {};

TEST_F(CudaRows, ActivationsAreTheBytesOfScalarCode) {
  struct Case {
    const char* name;
    int64_t rows;
    int64_t k;
    float scale;
    std::vector<std::pair<int64_t, float>> odd;  // values put at places
  };
  const Case kCases[] = {
      {"a block", 1, 32, 1, {}},
      {"less than a block", 2, 5, 1, {}},
      {"a tail", 3, 300, 1, {}},
      {"many groups", 9, 1056, 1, {}},
      {"zeros", 2, 256, 0, {}},
      {"too small to scale", 1, 256, 1e-32f, {}},
      {"ties",
       1,
       256,
       0,
       {{0, 127.0f}, {1, 0.5f}, {2, 1.5f}, {3, -2.5f}, {40, 127.0f}, {41, 3.5f}}},
      {"huge", 1, 256, 1e37f, {}},
      {"NaN", 2, 512, 1, {{40, kNaN}}},
      {"infinity", 2, 512, 1, {{300, -kInfinity}, {700, kInfinity}}},
  };
  std::mt19937 random(1);
  Scalar scalar;
  for (const Case& c : kCases) {
    const int64_t stride = c.k + 3;
    std::vector<float> x = RandomFloats(c.rows * stride, random);
    for (float& value : x) value *= c.scale;
    for (const auto& [at, value] : c.odd) x[at] = value;
    for (ActivationFormat format : {ActivationFormat::kF32, ActivationFormat::kInt8Block32,
                                    ActivationFormat::kInt8Block256}) {
      std::vector<std::byte> want(c.rows * ActivationRowBytes(format, c.k), std::byte{0x55});
      ASSERT_TRUE(
          scalar.ops().PrepareActivations(format, x.data(), stride, c.rows, c.k, want.data()).ok());
      for (uint64_t seed : Backend::Seeds()) {
        TestDevice device(seed);
        const auto device_x = device.Put(x);
        const auto out = device.Put(std::vector<std::byte>(want.size(), std::byte{0xAA}));
        ASSERT_TRUE(
            device.ops()
                .PrepareActivations(format, device_x.data(), stride, c.rows, c.k, out.data())
                .ok());
        EXPECT_TRUE(out.Values() == want) << c.name << ", format " << static_cast<int>(format);
      }
    }
  }
}

TEST_F(CudaRows, ProductsOfTheCpuEndInTheBitsOfScalarCode) {
  std::mt19937 random(9);
  Scalar scalar;
  for (const auto& [tokens, rows] :
       {std::pair<int64_t, int64_t>(1, 1), {1, 1000}, {3, 127}, {16, 129}}) {
    const int64_t stride = rows + 5;
    const std::vector<float> y = RandomFloats(tokens * rows, random);
    std::vector<float> out = RandomFloats(tokens * stride, random);
    out[rows / 2] = kNaN;
    for (const Epilogue epilogue : {Epilogue::kStore, Epilogue::kAdd, Epilogue::kMultiply}) {
      std::vector<float> want = out;
      ASSERT_TRUE(
          scalar.ops().EndProduct({y.data(), tokens, rows, epilogue, want.data(), stride}).ok());
      for (uint64_t seed : Backend::Seeds()) {
        TestDevice device(seed);
        const auto device_y = device.Put(y);
        const auto device_out = device.Put(out);
        ASSERT_TRUE(
            device.ops()
                .EndProduct({device_y.data(), tokens, rows, epilogue, device_out.data(), stride})
                .ok());
        EXPECT_TRUE(SameBits(device_out.Values(), want)) << tokens << " x " << rows;
      }
    }
  }
}

TEST_F(CudaRows, RmsNormGivesTheBitsOfScalarCode) {
  std::mt19937 random(2);
  Scalar scalar;
  for (int64_t n : {1, 7, 16, 100, 2048, 2049, 5000}) {
    const int64_t rows = n > 2000 ? 2 : 5;
    const std::vector<float> x = RandomFloats(rows * (n + 2), random);
    const std::vector<float> weight = RandomFloats(n, random);
    std::vector<float> want(rows * (n + 1));
    ASSERT_TRUE(scalar.ops()
                    .RmsNorm(x.data(), n + 2, rows, n, weight.data(), 1e-5f, want.data(), n + 1)
                    .ok());
    for (uint64_t seed : Backend::Seeds()) {
      TestDevice device(seed);
      const auto device_x = device.Put(x);
      const auto device_weight = device.Put(weight);
      const auto out = device.Put(std::vector<float>(want.size()));
      ASSERT_TRUE(device.ops()
                      .RmsNorm(device_x.data(), n + 2, rows, n, device_weight.data(), 1e-5f,
                               out.data(), n + 1)
                      .ok());
      EXPECT_TRUE(SameBits(out.Values(), want)) << n;
    }
  }
}

TEST_F(CudaRows, RmsNormInPlaceGivesTheSameBits) {
  std::mt19937 random(3);
  constexpr int64_t kN = 3000, kRows = 3;
  const std::vector<float> x = RandomFloats(kRows * kN, random);
  const std::vector<float> weight = RandomFloats(kN, random);
  TestDevice device(1);
  const auto device_weight = device.Put(weight);
  const auto from = device.Put(x);
  const auto apart = device.Put(std::vector<float>(x.size()));
  ASSERT_TRUE(
      device.ops()
          .RmsNorm(from.data(), kN, kRows, kN, device_weight.data(), 1e-6f, apart.data(), kN)
          .ok());
  ASSERT_TRUE(device.ops()
                  .RmsNorm(from.data(), kN, kRows, kN, device_weight.data(), 1e-6f, from.data(), kN)
                  .ok());
  EXPECT_TRUE(SameBits(from.Values(), apart.Values()));
}

TEST_F(CudaRows, RopeGivesTheBitsOfScalarCode) {
  std::mt19937 random(4);
  Scalar scalar;
  for (int64_t head_dim : {2, 6, 64, 80, 128}) {
    for (bool norm : {false, true}) {
      constexpr int64_t kHeads = 3, kPositions = 9;
      const std::vector<int64_t> positions = {8, 0, 3, 3};
      const auto rows = static_cast<int64_t>(positions.size());
      const int64_t stride = kHeads * head_dim + 5;
      const std::vector<float> x = RandomFloats(rows * stride, random);
      const std::vector<float> cos_sin = RandomFloats(kPositions * head_dim, random);
      const std::vector<float> weight = RandomFloats(head_dim, random);
      std::vector<float> want = x;
      ASSERT_TRUE(scalar.ops()
                      .Rope(want.data(), stride, rows, kHeads, head_dim, cos_sin.data(), positions,
                            norm ? weight.data() : nullptr, 1e-6f)
                      .ok());
      for (uint64_t seed : Backend::Seeds()) {
        TestDevice device(seed);
        const auto device_x = device.Put(x);
        const auto table = device.Put(cos_sin);
        const auto device_weight = device.Put(weight);
        ASSERT_TRUE(device.ops()
                        .Rope(device_x.data(), stride, rows, kHeads, head_dim, table.data(),
                              positions, norm ? device_weight.data() : nullptr, 1e-6f)
                        .ok());
        EXPECT_TRUE(SameBits(device_x.Values(), want)) << head_dim << (norm ? " with a norm" : "");
      }
    }
  }
}

// More calls than the ring of uploads has slots, without waiting: each call's positions are its
// own.
TEST_F(CudaRows, PositionsOfManyCallsAreNotMixedUp) {
  constexpr int64_t kDim = 16, kPositions = 100;
  std::mt19937 random(5);
  const std::vector<float> cos_sin = RandomFloats(kPositions * kDim, random);
  const std::vector<float> x = RandomFloats(kDim, random);
  Scalar scalar;
  for (uint64_t seed : Backend::Seeds()) {
    TestDevice device(seed);
    const auto table = device.Put(cos_sin);
    std::vector<OnDevice<float>> out;
    for (int64_t i = 0; i < 40; ++i) out.push_back(device.Put(x));
    for (int64_t i = 0; i < 40; ++i) {
      const int64_t position = i * 37 % kPositions;
      ASSERT_TRUE(
          device.ops()
              .Rope(out[i].data(), kDim, 1, 1, kDim, table.data(), {&position, 1}, nullptr, 0)
              .ok());
    }
    for (int64_t i = 0; i < 40; ++i) {
      const int64_t position = i * 37 % kPositions;
      std::vector<float> want = x;
      ASSERT_TRUE(
          scalar.ops()
              .Rope(want.data(), kDim, 1, 1, kDim, cos_sin.data(), {&position, 1}, nullptr, 0)
              .ok());
      EXPECT_TRUE(SameBits(out[i].Values(), want)) << "call " << i << ", seed " << seed;
    }
  }
}

TEST_F(CudaRows, KeysAndValuesAreStoredAsScalarCodeDoes) {
  // Rows whose scales are 0, subnormal, at and beyond the end of f16, and not a number.
  const float kOdd[] = {0.0f, 1e-8f, 1e-6f, 65504.0f, 65519.0f, 65520.0f, 8.4e6f, 1e7f, kInfinity};
  std::mt19937 random(6);
  Scalar scalar;
  for (int64_t head_dim : {8, 10, 40, 128}) {
    for (KvType k_type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
      const KvShape shape = {k_type, k_type == KvType::kF32 ? KvType::kQ8_0 : KvType::kF32, 2,
                             head_dim};
      const std::vector<int32_t> table = {2, 0};
      std::vector<AttentionRow> rows;
      for (int64_t position : {0, 63, 64, 70, 1, 2, 3, 4, 5})
        rows.push_back({table.data(), position, 0});
      const auto num_rows = static_cast<int64_t>(rows.size());
      const int64_t stride = 2 * head_dim + 1;
      std::vector<float> k = RandomFloats(num_rows * stride, random);
      const std::vector<float> v = RandomFloats(num_rows * stride, random);
      for (int64_t row = 1; row < num_rows; ++row) {
        for (int64_t i = 0; i < 4; ++i) k[row * stride + i] = kOdd[row] / static_cast<float>(1 + i);
      }
      std::vector<std::byte> want(3 * KvPageBytes(shape), std::byte{0x77});
      AttentionArgs args = {.kv = shape,
                            .pages = want.data(),
                            .page_stride = KvPageBytes(shape),
                            .num_heads = 2,
                            .attention_scale = 1,
                            .rows = rows};
      const std::vector<std::byte> before = want;
      ASSERT_TRUE(scalar.ops().AppendKv(args, k.data(), v.data(), stride).ok());
      for (uint64_t seed : Backend::Seeds()) {
        TestDevice device(seed);
        const auto pages = device.Put(before);
        const auto device_k = device.Put(k);
        const auto device_v = device.Put(v);
        args.pages = pages.data();
        ASSERT_TRUE(device.ops().AppendKv(args, device_k.data(), device_v.data(), stride).ok());
        EXPECT_TRUE(pages.Values() == want)
            << "head_dim " << head_dim << ", type " << static_cast<int>(k_type);
      }
    }
  }
}

// Runs within a page and from one to another, whose rows have lengths that no vector divides.
TEST_F(CudaRows, CopiesKeysAndValuesAsTheHostDoes) {
  std::mt19937 random(5);
  for (const KvType k_type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
    const KvShape shape = {k_type, KvType::kQ8_0, 3, 40};
    std::vector<std::byte> want(4 * KvPageBytes(shape));
    for (std::byte& byte : want) byte = static_cast<std::byte>(random());
    const std::vector<std::byte> before = want;
    std::vector<KvCopy> copies = {{0, 0, 1, 3, 61}, {0, 63, 2, 0, 1}, {3, 5, 3, 20, 7}};
    for (int32_t i = 0; i < 300; ++i) copies.push_back({0, i % 60, 2, 1 + i % 60, 1});
    CopyKvRows(shape, want.data(), KvPageBytes(shape), copies);
    for (uint64_t seed : Backend::Seeds()) {
      TestDevice device(seed);
      const auto pages = device.Put(before);
      AttentionArgs args = {.kv = shape,
                            .pages = pages.data(),
                            .page_stride = KvPageBytes(shape),
                            .num_heads = 3,
                            .attention_scale = 1,
                            .rows = {}};
      ASSERT_TRUE(device.ops().CopyKv(args, copies).ok());
      EXPECT_TRUE(pages.Values() == want) << static_cast<int>(k_type);
    }
  }
}

TEST_F(CudaRows, NotesWhereTheFirstNumberThatIsNotFiniteWasSeen) {
  for (const int64_t n : {1, 127, 1000, 140000}) {
    for (uint64_t seed : Backend::Seeds()) {
      TestDevice device(seed);
      std::vector<float> x(n, -3.5f);
      const auto note = device.Put(std::vector<int32_t>{-1});
      const auto finite = device.Put(x);
      x[n - 1] = std::numeric_limits<float>::infinity();
      const auto infinite = device.Put(x);
      x[n - 1] = -std::numeric_limits<float>::quiet_NaN();
      const auto nan = device.Put(x);
      ASSERT_TRUE(device.ops().NoteNonFinite(finite.data(), n, 5, note.data()).ok());
      EXPECT_EQ(note.Values()[0], -1);
      ASSERT_TRUE(device.ops().NoteNonFinite(nan.data(), n, 6, note.data()).ok());
      ASSERT_TRUE(device.ops().NoteNonFinite(infinite.data(), n, 7, note.data()).ok());
      EXPECT_EQ(note.Values()[0], 6) << "the first one stays";
    }
  }
}

TEST_F(CudaRows, NothingToDoTouchesNothing) {
  TestDevice device(1);
  EXPECT_TRUE(device.ops().EndProduct({nullptr, 0, 16, Epilogue::kStore, nullptr, 16}).ok());
  EXPECT_FALSE(device.ops().EndProduct({nullptr, 0, 16, Epilogue::kSwiGlu, nullptr, 16}).ok());
  EXPECT_TRUE(device.ops().RmsNorm(nullptr, 0, 0, 16, nullptr, 1e-5f, nullptr, 0).ok());
  EXPECT_TRUE(device.ops().Rope(nullptr, 0, 0, 1, 16, nullptr, {}, nullptr, 0).ok());
  EXPECT_TRUE(device.ops()
                  .PrepareActivations(ActivationFormat::kInt8Block32, nullptr, 0, 0, 64, nullptr)
                  .ok());
}

}  // namespace
}  // namespace sluice::cuda
