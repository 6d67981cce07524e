// Matrix products with NEON and its dot products.
#include "kernels/cpu/kernel_table.h"

#if defined(__aarch64__)
#include "kernels/cpu/matmul_blocks_simd.h"
#include "kernels/cpu/matmul_simd.h"
#include "kernels/cpu/matmul_super_blocks_simd.h"

namespace sluice {

const MatMulKernel kNeonMatMuls[kNumMatMuls] = {
    neon::MatMul<neon::FloatTile<neon::LoadF32>>,
    neon::MatMul<neon::FloatTile<neon::LoadF16>>,
    neon::MatMul<neon::FloatTile<neon::LoadBF16>>,
    neon::MatMul<neon::QuantizedTile<neon::Q8_0>>,
    neon::MatMul<neon::QuantizedTile<neon::Q6_K>>,
    neon::MatMul<neon::QuantizedTile<neon::Q45_K<1>>>,
    neon::MatMul<neon::QuantizedTile<neon::Q45_K<0>>>,
    neon::MatMul<neon::QuantizedTile<neon::Q4_0>>,
    neon::MatMul<neon::QuantizedTile<neon::Q3_K>>,
    neon::MatMul<neon::QuantizedTile<neon::Q2_K>>,
    neon::MatMul<neon::QuantizedTile<neon::Q4_1>>,
    neon::MatMul<neon::QuantizedTile<neon::Q5_0>>,
    neon::MatMul<neon::QuantizedTile<neon::Q5_1>>,
    neon::MatMul<neon::QuantizedTile<neon::IQ4_NL>>,
    neon::MatMul<neon::QuantizedTile<neon::IQ4_XS>>,
    neon::MatMul<neon::QuantizedTile<neon::MXFP4>>,
};

}  // namespace sluice
#endif
