// The kernels of one instruction set as plain structs and function pointers, one table each.
//
// Files compiled for an instruction set of their own include this and no std:: or absl:: header: an
// inline function instantiated there could be the copy that the linker keeps for every CPU.
// Enums therefore arrive as their integer values.
#ifndef SLUICE_KERNELS_CPU_KERNEL_TABLE_H_
#define SLUICE_KERNELS_CPU_KERNEL_TABLE_H_

#include <stdint.h>

namespace sluice {

// A run of tiles for one thread. Pointers and shapes as in MatMulArgs (kernels/ops.h).
struct MatMulJob {
  const uint8_t* tiles;  // tile 0 of the slab
  int64_t tile_bytes;
  int64_t tile_begin;  // tiles [tile_begin, tile_end), for swiglu pairs of tiles
  int64_t tile_end;
  int64_t k;
  int64_t first_row;  // of tile 0
  int64_t matrix_rows;
  const uint8_t* activations;  // [num_tokens], activation_stride bytes apart
  int64_t activation_stride;
  int64_t num_tokens;
  const float* addend;
  const float* up_addend;
  int epilogue;
  float* out;
  int64_t out_stride;
};

// Query heads that attend together to one KV head, at most.
inline constexpr int kMaxHeadGroup = 8;

// Softmax of a group of heads in progress: maximum, sum, and weighted sum of values.
struct AttentionState {
  float* m;  // [group]
  float* l;  // [group]
  float* o;  // [group][padded_dim]
};

// A group of query heads against the keys of one chunk (512 positions) of one sequence and KV head.
struct AttentionJob {
  const uint8_t* pages;
  int64_t page_stride;
  const int32_t* page_table;
  int64_t k_offset;  // of the KV head's keys and values within a page
  int64_t v_offset;
  int64_t k_row_bytes;
  int64_t v_row_bytes;
  int k_type;
  int v_type;
  int64_t position_begin;  // visible positions [begin, end) of the chunk, at least one
  int64_t position_end;
  int group;           // heads, 1 .. kMaxHeadGroup
  int64_t padded_dim;  // head_dim up to a multiple of 16
  const float* q;      // [group][padded_dim], zeros beyond head_dim
  float attention_scale;
  AttentionState result;
  AttentionState block;  // scratch
};

using MatMulKernel = void (*)(const MatMulJob& job);

// One product an encoding, by the enum's integer value.
#define SLUICE_ENCODING(...) +1
struct MatMuls {
  MatMulKernel of[0
#include "kernels/encodings/encodings.def"
  ];
};

struct KernelTable {
  // One row of k values into one activation row (kernels/encodings/activation_layout.h), all of it
  // written.
  void (*quantize_block32)(const float* x, int64_t k, void* row);
  void (*quantize_block256)(const float* x, int64_t k, void* row);

  const MatMuls* matmul;

  void (*rms_norm)(const float* x, int64_t n, const float* weight, float eps, float* out);
  // x [2 * half], cos_sin [2][half].
  void (*rope)(float* x, int64_t half, const float* cos_sin);
  // y[i] = exp(x[i]); may be in place.
  void (*exp)(const float* x, int64_t n, float* y);

  // By KvType: one head's row of head_dim values, padding written too.
  void (*store_kv[3])(const float* x, int64_t head_dim, uint8_t* row);
  void (*attend)(const AttentionJob& job);
  // For rows that share a block; null where only `attend` is there. Places [first, end) of the
  // block's page as f32: keys [padded_dim][64], values [64][padded_dim].
  void (*widen_block)(const AttentionJob& job, int64_t block, int first, int end, float* keys,
                      float* values);
  // One row's group of heads against places [first, end) of a widened block, into job.result.
  void (*attend_tile)(const AttentionJob& job, const float* keys, const float* values, int first,
                      int end);
  // into = merge(into, next) for all heads of a group.
  void (*merge)(const AttentionState& into, const AttentionState& next, int group,
                int64_t padded_dim);
};

// Products of bf16 weights with activations rounded to bf16 (--fast-math).
struct RoundedKernels {
  // One row of k values into ActivationFormat::kBF16.
  void (*round_bf16)(const float* x, int64_t k, void* row);
  MatMulKernel matmul_bf16;
};

extern const MatMuls kScalarMatMuls;
extern const MatMuls kAvx2MatMuls;
extern const MatMuls kAvxVnniMatMuls;
extern const MatMuls kAvxVnniAsEvexMatMuls;  // tests only
extern const MatMuls kAvx512MatMuls;
extern const MatMuls kNeonMatMuls;

extern const KernelTable kScalarKernels;
extern const KernelTable kAvx2Kernels;     // x86-64 only
extern const KernelTable kAvxVnniKernels;  // x86-64 only
extern const KernelTable kAvx512Kernels;   // x86-64 only
extern const KernelTable kNeonKernels;     // arm64 only

extern const RoundedKernels kAvx512Bf16Kernels;  // x86-64 only

}  // namespace sluice

#endif  // SLUICE_KERNELS_CPU_KERNEL_TABLE_H_
