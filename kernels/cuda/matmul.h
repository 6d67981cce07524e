// Launches of matrix products: a run of tiles times activation rows, in the bits of
// docs/arithmetic.md.
//
// One function template a kind of kernel, one instance an encoding. What a kernel does and what
// bounds it stands above it in its .cu file.
#ifndef SLUICE_KERNELS_CUDA_MATMUL_H_
#define SLUICE_KERNELS_CUDA_MATMUL_H_

#include <cuda_runtime_api.h>
#include <stdint.h>

namespace sluice::cuda {

// As MatMulArgs (kernels/ops.h); all pointers are device memory.
struct MatMulJob {
  const uint8_t* tiles;
  int64_t tile_bytes;
  int64_t num_tiles;  // with kSwiGlu pairs of tiles
  int64_t k;
  int64_t first_row;
  int64_t matrix_rows;
  const uint8_t* activations;  // [num_tokens], activation_stride bytes apart
  int64_t activation_stride;
  int64_t num_tokens;
  const float* addend;
  const float* up_addend;
  int epilogue;  // Epilogue as its number
  float* out;
  int64_t out_stride;
};

// Decoders of quantized weights (kernels/cuda/decoders.h) by their names, and floating-point
// weights (matmul_float.cu): F32Weights and so on.
#define SLUICE_FLOAT_ENCODING(name, ...) struct name##Weights;
#define SLUICE_QUANTIZED_ENCODING(name, ...) struct name;
#include "kernels/encodings/encodings.def"

// 16-bit floats whose activations are rounded to the weights' own type (matmul_rounded.cu).
struct RoundedF16;
struct RoundedBF16;

// Quantized weights, best for one token and a few.
template <class Decoder>
cudaError_t LaunchDp4a(const MatMulJob& job, cudaStream_t stream);

// Quantized weights on tensor cores, best for many tokens. The same bits.
template <class Decoder>
cudaError_t LaunchMma(const MatMulJob& job, cudaStream_t stream);

// Floating-point weights in f32 fma, any number of tokens.
template <class Weights>
cudaError_t LaunchFma(const MatMulJob& job, cudaStream_t stream);

// --fast-math: activations are kF16 for RoundedF16, kBF16 for RoundedBF16. On devices from sm_80
// on. Both give the same bits, the first faster for few tokens, the second for many.
template <class Type>
cudaError_t LaunchRoundedFew(const MatMulJob& job, cudaStream_t stream);
template <class Type>
cudaError_t LaunchRoundedMany(const MatMulJob& job, cudaStream_t stream);

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_MATMUL_H_
