// Matrix products with AVX2 and FMA.
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "kernels/cpu/matmul_simd.h"

namespace sluice {

const MatMulKernel kAvx2MatMuls[8] = {
    avx2::MatMul<avx2::FloatTile<avx2::LoadF32>>,
    avx2::MatMul<avx2::FloatTile<avx2::LoadF16>>,
    avx2::MatMul<avx2::FloatTile<avx2::LoadBF16>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q8_0>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q6_K>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q45_K<1>>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q45_K<0>>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q4_0>>,
};

}  // namespace sluice
#endif
