// The scalar kernels as a table.
#include "kernels/cpu/kernels_scalar.h"

namespace sluice {
namespace {

constexpr MatMulKernel kMatMuls[kNumMatMuls] = {
    scalar::MatMulF32,  scalar::MatMulF16,    scalar::MatMulBF16,   scalar::MatMulQ8_0,
    scalar::MatMulQ6_K, scalar::MatMulQ5_K,   scalar::MatMulQ4_K,   scalar::MatMulQ4_0,
    scalar::MatMulQ3_K, scalar::MatMulQ2_K,   scalar::MatMulQ4_1,   scalar::MatMulQ5_0,
    scalar::MatMulQ5_1, scalar::MatMulIQ4_NL, scalar::MatMulIQ4_XS, scalar::MatMulMXFP4,
};

}  // namespace

const KernelTable kScalarKernels = {
    .quantize_block32 = scalar::QuantizeBlock32,
    .quantize_block256 = scalar::QuantizeBlock256,
    .matmul = kMatMuls,
    .rms_norm = scalar::RmsNorm,
    .rope = scalar::Rope,
    .exp = scalar::ExpRow,
    .store_kv = {scalar::StoreKvF32, scalar::StoreKvF16, scalar::StoreKvQ8_0},
    .attend = scalar::Attend,
    .widen_block = nullptr,
    .attend_tile = nullptr,
    .merge = scalar::Merge,
};

}  // namespace sluice
