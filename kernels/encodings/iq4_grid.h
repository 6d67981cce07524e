// Finds the nearest of the 16 values that a nibble stands for in iq4_nl and iq4_xs.
#ifndef SLUICE_KERNELS_ENCODINGS_IQ4_GRID_H_
#define SLUICE_KERNELS_ENCODINGS_IQ4_GRID_H_

#include <array>
#include <cstdint>

#include "kernels/encodings/codebooks.h"
#include "kernels/encodings/lanes.h"

namespace sluice {

// A grid of symmetric_fit.h. Midpoints between neighbours are multiples
// of one half, so that all y from n / 2 to (n + 1) / 2 have the same one.
struct Iq4Grid {
  static constexpr int kLowest = -128, kHighest = 114;  // beyond the outermost values
  static constexpr int kBins = 2 * (kHighest - kLowest) + 1;
  static constexpr std::array<uint8_t, kBins> kCodeOfBin = [] {
    std::array<uint8_t, kBins> indices = {};
    for (int bin = 0; bin < kBins; ++bin) {
      const int twice = 2 * kLowest + bin;  // of the bin's lower end
      int index = 0;
      while (index < 15 && twice >= kIq4Values[index] + kIq4Values[index + 1]) ++index;
      indices[bin] = static_cast<uint8_t>(index);
    }
    return indices;
  }();

  static LaneInts Codes(Lanes y) {
    const LaneInts bin = __builtin_convertvector(
        (Clamp(y, kLowest, kHighest) - Splat(kLowest)) * Splat(2), LaneInts);
    return LaneInts{kCodeOfBin[bin[0]], kCodeOfBin[bin[1]], kCodeOfBin[bin[2]], kCodeOfBin[bin[3]]};
  }
  static Lanes Nearest(Lanes y) {
    const LaneInts code = Codes(y);
    return Lanes{static_cast<float>(kIq4Values[code[0]]), static_cast<float>(kIq4Values[code[1]]),
                 static_cast<float>(kIq4Values[code[2]]), static_cast<float>(kIq4Values[code[3]])};
  }
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_IQ4_GRID_H_
