// The tiles of f32, f16 and bf16, which have no planes: a line a value (f32) or a pair of values.
#ifndef SLUICE_KERNELS_ENCODINGS_FLOAT_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_FLOAT_PLANES_H_

#include "kernels/encodings/planes.h"

namespace sluice {

// A "block" is one value; a group only bounds how many lines are packed at a time.
template <int kBytes>
struct FloatPlanes {
  static constexpr int kBlockValues = 1;
  static constexpr int kBlockBytes = kBytes;
  static constexpr int kGroupValues = 256;

  // Values are padded to a multiple of 4 with zeros.
  SLUICE_PLANES static constexpr int GroupBytes(int values) {
    return (values + 3) / 4 * 4 * kBytes * kTileRows;
  }
};

struct F32Planes : FloatPlanes<4> {};
struct F16Planes : FloatPlanes<2> {};
struct BF16Planes : FloatPlanes<2> {};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_FLOAT_PLANES_H_
