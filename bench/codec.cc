// Compressed slabs: GB/s of raw bytes that one core decodes and encodes, next to what it copies.
//
// For normally distributed weights as bf16, f16 and q8_0, cut as the sharder does, it reports
//   raw_GBps    raw bytes a second of the median iteration (a slab of 8 MiB), with its best and
//   worst, of_memcpy   its share of the raw bytes a second that the same core copies, and stored
//   stored bytes over raw ones.
// Slabs are decoded in place, in turn, out of more memory than the caches hold, as they come from a
// disk; filling the places again is not timed.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "kernels/encodings/encoding.h"
#include "kernels/encodings/tile.h"
#include "storage/store/slab_codec.h"

namespace sluice {
namespace {

constexpr int64_t kK = 4096;
constexpr int64_t kSlabBytes = int64_t{8} << 20;
constexpr int kSlabs = 32;

using Bytes = std::vector<std::byte>;

double Seconds(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Tiles of weights that are normally distributed but for a tenth of wider ones, as trained ones
// are.
Bytes MakeSlab(Encoding encoding) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  const int64_t tile_bytes = TileBytes(encoding, kK), row_bytes = RowBytes(encoding, kK);
  Bytes slab(kSlabBytes / tile_bytes * tile_bytes), rows(kTileRows * row_bytes);
  std::vector<float> values(kK);
  for (size_t at = 0; at < slab.size(); at += tile_bytes) {
    for (int row = 0; row < kTileRows; ++row) {
      for (float& value : values) value = normal(random) * (random() % 10 == 0 ? 3.0f : 1.0f);
      EncodeRow(encoding, values.data(), kK, rows.data() + row * row_bytes);
    }
    PackTile(encoding, rows.data(), row_bytes, kTileRows, kK, slab.data() + at);
  }
  return slab;
}

// Reports rates of iterations that took `seconds` for `bytes` each; the median's is returned.
double Report(benchmark::State& state, std::vector<double> seconds, int64_t bytes) {
  if (seconds.empty()) return 0;
  std::sort(seconds.begin(), seconds.end());
  const double gb = static_cast<double>(bytes) / 1e9;
  const double median = gb / seconds[seconds.size() / 2];
  state.counters["raw_GBps"] = median;
  state.counters["best"] = gb / seconds.front();
  state.counters["worst"] = gb / seconds.back();
  return median;
}

void BenchCopy(benchmark::State& state, double* rate) {
  std::vector<Bytes> from(kSlabs, Bytes(kSlabBytes)), to(kSlabs, Bytes(kSlabBytes));
  std::vector<double> seconds;
  int i = 0;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    std::memcpy(to[i].data(), from[i].data(), kSlabBytes);
    benchmark::ClobberMemory();
    seconds.push_back(Seconds(start));
    state.SetIterationTime(seconds.back());
    i = (i + 1) % kSlabs;
  }
  *rate = Report(state, seconds, kSlabBytes);
}

void BenchEncode(benchmark::State& state, Encoding encoding, const double* memcpy_rate) {
  const Bytes raw = MakeSlab(encoding);
  Bytes stored(raw.size());
  SlabEncoder encoder;
  std::vector<double> seconds;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    const auto bytes = encoder.Encode(CompressionFor(encoding), raw, absl::MakeSpan(stored));
    seconds.push_back(Seconds(start));
    state.SetIterationTime(seconds.back());
    if (!bytes.ok()) return state.SkipWithError(bytes.status().ToString().c_str());
  }
  const double rate = Report(state, seconds, static_cast<int64_t>(raw.size()));
  state.counters["of_memcpy"] = rate / *memcpy_rate;
}

void BenchDecode(benchmark::State& state, Encoding encoding, const double* memcpy_rate) {
  const SlabCompression compression = CompressionFor(encoding);
  const Bytes raw = MakeSlab(encoding);
  const int64_t raw_bytes = static_cast<int64_t>(raw.size());
  Bytes stored(raw.size());
  const auto bytes = SlabEncoder().Encode(compression, raw, absl::MakeSpan(stored));
  if (!bytes.ok() || !bytes->has_value()) return state.SkipWithError("does not pay");
  const int64_t padded = (**bytes + 4095) / 4096 * 4096;
  std::vector<Bytes> places(kSlabs, Bytes(CompressedPlaceBytes(raw_bytes)));
  SlabDecoder decoder;
  std::vector<double> seconds;
  int i = 0;
  for (auto _ : state) {
    if (i == 0) {
      for (Bytes& place : places) std::copy_n(stored.begin(), **bytes, place.end() - padded);
    }
    const auto start = std::chrono::steady_clock::now();
    const absl::Status status =
        decoder.Decode(compression, absl::MakeSpan(places[i]), **bytes, raw_bytes);
    seconds.push_back(Seconds(start));
    state.SetIterationTime(seconds.back());
    if (!status.ok()) return state.SkipWithError(status.ToString().c_str());
    i = (i + 1) % kSlabs;
  }
  if (!std::equal(raw.begin(), raw.end(), places[0].begin()))
    return state.SkipWithError("other bytes");
  const double rate = Report(state, seconds, raw_bytes);
  state.counters["of_memcpy"] = rate / *memcpy_rate;
  state.counters["stored"] = static_cast<double>(**bytes) / static_cast<double>(raw_bytes);
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  double memcpy_rate = 0;
  const auto add = [](const std::string& name, auto run) {
    benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->Unit(benchmark::kMillisecond);
  };
  add("memcpy", [&](benchmark::State& state) { BenchCopy(state, &memcpy_rate); });
  for (const Encoding encoding : {Encoding::kBF16, Encoding::kF16, Encoding::kQ8_0}) {
    add(absl::StrCat("decode/", Info(encoding).name),
        [&, encoding](benchmark::State& state) { BenchDecode(state, encoding, &memcpy_rate); });
  }
  for (const Encoding encoding : {Encoding::kBF16, Encoding::kF16, Encoding::kQ8_0}) {
    add(absl::StrCat("encode/", Info(encoding).name),
        [&, encoding](benchmark::State& state) { BenchEncode(state, encoding, &memcpy_rate); });
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(argc, argv); }
