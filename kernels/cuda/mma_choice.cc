// Times a product of q4_k weights by dp4a and on tensor cores.
#include "kernels/cuda/mma_choice.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/status_macros.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/matmul.h"
#include "kernels/encodings/tile.h"
#include "kernels/ops.h"

namespace sluice::cuda {
namespace {

constexpr int kUndecided = 75;  // the compute capability
constexpr int64_t kTimedK = 2048;
// A block of tensor cores' kernel for each multiprocessor.
constexpr int64_t kTilesEach = 4;
constexpr int kRounds = 3;
// dp4a takes so many tokens at a time.
constexpr int64_t kDp4aTokens = 4;

using LaunchMatMul = cudaError_t (*)(const MatMulJob&, cudaStream_t);

// The best of some rounds, after one that loads the kernel.
absl::StatusOr<double> BestSeconds(LaunchMatMul launch, const MatMulJob& job,
                                   const Stream& stream) {
  SLUICE_ASSIGN_OR_RETURN(const Event begin, Event::Create(Event::Kind::kTime));
  SLUICE_ASSIGN_OR_RETURN(const Event end, Event::Create(Event::Kind::kTime));
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round <= kRounds; ++round) {
    SLUICE_RETURN_IF_ERROR(stream.Record(begin));
    SLUICE_RETURN_IF_ERROR(CudaStatus(launch(job, stream.get()), "timing a product"));
    SLUICE_RETURN_IF_ERROR(stream.Record(end));
    SLUICE_RETURN_IF_ERROR(end.Synchronize());
    SLUICE_ASSIGN_OR_RETURN(const double seconds, end.SecondsSince(begin));
    if (round > 0) best = std::min(best, seconds);
  }
  return best;
}

}  // namespace

int64_t MmaMinTokens(double dp4a_s, double mma_s) {
  if (!(mma_s < dp4a_s)) return kNoMma;
  // Steps of dp4a that take as long as the block of tensor cores.
  const double steps = std::floor(mma_s / dp4a_s * static_cast<double>(kTimedTokens / kDp4aTokens));
  return std::max(kMmaMinTokens, static_cast<int64_t>(steps) * kDp4aTokens + 1);
}

absl::StatusOr<int64_t> ChooseMmaMinTokens(const Device& device, const Stream& stream,
                                           DeviceAllocator* allocator) {
  if (device.compute_capability() != kUndecided) return kMmaMinTokens;
  const int64_t num_tiles = kTilesEach * device.multiprocessors();
  const int64_t tile_bytes = TileBytes(Encoding::kQ4_K, kTimedK);
  const int64_t row_bytes = ActivationRowBytes(Info(Encoding::kQ4_K).activations, kTimedK);
  const int64_t rows = 16 * num_tiles;
  const int64_t out_at = num_tiles * tile_bytes + kTimedTokens * row_bytes;
  const int64_t bytes = out_at + kTimedTokens * rows * static_cast<int64_t>(sizeof(float));
  // Whatever lies in it: products take as long for any bits.
  SLUICE_ASSIGN_OR_RETURN(const DeviceBuffer memory,
                          DeviceBuffer::Create(allocator, bytes, "timing a product"));
  auto* const data = reinterpret_cast<uint8_t*>(memory.data());
  const MatMulJob job = {.tiles = data,
                         .tile_bytes = tile_bytes,
                         .num_tiles = num_tiles,
                         .k = kTimedK,
                         .first_row = 0,
                         .matrix_rows = rows,
                         .activations = data + num_tiles * tile_bytes,
                         .activation_stride = row_bytes,
                         .num_tokens = kTimedTokens,
                         .addend = nullptr,
                         .up_addend = nullptr,
                         .epilogue = static_cast<int>(Epilogue::kStore),
                         .out = reinterpret_cast<float*>(data + out_at),
                         .out_stride = rows};
  SLUICE_ASSIGN_OR_RETURN(const double dp4a_s, BestSeconds(LaunchDp4a<Q4_K>, job, stream));
  SLUICE_ASSIGN_OR_RETURN(const double mma_s, BestSeconds(LaunchMma<Q4_K>, job, stream));
  return MmaMinTokens(dp4a_s, mma_s);
}

}  // namespace sluice::cuda
