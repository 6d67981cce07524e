// Cuts a checkpoint into a layer store: reads, encodes, packs into tiles and writes, resumably.
#ifndef SLUICE_STORAGE_SHARD_SHARDER_H_
#define SLUICE_STORAGE_SHARD_SHARDER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/cpu/thread.h"
#include "storage/file/file_lock.h"
#include "storage/model/recipe.h"
#include "storage/source/checkpoint.h"
#include "storage/store/manifest.h"

namespace sluice {

struct ShardProgress {
  // Bytes of the checkpoint's tensors, with those of files that an earlier run finished.
  int64_t source_bytes_done = 0;
  int64_t source_bytes_total = 0;
  int64_t stored_bytes = 0;
};

struct ShardOptions {
  std::optional<Recipe> recipe;            // none: the checkpoint's own dtype, tensor by tensor
  int64_t slab_bytes = kDefaultSlabBytes;  // at most kMaxCompressedSlabBytes with compression
  StoreCompression compression = StoreCompression::kNone;
  bool allow_requantize =
      false;            // give another encoding to a tensor that is quantized in the checkpoint
  int num_threads = 1;  // 1 or more
  // The limit of all threads' buffers together; if it is too low for num_threads, fewer threads
  // work. The rest of the promised 512 MiB is for the manifest and for malloc.
  int64_t most_buffer_bytes = int64_t{320} << 20;
  std::function<void(const ShardProgress&)>
      on_progress;  // from the calling thread, a few times a second
  // Progress of comparing the checkpoint with the checksums that a store remembers of it.
  std::function<void(int64_t bytes_done, int64_t bytes_total)> on_compare;
  // Whether a finished store takes over tokenizer files that have changed in the checkpoint.
  bool take_tokenizer = true;
  OnNote on_note;                           // from the calling thread, before the first progress
  const std::atomic<bool>* stop = nullptr;  // set by a signal handler: stop cleanly, resumable
  ThreadShortageFn on_fewer_threads = {};   // called if the system starts fewer than num_threads
};

enum class ShardOutcome : uint8_t {
  kWritten,
  kResumed,
  kComplete,           // there was a finished store of the same source and options; it is untouched
  kTookTokenizerOver,  // there was one, and only its tokenizer's files were written anew
};

struct ShardResult {
  Manifest manifest;
  ShardOutcome outcome = ShardOutcome::kWritten;
  int64_t stored_bytes = 0;
  // Whether only names, sizes and headers of the files told that the checkpoint is the same: an
  // older sluice made or began the store, and did not remember the bytes that it read.
  bool judged_by_headers = false;
  std::vector<std::string> tokenizer_changes;  // kTookTokenizerOver: the names of the files
};

// Writes the store at `store_dir`, which is created; its parent must exist. Memory use is below 512
// MiB however large the checkpoint is. Steps: lock the folder (flock), check disk space, write
// unfinished.json, the files one after the other (each fsynced and recorded), tokenizer files,
// record.json, manifest.json by rename, remove unfinished.json. Killed at any point, the same call
// continues after the last finished file, and the result is the same bytes. Before it continues, it
// reads the tensors of the finished files again, to see that the checkpoint still holds the same
// weights.
//
// A head that drafts goes to a store of its own below `store_dir`, written in the same way once the
// model's is finished. It has a second name of the model's embedding file where the file system can
// give one. `on_note` says why a head of the checkpoint is left out.
//
// A finished store of the same weights and options is left alone, except for tokenizer files that
// have changed in the checkpoint since. The checkpoint is read once for that.
//
// FailedPrecondition: a quantized tensor would get another encoding; or the folder holds something
// else, or a store of another source or other options (named). Unavailable: another process is
// writing. ResourceExhausted: disk space, with the numbers; savings by compression are not counted
// on. Cancelled: `stop` was set. The source is only read.
absl::StatusOr<ShardResult> Shard(const Checkpoint& checkpoint, const std::string& store_dir,
                                  const ShardOptions& options);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_SHARDER_H_
