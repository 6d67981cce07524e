// Matrix products with AVX2 and the dot products of AVX-VNNI.
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include "kernels/cpu/matmul_blocks_simd.h"
#include "kernels/cpu/matmul_simd.h"
#include "kernels/cpu/matmul_super_blocks_simd.h"

namespace sluice {

#if defined(SLUICE_AVX_VNNI_AS_EVEX)
namespace simd = avxvnni_as_evex;
#define SLUICE_TABLE kAvxVnniAsEvexMatMuls
#else
namespace simd = avxvnni;
#define SLUICE_TABLE kAvxVnniMatMuls
#endif

const MatMulKernel SLUICE_TABLE[kNumMatMuls] = {
    simd::MatMul<simd::FloatTile<simd::LoadF32>>,
    simd::MatMul<simd::FloatTile<simd::LoadF16>>,
    simd::MatMul<simd::FloatTile<simd::LoadBF16>>,
    simd::MatMul<simd::QuantizedTile<simd::Q8_0>>,
    simd::MatMul<simd::QuantizedTile<simd::Q6_K>>,
    simd::MatMul<simd::QuantizedTile<simd::Q45_K<1>>>,
    simd::MatMul<simd::QuantizedTile<simd::Q45_K<0>>>,
    simd::MatMul<simd::QuantizedTile<simd::Q4_0>>,
    simd::MatMul<simd::QuantizedTile<simd::Q3_K>>,
    simd::MatMul<simd::QuantizedTile<simd::Q2_K>>,
    simd::MatMul<simd::QuantizedTile<simd::Q4_1>>,
    simd::MatMul<simd::QuantizedTile<simd::Q5_0>>,
    simd::MatMul<simd::QuantizedTile<simd::Q5_1>>,
    simd::MatMul<simd::QuantizedTile<simd::IQ4_NL>>,
    simd::MatMul<simd::QuantizedTile<simd::IQ4_XS>>,
    simd::MatMul<simd::QuantizedTile<simd::MXFP4>>,
};

}  // namespace sluice
#endif
