// Matrix products with AVX2 and FMA.
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "kernels/cpu/matmul_table_simd.h"

namespace sluice {

const MatMuls kAvx2MatMuls = avx2::kMatMuls;

}  // namespace sluice
#endif
