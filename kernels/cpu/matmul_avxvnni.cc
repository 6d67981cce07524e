// Matrix products with AVX2 and the dot products of AVX-VNNI.
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "kernels/cpu/matmul_table_simd.h"

namespace sluice {

#if defined(SLUICE_AVX_VNNI_AS_EVEX)
const MatMuls kAvxVnniAsEvexMatMuls = avxvnni_as_evex::kMatMuls;
#else
const MatMuls kAvxVnniMatMuls = avxvnni::kMatMuls;
#endif

}  // namespace sluice
#endif
