// Attention of a prompt (GFLOP/s, over a loop of nothing but fma) and of one token after a long
// context (GB/s of KV cache, over what the same threads read from memory), limits measured in the
// same run.
//
// Shapes are those of one layer of Llama-3.2-3B: 24 heads, 8 KV heads, head_dim 128. A prompt's
// rows are the last 512 positions before `context`; operations are 4 a query, visible key and
// element of a head (2 for the score, 2 for the sum). One token reads its KV in turn from copies
// that exceed the caches, as layers follow one another.
//
//   bench_attention [--threads=N] [Google Benchmark's flags, as --benchmark_filter=prompt]
#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/kernel_bench.h"
#include "benchmark/benchmark.h"
#include "kernels/ops.h"

namespace sluice {
namespace {

constexpr int64_t kHeads = 24;
constexpr int64_t kKvHeads = 8;
constexpr int64_t kHeadDim = 128;
constexpr int64_t kCacheBytes = int64_t{256} << 20;

struct Case {
  Isa isa;
  KvType kv;
  int64_t context;  // positions in all
  int64_t rows;     // the last of them attend
};

absl::string_view Name(KvType type) {
  return type == KvType::kF32 ? "f32" : type == KvType::kF16 ? "f16" : "q8_0";
}

void BenchAttention(benchmark::State& state, ThreadPool& pool, const Case& c,
                    const Limits& limits) {
  const KvShape kv = {c.kv, c.kv, kKvHeads, kHeadDim};
  const int64_t pages_each = (c.context + kKvPageTokens - 1) / kKvPageTokens;
  const int64_t copies =
      c.rows == 1 ? std::max<int64_t>(1, kCacheBytes / (pages_each * KvPageBytes(kv))) : 1;
  Buffer pages(copies * pages_each * KvPageBytes(kv));
  std::unique_ptr<Ops> ops = *MakeCpuOps(c.isa, &pool);
  std::vector<std::vector<int32_t>> tables(copies);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> k(kKvPageTokens * kKvHeads * kHeadDim);
  for (float& x : k) x = normal(random);
  std::vector<float> q(c.rows * kHeads * kHeadDim);
  for (float& x : q) x = normal(random);
  std::vector<float> out(q.size());
  AttentionArgs args = {.kv = kv,
                        .pages = pages.data(),
                        .page_stride = KvPageBytes(kv),
                        .num_heads = kHeads,
                        .attention_scale = 0.088f,
                        .rows = {}};
  for (int64_t copy = 0; copy < copies; ++copy) {
    for (int64_t i = 0; i < pages_each; ++i) {
      tables[copy].push_back(static_cast<int32_t>(copy * pages_each + i));
    }
    for (int64_t begin = 0; begin < pages_each * kKvPageTokens; begin += kKvPageTokens) {
      std::vector<AttentionRow> rows;
      for (int64_t t = 0; t < kKvPageTokens; ++t)
        rows.push_back({tables[copy].data(), begin + t, 0});
      args.rows = rows;
      if (!ops->AppendKv(args, k.data(), k.data(), kKvHeads * kHeadDim).ok()) return;
    }
  }
  std::vector<std::vector<AttentionRow>> rows(copies);
  double visible = 0;
  for (int64_t copy = 0; copy < copies; ++copy) {
    visible = 0;
    for (int64_t position = c.context - c.rows; position < c.context; ++position) {
      rows[copy].push_back({tables[copy].data(), position, 0});
      visible += static_cast<double>(position + 1);
    }
  }
  double best = std::numeric_limits<double>::infinity();
  int64_t copy = 0;
  for (auto _ : state) {
    args.rows = rows[copy];
    copy = (copy + 1) % copies;
    const auto start = std::chrono::steady_clock::now();
    if (!ops->Attention(args, q.data(), kHeads * kHeadDim, out.data(), kHeads * kHeadDim).ok()) {
      state.SkipWithError("Attention failed");
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    state.SetIterationTime(seconds.count());
    best = std::min(best, seconds.count());
  }
  const double operations = 4.0 * visible * kHeads * kHeadDim;
  const double bytes = static_cast<double>(c.context) * 2 * kKvHeads * KvRowBytes(c.kv, kHeadDim);
  state.counters["GFLOPS"] = operations / best / 1e9;
  state.counters["of_peak"] = operations / best / limits.peak_ops[static_cast<int>(c.isa)][0];
  if (c.rows == 1) {
    state.counters["kv_GBps"] = bytes / best / 1e9;
    state.counters["of_bandwidth"] = bytes / best / limits.read_bandwidth;
  }
}

int Main(int argc, char** argv) {
  const int threads = TakeThreads(&argc, argv);
  benchmark::Initialize(&argc, argv);
  ThreadPool pool(threads);
  const Limits limits = MeasureLimits(pool);
  for (Isa isa : SupportedIsas()) {
    for (KvType kv : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
      for (const auto& [context, rows] :
           {std::pair<int64_t, int64_t>{512, 512}, {8192, 512}, {8192, 1}}) {
        if (isa == Isa::kScalar && context > 512) continue;  // minutes
        const Case c = {isa, kv, context, rows};
        benchmark::RegisterBenchmark(
            absl::StrCat(rows == 1 ? "token" : "prompt", "/", Name(kv), "/", IsaName(isa),
                         "/context:", context)
                .c_str(),
            [&, c](benchmark::State& state) { BenchAttention(state, pool, c, limits); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
      }
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(argc, argv); }
