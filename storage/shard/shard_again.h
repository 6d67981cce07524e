// Sharding into a folder that holds a finished store.
#ifndef SLUICE_STORAGE_SHARD_SHARD_AGAIN_H_
#define SLUICE_STORAGE_SHARD_SHARD_AGAIN_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "storage/shard/sharder.h"
#include "storage/shard/store_plan.h"
#include "storage/store/shard_record.h"

namespace sluice {

// Does the work of Shard() if `dir` has a manifest and no unfinished.json.
absl::StatusOr<ShardResult> ShardAgain(const Checkpoint& checkpoint, const std::string& dir,
                                       const ShardOptions& options, StorePlan plan);

// Returns a finished store's manifest as a record, with the checksums of the source's bytes that
// record.json remembers, if that file is whole. Errors of RecordOfStore.
absl::StatusOr<ShardRecord> FinishedRecord(const std::string& dir, const Manifest& manifest,
                                           const StorePlan& plan);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_SHARD_AGAIN_H_
