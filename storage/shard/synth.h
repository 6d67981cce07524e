// Writes a store of random weights in a real model's shapes, to measure with instead of a download.
#ifndef SLUICE_STORAGE_SHARD_SYNTH_H_
#define SLUICE_STORAGE_SHARD_SYNTH_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/cpu/thread.h"
#include "storage/file/file_lock.h"
#include "storage/model/hyper_parameters.h"
#include "storage/model/recipe.h"
#include "storage/store/manifest.h"

namespace sluice {

struct SynthOptions {
  std::string name;  // of the shape, for people: "llama-3.1-8b"
  HyperParameters hyper_parameters;
  std::optional<Recipe> recipe;  // none: bf16
  int64_t slab_bytes = kDefaultSlabBytes;
  StoreCompression compression = StoreCompression::kNone;
  int num_threads = 1;
  // Called from the calling thread, some times a second.
  std::function<void(int64_t bytes_done, int64_t bytes_total)> on_progress;
  OnNote on_note;  // from the calling thread, before the first progress
  const std::atomic<bool>* stop = nullptr;
  ThreadShortageFn on_fewer_threads = {};  // called if the system starts fewer than num_threads
};

// Returns about how much memory each thread takes: a slab, and a compressed one.
inline int64_t SynthBytesAThread(const SynthOptions& options) {
  return 2 * options.slab_bytes + (int64_t{1} << 20);
}

struct SynthResult {
  Manifest manifest;
  bool complete = false;  // the store existed; nothing was written
};

// Rows are Gaussian with a scale of their own, so that they compress and quantize as trained ones
// do. Each matrix is made of a few random tiles in an order that differs from slab to slab, and its
// checksums are real. Norms are ones. There is no tokenizer. The same options give the same bytes.
//
// `dir` must not exist, or be empty, or hold the remains of an interrupted call with the same
// options, which are written anew. A finished store of the same options is left alone. Errors as
// for Shard(): FailedPrecondition: something else is there; ResourceExhausted: the disk is too
// small; Cancelled: *stop was set. All name the file.
absl::StatusOr<SynthResult> Synthesize(const std::string& dir, const SynthOptions& options);

// Returns whether Synthesize() made the store, so that no checkpoint can repair it.
bool IsSynthetic(const Manifest& manifest);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_SYNTH_H_
