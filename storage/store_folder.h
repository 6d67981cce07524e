// The folder that a store is written into: what is there already, and whether it may be used.
#ifndef SLUICE_STORAGE_STORE_FOLDER_H_
#define SLUICE_STORAGE_STORE_FOLDER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/shard_record.h"
#include "storage/store_plan.h"

namespace sluice {

enum class FolderState : uint8_t {
  kAbsent,      // nothing of that name; its parent is there
  kEmpty,       // or only what a process killed at once has left behind
  kUnfinished,  // a store in the making
};

// NotFound: no parent. FailedPrecondition: a finished store ("already complete" where `plan` is
// what it was made by), no folder, or a folder with other things in it. Changes nothing.
absl::StatusOr<FolderState> InspectFolder(const std::string& dir, const StorePlan& plan);

// Reads unfinished.json. FailedPrecondition where source or options are not those of `plan`: names
// what differs. Files that are not there in the right size are dropped from the record's finished
// ones.
absl::StatusOr<ShardRecord> LoadRecord(const std::string& dir, const StorePlan& plan);

// A record of `plan` with nothing finished.
ShardRecord NewRecord(const StorePlan& plan);

// Puts a finished file's checksums, and what its slabs' sizes have become, into the plan. False,
// and nothing changed, where they are not as many as it has or do not fit together.
bool ApplyRecord(const ShardRecord::File& file, int planned_file, StorePlan* plan);
// The inverse.
ShardRecord::File RecordOf(const StorePlan& plan, int planned_file);

// ResourceExhausted, with the numbers, where what is left to write does not fit. OK where the file
// system does not know its size: then a write says that it is full. `other_bytes` is what is
// written besides the plan's files.
absl::Status CheckDiskSpace(const std::string& dir, const StorePlan& plan,
                            const ShardRecord& record, int64_t other_bytes);

}  // namespace sluice

#endif  // SLUICE_STORAGE_STORE_FOLDER_H_
