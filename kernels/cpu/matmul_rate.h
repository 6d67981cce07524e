// Measures how fast the kernels of this machine go through the weights of a matrix product.
#ifndef SLUICE_KERNELS_CPU_MATMUL_RATE_H_
#define SLUICE_KERNELS_CPU_MATMUL_RATE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/encoding.h"
#include "kernels/ops.h"

namespace sluice {

// Bytes of tiles a second in products with `num_rows` activation rows (at least 1), over random
// weights [.., 4096] that are larger than the caches. The median of products of some milliseconds
// each, over about `seconds`. `rounded`: with MatMulArgs::rounded_activations.
// ResourceExhausted: no memory for it (about 270 MB and 100 kB a row).
absl::StatusOr<double> MeasureMatMulRate(Ops& ops, Encoding encoding, int64_t num_rows,
                                         double seconds, bool rounded = false);

}  // namespace sluice

#endif  // SLUICE_KERNELS_CPU_MATMUL_RATE_H_
