// A plan with what it means on this machine: what lies where, and how long a token takes.
#ifndef SLUICE_RUNTIME_OPEN_PLAN_REPORT_H_
#define SLUICE_RUNTIME_OPEN_PLAN_REPORT_H_

#include <optional>
#include <string>

#include "nlohmann/json.hpp"
#include "runtime/floor/pass_floor.h"
#include "runtime/open/open_options.h"
#include "runtime/open/session.h"
#include "runtime/pass/memory_plan.h"

namespace sluice {

struct PlanReport {
  MemoryPlan plan;
  std::string device;  // its name; empty: the CPU computes
  MachineRates rates;  // of 0 where no probe knows this machine: the floors say nothing then
  PassFloor token;     // one generated token
  PassFloor prompt;    // a prompt's pass of plan.pass_rows rows
  PassFloor drafted;   // a pass with plan.draft_rows drafted rows beside the token's
  // What a level of a draft model's tree takes to read in memory; 0 without one
  double draft_level_s = 0;
  // The token with --compress zstd, or of a compressed store without; where that changes anything.
  std::optional<PassFloor> otherwise;

  bool predicts() const { return rates.num_cpus > 0; }
};

// Both floors are those of the last pass that the context has room for.
PlanReport MakePlanReport(const Session& session, const OpenOptions& options, MemoryPlan plan,
                          MachineRates rates);

// What `sluice plan --json` prints.
nlohmann::json PlanReportToJson(const PlanReport& report);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPEN_PLAN_REPORT_H_
