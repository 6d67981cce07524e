// Cuts a model into a store's files and slabs, on paper: everything but bytes and checksums.
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

// A file that the sharder fills, in the order in which it writes them.
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
  // [tensors] what each of Manifest::tensors is made from. Points into the checkpoint.
  std::vector<const CheckpointTensor*> sources;
  // [tensors] of the source's bytes (storage/shard/source_sums.h), as far as they are known.
  std::vector<std::optional<uint64_t>> source_checksums;
};

// Where the weights come from, for a plan that needs no checkpoint.
struct PlanSource {
  HyperParameters hyper_parameters;
  std::string name;          // Manifest::source
  uint64_t fingerprint = 0;  // Manifest::source_fingerprint
  // The encoding that a tensor has there.
  absl::FunctionRef<Encoding(const TensorSpec&)> encoding;
};

// No recipe: each tensor keeps its encoding. The same arguments give the same plan. It has no
// sources. Where there is compression, the plan is of slabs that all stay raw: how long they, their
// files and their offsets become is known once they have been encoded, and is never more.
StorePlan PlanStore(const PlanSource& source, const std::optional<Recipe>& recipe,
                    int64_t slab_bytes, StoreCompression compression = StoreCompression::kNone);

// The same for a checkpoint, with sources.
StorePlan PlanStore(const Checkpoint& checkpoint, const std::optional<Recipe>& recipe,
                    int64_t slab_bytes, StoreCompression compression = StoreCompression::kNone);

// What a slab of the manifest is encoded with, if that pays.
SlabCompression CompressionToTry(const Manifest& manifest, const ManifestSlab& slab);

// Indices into Manifest::tensors: what a file is made from, in ascending order.
std::vector<int> TensorsOf(const StorePlan& plan, int planned_file);

// Where a file of the plan lies: slabs below one of the manifest's roots.
std::string PlannedPath(const std::string& dir, const StorePlan& plan, int planned_file);

// Says in all places of the plan what size a file of slabs has got.
void SetSlabFileBytes(int planned_file, int64_t bytes, StorePlan* plan);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_STORE_PLAN_H_
