// Matrix products with NEON and its dot products.
#include "kernels/cpu/kernel_table.h"

#if defined(__aarch64__)
#include "kernels/cpu/matmul_table_simd.h"

namespace sluice {

const MatMuls kNeonMatMuls = neon::kMatMuls;

}  // namespace sluice
#endif
