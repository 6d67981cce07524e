// Matrix products with NEON and its dot products.
#include "kernels/cpu/kernel_table.h"

#if defined(__aarch64__)
#include "kernels/cpu/kernels_scalar.h"
#include "kernels/cpu/matmul_simd.h"

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
