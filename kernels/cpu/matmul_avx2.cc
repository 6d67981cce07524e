// Matrix products with AVX2 and FMA.
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "kernels/cpu/kernels_scalar.h"
#include "kernels/cpu/matmul_simd.h"

namespace sluice {

const MatMulKernel kAvx2MatMuls[kNumMatMuls] = {
    avx2::MatMul<avx2::FloatTile<avx2::LoadF32>>,
    avx2::MatMul<avx2::FloatTile<avx2::LoadF16>>,
    avx2::MatMul<avx2::FloatTile<avx2::LoadBF16>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q8_0>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q6_K>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q45_K<1>>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q45_K<0>>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q4_0>>,
    scalar::MatMulQ3_K,
    scalar::MatMulQ2_K,
    scalar::MatMulQ4_1,
    scalar::MatMulQ5_0,
    scalar::MatMulQ5_1,
    scalar::MatMulIQ4_NL,
    scalar::MatMulIQ4_XS,
    scalar::MatMulMXFP4,
};

}  // namespace sluice
#endif
