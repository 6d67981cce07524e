// The operations that executing a model needs, as one interface that every device implements.
//
// All pointers are memory of the device. Calls are ordered: a later one sees the results of earlier
// ones (on the CPU they have finished when the call returns; a GPU queues them on one stream).
// Every operation is defined to the bit in docs/arithmetic.md.
#ifndef SLUICE_KERNELS_OPS_H_
#define SLUICE_KERNELS_OPS_H_

#include <cstddef>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/encodings/encoding.h"

namespace sluice {

// Bytes of one activation row of `k` values as MatMul reads it; a multiple of 64.
int64_t ActivationRowBytes(ActivationFormat format, int64_t k);

// What happens to a product y before it is stored (docs/arithmetic.md).
enum class Epilogue : uint8_t {
  kStore,     // out = y
  kAdd,       // out = out + y: the residual stream
  kSwiGlu,    // out = silu(y_gate) * y_up, where tiles of gate and up alternate
  kMultiply,  // out = silu(out) * y, where gate was stored before
};

// A run of tiles times activation rows: out[token, first_row + i] for the rows of the tiles.
struct MatMulArgs {
  Encoding encoding;
  const std::byte* tiles;  // num_tiles tiles of TileBytes(encoding, k); for kSwiGlu 2 * num_tiles:
                           // gate tile 0, up tile 0, gate tile 1, ...; 64-byte aligned
  int64_t num_tiles;
  int64_t k;            // input features
  int64_t first_row;    // row of the matrix that the first tile begins with
  int64_t matrix_rows;  // rows of the whole matrix: rows beyond are padding, not stored
  // [num_tokens] rows of ActivationRowBytes(Info(encoding).activations, k)
  const std::byte* activations;
  int64_t num_tokens;
  const float* addend = nullptr;     // [matrix_rows], or null
  const float* up_addend = nullptr;  // kSwiGlu: the same for up
  Epilogue epilogue = Epilogue::kStore;
  // --fast-math: the rows of `activations` are rounded to the weights' own type (kBF16, kF16), not
  // what Info(encoding) says. For bf16 weights, on CPUs where RoundsActivations(isa)
  // (kernels/cpu/cpu_ops.h); for bf16 and f16 ones on GPUs from compute capability 8.0 on.
  bool rounded_activations = false;
  float* out;          // [num_tokens, matrix_rows]
  int64_t out_stride;  // floats from one token's row to the next
  // Work beside the product: on the CPU its threads call it now and then, while enough of the
  // product is left that the others make up for it. Any thread of them, several at once. Null:
  // none. A GPU never calls it.
  const std::function<void()>* aside = nullptr;
};

// A product that was computed elsewhere, and what is left of its epilogue: out[token, i] for i <
// num_rows.
struct EndProductArgs {
  const float* y;  // [num_tokens, num_rows], with the addend in it
  int64_t num_tokens;
  int64_t num_rows;
  Epilogue epilogue = Epilogue::kStore;  // not kSwiGlu, which comes as its result, to be stored
  float* out;                            // [num_tokens, num_rows]
  int64_t out_stride;                    // floats from one token's row to the next
};

enum class KvType : uint8_t { kF32, kF16, kQ8_0 };

// Tokens a KV page holds.
inline constexpr int kKvPageTokens = 64;

// Shape of the KV pool: pages of [num_kv_heads][K|V][64 tokens][one head's row] for one layer.
struct KvShape {
  KvType k_type;
  KvType v_type;
  int64_t num_kv_heads;
  int64_t head_dim;
};
// Bytes of one token's head row. f32 and f16 pad head_dim to 16; q8_0 pads it to 32 and is all f16
// scales (one per 32 values) first, then the int8 values. Padding is zeros.
int64_t KvRowBytes(KvType type, int64_t head_dim);
// Bytes of one page of one layer, rounded up to 4096.
int64_t KvPageBytes(const KvShape& shape);

// One row of a pass, as attention sees it.
struct AttentionRow {
  const int32_t* page_table;  // page of position p is page_table[p / 64]
  int64_t position;           // of this row's token, 0-based
  int64_t first_visible;      // first position it attends to (0 without a sliding window)
};

// What one attention layer does after its q, k, v products.
struct AttentionArgs {
  KvShape kv;
  std::byte* pages;     // page p of this layer is at pages + p * page_stride
  int64_t page_stride;  // bytes, at least KvPageBytes
  int64_t num_heads;    // a multiple of kv.num_kv_heads; query head h uses kv head h / (num_heads /
                        // num_kv_heads)
  float attention_scale;                // usually 1 / sqrt(head_dim)
  absl::Span<const AttentionRow> rows;  // host memory
};

// Keys and values of `count` tokens that one page has and another one gets, in all heads of a
// layer. Neither run of tokens crosses the end of its page.
struct KvCopy {
  int32_t from_page;
  int32_t from_token;  // in the page
  int32_t to_page;
  int32_t to_token;
  int32_t count;
};
// Copies them between pages of a layer in host memory, one after the other: `pages` and
// `page_stride` as in AttentionArgs.
void CopyKvRows(const KvShape& kv, std::byte* pages, int64_t page_stride,
                absl::Span<const KvCopy> copies);

// How large the calls of a pass can be.
struct PassLimits {
  int64_t rows;
  int64_t page_tables;     // of its rows, without doubles
  int64_t context_tokens;  // of each
  int64_t num_heads;
  KvShape kv;
};
// Bringing positions and page tables to a device goes through so many buffers in turn, each for any
// call of a pass.
inline constexpr int kUploadBuffers = 8;
// Bytes of one of them: of pinned host memory, and as many of the device's. A multiple of 4096.
int64_t UploadBufferBytes(const PassLimits& pass);

class Ops {
 public:
  virtual ~Ops() = default;

  // Allocates what calls within these limits need, so that none of them has to; larger ones may.
  // Before the first pass, once the plan is known. InvalidArgument: a shape that these Ops do not
  // have. ResourceExhausted.
  virtual absl::Status Reserve(const PassLimits& /*pass*/) { return absl::OkStatus(); }

  // x [num_rows, k] (rows x_stride floats apart) into MatMul's activation format. Unimplemented:
  // kBF16 or kF16, where these Ops have no products that read it.
  virtual absl::Status PrepareActivations(ActivationFormat format, const float* x, int64_t x_stride,
                                          int64_t num_rows, int64_t k, std::byte* out) = 0;

  virtual absl::Status MatMul(const MatMulArgs& args) = 0;

  // What MatMul does after the sum. InvalidArgument: kSwiGlu.
  virtual absl::Status EndProduct(const EndProductArgs& args) = 0;

  // out[i] = rms_norm(x[i]) * weight over rows of n values. x and out may be the same.
  virtual absl::Status RmsNorm(const float* x, int64_t x_stride, int64_t num_rows, int64_t n,
                               const float* weight, float eps, float* out, int64_t out_stride) = 0;

  // Rotates heads in place: x [num_rows][num_heads][head_dim], rows x_stride floats apart. Row i
  // uses cos_sin + positions[i] * head_dim: head_dim / 2 cosines, then head_dim / 2 sines.
  // `norm_weight`, where not null, is an RMS norm over each head first (Qwen3).
  virtual absl::Status Rope(float* x, int64_t x_stride, int64_t num_rows, int64_t num_heads,
                            int64_t head_dim, const float* cos_sin,
                            absl::Span<const int64_t> positions, const float* norm_weight,
                            float norm_eps) = 0;

  // Writes k and v [rows][num_kv_heads][head_dim] (kv_stride floats apart) at the rows' positions.
  virtual absl::Status AppendKv(const AttentionArgs& args, const float* k, const float* v,
                                int64_t kv_stride) = 0;

  // Copies rows between pages as CopyKvRows does, but in any order: no copy reads what one of them
  // writes. Of `args`, all but the rows counts.
  virtual absl::Status CopyKv(const AttentionArgs& args, absl::Span<const KvCopy> copies) = 0;

  // out [rows][num_heads][head_dim] from q of the same shape, both row-strided in floats. All keys
  // up to each row's position are in the pages already.
  virtual absl::Status Attention(const AttentionArgs& args, const float* q, int64_t q_stride,
                                 float* out, int64_t out_stride) = 0;

  // Where one of the `n` values of x is NaN or infinite and *note is negative, sets *note to `mark`
  // (0 or more): the first call that finds one leaves its mark. `note` is memory of the device.
  virtual absl::Status NoteNonFinite(const float* x, int64_t n, int32_t mark, int32_t* note) = 0;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_OPS_H_
