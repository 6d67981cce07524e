// What drafting did, in reports of commands that generate.
#ifndef SLUICE_TOOLS_DRAFT_REPORT_H_
#define SLUICE_TOOLS_DRAFT_REPORT_H_

#include "nlohmann/json.hpp"
#include "runtime/speculate/speculator.h"

namespace sluice {

// Adds tokens_per_pass (a sequence's) and the counters to a report. Null: nothing was drafted.
void AddDraftReport(const Speculator* speculator, double tokens_per_pass, nlohmann::json* object);
// The same as lines on standard error; none where nothing was drafted.
void PrintDraftReport(const Speculator* speculator, double tokens_per_pass);

}  // namespace sluice

#endif  // SLUICE_TOOLS_DRAFT_REPORT_H_
