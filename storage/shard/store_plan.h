// Plans a store: cuts a model into files and slabs, with everything but bytes and checksums.
#ifndef SLUICE_STORAGE_SHARD_STORE_PLAN_H_
#define SLUICE_STORAGE_SHARD_STORE_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "storage/model/recipe.h"
#include "storage/source/checkpoint.h"
#include "storage/store/manifest.h"

namespace sluice {

// A file that the sharder fills; it writes files in the plan's order.
struct PlannedFile {
  enum class Kind : uint8_t { kResident, kEmbedding, kSlabs };
  Kind kind;
  std::string path;  // below the store
  int64_t bytes;
  int first_slab = 0;  // kSlabs: of Manifest::slabs
  int num_slabs = 0;
};

struct StorePlan {
  Manifest manifest;  // checksums 0, no tokenizer files
  std::vector<PlannedFile> files;
  // [tensors]: the source of each of Manifest::tensors, in the checkpoint.
  std::vector<const CheckpointTensor*> sources;
  // [tensors]: the checksum of the source's bytes (storage/shard/source_sums.h), if it is known.
  std::vector<std::optional<uint64_t>> source_checksums;
};

// Describes the source of the weights, for a plan that needs no checkpoint.
struct PlanSource {
  HyperParameters hyper_parameters;
  std::string name;          // Manifest::source
  uint64_t fingerprint = 0;  // Manifest::source_fingerprint
  // Returns the encoding that a tensor has in the source.
  absl::FunctionRef<Encoding(const TensorSpec&)> encoding;
};

// Makes a plan without sources. Without a recipe each tensor keeps its encoding. The same arguments
// give the same plan. With compression, the plan is of slabs that all stay raw: their stored sizes,
// and the offsets and sizes of files that follow, are known once they have been encoded, and are
// never larger.
StorePlan PlanStore(const PlanSource& source, const std::optional<Recipe>& recipe,
                    int64_t slab_bytes, StoreCompression compression = StoreCompression::kNone);

// What of a checkpoint a store is made of.
enum class StorePart : uint8_t {
  kModel,
  kMtpHead,  // its head that drafts, in a store below the model's (MtpHeadDir)
};

// Makes a plan for a checkpoint, with sources.
StorePlan PlanStore(const Checkpoint& checkpoint, const std::optional<Recipe>& recipe,
                    int64_t slab_bytes, StoreCompression compression = StoreCompression::kNone,
                    StorePart part = StorePart::kModel);

// Returns the compression to try on a slab of the manifest.
SlabCompression CompressionToTry(const Manifest& manifest, const ManifestSlab& slab);

// Returns the tensors that a file is made from: indices into Manifest::tensors, in ascending order.
std::vector<int> TensorsOf(const StorePlan& plan, int planned_file);

// Returns where a file of the plan lies: slabs below one of the manifest's roots.
std::string PlannedPath(const std::string& dir, const StorePlan& plan, int planned_file);

// Writes the size that a file of slabs has got into all places of the plan that have it.
void SetSlabFileBytes(int planned_file, int64_t bytes, StorePlan* plan);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_STORE_PLAN_H_
