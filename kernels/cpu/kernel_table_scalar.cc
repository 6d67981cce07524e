// The scalar kernels as a table.
#include "kernels/cpu/kernels_scalar.h"

namespace sluice {
const KernelTable kScalarKernels = {
    .quantize_block32 = scalar::QuantizeBlock32,
    .quantize_block256 = scalar::QuantizeBlock256,
    .matmul = &kScalarMatMuls,
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
