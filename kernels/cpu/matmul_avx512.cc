// Matrix products with AVX-512 and VNNI.
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "kernels/cpu/matmul_simd.h"

namespace sluice {

const MatMulKernel kAvx512MatMuls[8] = {
    avx512::MatMul<avx512::FloatTile<avx512::LoadF32>>,
    avx512::MatMul<avx512::FloatTile<avx512::LoadF16>>,
    avx512::MatMul<avx512::FloatTile<avx512::LoadBF16>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q8_0>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q6_K>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q45_K<1>>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q45_K<0>>>,
    avx512::MatMul<avx512::QuantizedTile<avx512::Q4_0>>,
};

}  // namespace sluice
#endif
