// Goes from block to block, and looks for numbers that are not finite between them.
#include "runtime/pass/block_executor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/finite.h"
#include "runtime/pass/blocks/block_kinds.h"

namespace sluice {
namespace {

const char* WhyNotFinite(Rounding rounding) {
  return rounding == Rounding::kBF16AndF16
             ? "activations are larger than f16's largest value (65,504): run without --fast-math; "
               "or the checkpoint's weights are "
               "damaged (NaN or infinity)"
             : "the checkpoint's weights are damaged (NaN or infinity)";
}

}  // namespace

bool ContinuesProduct(const Manifest& manifest, int slab) {
  if (slab == 0) return false;
  const ManifestSlab& before = manifest.slabs[slab - 1];
  const ManifestSlab& after = manifest.slabs[slab];
  return after.tensors == before.tensors &&
         after.first_tile == before.first_tile + before.num_tiles;
}

BlockExecutor::BlockExecutor(const LayerStore& store, const MemoryPlan& plan, ComputePlace* place,
                             KvMover* kv_mover)
    : store_(store),
      manifest_(store.manifest()),
      place_(place),
      kv_mover_(kv_mover),
      rounding_(RoundingOf(plan.request)),
      tree_(plan.tree_rooms) {
  rows_.rows.reserve(plan.pass_rows);
  rows_.positions.reserve(plan.pass_rows);
  rows_.logit_rows.reserve(plan.logit_rows);
}

absl::StatusOr<std::unique_ptr<BlockExecutor>> BlockExecutor::Create(const LayerStore& store,
                                                                     const MemoryPlan& plan,
                                                                     ComputePlace* place,
                                                                     KvCache* kv_cache,
                                                                     KvMover* kv_mover) {
  std::unique_ptr<BlockExecutor> executor(new BlockExecutor(store, plan, place, kv_mover));
  SLUICE_RETURN_IF_ERROR(executor->Allocate(plan, kv_cache));
  return executor;
}

BlockExecutor::~BlockExecutor() {
  if (place_->stream() != nullptr) place_->stream()->Finish().IgnoreError();
}

absl::Status BlockExecutor::Allocate(const MemoryPlan& plan, KvCache* kv_cache) {
  const WorkspaceSizes sizes = SizeWorkspace(manifest_, PassSizeOf(plan), rounding_);
  SLUICE_ASSIGN_OR_RETURN(workspace_, Workspace::Create(sizes, place_));
  SLUICE_ASSIGN_OR_RETURN(RopeTables rope,
                          RopeTables::Create(manifest_.spec, plan.request.context_tokens, place_));
  rope_ = std::make_unique<RopeTables>(std::move(rope));
  SLUICE_ASSIGN_OR_RETURN(ResidentTensors resident, ResidentTensors::Create(store_, place_));
  resident_ = std::make_unique<ResidentTensors>(std::move(resident));
  if (place_->device() != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(host_logits_, HostBuffer::Create(sizes.logits_bytes));
  }
  if (plan.request.keeps_hidden) {
    SLUICE_ASSIGN_OR_RETURN(hidden_rows_,
                            HostBuffer::Create(HiddenRowsBytes(manifest_.spec, plan)));
  }
  if (!plan.host_share.slabs.empty()) {
    const HostProductSizes shared =
        SizeHostProducts(manifest_, std::min(plan.pass_rows, kMostSharedRows), plan.logit_rows);
    SLUICE_ASSIGN_OR_RETURN(host_products_, HostProducts::Create(shared, place_));
  }
  products_ = std::make_unique<Products>(store_, place_, &workspace_, resident_.get(),
                                         host_products_.get(), rounding_);
  const BlockContext context = {.store = store_,
                                .place = place_,
                                .workspace = &workspace_,
                                .resident = resident_.get(),
                                .rope = rope_.get(),
                                .kv_cache = kv_cache,
                                .kv_mover = kv_mover_,
                                .products = products_.get(),
                                .rows = &rows_,
                                .tree = &tree_};
  for (size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i] = MakeBlock(static_cast<BlockKind>(i), context);
  }
  return absl::OkStatus();
}

absl::Status BlockExecutor::Embed(int64_t first_row, absl::Span<const float> embeddings) {
  float* const rows = workspace_.buffers()[PassBuffer::kResidual];
  return place_->Upload(
      reinterpret_cast<std::byte*>(rows + first_row * manifest_.spec.hidden_size),
      {reinterpret_cast<const std::byte*>(embeddings.data()), embeddings.size() * sizeof(float)});
}

absl::Status BlockExecutor::Begin(std::vector<BlockRow> rows,
                                  absl::Span<const absl::Span<const std::byte>> host_tiles) {
  rows_.rows = std::move(rows);
  rows_.positions.clear();
  rows_.logit_rows.clear();
  for (size_t i = 0; i < rows_.rows.size(); ++i) {
    rows_.positions.push_back(rows_.rows[i].position);
    if (rows_.rows[i].wants_logits) rows_.logit_rows.push_back(static_cast<int64_t>(i));
  }
  products_->Begin(static_cast<int64_t>(rows_.rows.size()), rows_.logit_rows, host_tiles);
  block_ = -1;
  SLUICE_RETURN_IF_ERROR(tree_.Begin(rows_.rows));
  if (kv_mover_ != nullptr) {
    std::vector<PassSpan> spans;
    for (const BlockRow& row : rows_.rows) {
      if (spans.empty() || spans.back().pages != row.pages)
        spans.push_back({row.pages, row.slot, row.slot});
      spans.back().last = row.slot;
    }
    SLUICE_RETURN_IF_ERROR(kv_mover_->Begin(std::move(spans)));
  }
  constexpr int32_t kNothing = -1;
  return place_->Upload(reinterpret_cast<std::byte*>(workspace_.note()),
                        {reinterpret_cast<const std::byte*>(&kNothing), sizeof(kNothing)});
}

absl::Status BlockExecutor::NotFinite(int32_t note) const {
  if (note < 0) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(store_.dir(),
                                          note == 0 ? std::string(": the embedding holds")
                                                    : absl::StrCat(": layer ", note - 1, " gave"),
                                          " numbers that are not finite; ",
                                          WhyNotFinite(rounding_)));
}

absl::Status BlockExecutor::NoteNonFinite() {
  const int32_t mark = block_ < 0 ? 0 : 1 + manifest_.program.blocks[block_].layer;
  SLUICE_RETURN_IF_ERROR(place_->ops()->NoteNonFinite(
      workspace_.buffers()[PassBuffer::kResidual],
      static_cast<int64_t>(rows_.rows.size()) * manifest_.spec.hidden_size, mark,
      workspace_.note()));
  return place_->device() == nullptr ? NotFinite(*workspace_.note()) : absl::OkStatus();
}

PassBlock& BlockExecutor::Current() const {
  return *blocks_[static_cast<size_t>(manifest_.program.blocks[block_].kind)];
}

absl::Status BlockExecutor::Enter(int block) {
  if (block_ >= 0) SLUICE_RETURN_IF_ERROR(Current().Leave());
  SLUICE_RETURN_IF_ERROR(NoteNonFinite());
  block_ = block;
  return Current().Enter(manifest_.program.blocks[block_]);
}

absl::Status BlockExecutor::Slabs(int slab, int count, absl::Span<const std::byte> tiles) {
  const int block = manifest_.slabs[slab].block;
  if (block != block_) SLUICE_RETURN_IF_ERROR(Enter(block));
  return Current().Take(slab, count, tiles);
}

absl::StatusOr<absl::Span<const float>> BlockExecutor::Finish() {
  if (kv_mover_ != nullptr) SLUICE_RETURN_IF_ERROR(kv_mover_->End());
  if (block_ >= 0) SLUICE_RETURN_IF_ERROR(Current().Leave());
  const auto num_logits = rows_.logit_rows.size() * static_cast<size_t>(manifest_.spec.vocab_size);
  const float* logits = workspace_.buffers()[PassBuffer::kLogits];
  if (place_->device() != nullptr) {
    int32_t note = -1;
    SLUICE_RETURN_IF_ERROR(place_->Download({reinterpret_cast<std::byte*>(&note), sizeof(note)},
                                            reinterpret_cast<const std::byte*>(workspace_.note())));
    SLUICE_RETURN_IF_ERROR(NotFinite(note));
    SLUICE_RETURN_IF_ERROR(place_->Download(host_logits_.span().first(num_logits * sizeof(float)),
                                            reinterpret_cast<const std::byte*>(logits)));
    logits = reinterpret_cast<const float*>(host_logits_.data());
  }
  const absl::Span<const float> span(logits, num_logits);
  if (!AllFinite(span)) {
    return absl::DataLossError(absl::StrCat(
        store_.dir(), ": the head gave logits that are not finite; ", WhyNotFinite(rounding_)));
  }
  return span;
}

absl::StatusOr<absl::Span<const float>> BlockExecutor::HiddenRows() {
  if (hidden_rows_.span().empty()) return absl::Span<const float>();
  const int64_t n = manifest_.spec.hidden_size;
  const auto num_rows = static_cast<int64_t>(rows_.rows.size());
  const float* const residual = workspace_.buffers()[PassBuffer::kResidual];
  float* const normed = workspace_.buffers()[PassBuffer::kNormed];
  for (int64_t first = 0; first < num_rows; first += kRowTile) {
    const int64_t count = std::min(kRowTile, num_rows - first);
    SLUICE_RETURN_IF_ERROR(place_->ops()->RmsNorm(
        residual + first * n, n, count, n, resident_->Find(TensorRole::kFinalNorm, -1),
        static_cast<float>(manifest_.hyper_parameters.rms_norm_eps), normed, n));
    const auto bytes = static_cast<size_t>(count * n) * sizeof(float);
    SLUICE_RETURN_IF_ERROR(place_->Download(
        hidden_rows_.span().subspan(static_cast<size_t>(first * n) * sizeof(float), bytes),
        reinterpret_cast<const std::byte*>(normed)));
  }
  return absl::Span<const float>(reinterpret_cast<const float*>(hidden_rows_.data()),
                                 static_cast<size_t>(num_rows * n));
}

}  // namespace sluice
