// Checks whether a job that an older sluice began can go on with today's draws.
#ifndef SLUICE_RUNTIME_BATCH_SAMPLING_CHECK_H_
#define SLUICE_RUNTIME_BATCH_SAMPLING_CHECK_H_

#include <string>

#include "absl/status/status.h"
#include "runtime/batch/batch_shape.h"

namespace sluice {

// FailedPrecondition: the job of the results in `output` was begun before tokens were drawn with
// Gumbel noise, and a request of `input`, which the message names, is sampled, so that its answers
// would not be those that the job began with. OK for jobs whose requests are all greedy, for newer
// jobs, and if there is no job. BatchOutput::Open reports a record that cannot be read.
absl::Status CheckSampling(const std::string& output, const JobInput& input);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_SAMPLING_CHECK_H_
