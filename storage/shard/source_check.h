// Telling whether a checkpoint holds the weights that a store was made from, or begun with.
#ifndef SLUICE_STORAGE_SHARD_SOURCE_CHECK_H_
#define SLUICE_STORAGE_SHARD_SOURCE_CHECK_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "storage/shard/store_plan.h"
#include "storage/source/checkpoint.h"
#include "storage/store/manifest.h"
#include "storage/store/shard_record.h"

namespace sluice {

struct SourceCheckOptions {
  // From the calling thread, after each few megabytes: bytes of the checkpoint that were read, and
  // that will be.
  std::function<void(int64_t bytes_done, int64_t bytes_total)> on_progress;
  const std::atomic<bool>* stop = nullptr;
};

struct SourceVerdict {
  // Why the checkpoint is another one, for RefuseStore(); empty where it is the same.
  std::string difference;
  // Its bytes were not remembered: only names, sizes and headers of its files were compared.
  bool by_headers = false;
};

// Compares the checkpoint with what `record` remembers of its finished files, by reading the
// tensors that they were made from. `store` is the name of the store's source. Where the record has
// no checksums of source bytes, the fingerprints decide. Files that do not fit the plan count as
// another checkpoint's where the fingerprints differ, and are ignored where they are the same.
// Cancelled: `stop`. Errors of Checkpoint::Read.
absl::StatusOr<SourceVerdict> JudgeSource(const Checkpoint& checkpoint, const StorePlan& plan,
                                          const ShardRecord& record,
                                          const SourceCheckOptions& options);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_SOURCE_CHECK_H_
