// The matrix products of one instruction set as a table, made from the list of encodings: each
// needs a loader (floats) of its name or a decoder of its planes (quantized).
#ifndef SLUICE_KERNELS_CPU_MATMUL_TABLE_SIMD_H_
#define SLUICE_KERNELS_CPU_MATMUL_TABLE_SIMD_H_

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/matmul_blocks_simd.h"
#include "kernels/cpu/matmul_simd.h"
#include "kernels/cpu/matmul_super_blocks_simd.h"
#include "kernels/cpu/simd.h"
#include "kernels/encodings/all_planes.h"

namespace sluice::SLUICE_SIMD_NAMESPACE {

inline constexpr MatMuls kMatMuls = {{
#define SLUICE_FLOAT_ENCODING(name, ...) MatMul<FloatTile<Load##name>>,
#define SLUICE_QUANTIZED_ENCODING(name, ...) MatMul<QuantizedTile<name##Planes>>,
#include "kernels/encodings/encodings.def"
}};

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_MATMUL_TABLE_SIMD_H_
