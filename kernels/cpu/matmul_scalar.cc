// Matrix products in scalar code: the definition of each encoding's product (docs/arithmetic.md).
//
// One loop for all quantized encodings: what differs is in their headers of planes
// (kernels/encodings/planes.h). Plain and slow: every value is looked up where it lies.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>

#include "kernels/cpu/kernels_scalar.h"
#include "kernels/cpu/scalar_math.h"
#include "kernels/encodings/activation_layout.h"
#include "kernels/encodings/all_planes.h"
#include "kernels/encodings/encoding.h"
#include "kernels/ops.h"

namespace sluice {
namespace scalar {
namespace {

constexpr int kSegment = 1024;

template <typename T>
T Load(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

// Byte i of row r's word in line `line` of a plane.
uint8_t Byte(const uint8_t* plane, int line, int r, int i) {
  return plane[line * kLineBytes + 4 * r + i];
}

// Row r's half `index` of a plane of f16.
float Half(const uint8_t* plane, int index, int r) {
  return F16ToF32(Load<uint16_t>(plane + index * kHalfLineBytes + 2 * r));
}

// Pair of bits of value v (0..255) of a plane with two bits a value.
int PairOfBits(const uint8_t* plane, int r, int v) {
  return Byte(plane, v / 16, r, v % 4) >> v % 16 / 4 * 2 & 3;
}

// Value v's quant in a block.
template <class P>
int Quant(const BlockPlanes<const uint8_t>& block, int r, int v) {
  const int quad = v % 32 / 4;
  int quant;
  if constexpr (P::kQuantBits == 8) {
    quant = Byte(block.quants, v / 4, r, v % 4);
  } else if constexpr (P::kQuantBits == 4) {
    const int pair = Byte(block.quants, v / 32 * 4 + quad % 4, r, v % 4);
    quant = quad < 4 ? pair & 15 : pair >> 4;
  } else {
    static_assert(P::kQuantBits == 2);
    quant = PairOfBits(block.quants, r, v);
  }
  if constexpr (P::kExtraBits == 1) {
    quant |= (Byte(block.extra, v / 32, r, v % 4) >> quad & 1) << P::kQuantBits;
  } else if constexpr (P::kExtraBits == 2) {
    quant |= PairOfBits(block.extra, r, v) << P::kQuantBits;
  }
  return quant;
}

// What value v is but for its scales.
template <class P>
int Weight(const BlockPlanes<const uint8_t>& block, int r, int v) {
  const int quant = Quant<P>(block, r, v);
  if constexpr (P::kHasBook) {
    return P::kBook[quant];
  } else if constexpr (P::kZeroPoints) {
    return quant - ZeroPoint(block.head[kHalfLineBytes + r]);
  } else {
    return quant - P::kOffset;
  }
}

// The sum of weights times activations of values [begin, end), and the sum of the activations.
struct Sum {
  int32_t isum = 0;
  int32_t asum = 0;
};
template <class P>
Sum SumOf(const BlockPlanes<const uint8_t>& block, int r, int begin, int end,
          const int8_t* activations) {
  Sum sum;
  for (int v = begin; v < end; ++v) {
    sum.isum += Weight<P>(block, r, v) * activations[v];
    sum.asum += activations[v];
  }
  return sum;
}

// A scale that is one for the whole block: f16, 2^(e - 128) with e = 255 being NaN, or f16 or bf16
// as the head's third byte says.
template <class P>
float BlockScale(const BlockPlanes<const uint8_t>& block, int r) {
  if constexpr (P::kHeadBytes == 1) {
    const int e = block.head[r];
    return e == 255 ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0f, e - 128);
  } else if constexpr (P::kZeroPoints) {
    const uint16_t bits = Load<uint16_t>(block.head + 2 * r);
    return ScaleIsBF16(block.head[kHalfLineBytes + r]) ? BF16ToF32(bits) : F16ToF32(bits);
  } else {
    return Half(block.head, 0, r);
  }
}

// Continues the chain by a block; its activations begin at block `first` of 32 of those at `a`.
template <class P>
float AddBlock(const BlockPlanes<const uint8_t>& block, int r, const ActivationGroup32* a,
               int first, float acc) {
  for (int run = 0; run < P::kBlockRuns; ++run) {
    const ActivationGroup32& group = a[(first + run) / 8];
    const int at = (first + run) % 8;
    // SumOf counts activations from the block's first value on.
    const int8_t* const quants = group.quants + 32 * at - 32 * run;
    const Sum sum = SumOf<P>(block, r, 32 * run, 32 * (run + 1), quants);
    acc = std::fma(static_cast<float>(sum.isum), BlockScale<P>(block, r) * group.scales[at], acc);
    if constexpr (P::kMinima) {
      acc = std::fma(static_cast<float>(sum.asum), Half(block.head, 1, r) * group.scales[at], acc);
    }
  }
  return acc;
}

template <class P>
typename P::Factors FactorsOf(const BlockPlanes<const uint8_t>& block, int r) {
  uint32_t scales[P::kScaleLines];
  for (int line = 0; line < P::kScaleLines; ++line) {
    scales[line] = Load<uint32_t>(block.scales + line * kLineBytes + 4 * r);
  }
  uint32_t second = 0;
  if constexpr (P::kHeadBytes == 4) second = Load<uint16_t>(block.head + kHalfLineBytes + 2 * r);
  return P::FactorsOf(scales, second);
}

// Continues the chain by a super-block with one sum.
template <class P>
float AddSuperBlock(const BlockPlanes<const uint8_t>& block, int r, const ActivationGroup256& a,
                    float acc) {
  constexpr int kEach = P::kSubBlockValues;
  const typename P::Factors factors = FactorsOf<P>(block, r);
  int32_t scaled = 0;
  int32_t minima = 0;
  for (int s = 0; s < P::kBlockValues / kEach; ++s) {
    const Sum sum = SumOf<P>(block, r, kEach * s, kEach * (s + 1), a.quants);
    scaled += P::Factor(factors, s) * sum.isum;
    if constexpr (P::kMinima) minima += P::Minimum(factors, s) * sum.asum;
  }
  acc = std::fma(static_cast<float>(scaled), Half(block.head, 0, r) * a.scale, acc);
  if constexpr (P::kMinima) {
    acc = std::fma(-static_cast<float>(minima), Half(block.head, 1, r) * a.scale, acc);
  }
  return acc;
}

// Continues the chain by a super-block with a sum for each 32 values.
template <class P>
float AddScaledBlocks(const BlockPlanes<const uint8_t>& block, int r, const ActivationGroup32& a,
                      float acc) {
  constexpr int kEach = P::kSubBlockValues;
  const typename P::Factors factors = FactorsOf<P>(block, r);
  float total = 0.0f;
  for (int run = 0; run < P::kBlockValues / 32; ++run) {
    int32_t scaled = 0;
    for (int s = run * 32 / kEach; s < (run + 1) * 32 / kEach; ++s) {
      scaled +=
          P::Factor(factors, s) * SumOf<P>(block, r, kEach * s, kEach * (s + 1), a.quants).isum;
    }
    total = std::fma(static_cast<float>(scaled), a.scales[run], total);
  }
  return std::fma(total, Half(block.head, 0, r), acc);
}

// Continues the chain by a group of `blocks` blocks, whose activations begin at `activations`.
template <class P>
float AddGroup(const uint8_t* group, int blocks, int r, const uint8_t* activations, float acc) {
  const auto* a32 = reinterpret_cast<const ActivationGroup32*>(activations);
  const auto* a256 = reinterpret_cast<const ActivationGroup256*>(activations);
  for (int b = 0; b < blocks; ++b) {
    const BlockPlanes<const uint8_t> block = P::At(group, blocks, b);
    if constexpr (P::kSums == Sums::kBlocks) {
      acc = AddBlock<P>(block, r, a32, P::kBlockRuns * b, acc);
    } else if constexpr (P::kSums == Sums::kSuperBlock) {
      acc = AddSuperBlock<P>(block, r, a256[b], acc);
    } else {
      acc = AddScaledBlocks<P>(block, r, a32[b], acc);
    }
  }
  return acc;
}

// Row r of a tile times one activation row.
template <class P>
float QuantizedDot(const uint8_t* tile, int r, int64_t k, const uint8_t* activations) {
  float total = 0.0f;
  float acc = 0.0f;
  for (int64_t begin = 0; begin < k; begin += P::kGroupValues) {
    const int n = static_cast<int>(std::min<int64_t>(P::kGroupValues, k - begin));
    const int blocks = n / P::kBlockValues;
    acc = AddGroup<P>(tile, blocks, r, activations + begin / 256 * sizeof(ActivationGroup256), acc);
    tile += P::GroupBytes(blocks);
    if ((begin + n) % kSegment == 0 || begin + n == k) {
      total = total + acc;
      acc = 0.0f;
    }
  }
  return total;
}

float LoadF32(const uint8_t* tile, int r, int64_t i) {
  return Load<float>(tile + i * kLineBytes + 4 * r);
}
float LoadF16(const uint8_t* tile, int r, int64_t i) {
  return F16ToF32(Load<uint16_t>(tile + i / 2 * kLineBytes + 4 * r + 2 * (i % 2)));
}
float LoadBF16(const uint8_t* tile, int r, int64_t i) {
  return BF16ToF32(Load<uint16_t>(tile + i / 2 * kLineBytes + 4 * r + 2 * (i % 2)));
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
#define SLUICE_QUANTIZED_ENCODING(name, ...) scalar::MatMul<scalar::QuantizedDot<name##Planes>>,
#include "kernels/encodings/encodings.def"
}};

}  // namespace sluice
