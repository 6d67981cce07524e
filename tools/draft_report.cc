// One line, and one for each drafter that failed.
#include "tools/draft_report.h"

#include <cstdint>
#include <cstdio>
#include <numeric>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice {

double TokensPerPass(const Speculator* speculator) {
  if (speculator == nullptr) return 1;
  const SpeculationCounters counters = speculator->counters();
  if (counters.sequences == 0) return 1;
  return static_cast<double>(counters.tokens) / static_cast<double>(counters.sequences);
}

void AddDraftReport(const Speculator* speculator, double tokens_per_pass, nlohmann::json* object) {
  const SpeculationCounters counters =
      speculator != nullptr ? speculator->counters() : SpeculationCounters();
  (*object)["tokens_per_pass"] = tokens_per_pass;
  (*object)["draft_rows"] = counters.draft_rows;
  (*object)["accepted_by_depth"] = counters.accepted_by_depth;
  (*object)["draft_s"] = counters.draft_seconds;
  (*object)["pass_s"] = counters.pass_seconds;
  (*object)["speculation_gain"] = counters.gain;
  if (speculator != nullptr && !speculator->failures().empty()) {
    (*object)["draft_failures"] = speculator->failures();
  }
}

std::string DescribeDrafts(const Speculator* speculator, double tokens_per_pass) {
  std::string lines;
  if (speculator == nullptr) return lines;
  const SpeculationCounters counters = speculator->counters();
  if (counters.draft_rows > 0) {
    const int64_t accepted = std::accumulate(counters.accepted_by_depth.begin(),
                                             counters.accepted_by_depth.end(), int64_t{0});
    absl::StrAppendFormat(
        &lines, "drafts       %6d rows, %d accepted: %.2f tokens a pass; drafting took %.3f s\n",
        counters.draft_rows, accepted, tokens_per_pass, counters.draft_seconds);
  }
  for (const std::string& failure : speculator->failures()) {
    absl::StrAppend(&lines, "             ", failure, "\n");
  }
  return lines;
}

void PrintDraftReport(const Speculator* speculator, double tokens_per_pass) {
  std::fputs(DescribeDrafts(speculator, tokens_per_pass).c_str(), stderr);
}

}  // namespace sluice
