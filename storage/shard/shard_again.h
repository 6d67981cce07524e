// Sharding where a finished store is already.
#ifndef SLUICE_STORAGE_SHARD_SHARD_AGAIN_H_
#define SLUICE_STORAGE_SHARD_SHARD_AGAIN_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "storage/shard/sharder.h"
#include "storage/shard/store_plan.h"
#include "storage/store/shard_record.h"

namespace sluice {

// What Shard() does where `dir` has a manifest and no unfinished.json.
absl::StatusOr<ShardResult> ShardAgain(const Checkpoint& checkpoint, const std::string& dir,
                                       const ShardOptions& options, StorePlan plan);

// What a finished store is: its manifest as a record, with what record.json remembers of the
// source's bytes, if that is whole. Errors of RecordOfStore.
absl::StatusOr<ShardRecord> FinishedRecord(const std::string& dir, const Manifest& manifest,
                                           const StorePlan& plan);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_SHARD_AGAIN_H_
