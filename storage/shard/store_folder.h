// The folder that a store is written into: what is there already, and whether it may be used.
#ifndef SLUICE_STORAGE_SHARD_STORE_FOLDER_H_
#define SLUICE_STORAGE_SHARD_STORE_FOLDER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/shard/store_plan.h"
#include "storage/store/shard_record.h"

namespace sluice {

enum class FolderState : uint8_t {
  kAbsent,      // nothing of that name; its parent is there
  kEmpty,       // or only what a process killed at once has left behind
  kUnfinished,  // a store in the making
  kFinished,    // a manifest or record.json, whatever they say
};

// NotFound: no parent. FailedPrecondition: no folder, or a folder with other things in it. Changes
// nothing.
absl::StatusOr<FolderState> InspectFolder(const std::string& dir);

// Reads unfinished.json. FailedPrecondition where the options are not those of `plan`: names what
// differs. The source is not looked at. Files that are not there in the right size are dropped from
// the record's finished ones.
absl::StatusOr<ShardRecord> LoadRecord(const std::string& dir, const StorePlan& plan);

// A record of the manifest's source and options with nothing finished.
ShardRecord NewRecord(const Manifest& manifest);

// The record of a finished store. FailedPrecondition where the plan lays the store out otherwise.
absl::StatusOr<ShardRecord> RecordOfStore(const Manifest& found, StorePlan plan);

// How a store differs from what is planned, for RefuseStore(); empty where it does not. Of the
// options recipe, size of slabs and compression: "as q8_0, not as q4_k_m". Of tensors and
// hyper-parameters (but for the ids that end a text, which may be mended): "of X, not of this
// checkpoint (Y)".
std::string OptionsDifference(const ShardRecord& store, const Manifest& planned);
std::string ShapeDifference(const Manifest& store, const Manifest& planned);
std::string SourceDifference(absl::string_view source, const Manifest& planned);

// FailedPrecondition: "DIR: holds a finished store <difference>; <what to do>".
absl::Status RefuseStore(const std::string& dir, FolderState state, absl::string_view difference);

// Lets the plan's files lie where a manifest in `dir` says, if there is one that is laid out as the
// plan: people move files to other disks.
void AdoptPlaces(const std::string& dir, StorePlan* plan);

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

#endif  // SLUICE_STORAGE_SHARD_STORE_FOLDER_H_
