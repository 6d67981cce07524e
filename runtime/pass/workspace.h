// Sizes of the buffers that a pass works in: what plans them and what allocates them ask here.
#ifndef SLUICE_RUNTIME_PASS_WORKSPACE_H_
#define SLUICE_RUNTIME_PASS_WORKSPACE_H_

#include <cstdint>

#include "kernels/ops.h"
#include "storage/store/manifest.h"

namespace sluice {

// Which 16-bit floats meet activations that are rounded to their own type.
enum class Rounding : uint8_t { kNone, kBF16, kBF16AndF16 };
// The format of the activations that weights of `encoding` are multiplied with.
ActivationFormat ActivationsOf(Encoding encoding, Rounding rounding);

// Bytes of each buffer that a pass works in. The model allocates just these.
struct WorkspaceSizes {
  int64_t residual_bytes;  // [rows, hidden_size] f32
  int64_t normed_bytes;    // [a tile of rows, hidden_size] f32
  int64_t ahead_bytes;     // in front of the block's, for PreparedAhead
  int64_t block_bytes;     // attention output, q, k and v, or the MLP's gate, f32
  int64_t activation_bytes[kNumActivationFormats];  // the hidden state, 0 if nothing needs it
  int64_t logits_bytes;                             // [logit_rows, vocab_size] f32
  int64_t rope_bytes;                               // [context, head_dim] f32
  int64_t note_bytes;                               // Ops::NoteNonFinite's note
  int64_t staging_bytes;                            // embedding rows as stored
  int64_t total() const;
  // Without logits, rotary tables and what is staged on the host.
  int64_t activations() const;
};

// Rows of the matrix that a slab's product gives for each row of activations.
int64_t ProductRows(const Manifest& manifest, const ManifestSlab& slab);

// Sizes of what lies between a device and the CPU that computes slabs for it, in passes of up to
// `rows` rows: activations of one matrix in each format, none of them rounded, and products of all
// matrices that read the same.
struct HostProductSizes {
  int64_t activation_bytes[kNumActivationFormats] = {};  // pinned host memory
  int64_t product_bytes = 0;  // f32: pinned host memory, and the same on the device
  int64_t host_bytes() const;
};
HostProductSizes SizeHostProducts(const Manifest& manifest, int64_t rows, int64_t logit_rows);

// Rows that are normed and prepared as products read them, one tile after the other: between
// residual stream and product only a tile of them is there as floats.
inline constexpr int64_t kRowTile = 64;
// Attention's output and the MLP's gate are each read by one matrix only, so they are prepared in
// place: the first prepared row begins this many bytes before the floats. So a prepared tile never
// overwrites floats that are still needed.
int64_t PreparedAhead(int64_t rows, int64_t prepared_row_bytes, int64_t float_row_bytes);

// The sizes for passes of up to `pass_rows` rows, of which `logit_rows` want logits.
WorkspaceSizes SizeWorkspace(const Manifest& manifest, int64_t pass_rows, int64_t logit_rows,
                             int64_t context_tokens, Rounding rounding);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_WORKSPACE_H_
