// Encodings: decoders against ggml's own blocks, encoders against ggml's error, and their odd
// cases.
#include "kernels/encodings/encoding.h"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kMax = std::numeric_limits<float>::max();

std::vector<std::byte> Encode(Encoding encoding, const std::vector<float>& values) {
  std::vector<std::byte> blocks(RowBytes(encoding, values.size()));
  EncodeRow(encoding, values.data(), values.size(), blocks.data());
  return blocks;
}

std::vector<float> Decode(Encoding encoding, const std::vector<std::byte>& blocks,
                          int64_t num_values) {
  std::vector<float> values(num_values);
  DecodeRow(encoding, blocks.data(), num_values, values.data());
  return values;
}

std::vector<float> RoundTrip(Encoding encoding, const std::vector<float>& values) {
  return Decode(encoding, Encode(encoding, values), values.size());
}

double SquaredError(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return sum;
}

// About normal, of standard deviation 0.58; the same on every machine.
std::vector<float> RandomValues(int64_t n, uint32_t seed = 1) {
  std::vector<float> values(n);
  for (float& value : values) {
    int sum = 0;
    for (int i = 0; i < 4; ++i) {
      seed = seed * 1664525u + 1013904223u;
      sum += static_cast<int>(seed >> 16) - 32768;
    }
    value = static_cast<float>(sum) / 65536;
  }
  return values;
}

// The tensors of tests/data/gguf-blocks, a zstd-compressed safetensors file.
class GgufBlocks : public ::testing::Test {
 protected:
  static constexpr int kRows = 16, kColumns = 1024;
  static constexpr int kOddRows = 4;  // zeros, outliers, all positive, 1e-8

  void SetUp() override {
    std::ifstream in(SLUICE_SOURCE_DIR "/tests/data/gguf-blocks/gguf-blocks.safetensors.zst",
                     std::ios::binary);
    const std::string packed((std::istreambuf_iterator<char>(in)), {});
    file_.resize(1195936);
    ASSERT_EQ(ZSTD_decompress(file_.data(), file_.size(), packed.data(), packed.size()),
              file_.size());
    uint64_t header_bytes;
    std::memcpy(&header_bytes, file_.data(), 8);
    header_ = nlohmann::json::parse(file_.substr(8, header_bytes));
    data_ = 8 + header_bytes;
  }

  // The quantized encodings that GGUF has, too.
  std::vector<EncodingInfo> Infos() const {
    std::vector<EncodingInfo> infos;
    for (const EncodingInfo& info : Encodings()) {
      if (info.quantized() && header_.contains(absl::StrCat(info.name, ".bytes"))) {
        infos.push_back(info);
      }
    }
    EXPECT_EQ(infos.size(), 13);
    return infos;
  }

  template <typename T>
  std::vector<T> Tensor(const std::string& name) const {
    const auto& offsets = header_.at(name).at("data_offsets");
    const size_t begin = offsets[0], end = offsets[1];
    std::vector<T> tensor((end - begin) / sizeof(T));
    std::memcpy(tensor.data(), file_.data() + data_ + begin, end - begin);
    return tensor;
  }

 private:
  std::string file_;
  nlohmann::json header_;
  size_t data_ = 0;
};

TEST_F(GgufBlocks, DecodeToTheBitsThatGgmlGives) {
  for (const EncodingInfo& info : Infos()) {
    const std::string name(info.name);
    const auto bytes = Tensor<std::byte>(name + ".bytes");
    const auto want = Tensor<uint32_t>(name + ".dequantized");
    ASSERT_EQ(bytes.size(), kRows * RowBytes(info.encoding, kColumns)) << name;
    const std::vector<float> got = Decode(info.encoding, bytes, kRows * kColumns);
    for (int i = 0; i < want.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), want[i]) << name << " value " << i;
    }
  }
}

TEST_F(GgufBlocks, AreNotCloserToTheirSourceThanOurs) {
  const auto source = Tensor<float>("source");
  for (const EncodingInfo& info : Infos()) {
    const auto theirs = Tensor<float>(std::string(info.name) + ".dequantized");
    const std::vector<float> ours = RoundTrip(info.encoding, source);
    const int64_t begin = kOddRows * kColumns, n = source.size() - begin;
    EXPECT_LE(SquaredError(&ours[begin], &source[begin], n),
              SquaredError(&theirs[begin], &source[begin], n))
        << info.name;
    // The odd rows one by one: 2% is the most that any row of this size differs by chance.
    for (int r = 0; r < kOddRows; ++r) {
      const int64_t row = r * kColumns;
      EXPECT_LE(std::sqrt(SquaredError(&ours[row], &source[row], kColumns)),
                1.02 * std::sqrt(SquaredError(&theirs[row], &source[row], kColumns)))
          << info.name << " row " << r;
    }
  }
}

TEST(Encoding, TableIsInTheOrderOfTheEnumAndKnowsGgufsSizes) {
  struct Case {
    const char* name;
    int values, bytes;
  };
  static constexpr Case kCases[] = {
      {"f32", 1, 4},       {"f16", 1, 2},       {"bf16", 1, 2},       {"q8_0", 32, 34},
      {"q6_k", 256, 210},  {"q5_k", 256, 176},  {"q4_k", 256, 144},   {"q4_0", 32, 18},
      {"q3_k", 256, 110},  {"q2_k", 256, 84},   {"q4_1", 32, 20},     {"q5_0", 32, 22},
      {"q5_1", 32, 24},    {"iq4_nl", 32, 18},  {"iq4_xs", 256, 136}, {"mxfp4", 32, 17},
      {"int4g32", 32, 19}, {"int4g64", 64, 35}, {"int4g128", 128, 67}};
  static_assert(std::size(kCases) == kNumEncodings);
  ASSERT_EQ(Encodings().size(), std::size(kCases));
  for (int i = 0; i < std::size(kCases); ++i) {
    const EncodingInfo& info = Encodings()[i];
    EXPECT_EQ(static_cast<int>(info.encoding), i);
    EXPECT_EQ(info.name, kCases[i].name);
    EXPECT_EQ(info.block_values, kCases[i].values) << info.name;
    EXPECT_EQ(info.block_bytes, kCases[i].bytes) << info.name;
    EXPECT_EQ(&Info(info.encoding), &Info(*ParseEncoding(info.name)));
    EXPECT_EQ(Info(info.encoding).name, info.name);
    EXPECT_EQ(RowBytes(info.encoding, 3 * info.block_values), 3 * info.block_bytes);
    EXPECT_EQ(RowBytes(info.encoding, 0), 0);
  }
}

TEST(Encoding, ParsingAnUnknownNameListsTheKnownOnes) {
  for (const char* name : {"", "q4", "Q4_K", "q4_k "}) {
    const absl::Status status = ParseEncoding(name).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(status.message(), AllOf(HasSubstr(name), HasSubstr("bf16"), HasSubstr("q4_0")));
  }
}

// Groups of 32, 64 and 128 values, which are as GPTQ and AWQ give them to int4g: scales of both
// kinds, zero points from 0 to beyond the grid.
TEST(Int4G, HoldsGroupsWithScalesOfBothKindsExactly) {
  struct Case {
    uint16_t scale;
    int z;
    float decoded_scale;
    int zero_point;
  };
  constexpr Case kCases[] = {
      {0x3C00, 8, 1.0f, 8},               // f16
      {0x0001, 15, 0x1p-24f, 15},         // the smallest f16
      {0x3F80, 128 + 3, 1.0f, 3},         // bf16
      {0x0080, 128 + 16, 0x1p-126f, 16},  // one that f16 does not hold
      {0xBC00, 127, -1.0f, 127},
  };
  for (const Encoding encoding : {Encoding::kINT4G32, Encoding::kINT4G64, Encoding::kINT4G128}) {
    const EncodingInfo& info = Info(encoding);
    for (const Case& c : kCases) {
      std::vector<std::byte> block(info.block_bytes);
      std::memcpy(block.data(), &c.scale, 2);
      block[2] = static_cast<std::byte>(c.z);
      for (int v = 0; v < info.block_values; v += 32) {
        for (int i = 0; i < 16; ++i) {  // values 0 .. 15, then 15 .. 0
          block[3 + v / 2 + i] = static_cast<std::byte>(i | (15 - i) << 4);
        }
      }
      const std::vector<float> values = Decode(encoding, block, info.block_values);
      for (int v = 0; v < info.block_values; ++v) {
        const int quant = v % 32 < 16 ? v % 16 : 15 - v % 16;
        EXPECT_EQ(values[v], c.decoded_scale * static_cast<float>(quant - c.zero_point))
            << info.name << " z " << c.z << " value " << v;
      }
    }
  }
}

// The value of f16 bits by the formula of IEEE 754.
double F16Value(uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

TEST(F16, WidensEveryPatternExactly) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float got = F16ToF32(bits);
    if ((bits & 0x7FFF) > 0x7C00) {
      ASSERT_TRUE(std::isnan(got)) << bits;
    } else if ((bits & 0x7FFF) == 0x7C00) {
      ASSERT_EQ(got, bits & 0x8000 ? -kInfinity : kInfinity);
    } else {
      ASSERT_EQ(got, F16Value(bits)) << bits;
      ASSERT_EQ(std::signbit(got), (bits & 0x8000) != 0) << bits;
    }
  }
}

TEST(F16, RoundsToTheNearestAndTiesToEvenBetweenAllNeighbours) {
  for (uint32_t bits = 0; bits < 0x7C00; ++bits) {
    const float value = F16ToF32(bits);
    // Beyond the largest, where the next one would be 65536 if it were finite.
    const float next = bits == 0x7BFF ? 65536 : F16ToF32(bits + 1);
    const float middle = value + (next - value) / 2;
    const uint32_t even = bits + (bits & 1);
    for (const uint32_t sign : {0u, 0x8000u}) {
      const float s = sign ? -1 : 1;
      ASSERT_EQ(F32ToF16(s * value), bits | sign);
      ASSERT_EQ(F32ToF16(s * std::nextafter(middle, 0.0f)), bits | sign) << middle;
      ASSERT_EQ(F32ToF16(s * middle), even | sign) << middle;
      ASSERT_EQ(F32ToF16(s * std::nextafter(middle, kInfinity)), (bits + 1) | sign) << middle;
    }
  }
  for (const float huge : {65536.0f, 1e10f, kMax, kInfinity}) {
    EXPECT_EQ(F32ToF16(huge), 0x7C00) << huge;
    EXPECT_EQ(F32ToF16(-huge), 0xFC00) << huge;
  }
  for (const float tiny : {0x1p-26f, 1e-30f, std::numeric_limits<float>::denorm_min()}) {
    EXPECT_EQ(F32ToF16(tiny), 0) << tiny;
    EXPECT_EQ(F32ToF16(-tiny), 0x8000) << tiny;
  }
}

TEST(BF16, RoundsToTheNearestAndTiesToEvenBetweenAllNeighbours) {
  for (uint32_t bits = 0; bits < 0x7F80; ++bits) {
    for (const uint32_t sign : {0u, 0x8000u}) {
      const uint32_t exact = (bits | sign) << 16;
      ASSERT_EQ(std::bit_cast<uint32_t>(BF16ToF32(bits | sign)), exact);
      ASSERT_EQ(F32ToBF16(std::bit_cast<float>(exact)), bits | sign);
      ASSERT_EQ(F32ToBF16(std::bit_cast<float>(exact + 0x7FFF)), bits | sign);
      ASSERT_EQ(F32ToBF16(std::bit_cast<float>(exact + 0x8000)), (bits + (bits & 1)) | sign);
      ASSERT_EQ(F32ToBF16(std::bit_cast<float>(exact + 0x8001)), (bits + 1) | sign);
    }
  }
  EXPECT_EQ(F32ToBF16(kInfinity), 0x7F80);
  EXPECT_EQ(F32ToBF16(-kInfinity), 0xFF80);
}

TEST(HalfFloats, KeepNaNWhereverItsBitsAre) {
  for (const uint32_t bits :
       {0x7F800001u, 0x7F801FFFu, 0x7FC00000u, 0x7FFFFFFFu, 0xFF800001u, 0xFFFFFFFFu}) {
    const float nan = std::bit_cast<float>(bits);
    EXPECT_TRUE(std::isnan(F16ToF32(F32ToF16(nan)))) << bits;
    EXPECT_TRUE(std::isnan(BF16ToF32(F32ToBF16(nan)))) << bits;
    EXPECT_EQ(F32ToF16(nan) >> 15, bits >> 31) << bits;
    EXPECT_EQ(F32ToBF16(nan) >> 15, bits >> 31) << bits;
  }
}

TEST(HalfFloats, RowsAreConvertedLikeSingleValues) {
  std::vector<float> values = RandomValues(1027);
  const float odd[] = {0.0f, -0.0f, kInfinity, 65519.9f, 65520, 0x1p-25f, 6e-5f, 1e-40f, -kMax};
  std::copy(std::begin(odd), std::end(odd), values.begin() + 500);
  const auto f16 = Encode(Encoding::kF16, values), bf16 = Encode(Encoding::kBF16, values);
  const auto widened16 = Decode(Encoding::kF16, f16, values.size());
  const auto widenedb = Decode(Encoding::kBF16, bf16, values.size());
  for (int i = 0; i < values.size(); ++i) {
    EXPECT_EQ(widened16[i], F16ToF32(F32ToF16(values[i]))) << values[i];
    EXPECT_EQ(widenedb[i], BF16ToF32(F32ToBF16(values[i]))) << values[i];
  }
  EXPECT_EQ(RoundTrip(Encoding::kF32, values), values);
}

TEST(Encoding, FiniteValuesStayFiniteAndNoFartherThanZeroIs) {
  struct Case {
    const char* what;
    float (*value)(int i);
  };
  const Case kCases[] = {
      {"zeros", [](int) { return 0.0f; }},
      {"negative zeros", [](int) { return -0.0f; }},
      {"ones", [](int) { return 1.0f; }},
      {"minus ones", [](int) { return -1.0f; }},
      {"the largest float", [](int) { return kMax; }},
      {"the largest floats of both signs", [](int i) { return i % 2 ? kMax : -kMax; }},
      {"one huge value", [](int i) { return i == 77 ? -kMax : 1.0f; }},
      {"huge, then subnormal sub-blocks", [](int i) { return i % 64 < 32 ? 1e38f : 1e-42f * i; }},
      {"ordinary, then subnormal sub-blocks", [](int i) { return i % 64 < 32 ? 1.f : 1e-42f * i; }},
      {"subnormal floats", [](int i) { return 1e-42f * (i % 5); }},
      {"the smallest f16 scale", [](int i) { return 6e-8f * (i % 3 - 1); }},
      {"scales that are subnormal in f16", [](int i) { return 1e-4f * (i % 7 - 3); }},
      {"1e20, whose square overflows", [](int i) { return 1e20f * (i % 7 - 3); }},
      {"one value among zeros", [](int i) { return i == 255 ? 3.0f : 0.0f; }},
      {"a ramp", [](int i) { return 0.01f * i; }},
      {"far from zero", [](int i) { return -100 - 0.01f * i; }},
  };
  for (const EncodingInfo& info : Encodings()) {
    if (!info.quantized()) continue;
    for (const Case& c : kCases) {
      std::vector<float> values(512);
      for (int i = 0; i < values.size(); ++i) values[i] = c.value(i);
      const std::vector<float> decoded = RoundTrip(info.encoding, values);
      const std::vector<float> zeros(values.size());
      for (const float value : decoded) {
        ASSERT_TRUE(std::isfinite(value)) << info.name << ": " << c.what;
      }
      EXPECT_LE(SquaredError(&decoded[0], &values[0], values.size()),
                SquaredError(&zeros[0], &values[0], values.size()))
          << info.name << ": " << c.what;
    }
  }
}

TEST(Encoding, ValuesBeyondTheLargestScaleBecomeTheLargestOfTheirSign) {
  for (const EncodingInfo& info : Encodings()) {
    if (!info.quantized()) continue;
    for (const float huge : {1e9f, 1e20f, kMax}) {
      std::vector<float> values(512);
      for (int i = 0; i < values.size(); ++i) values[i] = i % 3 ? huge : -huge;
      const std::vector<float> decoded = RoundTrip(info.encoding, values);
      for (int i = 0; i < values.size(); ++i) {
        // q4_0 has the smallest range, 7 times the largest f16, of those with a scale of any sign;
        // with an offset of its own, a block's lowest value is an f16.
        const bool offset = info.encoding == Encoding::kQ4_1 || info.encoding == Encoding::kQ5_1;
        ASSERT_GE(decoded[i] * (i % 3 ? 1 : -1), (offset ? 1 : 7) * 65504.0f)
            << info.name << ' ' << huge;
      }
    }
  }
}

TEST(Encoding, ConstantBlocksComeBackAlmostExactly) {
  for (const EncodingInfo& info : Encodings()) {
    for (const float value : {1.0f, -1.0f, 0.37f, 300.0f, -0.002f}) {
      // Half a unit of an f16 scale, 2^-11, twice where there are d and dmin.
      float tolerance = 0x1p-8f;
      // Its d is the value over 32 * 127, 8 units of the smallest f16 here.
      if (info.encoding == Encoding::kIQ4_XS && value == -0.002f) tolerance = 0x1p-6f;
      // There is nothing between 1 and 1.5 times a power of two.
      if (info.encoding == Encoding::kMXFP4) tolerance = 0.2f;
      EXPECT_THAT(RoundTrip(info.encoding, std::vector<float>(512, value)),
                  Each(testing::FloatNear(value, tolerance * std::abs(value))))
          << info.name;
    }
  }
}

TEST(Encoding, OneValueThatIsNotFiniteMakesItsWholeBlockSoAndNoOther) {
  for (const EncodingInfo& info : Encodings()) {
    const std::vector<float> values = RandomValues(3 * 256);
    const std::vector<float> clean = RoundTrip(info.encoding, values);
    for (const float odd : {kNaN, -kNaN, kInfinity, -kInfinity}) {
      for (const int at : {0, 31, 256, 300, 511, 767}) {
        std::vector<float> dirty = values;
        dirty[at] = odd;
        const std::vector<float> decoded = RoundTrip(info.encoding, dirty);
        for (int i = 0; i < values.size(); ++i) {
          if (i / info.block_values == at / info.block_values) {
            ASSERT_FALSE(std::isfinite(decoded[i])) << info.name << ' ' << odd << " at " << at;
          } else {
            ASSERT_EQ(decoded[i], clean[i]) << info.name << ' ' << odd << " at " << at;
          }
        }
      }
    }
  }
}

TEST(Encoding, ABlockIsEncodedTheSameWhateverLiesAroundIt) {
  for (const EncodingInfo& info : Encodings()) {
    const int num_blocks = 11;
    const std::vector<float> values = RandomValues(num_blocks * info.block_values);
    const std::vector<std::byte> all = Encode(info.encoding, values);
    for (int b = 0; b < num_blocks; ++b) {
      // At an odd address: blocks have no alignment.
      std::vector<std::byte> one(info.block_bytes + 1);
      EncodeRow(info.encoding, &values[b * info.block_values], info.block_values, &one[1]);
      ASSERT_EQ(std::memcmp(&one[1], &all[b * info.block_bytes], info.block_bytes), 0)
          << info.name << " block " << b;
      std::vector<float> decoded(info.block_values);
      DecodeRow(info.encoding, &one[1], info.block_values, decoded.data());
      ASSERT_EQ(decoded, Decode(info.encoding, {one.begin() + 1, one.end()}, info.block_values));
    }
    EncodeRow(info.encoding, nullptr, 0, nullptr);
  }
}

// FNV-1a, to pin bytes.
uint64_t Hash(const std::vector<std::byte>& bytes) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const std::byte b : bytes) hash = (hash ^ static_cast<uint64_t>(b)) * 0x100000001B3;
  return hash;
}

// A store made on any machine, by any build, has the same bytes. A better encoder may change these
// numbers; a compiler or an instruction set may not.
TEST(Encoding, EncodersGiveTheSameBytesInEveryBuild) {
  struct Case {
    Encoding encoding;
    uint64_t hash;
  };
  static constexpr Case kCases[] = {
      {Encoding::kQ8_0, 0x7E45D228A4FA944B},    {Encoding::kQ6_K, 0x1460AE6E16D9902F},
      {Encoding::kQ5_K, 0x7BD609B7D312FA4A},    {Encoding::kQ4_K, 0x013AA7006DBEF0E5},
      {Encoding::kQ4_0, 0xF3231D1DF8510EFC},    {Encoding::kQ3_K, 0x7B9CE41C3862D701},
      {Encoding::kQ2_K, 0xA95C81124F5F61D5},    {Encoding::kQ4_1, 0xD18D20A75CAA2945},
      {Encoding::kQ5_0, 0x814A156EE32E8AD2},    {Encoding::kQ5_1, 0xB3AA94BA106B4C98},
      {Encoding::kIQ4_NL, 0xBD2E9B331F6A9B45},  {Encoding::kIQ4_XS, 0x3D60C8514994B52F},
      {Encoding::kMXFP4, 0x8B8293F329FE894A},   {Encoding::kINT4G32, 0xB7E54855E96D4F12},
      {Encoding::kINT4G64, 0x8465C53972B082A4}, {Encoding::kINT4G128, 0xF47B4051173AFBFE},
  };
#define SLUICE_FLOAT_ENCODING(...)
#define SLUICE_QUANTIZED_ENCODING(...) +1
  static_assert(std::size(kCases) == 0
#include "kernels/encodings/encodings.def"
  );
  const std::vector<float> values = RandomValues(32768, 7);
  for (const Case& c : kCases) {
    EXPECT_EQ(Hash(Encode(c.encoding, values)), c.hash) << Info(c.encoding).name;
  }
}

}  // namespace
}  // namespace sluice
