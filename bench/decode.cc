// Decoding with every weight resident: bytes of weights a second over the machine's read bandwidth.
//
//   decode STORE... [--pairs=N] [--threads=N] [--json]
//
// For each store: N pairs (default 5) of decoding, one token a pass, for about a second, and of
// reading 1 GiB with the same threads, the best of three. Prints medians and the median of the pairs'
// ratios with its spread. `sluice synth` makes stores without a download.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bench/kernel_bench.h"
#include "runtime/model.h"

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

// Decodes for about a second from an empty context and returns bytes of weights a second.
absl::StatusOr<double> DecodeRate(Model& model) {
  KvSequence sequence;
  if (const absl::Status s = model.kv_cache().Reserve(sequence, kMaxPasses); !s.ok()) return s;
  const Clock::time_point start = Clock::now();
  int passes = 0;
  while (passes < kMaxPasses && SecondsSince(start) < 1) {
    const PassRow row = {&sequence, passes, 1 + passes, true};
    if (const auto logits = model.RunPass({row}); !logits.ok()) return logits.status();
    ++passes;
  }
  const double seconds = SecondsSince(start);
  model.kv_cache().Release(sequence);
  return static_cast<double>(model.plan().weight_bytes) * passes / seconds;
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
  if (const auto warm = DecodeRate(**model); !warm.ok()) return warm.status();
  Buffer buffer(kReadBytes);
  std::memset(buffer.data(), 1, kReadBytes);
  std::vector<double> rates, limits, ratios;
  for (int i = 0; i < pairs; ++i) {
    const auto rate = DecodeRate(**model);
    if (!rate.ok()) return rate.status();
    double limit = 0;
    for (int j = 0; j < 3; ++j) {
      limit = std::max(limit, ReadThrough(pool, {buffer.data(), kReadBytes}));
    }
    rates.push_back(*rate);
    limits.push_back(limit);
    ratios.push_back(*rate / limit);
  }
  const double least = *std::min_element(ratios.begin(), ratios.end());
  const double most = *std::max_element(ratios.begin(), ratios.end());
  const double weights = static_cast<double>(plan->weight_bytes);
  std::printf(json ? "{\"store\": \"%s\", \"weight_bytes\": %.0f, \"tokens_per_s\": %.3f, \"bytes_per_s\": %.0f, "
                     "\"read_bytes_per_s\": %.0f, \"ratio\": %.4f, \"least\": %.4f, \"most\": %.4f}\n"
                   : "%s: %.0f bytes of weights, %.2f tokens/s, %.3g bytes/s of %.3g: %.3f (%.3f .. %.3f)\n",
              path.c_str(), weights, Median(rates) / weights, Median(rates), Median(limits),
              Median(ratios), least, most);
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
