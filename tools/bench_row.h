// One line of `sluice bench`, and the formats it is printed in.
#ifndef SLUICE_TOOLS_BENCH_ROW_H_
#define SLUICE_TOOLS_BENCH_ROW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// Times are those of one repetition, on average: compute, wait_disk, wait_copy and other add up to
// its wall time. Rates of 0: not known, as of a disk from which nothing was read.
struct BenchRow {
  std::string test;    // "pp512": a prompt of 512 tokens; "tg128": 128 tokens generated
  std::string model;   // what the store was made from, and the recipe
  std::string cpu;     // its name, and how many
  std::string device;  // name of the device that computed; empty: the CPU did
  int64_t max_ram_bytes = 0;
  int64_t max_vram_bytes = 0;
  int64_t device_bytes = 0;  // of its memory that are planned for
  int queue_depth = 0;
  int threads = 0;
  int64_t resident_bytes = 0;  // weights in memory
  int64_t streamed_bytes = 0;  // weights read each pass
  int64_t ring_bytes = 0;
  double tokens_per_s = 0;
  double stddev = 0;  // of tokens_per_s
  double gb_per_token = 0;
  double disk_gb_per_s = 0;
  double disk_busy_share = 0;  // of the time
  double disk_share = 0;       // of what the probe (or --throttle-disk) says the disk can do
  double memory_gb_per_s = 0;
  double memory_share = 0;
  double link_gb_per_s = 0;  // copied to the device
  double link_share = 0;     // of what the probe (or --throttle-copy) says the link can do
  double device_memory_gb_per_s = 0;
  double device_memory_share = 0;
  int64_t cpu_bytes =
      0;             // of weights that the CPU computed with beside the device, in one repetition
  double cpu_s = 0;  // computing with them
  double wait_cpu_s = 0;       // of compute_s: the rest had nothing to do before that was done
  double pass_efficiency = 0;  // floor of the passes over their wall time
  double seconds_per_pass = 0;
  double predicted_s = 0;  // a pass, by the arithmetic of `sluice plan`
  double compute_s = 0;
  double wait_disk_s = 0;
  double wait_copy_s = 0;
  double other_s = 0;
  double link_busy_s = 0;      // copying weights to the device, beside all of these
  double kv_copy_s = 0;        // copying keys and values there and back
  int64_t peak_rss_bytes = 0;  // of the process so far
};

enum class BenchFormat : uint8_t { kMarkdown, kCsv, kJson, kJsonLines };
absl::StatusOr<BenchFormat> ParseBenchFormat(
    absl::string_view name);  // "md", "csv", "json", "jsonl"

// All of the output, with the line's end. JSON is one array, JSON lines an object a line.
std::string FormatRows(absl::Span<const BenchRow> rows, BenchFormat format);

}  // namespace sluice

#endif  // SLUICE_TOOLS_BENCH_ROW_H_
