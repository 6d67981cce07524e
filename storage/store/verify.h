// Reads a whole store and compares every byte with its checksum.
#ifndef SLUICE_STORAGE_STORE_VERIFY_H_
#define SLUICE_STORAGE_STORE_VERIFY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/cpu/thread.h"
#include "storage/store/manifest.h"

namespace sluice {

// What each thread of a verification takes, about.
inline constexpr int64_t kVerifyBytesAThread = int64_t{5} << 20;

struct VerifyProgress {
  int64_t bytes_done = 0;
  int64_t bytes_total = 0;
};

struct VerifyOptions {
  int num_threads = 1;  // each reads, and checks, megabytes at a time; two or more keep a disk busy
  std::function<void(const VerifyProgress&)>
      on_progress;  // from the calling thread, a few times a second
  const std::atomic<bool>* stop = nullptr;
  ThreadShortageFn on_fewer_threads = {};  // called where the system starts fewer than num_threads
};

struct StoreDamage {
  std::string file;  // below the store; of slabs below its root
  std::string line;
};

// What VerifyStore() finds in one store, by file, where the manifest is known. With `files` only
// these are looked at.
absl::StatusOr<std::vector<StoreDamage>> FindDamage(
    const std::string& dir, const Manifest& manifest,
    const std::optional<std::set<std::string>>& files, const VerifyOptions& options);

// What VerifyStore() finds, by file, where the manifest is known: with the store of a head that
// drafts, whose files are named as `mtp/FILE`. Progress begins anew with that.
absl::StatusOr<std::vector<StoreDamage>> FindAllDamage(const std::string& dir,
                                                       const Manifest& manifest,
                                                       const VerifyOptions& options);

// One line for each damage, in the order of the files; none: the store is whole. A line names the
// file and the slab, rows, tensor or size. Goes on after damage and after read errors, which are
// lines too. Checked are slabs and the zeros behind them, embedding rows, resident tensors, sizes,
// record.json, and tokenizer files (which people may edit on purpose). Bytes are read past the page
// cache where the file system can. An error where there is no readable manifest to compare with
// (see LayerStore::Open), no thread or no memory. Cancelled: `stop`.
absl::StatusOr<std::vector<std::string>> VerifyStore(const std::string& dir,
                                                     const VerifyOptions& options);

}  // namespace sluice

#endif  // SLUICE_STORAGE_STORE_VERIFY_H_
