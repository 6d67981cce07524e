// Matrix products and copies on a GPU, next to limits measured in the same run: a kernel that only
// reads the device's memory, cuBLAS (where this machine has it), and large copies of pinned memory.
//
//   device_kernels [--cublas DIR] [--json FILE] [--seconds S] [--shrink N]
//
// Shapes are those of a layer of Llama-3.3-70B. One row: all matrices of a layer, one after the
// other, and so many layers that at least 1 GB passes before a byte comes again. 512 rows: a layer.
// Prints a Markdown table: what was measured, the limit, their ratio, the lowest ratio that is good
// (the floor), and the rates' spread. --seconds is for each rate (default 0.5). --shrink divides
// the sizes, for trying the program out where nothing can be measured.
//
// Exit 0 where all floors that could be held against a limit are met; 1 where one is not, or
// something failed, such as a machine without a device; 2 for arguments that it does not know.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/cublas.h"
#include "bench/device_read.h"
#include "kernels/base/status_macros.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/memory.h"
#include "kernels/encodings/encoding.h"
#include "kernels/encodings/tile.h"
#include "kernels/ops.h"
#include "nlohmann/json.hpp"
#include "prefetch/io/host_buffer.h"

namespace sluice {
namespace {

using cuda::DeviceBuffer;
using cuda::Event;

constexpr int64_t kPrompt = 512;
constexpr int64_t kCycleBytes = 1'000'000'000;
constexpr int64_t kSlabBytes = int64_t{8} << 20;
constexpr int64_t kCopyBytes = int64_t{256} << 20;
constexpr int64_t kHidden = 8192, kIntermediate = 28672, kKvRows = 1024;
constexpr int64_t kDistinctTiles = 4;
constexpr char kCublas[] = "cuBLAS bf16";

struct Options {
  std::string cublas;
  std::string json;
  double seconds = 0.5;
  int64_t shrink = 1;
};

// A rate in units a second: the median of the rounds, and the slowest and the fastest one.
struct Rate {
  double median = 0, slowest = 0, fastest = 0;
};

struct Row {
  std::string name;
  std::string unit;  // "GB/s" or "TOPS"
  Rate measured;
  std::string limit_name;
  std::optional<Rate> limit;    // none: not measured
  std::optional<double> floor;  // none: for the record
  std::optional<double> Ratio() const {
    if (!limit.has_value() || limit->median <= 0) return std::nullopt;
    return measured.median / limit->median;
  }
  bool Missed() const { return floor.has_value() && Ratio().has_value() && *Ratio() < *floor; }
};

// A matrix of a layer: so many rows (of gate and up both, where they are one) of k values.
struct Matrix {
  const char* name;
  int64_t rows;
  int64_t k;
  bool gate_and_up = false;
};

class Bench {
 public:
  Bench(Options options, cuda::Device device, cuda::Stream stream)
      : options_(std::move(options)), device_(std::move(device)), stream_(std::move(stream)) {}

  absl::Status Run();
  const std::vector<Row>& rows() const { return rows_; }

 private:
  // A layer's matrices of one encoding in device memory, `copies` times, and everything that a
  // product needs.
  struct Layers {
    int64_t layer_bytes = 0;
    int copies = 0;
    DeviceBuffer weights;
    std::vector<DeviceBuffer> activations;
    std::vector<MatMulArgs> products;  // of a layer; tiles of the first copy
  };

  std::vector<Matrix> LayerMatrices() const {
    // Whole blocks of 256, also where shrunk.
    const int64_t hidden = RoundUp(kHidden / options_.shrink, 256);
    const int64_t intermediate = RoundUp(kIntermediate / options_.shrink, 256);
    const int64_t kv_rows = RoundUp(kKvRows / options_.shrink, 16);
    return {{"q", hidden, hidden},
            {"k", kv_rows, hidden},
            {"v", kv_rows, hidden},
            {"o", hidden, hidden},
            {"gate and up", 2 * intermediate, hidden, true},
            {"down", hidden, intermediate}};
  }
  int64_t prompt() const { return std::max<int64_t>(kPrompt / options_.shrink, 24); }
  int64_t cycle_bytes() const { return kCycleBytes / (options_.shrink * options_.shrink); }
  // Operations of products with prompt() rows.
  double OperationsOf(const Matrix& m) const {
    return 2.0 * static_cast<double>(m.rows * m.k * prompt());
  }

  absl::StatusOr<DeviceBuffer> Allocate(int64_t bytes, absl::string_view what) {
    return DeviceBuffer::Create(&allocator_, bytes, what);
  }

  // Units a second of what `queue` puts into the stream, `units` in each round, for
  // options_.seconds.
  absl::StatusOr<Rate> Measure(double units, const std::function<absl::Status()>& queue);

  absl::StatusOr<Layers> MakeLayers(Encoding encoding, int64_t tokens, bool rounded,
                                    int64_t cycle_bytes);
  absl::Status FillTiles(Encoding encoding, int64_t k, int64_t num_tiles, std::byte* to);
  absl::Status Multiply(const Layers& layers, int copy, int64_t slab_bytes);

  absl::Status ReadMemory();
  absl::Status OneRow(Encoding encoding, bool rounded, bool by_slabs, std::optional<double> floor);
  absl::Status ManyRows(Encoding encoding, bool rounded, std::optional<double> floor);
  absl::Status MeasureCublas();
  absl::Status Copies();
  void Add(Row row);

  const Options options_;
  const cuda::Device device_;
  const cuda::Stream stream_;
  cuda::CudaAllocator allocator_;
  std::unique_ptr<Ops> ops_;
  std::vector<Row> rows_;
  Rate read_rate_;
  std::optional<Rate> cublas_layer_;    // operations a second; nothing: not measured
  std::vector<double> cublas_seconds_;  // of LayerMatrices(), in order
};

absl::StatusOr<Rate> Bench::Measure(double units, const std::function<absl::Status()>& queue) {
  SLUICE_ASSIGN_OR_RETURN(const Event begin, Event::Create(Event::Kind::kTime));
  SLUICE_ASSIGN_OR_RETURN(const Event end, Event::Create(Event::Kind::kTime));
  std::vector<double> rates;
  SLUICE_RETURN_IF_ERROR(queue());  // the first time code is loaded and memory mapped
  SLUICE_RETURN_IF_ERROR(stream_.Synchronize());
  const auto start = std::chrono::steady_clock::now();
  const size_t least = options_.seconds > 0 ? 3 : 1;
  while (rates.size() < least || std::chrono::steady_clock::now() - start <
                                     std::chrono::duration<double>(options_.seconds)) {
    SLUICE_RETURN_IF_ERROR(stream_.Record(begin));
    SLUICE_RETURN_IF_ERROR(queue());
    SLUICE_RETURN_IF_ERROR(stream_.Record(end));
    SLUICE_RETURN_IF_ERROR(stream_.Synchronize());
    SLUICE_ASSIGN_OR_RETURN(const double seconds, end.SecondsSince(begin));
    rates.push_back(seconds > 0 ? units / seconds : 0);
  }
  std::sort(rates.begin(), rates.end());
  return Rate{rates[rates.size() / 2], rates.front(), rates.back()};
}

// A few tiles of random blocks, repeated.
absl::Status Bench::FillTiles(Encoding encoding, int64_t k, int64_t num_tiles, std::byte* to) {
  const int64_t tile_bytes = TileBytes(encoding, k);
  const int64_t row_bytes = RowBytes(encoding, k);
  SLUICE_ASSIGN_OR_RETURN(
      const cuda::PinnedBuffer tiles,
      cuda::PinnedBuffer::Create(kDistinctTiles * tile_bytes, "tiles of weights"));
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> row(k);
  std::vector<std::byte> encoded(16 * row_bytes);
  for (int64_t tile = 0; tile < kDistinctTiles; ++tile) {
    for (int r = 0; r < 16; ++r) {
      for (float& value : row) value = normal(random);
      EncodeRow(encoding, row.data(), k, encoded.data() + r * row_bytes);
    }
    PackTile(encoding, encoded.data(), row_bytes, 16, k, tiles.data() + tile * tile_bytes);
  }
  for (int64_t done = 0; done < num_tiles; done += kDistinctTiles) {
    const int64_t bytes = std::min(kDistinctTiles, num_tiles - done) * tile_bytes;
    SLUICE_RETURN_IF_ERROR(stream_.CopyToDevice(to + done * tile_bytes, tiles.data(), bytes));
  }
  return stream_.Synchronize();
}

absl::StatusOr<Bench::Layers> Bench::MakeLayers(Encoding encoding, int64_t tokens, bool rounded,
                                                int64_t cycle_bytes) {
  Layers layers;
  const std::vector<Matrix> matrices = LayerMatrices();
  int64_t most_rows = 0, most_k = 0;
  for (const Matrix& m : matrices) {
    layers.layer_bytes += m.rows / 16 * TileBytes(encoding, m.k);
    most_rows = std::max(most_rows, m.rows);
    most_k = std::max(most_k, m.k);
  }
  layers.copies = static_cast<int>((cycle_bytes + layers.layer_bytes - 1) / layers.layer_bytes);
  SLUICE_ASSIGN_OR_RETURN(layers.weights, Allocate(layers.copies * layers.layer_bytes, "weights"));
  const ActivationFormat format = !rounded                     ? Info(encoding).activations
                                  : encoding == Encoding::kF16 ? ActivationFormat::kF16
                                                               : ActivationFormat::kBF16;

  SLUICE_ASSIGN_OR_RETURN(
      const cuda::PinnedBuffer pinned,
      cuda::PinnedBuffer::Create(tokens * most_k * int64_t{sizeof(float)}, "activations"));
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < tokens * most_k; ++i)
    reinterpret_cast<float*>(pinned.data())[i] = normal(random);
  SLUICE_ASSIGN_OR_RETURN(const DeviceBuffer x, Allocate(pinned.bytes(), "activations"));
  SLUICE_RETURN_IF_ERROR(stream_.CopyToDevice(x.data(), pinned.data(), pinned.bytes()));
  SLUICE_ASSIGN_OR_RETURN(DeviceBuffer out,
                          Allocate(tokens * most_rows * int64_t{sizeof(float)}, "products"));
  auto* const out_floats = reinterpret_cast<float*>(out.data());
  layers.activations.push_back(std::move(out));

  int64_t at = 0;
  for (const Matrix& m : matrices) {
    for (int copy = 0; copy < layers.copies; ++copy) {
      SLUICE_RETURN_IF_ERROR(FillTiles(encoding, m.k, m.rows / 16,
                                       layers.weights.data() + copy * layers.layer_bytes + at));
    }
    SLUICE_ASSIGN_OR_RETURN(DeviceBuffer prepared,
                            Allocate(tokens * ActivationRowBytes(format, m.k), "activations"));
    SLUICE_RETURN_IF_ERROR(ops_->PrepareActivations(
        format, reinterpret_cast<const float*>(x.data()), m.k, tokens, m.k, prepared.data()));
    const int64_t rows = m.gate_and_up ? m.rows / 2 : m.rows;
    layers.products.push_back({.encoding = encoding,
                               .tiles = layers.weights.data() + at,
                               .num_tiles = rows / 16,
                               .k = m.k,
                               .first_row = 0,
                               .matrix_rows = rows,
                               .activations = prepared.data(),
                               .num_tokens = tokens,
                               .epilogue = m.gate_and_up ? Epilogue::kSwiGlu : Epilogue::kStore,
                               .rounded_activations = rounded,
                               .out = out_floats,
                               .out_stride = rows});
    layers.activations.push_back(std::move(prepared));
    at += m.rows / 16 * TileBytes(encoding, m.k);
  }
  SLUICE_RETURN_IF_ERROR(stream_.Synchronize());
  return layers;
}

// Queues a layer's products; in runs of tiles of at most `slab_bytes`, or whole matrices where that
// is 0.
absl::Status Bench::Multiply(const Layers& layers, int copy, int64_t slab_bytes) {
  for (MatMulArgs args : layers.products) {
    args.tiles += copy * layers.layer_bytes;
    const int64_t each =
        TileBytes(args.encoding, args.k) * (args.epilogue == Epilogue::kSwiGlu ? 2 : 1);
    const int64_t all_tiles = args.num_tiles;
    const int64_t at_once = slab_bytes > 0 ? std::max<int64_t>(1, slab_bytes / each) : all_tiles;
    for (int64_t done = 0; done < all_tiles; done += at_once) {
      args.first_row = 16 * done;
      args.num_tiles = std::min(at_once, all_tiles - done);
      SLUICE_RETURN_IF_ERROR(ops_->MatMul(args));
      args.tiles += args.num_tiles * each;
    }
  }
  return absl::OkStatus();
}

void Bench::Add(Row row) {
  const std::string limit =
      row.limit.has_value() ? absl::StrFormat("%.4g", row.limit->median) : "not measured";
  const std::optional<double> ratio = row.Ratio();
  std::printf("| %s | %.4g %s (%.4g to %.4g) | %s: %s | %s | %s | %s |\n", row.name.c_str(),
              row.measured.median, row.unit.c_str(), row.measured.slowest, row.measured.fastest,
              row.limit_name.c_str(), limit.c_str(),
              ratio.has_value() ? absl::StrFormat("%.3f", *ratio).c_str() : "not measured",
              row.floor.has_value() ? absl::StrFormat("%.2f", *row.floor).c_str() : "",
              !row.floor.has_value() || !ratio.has_value() ? ""
              : row.Missed()                               ? "no"
                                                           : "yes");
  std::fflush(stdout);
  rows_.push_back(std::move(row));
}

Rate In(Rate rate, double unit) {
  return {rate.median / unit, rate.slowest / unit, rate.fastest / unit};
}

absl::Status Bench::ReadMemory() {
  const int64_t bytes = RoundUp(cycle_bytes(), 4096);
  SLUICE_ASSIGN_OR_RETURN(const DeviceBuffer memory, Allocate(bytes, "memory to read"));
  SLUICE_ASSIGN_OR_RETURN(const DeviceBuffer sink, Allocate(256, "what is read"));
  SLUICE_ASSIGN_OR_RETURN(
      read_rate_, Measure(static_cast<double>(bytes) / 1e9, [&] {
        return cuda::CudaStatus(
            LaunchDeviceRead(reinterpret_cast<const uint8_t*>(memory.data()), bytes,
                             device_.multiprocessors(), reinterpret_cast<uint32_t*>(sink.data()),
                             stream_.get()),
            "reading the device's memory");
      }));
  std::printf("\nreading the device's memory: %.1f GB/s (%.1f to %.1f)\n\n", read_rate_.median,
              read_rate_.slowest, read_rate_.fastest);
  return absl::OkStatus();
}

absl::Status Bench::OneRow(Encoding encoding, bool rounded, bool by_slabs,
                           std::optional<double> floor) {
  SLUICE_ASSIGN_OR_RETURN(const Layers layers, MakeLayers(encoding, 1, rounded, cycle_bytes()));
  const double bytes = static_cast<double>(layers.copies * layers.layer_bytes);
  SLUICE_ASSIGN_OR_RETURN(
      const Rate rate, Measure(bytes / 1e9, [&]() -> absl::Status {
        for (int copy = 0; copy < layers.copies; ++copy) {
          SLUICE_RETURN_IF_ERROR(Multiply(layers, copy, by_slabs ? kSlabBytes : 0));
        }
        return absl::OkStatus();
      }));
  Add({.name = absl::StrCat(Info(encoding).name, rounded ? " --fast-math" : "", ", 1 row",
                            by_slabs ? ", by slabs of 8 MiB" : ""),
       .unit = "GB/s",
       .measured = rate,
       .limit_name = "memory read",
       .limit = read_rate_,
       .floor = floor});
  return absl::OkStatus();
}

absl::Status Bench::MeasureCublas() {
  absl::StatusOr<std::unique_ptr<Cublas>> cublas = Cublas::Open(options_.cublas, stream_.get());
  if (!cublas.ok()) {
    std::fprintf(stderr, "device_kernels: cuBLAS is not measured: %s\n",
                 std::string(cublas.status().message()).c_str());
    return absl::OkStatus();
  }
  std::fprintf(stderr, "device_kernels: cuBLAS of %s\n", (*cublas)->path().c_str());
  const std::vector<Matrix> matrices = LayerMatrices();
  int64_t most_weights = 0, most_rows = 0, most_k = 0;
  for (const Matrix& m : matrices) {
    most_weights = std::max(most_weights, m.rows * m.k);
    most_rows = std::max(most_rows, m.rows);
    most_k = std::max(most_k, m.k);
  }
  SLUICE_ASSIGN_OR_RETURN(const DeviceBuffer weights,
                          Allocate(2 * most_weights, "weights for cuBLAS"));
  SLUICE_ASSIGN_OR_RETURN(const DeviceBuffer x,
                          Allocate(2 * prompt() * most_k, "activations for cuBLAS"));
  SLUICE_ASSIGN_OR_RETURN(const DeviceBuffer out,
                          Allocate(2 * prompt() * most_rows, "products of cuBLAS"));
  // A tile of bf16 is as good as rows of it: numbers as they occur.
  SLUICE_RETURN_IF_ERROR(
      FillTiles(Encoding::kBF16, most_k, most_weights / most_k / 16, weights.data()));
  SLUICE_RETURN_IF_ERROR(FillTiles(Encoding::kBF16, most_k, prompt() / 16, x.data()));
  double operations = 0;
  for (const Matrix& m : matrices) {
    operations += OperationsOf(m);
    SLUICE_ASSIGN_OR_RETURN(const Rate rate, Measure(OperationsOf(m), [&] {
                              return (*cublas)->MatMulBF16(weights.data(), x.data(), out.data(),
                                                           m.rows, prompt(), m.k);
                            }));
    cublas_seconds_.push_back(rate.median > 0 ? OperationsOf(m) / rate.median : 0);
  }
  SLUICE_ASSIGN_OR_RETURN(cublas_layer_, Measure(operations, [&]() -> absl::Status {
                            for (const Matrix& m : matrices) {
                              SLUICE_RETURN_IF_ERROR((*cublas)->MatMulBF16(
                                  weights.data(), x.data(), out.data(), m.rows, prompt(), m.k));
                            }
                            return absl::OkStatus();
                          }));
  return absl::OkStatus();
}

absl::Status Bench::ManyRows(Encoding encoding, bool rounded, std::optional<double> floor) {
  SLUICE_ASSIGN_OR_RETURN(const Layers layers, MakeLayers(encoding, prompt(), rounded, 1));
  const std::vector<Matrix> matrices = LayerMatrices();
  const std::string name =
      absl::StrCat(Info(encoding).name, rounded ? " --fast-math" : "", ", 512 rows");
  double operations = 0;
  for (size_t i = 0; i < matrices.size(); ++i) {
    operations += OperationsOf(matrices[i]);
    if (matrices[i].name[0] == 'v') continue;  // as k
    SLUICE_ASSIGN_OR_RETURN(const Rate rate, Measure(OperationsOf(matrices[i]), [&] {
                              return ops_->MatMul(layers.products[i]);
                            }));
    Row row;
    row.name = absl::StrCat(name, ", ", matrices[i].name);
    row.unit = "TOPS";
    row.measured = In(rate, 1e12);
    row.limit_name = kCublas;
    if (!cublas_seconds_.empty() && cublas_seconds_[i] > 0) {
      row.limit.emplace();
      row.limit->median = OperationsOf(matrices[i]) / cublas_seconds_[i] / 1e12;
    }
    Add(std::move(row));
  }
  SLUICE_ASSIGN_OR_RETURN(const Rate rate,
                          Measure(operations, [&] { return Multiply(layers, 0, 0); }));
  Row row;
  row.name = name + ", a layer";
  row.unit = "TOPS";
  row.measured = In(rate, 1e12);
  row.limit_name = kCublas;
  if (cublas_layer_.has_value()) row.limit = In(*cublas_layer_, 1e12);
  row.floor = floor;
  Add(std::move(row));
  return absl::OkStatus();
}

// As the copying thread does it (prefetch/device_stream.cc): memory that is pinned where it lies,
// slab by slab, an event before and after each.
absl::Status Bench::Copies() {
  const int64_t bytes = RoundUp(kCopyBytes / options_.shrink, kReadAlignment);
  const int64_t slab_bytes = std::min(bytes, kSlabBytes);
  SLUICE_ASSIGN_OR_RETURN(const DeviceBuffer device, Allocate(bytes, "copies"));
  Rate limit;
  {
    SLUICE_ASSIGN_OR_RETURN(const cuda::PinnedBuffer pinned,
                            cuda::PinnedBuffer::Create(bytes, "copies"));
    std::memset(pinned.data(), 1, static_cast<size_t>(bytes));
    SLUICE_ASSIGN_OR_RETURN(limit, Measure(static_cast<double>(bytes) / 1e9, [&] {
                              return stream_.CopyToDevice(device.data(), pinned.data(), bytes);
                            }));
  }
  SLUICE_ASSIGN_OR_RETURN(const HostBuffer host, HostBuffer::Create(bytes));
  std::memset(host.data(), 1, static_cast<size_t>(bytes));
  SLUICE_ASSIGN_OR_RETURN(const cuda::PinnedRange range, cuda::PinnedRange::Create(host.span()));
  std::vector<Event> events;
  for (int64_t i = 0; i < 2 * ((bytes + slab_bytes - 1) / slab_bytes); ++i) {
    SLUICE_ASSIGN_OR_RETURN(Event event, Event::Create(Event::Kind::kTime));
    events.push_back(std::move(event));
  }
  SLUICE_ASSIGN_OR_RETURN(
      const Rate rate, Measure(static_cast<double>(bytes) / 1e9, [&]() -> absl::Status {
        size_t event = 0;
        for (int64_t at = 0; at < bytes; at += slab_bytes) {
          SLUICE_RETURN_IF_ERROR(stream_.Record(events[event++]));
          SLUICE_RETURN_IF_ERROR(stream_.CopyToDevice(device.data() + at, host.data() + at,
                                                      std::min(slab_bytes, bytes - at)));
          SLUICE_RETURN_IF_ERROR(stream_.Record(events[event++]));
        }
        return absl::OkStatus();
      }));
  Add({.name = "copies to the device, slabs of 8 MiB",
       .unit = "GB/s",
       .measured = rate,
       .limit_name = "one copy of 256 MiB",
       .limit = limit,
       .floor = 0.95});
  return absl::OkStatus();
}

absl::Status Bench::Run() {
  SLUICE_ASSIGN_OR_RETURN(ops_, cuda::MakeCudaOps(device_, &stream_, &allocator_));
  const int capability = device_.compute_capability();
  std::printf("%s, compute capability %d.%d\n", device_.name().c_str(), capability / 10,
              capability % 10);
  SLUICE_RETURN_IF_ERROR(ReadMemory());
  std::printf(
      "| | measured | limit | ratio | floor | met |\n| --- | --- | --- | --- | --- | --- |\n");
  for (const Encoding encoding : {Encoding::kQ4_K, Encoding::kQ8_0, Encoding::kBF16}) {
    SLUICE_RETURN_IF_ERROR(OneRow(encoding, /*rounded=*/false, /*by_slabs=*/false, 0.80));
  }
  SLUICE_RETURN_IF_ERROR(
      OneRow(Encoding::kQ4_K, /*rounded=*/false, /*by_slabs=*/true, std::nullopt));
  const bool rounds = cuda::CheckRoundsActivations(capability).ok();
  if (rounds)
    SLUICE_RETURN_IF_ERROR(
        OneRow(Encoding::kBF16, /*rounded=*/true, /*by_slabs=*/false, std::nullopt));
  SLUICE_RETURN_IF_ERROR(Copies());
  SLUICE_RETURN_IF_ERROR(MeasureCublas());
  std::optional<double> floor;  // of other devices nothing was promised
  if (capability >= 80 && capability < 90) floor = 0.60;
  if (capability == 90) floor = 0.40;
  SLUICE_RETURN_IF_ERROR(ManyRows(Encoding::kQ4_K, /*rounded=*/false, floor));
  SLUICE_RETURN_IF_ERROR(ManyRows(Encoding::kBF16, /*rounded=*/false, std::nullopt));
  if (rounds) SLUICE_RETURN_IF_ERROR(ManyRows(Encoding::kBF16, /*rounded=*/true, std::nullopt));
  return absl::OkStatus();
}

nlohmann::json ToJson(const Row& row) {
  const auto rate = [](const Rate& r) {
    return nlohmann::json{{"median", r.median}, {"slowest", r.slowest}, {"fastest", r.fastest}};
  };
  nlohmann::json object = {{"name", row.name},
                           {"unit", row.unit},
                           {"measured", rate(row.measured)},
                           {"limit_name", row.limit_name},
                           {"limit", nullptr},
                           {"ratio", nullptr},
                           {"floor", nullptr},
                           {"met", nullptr}};
  if (row.limit.has_value()) object["limit"] = rate(*row.limit);
  if (row.Ratio().has_value()) object["ratio"] = *row.Ratio();
  if (row.floor.has_value()) object["floor"] = *row.floor;
  if (row.floor.has_value() && row.Ratio().has_value()) object["met"] = !row.Missed();
  return object;
}

bool ParseOptions(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) return false;
    const std::string value = argv[i + 1];
    if (name == "--cublas") {
      options->cublas = value;
    } else if (name == "--json") {
      options->json = value;
    } else if (name == "--seconds") {
      if (!absl::SimpleAtod(value, &options->seconds)) return false;
    } else if (name == "--shrink") {
      if (!absl::SimpleAtoi(value, &options->shrink) || options->shrink < 1 ||
          options->shrink > 32) {
        return false;
      }
    } else {
      return false;
    }
  }
  return true;
}

absl::StatusOr<bool> Main(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(cuda::Device device, cuda::Device::Open(0));
  SLUICE_ASSIGN_OR_RETURN(cuda::Stream stream, cuda::Stream::Create());
  nlohmann::json report = {{"device", device.name()},
                           {"compute_capability", device.compute_capability()}};
  Bench bench(options, std::move(device), std::move(stream));
  const absl::Status status = bench.Run();
  report["rows"] = nlohmann::json::array();
  bool missed = false;
  for (const Row& row : bench.rows()) {
    report["rows"].push_back(ToJson(row));
    missed = missed || row.Missed();
  }
  // What was measured before an error is kept.
  if (!options.json.empty() && !(std::ofstream(options.json) << report.dump(2) << "\n")) {
    return absl::UnavailableError(absl::StrCat(options.json, " cannot be written"));
  }
  SLUICE_RETURN_IF_ERROR(status);
  return !missed;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  sluice::Options options;
  if (!sluice::ParseOptions(argc, argv, &options)) {
    std::fprintf(stderr,
                 "usage: device_kernels [--cublas DIR] [--json FILE] [--seconds S] [--shrink N]\n");
    return 2;
  }
  const absl::StatusOr<bool> met = sluice::Main(options);
  if (met.ok()) return *met ? 0 : 1;
  std::fprintf(stderr, "device_kernels: %s\n", std::string(met.status().message()).c_str());
  return 1;
}
