// Looks into the folder that a store is written into, and decides whether it may be used.
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
  kAbsent,      // nothing has that name; its parent exists
  kEmpty,       // or holds only the leftovers of a process that was killed at once
  kUnfinished,  // a store in the making
  kFinished,    // a manifest or record.json, whatever they say
};

// NotFound: no parent. FailedPrecondition: it is no folder, or a folder with other things in it.
// Changes nothing.
absl::StatusOr<FolderState> InspectFolder(const std::string& dir);

// Reads unfinished.json. FailedPrecondition: the options are not those of `plan`; names the
// difference. The source is not looked at. Finished files that are missing, or have another size,
// are dropped from the record.
absl::StatusOr<ShardRecord> LoadRecord(const std::string& dir, const StorePlan& plan);

// Makes a record of the manifest's source and options with no finished file.
ShardRecord NewRecord(const Manifest& manifest);

// Makes the record of a finished store. FailedPrecondition: the plan lays the store out in another
// way.
absl::StatusOr<ShardRecord> RecordOfStore(const Manifest& found, StorePlan plan);

// Returns how a store differs from the plan, for RefuseStore(); empty if it does not. A difference
// in recipe, size of slabs or compression reads "as q8_0, not as q4_k_m"; one in tensors or
// hyper-parameters "of X, not of this checkpoint (Y)". The ids that end a text may differ, as
// people mend them.
std::string OptionsDifference(const ShardRecord& store, const Manifest& planned);
std::string ShapeDifference(const Manifest& store, const Manifest& planned);
std::string SourceDifference(absl::string_view source, const Manifest& planned);

// Makes FailedPrecondition: "DIR: holds a finished store <difference>; <what to do>".
absl::Status RefuseStore(const std::string& dir, FolderState state, absl::string_view difference);

// Takes over the places of files from the manifest in `dir`, if there is one and the plan has its
// layout: people move files to other disks.
void AdoptPlaces(const std::string& dir, StorePlan* plan);

// Puts a finished file's checksums, and the sizes that its slabs have got, into the plan. Returns
// false, and changes nothing, if their number is another or they do not fit together.
bool ApplyRecord(const ShardRecord::File& file, int planned_file, StorePlan* plan);
// Does the inverse of ApplyRecord.
ShardRecord::File RecordOf(const StorePlan& plan, int planned_file);

// ResourceExhausted, with the numbers: the files that are left to write do not fit. OK if the file
// system does not know its size: then a write will say that it is full. `other_bytes` are written
// besides the plan's files.
absl::Status CheckDiskSpace(const std::string& dir, const StorePlan& plan,
                            const ShardRecord& record, int64_t other_bytes);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_STORE_FOLDER_H_
