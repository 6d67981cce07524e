// Finds the first cause of a job's failures, for the report.
#ifndef SLUICE_RUNTIME_BATCH_FIRST_ERROR_H_
#define SLUICE_RUNTIME_BATCH_FIRST_ERROR_H_

#include <string>

#include "absl/status/statusor.h"

namespace sluice {

// Returns "custom_id: message", in one line, of the first line of an errors file. NotFound: the
// file has no line. Errors of FileError.
absl::StatusOr<std::string> FirstError(const std::string& errors_path);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_FIRST_ERROR_H_
