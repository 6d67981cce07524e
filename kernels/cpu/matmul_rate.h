// Measures how fast the kernels of this machine go through the weights of a matrix product.
#ifndef SLUICE_KERNELS_CPU_MATMUL_RATE_H_
#define SLUICE_KERNELS_CPU_MATMUL_RATE_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/encodings/encoding.h"
#include "kernels/ops.h"

namespace sluice {

// How fast products go through weights of one encoding, [.., 4096] and random, that are much larger
// than the caches.
class MatMulRate {
 public:
  // `matrix_bytes` of weights: a cache of a tenth of that may hold a tenth of the lines that a
  // product reads, and makes memory look faster by as much. ResourceExhausted: no memory for it.
  static absl::StatusOr<MatMulRate> Create(Encoding encoding, int64_t matrix_bytes);
  ~MatMulRate();
  MatMulRate(MatMulRate&&) noexcept;
  MatMulRate& operator=(MatMulRate&&) = delete;

  // Bytes of tiles a second in products with `num_rows` activation rows (at least 1): the median of
  // products of some milliseconds each, over about `seconds`. `rounded`: with
  // MatMulArgs::rounded_activations. ResourceExhausted: no memory for the rows (about 100 kB each).
  absl::StatusOr<double> Measure(Ops& ops, int64_t num_rows, double seconds,
                                 bool rounded = false) const;

 private:
  class Memory;
  MatMulRate(Encoding encoding, int64_t num_tiles, std::unique_ptr<Memory> weights);

  const Encoding encoding_;
  const int64_t num_tiles_;
  std::unique_ptr<Memory> weights_;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_CPU_MATMUL_RATE_H_
