// Compares the store with the plan and the checkpoint, and takes tokenizer files over.
#include "storage/shard/shard_again.h"

#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "storage/file/durable_file.h"
#include "storage/file/file_lock.h"
#include "storage/shard/source_check.h"
#include "storage/shard/store_finish.h"
#include "storage/shard/store_folder.h"
#include "storage/shard/tokenizer_files.h"
#include "storage/store/repair_advice.h"
#include "storage/store/store_geometry.h"
#include "storage/store/store_paths.h"

namespace sluice {
namespace {

// Writes the tokenizer's files and the manifest anew; everything else stays. Meanwhile readers find
// an unfinished store, never half of two tokenizers.
absl::Status TakeTokenizerOver(const Checkpoint& checkpoint, const std::string& dir,
                               const ShardOptions& options, const Manifest& found,
                               const std::vector<ManifestCopy>& copies, ShardRecord record,
                               StorePlan* plan) {
  SLUICE_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(dir, options.on_note));
  SLUICE_ASSIGN_OR_RETURN(const Manifest now, ReadManifest(dir));
  if (SerializeManifest(now) != SerializeManifest(found)) {
    return absl::UnavailableError(absl::StrCat(dir, ": another process has just changed it"));
  }
  std::vector<ManifestCopy> kept;  // perhaps edited in the store; unchanged in the checkpoint
  for (const ManifestCopy& copy : copies) {
    if (absl::c_linear_search(found.tokenizer_files, copy)) kept.push_back(copy);
  }
  record.source = plan->manifest.source;
  record.source_fingerprint = plan->manifest.source_fingerprint;
  return FinishStore(checkpoint, dir, options, std::move(record), kept, plan);
}

// DataLoss: a file of weights is missing. `sluice verify` checks its content.
absl::Status CheckFilesAreThere(const std::string& dir, const Manifest& manifest) {
  std::vector<std::string> paths = {absl::StrCat(dir, "/", kEmbeddingFile),
                                    absl::StrCat(dir, "/", kResidentFile)};
  for (size_t i = 0; i < manifest.files.size(); ++i) {
    paths.push_back(SlabFilePath(dir, manifest, static_cast<int>(i)));
  }
  for (const std::string& path : paths) {
    struct stat info;
    if (stat(path.c_str(), &info) == 0) continue;
    if (errno != ENOENT && errno != ENOTDIR) return FileError(errno, "inspect", path);
    return absl::DataLossError(absl::StrCat(path, ": missing; ", kRepairAdvice));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ShardRecord> FinishedRecord(const std::string& dir, const Manifest& manifest,
                                           const StorePlan& plan) {
  absl::StatusOr<ShardRecord> record = RecordOfStore(manifest, plan);
  if (!record.ok()) {
    return absl::Status(record.status().code(), absl::StrCat(dir, ": ", record.status().message()));
  }
  record->source = manifest.source;
  record->source_fingerprint = manifest.source_fingerprint;
  const absl::StatusOr<ShardRecord> sealed = ReadSealedRecord(dir);
  if (!sealed.ok()) return record;
  for (auto& [path, file] : record->finished) {
    const auto found = sealed->finished.find(path);
    if (found != sealed->finished.end() && found->second.checksums == file.checksums) {
      file.source_checksums = found->second.source_checksums;
    }
  }
  return record;
}

absl::StatusOr<ShardResult> ShardAgain(const Checkpoint& checkpoint, const std::string& dir,
                                       const ShardOptions& options, StorePlan plan) {
  SLUICE_ASSIGN_OR_RETURN(const Manifest found, ReadManifest(dir));
  std::string difference = OptionsDifference(NewRecord(found), plan.manifest);
  if (!difference.empty()) {
    difference = absl::StrCat("of ", found.source, " ", difference);
  } else {
    difference = ShapeDifference(found, plan.manifest);
  }
  if (!difference.empty()) return RefuseStore(dir, FolderState::kFinished, difference);
  SLUICE_RETURN_IF_ERROR(CheckFilesAreThere(dir, found));
  AdoptPlaces(dir, &plan);
  SLUICE_ASSIGN_OR_RETURN(ShardRecord record, FinishedRecord(dir, found, plan));
  SLUICE_ASSIGN_OR_RETURN(
      const SourceVerdict verdict,
      JudgeSource(checkpoint, plan, record, {options.on_compare, options.stop}));
  if (!verdict.difference.empty()) {
    return RefuseStore(dir, FolderState::kFinished, verdict.difference);
  }
  ShardResult result;
  result.judged_by_headers = verdict.by_headers;
  result.outcome = ShardOutcome::kComplete;
  result.manifest = found;
  if (options.take_tokenizer) {
    SLUICE_ASSIGN_OR_RETURN(const std::vector<TokenizerSource> sources,
                            ListTokenizerFiles(checkpoint));
    SLUICE_ASSIGN_OR_RETURN(const std::vector<ManifestCopy> copies, TokenizerCopies(sources));
    result.tokenizer_changes = ChangedCopies(found.tokenizer_files, copies);
    if (!result.tokenizer_changes.empty()) {
      SLUICE_RETURN_IF_ERROR(
          TakeTokenizerOver(checkpoint, dir, options, found, copies, std::move(record), &plan));
      result.outcome = ShardOutcome::kTookTokenizerOver;
      result.manifest = std::move(plan.manifest);
    }
  }
  return result;
}

}  // namespace sluice
