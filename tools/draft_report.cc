// One line, and one for each drafter that failed.
#include "tools/draft_report.h"

#include <cstdint>
#include <cstdio>
#include <numeric>
#include <string>

namespace sluice {

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

void PrintDraftReport(const Speculator* speculator, double tokens_per_pass) {
  if (speculator == nullptr) return;
  const SpeculationCounters counters = speculator->counters();
  if (counters.draft_rows > 0) {
    const int64_t accepted = std::accumulate(counters.accepted_by_depth.begin(),
                                             counters.accepted_by_depth.end(), int64_t{0});
    std::fprintf(stderr,
                 "drafts       %6d rows, %d accepted: %.2f tokens a pass; drafting took %.3f s\n",
                 static_cast<int>(counters.draft_rows), static_cast<int>(accepted), tokens_per_pass,
                 counters.draft_seconds);
  }
  for (const std::string& failure : speculator->failures()) {
    std::fprintf(stderr, "             %s\n", failure.c_str());
  }
}

}  // namespace sluice
