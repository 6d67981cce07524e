// mxfp4: blocks of 32 values, 17 bytes: an exponent e, then 16 bytes of nibbles (block32_layout.h),
// each a float of 4 bits (codebooks.h).
//
//   value = 2^(e - 128) * kMxfp4Values[q]; NaN for e = 255
//
// From "OCP Microscaling Formats (MX) Specification", version 1.0. As in ggml, the floats are
// doubled to make integers of them, and the scale is halved. ggml never writes e = 255 and does not
// know its meaning.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/encodings/block32_layout.h"
#include "kernels/encodings/block_scale.h"
#include "kernels/encodings/codebooks.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"

namespace sluice {
namespace {

using Layout = Block32Layout<1, false>;

constexpr int kNaNExponent = 255;
constexpr int kLargestExponent = 252;  // 12 * 2^(253 - 128) is beyond the largest f32

float HalvedScale(int e) {
  if (e == kNaNExponent) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0f, e - 128);
}

void Decode(const std::byte* blocks, int64_t num_values, float* values) {
  for (int64_t b = 0; b < num_values / Layout::kValues; ++b) {
    const std::byte* block = blocks + b * Layout::kBytes;
    const float d = HalvedScale(static_cast<int>(block[0]));
    for (int v = 0; v < Layout::kValues; ++v) {
      values[b * Layout::kValues + v] = d * kMxfp4Values[Layout::Quant(block, v)];
    }
  }
}

// Quantizes to the nearest values for exponent e and returns the squared error in units of the
// scale.
double Quantize(const float* x, int e, uint8_t* quants) {
  const double inverse = std::ldexp(1.0, 128 - e);
  double error = 0;
  for (int v = 0; v < Layout::kValues; ++v) {
    const double y = x[v] * inverse, magnitude = std::abs(y);
    int q = 0;
    for (int i = 0; i < 7; ++i) q += 2 * magnitude > kMxfp4Values[i] + kMxfp4Values[i + 1];
    const double off = magnitude - kMxfp4Values[q];
    error += off * off;
    quants[v] = static_cast<uint8_t>(y < 0 && q > 0 ? q + 8 : q);
  }
  return error;
}

// The largest magnitude becomes 4 to 8 in units of the scale (cut off at 6, as ggml and the
// specification have it), 2 to 4 or 8 to 16: whichever gives the smallest error.
void Encode(const float* values, int64_t num_values, std::byte* blocks) {
  for (int64_t b = 0; b < num_values / Layout::kValues; ++b) {
    const float* x = values + b * Layout::kValues;
    std::byte* block = blocks + b * Layout::kBytes;
    const uint32_t amax = LargestMagnitudeBits(x, Layout::kValues);
    uint8_t best_quants[Layout::kValues] = {};
    int best = amax >= half::kInfBits ? kNaNExponent : 0;
    if (best != kNaNExponent) {
      const int e = static_cast<int>(amax >> 23) - 2;
      double best_error = std::numeric_limits<double>::infinity();
      for (int candidate = e - 1; candidate <= e + 1; ++candidate) {
        const int clamped = std::clamp(candidate, 0, kLargestExponent);
        uint8_t quants[Layout::kValues];
        const double error = Quantize(x, clamped, quants) * std::ldexp(1.0, 2 * (clamped - e));
        if (!(error < best_error)) continue;
        best_error = error;
        best = clamped;
        std::memcpy(best_quants, quants, sizeof quants);
      }
    }
    block[0] = static_cast<std::byte>(best);
    Layout::StoreQuants(best_quants, block);
  }
}

}  // namespace

constexpr Codec kMXFP4Codec = {
    .block_values = Layout::kValues,
    .block_bytes = Layout::kBytes,
    .group_values = Layout::kGroupValues,
    .decode = Decode,
    .encode = Encode,
    .group_bytes = Layout::GroupBytes,
    .pack_lane = Layout::PackLane,
    .unpack_lane = Layout::UnpackLane,
};

}  // namespace sluice
