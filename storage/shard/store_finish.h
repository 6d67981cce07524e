// The steps that end in a finished store, shared by the ways to begin one.
#ifndef SLUICE_STORAGE_SHARD_STORE_FINISH_H_
#define SLUICE_STORAGE_SHARD_STORE_FINISH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/shard/sharder.h"
#include "storage/shard/store_plan.h"
#include "storage/source/checkpoint.h"
#include "storage/store/manifest.h"
#include "storage/store/shard_record.h"

namespace sluice {

// Writes unfinished.json, then the files that `record` does not list as finished, the tokenizer
// files except those in `kept`, record.json and manifest.json; removes unfinished.json. The caller
// holds the folder's lock. Killed at any point, it leaves an unfinished store that Shard() goes on
// with. Fills the plan's manifest. Errors of Shard().
absl::Status FinishStore(const Checkpoint& checkpoint, const std::string& dir,
                         const ShardOptions& options, ShardRecord record,
                         const std::vector<ManifestCopy>& kept, StorePlan* plan);

// Shard() of one store: of the model, or of its head that drafts.
absl::StatusOr<ShardResult> ShardPart(const Checkpoint& checkpoint, StorePart part,
                                      const std::string& store_dir, const ShardOptions& options);

// Returns the bytes of the finished store's files.
int64_t StoredBytes(const StorePlan& plan);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_STORE_FINISH_H_
