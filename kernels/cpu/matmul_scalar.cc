// Matrix products in scalar code: the definition of each encoding's product (docs/arithmetic.md).
//
// A decoder adds one group of a tile's row times the same values of an activation row to a chain;
// planes are those of kernels/encodings/tile.h. Plain and slow: every value is looked up where it
// lies.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>

#include "kernels/cpu/kernels_scalar.h"
#include "kernels/cpu/scalar_math.h"
#include "kernels/encodings/activation_layout.h"
#include "kernels/encodings/codebooks.h"
#include "kernels/encodings/encoding.h"
#include "kernels/ops.h"

namespace sluice {
namespace scalar {
namespace {

constexpr int kSegment = 1024;
constexpr int kLine = 64;

int64_t PadTo64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

template <typename T>
T Load(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

// Byte i of row r's word in line `line` of a plane.
uint8_t Byte(const uint8_t* plane, int line, int r, int i) {
  return plane[line * kLine + 4 * r + i];
}

// Row r's half `index` of a plane of f16.
float Half(const uint8_t* plane, int index, int r) {
  return F16ToF32(Load<uint16_t>(plane + index * 32 + 2 * r));
}

// Value v (0..31) of the 4-bit sub-block of four lines at `lines`.
int Nibble(const uint8_t* lines, int r, int v) {
  const int quad = v / 4;
  const uint8_t byte = Byte(lines, quad % 4, r, v % 4);
  return quad < 4 ? byte & 15 : byte >> 4;
}

// Each decoder: kGroup values a group; Bytes(n) of a group of n values; Add() continues the chain.

struct Q8_0 {
  static constexpr int kGroup = 256;
  static int64_t Bytes(int n) { return PadTo64(n / 32 * 32) + n / 32 * 8 * kLine; }
  static float Add(const uint8_t* group, int n, int r, const uint8_t* activations, float acc) {
    const auto& a = *reinterpret_cast<const ActivationGroup32*>(activations);
    const uint8_t* quants = group + PadTo64(n / 32 * 32);
    for (int block = 0; block < n / 32; ++block) {
      int32_t isum = 0;
      for (int v = 0; v < 32; ++v) {
        const int w = Byte(quants, 8 * block + v / 4, r, v % 4) - 128;
        isum += w * a.quants[32 * block + v];
      }
      acc = std::fma(static_cast<float>(isum), Half(group, block, r) * a.scales[block], acc);
    }
    return acc;
  }
};

// Blocks of 32 whose quants lie as those of q4_0 and q5_0. Each format: kHeadBytes of scales a
// block and row, kFifthBits, Weight(quant), Scale() and, where kMin, Min() of a block.
template <class Format>
struct Blocks32 {
  static constexpr int kGroup = 256;
  static int64_t Fifth(int n) { return PadTo64(n / 32 * Format::kHeadBytes * 16); }
  static int64_t Quants(int n) { return Fifth(n) + Format::kFifthBits * n / 32 * kLine; }
  static int64_t Bytes(int n) { return Quants(n) + n / 32 * 4 * kLine; }
  static float Add(const uint8_t* group, int n, int r, const uint8_t* activations, float acc) {
    const auto& a = *reinterpret_cast<const ActivationGroup32*>(activations);
    for (int block = 0; block < n / 32; ++block) {
      int32_t isum = 0;
      int32_t asum = 0;
      for (int v = 0; v < 32; ++v) {
        int quant = Nibble(group + Quants(n) + 4 * block * kLine, r, v);
        if (Format::kFifthBits) {
          quant |= ((Byte(group + Fifth(n), block, r, v % 4) >> (v / 4)) & 1) << 4;
        }
        isum += Format::Weight(quant) * a.quants[32 * block + v];
        asum += a.quants[32 * block + v];
      }
      const float scale = a.scales[block];
      acc = std::fma(static_cast<float>(isum), Format::Scale(group, block, r) * scale, acc);
      if constexpr (Format::kMin) {
        acc = std::fma(static_cast<float>(asum), Format::Min(group, block, r) * scale, acc);
      }
    }
    return acc;
  }
};

// value = d * (quant - offset)
template <int kFifthBit>
struct Q45_0Format {
  static constexpr int kHeadBytes = 2;
  static constexpr int kFifthBits = kFifthBit;
  static constexpr bool kMin = false;
  static int Weight(int quant) { return quant - (8 << kFifthBit); }
  static float Scale(const uint8_t* group, int block, int r) { return Half(group, block, r); }
};

using Q4_0 = Blocks32<Q45_0Format<0>>;
using Q5_0 = Blocks32<Q45_0Format<1>>;

// value = d * quant + m
template <int kFifthBit>
struct Q45_1Format {
  static constexpr int kHeadBytes = 4;
  static constexpr int kFifthBits = kFifthBit;
  static constexpr bool kMin = true;
  static int Weight(int quant) { return quant; }
  static float Scale(const uint8_t* group, int block, int r) { return Half(group, 2 * block, r); }
  static float Min(const uint8_t* group, int block, int r) { return Half(group, 2 * block + 1, r); }
};

using Q4_1 = Blocks32<Q45_1Format<0>>;
using Q5_1 = Blocks32<Q45_1Format<1>>;

struct IQ4_NLFormat {
  static constexpr int kHeadBytes = 2;
  static constexpr int kFifthBits = 0;
  static constexpr bool kMin = false;
  static int Weight(int quant) { return kIq4Values[quant]; }
  static float Scale(const uint8_t* group, int block, int r) { return Half(group, block, r); }
};

using IQ4_NL = Blocks32<IQ4_NLFormat>;

struct MXFP4Format {
  static constexpr int kHeadBytes = 1;
  static constexpr int kFifthBits = 0;
  static constexpr bool kMin = false;
  static int Weight(int quant) { return kMxfp4Values[quant]; }
  static float Scale(const uint8_t* group, int block, int r) {
    const int e = group[16 * block + r];
    return e == 255 ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0f, e - 128);
  }
};

using MXFP4 = Blocks32<MXFP4Format>;

// q4_k (kFifthBit = 0) and q5_k: value = d * scale * quant - dmin * min, a scale and a min per 32.
template <int kFifthBit>
struct Q45_K {
  static constexpr int kGroup = 256;
  static constexpr int kQuants = (4 + 8 * kFifthBit) * kLine;
  static int64_t Bytes(int) { return kQuants + 32 * kLine; }
  static float Add(const uint8_t* group, int, int r, const uint8_t* activations, float acc) {
    const auto& a = *reinterpret_cast<const ActivationGroup256*>(activations);
    int32_t scaled = 0;
    int32_t minima = 0;
    for (int s = 0; s < 8; ++s) {
      // A scale: 4 low bits and 2 high bits.
      const int i = s % 4;
      const int shift = s / 4;  // sub-blocks 4..7 use the upper part of each byte
      const int high = Byte(group, 3, r, i);
      const int scale = ((Byte(group, 1, r, i) >> 4 * shift) & 15) | ((high >> 2 * shift) & 3) << 4;
      const int min = ((Byte(group, 2, r, i) >> 4 * shift) & 15) | ((high >> (4 + 2 * shift)) & 3)
                                                                       << 4;
      int32_t isum = 0;
      int32_t asum = 0;
      for (int v = 0; v < 32; ++v) {
        int w = Nibble(group + kQuants + 4 * s * kLine, r, v);
        if (kFifthBit) w |= ((Byte(group, 4 + s, r, v % 4) >> (v / 4)) & 1) << 4;
        isum += w * a.quants[32 * s + v];
        asum += a.quants[32 * s + v];
      }
      scaled += scale * isum;
      minima += min * asum;
    }
    acc = std::fma(static_cast<float>(scaled), Half(group, 0, r) * a.scale, acc);
    return std::fma(-static_cast<float>(minima), Half(group, 1, r) * a.scale, acc);
  }
};

using Q4_K = Q45_K<0>;
using Q5_K = Q45_K<1>;

// value = d * scale * (quant - 32), a scale per 16.
struct Q6_K {
  static constexpr int kGroup = 512;
  static int64_t Bytes(int n) { return PadTo64(n / 256 * 32) + n / 256 * (4 + 16 + 32) * kLine; }
  static float Add(const uint8_t* group, int n, int r, const uint8_t* activations, float acc) {
    const int blocks = n / 256;
    const uint8_t* scales = group + PadTo64(blocks * 32);
    const uint8_t* high = scales + blocks * 4 * kLine;
    const uint8_t* low = high + blocks * 16 * kLine;
    for (int b = 0; b < blocks; ++b) {
      const auto& a = reinterpret_cast<const ActivationGroup32*>(activations)[b];
      float sum = 0.0f;
      for (int block = 0; block < 8; ++block) {
        int32_t scaled = 0;
        for (int s = 2 * block; s < 2 * block + 2; ++s) {  // sub-blocks of 16
          int32_t isum = 0;
          for (int v = 16 * s; v < 16 * s + 16; ++v) {
            const int lines = 8 * b + block;
            const int quad = v % 32 / 4;
            int w = Nibble(low + 4 * lines * kLine, r, v % 32);
            w |= ((Byte(high, 2 * lines + quad / 4, r, v % 4) >> 2 * (quad % 4)) & 3) << 4;
            isum += (w - 32) * a.quants[v];
          }
          scaled += static_cast<int8_t>(Byte(scales, 4 * b + s / 4, r, s % 4)) * isum;
        }
        sum = std::fma(static_cast<float>(scaled), a.scales[block], sum);
      }
      acc = std::fma(sum, Half(group, b, r), acc);
    }
    return acc;
  }
};

// Pair of bits of value v (0..255) of the super-block whose 16 lines are at `lines`.
int PairOfBits(const uint8_t* lines, int r, int v) {
  return (Byte(lines, v / 16, r, v % 4) >> (v % 16 / 4 * 2)) & 3;
}

// value = d * scale * quant - dmin * min, a scale and a min per 16.
struct Q2_K {
  static constexpr int kGroup = 256;
  static int64_t Bytes(int) { return (1 + 4 + 16) * kLine; }
  static float Add(const uint8_t* group, int, int r, const uint8_t* activations, float acc) {
    const auto& a = *reinterpret_cast<const ActivationGroup256*>(activations);
    int32_t scaled = 0;
    int32_t minima = 0;
    for (int s = 0; s < 16; ++s) {
      const int scales = Byte(group, 1 + s / 4, r, s % 4);
      int32_t isum = 0;
      int32_t asum = 0;
      for (int v = 16 * s; v < 16 * s + 16; ++v) {
        isum += PairOfBits(group + 5 * kLine, r, v) * a.quants[v];
        asum += a.quants[v];
      }
      scaled += (scales & 15) * isum;
      minima += (scales >> 4) * asum;
    }
    acc = std::fma(static_cast<float>(scaled), Half(group, 0, r) * a.scale, acc);
    return std::fma(-static_cast<float>(minima), Half(group, 1, r) * a.scale, acc);
  }
};

// value = d * (scale - 32) * (quant - 4), a scale per 16.
struct Q3_K {
  static constexpr int kGroup = 512;
  static int64_t Bytes(int n) { return PadTo64(n / 256 * 32) + n / 256 * (3 + 8 + 16) * kLine; }
  static float Add(const uint8_t* group, int n, int r, const uint8_t* activations, float acc) {
    const int blocks = n / 256;
    const uint8_t* scales = group + PadTo64(blocks * 32);
    const uint8_t* third = scales + blocks * 3 * kLine;
    const uint8_t* low = third + blocks * 8 * kLine;
    for (int b = 0; b < blocks; ++b) {
      const auto& a = reinterpret_cast<const ActivationGroup256*>(activations)[b];
      int32_t scaled = 0;
      for (int s = 0; s < 16; ++s) {
        int scale = (Byte(scales, 3 * b + s / 4 % 2, r, s % 4) >> 4 * (s / 8)) & 15;
        scale |= ((Byte(scales, 3 * b + 2, r, s % 4) >> 2 * (s / 4)) & 3) << 4;
        int32_t isum = 0;
        for (int v = 16 * s; v < 16 * s + 16; ++v) {
          int w = PairOfBits(low + 16 * b * kLine, r, v);
          w |= ((Byte(third, 8 * b + v / 32, r, v % 4) >> (v % 32 / 4)) & 1) << 2;
          isum += (w - 4) * a.quants[v];
        }
        scaled += (scale - 32) * isum;
      }
      acc = std::fma(static_cast<float>(scaled), Half(group, b, r) * a.scale, acc);
    }
    return acc;
  }
};

// value = d * (scale - 32) * kIq4Values[quant], a scale per 32.
struct IQ4_XS {
  static constexpr int kGroup = 256;
  static int64_t Bytes(int) { return (2 + 32) * kLine; }
  static float Add(const uint8_t* group, int, int r, const uint8_t* activations, float acc) {
    const auto& a = *reinterpret_cast<const ActivationGroup256*>(activations);
    const uint32_t high = Load<uint16_t>(group + 32 + 2 * r);
    const uint32_t low = Load<uint32_t>(group + kLine + 4 * r);
    int32_t scaled = 0;
    for (int s = 0; s < 8; ++s) {
      const int scale = static_cast<int>(((low >> 4 * s) & 15) | ((high >> 2 * s) & 3) << 4) - 32;
      int32_t isum = 0;
      for (int v = 0; v < 32; ++v) {
        isum += kIq4Values[Nibble(group + (2 + 4 * s) * kLine, r, v)] * a.quants[32 * s + v];
      }
      scaled += scale * isum;
    }
    return std::fma(static_cast<float>(scaled), Half(group, 0, r) * a.scale, acc);
  }
};

// Row r of a tile times one activation row.
template <class Decoder>
float QuantizedDot(const uint8_t* tile, int r, int64_t k, const uint8_t* activations) {
  float total = 0.0f;
  float acc = 0.0f;
  for (int64_t begin = 0; begin < k; begin += Decoder::kGroup) {
    const int n = static_cast<int>(std::min<int64_t>(Decoder::kGroup, k - begin));
    acc = Decoder::Add(tile, n, r, activations + begin / 256 * sizeof(ActivationGroup256), acc);
    tile += Decoder::Bytes(n);
    if ((begin + n) % kSegment == 0 || begin + n == k) {
      total = total + acc;
      acc = 0.0f;
    }
  }
  return total;
}

float LoadF32(const uint8_t* tile, int r, int64_t i) {
  return Load<float>(tile + i * kLine + 4 * r);
}
float LoadF16(const uint8_t* tile, int r, int64_t i) {
  return F16ToF32(Load<uint16_t>(tile + i / 2 * kLine + 4 * r + 2 * (i % 2)));
}
float LoadBF16(const uint8_t* tile, int r, int64_t i) {
  return BF16ToF32(Load<uint16_t>(tile + i / 2 * kLine + 4 * r + 2 * (i % 2)));
}

template <float (*kWeight)(const uint8_t*, int, int64_t)>
float FloatDot(const uint8_t* tile, int r, int64_t k, const uint8_t* activations) {
  const auto* x = reinterpret_cast<const float*>(activations);
  const int64_t padded = (k + 3) / 4 * 4;
  float total = 0.0f;
  for (int64_t begin = 0; begin < padded; begin += kSegment) {
    float c[4] = {};
    for (int64_t i = begin; i < std::min<int64_t>(padded, begin + kSegment); ++i) {
      c[i % 4] = std::fma(kWeight(tile, r, i), x[i], c[i % 4]);
    }
    total = total + ((c[0] + c[1]) + (c[2] + c[3]));
  }
  return total;
}

using Dot = float (*)(const uint8_t* tile, int r, int64_t k, const uint8_t* activations);

template <Dot kDot>
void MatMul(const MatMulJob& job) {
  const auto epilogue = static_cast<Epilogue>(job.epilogue);
  const int tiles_each = epilogue == Epilogue::kSwiGlu ? 2 : 1;
  for (int64_t tile = job.tile_begin; tile < job.tile_end; ++tile) {
    const uint8_t* data = job.tiles + tile * tiles_each * job.tile_bytes;
    for (int r = 0; r < 16; ++r) {
      const int64_t row = job.first_row + 16 * tile + r;
      if (row >= job.matrix_rows) break;
      for (int64_t token = 0; token < job.num_tokens; ++token) {
        const uint8_t* activations = job.activations + token * job.activation_stride;
        float& out = job.out[token * job.out_stride + row];
        float y = kDot(data, r, job.k, activations);
        if (job.addend != nullptr) y = y + job.addend[row];
        switch (epilogue) {
          case Epilogue::kStore:
            out = y;
            break;
          case Epilogue::kAdd:
            out = out + y;
            break;
          case Epilogue::kSwiGlu: {
            float up = kDot(data + job.tile_bytes, r, job.k, activations);
            if (job.up_addend != nullptr) up = up + job.up_addend[row];
            out = Silu(y) * up;
            break;
          }
          case Epilogue::kMultiply:
            out = Silu(out) * y;
            break;
        }
      }
    }
  }
}

}  // namespace
}  // namespace scalar

const MatMuls kScalarMatMuls = {{
#define SLUICE_FLOAT_ENCODING(name, ...) scalar::MatMul<scalar::FloatDot<scalar::Load##name>>,
#define SLUICE_QUANTIZED_ENCODING(name, ...) scalar::MatMul<scalar::QuantizedDot<scalar::name>>,
#include "kernels/encodings/encodings.def"
}};

}  // namespace sluice
