// Checks arguments, brings the host's arrays to the device, picks a kernel, launches it.
#include "kernels/cuda/cuda_ops.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/upload_ring.h"
#include "kernels/encodings/tile.h"

namespace sluice::cuda {
namespace {

// What kernels know by their numbers.
static_assert(static_cast<int>(Epilogue::kStore) == 0 && static_cast<int>(Epilogue::kAdd) == 1 &&
              static_cast<int>(Epilogue::kSwiGlu) == 2 &&
              static_cast<int>(Epilogue::kMultiply) == 3);
static_assert(static_cast<int>(KvType::kF32) == kKvF32 &&
              static_cast<int>(KvType::kF16) == kKvF16 &&
              static_cast<int>(KvType::kQ8_0) == kKvQ8_0 && kKvPageTokens == kPageTokens);

// Runs of tokens that are copied by one launch: what the smallest upload buffer holds.
constexpr size_t kMovesAtOnce = 4096 / sizeof(KvMove);

using LaunchMatMul = cudaError_t (*)(const MatMulJob&, cudaStream_t);

// Kernels for few tokens and for many; null where there are none.
struct MatMulKernels {
  LaunchMatMul few;
  LaunchMatMul many;
};

template <class Decoder>
constexpr MatMulKernels kQuantized = {LaunchDp4a<Decoder>, LaunchMma<Decoder>};
template <class Weights>
constexpr MatMulKernels kFloat = {LaunchFma<Weights>, LaunchFma<Weights>};

constexpr MatMulKernels kKernels[kNumEncodings] = {
#define SLUICE_FLOAT_ENCODING(name, ...) kFloat<name##Weights>,
#define SLUICE_QUANTIZED_ENCODING(name, ...) kQuantized<name>,
#include "kernels/encodings/encodings.def"
};

// Of an encoding whose activations are rounded, and what to.
struct RoundedKernels {
  MatMulKernels kernels;
  ActivationFormat format;
};
RoundedKernels RoundedKernelsOf(Encoding encoding) {
  switch (encoding) {
    case Encoding::kF16:
      return {{LaunchRoundedFew<RoundedF16>, LaunchRoundedMany<RoundedF16>},
              ActivationFormat::kF16};
    case Encoding::kBF16:
      return {{LaunchRoundedFew<RoundedBF16>, LaunchRoundedMany<RoundedBF16>},
              ActivationFormat::kBF16};
    default:
      return {{nullptr, nullptr}, Info(encoding).activations};
  }
}

class CudaOps : public Ops {
 public:
  CudaOps(const Device& device, const Stream* stream, DeviceAllocator* allocator,
          UploadRing uploads, const CudaOpsOptions& options)
      : limits_{device.multiprocessors(), options.attention_scratch_bytes},
        compute_capability_(device.compute_capability()),
        options_(options),
        stream_(stream),
        allocator_(allocator),
        uploads_(std::move(uploads)) {}

  absl::Status Reserve(const PassLimits& pass) override {
    SLUICE_RETURN_IF_ERROR(Check(pass.num_heads, pass.kv));
    SLUICE_RETURN_IF_ERROR(uploads_.Reserve(UploadBufferBytes(pass)));
    return GrowScratch(MostScratchBytes(pass, limits_));
  }

  absl::Status PrepareActivations(ActivationFormat format, const float* x, int64_t x_stride,
                                  int64_t num_rows, int64_t k, std::byte* out) override {
    const PrepareJob job = {.x = x,
                            .x_stride = x_stride,
                            .num_rows = num_rows,
                            .k = k,
                            .out = reinterpret_cast<uint8_t*>(out),
                            .row_bytes = ActivationRowBytes(format, k)};
    switch (format) {
      case ActivationFormat::kF32:
        return CudaStatus(LaunchPrepareF32(job, stream_->get()), "copying activations");
      case ActivationFormat::kInt8Block32:
        return CudaStatus(LaunchPrepareBlock32(job, stream_->get()),
                          "quantizing activations by 32");
      case ActivationFormat::kInt8Block256:
        return CudaStatus(LaunchPrepareBlock256(job, stream_->get()),
                          "quantizing activations by 256");
      case ActivationFormat::kBF16:
        return CudaStatus(LaunchPrepareBF16(job, stream_->get()), "rounding activations to bf16");
      case ActivationFormat::kF16:
        return CudaStatus(LaunchPrepareF16(job, stream_->get()), "rounding activations to f16");
    }
    return absl::UnimplementedError("activations of this format have no CUDA kernel");
  }

  absl::Status MatMul(const MatMulArgs& args) override {
    const EncodingInfo& info = Info(args.encoding);
    if (args.k % info.block_values != 0) {
      return absl::InvalidArgumentError(absl::StrCat("a product of ", info.name,
                                                     " weights needs K to be a multiple of ",
                                                     info.block_values, ", not ", args.k));
    }
    MatMulKernels kernels = kKernels[static_cast<int>(args.encoding)];
    ActivationFormat format = info.activations;
    if (args.rounded_activations) {
      const RoundedKernels rounded = RoundedKernelsOf(args.encoding);
      if (rounded.kernels.few == nullptr) {
        return absl::UnimplementedError(
            absl::StrCat("CUDA: products of ", info.name, " weights round no activations"));
      }
      SLUICE_RETURN_IF_ERROR(CheckRoundsActivations(compute_capability_));
      kernels = rounded.kernels;
      format = rounded.format;
    }
    if (args.num_tokens <= 0 || args.num_tiles <= 0) return absl::OkStatus();
    const MatMulJob job = {.tiles = reinterpret_cast<const uint8_t*>(args.tiles),
                           .tile_bytes = TileBytes(args.encoding, args.k),
                           .num_tiles = args.num_tiles,
                           .k = args.k,
                           .first_row = args.first_row,
                           .matrix_rows = args.matrix_rows,
                           .activations = reinterpret_cast<const uint8_t*>(args.activations),
                           .activation_stride = ActivationRowBytes(format, args.k),
                           .num_tokens = args.num_tokens,
                           .addend = args.addend,
                           .up_addend = args.up_addend,
                           .epilogue = static_cast<int>(args.epilogue),
                           .out = args.out,
                           .out_stride = args.out_stride};
    const LaunchMatMul launch =
        args.num_tokens < options_.mma_min_tokens ? kernels.few : kernels.many;
    return CudaStatus(launch(job, stream_->get()),
                      absl::StrCat("a product of ", args.num_tiles, " tiles of ", info.name, ", K ",
                                   args.k, ", with ", args.num_tokens, " tokens",
                                   args.rounded_activations ? ", rounded" : ""));
  }

  absl::Status EndProduct(const EndProductArgs& args) override {
    if (args.epilogue == Epilogue::kSwiGlu)
      return absl::InvalidArgumentError("a SwiGLU ends where it begins");
    if (args.num_tokens <= 0 || args.num_rows <= 0) return absl::OkStatus();
    const EndProductJob job = {args.y,        args.num_tokens,
                               args.num_rows, static_cast<int>(args.epilogue),
                               args.out,      args.out_stride};
    return CudaStatus(LaunchEndProduct(job, stream_->get()), "ending a product of the CPU");
  }

  absl::Status RmsNorm(const float* x, int64_t x_stride, int64_t num_rows, int64_t n,
                       const float* weight, float eps, float* out, int64_t out_stride) override {
    const RmsNormJob job = {x, x_stride, num_rows, n, weight, eps, out, out_stride};
    return CudaStatus(LaunchRmsNorm(job, stream_->get()), "an RMS norm");
  }

  absl::Status Rope(float* x, int64_t x_stride, int64_t num_rows, int64_t num_heads,
                    int64_t head_dim, const float* cos_sin, absl::Span<const int64_t> positions,
                    const float* norm_weight, float norm_eps) override {
    if (head_dim % 2 != 0) {
      return absl::InvalidArgumentError(absl::StrCat("RoPE turns pairs; head_dim is ", head_dim));
    }
    if (num_rows <= 0) return absl::OkStatus();
    const int64_t bytes = num_rows * static_cast<int64_t>(sizeof(int64_t));
    SLUICE_ASSIGN_OR_RETURN(const UploadRing::Place place, uploads_.Begin(bytes));
    std::memcpy(place.pinned, positions.data(), bytes);
    SLUICE_RETURN_IF_ERROR(uploads_.Send());
    const RopeJob job = {x,
                         x_stride,
                         num_rows,
                         num_heads,
                         head_dim,
                         cos_sin,
                         reinterpret_cast<const int64_t*>(place.device),
                         norm_weight,
                         norm_eps};
    SLUICE_RETURN_IF_ERROR(CudaStatus(LaunchRope(job, stream_->get()), "RoPE"));
    return uploads_.End();
  }

  absl::Status AppendKv(const AttentionArgs& args, const float* k, const float* v,
                        int64_t kv_stride) override {
    SLUICE_RETURN_IF_ERROR(Check(args.num_heads, args.kv));
    if (args.rows.empty()) return absl::OkStatus();
    const auto num_rows = static_cast<int64_t>(args.rows.size());
    SLUICE_ASSIGN_OR_RETURN(const UploadRing::Place place,
                            uploads_.Begin(num_rows * static_cast<int64_t>(sizeof(KvPlace))));
    auto* const places = reinterpret_cast<KvPlace*>(place.pinned);
    for (int64_t row = 0; row < num_rows; ++row) {
      const int64_t position = args.rows[row].position;
      places[row] = {.page = args.rows[row].page_table[position / kKvPageTokens],
                     .token = static_cast<int32_t>(position % kKvPageTokens)};
    }
    SLUICE_RETURN_IF_ERROR(uploads_.Send());
    const AppendKvJob job = {.kv = PagesOf(args),
                             .num_rows = num_rows,
                             .places = reinterpret_cast<const KvPlace*>(place.device),
                             .k = k,
                             .v = v,
                             .kv_stride = kv_stride};
    SLUICE_RETURN_IF_ERROR(
        CudaStatus(LaunchAppendKv(job, stream_->get()), "storing keys and values"));
    return uploads_.End();
  }

  absl::Status CopyKv(const AttentionArgs& args, absl::Span<const KvCopy> copies) override {
    SLUICE_RETURN_IF_ERROR(Check(args.num_heads, args.kv));
    while (!copies.empty()) {
      const absl::Span<const KvCopy> some = copies.first(std::min(copies.size(), kMovesAtOnce));
      copies.remove_prefix(some.size());
      SLUICE_ASSIGN_OR_RETURN(const UploadRing::Place place,
                              uploads_.Begin(static_cast<int64_t>(some.size() * sizeof(KvMove))));
      auto* const moves = reinterpret_cast<KvMove*>(place.pinned);
      for (size_t i = 0; i < some.size(); ++i) {
        moves[i] = {some[i].from_page, some[i].from_token, some[i].to_page, some[i].to_token,
                    some[i].count};
      }
      SLUICE_RETURN_IF_ERROR(uploads_.Send());
      const CopyKvJob job = {.kv = PagesOf(args),
                             .num_moves = static_cast<int64_t>(some.size()),
                             .moves = reinterpret_cast<const KvMove*>(place.device)};
      SLUICE_RETURN_IF_ERROR(
          CudaStatus(LaunchCopyKv(job, stream_->get()), "copying keys and values"));
      SLUICE_RETURN_IF_ERROR(uploads_.End());
    }
    return absl::OkStatus();
  }

  absl::Status Attention(const AttentionArgs& args, const float* q, int64_t q_stride, float* out,
                         int64_t out_stride) override {
    SLUICE_RETURN_IF_ERROR(Check(args.num_heads, args.kv));
    AttentionArgs rest = args;
    while (!rest.rows.empty()) {
      const AttentionPlan plan = PlanAttention(rest, limits_);
      SLUICE_RETURN_IF_ERROR(Attend(rest, plan, q, q_stride, out, out_stride));
      rest.rows.remove_prefix(plan.num_rows);
      q += plan.num_rows * q_stride;
      out += plan.num_rows * out_stride;
    }
    return absl::OkStatus();
  }

  absl::Status NoteNonFinite(const float* x, int64_t n, int32_t mark, int32_t* note) override {
    return CudaStatus(LaunchNoteNonFinite({x, n, mark, note}, stream_->get()),
                      "looking for infinities");
  }

 private:
  static absl::Status Check(int64_t num_heads, const KvShape& kv) {
    if (kv.num_kv_heads <= 0 || num_heads % kv.num_kv_heads != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(num_heads, " heads cannot share ", kv.num_kv_heads, " KV heads"));
    }
    if (kv.head_dim <= 0 || kv.head_dim > kMaxHeadDim) {
      return absl::InvalidArgumentError(absl::StrCat("attention on CUDA goes up to a head_dim of ",
                                                     kMaxHeadDim, ", not ", kv.head_dim));
    }
    return absl::OkStatus();
  }

  static KvPages PagesOf(const AttentionArgs& args) {
    const KvShape& kv = args.kv;
    return {.pages = reinterpret_cast<uint8_t*>(args.pages),
            .page_stride = args.page_stride,
            .k_type = static_cast<int>(kv.k_type),
            .v_type = static_cast<int>(kv.v_type),
            .k_row_bytes = KvRowBytes(kv.k_type, kv.head_dim),
            .v_row_bytes = KvRowBytes(kv.v_type, kv.head_dim),
            .num_kv_heads = kv.num_kv_heads,
            .head_dim = kv.head_dim};
  }

  absl::Status GrowScratch(int64_t bytes) {
    if (scratch_.bytes() >= bytes) return absl::OkStatus();
    // What still reads the old one is on the same stream.
    SLUICE_RETURN_IF_ERROR(stream_->Synchronize());
    scratch_ = DeviceBuffer();
    SLUICE_ASSIGN_OR_RETURN(
        scratch_, DeviceBuffer::Create(allocator_, bytes, "the states of attention's chunks"));
    return absl::OkStatus();
  }

  absl::Status Attend(const AttentionArgs& args, const AttentionPlan& plan, const float* q,
                      int64_t q_stride, float* out, int64_t out_stride) {
    SLUICE_RETURN_IF_ERROR(GrowScratch(plan.scratch_bytes));
    const AttentionUpload upload = LayOutUpload(args.rows, plan);
    SLUICE_ASSIGN_OR_RETURN(const UploadRing::Place place, uploads_.Begin(upload.bytes));
    FillUpload(args.rows, plan, upload, place.device, place.pinned);
    SLUICE_RETURN_IF_ERROR(uploads_.Send());
    const AttendJob job = {
        .kv = PagesOf(args),
        .padded_dim = (args.kv.head_dim + 15) / 16 * 16,
        .num_heads = args.num_heads,
        .heads_per_kv = args.num_heads / args.kv.num_kv_heads,
        .heads_each = plan.heads_each,
        .attention_scale = args.attention_scale,
        .rows = reinterpret_cast<const AttendRow*>(place.device + upload.rows_at),
        .num_rows = plan.num_rows,
        .tiles = reinterpret_cast<const AttendTile*>(place.device + upload.tiles_at),
        .num_tiles = static_cast<int64_t>(plan.tiles.size()),
        .q = q,
        .q_stride = q_stride,
        .out = out,
        .out_stride = out_stride,
        .max_queries = plan.max_queries,
        .split_chunks = plan.split_chunks,
        .states = reinterpret_cast<float*>(scratch_.data())};
    SLUICE_RETURN_IF_ERROR(CudaStatus(LaunchAttention(job, stream_->get()),
                                      absl::StrCat("attention of ", plan.num_rows, " rows")));
    return uploads_.End();
  }

  const AttentionLimits limits_;
  const int compute_capability_;
  const CudaOpsOptions options_;
  const Stream* const stream_;
  DeviceAllocator* const allocator_;
  UploadRing uploads_;
  DeviceBuffer scratch_;
};

}  // namespace

absl::Status CheckRoundsActivations(int compute_capability) {
  if (compute_capability >= 80) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("CUDA: products with rounded activations (--fast-math) need compute capability "
                   "8.0; this device has ",
                   compute_capability / 10, ".", compute_capability % 10));
}

absl::StatusOr<std::unique_ptr<Ops>> MakeCudaOps(const Device& device, const Stream* stream,
                                                 DeviceAllocator* allocator,
                                                 const CudaOpsOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(UploadRing uploads, UploadRing::Create(stream, allocator));
  return std::make_unique<CudaOps>(device, stream, allocator, std::move(uploads), options);
}

}  // namespace sluice::cuda
