// Cuts a model into a store's files and slabs, on paper: everything but bytes and checksums.
#ifndef SLUICE_STORAGE_STORE_PLAN_H_
#define SLUICE_STORAGE_STORE_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/checkpoint.h"
#include "storage/manifest.h"
#include "storage/recipe.h"

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
};

// No recipe: each tensor keeps the checkpoint's encoding. The same arguments give the same plan.
StorePlan PlanStore(const Checkpoint& checkpoint, const std::optional<Recipe>& recipe,
                    int64_t slab_bytes);

}  // namespace sluice

#endif  // SLUICE_STORAGE_STORE_PLAN_H_
