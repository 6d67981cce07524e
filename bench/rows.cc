// Operations on activation rows: RMS norm, RoPE, quantizing to int8. GB/s of the memory they touch,
// over what the same threads read from memory in the same run.
//
// 8,192 rows of Llama-3.2-3B (hidden_size 3072, 24 heads of 128): 100 MB, more than the caches
// hold. Bytes are what is read and written once; writing makes a share of 1 impossible, since the
// limit only reads.
//
//   bench_rows [--threads=N] [Google Benchmark's flags]
#include <chrono>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "bench/kernel_bench.h"
#include "benchmark/benchmark.h"
#include "kernels/encodings/encoding.h"
#include "kernels/ops.h"

namespace sluice {
namespace {

constexpr int64_t kRows = 8192;
constexpr int64_t kHidden = 3072;
constexpr int64_t kHeads = 24;
constexpr int64_t kHeadDim = 128;

// Times `run`, which touches `bytes`.
void Time(benchmark::State& state, int64_t bytes, const Limits& limits,
          absl::FunctionRef<absl::Status()> run) {
  double best = std::numeric_limits<double>::infinity();
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    if (!run().ok()) state.SkipWithError("the operation failed");
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    state.SetIterationTime(seconds.count());
    best = std::min(best, seconds.count());
  }
  state.counters["GBps"] = static_cast<double>(bytes) / best / 1e9;
  state.counters["of_bandwidth"] = static_cast<double>(bytes) / best / limits.read_bandwidth;
}

int Main(int argc, char** argv) {
  const int threads = TakeThreads(&argc, argv);
  benchmark::Initialize(&argc, argv);
  ThreadPool pool(threads);
  const Limits limits = MeasureLimits(pool);
  const int64_t bytes = kRows * kHidden * static_cast<int64_t>(sizeof(float));
  Buffer in(bytes), out(bytes);
  auto* const x = reinterpret_cast<float*>(in.data());
  auto* const y = reinterpret_cast<float*>(out.data());
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < kRows * kHidden; ++i) x[i] = normal(random);
  const std::vector<float> weight(kHidden, 1.0f);
  const std::vector<float> table(kRows * kHeadDim, 0.7f);
  std::vector<int64_t> positions(kRows);
  std::iota(positions.begin(), positions.end(), 0);

  std::vector<std::unique_ptr<Ops>> all_ops;
  for (Isa isa : SupportedIsas()) {
    all_ops.push_back(*MakeCpuOps(isa, &pool));
    Ops* const ops = all_ops.back().get();
    const auto add = [&](absl::string_view name, int64_t touched, auto run) {
      benchmark::RegisterBenchmark(
          absl::StrCat(name, "/", IsaName(isa)).c_str(),
          [&limits, touched, run](benchmark::State& state) { Time(state, touched, limits, run); })
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond);
    };
    add("rms_norm", 2 * bytes, [&, ops] {
      return ops->RmsNorm(x, kHidden, kRows, kHidden, weight.data(), 1e-5f, y, kHidden);
    });
    add("rope", 2 * bytes, [&, ops] {
      return ops->Rope(x, kHidden, kRows, kHeads, kHeadDim, table.data(), positions, nullptr, 0);
    });
    for (const auto& [name, format] : {std::pair{"int8_block32", ActivationFormat::kInt8Block32},
                                       {"int8_block256", ActivationFormat::kInt8Block256}}) {
      add(name, bytes + kRows * ActivationRowBytes(format, kHidden), [&, ops, format = format] {
        return ops->PrepareActivations(format, x, kHidden, kRows, kHidden, out.data());
      });
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(argc, argv); }
