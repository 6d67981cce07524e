// Looks into the target folder before anything is written.
#include "storage/shard/store_folder.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/status_macros.h"
#include "storage/file/durable_file.h"
#include "storage/file/file_lock.h"
#include "storage/file/free_space.h"
#include "storage/file/input_file.h"
#include "storage/store/store_geometry.h"

namespace sluice {
namespace {

constexpr int64_t kMaxTextBytes = int64_t{1} << 30;

absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& dir) {
  std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(dir.c_str()), &closedir);
  if (stream == nullptr) return FileError(errno, "list", dir);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream.get())) {
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Leftovers of a process that was killed before it wrote unfinished.json, and the folder that mkfs
// makes.
bool IsHarmless(absl::string_view name) {
  return name == FolderLock::kName || name == absl::StrCat(kUnfinishedFile, ".tmp") ||
         name == "lost+found";
}

// Returns whether two manifests have the same tensors, cut the same way. Compressed slabs may lie
// elsewhere in their files.
bool SameLayout(const Manifest& a, const Manifest& b) {
  const auto same_tensor = [](const ManifestTensor& s, const ManifestTensor& t) {
    return s.name == t.name && s.role == t.role && s.layer == t.layer && s.shape == t.shape &&
           s.encoding == t.encoding && s.offset == t.offset;
  };
  const auto same_slab = [](const ManifestSlab& s, const ManifestSlab& t) {
    return s.block == t.block && s.file == t.file && s.tensors == t.tensors &&
           s.first_tile == t.first_tile && s.num_tiles == t.num_tiles && s.raw_bytes == t.raw_bytes;
  };
  return a.files.size() == b.files.size() && absl::c_equal(a.tensors, b.tensors, same_tensor) &&
         absl::c_equal(a.slabs, b.slabs, same_slab);
}

// Returns whether a record's `stored_bytes` can be those of the file's slabs, one behind the other.
bool StoredBytesFit(const StorePlan& plan, const PlannedFile& planned,
                    const ShardRecord::File& file) {
  if (planned.kind != PlannedFile::Kind::kSlabs ||
      plan.manifest.compression == StoreCompression::kNone) {
    return file.stored_bytes.empty() && file.bytes == planned.bytes;
  }
  if (file.stored_bytes.size() != planned.num_slabs) return false;
  int64_t end = 0;
  for (int i = 0; i < planned.num_slabs; ++i) {
    const ManifestSlab& slab = plan.manifest.slabs[planned.first_slab + i];
    const int64_t bytes = file.stored_bytes[i];
    if (bytes < 1 || bytes > slab.raw_bytes) return false;
    if (bytes < slab.raw_bytes && CompressionToTry(plan.manifest, slab) == SlabCompression::kNone) {
      return false;
    }
    end += RoundUp(bytes, kSlabAlignment);
  }
  return end == file.bytes;
}

std::string Gigabytes(int64_t bytes) {
  return absl::StrFormat("%.3f GB (%d bytes)", static_cast<double>(bytes) / 1e9, bytes);
}

}  // namespace

absl::StatusOr<FolderState> InspectFolder(const std::string& dir) {
  struct stat info;
  if (stat(dir.c_str(), &info) != 0) {
    if (errno != ENOENT) return FileError(errno, "inspect", dir);
    return FolderState::kAbsent;
  }
  if (!S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir, ": is a file; give a folder that does not exist yet"));
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(dir));
  const auto has = [&](absl::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  // A store is finished once unfinished.json is gone, not once the manifest is there.
  if (has(kUnfinishedFile)) return FolderState::kUnfinished;
  if (has(kManifestFile) || has(kRecordFile)) return FolderState::kFinished;
  if (has(kResidentFile) || has(kEmbeddingFile)) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir, ": holds files of a store, but no ", kManifestFile,
                     ", which describes them; remove the folder, or give another one"));
  }
  for (const std::string& name : names) {
    if (!IsHarmless(name)) {
      return absl::FailedPreconditionError(
          absl::StrCat(dir, ": not empty: ", name, " is not part of a store; give a new folder"));
    }
  }
  return FolderState::kEmpty;
}

ShardRecord NewRecord(const Manifest& manifest) {
  ShardRecord record;
  record.source = manifest.source;
  record.source_fingerprint = manifest.source_fingerprint;
  record.recipe = manifest.recipe;
  record.slab_bytes = manifest.slab_bytes;
  record.compression = manifest.compression;
  return record;
}

absl::StatusOr<ShardRecord> RecordOfStore(const Manifest& found, StorePlan plan) {
  if (!SameLayout(found, plan.manifest)) {
    return absl::FailedPreconditionError(
        "this sluice lays the store out differently; make the store again, in another "
        "folder");
  }
  plan.manifest.tensors = found.tensors;
  plan.manifest.slabs = found.slabs;
  ShardRecord record = NewRecord(plan.manifest);
  for (size_t i = 0; i < plan.files.size(); ++i) {
    const PlannedFile& planned = plan.files[i];
    const int index = static_cast<int>(i);
    if (planned.kind == PlannedFile::Kind::kSlabs) {
      SetSlabFileBytes(index, found.files[found.slabs[planned.first_slab].file].bytes, &plan);
    }
    record.finished[planned.path] = RecordOf(plan, index);
  }
  return record;
}

std::string OptionsDifference(const ShardRecord& store, const Manifest& planned) {
  if (store.recipe != planned.recipe) {
    return absl::StrCat("as ", store.recipe, ", not as ", planned.recipe);
  }
  if (store.slab_bytes != planned.slab_bytes) {
    return absl::StrCat("with slabs of ", store.slab_bytes, " bytes, not ", planned.slab_bytes);
  }
  if (store.compression != planned.compression) {
    return absl::StrCat("with compression ", StoreCompressionName(store.compression), ", not ",
                        StoreCompressionName(planned.compression));
  }
  return "";
}

std::string SourceDifference(absl::string_view source, const Manifest& planned) {
  if (source == planned.source) return absl::StrCat("of another checkpoint than this ", source);
  return absl::StrCat("of ", source, ", not of this checkpoint (", planned.source, ")");
}

std::string ShapeDifference(const Manifest& store, const Manifest& planned) {
  const std::string other = SourceDifference(store.source, planned);
  if (!SameLayout(store, planned)) return other;
  nlohmann::json before = HyperParametersToJson(store.hyper_parameters);
  nlohmann::json now = HyperParametersToJson(planned.hyper_parameters);
  for (nlohmann::json* config : {&before, &now}) config->erase("eos_token_id");
  for (const auto& [key, value] : now.items()) {
    if (!before.contains(key) || before[key] != value) {
      return absl::StrCat(other, ", whose configuration has another ", key);
    }
  }
  for (const auto& [key, value] : before.items()) {
    if (!now.contains(key)) return absl::StrCat(other, ", whose configuration has no ", key);
  }
  return "";
}

absl::Status RefuseStore(const std::string& dir, FolderState state, absl::string_view difference) {
  const bool finished = state == FolderState::kFinished;
  return absl::FailedPreconditionError(
      absl::StrCat(dir, ": holds ", finished ? "a finished" : "an unfinished", " store ",
                   difference, "; ", finished ? "" : "go on with the command that began it, ",
                   "remove it, or give another folder"));
}

void AdoptPlaces(const std::string& dir, StorePlan* plan) {
  const std::string path = absl::StrCat(dir, "/", kManifestFile);
  const absl::StatusOr<std::string> text = ReadTextFile(path, kMaxTextBytes);
  if (!text.ok()) return;
  const absl::StatusOr<Manifest> found = ParseManifest(*text, path);
  if (!found.ok() || !SameLayout(*found, plan->manifest)) return;
  plan->manifest.roots = found->roots;
  for (size_t i = 0; i < found->files.size(); ++i) {
    plan->manifest.files[i].root = found->files[i].root;
    plan->manifest.files[i].path = found->files[i].path;
  }
}

absl::StatusOr<ShardRecord> LoadRecord(const std::string& dir, const StorePlan& plan) {
  const std::string path = absl::StrCat(dir, "/", kUnfinishedFile);
  SLUICE_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxTextBytes));
  SLUICE_ASSIGN_OR_RETURN(ShardRecord record, ParseShardRecord(text, path));
  const std::string difference = OptionsDifference(record, plan.manifest);
  if (!difference.empty()) return RefuseStore(dir, FolderState::kUnfinished, difference);
  std::map<std::string, ShardRecord::File> whole;
  for (size_t i = 0; i < plan.files.size(); ++i) {
    const auto found = record.finished.find(plan.files[i].path);
    struct stat info;
    // The plan's sizes are those before compression; ApplyRecord compares the record more closely.
    if (found != record.finished.end() && found->second.bytes <= plan.files[i].bytes &&
        stat(PlannedPath(dir, plan, static_cast<int>(i)).c_str(), &info) == 0 &&
        S_ISREG(info.st_mode) && info.st_size == found->second.bytes) {
      whole.insert(*found);
    }
  }
  record.finished = std::move(whole);
  return record;
}

bool ApplyRecord(const ShardRecord::File& file, int planned_file, StorePlan* plan) {
  std::vector<uint64_t*> checksums;
  const PlannedFile& planned = plan->files[planned_file];
  Manifest& manifest = plan->manifest;
  if (planned.kind == PlannedFile::Kind::kSlabs) {
    for (int i = 0; i < planned.num_slabs; ++i) {
      checksums.push_back(&manifest.slabs[planned.first_slab + i].checksum);
    }
  } else if (planned.kind == PlannedFile::Kind::kResident) {
    for (ManifestTensor& tensor : manifest.tensors) {
      if (PlaceOf(tensor.role) == TensorPlace::kResident) checksums.push_back(&tensor.checksum);
    }
  }
  const std::vector<int> tensors = TensorsOf(*plan, planned_file);
  if (checksums.size() != file.checksums.size() || !StoredBytesFit(*plan, planned, file) ||
      (!file.source_checksums.empty() && file.source_checksums.size() != tensors.size())) {
    return false;
  }
  for (size_t i = 0; i < file.source_checksums.size(); ++i) {
    plan->source_checksums[tensors[i]] = file.source_checksums[i];
  }
  for (size_t i = 0; i < checksums.size(); ++i) *checksums[i] = file.checksums[i];
  int64_t end = 0;
  for (size_t i = 0; i < file.stored_bytes.size(); ++i) {
    ManifestSlab& slab = manifest.slabs[planned.first_slab + i];
    if (file.stored_bytes[i] < slab.raw_bytes) slab.compression = CompressionToTry(manifest, slab);
    slab.bytes = file.stored_bytes[i];
    slab.offset = end;
    end += RoundUp(slab.bytes, kSlabAlignment);
  }
  if (!file.stored_bytes.empty()) SetSlabFileBytes(planned_file, end, plan);
  return true;
}

ShardRecord::File RecordOf(const StorePlan& plan, int planned_file) {
  const PlannedFile& planned = plan.files[planned_file];
  ShardRecord::File file{planned.bytes, {}};
  if (planned.kind == PlannedFile::Kind::kSlabs) {
    for (int i = 0; i < planned.num_slabs; ++i) {
      const ManifestSlab& slab = plan.manifest.slabs[planned.first_slab + i];
      file.checksums.push_back(slab.checksum);
      if (plan.manifest.compression != StoreCompression::kNone) {
        file.stored_bytes.push_back(slab.bytes);
      }
    }
  } else if (planned.kind == PlannedFile::Kind::kResident) {
    for (const ManifestTensor& tensor : plan.manifest.tensors) {
      if (PlaceOf(tensor.role) == TensorPlace::kResident) file.checksums.push_back(tensor.checksum);
    }
  }
  for (const int tensor : TensorsOf(plan, planned_file)) {
    if (!plan.source_checksums[tensor].has_value()) {
      file.source_checksums.clear();
      break;
    }
    file.source_checksums.push_back(*plan.source_checksums[tensor]);
  }
  return file;
}

absl::Status CheckDiskSpace(const std::string& dir, const StorePlan& plan,
                            const ShardRecord& record, int64_t other_bytes) {
  SLUICE_ASSIGN_OR_RETURN(const std::optional<FreeSpace> space, ReadFreeSpace(dir));
  if (!space.has_value()) return absl::OkStatus();
  const int64_t block = space->block_bytes;
  int64_t free = space->free_bytes;
  int64_t needed = RoundUp(other_bytes, block);
  for (size_t i = 0; i < plan.files.size(); ++i) {
    if (record.finished.contains(plan.files[i].path)) continue;
    needed += RoundUp(plan.files[i].bytes, block);
    // A half-written file is emptied before it is written again.
    struct stat info;
    if (stat(PlannedPath(dir, plan, static_cast<int>(i)).c_str(), &info) == 0) {
      free += info.st_blocks * 512;
    }
  }
  if (needed <= free) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(dir, ": ", Gigabytes(needed), " are still to be written, ", Gigabytes(free),
                   " are free on that disk; free some and run the same command again"));
}

}  // namespace sluice
