// Decoding with every weight resident: bytes of weights a second over the machine's read bandwidth.
//
// usage: decode [ENCODING]...   (default q8_0 q4_k bf16)
// Makes a Llama of about 0.55 B random weights in the temporary folder, shards it to each encoding, and decodes
// one token a pass, threads = CPUs. The limit is the read bandwidth of the same threads in the same run.
#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kernels/cpu/bandwidth.h"
#include "kernels/cpu/cpu_ops.h"
#include "runtime/model.h"
#include "storage/sharder.h"
#include "tests/support/synthetic_checkpoint.h"

namespace sluice {
namespace {

constexpr int kWarmupPasses = 3;
constexpr int kPasses = 24;

// Prints one row; returns false after an error.
bool Measure(const Checkpoint& checkpoint, const std::string& dir, const std::string& encoding, int threads) {
  const std::string store_dir = dir + "/" + encoding;
  ShardOptions shard;
  shard.recipe = Recipe{encoding};
  shard.num_threads = threads;
  if (const auto result = Shard(checkpoint, store_dir, shard); !result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
    return false;
  }
  const auto store = LayerStore::Open(store_dir);
  if (!store.ok()) return false;
  PlanRequest request;
  request.max_ram_bytes = int64_t{1} << 40;
  request.context_tokens = 256;
  const auto plan = PlanMemory(**store, request);
  ThreadPool pool(threads);
  const auto ops = MakeCpuOps(SupportedIsas().back(), &pool);
  auto model = Model::Create(**store, *plan, ops->get(), ReadOptions());
  if (!model.ok()) return false;
  KvSequence sequence;
  if (!(*model)->kv_cache().Reserve(sequence, kWarmupPasses + kPasses).ok()) return false;

  const double before = MeasureReadBandwidth(pool);
  std::vector<double> seconds;
  for (int i = 0; i < kWarmupPasses + kPasses; ++i) {
    const absl::Time start = absl::Now();
    const PassRow row = {&sequence, i, 1 + i, true};
    if (const auto logits = (*model)->RunPass({row}); !logits.ok()) {
      std::fprintf(stderr, "%s\n", logits.status().ToString().c_str());
      return false;
    }
    if (i >= kWarmupPasses) seconds.push_back(absl::ToDoubleSeconds(absl::Now() - start));
  }
  const double limit = std::max(before, MeasureReadBandwidth(pool));
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  const double rate = static_cast<double>(plan->weight_bytes) / median;
  std::printf("%-6s %8.1f MB  %7.2f ms a token (%.2f .. %.2f)  %6.2f GB/s of %6.2f GB/s: %.2f\n", encoding.c_str(),
              plan->weight_bytes / 1e6, median * 1e3, seconds.front() * 1e3, seconds.back() * 1e3, rate / 1e9,
              limit / 1e9, rate / limit);
  std::fflush(stdout);
  return true;
}

int Main(int argc, char** argv) {
  std::vector<std::string> encodings(argv + 1, argv + argc);
  if (encodings.empty()) encodings = {"q8_0", "q4_k", "bf16"};
  std::string dir = (std::filesystem::temp_directory_path() / "sluice-decode.XXXXXX").string();
  if (mkdtemp(dir.data()) == nullptr) return 1;
  WriteSyntheticCheckpoint(dir + "/model", {.hidden_size = 2048,
                                            .intermediate_size = 8192,
                                            .num_hidden_layers = 8,
                                            .num_attention_heads = 32,
                                            .num_key_value_heads = 8,
                                            .vocab_size = 32000});
  bool ok = true;
  {
    const auto checkpoint = Checkpoint::Open(dir + "/model");
    ok = checkpoint.ok();
    const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    for (const std::string& encoding : encodings) ok = ok && Measure(**checkpoint, dir, encoding, threads);
  }
  std::filesystem::remove_all(dir);
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(argc, argv); }
