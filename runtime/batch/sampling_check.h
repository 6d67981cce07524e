// Whether a job that an older sluice began can go on with today's draws.
#ifndef SLUICE_RUNTIME_BATCH_SAMPLING_CHECK_H_
#define SLUICE_RUNTIME_BATCH_SAMPLING_CHECK_H_

#include <string>

#include "absl/status/status.h"
#include "runtime/batch/batch_shape.h"

namespace sluice {

// FailedPrecondition: the job of the results in `output` was begun before tokens were drawn with
// Gumbel noise, and a request of `input` is sampled (its name is in the message), so its answers
// would not be those that the job began with. OK for jobs whose requests are all greedy, for newer
// jobs, and where there is no job. A record that cannot be read is BatchOutput::Open's to report.
absl::Status CheckSampling(const std::string& output, const JobInput& input);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_SAMPLING_CHECK_H_
