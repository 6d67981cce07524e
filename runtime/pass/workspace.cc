// Sums over the products of a program.
#include "runtime/pass/workspace.h"

#include <algorithm>

#include "kernels/base/align.h"
#include "kernels/encodings/tile.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {
namespace {

// As memory of a ComputePlace is aligned.
constexpr int64_t kWorkspaceAlignment = 256;

}  // namespace

int64_t WorkspaceSizes::activations() const {
  int64_t bytes = residual_bytes + normed_bytes + ahead_bytes + block_bytes + note_bytes;
  for (const int64_t of_format : activation_bytes) bytes += of_format;
  return bytes;
}

int64_t WorkspaceSizes::total() const {
  return activations() + logits_bytes + rope_bytes + staging_bytes;
}

ActivationFormat ActivationsOf(Encoding encoding, Rounding rounding) {
  if (encoding == Encoding::kBF16 && rounding != Rounding::kNone) return ActivationFormat::kBF16;
  if (encoding == Encoding::kF16 && rounding == Rounding::kBF16AndF16)
    return ActivationFormat::kF16;
  return Info(encoding).activations;
}

int64_t PreparedAhead(int64_t rows, int64_t prepared_row_bytes, int64_t float_row_bytes) {
  const int64_t growth = std::max<int64_t>(prepared_row_bytes - float_row_bytes, 0);
  return RoundUp(std::min(rows, kRowTile) * prepared_row_bytes + rows * growth,
                 kWorkspaceAlignment);
}

WorkspaceSizes SizeWorkspace(const Manifest& manifest, int64_t pass_rows, int64_t logit_rows,
                             int64_t context_tokens, Rounding rounding) {
  const HyperParameters& h = manifest.hyper_parameters;
  const int64_t q_dim = h.num_attention_heads * h.head_dim;
  const int64_t kv_dim = h.num_key_value_heads * h.head_dim;
  const auto rounded = [](int64_t bytes) { return HostBuffer::RoundedBytes(bytes); };
  WorkspaceSizes sizes = {};
  sizes.residual_bytes = rounded(pass_rows * h.hidden_size * 4);
  sizes.normed_bytes = rounded(std::min(pass_rows, kRowTile) * h.hidden_size * 4);
  for (const Block& block : manifest.program.blocks) {
    for (const Product& product : block.products) {
      for (const int matrix : MatricesOf(product, block.layer, manifest.index)) {
        const ManifestTensor& tensor = manifest.tensors[matrix];
        const ActivationFormat format = ActivationsOf(tensor.encoding, rounding);
        const int64_t k = tensor.shape[1];
        if (ReadsStream(product)) {
          sizes.activation_bytes[static_cast<int>(format)] =
              rounded(pass_rows * ActivationRowBytes(format, k));
        } else {
          const int64_t ahead = PreparedAhead(pass_rows, ActivationRowBytes(format, k), k * 4);
          sizes.ahead_bytes = std::max(sizes.ahead_bytes, ahead);
        }
      }
    }
  }
  // One buffer with what is ahead of it.
  const int64_t block_bytes = pass_rows * std::max(2 * q_dim + 2 * kv_dim, h.intermediate_size) * 4;
  sizes.block_bytes = rounded(sizes.ahead_bytes + block_bytes) - sizes.ahead_bytes;
  sizes.logits_bytes = rounded(logit_rows * h.vocab_size * 4);
  sizes.rope_bytes = rounded(context_tokens * h.head_dim * 4);
  sizes.note_bytes = rounded(sizeof(int32_t));
  sizes.staging_bytes = rounded(pass_rows * manifest.embedding_stride);
  return sizes;
}

int64_t ProductRows(const Manifest& manifest, const ManifestSlab& slab) {
  const int64_t first = slab.first_tile * kTileRows;
  return std::min(slab.num_tiles * kTileRows, manifest.tensors[slab.tensors[0]].shape[0] - first);
}

int64_t HostProductSizes::host_bytes() const {
  int64_t bytes = product_bytes;
  for (const int64_t of_format : activation_bytes) bytes += of_format;
  return bytes;
}

HostProductSizes SizeHostProducts(const Manifest& manifest, int64_t rows, int64_t logit_rows) {
  HostProductSizes sizes;
  int64_t together = 0;  // of slabs that read the same
  int block = -1;
  PassBuffer input = PassBuffer::kNormed;
  for (const ManifestSlab& slab : manifest.slabs) {
    const ManifestTensor& tensor = manifest.tensors[slab.tensors[0]];
    const Product& product = manifest.ProductOf(slab);
    const int64_t count = OfLogitRows(product) ? std::min(rows, logit_rows) : rows;
    if (slab.block != block || product.reads != input) together = 0;
    block = slab.block;
    input = product.reads;
    together += count * ProductRows(manifest, slab) * static_cast<int64_t>(sizeof(float));
    sizes.product_bytes = std::max(sizes.product_bytes, HostBuffer::RoundedBytes(together));
    const ActivationFormat format = Info(tensor.encoding).activations;
    int64_t& bytes = sizes.activation_bytes[static_cast<int>(format)];
    bytes = std::max(bytes,
                     HostBuffer::RoundedBytes(count * ActivationRowBytes(format, tensor.shape[1])));
  }
  return sizes;
}

}  // namespace sluice
