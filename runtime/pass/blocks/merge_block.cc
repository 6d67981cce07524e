// Brings hidden rows to the place, and norms both halves of what the product reads.
#include "runtime/pass/blocks/merge_block.h"

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "kernels/base/status_macros.h"

namespace sluice {

BlockNeeds MergeBlock::Needs(const ModelSpec& model, const PassSize& size) {
  return {.buffer_bytes = size.rows * 2 * model.hidden_size * static_cast<int64_t>(sizeof(float))};
}

void MergeBlock::Lay(const Block& /*block*/, PassBuffers* buffers) {
  merged_ = context().workspace->block();
  (*buffers)[PassBuffer::kMerged] = merged_;
}

absl::Status MergeBlock::Make(const Block& block, PassBuffer /*buffer*/) {
  const std::vector<BlockRow>& rows = context().rows->rows;
  const int64_t n = manifest().spec.hidden_size;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].hidden.size() != static_cast<size_t>(n)) {
      return absl::InternalError(absl::StrCat("row ", i, " of a head that drafts came with ",
                                              rows[i].hidden.size(), " of ", n,
                                              " values of a hidden row"));
    }
    SLUICE_RETURN_IF_ERROR(context().place->Upload(
        reinterpret_cast<std::byte*>(merged_ + static_cast<int64_t>(i) * 2 * n),
        {reinterpret_cast<const std::byte*>(rows[i].hidden.data()),
         rows[i].hidden.size() * sizeof(float)}));
  }
  const auto norm = [&](const float* x, int64_t stride, TensorRole weight, float* out) {
    return context().place->ops()->RmsNorm(
        x, stride, static_cast<int64_t>(rows.size()), n,
        context().resident->Find(weight, block.layer),
        static_cast<float>(manifest().hyper_parameters.rms_norm_eps), out, 2 * n);
  };
  SLUICE_RETURN_IF_ERROR(norm(merged_, 2 * n, TensorRole::kHiddenNorm, merged_));
  return norm(context().workspace->buffers()[PassBuffer::kResidual], n, block.norm, merged_ + n);
}

}  // namespace sluice
