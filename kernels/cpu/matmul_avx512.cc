// Matrix products with AVX-512 and VNNI.
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "kernels/cpu/kernels_scalar.h"
#include "kernels/cpu/matmul_simd.h"

namespace sluice {

const MatMulKernel kAvx512MatMuls[kNumMatMuls] = {
    avx512::MatMul<avx512::FloatTile<avx512::LoadF32>>,
    avx512::MatMul<avx512::FloatTile<avx512::LoadF16>>,
    avx512::MatMul<avx512::FloatTile<avx512::LoadBF16>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q8_0>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q6_K>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q45_K<1>>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q45_K<0>>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q4_0>>,
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
