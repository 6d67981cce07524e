// Writes damaged and missing files of a store again, from the checkpoint that it was made from.
#ifndef SLUICE_STORAGE_SHARD_REPAIR_H_
#define SLUICE_STORAGE_SHARD_REPAIR_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/cpu/thread.h"
#include "storage/file/file_lock.h"
#include "storage/shard/sharder.h"
#include "storage/source/checkpoint.h"
#include "storage/store/verify.h"

namespace sluice {

struct RepairOptions {
  // The options that the store must have been made with; none: any.
  std::optional<std::string> recipe;
  std::optional<int64_t> slab_bytes;
  std::optional<StoreCompression> compression;
  int num_threads = 1;
  // Called from the calling thread, as ShardOptions' and VerifyOptions' functions are.
  std::function<void(int64_t bytes_done, int64_t bytes_total)> on_compare;
  std::function<void(const VerifyProgress&)> on_verify;
  std::function<void(const ShardProgress&)> on_progress;
  OnNote on_note;
  ThreadShortageFn on_fewer_threads = {};
  const std::atomic<bool>* stop = nullptr;
};

struct RepairResult {
  std::vector<std::string> damage;   // lines of VerifyStore()
  std::vector<std::string> written;  // files, below the store
  std::vector<std::string> removed;  // damaged tokenizer files that the checkpoint does not have
  bool judged_by_headers = false;    // as in ShardResult
};

// Compares the checkpoint with the checksums that the store remembers of it, verifies the store,
// and writes damaged files again, as Shard() does. unfinished.json lists the others meanwhile:
// killed at any point, this call or Shard() goes on. A store without damage is left alone. A
// manifest that is damaged or missing is made from record.json. An unfinished store is verified as
// far as it got, and finished. If the store does not remember the checkpoint's bytes, the damaged
// parts are encoded first, and must have the manifest's checksums before anything is written.
//
// The store of a head that drafts is repaired with the model's, or made where it is missing; its
// files are named as `mtp/FILE`.
//
// NotFound: no store. FailedPrecondition, which names the reason: another checkpoint, other
// options, a synthetic store (which has no checkpoint), or a store of which too little is left.
// Other errors are Shard()'s.
absl::StatusOr<RepairResult> RepairStore(const Checkpoint& checkpoint, const std::string& dir,
                                         const RepairOptions& options);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_REPAIR_H_
