// Chooses encodings tensor by tensor, then cuts slabs in the order of a pass, one file a layer.
#include "storage/shard/store_plan.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "absl/base/macros.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "storage/store/manifest_text.h"
#include "storage/store/store_geometry.h"
#include "storage/store/store_paths.h"

namespace sluice {
namespace {

// Returns the file's name, or the folder's, or, in a Hugging Face cache
// (models--ORG--NAME/snapshots/HASH), the model's.
std::string SourceName(const Checkpoint& checkpoint) {
  std::error_code error;
  // A file there is a link to a blob without a name
  std::filesystem::path path = checkpoint.path();
  if (checkpoint.format() == CheckpointFormat::kSafetensors) {
    path = std::filesystem::canonical(checkpoint.path(), error);
    if (error) path = checkpoint.path();
  }
  if (path.parent_path().filename() == "snapshots") path = path.parent_path().parent_path();
  return absl::StrCat(path.filename().string(), " (", Info(checkpoint.dtype()).name, ")");
}

// Appends slabs, and closes a file when its last one is there.
class Cutter {
 public:
  explicit Cutter(StorePlan* plan) : plan_(*plan), manifest_(plan->manifest) {}

  // Adds all tiles of one matrix, or of two of the same shape.
  void AddMatrices(int block, const std::vector<int>& tensors) {
    const auto tile_bytes = [&](int tensor) {
      return TileBytes(manifest_.tensors[tensor].encoding, manifest_.tensors[tensor].shape[1]);
    };
    const bool two = tensors.size() == 2;
    const bool shared =
        two && manifest_.tensors[tensors[0]].encoding == manifest_.tensors[tensors[1]].encoding;
    int64_t unit = tile_bytes(tensors[0]);  // a slab holds at least one of these
    if (two) unit = shared ? 2 * unit : std::max(unit, tile_bytes(tensors[1]));
    const int64_t per_slab = std::max<int64_t>(1, manifest_.slab_bytes / unit);
    const int64_t tiles = NumTiles(manifest_.tensors[tensors[0]].shape[0]);
    for (int64_t tile = 0; tile < tiles; tile += per_slab) {
      const int64_t n = std::min(per_slab, tiles - tile);
      if (!two || shared) {
        AddSlab(block, tensors, tile, n);
      } else {
        for (const int tensor : tensors) AddSlab(block, {tensor}, tile, n);
      }
    }
  }

  void CloseFile(const std::string& path) {
    const int num_slabs = static_cast<int>(manifest_.slabs.size()) - first_slab_;
    manifest_.files.push_back({0, path, offset_});
    plan_.files.push_back({PlannedFile::Kind::kSlabs, path, offset_, first_slab_, num_slabs});
    first_slab_ += num_slabs;
    offset_ = 0;
  }

 private:
  void AddSlab(int block, std::vector<int> tensors, int64_t first_tile, int64_t num_tiles) {
    ManifestSlab slab;
    slab.block = block;
    slab.file = static_cast<int>(manifest_.files.size());
    slab.offset = offset_;
    slab.checksum = 0;
    slab.tensors = std::move(tensors);
    slab.first_tile = first_tile;
    slab.num_tiles = num_tiles;
    slab.raw_bytes = SlabBytes(manifest_, slab);
    slab.bytes = slab.raw_bytes;
    offset_ += RoundUp(slab.bytes, kSlabAlignment);
    manifest_.slabs.push_back(std::move(slab));
  }

  StorePlan& plan_;
  Manifest& manifest_;
  int first_slab_ = 0;  // of the open file
  int64_t offset_ = 0;  // in the open file
};

void PlanTensors(const PlanSource& source, const std::optional<Recipe>& recipe, StorePlan* plan) {
  Manifest& manifest = plan->manifest;
  for (const TensorSpec& spec : ListTensors(manifest.hyper_parameters)) {
    const Encoding encoding = source.encoding(spec);
    ManifestTensor tensor{spec.name, spec.role, spec.layer, spec.shape, encoding};
    if (PlaceOf(spec.role) == TensorPlace::kResident) {
      tensor.encoding = Encoding::kF32;
      tensor.offset = manifest.resident_bytes;
      manifest.resident_bytes +=
          RoundUp(spec.shape[0] * static_cast<int64_t>(sizeof(float)), kResidentAlignment);
    } else if (recipe.has_value()) {
      const TensorEncoding chosen =
          ChooseEncoding(*recipe, manifest.hyper_parameters, spec, encoding);
      tensor.encoding = chosen.encoding;
      tensor.fallback = chosen.fallback;
    }
    manifest.tensors.push_back(std::move(tensor));
  }
  manifest.Derive();
}

}  // namespace

StorePlan PlanStore(const Checkpoint& checkpoint, const std::optional<Recipe>& recipe,
                    int64_t slab_bytes, StoreCompression compression, StorePart part) {
  const auto find = [&checkpoint](const std::string& name) {
    const CheckpointTensor* const tensor = checkpoint.Find(name);
    ABSL_ASSERT(tensor != nullptr);  // Checkpoint::Open has checked that
    return tensor;
  };
  const auto encoding = [&find](const TensorSpec& spec) { return find(spec.name)->encoding; };
  const HyperParameters& model = checkpoint.hyper_parameters();
  StorePlan plan =
      PlanStore({.hyper_parameters = part == StorePart::kMtpHead ? MtpHeadOf(model) : model,
                 .name = SourceName(checkpoint),
                 .fingerprint = checkpoint.fingerprint(),
                 .encoding = encoding},
                recipe, slab_bytes, compression);
  for (const ManifestTensor& tensor : plan.manifest.tensors) {
    plan.sources.push_back(find(tensor.name));
  }
  plan.source_checksums.resize(plan.sources.size());
  return plan;
}

StorePlan PlanStore(const PlanSource& source, const std::optional<Recipe>& recipe,
                    int64_t slab_bytes, StoreCompression compression) {
  StorePlan plan;
  Manifest& manifest = plan.manifest;
  manifest.hyper_parameters = source.hyper_parameters;
  manifest.source = source.name;
  manifest.source_fingerprint = source.fingerprint;
  manifest.recipe = recipe.has_value() ? recipe->name : kCheckpointRecipe;
  manifest.slab_bytes = slab_bytes;
  manifest.compression = compression;
  PlanTensors(source, recipe, &plan);

  const ManifestTensor& embedding = *manifest.Find(TensorRole::kEmbedding, -1);
  manifest.embedding_stride = EmbeddingStride(embedding.encoding, embedding.shape[1]);
  plan.files.push_back({PlannedFile::Kind::kResident, kResidentFile, manifest.resident_bytes});
  plan.files.push_back({PlannedFile::Kind::kEmbedding, kEmbeddingFile,
                        manifest.embedding_stride * embedding.shape[0]});
  Cutter cutter(&plan);
  const std::vector<Block>& blocks = manifest.program.blocks;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const int layer = blocks[i].layer;
    for (const Product& product : blocks[i].products) {
      cutter.AddMatrices(static_cast<int>(i), MatricesOf(product, layer, manifest.index));
    }
    if (i + 1 < blocks.size() && blocks[i + 1].layer == layer) continue;
    cutter.CloseFile(layer < 0 ? "head.slabs"
                               : absl::StrFormat("%s/%03d.slabs", kLayersFolder, layer));
  }
  ABSL_ASSERT(CheckManifest(manifest).ok());
  return plan;
}

SlabCompression CompressionToTry(const Manifest& manifest, const ManifestSlab& slab) {
  if (manifest.compression == StoreCompression::kNone || slab.raw_bytes > kMaxCompressedSlabBytes) {
    return SlabCompression::kNone;
  }
  return CompressionFor(manifest.tensors[slab.tensors[0]].encoding);
}

std::vector<int> TensorsOf(const StorePlan& plan, int planned_file) {
  const PlannedFile& planned = plan.files[planned_file];
  std::set<int> tensors;
  switch (planned.kind) {
    case PlannedFile::Kind::kEmbedding:
      tensors.insert(0);
      break;
    case PlannedFile::Kind::kResident:
      for (size_t i = 0; i < plan.manifest.tensors.size(); ++i) {
        if (PlaceOf(plan.manifest.tensors[i].role) == TensorPlace::kResident) {
          tensors.insert(static_cast<int>(i));
        }
      }
      break;
    case PlannedFile::Kind::kSlabs:
      for (int i = 0; i < planned.num_slabs; ++i) {
        const ManifestSlab& slab = plan.manifest.slabs[planned.first_slab + i];
        tensors.insert(slab.tensors.begin(), slab.tensors.end());
      }
      break;
  }
  return {tensors.begin(), tensors.end()};
}

std::string PlannedPath(const std::string& dir, const StorePlan& plan, int planned_file) {
  const PlannedFile& planned = plan.files[planned_file];
  if (planned.kind != PlannedFile::Kind::kSlabs) return absl::StrCat(dir, "/", planned.path);
  return SlabFilePath(dir, plan.manifest, plan.manifest.slabs[planned.first_slab].file);
}

void SetSlabFileBytes(int planned_file, int64_t bytes, StorePlan* plan) {
  PlannedFile& planned = plan->files[planned_file];
  planned.bytes = bytes;
  plan->manifest.files[plan->manifest.slabs[planned.first_slab].file].bytes = bytes;
}

}  // namespace sluice
