// What kernels know of KV pages: [num_kv_heads][K|V][64 tokens][one head's row] (kernels/ops.h).
#ifndef SLUICE_KERNELS_CUDA_KV_LAYOUT_H_
#define SLUICE_KERNELS_CUDA_KV_LAYOUT_H_

#include <stdint.h>

namespace sluice::cuda {

inline constexpr int kPageTokens = 64;

// KvType of kernels/ops.h as its numbers; cuda_ops.cc asserts that they agree.
inline constexpr int kKvF32 = 0, kKvF16 = 1, kKvQ8_0 = 2;

struct KvPages {
  uint8_t* pages;       // page p is at pages + p * page_stride
  int64_t page_stride;  // bytes
  int k_type;
  int v_type;
  int64_t k_row_bytes;  // of one token's head
  int64_t v_row_bytes;
  int64_t num_kv_heads;
  int64_t head_dim;
};

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_KV_LAYOUT_H_
