// Looks at the target before anything is written.
#include "storage/store_folder.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/status_macros.h"
#include "storage/durable_file.h"
#include "storage/file_lock.h"
#include "storage/free_space.h"
#include "storage/input_file.h"
#include "storage/store_geometry.h"

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

// Leftovers of a process that was killed before it wrote unfinished.json; and what mkfs leaves.
bool IsHarmless(absl::string_view name) {
  return name == FolderLock::kName || name == absl::StrCat(kUnfinishedFile, ".tmp") ||
         name == "lost+found";
}

// What stands in the way of writing `plan` where a finished store is.
absl::Status FinishedStatus(const std::string& dir, const StorePlan& plan) {
  const std::string path = absl::StrCat(dir, "/", kManifestFile);
  std::string what = "a finished store";
  if (absl::StatusOr<std::string> text = ReadTextFile(path, kMaxTextBytes); text.ok()) {
    if (absl::StatusOr<Manifest> found = ParseManifest(*text, path); found.ok()) {
      if (found->source_fingerprint == plan.manifest.source_fingerprint &&
          found->recipe == plan.manifest.recipe && found->slab_bytes == plan.manifest.slab_bytes &&
          found->compression == plan.manifest.compression) {
        return absl::FailedPreconditionError(
            absl::StrCat(dir, ": already complete: the store of ", found->source, " as ",
                         found->recipe, " is there; `sluice verify` checks its bytes"));
      }
      absl::StrAppend(&what, " of ", found->source, " as ", found->recipe);
    }
  }
  return absl::FailedPreconditionError(
      absl::StrCat(dir, ": holds ", what, "; remove it, or give another folder"));
}

// Whether a record's `stored_bytes` can be those of the file's slabs, one behind the other.
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

absl::StatusOr<FolderState> InspectFolder(const std::string& dir, const StorePlan& plan) {
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
  // A store is finished when unfinished.json has gone, not when the manifest has come.
  if (has(kUnfinishedFile)) return FolderState::kUnfinished;
  if (has(kManifestFile)) return FinishedStatus(dir, plan);
  for (const std::string& name : names) {
    if (!IsHarmless(name)) {
      return absl::FailedPreconditionError(
          absl::StrCat(dir, ": not empty: ", name, " is no part of a store; give a new folder"));
    }
  }
  return FolderState::kEmpty;
}

ShardRecord NewRecord(const StorePlan& plan) {
  ShardRecord record;
  record.source = plan.manifest.source;
  record.source_fingerprint = plan.manifest.source_fingerprint;
  record.recipe = plan.manifest.recipe;
  record.slab_bytes = plan.manifest.slab_bytes;
  record.compression = plan.manifest.compression;
  return record;
}

absl::StatusOr<ShardRecord> LoadRecord(const std::string& dir, const StorePlan& plan) {
  const std::string path = absl::StrCat(dir, "/", kUnfinishedFile);
  SLUICE_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxTextBytes));
  SLUICE_ASSIGN_OR_RETURN(ShardRecord record, ParseShardRecord(text, path));
  const Manifest& manifest = plan.manifest;
  std::string difference;
  if (record.source_fingerprint != manifest.source_fingerprint) {
    difference =
        absl::StrCat("of ", record.source, ", not of this checkpoint (", manifest.source, ")");
  } else if (record.recipe != manifest.recipe) {
    difference = absl::StrCat("as ", record.recipe, ", not as ", manifest.recipe);
  } else if (record.slab_bytes != manifest.slab_bytes) {
    difference =
        absl::StrCat("with slabs of ", record.slab_bytes, " bytes, not ", manifest.slab_bytes);
  } else if (record.compression != manifest.compression) {
    difference = absl::StrCat("with compression ", StoreCompressionName(record.compression),
                              ", not ", StoreCompressionName(manifest.compression));
  }
  if (!difference.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir, ": holds an unfinished store ", difference,
                     "; go on with the command that began it, remove it, or give another folder"));
  }
  std::map<std::string, ShardRecord::File> whole;
  for (const PlannedFile& file : plan.files) {
    const auto found = record.finished.find(file.path);
    struct stat info;
    // The plan's sizes are those before compression; ApplyRecord compares the record's more
    // closely.
    if (found != record.finished.end() && found->second.bytes <= file.bytes &&
        stat(absl::StrCat(dir, "/", file.path).c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
        info.st_size == found->second.bytes) {
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
  if (checksums.size() != file.checksums.size() || !StoredBytesFit(*plan, planned, file)) {
    return false;
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
  return file;
}

absl::Status CheckDiskSpace(const std::string& dir, const StorePlan& plan,
                            const ShardRecord& record, int64_t other_bytes) {
  SLUICE_ASSIGN_OR_RETURN(const std::optional<FreeSpace> space, ReadFreeSpace(dir));
  if (!space.has_value()) return absl::OkStatus();
  const int64_t block = space->block_bytes;
  int64_t free = space->free_bytes;
  int64_t needed = RoundUp(other_bytes, block);
  for (const PlannedFile& file : plan.files) {
    if (record.finished.contains(file.path)) continue;
    needed += RoundUp(file.bytes, block);
    // A half-written file is emptied before it is written again.
    struct stat info;
    if (stat(absl::StrCat(dir, "/", file.path).c_str(), &info) == 0) free += info.st_blocks * 512;
  }
  if (needed <= free) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(dir, ": ", Gigabytes(needed), " are still to be written, ", Gigabytes(free),
                   " are free on that disk; free some and run the same command again"));
}

}  // namespace sluice
