// Checks whether the files of a job can lie where -o says.
#ifndef SLUICE_RUNTIME_BATCH_OUTPUT_CHECK_H_
#define SLUICE_RUNTIME_BATCH_OUTPUT_CHECK_H_

#include <string>

#include "absl/status/status.h"

namespace sluice {

// Returns whether `output` names a stream of this process, which no job can go on with: "-",
// /dev/stdout, /dev/fd/63, ...
bool NamesStream(const std::string& output);

// InvalidArgument: `output` is a folder, a pipe or a device, or the errors file of another job.
// Opens nothing.
absl::Status CheckOutputFile(const std::string& output);

// InvalidArgument: one of the files of the job with these results (BatchPaths) is no regular file,
// or is `input`, or is another one of them under a second name.
absl::Status CheckJobFiles(const std::string& results, const std::string& input);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_OUTPUT_CHECK_H_
