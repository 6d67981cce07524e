// What this machine can do for an open store: remembered, or measured.
#ifndef SLUICE_RUNTIME_OPEN_SESSION_RATES_H_
#define SLUICE_RUNTIME_OPEN_SESSION_RATES_H_

#include "absl/status/statusor.h"
#include "runtime/floor/pass_floor.h"
#include "runtime/open/open_options.h"
#include "runtime/open/session.h"

namespace sluice {

// Whether options.probe says what this machine can do with the store.
bool ProbeKnowsStore(const OpenOptions& options, const Session& session);
// Measures that for about three seconds, within the budget, unless a remembered probe knows it.
// options->probe has it then, and slabs are read the way that was fastest. What was measured is
// remembered in options->probe_file, unless it is of options->unusual_option; a note says where, or
// why it is not. Another says so where the runs of the probe are far apart.
absl::Status ProbeForSession(OpenOptions* options, const Session& session);
// The rates of options.probe, which must be there. A throttled disk or link counts as its throttle.
absl::StatusOr<MachineRates> RatesForSession(const OpenOptions& options, const Session& session);

// What a probe remembered of this machine and its device, without measuring anything: rates of 0
// where nothing. A throttled disk or link counts as its throttle.
MachineRates RememberedRates(const OpenOptions& options, const Session& session);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPEN_SESSION_RATES_H_
