// An opened layer store: its manifest, its resident tensors in memory, its files ready to be read.
#ifndef SLUICE_STORAGE_STORE_LAYER_STORE_H_
#define SLUICE_STORAGE_STORE_LAYER_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "storage/store/manifest.h"

namespace sluice {

class LayerStore {
 public:
  // Opens and checks the store at `dir`: the manifest, every file's size, resident.bin's checksums.
  // NotFound: no store there. FailedPrecondition: unfinished (with the command that goes on), or of
  // a newer format. DataLoss: a file is missing, too short, or damaged. All name the file.
  static absl::StatusOr<std::unique_ptr<LayerStore>> Open(const std::string& dir);

  const std::string& dir() const { return dir_; }
  const Manifest& manifest() const { return manifest_; }
  const HyperParameters& hyper_parameters() const { return manifest_.hyper_parameters; }

  // Absolute or dir-relative path of slab file `file`, and of embedding.rows.
  std::string FilePath(int file) const;
  std::string EmbeddingPath() const;
  std::string TokenizerDir() const;

  // f32 values of a resident tensor, or an empty span where the model has none. Lives as long as
  // this.
  absl::Span<const float> Resident(TensorRole role, int layer) const;

  // Heap held, for the memory budget.
  int64_t MemoryBytes() const;

 private:
  LayerStore() = default;
  std::string dir_;
  Manifest manifest_;
  std::vector<float> resident_;
};

}  // namespace sluice

#endif  // SLUICE_STORAGE_STORE_LAYER_STORE_H_
