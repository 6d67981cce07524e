// Tells whether a checkpoint holds the weights that a store was made from, or begun with.
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
  // Called from the calling thread after each few megabytes, with the bytes of the checkpoint that
  // were read and that will be.
  std::function<void(int64_t bytes_done, int64_t bytes_total)> on_progress;
  const std::atomic<bool>* stop = nullptr;
};

struct SourceVerdict {
  // The reason why the checkpoint is another one, for RefuseStore(); empty if it is the same.
  std::string difference;
  // The checkpoint's bytes were not remembered: only names, sizes and headers of its files were
  // compared.
  bool by_headers = false;
};

// Compares the checkpoint with the checksums that `record` has of its finished files, by reading
// the tensors that they were made from. `store` is the name of the store's source. If the record
// has no checksums of source bytes, the fingerprints decide. Finished files that do not fit the
// plan mean another checkpoint if the fingerprints differ; otherwise they are ignored. Cancelled:
// `stop` was set. Errors of Checkpoint::Read.
absl::StatusOr<SourceVerdict> JudgeSource(const Checkpoint& checkpoint, const StorePlan& plan,
                                          const ShardRecord& record,
                                          const SourceCheckOptions& options);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_SOURCE_CHECK_H_
