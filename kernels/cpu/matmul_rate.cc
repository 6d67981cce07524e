// A few random tiles, repeated until no cache holds them, multiplied slice by slice.
#include "kernels/cpu/matmul_rate.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/encodings/tile.h"

namespace sluice {
namespace {

constexpr int64_t kK = 4096;
constexpr int64_t kSliceBytes = int64_t{8} << 20;  // as a slab
// More products of a slice than this take too long for one measurement.
constexpr int64_t kSliceProducts = int64_t{1} << 32;
constexpr int kDistinctTiles = 4;

void FillWithTiles(Encoding encoding, int64_t num_tiles, std::byte* tiles) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> row(kK);
  const int64_t row_bytes = RowBytes(encoding, kK);
  const int64_t tile_bytes = TileBytes(encoding, kK);
  std::vector<std::byte> rows(kTileRows * row_bytes);
  for (int64_t tile = 0; tile < std::min<int64_t>(kDistinctTiles, num_tiles); ++tile) {
    for (int r = 0; r < kTileRows; ++r) {
      for (float& value : row) value = normal(random);
      EncodeRow(encoding, row.data(), kK, rows.data() + r * row_bytes);
    }
    PackTile(encoding, rows.data(), row_bytes, kTileRows, kK, tiles + tile * tile_bytes);
  }
  for (int64_t tile = kDistinctTiles; tile < num_tiles; ++tile) {
    std::memcpy(tiles + tile * tile_bytes, tiles + tile % kDistinctTiles * tile_bytes, tile_bytes);
  }
}

}  // namespace

class MatMulRate::Memory {
 public:
  explicit Memory(int64_t bytes) : bytes_(bytes) {
    data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data_ != MAP_FAILED) madvise(data_, bytes, MADV_HUGEPAGE);
  }
  ~Memory() {
    if (data_ != MAP_FAILED) munmap(data_, bytes_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  bool ok() const { return data_ != MAP_FAILED; }
  std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  int64_t bytes_;
  void* data_;
};

MatMulRate::MatMulRate(Encoding encoding, int64_t num_tiles, std::unique_ptr<Memory> weights)
    : encoding_(encoding), num_tiles_(num_tiles), weights_(std::move(weights)) {}
MatMulRate::~MatMulRate() = default;
MatMulRate::MatMulRate(MatMulRate&&) noexcept = default;

absl::StatusOr<MatMulRate> MatMulRate::Create(Encoding encoding, int64_t matrix_bytes) {
  const int64_t tile_bytes = TileBytes(encoding, kK);
  const int64_t num_tiles = std::max<int64_t>(matrix_bytes / tile_bytes, 1);
  auto weights = std::make_unique<Memory>(num_tiles * tile_bytes);
  if (!weights->ok()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "no memory to measure the matrix kernels with: ", num_tiles * tile_bytes, " bytes"));
  }
  FillWithTiles(encoding, num_tiles, weights->data());
  return MatMulRate(encoding, num_tiles, std::move(weights));
}

absl::StatusOr<double> MatMulRate::Measure(Ops& ops, int64_t num_rows, double seconds,
                                           bool rounded) const {
  const ActivationFormat format = rounded ? ActivationFormat::kBF16 : Info(encoding_).activations;
  const int64_t tile_bytes = TileBytes(encoding_, kK);
  const int64_t slice_tiles =
      std::clamp<int64_t>(kSliceProducts / (kTileRows * kK * num_rows), 1,
                          std::clamp<int64_t>(kSliceBytes / tile_bytes, 1, num_tiles_));
  const Memory activations(num_rows * ActivationRowBytes(format, kK));
  const Memory out(num_rows * slice_tiles * kTileRows * static_cast<int64_t>(sizeof(float)));
  if (!activations.ok() || !out.ok()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory to measure the matrix kernels with: ", num_rows, " rows"));
  }
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(num_rows * kK);
  for (float& value : x) value = normal(random);
  SLUICE_RETURN_IF_ERROR(
      ops.PrepareActivations(format, x.data(), kK, num_rows, kK, activations.data()));

  MatMulArgs args = {};
  args.encoding = encoding_;
  args.num_tiles = slice_tiles;
  args.k = kK;
  args.matrix_rows = args.out_stride = slice_tiles * kTileRows;
  args.activations = activations.data();
  args.num_tokens = num_rows;
  args.rounded_activations = rounded;
  args.out = reinterpret_cast<float*>(out.data());
  std::vector<double> rates;
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  int64_t first_tile = 0;
  // The first product is not counted: it touches the output's pages.
  for (bool counted = false;
       rates.empty() || Clock::now() - start < std::chrono::duration<double>(seconds);
       counted = true) {
    args.tiles = weights_->data() + first_tile * tile_bytes;
    const Clock::time_point begin = Clock::now();
    SLUICE_RETURN_IF_ERROR(ops.MatMul(args));
    const std::chrono::duration<double> taken = Clock::now() - begin;
    if (counted) rates.push_back(static_cast<double>(slice_tiles * tile_bytes) / taken.count());
    first_tile += slice_tiles;
    if (first_tile + slice_tiles > num_tiles_) first_tile = 0;
  }
  std::nth_element(rates.begin(), rates.begin() + rates.size() / 2, rates.end());
  return rates[rates.size() / 2];
}

}  // namespace sluice
