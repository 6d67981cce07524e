// Opens a store: every file of it is there in its size, and the resident tensors are what was
// written.
#include "storage/store/layer_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "storage/file/input_file.h"
#include "storage/store/repair_advice.h"
#include "storage/store/store_geometry.h"
#include "storage/store/store_paths.h"

namespace sluice {
namespace {

absl::Status CheckFileSize(const std::string& path, int64_t bytes) {
  const absl::StatusOr<InputFile> file = InputFile::Open(path, PageCache::kUse);
  if (absl::IsDataLoss(file.status())) {
    return absl::DataLossError(absl::StrCat(file.status().message(), "; ", kRepairAdvice));
  }
  SLUICE_RETURN_IF_ERROR(file.status());
  if (file->bytes() == bytes) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(path, ": ", file->bytes(), " bytes, the manifest says ",
                                          bytes, "; ", kRepairAdvice));
}

absl::StatusOr<std::vector<float>> ReadResident(const std::string& dir, const Manifest& manifest) {
  const std::string path = absl::StrCat(dir, "/", kResidentFile);
  SLUICE_RETURN_IF_ERROR(CheckFileSize(path, manifest.resident_bytes));
  SLUICE_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path, PageCache::kUse));
  std::vector<float> values(manifest.resident_bytes / sizeof(float));
  const auto bytes = absl::MakeSpan(reinterpret_cast<std::byte*>(values.data()),
                                    static_cast<size_t>(manifest.resident_bytes));
  SLUICE_RETURN_IF_ERROR(file.ReadAllAt(0, bytes));
  for (const ManifestTensor& tensor : manifest.tensors) {
    if (PlaceOf(tensor.role) != TensorPlace::kResident) continue;
    const uint64_t got = Checksum(bytes.subspan(tensor.offset, tensor.shape[0] * sizeof(float)));
    if (got != tensor.checksum) {
      return absl::DataLossError(ResidentDamage(path, tensor, got));
    }
  }
  return values;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LayerStore>> LayerStore::Open(const std::string& dir) {
  std::unique_ptr<LayerStore> store(new LayerStore());
  store->dir_ = dir;
  SLUICE_ASSIGN_OR_RETURN(store->manifest_, ReadManifest(dir));
  const Manifest& manifest = store->manifest_;
  for (int i = 0; i < manifest.files.size(); ++i) {
    SLUICE_RETURN_IF_ERROR(CheckFileSize(store->FilePath(i), manifest.files[i].bytes));
  }
  const int64_t rows = manifest.Find(TensorRole::kEmbedding, -1)->shape[0];
  SLUICE_RETURN_IF_ERROR(CheckFileSize(store->EmbeddingPath(), rows * manifest.embedding_stride));
  SLUICE_ASSIGN_OR_RETURN(store->resident_, ReadResident(dir, manifest));
  return store;
}

std::string LayerStore::FilePath(int file) const { return SlabFilePath(dir_, manifest_, file); }

std::string LayerStore::EmbeddingPath() const { return absl::StrCat(dir_, "/", kEmbeddingFile); }

std::string LayerStore::TokenizerDir() const { return absl::StrCat(dir_, "/", kTokenizerFolder); }

absl::Span<const float> LayerStore::Resident(TensorRole role, int layer) const {
  const ManifestTensor* tensor = manifest_.Find(role, layer);
  if (tensor == nullptr || PlaceOf(role) != TensorPlace::kResident) return {};
  return absl::MakeConstSpan(resident_).subspan(tensor->offset / sizeof(float), tensor->shape[0]);
}

int64_t LayerStore::MemoryBytes() const {
  int64_t bytes = static_cast<int64_t>(sizeof(*this) + resident_.capacity() * sizeof(float) +
                                       manifest_.slabs.capacity() * sizeof(ManifestSlab) +
                                       manifest_.tensors.capacity() * sizeof(ManifestTensor)) +
                  manifest_.index.MemoryBytes() + manifest_.spec.MemoryBytes() +
                  manifest_.program.MemoryBytes();
  for (const ManifestSlab& slab : manifest_.slabs) bytes += slab.tensors.capacity() * sizeof(int);
  for (const ManifestTensor& tensor : manifest_.tensors) {
    bytes += tensor.name.capacity() + tensor.shape.capacity() * sizeof(int64_t);
  }
  return bytes;
}

}  // namespace sluice
