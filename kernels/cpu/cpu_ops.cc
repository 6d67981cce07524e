// Ops on the CPU: checks arguments, splits work over the thread pool, calls one table of kernels.
#include "kernels/cpu/cpu_ops.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/scalar_math.h"
#include "kernels/encodings/tile.h"
#include "kernels/finite.h"

namespace sluice {
namespace {

// The tables are indexed by these.
static_assert(std::size(MatMuls{}.of) == kNumEncodings);
static_assert(static_cast<int>(KvType::kF32) == 0 && static_cast<int>(KvType::kQ8_0) == 2);

constexpr Isa kIsas[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512, Isa::kNeon};

// Values that a thread should have at least before another one is worth waking.
constexpr int64_t kGrainValues = 16384;

int64_t RowGrain(int64_t row_values) {
  return std::max<int64_t>(1, kGrainValues / std::max<int64_t>(1, row_values));
}

const KernelTable* KernelsOf(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return &kScalarKernels;
#if defined(__x86_64__)
    case Isa::kAvx2:
      return &kAvx2Kernels;
    case Isa::kAvxVnni:
      return &kAvxVnniKernels;
    case Isa::kAvx512:
      return &kAvx512Kernels;
#endif
#if defined(__aarch64__)
    case Isa::kNeon:
      return &kNeonKernels;
#endif
    default:
      return nullptr;
  }
}

// Null where it has none.
const RoundedKernels* RoundedKernelsOf([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (RoundsActivations(isa)) return &kAvx512Bf16Kernels;
#endif
  return nullptr;
}

#if defined(__x86_64__)
// Clang's __builtin_cpu_supports does not know it.
bool HasF16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

// Bits of EAX of leaf 7, subleaf 1. What they stand for works on registers that CpuRuns looks for.
constexpr int kAvxVnniBit = 4;
constexpr int kAvx512Bf16Bit = 5;
bool HasInLeaf7(int bit) {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> bit & 1) != 0;
}
#endif

// __builtin_cpu_supports looks at XGETBV too: registers that the system does not save do not count.
bool CpuRuns(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return true;
#if defined(__x86_64__)
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasF16c();
    case Isa::kAvxVnni:
      return CpuRuns(Isa::kAvx2) && HasInLeaf7(kAvxVnniBit);
    case Isa::kAvx512:
      return CpuRuns(Isa::kAvx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
#endif
#if defined(__aarch64__)
    case Isa::kNeon:
      return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#endif
    default:
      return false;
  }
}

class CpuOps : public Ops {
 public:
  CpuOps(const KernelTable* kernels, const RoundedKernels* rounded, ThreadPool* pool)
      : kernels_(kernels), rounded_(rounded), pool_(pool), attention_(kernels, pool) {}

  absl::Status PrepareActivations(ActivationFormat format, const float* x, int64_t x_stride,
                                  int64_t num_rows, int64_t k, std::byte* out) override {
    if (format == ActivationFormat::kF16 ||
        (format == ActivationFormat::kBF16 && rounded_ == nullptr)) {
      return NoRoundedProducts();
    }
    const int64_t row_bytes = ActivationRowBytes(format, k);
    pool_->Run(num_rows, RowGrain(k), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const float* from = x + row * x_stride;
        std::byte* to = out + row * row_bytes;
        switch (format) {
          case ActivationFormat::kF32:
            std::memcpy(to, from, k * sizeof(float));
            std::memset(to + k * sizeof(float), 0, row_bytes - k * sizeof(float));
            break;
          case ActivationFormat::kInt8Block32:
            kernels_->quantize_block32(from, k, to);
            break;
          case ActivationFormat::kInt8Block256:
            kernels_->quantize_block256(from, k, to);
            break;
          case ActivationFormat::kBF16:
            rounded_->round_bf16(from, k, to);
            break;
          case ActivationFormat::kF16:  // refused above
            break;
        }
      }
    });
    return absl::OkStatus();
  }

  absl::Status MatMul(const MatMulArgs& args) override {
    const EncodingInfo& info = Info(args.encoding);
    if (args.k % info.block_values != 0) {
      return absl::InvalidArgumentError(absl::StrCat("a product of ", info.name,
                                                     " weights needs K to be a multiple of ",
                                                     info.block_values, ", not ", args.k));
    }
    const bool rounded = args.rounded_activations;
    if (rounded && (rounded_ == nullptr || args.encoding != Encoding::kBF16))
      return NoRoundedProducts();
    MatMulJob job = {
        .tiles = reinterpret_cast<const uint8_t*>(args.tiles),
        .tile_bytes = TileBytes(args.encoding, args.k),
        .tile_begin = 0,
        .tile_end = args.num_tiles,
        .k = args.k,
        .first_row = args.first_row,
        .matrix_rows = args.matrix_rows,
        .activations = reinterpret_cast<const uint8_t*>(args.activations),
        .activation_stride =
            ActivationRowBytes(rounded ? ActivationFormat::kBF16 : info.activations, args.k),
        .num_tokens = args.num_tokens,
        .addend = args.addend,
        .up_addend = args.up_addend,
        .epilogue = static_cast<int>(args.epilogue),
        .out = args.out,
        .out_stride = args.out_stride,
    };
    if (args.num_tokens <= 0) return absl::OkStatus();
    const auto matmul =
        rounded ? rounded_->matmul_bf16 : kernels_->matmul->of[static_cast<int>(args.encoding)];
    pool_->Run(args.num_tiles, 1, [&job, &args, matmul](int64_t begin, int64_t end) {
      // Behind the middle a thread that does something else would be waited for.
      if (args.aside != nullptr && begin < args.num_tiles / 2) (*args.aside)();
      MatMulJob part = job;
      part.tile_begin = begin;
      part.tile_end = end;
      matmul(part);
    });
    return absl::OkStatus();
  }

  absl::Status EndProduct(const EndProductArgs& args) override {
    if (args.epilogue == Epilogue::kSwiGlu)
      return absl::InvalidArgumentError("a SwiGLU ends where it begins");
    pool_->Run(args.num_tokens, RowGrain(args.num_rows), [&](int64_t begin, int64_t end) {
      for (int64_t token = begin; token < end; ++token) {
        const float* const y = args.y + token * args.num_rows;
        float* const out = args.out + token * args.out_stride;
        for (int64_t i = 0; i < args.num_rows; ++i) {
          out[i] = args.epilogue == Epilogue::kAdd        ? out[i] + y[i]
                   : args.epilogue == Epilogue::kMultiply ? scalar::Silu(out[i]) * y[i]
                                                          : y[i];
        }
      }
    });
    return absl::OkStatus();
  }

  absl::Status RmsNorm(const float* x, int64_t x_stride, int64_t num_rows, int64_t n,
                       const float* weight, float eps, float* out, int64_t out_stride) override {
    pool_->Run(num_rows, RowGrain(n), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        kernels_->rms_norm(x + row * x_stride, n, weight, eps, out + row * out_stride);
      }
    });
    return absl::OkStatus();
  }

  absl::Status Rope(float* x, int64_t x_stride, int64_t num_rows, int64_t num_heads,
                    int64_t head_dim, const float* cos_sin, absl::Span<const int64_t> positions,
                    const float* norm_weight, float norm_eps) override {
    pool_->Run(num_rows, RowGrain(num_heads * head_dim), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        for (int64_t head = 0; head < num_heads; ++head) {
          float* values = x + row * x_stride + head * head_dim;
          if (norm_weight != nullptr) {
            kernels_->rms_norm(values, head_dim, norm_weight, norm_eps, values);
          }
          kernels_->rope(values, head_dim / 2, cos_sin + positions[row] * head_dim);
        }
      }
    });
    return absl::OkStatus();
  }

  absl::Status AppendKv(const AttentionArgs& args, const float* k, const float* v,
                        int64_t kv_stride) override {
    const KvShape& kv = args.kv;
    const int64_t k_row_bytes = KvRowBytes(kv.k_type, kv.head_dim);
    const int64_t v_row_bytes = KvRowBytes(kv.v_type, kv.head_dim);
    const auto store_k = kernels_->store_kv[static_cast<int>(kv.k_type)];
    const auto store_v = kernels_->store_kv[static_cast<int>(kv.v_type)];
    const int64_t grain = RowGrain(2 * kv.num_kv_heads * kv.head_dim);
    pool_->Run(args.rows.size(), grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const AttentionRow& of = args.rows[row];
        const int64_t t = of.position % kKvPageTokens;
        auto* at = reinterpret_cast<uint8_t*>(
            args.pages + of.page_table[of.position / kKvPageTokens] * args.page_stride);
        for (int64_t head = 0; head < kv.num_kv_heads; ++head) {
          const int64_t from = row * kv_stride + head * kv.head_dim;
          store_k(k + from, kv.head_dim, at + t * k_row_bytes);
          at += kKvPageTokens * k_row_bytes;
          store_v(v + from, kv.head_dim, at + t * v_row_bytes);
          at += kKvPageTokens * v_row_bytes;
        }
      }
    });
    return absl::OkStatus();
  }

  absl::Status CopyKv(const AttentionArgs& args, absl::Span<const KvCopy> copies) override {
    const int64_t grain = RowGrain(kKvPageTokens * args.kv.num_kv_heads * args.kv.head_dim);
    pool_->Run(static_cast<int64_t>(copies.size()), grain, [&](int64_t begin, int64_t end) {
      CopyKvRows(args.kv, args.pages, args.page_stride,
                 copies.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
    });
    return absl::OkStatus();
  }

  absl::Status Attention(const AttentionArgs& args, const float* q, int64_t q_stride, float* out,
                         int64_t out_stride) override {
    attention_.Run(args, q, q_stride, out, out_stride);
    return absl::OkStatus();
  }

  absl::Status NoteNonFinite(const float* x, int64_t n, int32_t mark, int32_t* note) override {
    if (*note < 0 && !AllFinite(absl::MakeConstSpan(x, n))) *note = mark;
    return absl::OkStatus();
  }

 private:
  static absl::Status NoRoundedProducts() {
    return absl::UnimplementedError(
        "activations rounded to bf16 need bf16 weights and a CPU with AVX512_BF16");
  }

  const KernelTable* const kernels_;
  const RoundedKernels* const rounded_;  // null: there are none
  ThreadPool* const pool_;
  CpuAttention attention_;
};

}  // namespace

absl::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvxVnni:
      return "avxvnni";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kNeon:
      return "neon";
  }
  return "unknown";
}

absl::StatusOr<Isa> ParseIsa(absl::string_view name) {
  for (Isa isa : kIsas) {
    if (IsaName(isa) == name) return isa;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown instruction set \"", name, "\"; known are scalar, avx2, avxvnni, avx512 and neon"));
}

std::vector<Isa> SupportedIsas() {
  std::vector<Isa> isas;
  for (Isa isa : kIsas) {
    if (CpuRuns(isa)) isas.push_back(isa);
  }
  return isas;
}

bool RoundsActivations([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  return isa == Isa::kAvx512 && CpuRuns(isa) && HasInLeaf7(kAvx512Bf16Bit);
#else
  return false;
#endif
}

absl::StatusOr<std::unique_ptr<Ops>> MakeCpuOps(Isa isa, ThreadPool* pool) {
  if (!CpuRuns(isa)) {
    return absl::UnavailableError(
        absl::StrCat("this CPU or its operating system does not run ", IsaName(isa)));
  }
  return std::make_unique<CpuOps>(KernelsOf(isa), RoundedKernelsOf(isa), pool);
}

std::unique_ptr<Ops> MakeCpuOpsOf(const KernelTable* kernels, ThreadPool* pool) {
  return std::make_unique<CpuOps>(kernels, /*rounded=*/nullptr, pool);
}

}  // namespace sluice
