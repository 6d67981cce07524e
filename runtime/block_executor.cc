// The decoder's blocks: what each matrix reads, where its product goes, and what runs between.
#include "runtime/block_executor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/status_macros.h"
#include "kernels/tile.h"
#include "runtime/finite.h"

namespace sluice {

BlockExecutor::BlockExecutor(const LayerStore& store, const MemoryPlan& plan, Ops* ops, KvCache* kv_cache)
    : store_(store),
      manifest_(store.manifest()),
      h_(store.hyper_parameters()),
      ops_(ops),
      kv_cache_(kv_cache),
      q_dim_(h_.num_attention_heads * h_.head_dim),
      kv_dim_(h_.num_key_value_heads * h_.head_dim) {
  rows_.reserve(plan.pass_rows);
  attention_rows_.reserve(plan.pass_rows);
  positions_.reserve(plan.pass_rows);
}

absl::StatusOr<std::unique_ptr<BlockExecutor>> BlockExecutor::Create(const LayerStore& store,
                                                                     const MemoryPlan& plan, Ops* ops,
                                                                     KvCache* kv_cache) {
  std::unique_ptr<BlockExecutor> executor(new BlockExecutor(store, plan, ops, kv_cache));
  SLUICE_RETURN_IF_ERROR(executor->AllocateBuffers(plan));
  executor->FillRopeTable(plan.request.context_tokens);
  return executor;
}

absl::Status BlockExecutor::AllocateBuffers(const MemoryPlan& plan) {
  const WorkspaceSizes sizes =
      SizeWorkspace(manifest_, plan.pass_rows, plan.logit_rows, plan.request.context_tokens);
  const int64_t wanted[8] = {sizes.residual_bytes,      sizes.normed_bytes,
                             sizes.block_bytes,         sizes.activation_bytes[0],
                             sizes.activation_bytes[1], sizes.activation_bytes[2],
                             sizes.logits_bytes,        sizes.rope_bytes};
  for (int i = 0; i < 8; ++i) {
    SLUICE_ASSIGN_OR_RETURN(buffers_[i], HostBuffer::Create(wanted[i]));
  }
  const auto floats = [this](int i) { return reinterpret_cast<float*>(buffers_[i].data()); };
  residual_ = floats(0);
  normed_ = floats(1);
  q_ = floats(2);
  attended_ = q_ + plan.pass_rows * q_dim_;
  k_ = attended_ + plan.pass_rows * q_dim_;
  v_ = k_ + plan.pass_rows * kv_dim_;
  gate_ = q_;
  for (int i = 0; i < 3; ++i) activations_[i] = buffers_[3 + i].data();
  logits_ = floats(6);
  rope_ = floats(7);
  return absl::OkStatus();
}

void BlockExecutor::FillRopeTable(int64_t context_tokens) {
  const std::vector<double> frequencies = RopeInverseFrequencies(h_);
  const double scaling = RopeAttentionScaling(h_);
  const int64_t half = h_.head_dim / 2;
  for (int64_t position = 0; position < context_tokens; ++position) {
    float* const row = rope_ + position * h_.head_dim;
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * frequencies[i];
      row[i] = static_cast<float>(std::cos(angle) * scaling);
      row[half + i] = static_cast<float>(std::sin(angle) * scaling);
    }
  }
}

void BlockExecutor::Begin(std::vector<BlockRow> rows) {
  rows_ = std::move(rows);
  positions_.clear();
  num_logits_ = 0;
  for (const BlockRow& row : rows_) {
    positions_.push_back(row.position);
    num_logits_ += row.wants_logits;
  }
  block_ = -1;
}

void BlockExecutor::SetInput(const float* x, int64_t stride, int64_t k, int64_t num_rows) {
  input_ = Input{x, stride, k, num_rows, {}};
}

absl::StatusOr<const std::byte*> BlockExecutor::Prepared(ActivationFormat format) {
  const int i = static_cast<int>(format);
  if (!input_.prepared[i]) {
    SLUICE_RETURN_IF_ERROR(ops_->PrepareActivations(format, input_.x, input_.stride, input_.num_rows,
                                                    input_.k, activations_[i]));
    input_.prepared[i] = true;
  }
  return activations_[i];
}

const float* BlockExecutor::Addend(TensorRole role, int layer) const {
  const absl::Span<const float> bias = store_.Resident(role, layer);
  return bias.empty() ? nullptr : bias.data();
}

absl::Status BlockExecutor::NormInput(TensorRole norm, int layer) {
  const int64_t num_rows = static_cast<int64_t>(rows_.size());
  SLUICE_RETURN_IF_ERROR(ops_->RmsNorm(residual_, h_.hidden_size, num_rows, h_.hidden_size,
                                       store_.Resident(norm, layer).data(),
                                       static_cast<float>(h_.rms_norm_eps), normed_, h_.hidden_size));
  SetInput(normed_, h_.hidden_size, h_.hidden_size, num_rows);
  return absl::OkStatus();
}

// Norms only the rows that want logits, next to each other.
absl::Status BlockExecutor::HeadInput() {
  int64_t row = 0;
  for (size_t i = 0; i < rows_.size(); ++i) {
    if (!rows_[i].wants_logits) continue;
    SLUICE_RETURN_IF_ERROR(ops_->RmsNorm(residual_ + i * h_.hidden_size, h_.hidden_size, 1, h_.hidden_size,
                                         store_.Resident(TensorRole::kFinalNorm, -1).data(),
                                         static_cast<float>(h_.rms_norm_eps),
                                         normed_ + row * h_.hidden_size, h_.hidden_size));
    ++row;
  }
  SetInput(normed_, h_.hidden_size, h_.hidden_size, num_logits_);
  return absl::OkStatus();
}

// A NaN or an infinity in the residual stream stays there: one look a layer finds it where it arose.
absl::Status BlockExecutor::CheckFinite(int layer) const {
  if (AllFinite(absl::MakeConstSpan(residual_, rows_.size() * h_.hidden_size))) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      store_.dir(), layer < 0 ? std::string(": the embedding holds") : absl::StrCat(": layer ", layer, " gave"),
      " numbers that are not finite; the checkpoint's weights are damaged (NaN or infinity)"));
}

absl::Status BlockExecutor::StartBlock(int block) {
  SLUICE_RETURN_IF_ERROR(CheckFinite(block_ < 0 ? -1 : block_ / 2));
  block_ = block;
  attended_done_ = false;
  down_started_ = false;
  if (block == HeadBlock(h_)) return HeadInput();
  const int layer = block / 2;
  return NormInput(block == AttentionBlock(layer) ? TensorRole::kAttentionNorm : TensorRole::kMlpNorm, layer);
}

absl::Status BlockExecutor::Attend(int layer) {
  const int64_t num_rows = static_cast<int64_t>(rows_.size());
  const int64_t window = h_.layer_windows[layer];
  attention_rows_.clear();
  for (const BlockRow& row : rows_) {
    const int64_t first = window > 0 ? std::max<int64_t>(0, row.position - window + 1) : 0;
    attention_rows_.push_back({row.pages, row.position, first});
  }
  AttentionArgs args;
  args.kv = kv_cache_->shape();
  args.pages = kv_cache_->LayerPages(layer);
  args.page_stride = kv_cache_->page_stride();
  args.num_heads = h_.num_attention_heads;
  args.attention_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(h_.head_dim)));
  args.rows = attention_rows_;

  const float eps = static_cast<float>(h_.rms_norm_eps);
  SLUICE_RETURN_IF_ERROR(ops_->Rope(q_, q_dim_, num_rows, h_.num_attention_heads, h_.head_dim, rope_,
                                    positions_, Addend(TensorRole::kQNorm, layer), eps));
  SLUICE_RETURN_IF_ERROR(ops_->Rope(k_, kv_dim_, num_rows, h_.num_key_value_heads, h_.head_dim, rope_,
                                    positions_, Addend(TensorRole::kKNorm, layer), eps));
  SLUICE_RETURN_IF_ERROR(ops_->AppendKv(args, k_, v_, kv_dim_));
  return ops_->Attention(args, q_, q_dim_, attended_, q_dim_);
}

absl::Status BlockExecutor::Slab(int slab_index, absl::Span<const std::byte> tiles) {
  const ManifestSlab& slab = manifest_.slabs[slab_index];
  if (slab.block != block_) SLUICE_RETURN_IF_ERROR(StartBlock(slab.block));
  const ManifestTensor& tensor = manifest_.tensors[slab.tensors[0]];
  const int64_t num_rows = static_cast<int64_t>(rows_.size());

  MatMulArgs args;
  args.encoding = tensor.encoding;
  args.tiles = tiles.data();
  args.num_tiles = slab.num_tiles;
  args.k = tensor.shape[1];
  args.first_row = slab.first_tile * kTileRows;
  args.matrix_rows = tensor.shape[0];
  args.num_tokens = num_rows;
  args.out_stride = tensor.shape[0];
  switch (tensor.role) {
    case TensorRole::kQ:
      args.out = q_;
      args.addend = Addend(TensorRole::kQBias, tensor.layer);
      break;
    case TensorRole::kK:
      args.out = k_;
      args.addend = Addend(TensorRole::kKBias, tensor.layer);
      break;
    case TensorRole::kV:
      args.out = v_;
      args.addend = Addend(TensorRole::kVBias, tensor.layer);
      break;
    case TensorRole::kO:
      if (!attended_done_) {
        SLUICE_RETURN_IF_ERROR(Attend(tensor.layer));
        SetInput(attended_, q_dim_, q_dim_, num_rows);
        attended_done_ = true;
      }
      args.out = residual_;
      args.addend = Addend(TensorRole::kOBias, tensor.layer);
      args.epilogue = Epilogue::kAdd;
      break;
    case TensorRole::kGate:
      args.out = gate_;
      args.addend = Addend(TensorRole::kGateBias, tensor.layer);
      if (slab.tensors.size() == 2) {
        args.up_addend = Addend(TensorRole::kUpBias, tensor.layer);
        args.epilogue = Epilogue::kSwiGlu;
      }
      break;
    case TensorRole::kUp:
      args.out = gate_;
      args.addend = Addend(TensorRole::kUpBias, tensor.layer);
      args.epilogue = Epilogue::kMultiply;
      break;
    case TensorRole::kDown:
      if (!down_started_) {
        SetInput(gate_, h_.intermediate_size, h_.intermediate_size, num_rows);
        down_started_ = true;
      }
      args.out = residual_;
      args.addend = Addend(TensorRole::kDownBias, tensor.layer);
      args.epilogue = Epilogue::kAdd;
      break;
    case TensorRole::kHead:
      args.num_tokens = num_logits_;
      args.out = logits_;
      break;
    default:
      return absl::InternalError(absl::StrCat("slab ", slab_index, " holds ", tensor.name,
                                              ", which is not streamed"));
  }
  if (args.num_tokens == 0) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(args.activations, Prepared(Info(tensor.encoding).activations));
  return ops_->MatMul(args);
}

absl::Span<const float> BlockExecutor::logits() const {
  return absl::MakeConstSpan(logits_, num_logits_ * h_.vocab_size);
}

}  // namespace sluice
