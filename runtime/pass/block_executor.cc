// Carries out the Program: products from its tables, and what runs between them.
#include "runtime/pass/block_executor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/encodings/tile.h"
#include "kernels/finite.h"

namespace sluice {
namespace {

// A product of a slab with so many rows takes a few times as long as checking another.
constexpr int64_t kLongRows = 64;

absl::Span<const std::byte> BytesOf(absl::Span<const float> values) {
  return {reinterpret_cast<const std::byte*>(values.data()), values.size() * sizeof(float)};
}

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
                             KvCache* kv_cache, KvMover* kv_mover)
    : store_(store),
      manifest_(store.manifest()),
      h_(store.hyper_parameters()),
      place_(place),
      ops_(place->ops()),
      kv_cache_(kv_cache),
      kv_mover_(kv_mover),
      q_dim_(h_.num_attention_heads * h_.head_dim),
      kv_dim_(h_.num_key_value_heads * h_.head_dim),
      rounding_(RoundingOf(plan.request)) {
  rows_.reserve(plan.pass_rows);
  attention_rows_.reserve(plan.pass_rows);
  positions_.reserve(plan.pass_rows);
  logit_rows_.reserve(plan.logit_rows);
}

absl::StatusOr<std::unique_ptr<BlockExecutor>> BlockExecutor::Create(const LayerStore& store,
                                                                     const MemoryPlan& plan,
                                                                     ComputePlace* place,
                                                                     KvCache* kv_cache,
                                                                     KvMover* kv_mover) {
  std::unique_ptr<BlockExecutor> executor(
      new BlockExecutor(store, plan, place, kv_cache, kv_mover));
  SLUICE_RETURN_IF_ERROR(executor->AllocateBuffers(plan));
  SLUICE_RETURN_IF_ERROR(executor->FillRopeTable(plan.request.context_tokens));
  if (place->device() != nullptr) SLUICE_RETURN_IF_ERROR(executor->PlaceResident());
  if (!plan.host_share.slabs.empty()) {
    const HostProductSizes sizes = SizeHostProducts(
        store.manifest(), std::min(plan.pass_rows, kMostSharedRows), plan.logit_rows);
    SLUICE_ASSIGN_OR_RETURN(executor->host_products_, HostProducts::Create(sizes, place));
  }
  return executor;
}

BlockExecutor::~BlockExecutor() {
  if (place_->stream() != nullptr) place_->stream()->Finish().IgnoreError();
}

absl::Status BlockExecutor::AllocateBuffers(const MemoryPlan& plan) {
  const WorkspaceSizes sizes = SizeWorkspace(manifest_, plan.pass_rows, plan.logit_rows,
                                             plan.request.context_tokens, rounding_);
  const int64_t wanted[6] = {
      sizes.residual_bytes, sizes.normed_bytes, sizes.ahead_bytes + sizes.block_bytes,
      sizes.logits_bytes,   sizes.rope_bytes,   sizes.note_bytes};
  for (int i = 0; i < 6; ++i) {
    SLUICE_ASSIGN_OR_RETURN(buffers_[i], place_->Allocate(wanted[i]));
  }
  for (int i = 0; i < kNumActivationFormats; ++i) {
    SLUICE_ASSIGN_OR_RETURN(activation_buffers_[i], place_->Allocate(sizes.activation_bytes[i]));
  }
  if (place_->device() != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(host_logits_, HostBuffer::Create(sizes.logits_bytes));
  }
  const auto floats = [this](int i) { return reinterpret_cast<float*>(buffers_[i].data()); };
  residual_ = floats(0);
  normed_ = floats(1);
  attended_ = floats(2) + sizes.ahead_bytes / sizeof(float);
  q_ = attended_ + plan.pass_rows * q_dim_;
  k_ = q_ + plan.pass_rows * q_dim_;
  v_ = k_ + plan.pass_rows * kv_dim_;
  gate_ = attended_;
  logits_ = floats(3);
  rope_ = floats(4);
  note_ = reinterpret_cast<int32_t*>(buffers_[5].data());
  return absl::OkStatus();
}

absl::Status BlockExecutor::FillRopeTable(int64_t context_tokens) {
  constexpr int64_t kRowsAtOnce = 64;
  // One table serves all layers: no family turns heads of one layer otherwise than of another.
  const RopeParameters& rope = std::get<AttentionSpec>(manifest_.spec.layers[0].mixer).rope;
  const std::vector<double> frequencies = RopeInverseFrequencies(rope, h_.head_dim);
  const double scaling = RopeAttentionScaling(rope);
  const int64_t half = h_.head_dim / 2;
  std::vector<float> table(kRowsAtOnce * h_.head_dim);
  for (int64_t first = 0; first < context_tokens; first += kRowsAtOnce) {
    const int64_t rows = std::min(kRowsAtOnce, context_tokens - first);
    for (int64_t r = 0; r < rows; ++r) {
      float* const row = table.data() + r * h_.head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(first + r) * frequencies[i];
        row[i] = static_cast<float>(std::cos(angle) * scaling);
        row[half + i] = static_cast<float>(std::sin(angle) * scaling);
      }
    }
    SLUICE_RETURN_IF_ERROR(
        place_->Upload(reinterpret_cast<std::byte*>(rope_ + first * h_.head_dim),
                       BytesOf(absl::MakeConstSpan(table.data(), rows * h_.head_dim))));
  }
  return absl::OkStatus();
}

absl::Status BlockExecutor::PlaceResident() {
  SLUICE_ASSIGN_OR_RETURN(resident_memory_, place_->Allocate(manifest_.resident_bytes));
  for (const ManifestTensor& tensor : manifest_.tensors) {
    if (PlaceOf(tensor.role) != TensorPlace::kResident) continue;
    SLUICE_RETURN_IF_ERROR(place_->Upload(resident_memory_.data() + tensor.offset,
                                          BytesOf(store_.Resident(tensor.role, tensor.layer))));
  }
  return absl::OkStatus();
}

absl::Status BlockExecutor::Embed(int64_t first_row, absl::Span<const float> embeddings) {
  return place_->Upload(reinterpret_cast<std::byte*>(residual_ + first_row * h_.hidden_size),
                        BytesOf(embeddings));
}

absl::Status BlockExecutor::Begin(std::vector<BlockRow> rows,
                                  absl::Span<const absl::Span<const std::byte>> host_tiles) {
  if (host_products_ != nullptr) host_products_->Drop();  // of a pass that was cancelled
  host_tiles_ = host_tiles;
  rows_ = std::move(rows);
  positions_.clear();
  logit_rows_.clear();
  for (size_t i = 0; i < rows_.size(); ++i) {
    positions_.push_back(rows_[i].position);
    if (rows_[i].wants_logits) logit_rows_.push_back(static_cast<int64_t>(i));
  }
  block_ = -1;
  if (kv_mover_ != nullptr) {
    std::vector<PassSpan> spans;
    for (const BlockRow& row : rows_) {
      if (spans.empty() || spans.back().pages != row.pages)
        spans.push_back({row.pages, row.position, row.position});
      spans.back().last = row.position;
    }
    SLUICE_RETURN_IF_ERROR(kv_mover_->Begin(std::move(spans)));
  }
  constexpr int32_t kNothing = -1;
  return place_->Upload(reinterpret_cast<std::byte*>(note_),
                        {reinterpret_cast<const std::byte*>(&kNothing), sizeof(kNothing)});
}

absl::StatusOr<const float*> BlockExecutor::InputTile(int64_t first, int64_t count) {
  if (input_.norm == nullptr) return gate_ + first * input_.k;
  const auto norm = [&](int64_t row, int64_t rows, float* out) {
    return ops_->RmsNorm(residual_ + row * h_.hidden_size, h_.hidden_size, rows, h_.hidden_size,
                         input_.norm, static_cast<float>(h_.rms_norm_eps), out, h_.hidden_size);
  };
  if (!input_.logit_rows) {
    SLUICE_RETURN_IF_ERROR(norm(first, count, normed_));
    return normed_;
  }
  for (int64_t i = 0; i < count; ++i) {
    SLUICE_RETURN_IF_ERROR(norm(logit_rows_[first + i], 1, normed_ + i * h_.hidden_size));
  }
  return normed_;
}

absl::StatusOr<const std::byte*> BlockExecutor::Prepared(ActivationFormat format) {
  const int i = static_cast<int>(format);
  if (input_.prepared[i] != nullptr) return input_.prepared[i];
  const int64_t row_bytes = ActivationRowBytes(format, input_.k);
  std::byte* out = activation_buffers_[i].data();
  if (input_.norm == nullptr) {
    const int64_t float_row_bytes = input_.k * static_cast<int64_t>(sizeof(float));
    out = reinterpret_cast<std::byte*>(gate_) -
          PreparedAhead(input_.num_rows, row_bytes, float_row_bytes);
  }
  for (int64_t first = 0; first < input_.num_rows; first += kRowTile) {
    const int64_t count = std::min(kRowTile, input_.num_rows - first);
    SLUICE_ASSIGN_OR_RETURN(const float* const x, InputTile(first, count));
    SLUICE_RETURN_IF_ERROR(
        ops_->PrepareActivations(format, x, input_.k, count, input_.k, out + first * row_bytes));
  }
  return input_.prepared[i] = out;
}

const float* BlockExecutor::Resident(TensorRole role, int layer, bool on_host) const {
  const absl::Span<const float> values = store_.Resident(role, layer);
  if (values.empty()) return nullptr;
  if (on_host || place_->device() == nullptr) return values.data();
  return reinterpret_cast<const float*>(resident_memory_.data() +
                                        manifest_.Find(role, layer)->offset);
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
  SLUICE_RETURN_IF_ERROR(ops_->NoteNonFinite(
      residual_, static_cast<int64_t>(rows_.size()) * h_.hidden_size, mark, note_));
  return place_->device() == nullptr ? NotFinite(*note_) : absl::OkStatus();
}

absl::Status BlockExecutor::Attend(int layer, const AttentionSpec& attention) {
  const int64_t num_rows = static_cast<int64_t>(rows_.size());
  const int64_t window = attention.window;
  attention_rows_.clear();
  for (const BlockRow& row : rows_) {
    const int64_t first = window > 0 ? std::max<int64_t>(0, row.position - window + 1) : 0;
    attention_rows_.push_back({row.pages, row.position, first});
  }
  AttentionArgs args;
  args.kv = kv_cache_->shape();
  args.pages = kv_cache_->LayerPages(layer);
  if (kv_mover_ != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(args.pages, kv_mover_->Enter(layer, absl::MakeSpan(attention_rows_)));
  }
  args.page_stride = kv_cache_->page_stride();
  args.num_heads = attention.num_heads;
  args.attention_scale =
      static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.head_dim)));
  args.rows = attention_rows_;

  const float eps = static_cast<float>(h_.rms_norm_eps);
  SLUICE_RETURN_IF_ERROR(ops_->Rope(q_, q_dim_, num_rows, attention.num_heads, attention.head_dim,
                                    rope_, positions_, Resident(TensorRole::kQNorm, layer), eps));
  SLUICE_RETURN_IF_ERROR(ops_->Rope(k_, kv_dim_, num_rows, attention.num_kv_heads,
                                    attention.head_dim, rope_, positions_,
                                    Resident(TensorRole::kKNorm, layer), eps));
  SLUICE_RETURN_IF_ERROR(ops_->AppendKv(args, k_, v_, kv_dim_));
  if (kv_mover_ != nullptr) SLUICE_RETURN_IF_ERROR(kv_mover_->Appended(layer));
  SLUICE_RETURN_IF_ERROR(ops_->Attention(args, q_, q_dim_, attended_, q_dim_));
  return kv_mover_ != nullptr ? kv_mover_->Attended(layer) : absl::OkStatus();
}

bool BlockExecutor::TakesLong(int slab) const {
  const bool logits = OfLogitRows(manifest_.ProductOf(manifest_.slabs[slab]));
  return static_cast<int64_t>(logits ? logit_rows_.size() : rows_.size()) >= kLongRows;
}

absl::StatusOr<bool> BlockExecutor::EnterInput(const ManifestSlab& slab) {
  const Product& product = manifest_.ProductOf(slab);
  if (slab.block == block_ && product.reads == reads_) return false;
  SLUICE_RETURN_IF_ERROR(CollectHostProducts());
  const Block& block = manifest_.BlockOf(slab);
  if (slab.block != block_) SLUICE_RETURN_IF_ERROR(NoteNonFinite());
  block_ = slab.block;
  reads_ = product.reads;
  if (reads_ == PassBuffer::kAttended) {
    const LayerSpec& layer = manifest_.spec.layers[block.layer];
    SLUICE_RETURN_IF_ERROR(Attend(block.layer, std::get<AttentionSpec>(layer.mixer)));
  }
  input_ = Input{.norm = ReadsStream(product) ? Resident(block.norm, block.layer) : nullptr,
                 .logit_rows = OfLogitRows(product),
                 .k = manifest_.tensors[slab.tensors[0]].shape[1]};
  input_.num_rows = static_cast<int64_t>(input_.logit_rows ? logit_rows_.size() : rows_.size());
  return true;
}

float* BlockExecutor::RowsOf(PassBuffer buffer) const {
  switch (buffer) {
    case PassBuffer::kNormed:
    case PassBuffer::kNormedLast:
      return normed_;
    case PassBuffer::kQ:
      return q_;
    case PassBuffer::kK:
      return k_;
    case PassBuffer::kV:
      return v_;
    case PassBuffer::kAttended:
      return attended_;
    case PassBuffer::kGated:
      return gate_;
    case PassBuffer::kResidual:
      return residual_;
    case PassBuffer::kLogits:
      return logits_;
  }
  return nullptr;
}

MatMulArgs BlockExecutor::ProductOf(int slab_index, bool on_host) const {
  const ManifestSlab& slab = manifest_.slabs[slab_index];
  const ManifestTensor& tensor = manifest_.tensors[slab.tensors[0]];
  const Product& product = manifest_.ProductOf(slab);
  const ProductMatrix& matrix = *product.Find(tensor.role);
  const auto bias = [&](const ProductMatrix& of) {
    return of.bias.has_value() ? Resident(*of.bias, tensor.layer, on_host) : nullptr;
  };
  MatMulArgs args;
  args.encoding = tensor.encoding;
  args.num_tiles = slab.num_tiles;
  args.k = tensor.shape[1];
  args.first_row = slab.first_tile * kTileRows;
  args.matrix_rows = tensor.shape[0];
  args.num_tokens = static_cast<int64_t>(OfLogitRows(product) ? logit_rows_.size() : rows_.size());
  args.out_stride = tensor.shape[0];
  args.out = RowsOf(product.writes);
  args.addend = bias(matrix);
  args.epilogue = matrix.epilogue;
  if (slab.tensors.size() == 2) {
    args.up_addend = bias(*product.second);
    args.epilogue = product.together;
  }
  return args;
}

bool BlockExecutor::EndsInFirst(int slab) const {
  const TensorRole slot = manifest_.tensors[manifest_.slabs[slab].tensors[0]].role;
  return manifest_.ProductOf(manifest_.slabs[slab]).first.slot != slot;
}

absl::Status BlockExecutor::StartHostProducts(int first) {
  started_.clear();
  HostProducts::Activations activations;
  const ManifestSlab& of = manifest_.slabs[first];
  const PassBuffer input = manifest_.ProductOf(of).reads;
  for (int i = first; i < static_cast<int>(manifest_.slabs.size()); ++i) {
    const ManifestSlab& slab = manifest_.slabs[i];
    const ManifestTensor& tensor = manifest_.tensors[slab.tensors[0]];
    if (slab.block != of.block || manifest_.ProductOf(slab).reads != input) break;
    if (!ByHost(i)) continue;
    MatMulArgs args = ProductOf(i, /*on_host=*/true);
    if (args.num_tokens == 0) continue;
    args.tiles = host_tiles_[i].data();
    // Those that are rounded are the device's
    const ActivationFormat format = Info(tensor.encoding).activations;
    SLUICE_ASSIGN_OR_RETURN(const std::byte* const prepared, Prepared(format));
    activations[static_cast<int>(format)] = {
        prepared, static_cast<size_t>(args.num_tokens * ActivationRowBytes(format, args.k))};
    started_.push_back({i, args});
  }
  return host_products_->Start(activations, started_);
}

absl::Status BlockExecutor::CollectHostProducts() {
  return host_products_ != nullptr ? host_products_->Collect() : absl::OkStatus();
}

absl::Status BlockExecutor::Slabs(int slab_index, int count, absl::Span<const std::byte> tiles) {
  SLUICE_ASSIGN_OR_RETURN(const bool first, EnterInput(manifest_.slabs[slab_index]));
  if (first && !host_tiles_.empty()) SLUICE_RETURN_IF_ERROR(StartHostProducts(slab_index));
  if (ByHost(slab_index)) return absl::OkStatus();
  // Where the two matrices of a product have encodings of their own, a slab of the second stands
  // behind the first's and ends in what that gave.
  if (slab_index > 0 && ByHost(slab_index - 1) && EndsInFirst(slab_index)) {
    SLUICE_RETURN_IF_ERROR(host_products_->Collect(slab_index));
  }
  MatMulArgs args = ProductOf(slab_index, /*on_host=*/false);
  if (args.num_tokens == 0) return absl::OkStatus();
  args.tiles = tiles.data();
  for (int i = 1; i < count; ++i) args.num_tiles += manifest_.slabs[slab_index + i].num_tiles;
  const ActivationFormat format = ActivationsOf(args.encoding, rounding_);
  args.rounded_activations = format == ActivationFormat::kBF16 || format == ActivationFormat::kF16;
  SLUICE_ASSIGN_OR_RETURN(args.activations, Prepared(format));
  if (aside_ && TakesLong(slab_index)) args.aside = &aside_;
  return ops_->MatMul(args);
}

absl::StatusOr<absl::Span<const float>> BlockExecutor::Finish() {
  if (kv_mover_ != nullptr) SLUICE_RETURN_IF_ERROR(kv_mover_->End());
  SLUICE_RETURN_IF_ERROR(CollectHostProducts());
  const auto num_logits = logit_rows_.size() * static_cast<size_t>(h_.vocab_size);
  const float* logits = logits_;
  if (place_->device() != nullptr) {
    int32_t note = -1;
    SLUICE_RETURN_IF_ERROR(place_->Download({reinterpret_cast<std::byte*>(&note), sizeof(note)},
                                            reinterpret_cast<const std::byte*>(note_)));
    SLUICE_RETURN_IF_ERROR(NotFinite(note));
    SLUICE_RETURN_IF_ERROR(place_->Download(host_logits_.span().first(num_logits * sizeof(float)),
                                            reinterpret_cast<const std::byte*>(logits_)));
    logits = reinterpret_cast<const float*>(host_logits_.data());
  }
  const absl::Span<const float> span(logits, num_logits);
  if (!AllFinite(span)) {
    return absl::DataLossError(absl::StrCat(
        store_.dir(), ": the head gave logits that are not finite; ", WhyNotFinite(rounding_)));
  }
  return span;
}

}  // namespace sluice
