// Follows the Program from slab to slab.
#include "runtime/pass/products.h"

#include <algorithm>

#include "kernels/base/status_macros.h"
#include "kernels/encodings/tile.h"

namespace sluice {
namespace {

// A product of a slab with so many rows takes a few times as long as checking another.
constexpr int64_t kLongRows = 64;

}  // namespace

Products::Products(const LayerStore& store, ComputePlace* place, const Workspace* workspace,
                   const ResidentTensors* resident, HostProducts* host_products, Rounding rounding)
    : manifest_(store.manifest()),
      ops_(place->ops()),
      workspace_(workspace),
      resident_(resident),
      host_products_(host_products),
      rounding_(rounding) {}

void Products::Begin(int64_t num_rows, absl::Span<const int64_t> logit_rows,
                     absl::Span<const absl::Span<const std::byte>> host_tiles) {
  if (host_products_ != nullptr) host_products_->Drop();  // of a pass that was cancelled
  num_rows_ = num_rows;
  logit_rows_ = logit_rows;
  host_tiles_ = host_tiles;
}

void Products::Enter(const Block& block, const PassBuffers& buffers) {
  block_ = &block;
  buffers_ = buffers;
}

int64_t Products::RowsOf(const Product& product) const {
  return OfLogitRows(product) ? static_cast<int64_t>(logit_rows_.size()) : num_rows_;
}

bool Products::TakesLong(int slab) const {
  return RowsOf(manifest_.ProductOf(manifest_.slabs[slab])) >= kLongRows;
}

absl::Status Products::Read(int slab) {
  const Product& product = manifest_.ProductOf(manifest_.slabs[slab]);
  input_ =
      Input{.norm = ReadsStream(product) ? resident_->Find(block_->norm, block_->layer) : nullptr,
            .rows = ReadsStream(product) ? nullptr : buffers_[product.reads],
            .logit_rows = OfLogitRows(product),
            .k = manifest_.tensors[manifest_.slabs[slab].tensors[0]].shape[1],
            .num_rows = RowsOf(product)};
  return host_tiles_.empty() ? absl::OkStatus() : StartHostProducts(slab);
}

absl::StatusOr<const float*> Products::InputTile(int64_t first, int64_t count) {
  if (input_.norm == nullptr) return input_.rows + first * input_.k;
  const float* const residual = buffers_[PassBuffer::kResidual];
  float* const normed = buffers_[PassBuffer::kNormed];
  const int64_t n = input_.k;
  const auto eps = static_cast<float>(manifest_.hyper_parameters.rms_norm_eps);
  const auto norm = [&](int64_t row, int64_t rows, float* out) {
    return ops_->RmsNorm(residual + row * n, n, rows, n, input_.norm, eps, out, n);
  };
  if (!input_.logit_rows) {
    SLUICE_RETURN_IF_ERROR(norm(first, count, normed));
    return normed;
  }
  for (int64_t i = 0; i < count; ++i) {
    SLUICE_RETURN_IF_ERROR(norm(logit_rows_[first + i], 1, normed + i * n));
  }
  return normed;
}

absl::StatusOr<const std::byte*> Products::Prepared(ActivationFormat format) {
  const int i = static_cast<int>(format);
  if (input_.prepared[i] != nullptr) return input_.prepared[i];
  const int64_t row_bytes = ActivationRowBytes(format, input_.k);
  std::byte* out = workspace_->activations(format);
  if (input_.norm == nullptr) {
    const int64_t float_row_bytes = input_.k * static_cast<int64_t>(sizeof(float));
    out = reinterpret_cast<std::byte*>(input_.rows) -
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

MatMulArgs Products::ArgsOf(int slab_index, bool on_host) const {
  const ManifestSlab& slab = manifest_.slabs[slab_index];
  const ManifestTensor& tensor = manifest_.tensors[slab.tensors[0]];
  const Product& product = manifest_.ProductOf(slab);
  const ProductMatrix& matrix = *product.Find(tensor.role);
  const auto bias = [&](const ProductMatrix& of) -> const float* {
    if (!of.bias.has_value()) return nullptr;
    return on_host ? resident_->FindOnHost(*of.bias, tensor.layer)
                   : resident_->Find(*of.bias, tensor.layer);
  };
  MatMulArgs args;
  args.encoding = tensor.encoding;
  args.num_tiles = slab.num_tiles;
  args.k = tensor.shape[1];
  args.first_row = slab.first_tile * kTileRows;
  args.matrix_rows = tensor.shape[0];
  args.num_tokens = RowsOf(product);
  args.out_stride = tensor.shape[0];
  args.out = buffers_[product.writes];
  args.addend = bias(matrix);
  args.epilogue = matrix.epilogue;
  if (slab.tensors.size() == 2) {
    args.up_addend = bias(*product.second);
    args.epilogue = product.together;
  }
  return args;
}

bool Products::EndsInFirst(int slab) const {
  const TensorRole slot = manifest_.tensors[manifest_.slabs[slab].tensors[0]].role;
  return manifest_.ProductOf(manifest_.slabs[slab]).first.slot != slot;
}

absl::Status Products::StartHostProducts(int first) {
  started_.clear();
  HostProducts::Activations activations;
  const ManifestSlab& of = manifest_.slabs[first];
  const PassBuffer input = manifest_.ProductOf(of).reads;
  for (int i = first; i < static_cast<int>(manifest_.slabs.size()); ++i) {
    const ManifestSlab& slab = manifest_.slabs[i];
    const ManifestTensor& tensor = manifest_.tensors[slab.tensors[0]];
    if (slab.block != of.block || manifest_.ProductOf(slab).reads != input) break;
    if (!ByHost(i)) continue;
    MatMulArgs args = ArgsOf(i, /*on_host=*/true);
    if (args.num_tokens == 0) continue;
    args.tiles = host_tiles_[i].data();
    // Only a device multiplies activations that are rounded.
    const ActivationFormat format = Info(tensor.encoding).activations;
    SLUICE_ASSIGN_OR_RETURN(const std::byte* const prepared, Prepared(format));
    activations[static_cast<int>(format)] = {
        prepared, static_cast<size_t>(args.num_tokens * ActivationRowBytes(format, args.k))};
    started_.push_back({i, args});
  }
  return host_products_->Start(activations, started_);
}

absl::Status Products::Collect() {
  return host_products_ != nullptr ? host_products_->Collect() : absl::OkStatus();
}

absl::Status Products::Multiply(int slab, int count, absl::Span<const std::byte> tiles) {
  if (ByHost(slab)) return absl::OkStatus();
  // Where the two matrices of a product have encodings of their own, a slab of the second stands
  // behind the first's and ends in what that gave.
  if (slab > 0 && ByHost(slab - 1) && EndsInFirst(slab)) {
    SLUICE_RETURN_IF_ERROR(host_products_->Collect(slab));
  }
  MatMulArgs args = ArgsOf(slab, /*on_host=*/false);
  if (args.num_tokens == 0) return absl::OkStatus();
  args.tiles = tiles.data();
  for (int i = 1; i < count; ++i) args.num_tiles += manifest_.slabs[slab + i].num_tiles;
  const ActivationFormat format = ActivationsOf(args.encoding, rounding_);
  args.rounded_activations = format == ActivationFormat::kBF16 || format == ActivationFormat::kF16;
  SLUICE_ASSIGN_OR_RETURN(args.activations, Prepared(format));
  if (aside_ && TakesLong(slab)) args.aside = &aside_;
  return ops_->MatMul(args);
}

}  // namespace sluice
