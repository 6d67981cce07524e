// Sums over the blocks of a program, and buffers of these sizes.
#include "runtime/pass/workspace.h"

#include <algorithm>
#include <utility>

#include "kernels/base/align.h"
#include "kernels/base/status_macros.h"
#include "kernels/encodings/tile.h"
#include "prefetch/io/host_buffer.h"
#include "runtime/pass/blocks/block_kinds.h"
#include "runtime/pass/rope_tables.h"

namespace sluice {
namespace {

// As memory of a ComputePlace is aligned.
constexpr int64_t kWorkspaceAlignment = 256;

int64_t Floats(int64_t count) { return count * static_cast<int64_t>(sizeof(float)); }

// Adds what the products of a block take to read what they read.
void AddInputs(const Manifest& manifest, const Block& block, int64_t pass_rows, Rounding rounding,
               WorkspaceSizes* sizes) {
  for (const Product& product : block.products) {
    for (const int matrix : MatricesOf(product, block.layer, manifest.index)) {
      const ManifestTensor& tensor = manifest.tensors[matrix];
      const ActivationFormat format = ActivationsOf(tensor.encoding, rounding);
      const int64_t k = tensor.shape[1];
      const int64_t row_bytes = ActivationRowBytes(format, k);
      if (ReadsStream(product)) {
        int64_t& bytes = sizes->activation_bytes[static_cast<int>(format)];
        bytes = std::max(bytes, HostBuffer::RoundedBytes(pass_rows * row_bytes));
      } else {
        sizes->ahead_bytes =
            std::max(sizes->ahead_bytes, PreparedAhead(pass_rows, row_bytes, Floats(k)));
      }
    }
  }
}

}  // namespace

int64_t WorkspaceSizes::activations() const {
  int64_t bytes = residual_bytes + normed_bytes + ahead_bytes + block_bytes + note_bytes;
  for (const int64_t of_format : activation_bytes) bytes += of_format;
  return bytes;
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

WorkspaceSizes SizeWorkspace(const Manifest& manifest, const PassSize& size, Rounding rounding) {
  const ModelSpec& model = manifest.spec;
  const auto rounded = [](int64_t bytes) { return HostBuffer::RoundedBytes(bytes); };
  WorkspaceSizes sizes = {};
  sizes.residual_bytes = rounded(Floats(size.rows * model.hidden_size));
  sizes.normed_bytes = rounded(Floats(std::min(size.rows, kRowTile) * model.hidden_size));
  BlockNeeds most;
  for (const Block& block : manifest.program.blocks) {
    AddInputs(manifest, block, size.rows, rounding, &sizes);
    const BlockNeeds needs = NeedsOf(block, model, size);
    most.buffer_bytes = std::max(most.buffer_bytes, needs.buffer_bytes);
    most.logits_bytes = std::max(most.logits_bytes, needs.logits_bytes);
    most.scratch_bytes = std::max(most.scratch_bytes, needs.scratch_bytes);
  }
  // One buffer with what is ahead of it.
  sizes.block_bytes = rounded(sizes.ahead_bytes + most.buffer_bytes) - sizes.ahead_bytes;
  sizes.logits_bytes = rounded(most.logits_bytes);
  sizes.scratch_bytes = most.scratch_bytes;
  sizes.rope_bytes = RopeTables::MemoryBytes(model, size.context_tokens);
  sizes.note_bytes = rounded(sizeof(int32_t));
  sizes.staging_bytes = rounded(size.rows * manifest.embedding_stride);
  return sizes;
}

int64_t ProductRows(const Manifest& manifest, const ManifestSlab& slab) {
  const int64_t first = slab.first_tile * kTileRows;
  return std::min(slab.num_tiles * kTileRows, manifest.tensors[slab.tensors[0]].shape[0] - first);
}

absl::StatusOr<Workspace> Workspace::Create(const WorkspaceSizes& sizes, ComputePlace* place) {
  Workspace workspace;
  const std::pair<DeviceRange*, int64_t> wanted[] = {
      {&workspace.residual_, sizes.residual_bytes},
      {&workspace.normed_, sizes.normed_bytes},
      {&workspace.ahead_and_block_, sizes.ahead_bytes + sizes.block_bytes},
      {&workspace.logits_, sizes.logits_bytes},
      {&workspace.note_, sizes.note_bytes}};
  for (const auto& [range, bytes] : wanted) {
    SLUICE_ASSIGN_OR_RETURN(*range, place->Allocate(bytes));
  }
  for (size_t i = 0; i < workspace.activations_.size(); ++i) {
    SLUICE_ASSIGN_OR_RETURN(workspace.activations_[i], place->Allocate(sizes.activation_bytes[i]));
  }
  const auto floats = [](const DeviceRange& range) {
    return reinterpret_cast<float*>(range.data());
  };
  workspace.block_ =
      reinterpret_cast<float*>(workspace.ahead_and_block_.data() + sizes.ahead_bytes);
  workspace.buffers_[PassBuffer::kResidual] = floats(workspace.residual_);
  workspace.buffers_[PassBuffer::kNormed] = floats(workspace.normed_);
  workspace.buffers_[PassBuffer::kNormedLast] = floats(workspace.normed_);
  workspace.buffers_[PassBuffer::kLogits] = floats(workspace.logits_);
  return workspace;
}

}  // namespace sluice
