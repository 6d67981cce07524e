// Operations on rows of activations; all bound by bandwidth, or by a launch where there is one row.
#include "kernels/cuda/decoders.h"
#include "kernels/cuda/device_math.h"
#include "kernels/cuda/epilogue.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rows.h"
#include "kernels/encodings/activation_layout.h"

namespace sluice::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpLanes;

__device__ __forceinline__ int64_t WarpIndex() {
  return static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpLanes;
}
__device__ __forceinline__ int Lane() { return static_cast<int>(threadIdx.x) % kWarpLanes; }

// Sum, or largest, over 2 * first neighbouring lanes, in each of them.
__device__ __forceinline__ int32_t SumOver(int32_t value, int first) {
  for (int step = first; step > 0; step /= 2) value += ShuffleXor(value, step);
  return value;
}
__device__ __forceinline__ float LargestOver(float value, int first) {
  for (int step = first; step > 0; step /= 2) value = fmaxf(value, ShuffleXor(value, step));
  return value;
}

__device__ __forceinline__ float Clamp127(float q) { return fminf(fmaxf(q, -127.0f), 127.0f); }

// What PrepareFloatsKernel stores of a value.
struct AsF32 {
  using Value = float;
  __device__ static Value Of(float x) { return x; }
};
struct AsF16 {
  using Value = uint16_t;
  __device__ static Value Of(float x) { return F32ToF16(x); }
};
struct AsBF16 {
  using Value = uint16_t;
  __device__ static Value Of(float x) { return F32ToBF16(x); }
};

// Grid: (padded values / threads, rows).
template <class As>
__global__ void __launch_bounds__(kThreads) PrepareFloatsKernel(const PrepareJob job) {
  using Value = typename As::Value;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i * static_cast<int64_t>(sizeof(Value)) >= job.row_bytes) return;
  for (int64_t row = blockIdx.y; row < job.num_rows; row += gridDim.y) {
    reinterpret_cast<Value*>(job.out + row * job.row_bytes)[i] =
        As::Of(i < job.k ? job.x[row * job.x_stride + i] : 0.0f);
  }
}

template <class As>
cudaError_t LaunchPrepareFloats(const PrepareJob& job, cudaStream_t stream) {
  const int64_t values = job.row_bytes / static_cast<int64_t>(sizeof(typename As::Value));
  return Launch(PrepareFloatsKernel<As>,
                {.blocks_x = (values + kThreads - 1) / kThreads,
                 .blocks_y = job.num_rows < 65535 ? job.num_rows : 65535,
                 .threads = kThreads},
                job, stream);
}

// A warp quantizes 256 values, 8 of them a lane: a block of 32 is 4 lanes, a block of 256 all of
// them.
template <int kBlockLanes>
__global__ void __launch_bounds__(kThreads) QuantizeKernel(const PrepareJob job) {
  const int64_t groups = job.row_bytes / static_cast<int64_t>(sizeof(ActivationGroup32));
  const int64_t index = WarpIndex();
  if (index >= job.num_rows * groups) return;  // the whole warp
  const int64_t row = index / groups;
  const int64_t begin = index % groups * 256;
  const int lane = Lane();
  const float* const x = job.x + row * job.x_stride;
  uint8_t* const out = job.out + index * static_cast<int64_t>(sizeof(ActivationGroup32));

  float values[8];
  float amax = 0.0f;
  int32_t infinite = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int64_t at = begin + 8 * lane + i;
    values[i] = at < job.k ? x[at] : 0.0f;
    infinite |= IsFinite(values[i]) ? 0 : 1;
    amax = fmaxf(amax, fabsf(values[i]));
  }
  amax = LargestOver(amax, kBlockLanes / 2);
  infinite = SumOver(infinite, kBlockLanes / 2);

  int32_t quants[8] = {};
  float scale = 0.0f;
  if (infinite != 0) {
    scale = FloatOf(0x7FC00000u);
  } else if (amax >= 1e-30f) {
    const float inverse = 127.0f / amax;
    scale = amax / 127.0f;
#pragma unroll
    for (int i = 0; i < 8; ++i)
      quants[i] = static_cast<int32_t>(Clamp127(rintf(values[i] * inverse)));
  }
  int32_t sum = 0;
  uint32_t words[2] = {};
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    sum += quants[i];
    words[i / 4] |= (static_cast<uint32_t>(quants[i]) & 0xFF) << 8 * (i % 4);
  }
  uint2 packed;
  packed.x = words[0];
  packed.y = words[1];
  reinterpret_cast<uint2*>(out)[lane] = packed;  // the quants of both kinds of group come first
  const int32_t sum16 = SumOver(sum, 1);
  const int32_t sum32 = sum16 + ShuffleXor(sum16, 2);
  if constexpr (kBlockLanes == 4) {
    auto* const group = reinterpret_cast<ActivationGroup32*>(out);
    if (lane % 4 == 0) {
      group->scales[lane / 4] = scale;
      group->minus_sums[lane / 4] = -sum32;
    }
    if (lane % 2 == 0) group->minus_sums16[lane / 2] = static_cast<int16_t>(-sum16);
  } else {
    auto* const group = reinterpret_cast<ActivationGroup256*>(out);
    if (lane % 2 == 0) group->sums16[SumPlace(lane / 2)] = static_cast<int16_t>(sum16);
    if (lane % 4 == 0) group->sums32[SumPlace(lane / 4)] = static_cast<int16_t>(sum32);
    if (lane == 0) group->scale = scale;
    if (lane < 11) group->unused[lane] = 0;
  }
}

template <int kBlockLanes>
cudaError_t LaunchQuantize(const PrepareJob& job, cudaStream_t stream) {
  const int64_t groups =
      job.num_rows * (job.row_bytes / static_cast<int64_t>(sizeof(ActivationGroup32)));
  return Launch(QuantizeKernel<kBlockLanes>,
                {.blocks_x = (groups + kWarps - 1) / kWarps, .threads = kThreads}, job, stream);
}

// Grid: (rows of the matrix / threads, tokens).
__global__ void __launch_bounds__(kThreads) EndProductKernel(const EndProductJob job) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= job.num_rows) return;
  for (int64_t token = blockIdx.y; token < job.num_tokens; token += gridDim.y) {
    const float y = job.y[token * job.num_rows + i];
    float* const out = job.out + token * job.out_stride + i;
    *out = job.epilogue == kAdd ? *out + y : job.epilogue == kMultiply ? Silu(*out) * y : y;
  }
}

// A block a row. The 16 chains of the sum are long and only 16: the block brings pieces of the row
// into shared memory side by side, and 16 of its threads add.
constexpr int kNormThreads = 256;
constexpr int kPieceValues = 2048;

__global__ void __launch_bounds__(kNormThreads) RmsNormKernel(const RmsNormJob job) {
  const int thread = static_cast<int>(threadIdx.x);
  const float* const x = job.x + static_cast<int64_t>(blockIdx.x) * job.x_stride;
  float* const out = job.out + static_cast<int64_t>(blockIdx.x) * job.out_stride;
  SharedMemory shared;
  float* const piece = shared.Take<float>(kPieceValues);
  float* const scale = shared.Take<float>(1);

  float chain = 0.0f;
  for (int64_t begin = 0; begin < job.n; begin += kPieceValues) {
    const int count = job.n - begin < kPieceValues ? static_cast<int>(job.n - begin) : kPieceValues;
    SyncBlock();  // the piece before this one is added
    for (int i = thread; i < count; i += kNormThreads) piece[i] = x[begin + i];
    SyncBlock();
    if (thread < 16) {
#pragma unroll 8
      for (int i = thread; i < count; i += 16) chain = fmaf(piece[i], piece[i], chain);
    }
  }
  if (thread < kWarpLanes) {  // one warp, of which the lower half counts
    const float squares = TotalOf16(chain);
    if (thread == 0) *scale = 1.0f / sqrtf(squares / static_cast<float>(job.n) + job.eps);
  }
  SyncBlock();
  for (int64_t i = thread; i < job.n; i += kNormThreads) out[i] = (x[i] * *scale) * job.weight[i];
}

// A warp a head of a row.
__global__ void __launch_bounds__(kThreads) RopeKernel(const RopeJob job) {
  const int64_t index = WarpIndex();
  if (index >= job.num_rows * job.num_heads) return;  // the whole warp
  const int lane = Lane();
  const int64_t row = index / job.num_heads;
  const int64_t half = job.head_dim / 2;
  float* const x = job.x + row * job.x_stride + index % job.num_heads * job.head_dim;
  const float* const cosines = job.cos_sin + job.positions[row] * job.head_dim;
  const float* const sines = cosines + half;
  float scale = 0.0f;
  if (job.norm_weight != nullptr) {
    float chain = 0.0f;  // lanes 16 .. 31 do as lanes 0 .. 15
    for (int64_t i = lane % 16; i < job.head_dim; i += 16) chain = fmaf(x[i], x[i], chain);
    const float squares = TotalOf16(chain);
    scale = 1.0f / sqrtf(squares / static_cast<float>(job.head_dim) + job.norm_eps);
    // It depends on what every lane has read: nothing is overwritten before.
  }
  for (int64_t i = lane; i < half; i += kWarpLanes) {
    float x1 = x[i];
    float x2 = x[i + half];
    if (job.norm_weight != nullptr) {
      x1 = (x1 * scale) * job.norm_weight[i];
      x2 = (x2 * scale) * job.norm_weight[i + half];
    }
    x[i] = fmaf(x1, cosines[i], -(x2 * sines[i]));
    x[i + half] = fmaf(x2, cosines[i], x1 * sines[i]);
  }
}

// One head's row by one warp, padding written too.
__device__ __forceinline__ void StoreKv(int type, const float* x, int64_t head_dim, uint8_t* row) {
  const int lane = Lane();
  if (type != kKvQ8_0) {
    const int64_t padded = (head_dim + 15) / 16 * 16;
    for (int64_t i = lane; i < padded; i += kWarpLanes) {
      const float value = i < head_dim ? x[i] : 0.0f;
      if (type == kKvF32) {
        reinterpret_cast<float*>(row)[i] = value;
      } else {
        reinterpret_cast<uint16_t*>(row)[i] = F32ToF16(value);
      }
    }
    return;
  }
  const int64_t blocks = (head_dim + 31) / 32;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t i = 32 * block + lane;
    const float value = i < head_dim ? x[i] : 0.0f;
    const bool finite = AllLanes(IsFinite(value));
    const float amax = LargestOver(fabsf(value), 16);
    const uint16_t bits = finite ? F32ToF16(amax / 127.0f) : uint16_t{0x7E00};
    const float scale = F16ToF32(bits);
    int32_t quant = 0;
    if (IsFinite(scale) && scale != 0.0f)
      quant = static_cast<int32_t>(Clamp127(rintf(value / scale)));
    if (lane == 0) reinterpret_cast<uint16_t*>(row)[block] = bits;
    reinterpret_cast<int8_t*>(row + 2 * blocks)[i] = static_cast<int8_t>(quant);
  }
}

// A warp a KV head of a row.
__global__ void __launch_bounds__(kThreads) AppendKvKernel(const AppendKvJob job) {
  const KvPages& kv = job.kv;
  const int64_t index = WarpIndex();
  if (index >= job.num_rows * kv.num_kv_heads) return;  // the whole warp
  const int64_t row = index / kv.num_kv_heads;
  const int64_t head = index % kv.num_kv_heads;
  const KvPlace place = job.places[row];
  uint8_t* const keys = kv.pages + place.page * kv.page_stride +
                        head * kPageTokens * (kv.k_row_bytes + kv.v_row_bytes);
  uint8_t* const values = keys + kPageTokens * kv.k_row_bytes;
  const int64_t from = row * job.kv_stride + head * kv.head_dim;
  StoreKv(kv.k_type, job.k + from, kv.head_dim, keys + place.token * kv.k_row_bytes);
  StoreKv(kv.v_type, job.v + from, kv.head_dim, values + place.token * kv.v_row_bytes);
}

// A block a run of tokens in one KV head. Rows have an even number of bytes in every type.
__global__ void __launch_bounds__(kThreads) CopyKvKernel(const CopyKvJob job) {
  const KvPages& kv = job.kv;
  const KvMove move = job.moves[blockIdx.x / kv.num_kv_heads];
  const int64_t head = blockIdx.x % kv.num_kv_heads;
  const int64_t head_at = head * kPageTokens * (kv.k_row_bytes + kv.v_row_bytes);
  const uint8_t* const from = kv.pages + move.from_page * kv.page_stride + head_at;
  uint8_t* const to = kv.pages + move.to_page * kv.page_stride + head_at;
  const auto copy = [&](int64_t array_at, int64_t row_bytes) {
    const auto* const source =
        reinterpret_cast<const uint16_t*>(from + array_at + move.from_token * row_bytes);
    auto* const target = reinterpret_cast<uint16_t*>(to + array_at + move.to_token * row_bytes);
    const int64_t halves = move.count * row_bytes / 2;
    for (int64_t i = threadIdx.x; i < halves; i += kThreads) target[i] = source[i];
  };
  copy(0, kv.k_row_bytes);
  copy(kPageTokens * kv.k_row_bytes, kv.v_row_bytes);
}

// Whoever writes the note writes the same, so that it does not matter how many do.
__global__ void __launch_bounds__(kThreads) NoteNonFiniteKernel(const NonFiniteJob job) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  int32_t infinite = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < job.n;
       i += step) {
    infinite |= IsFinite(job.x[i]) ? 0 : 1;
  }
  if (infinite != 0 && *job.note < 0) *job.note = job.mark;
}

}  // namespace

cudaError_t LaunchPrepareF32(const PrepareJob& job, cudaStream_t stream) {
  return LaunchPrepareFloats<AsF32>(job, stream);
}
cudaError_t LaunchPrepareF16(const PrepareJob& job, cudaStream_t stream) {
  return LaunchPrepareFloats<AsF16>(job, stream);
}
cudaError_t LaunchPrepareBF16(const PrepareJob& job, cudaStream_t stream) {
  return LaunchPrepareFloats<AsBF16>(job, stream);
}

cudaError_t LaunchPrepareBlock32(const PrepareJob& job, cudaStream_t stream) {
  return LaunchQuantize<4>(job, stream);
}
cudaError_t LaunchPrepareBlock256(const PrepareJob& job, cudaStream_t stream) {
  return LaunchQuantize<32>(job, stream);
}

cudaError_t LaunchEndProduct(const EndProductJob& job, cudaStream_t stream) {
  return Launch(EndProductKernel,
                {.blocks_x = (job.num_rows + kThreads - 1) / kThreads,
                 .blocks_y = job.num_tokens < 65535 ? job.num_tokens : 65535,
                 .threads = kThreads},
                job, stream);
}

cudaError_t LaunchRmsNorm(const RmsNormJob& job, cudaStream_t stream) {
  return Launch(RmsNormKernel,
                {.blocks_x = job.num_rows,
                 .threads = kNormThreads,
                 .shared_bytes = SharedBytes<float>(kPieceValues) + SharedBytes<float>(1)},
                job, stream);
}

cudaError_t LaunchRope(const RopeJob& job, cudaStream_t stream) {
  return Launch(
      RopeKernel,
      {.blocks_x = (job.num_rows * job.num_heads + kWarps - 1) / kWarps, .threads = kThreads}, job,
      stream);
}

cudaError_t LaunchAppendKv(const AppendKvJob& job, cudaStream_t stream) {
  return Launch(
      AppendKvKernel,
      {.blocks_x = (job.num_rows * job.kv.num_kv_heads + kWarps - 1) / kWarps, .threads = kThreads},
      job, stream);
}

cudaError_t LaunchCopyKv(const CopyKvJob& job, cudaStream_t stream) {
  return Launch(CopyKvKernel,
                {.blocks_x = job.num_moves * job.kv.num_kv_heads, .threads = kThreads}, job,
                stream);
}

cudaError_t LaunchNoteNonFinite(const NonFiniteJob& job, cudaStream_t stream) {
  constexpr int64_t kMostBlocks = 1024;
  const int64_t blocks = (job.n + kThreads - 1) / kThreads;
  return Launch(NoteNonFiniteKernel,
                {.blocks_x = blocks < kMostBlocks ? blocks : kMostBlocks, .threads = kThreads}, job,
                stream);
}

}  // namespace sluice::cuda
