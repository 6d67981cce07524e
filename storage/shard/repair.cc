// Finds out which checkpoint and options a store has, and which of its files are whole, and lets
// the sharder finish the rest.
#include "storage/shard/repair.h"

#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"
#include "storage/file/durable_file.h"
#include "storage/file/input_file.h"
#include "storage/shard/shard_again.h"
#include "storage/shard/source_check.h"
#include "storage/shard/source_proof.h"
#include "storage/shard/store_finish.h"
#include "storage/shard/store_folder.h"
#include "storage/shard/synth.h"
#include "storage/shard/tokenizer_files.h"
#include "storage/store/repair_advice.h"
#include "storage/store/store_geometry.h"
#include "storage/store/store_paths.h"

namespace sluice {
namespace {

constexpr int64_t kMaxUnfinishedBytes = int64_t{1} << 30;

class StoreRepair {
 public:
  StoreRepair(const Checkpoint& checkpoint, StorePart part, const std::string& dir,
              const RepairOptions& options)
      : checkpoint_(checkpoint), part_(part), dir_(dir), options_(options) {}

  absl::StatusOr<RepairResult> Run() {
    SLUICE_ASSIGN_OR_RETURN(ShardRecord known, FindKnown());
    SLUICE_RETURN_IF_ERROR(MakePlan(known));
    SLUICE_RETURN_IF_ERROR(MakeRecord(std::move(known)));
    SLUICE_RETURN_IF_ERROR(CheckWeights());
    SLUICE_RETURN_IF_ERROR(Verify());
    const bool manifest_lost = state_ == FolderState::kFinished && !found_.has_value();
    if (damaged_.empty() && state_ == FolderState::kFinished && !manifest_lost) {
      return std::move(result_);
    }
    if (result_.judged_by_headers && found_.has_value()) SLUICE_RETURN_IF_ERROR(ProveWeights());
    return Write();
  }

 private:
  absl::StatusOr<ShardRecord> FindKnown();
  absl::Status MakePlan(const ShardRecord& known);
  absl::Status MakeRecord(ShardRecord known);
  absl::Status CheckWeights();
  absl::Status Verify();
  absl::Status ProveWeights();
  absl::StatusOr<RepairResult> Write();

  // Returns the name of one of the plan's files; in the manifest, files of slabs may have been
  // moved and renamed.
  std::string NameOf(const Manifest& manifest, size_t planned_file) const {
    const PlannedFile& planned = plan_.files[planned_file];
    if (planned.kind != PlannedFile::Kind::kSlabs) return planned.path;
    return manifest.files[manifest.slabs[planned.first_slab].file].path;
  }

  const Checkpoint& checkpoint_;
  const StorePart part_;
  const std::string& dir_;
  const RepairOptions& options_;
  FolderState state_ = FolderState::kFinished;
  std::optional<Manifest> found_;  // none: the store is unfinished, or its manifest is damaged
  StorePlan plan_;
  ShardRecord record_;             // of files that are whole, as far as is known
  std::set<std::string> damaged_;  // names of files
  RepairResult result_;
};

// Reads what the store says about itself.
absl::StatusOr<ShardRecord> StoreRepair::FindKnown() {
  const std::string path = absl::StrCat(dir_, "/", kUnfinishedFile);
  absl::StatusOr<std::string> unfinished = ReadTextFile(path, kMaxUnfinishedBytes);
  if (unfinished.ok()) {
    state_ = FolderState::kUnfinished;
    return ParseShardRecord(*unfinished, path);
  }
  absl::StatusOr<Manifest> manifest = ReadManifest(dir_);
  if (manifest.ok()) {
    found_ = *std::move(manifest);
    if (IsSynthetic(*found_)) {
      return absl::FailedPreconditionError(
          absl::StrCat(dir_,
                       ": holds random weights, which have no checkpoint to be repaired "
                       "from; remove it and run `sluice synth` again"));
    }
    return NewRecord(*found_);
  }
  if (absl::IsFailedPrecondition(manifest.status())) return manifest.status();  // a newer format
  absl::StatusOr<ShardRecord> sealed = ReadSealedRecord(dir_);
  if (absl::IsNotFound(sealed.status()) && absl::IsNotFound(manifest.status())) {
    return manifest.status();  // no store
  }
  const std::string what(
      absl::StripSuffix(manifest.status().message(), absl::StrCat("; ", kRepairAdvice)));
  if (!sealed.ok()) {
    return absl::DataLossError(absl::StrCat(
        what, "; ", kRecordFile, ", from which sluice could rebuild it, is ",
        absl::IsNotFound(sealed.status()) ? "missing" : "damaged too",
        ", so that the store's right bytes are unknown; remove the folder and run `sluice "
        "shard` without --repair"));
  }
  result_.damage.push_back(what);
  result_.written.push_back(kManifestFile);
  return sealed;
}

absl::Status StoreRepair::MakePlan(const ShardRecord& known) {
  Manifest asked;
  asked.recipe = options_.recipe.value_or(known.recipe);
  asked.slab_bytes = options_.slab_bytes.value_or(known.slab_bytes);
  asked.compression = options_.compression.value_or(known.compression);
  if (const std::string difference = OptionsDifference(known, asked); !difference.empty()) {
    return RefuseStore(dir_, state_, absl::StrCat("of ", known.source, " ", difference));
  }
  std::optional<Recipe> recipe;
  if (known.recipe != kCheckpointRecipe) {
    SLUICE_ASSIGN_OR_RETURN(recipe, ParseRecipe(known.recipe));
  }
  plan_ = PlanStore(checkpoint_, recipe, known.slab_bytes, known.compression, part_);
  if (found_.has_value()) {
    if (const std::string other = ShapeDifference(*found_, plan_.manifest); !other.empty()) {
      return RefuseStore(dir_, state_, other);
    }
  }
  AdoptPlaces(dir_, &plan_);
  return absl::OkStatus();
}

absl::Status StoreRepair::MakeRecord(ShardRecord known) {
  if (found_.has_value()) {
    SLUICE_ASSIGN_OR_RETURN(record_, FinishedRecord(dir_, *found_, plan_));
  } else if (state_ == FolderState::kUnfinished) {
    SLUICE_ASSIGN_OR_RETURN(record_, LoadRecord(dir_, plan_));
  } else {
    record_ = std::move(known);
  }
  return absl::OkStatus();
}

absl::Status StoreRepair::CheckWeights() {
  SLUICE_ASSIGN_OR_RETURN(
      const SourceVerdict verdict,
      JudgeSource(checkpoint_, plan_, record_, {options_.on_compare, options_.stop}));
  if (!verdict.difference.empty()) return RefuseStore(dir_, state_, verdict.difference);
  result_.judged_by_headers = verdict.by_headers;
  return absl::OkStatus();
}

absl::Status StoreRepair::Verify() {
  StorePlan whole = plan_;  // with the record's contents of its files
  std::set<std::string> listed;
  for (size_t i = 0; i < plan_.files.size(); ++i) {
    const auto file = record_.finished.find(plan_.files[i].path);
    if (file == record_.finished.end()) continue;
    if (ApplyRecord(file->second, static_cast<int>(i), &whole)) {
      listed.insert(NameOf(whole.manifest, i));
    } else {
      record_.finished.erase(file);
    }
  }
  VerifyOptions verify;
  verify.num_threads = options_.num_threads;
  verify.on_progress = options_.on_verify;
  verify.stop = options_.stop;
  verify.on_fewer_threads = options_.on_fewer_threads;
  absl::StatusOr<std::vector<StoreDamage>> damage =
      found_.has_value() ? FindDamage(dir_, *found_, std::nullopt, verify)
                         : FindDamage(dir_, whole.manifest, listed, verify);
  SLUICE_RETURN_IF_ERROR(damage.status());
  for (StoreDamage& one : *damage) {
    damaged_.insert(one.file);
    result_.damage.push_back(std::move(one.line));
  }
  for (size_t i = 0; i < plan_.files.size(); ++i) {
    if (damaged_.contains(NameOf(whole.manifest, i))) record_.finished.erase(plan_.files[i].path);
    if (!record_.finished.contains(plan_.files[i].path)) {
      result_.written.push_back(NameOf(whole.manifest, i));
    }
  }
  return absl::OkStatus();
}

// Headers alone would let another model's weights pass, and half a store of each is worse than
// damage.
absl::Status StoreRepair::ProveWeights() {
  const bool record_damaged = damaged_.contains(kRecordFile);
  std::vector<int> files;
  for (size_t i = 0; i < plan_.files.size(); ++i) {
    if (record_damaged || !record_.finished.contains(plan_.files[i].path)) {
      files.push_back(static_cast<int>(i));
    }
  }
  // The file is small
  if (!record_damaged && record_.finished.contains(kResidentFile)) files.push_back(0);
  StorePlan proven = plan_;
  SLUICE_ASSIGN_OR_RETURN(const std::string difference,
                          DisproveSource(checkpoint_, dir_, *found_, files,
                                         {options_.on_compare, options_.stop}, &proven));
  if (!difference.empty()) return RefuseStore(dir_, state_, difference);
  if (!record_damaged) return absl::OkStatus();
  // All of the checkpoint was read, so that record.json can be written again.
  for (size_t i = 0; i < plan_.files.size(); ++i) {
    const auto file = record_.finished.find(plan_.files[i].path);
    if (file == record_.finished.end()) continue;
    file->second.source_checksums.clear();
    for (const int tensor : TensorsOf(plan_, static_cast<int>(i))) {
      file->second.source_checksums.push_back(*proven.source_checksums[tensor]);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RepairResult> StoreRepair::Write() {
  std::vector<ManifestCopy> kept;
  if (found_.has_value()) {
    SLUICE_ASSIGN_OR_RETURN(const std::vector<TokenizerSource> sources,
                            ListTokenizerFiles(checkpoint_));
    for (const ManifestCopy& copy : found_->tokenizer_files) {
      const std::string name = absl::StrCat(kTokenizerFolder, "/", copy.name);
      if (!damaged_.contains(name)) {
        kept.push_back(copy);
        continue;
      }
      const bool there =
          absl::c_any_of(sources, [&](const TokenizerSource& s) { return s.name == copy.name; });
      (there ? result_.written : result_.removed).push_back(name);
    }
    if (damaged_.contains(kRecordFile)) result_.written.push_back(kRecordFile);
  }
  record_.source = plan_.manifest.source;
  record_.source_fingerprint = plan_.manifest.source_fingerprint;
  ShardOptions shard;
  shard.num_threads = options_.num_threads;
  shard.on_progress = options_.on_progress;
  shard.stop = options_.stop;
  shard.on_fewer_threads = options_.on_fewer_threads;
  SLUICE_RETURN_IF_ERROR(FinishStore(checkpoint_, dir_, shard, std::move(record_), kept, &plan_));
  return std::move(result_);
}

// Repairs the head's store, or makes it where it is missing, with the options of `model`.
absl::StatusOr<RepairResult> RepairHead(const Checkpoint& checkpoint, const std::string& dir,
                                        const Manifest& model, const RepairOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const FolderState state, InspectFolder(dir));
  if (state != FolderState::kAbsent && state != FolderState::kEmpty) {
    SLUICE_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(dir, options.on_note));
    return StoreRepair(checkpoint, StorePart::kMtpHead, dir, options).Run();
  }
  ShardOptions shard;
  if (model.recipe != kCheckpointRecipe) {
    SLUICE_ASSIGN_OR_RETURN(shard.recipe, ParseRecipe(model.recipe));
  }
  shard.slab_bytes = model.slab_bytes;
  shard.compression = model.compression;
  shard.allow_requantize = true;  // the model has it so
  shard.num_threads = options.num_threads;
  shard.on_progress = options.on_progress;
  shard.stop = options.stop;
  shard.on_fewer_threads = options.on_fewer_threads;
  shard.on_note = options.on_note;
  SLUICE_RETURN_IF_ERROR(ShardPart(checkpoint, StorePart::kMtpHead, dir, shard).status());
  return RepairResult{.damage = {absl::StrCat(dir, ": missing")}, .written = {kManifestFile}};
}

void Append(const std::vector<std::string>& names, std::vector<std::string>* all) {
  for (const std::string& name : names) all->push_back(absl::StrCat(kMtpFolder, "/", name));
}

}  // namespace

absl::StatusOr<RepairResult> RepairStore(const Checkpoint& checkpoint, const std::string& dir,
                                         const RepairOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const FolderState state, InspectFolder(dir));
  if (state == FolderState::kAbsent || state == FolderState::kEmpty) {
    return absl::NotFoundError(
        absl::StrCat(dir, ": no store to repair; without --repair, `sluice shard` makes it"));
  }
  SLUICE_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(dir, options.on_note));
  SLUICE_ASSIGN_OR_RETURN(RepairResult result,
                          StoreRepair(checkpoint, StorePart::kModel, dir, options).Run());
  SLUICE_ASSIGN_OR_RETURN(const Manifest model, ReadManifest(dir));
  const std::string head_dir = MtpHeadDirOf(dir, model);
  if (head_dir.empty()) return result;
  SLUICE_ASSIGN_OR_RETURN(const RepairResult head,
                          RepairHead(checkpoint, head_dir, model, options));
  result.damage.insert(result.damage.end(), head.damage.begin(), head.damage.end());
  Append(head.written, &result.written);
  Append(head.removed, &result.removed);
  result.judged_by_headers = result.judged_by_headers || head.judged_by_headers;
  return result;
}

}  // namespace sluice
