// Decoding with every weight resident: bytes of weights a second over the machine's read bandwidth.
//
//   decode STORE... [--pairs=N] [--threads=N] [--json]
//
// For each store: N pairs (default 5), each about a second of decoding, one token a pass, and after
// every pass the best of three times reading 1 GiB with the same threads: in turns, because a
// shared machine's memory may be twice as fast for a tenth of a second. Prints medians and the
// median of the pairs' ratios with its spread. `sluice synth` makes stores without a download.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bench/kernel_bench.h"
#include "runtime/pass/model.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kReadBytes = int64_t{1} << 30;
constexpr int kMaxPasses = 256;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Pair {
  double bytes_per_s;       // of weights
  double read_bytes_per_s;  // mean over the passes
};

// Decodes for about a second from an empty context, reading through `buffer` between passes.
absl::StatusOr<Pair> MeasurePair(Model& model, ThreadPool& pool, Buffer& buffer) {
  KvSequence sequence;
  if (const absl::Status s = model.kv_cache().Reserve(sequence, kMaxPasses); !s.ok()) return s;
  int passes = 0;
  double decoding = 0;
  double reading = 0;
  while (passes < kMaxPasses && decoding < 1) {
    const PassRow row = {&sequence, passes, 1 + passes, true};
    const Clock::time_point start = Clock::now();
    if (const auto logits = model.RunPass({row}); !logits.ok()) return logits.status();
    decoding += SecondsSince(start);
    double limit = 0;
    for (int i = 0; i < 3; ++i)
      limit = std::max(limit, ReadThrough(pool, {buffer.data(), kReadBytes}));
    reading += kReadBytes / limit;
    ++passes;
  }
  model.kv_cache().Release(sequence);
  return Pair{static_cast<double>(model.plan().weight_bytes) * passes / decoding,
              static_cast<double>(kReadBytes) * passes / reading};
}

absl::Status Measure(const std::string& path, ThreadPool& pool, int pairs, bool json) {
  auto store = LayerStore::Open(path);
  if (!store.ok()) return store.status();
  PlanRequest request;
  request.max_ram_bytes = int64_t{1} << 40;
  request.context_tokens = kMaxPasses;
  auto plan = PlanMemory(**store, request);
  if (!plan.ok()) return plan.status();
  auto ops = MakeCpuOps(SupportedIsas().back(), &pool);
  if (!ops.ok()) return ops.status();
  const std::unique_ptr<ComputePlace> place = MakeHostPlace(ops->get());
  auto model = Model::Create(**store, *plan, place.get(), ReadOptions());
  if (!model.ok()) return model.status();
  Buffer buffer(kReadBytes);
  std::memset(buffer.data(), 1, kReadBytes);
  if (const auto warm = MeasurePair(**model, pool, buffer); !warm.ok()) return warm.status();
  std::vector<double> rates, limits, ratios;
  for (int i = 0; i < pairs; ++i) {
    const auto pair = MeasurePair(**model, pool, buffer);
    if (!pair.ok()) return pair.status();
    rates.push_back(pair->bytes_per_s);
    limits.push_back(pair->read_bytes_per_s);
    ratios.push_back(pair->bytes_per_s / pair->read_bytes_per_s);
  }
  const double least = *std::min_element(ratios.begin(), ratios.end());
  const double most = *std::max_element(ratios.begin(), ratios.end());
  const double weights = static_cast<double>(plan->weight_bytes);
  std::printf(
      json
          ? "{\"store\": \"%s\", \"weight_bytes\": %.0f, \"tokens_per_s\": %.3f, \"bytes_per_s\": "
            "%.0f, "
            "\"read_bytes_per_s\": %.0f, \"ratio\": %.4f, \"least\": %.4f, \"most\": %.4f}\n"
          : "%s: %.0f bytes of weights, %.2f tokens/s, %.3g bytes/s of %.3g: %.3f (%.3f .. %.3f)\n",
      path.c_str(), weights, Median(rates) / weights, Median(rates), Median(limits), Median(ratios),
      least, most);
  std::fflush(stdout);
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  const int threads = TakeThreads(&argc, argv);
  int pairs = 5;
  bool json = false;
  std::vector<std::string> stores;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--pairs=", 8) == 0) {
      pairs = std::max(1, std::atoi(argv[i] + 8));
    } else if (std::strcmp(argv[i], "--json") == 0) {
      json = true;
    } else {
      stores.push_back(argv[i]);
    }
  }
  if (stores.empty()) {
    std::fprintf(stderr, "usage: decode STORE... [--pairs=N] [--threads=N] [--json]\n");
    return 2;
  }
  ThreadPool pool(threads);
  for (const std::string& store : stores) {
    if (const absl::Status status = Measure(store, pool, pairs, json); !status.ok()) {
      std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(argc, argv); }
