// Matrix products with AVX-512 and VNNI.
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "kernels/cpu/matmul_blocks_simd.h"
#include "kernels/cpu/matmul_simd.h"
#include "kernels/cpu/matmul_super_blocks_simd.h"

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
    avx512::MatMul<avx512::QuantizedTile<avx512::Q3_K>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q2_K>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q4_1>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q5_0>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q5_1>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::IQ4_NL>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::IQ4_XS>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::MXFP4>>,
};

}  // namespace sluice
#endif
