// Puts the results of a job's parts together.
#ifndef SLUICE_RUNTIME_BATCH_MERGE_H_
#define SLUICE_RUNTIME_BATCH_MERGE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace sluice {

struct MergeReport {
  int64_t num_parts = 0;
  int64_t results = 0;
  int64_t errors = 0;
};

// Writes `output` and its errors file from all its parts (output.partIofN.jsonl), in the order of
// `input`. Everything is checked before anything is written, and the files come into being by
// rename, the results last. FailedPrecondition: a part is missing, belongs to another job or input,
// or has not answered a line; or `output` exists.
absl::StatusOr<MergeReport> MergeParts(const std::string& input, const std::string& output);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_MERGE_H_
