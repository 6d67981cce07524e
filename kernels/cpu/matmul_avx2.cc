// Matrix products with AVX2 and FMA.
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "kernels/cpu/matmul_blocks_simd.h"
#include "kernels/cpu/matmul_simd.h"
#include "kernels/cpu/matmul_super_blocks_simd.h"

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
    avx2::MatMul<avx2::QuantizedTile<avx2::Q3_K>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q2_K>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q4_1>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q5_0>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::Q5_1>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::IQ4_NL>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::IQ4_XS>>,
    avx2::MatMul<avx2::QuantizedTile<avx2::MXFP4>>,
};

}  // namespace sluice
#endif
