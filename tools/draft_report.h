// What drafting did, in reports of commands that generate.
#ifndef SLUICE_TOOLS_DRAFT_REPORT_H_
#define SLUICE_TOOLS_DRAFT_REPORT_H_

#include <string>

#include "nlohmann/json.hpp"
#include "runtime/speculate/speculator.h"

namespace sluice {

// Tokens that a sequence got from a pass in which it generated, so far; 1 where there was none, and
// for null: nothing was drafted.
double TokensPerPass(const Speculator* speculator);
// Adds tokens_per_pass (a sequence's) and the counters to a report.
void AddDraftReport(const Speculator* speculator, double tokens_per_pass, nlohmann::json* object);
// The same as lines, and one for each drafter that failed; empty where nothing was drafted.
std::string DescribeDrafts(const Speculator* speculator, double tokens_per_pass);
// Prints them on standard error.
void PrintDraftReport(const Speculator* speculator, double tokens_per_pass);

}  // namespace sluice

#endif  // SLUICE_TOOLS_DRAFT_REPORT_H_
