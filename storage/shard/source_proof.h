// Shows that a checkpoint gives a store's bytes, for stores that do not remember the checkpoint's
// own bytes.
#ifndef SLUICE_STORAGE_SHARD_SOURCE_PROOF_H_
#define SLUICE_STORAGE_SHARD_SOURCE_PROOF_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/shard/source_check.h"
#include "storage/shard/store_plan.h"
#include "storage/source/checkpoint.h"
#include "storage/store/manifest.h"

namespace sluice {

// Encodes the sources of the plan's `files` (indices) once more, in memory, and compares the result
// with the manifest's checksums; rows of the embedding are compared with the store's own rows, if
// those are whole. Returns why the checkpoint is another one, for RefuseStore(), or nothing. Fills
// the plan's source checksums of these files' tensors. Cancelled: `stop` was set. Errors of reading
// the checkpoint.
absl::StatusOr<std::string> DisproveSource(const Checkpoint& checkpoint, const std::string& dir,
                                           const Manifest& store, const std::vector<int>& files,
                                           const SourceCheckOptions& options, StorePlan* plan);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_SOURCE_PROOF_H_
