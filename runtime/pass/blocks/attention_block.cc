// Turns heads, appends keys and values, attends.
#include "runtime/pass/blocks/attention_block.h"

#include <algorithm>
#include <cmath>
#include <variant>

#include "absl/types/span.h"
#include "kernels/base/status_macros.h"
#include "kernels/cpu/attention.h"

namespace sluice {
namespace {

const AttentionSpec& AttentionOf(const ModelSpec& model, const Block& block) {
  return std::get<AttentionSpec>(model.layers[block.layer].mixer);
}

}  // namespace

BlockNeeds AttentionBlock::Needs(const Block& block, const ModelSpec& model, const PassSize& size) {
  const AttentionSpec& attention = AttentionOf(model, block);
  return {.buffer_bytes = size.rows * 2 * (attention.q_dim() + attention.kv_dim()) *
                          static_cast<int64_t>(sizeof(float)),
          .scratch_bytes = CpuAttention::ScratchBytes(attention.num_heads, attention.head_dim,
                                                      size.num_threads)};
}

void AttentionBlock::Lay(const Block& block, PassBuffers* buffers) {
  const AttentionSpec& attention = AttentionOf(manifest().spec, block);
  const auto rows = static_cast<int64_t>(context().rows->rows.size());
  attended_ = context().workspace->block();
  q_ = attended_ + rows * attention.q_dim();
  k_ = q_ + rows * attention.q_dim();
  v_ = k_ + rows * attention.kv_dim();
  (*buffers)[PassBuffer::kAttended] = attended_;
  (*buffers)[PassBuffer::kQ] = q_;
  (*buffers)[PassBuffer::kK] = k_;
  (*buffers)[PassBuffer::kV] = v_;
}

absl::Status AttentionBlock::Make(const Block& block, PassBuffer buffer) {
  if (buffer != PassBuffer::kAttended) return absl::OkStatus();
  return Attend(block.layer, AttentionOf(manifest().spec, block));
}

absl::Status AttentionBlock::Attend(int layer, const AttentionSpec& attention) {
  const BlockRows& pass = *context().rows;
  KvCache& cache = *context().kv_cache;
  KvMover* const mover = context().kv_mover;
  rows_.clear();
  for (const BlockRow& row : pass.rows) {
    const int64_t first =
        attention.window > 0 ? std::max<int64_t>(0, row.position - attention.window + 1) : 0;
    rows_.push_back({row.pages, row.position, first});
  }
  AttentionArgs args;
  args.kv = cache.layout().layer(layer).kv;
  args.pages = cache.LayerPages(layer);
  if (mover != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(args.pages, mover->Enter(layer, absl::MakeSpan(rows_)));
  }
  args.page_stride = cache.PageBytes(layer);
  args.num_heads = attention.num_heads;
  args.attention_scale =
      static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.head_dim)));

  Ops* const ops = context().place->ops();
  const auto turn = [&](float* x, int64_t heads, TensorRole norm) {
    return ops->Rope(x, heads * attention.head_dim, static_cast<int64_t>(pass.rows.size()), heads,
                     attention.head_dim, context().rope->OfLayer(layer), pass.positions,
                     context().resident->Find(norm, layer),
                     static_cast<float>(manifest().hyper_parameters.rms_norm_eps));
  };
  SLUICE_RETURN_IF_ERROR(turn(q_, attention.num_heads, TensorRole::kQNorm));
  SLUICE_RETURN_IF_ERROR(turn(k_, attention.num_kv_heads, TensorRole::kKNorm));
  SLUICE_RETURN_IF_ERROR(Append(args, attention));
  if (mover != nullptr) SLUICE_RETURN_IF_ERROR(mover->Appended(layer));
  if (!context().tree->empty()) {
    const std::byte* const rooms = mover != nullptr ? mover->tree_rooms() : cache.tree_rooms();
    const int32_t first_room = PageFrom(args.pages, rooms, args.page_stride);
    SLUICE_RETURN_IF_ERROR(
        ops->CopyKv(args, context().tree->Enter(first_room, absl::MakeSpan(rows_))));
  }
  args.rows = rows_;
  SLUICE_RETURN_IF_ERROR(ops->Attention(args, q_, attention.q_dim(), attended_, attention.q_dim()));
  return mover != nullptr ? mover->Attended(layer) : absl::OkStatus();
}

absl::Status AttentionBlock::Append(AttentionArgs args, const AttentionSpec& attention) {
  args.rows = rows_;
  if (!context().tree->empty()) {
    // Attention finds keys by position, but they are stored by slot.
    appended_ = rows_;
    for (size_t i = 0; i < appended_.size(); ++i) {
      appended_[i].position = context().rows->rows[i].slot;
    }
    args.rows = appended_;
  }
  return context().place->ops()->AppendKv(args, k_, v_, attention.kv_dim());
}

}  // namespace sluice
