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
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/mxfp4_planes.h"

namespace sluice {
namespace {

using P = MXFP4Planes;
using Layout = Block32Layout<P>;

constexpr int kNaNExponent = 255;
constexpr int kLargestExponent = 252;  // 12 * 2^(253 - 128) is beyond the largest f32

float HalvedScale(int e) {
  if (e == kNaNExponent) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0f, e - 128);
}

// Quantizes to the nearest values for exponent e and returns the squared error in units of the
// scale.
double Quantize(const float* x, int e, uint8_t* quants) {
  const double inverse = std::ldexp(1.0, 128 - e);
  double error = 0;
  for (int v = 0; v < P::kBlockValues; ++v) {
    const double y = x[v] * inverse, magnitude = std::abs(y);
    int q = 0;
    for (int i = 0; i < 7; ++i) q += 2 * magnitude > P::kBook[i] + P::kBook[i + 1];
    const double off = magnitude - P::kBook[q];
    error += off * off;
    quants[v] = static_cast<uint8_t>(y < 0 && q > 0 ? q + 8 : q);
  }
  return error;
}

struct Mxfp4Blocks : Layout {
  static void Decode(const std::byte* block, float* values) {
    const float d = HalvedScale(static_cast<int>(block[0]));
    uint8_t quants[P::kBlockValues];
    LoadQuants(block, quants);
    for (int v = 0; v < P::kBlockValues; ++v) values[v] = d * P::kBook[quants[v]];
  }

  // The largest magnitude becomes 4 to 8 in units of the scale (cut off at 6, as ggml and the
  // specification have it), 2 to 4 or 8 to 16: whichever gives the smallest error.
  static void Encode(const float* x, std::byte* block) {
    const uint32_t amax = LargestMagnitudeBits(x, P::kBlockValues);
    uint8_t best_quants[P::kBlockValues] = {};
    int best = amax >= half::kInfBits ? kNaNExponent : 0;
    if (best != kNaNExponent) {
      const int e = static_cast<int>(amax >> 23) - 2;
      double best_error = std::numeric_limits<double>::infinity();
      for (int candidate = e - 1; candidate <= e + 1; ++candidate) {
        const int clamped = std::clamp(candidate, 0, kLargestExponent);
        uint8_t quants[P::kBlockValues];
        const double error = Quantize(x, clamped, quants) * std::ldexp(1.0, 2 * (clamped - e));
        if (!(error < best_error)) continue;
        best_error = error;
        best = clamped;
        std::memcpy(best_quants, quants, sizeof quants);
      }
    }
    block[0] = static_cast<std::byte>(best);
    StoreQuants(best_quants, block);
  }
};

}  // namespace

constexpr Codec kMXFP4Codec = CodecOfBlocks<MXFP4Planes, Mxfp4Blocks>::kCodec;

}  // namespace sluice
