// Matrix products with AVX-512 and VNNI.
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "kernels/cpu/matmul_table_simd.h"

namespace sluice {

const MatMuls kAvx512MatMuls = avx512::kMatMuls;

}  // namespace sluice
#endif
