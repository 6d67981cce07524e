// JSON and CSV have every field under its name; Markdown what fits a terminal.
#include "tools/bench_row.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "kernels/base/format_bytes.h"
#include "nlohmann/json.hpp"
#include "tools/command.h"

namespace sluice {
namespace {

// ordered_json: fields come in this order everywhere.
nlohmann::ordered_json ToJson(const BenchRow& r) {
  return {{"test", r.test},
          {"model", r.model},
          {"cpu", r.cpu},
          {"device", r.device},
          {"max_ram_bytes", r.max_ram_bytes},
          {"max_vram_bytes", r.max_vram_bytes},
          {"device_bytes", r.device_bytes},
          {"queue_depth", r.queue_depth},
          {"threads", r.threads},
          {"resident_bytes", r.resident_bytes},
          {"streamed_bytes", r.streamed_bytes},
          {"ring_bytes", r.ring_bytes},
          {"tokens_per_s", r.tokens_per_s},
          {"stddev", r.stddev},
          {"gb_per_token", r.gb_per_token},
          {"disk_gb_per_s", r.disk_gb_per_s},
          {"disk_busy_share", r.disk_busy_share},
          {"disk_share", r.disk_share},
          {"memory_gb_per_s", r.memory_gb_per_s},
          {"memory_share", r.memory_share},
          {"link_gb_per_s", r.link_gb_per_s},
          {"link_share", r.link_share},
          {"device_memory_gb_per_s", r.device_memory_gb_per_s},
          {"device_memory_share", r.device_memory_share},
          {"cpu_bytes", r.cpu_bytes},
          {"cpu_s", r.cpu_s},
          {"wait_cpu_s", r.wait_cpu_s},
          {"pass_efficiency", r.pass_efficiency},
          {"seconds_per_pass", r.seconds_per_pass},
          {"predicted_s", r.predicted_s},
          {"compute_s", r.compute_s},
          {"wait_disk_s", r.wait_disk_s},
          {"wait_copy_s", r.wait_copy_s},
          {"other_s", r.other_s},
          {"link_busy_s", r.link_busy_s},
          {"kv_copy_s", r.kv_copy_s},
          {"peak_rss_bytes", r.peak_rss_bytes}};
}

// As RFC 4180 has a field: in quotes where it needs them.
std::string Quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

std::string Csv(absl::Span<const BenchRow> rows) {
  std::string text;
  const nlohmann::ordered_json names = ToJson(BenchRow());
  for (const auto& [name, value] : names.items()) {
    absl::StrAppend(&text, text.empty() ? "" : ",", name);
  }
  text += '\n';
  for (const BenchRow& row : rows) {
    std::string line;
    const nlohmann::ordered_json values = ToJson(row);
    for (const auto& [name, value] : values.items()) {
      absl::StrAppend(&line, line.empty() ? "" : ",",
                      value.is_string() ? Quoted(value.get<std::string>()) : value.dump());
    }
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

// A bar in a name would end its cell.
std::string Cell(const std::string& text) { return absl::StrReplaceAll(text, {{"|", "\\|"}}); }

// With a device there are columns for it.
std::string Markdown(absl::Span<const BenchRow> rows) {
  bool device = false;
  for (const BenchRow& r : rows) device = device || !r.device.empty();
  std::string text = absl::StrCat(
      "| model | CPU | threads ", device ? "| device memory " : "",
      "| budget | queue depth | resident | test | tokens/s | GB/token | disk GB/s | disk busy | "
      "memory GB/s ",
      device ? "| link GB/s | device GB/s " : "", "| efficiency | computing | disk wait ",
      device ? "| copy wait " : "", "| other |\n", "| --- | --- | ---: ", device ? "| ---: " : "",
      "| ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: ",
      device ? "| ---: | ---: " : "", "| ---: | ---: | ---: ", device ? "| ---: " : "",
      "| ---: |\n");
  for (const BenchRow& r : rows) {
    const double wall = r.compute_s + r.wait_disk_s + r.wait_copy_s + r.other_s;
    const double percent = wall > 0 ? 100 / wall : 0;
    absl::StrAppendFormat(&text, "| %s | %s | %d ", Cell(r.model), Cell(r.cpu), r.threads);
    if (device) absl::StrAppendFormat(&text, "| %s ", FormatBytes(r.max_vram_bytes));
    absl::StrAppendFormat(
        &text, "| %s | %d | %s | %s | %.2f ± %.2f | %.3f | %.2f (%.0f%%) | %.0f%% | %.1f (%.0f%%) ",
        FormatBytes(r.max_ram_bytes), r.queue_depth, FormatBytes(r.resident_bytes), r.test,
        r.tokens_per_s, r.stddev, r.gb_per_token, r.disk_gb_per_s, 100 * r.disk_share,
        100 * r.disk_busy_share, r.memory_gb_per_s, 100 * r.memory_share);
    if (device) {
      absl::StrAppendFormat(&text, "| %.2f (%.0f%%) | %.1f (%.0f%%) ", r.link_gb_per_s,
                            100 * r.link_share, r.device_memory_gb_per_s,
                            100 * r.device_memory_share);
    }
    absl::StrAppendFormat(&text, "| %.2f | %.1f%% | %.1f%% ", r.pass_efficiency,
                          percent * r.compute_s, percent * r.wait_disk_s);
    if (device) absl::StrAppendFormat(&text, "| %.1f%% ", percent * r.wait_copy_s);
    absl::StrAppendFormat(&text, "| %.1f%% |\n", percent * r.other_s);
  }
  return text;
}

}  // namespace

absl::StatusOr<BenchFormat> ParseBenchFormat(absl::string_view name) {
  if (name == "md") return BenchFormat::kMarkdown;
  if (name == "csv") return BenchFormat::kCsv;
  if (name == "json") return BenchFormat::kJson;
  if (name == "jsonl") return BenchFormat::kJsonLines;
  return absl::InvalidArgumentError(
      absl::StrCat("unknown format \"", name, "\": md, csv, json or jsonl"));
}

std::string FormatRows(absl::Span<const BenchRow> rows, BenchFormat format) {
  std::string text;
  switch (format) {
    case BenchFormat::kMarkdown:
      return Markdown(rows);
    case BenchFormat::kCsv:
      return Csv(rows);
    case BenchFormat::kJsonLines:
      for (const BenchRow& row : rows) absl::StrAppend(&text, ToJson(row).dump(), "\n");
      return text;
    case BenchFormat::kJson: {
      nlohmann::ordered_json array = nlohmann::ordered_json::array();
      for (const BenchRow& row : rows) array.push_back(ToJson(row));
      return array.dump(1) + "\n";
    }
  }
  return text;
}

}  // namespace sluice
