// What the tests of matrix products on CPUs share.
#ifndef SLUICE_TESTS_KERNELS_MATMUL_TESTING_H_
#define SLUICE_TESTS_KERNELS_MATMUL_TESTING_H_

#include <cstring>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/encodings/activation_layout.h"
#include "kernels/encodings/encoding.h"
#include "kernels/ops.h"
#include "tests/support/cpu_machine.h"
#include "tests/support/matmul_data.h"

namespace sluice {

// A matrix in tiles, and the rows that it was packed from.
struct Matrix {
  Matrix(Encoding encoding, int64_t rows, int64_t k, std::mt19937& random)
      : encoding(encoding), rows(rows), k(k), tiles(TilesBytes(encoding, rows, k)) {
    for (int64_t row = 0; row < rows; ++row) {
      const std::vector<std::byte> one = RandomRow(encoding, k, random);
      encoded.insert(encoded.end(), one.begin(), one.end());
    }
    Pack();
  }
  // Again, where `encoded` was changed.
  void Pack() { PackRows(encoding, encoded, rows, k, tiles.data()); }

  Encoding encoding;
  int64_t rows;
  int64_t k;
  std::vector<std::byte> encoded;
  AlignedBytes tiles;
};

// What MatMul sees of x: the quantized values times their scale.
inline std::vector<double> Dequantized(ActivationFormat format, const std::byte* row, int64_t k) {
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

inline MatMulArgs Args(Matrix& matrix, AlignedBytes& activations, int64_t tokens, float* out) {
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

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Every block of tokens (8, 6, 4, 3, 2, 1 and mixtures), more than a panel of 64, a last tile with
// padding, a single row.
inline constexpr MatMulCase kMatMulCases[] = {
    {16, 1, Epilogue::kStore, false},   {1, 1, Epilogue::kStore, true},
    {40, 2, Epilogue::kAdd, false},     {33, 3, Epilogue::kAdd, true},
    {31, 4, Epilogue::kSwiGlu, false},  {50, 5, Epilogue::kSwiGlu, true},
    {17, 7, Epilogue::kMultiply, true}, {32, 9, Epilogue::kStore, true},
    {15, 14, Epilogue::kAdd, false},    {16, 23, Epilogue::kMultiply, false},
    {24, 70, Epilogue::kSwiGlu, true},
};

}  // namespace sluice

#endif  // SLUICE_TESTS_KERNELS_MATMUL_TESTING_H_
