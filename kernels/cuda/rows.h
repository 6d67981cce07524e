// Launches of operations on rows: activations, RMS norm, RoPE, storing keys and values
// (docs/arithmetic.md).
#ifndef SLUICE_KERNELS_CUDA_ROWS_H_
#define SLUICE_KERNELS_CUDA_ROWS_H_

#include <cuda_runtime_api.h>
#include <stdint.h>

#include "kernels/cuda/kv_layout.h"

namespace sluice::cuda {

// x [num_rows, k], x_stride floats apart, into rows of row_bytes (ActivationRowBytes) each.
struct PrepareJob {
  const float* x;
  int64_t x_stride;
  int64_t num_rows;
  int64_t k;
  uint8_t* out;
  int64_t row_bytes;
};
cudaError_t LaunchPrepareF32(const PrepareJob& job, cudaStream_t stream);
cudaError_t LaunchPrepareF16(const PrepareJob& job, cudaStream_t stream);
cudaError_t LaunchPrepareBF16(const PrepareJob& job, cudaStream_t stream);
cudaError_t LaunchPrepareBlock32(const PrepareJob& job, cudaStream_t stream);
cudaError_t LaunchPrepareBlock256(const PrepareJob& job, cudaStream_t stream);

// As Ops::EndProduct; the epilogue by its number (kernels/cuda/epilogue.h).
struct EndProductJob {
  const float* y;
  int64_t num_tokens;
  int64_t num_rows;
  int epilogue;
  float* out;
  int64_t out_stride;
};
cudaError_t LaunchEndProduct(const EndProductJob& job, cudaStream_t stream);

// As Ops::RmsNorm; x and out may be the same.
struct RmsNormJob {
  const float* x;
  int64_t x_stride;
  int64_t num_rows;
  int64_t n;
  const float* weight;
  float eps;
  float* out;
  int64_t out_stride;
};
cudaError_t LaunchRmsNorm(const RmsNormJob& job, cudaStream_t stream);

// As Ops::Rope. head_dim is even.
struct RopeJob {
  float* x;
  int64_t x_stride;
  int64_t num_rows;
  int64_t num_heads;
  int64_t head_dim;
  const float* cos_sin;
  const int64_t* positions;  // [num_rows]
  const float* norm_weight;  // or null
  float norm_eps;
};
cudaError_t LaunchRope(const RopeJob& job, cudaStream_t stream);

// Where a row's key and value go: a page, and its place 0..63 in it.
struct KvPlace {
  int32_t page;
  int32_t token;
};
struct AppendKvJob {
  KvPages kv;
  int64_t num_rows;
  const KvPlace* places;  // [num_rows]
  const float* k;         // [num_rows][num_kv_heads][head_dim], kv_stride floats apart
  const float* v;
  int64_t kv_stride;
};
cudaError_t LaunchAppendKv(const AppendKvJob& job, cudaStream_t stream);

// Runs of tokens that pages get of other pages (KvCopy, kernels/ops.h).
struct KvMove {
  int32_t from_page;
  int32_t from_token;
  int32_t to_page;
  int32_t to_token;
  int32_t count;
};
struct CopyKvJob {
  KvPages kv;
  int64_t num_moves;
  const KvMove* moves;  // [num_moves], none of which reads what another one writes
};
cudaError_t LaunchCopyKv(const CopyKvJob& job, cudaStream_t stream);

// As Ops::NoteNonFinite.
struct NonFiniteJob {
  const float* x;
  int64_t n;
  int32_t mark;
  int32_t* note;
};
cudaError_t LaunchNoteNonFinite(const NonFiniteJob& job, cudaStream_t stream);

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_ROWS_H_
