// The order of writing a store: the work of each thread, and when files are synced and recorded.
#include "storage/shard/sharder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/base/macros.h"
#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/exception_status.h"
#include "kernels/base/mutex.h"
#include "kernels/base/status_macros.h"
#include "kernels/cpu/thread.h"
#include "storage/file/progress_interval.h"
#include "storage/shard/shard_again.h"
#include "storage/shard/shard_job.h"
#include "storage/shard/source_check.h"
#include "storage/shard/store_finish.h"
#include "storage/shard/store_folder.h"
#include "storage/shard/tokenizer_files.h"
#include "storage/store/store_geometry.h"
#include "storage/store/store_paths.h"

namespace sluice {
namespace {

// Files that may be open at once: while one is being synced, workers go on with the next.
constexpr int kFilesAhead = 3;

// Writes the files of a plan that the record does not have yet.
//
// Workers (at most num_threads) take jobs in order; each owns its buffers and the checksums that
// its job computes. The finisher owns the record: it syncs a file whose jobs are all done, then
// records it. The calling thread reports progress and looks at `stop`.
//
//   file: kWaiting -> kWriting -> kWritten -> kRecorded        (moved by Advance, under mutex_)
class FileWriter {
 public:
  FileWriter(const Checkpoint& checkpoint, const std::string& dir, const ShardOptions& options,
             StorePlan* plan, ShardRecord* record)
      : checkpoint_(checkpoint),
        dir_(dir),
        options_(options),
        plan_(*plan),
        record_(*record),
        counters_(plan->manifest.tensors.size()) {}

  absl::Status Run();

 private:
  enum class State : uint8_t { kWaiting, kWriting, kWritten, kRecorded };
  struct File {
    int planned;  // of StorePlan::files
    std::once_flag opened;
    absl::Status open_status;
    OutputFile output;
  };
  struct FileProgress {
    int64_t jobs_left;
    State state = State::kWaiting;
    int next_slab = 0;      // the one that is placed next
    int64_t slabs_end = 0;  // of the ones before
  };
  struct FileJob {
    int file;  // of files_
    ShardJob job;
  };

  void Prepare();
  absl::Status StartThreads(int num_workers, std::vector<Thread>* threads);
  void RunThread(absl::Status (FileWriter::*work)());
  absl::Status Work();
  const FileJob* TakeJob();
  void EndJob(int file);
  absl::Status Finish();
  absl::Status RunJob(const FileJob& job, ShardWorker* worker);
  absl::StatusOr<int64_t> Place(int file, int slab, int64_t stored_bytes);
  std::optional<int64_t> AwaitWritten(int file);
  absl::Status SyncAndRecord(File* file, int64_t slabs_end);
  void Advance(int file, State from, State to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Fail(absl::Status status);
  void Report() const;

  const Checkpoint& checkpoint_;
  const std::string& dir_;
  const ShardOptions& options_;
  StorePlan& plan_;
  ShardRecord& record_;  // the finisher's
  std::vector<File> files_;
  std::vector<FileJob> jobs_;
  ShardCounters counters_;
  int64_t source_bytes_total_ = 0;
  std::atomic<bool> abort_{false};  // set by Fail; read inside long jobs

  Mutex mutex_;
  CondVar changed_;  // anything that mutex_ guards, or abort_
  std::vector<FileProgress> progress_ ABSL_GUARDED_BY(mutex_);  // of files_
  size_t next_job_ ABSL_GUARDED_BY(mutex_) = 0;
  int recorded_ ABSL_GUARDED_BY(mutex_) = 0;  // files that are kRecorded
  int running_threads_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);  // the first failure
};

void FileWriter::Prepare() {
  std::vector<int> left;
  for (int i = 0; i < plan_.files.size(); ++i) {
    const PlannedFile& planned = plan_.files[i];
    const int64_t source_bytes = SourceBytes(plan_, i);
    source_bytes_total_ += source_bytes;
    const auto finished = record_.finished.find(planned.path);
    if (finished != record_.finished.end() && ApplyRecord(finished->second, i, &plan_)) {
      counters_.source_bytes += source_bytes;
      counters_.stored_bytes += planned.bytes;
    } else {
      left.push_back(i);
    }
  }
  files_ = std::vector<File>(left.size());
  const MutexLock lock(&mutex_);
  for (size_t i = 0; i < left.size(); ++i) {
    files_[i].planned = left[i];
    const std::vector<ShardJob> jobs = ListJobs(plan_, left[i]);
    progress_.push_back({.jobs_left = static_cast<int64_t>(jobs.size()),
                         .next_slab = plan_.files[left[i]].first_slab});
    for (const ShardJob& job : jobs) jobs_.push_back({static_cast<int>(i), job});
  }
}

void FileWriter::Advance(int file, State from, State to) {
  FileProgress& progress = progress_[file];
  ABSL_ASSERT(progress.state == from && static_cast<int>(to) == static_cast<int>(from) + 1);
  (void)from;
  progress.state = to;
  if (to == State::kRecorded) ++recorded_;
  changed_.NotifyAll();
}

void FileWriter::Fail(absl::Status status) {
  const MutexLock lock(&mutex_);
  if (status_.ok()) status_ = std::move(status);
  abort_ = true;
  changed_.NotifyAll();
}

void FileWriter::Report() const {
  if (!options_.on_progress) return;
  options_.on_progress({counters_.source_bytes, source_bytes_total_, counters_.stored_bytes});
}

absl::Status FileWriter::RunJob(const FileJob& job, ShardWorker* worker) {
  File& file = files_[job.file];
  // The first job of a file creates it; the others wait here. Not under mutex_: reserving may be
  // slow.
  std::call_once(file.opened, [&] {
    const PlannedFile& planned = plan_.files[file.planned];
    const std::string path = PlannedPath(dir_, plan_, file.planned);
    // What is there may have a second name, as an embedding that a model and its MTP head share.
    unlink(path.c_str());
    absl::StatusOr<OutputFile> output =
        OutputFile::Create(path, planned.bytes, ShardWorker::CacheFor(planned));
    file.open_status = output.status();
    if (output.ok()) file.output = *std::move(output);
  });
  SLUICE_RETURN_IF_ERROR(file.open_status);
  return worker->Run(job.job, file.output, [&](int slab, int64_t stored_bytes) {
    return Place(job.file, slab, stored_bytes);
  });
}

// Slabs lie back to back in the manifest's order, and how long a compressed one gets is known only
// to the worker that has it. Jobs are taken in that order, so the slabs waited for are all in work.
absl::StatusOr<int64_t> FileWriter::Place(int file, int slab, int64_t stored_bytes) {
  const MutexLock lock(&mutex_);
  FileProgress& progress = progress_[file];
  while (!abort_ && progress.next_slab != slab) changed_.Wait(&mutex_);
  if (abort_) return absl::CancelledError("stopped");
  const int64_t offset = progress.slabs_end;
  progress.slabs_end += RoundUp(stored_bytes, kSlabAlignment);
  ++progress.next_slab;
  changed_.NotifyAll();
  return offset;
}

// Waits until the file of the next job may be open. Null: no job is left, or writing has failed.
const FileWriter::FileJob* FileWriter::TakeJob() {
  const MutexLock lock(&mutex_);
  while (!abort_ && next_job_ < jobs_.size() && jobs_[next_job_].file >= recorded_ + kFilesAhead) {
    changed_.Wait(&mutex_);
  }
  if (abort_ || next_job_ == jobs_.size()) return nullptr;
  const FileJob& job = jobs_[next_job_++];
  if (progress_[job.file].state == State::kWaiting) {
    Advance(job.file, State::kWaiting, State::kWriting);
  }
  return &job;
}

void FileWriter::EndJob(int file) {
  const MutexLock lock(&mutex_);
  if (--progress_[file].jobs_left == 0) Advance(file, State::kWriting, State::kWritten);
}

absl::Status FileWriter::Work() {
  ShardWorker worker(checkpoint_, &plan_, &counters_, abort_);
  while (const FileJob* const job = TakeJob()) {
    if (absl::Status status = RunJob(*job, &worker); status.ok()) {
      EndJob(job->file);
    } else {
      Fail(std::move(status));
    }
  }
  return absl::OkStatus();
}

// The names of files are made durable at the end: LoadRecord drops a file that a power cut took
// away.
absl::Status FileWriter::SyncAndRecord(File* file, int64_t slabs_end) {
  const PlannedFile& planned = plan_.files[file->planned];
  if (planned.kind == PlannedFile::Kind::kSlabs && slabs_end != planned.bytes) {
    SLUICE_RETURN_IF_ERROR(file->output.Truncate(slabs_end));
    SetSlabFileBytes(file->planned, slabs_end, &plan_);
  }
  SLUICE_RETURN_IF_ERROR(file->output.Sync());
  for (const int tensor : TensorsOf(plan_, file->planned)) {
    plan_.source_checksums[tensor] = counters_.sums.Value(tensor);
  }
  record_.finished[planned.path] = RecordOf(plan_, file->planned);
  return WriteFileAtomically(dir_, kUnfinishedFile, SerializeShardRecord(record_));
}

// The end of the file's slabs once all of its jobs are done. None: they never will be, as writing
// has failed. After a failure, files that are whole are still recorded: nobody has to write them
// again.
std::optional<int64_t> FileWriter::AwaitWritten(int file) {
  const MutexLock lock(&mutex_);
  const FileProgress& progress = progress_[file];
  while (progress.state != State::kWritten && !(abort_ && running_threads_ == 1)) {
    changed_.Wait(&mutex_);
  }
  if (progress.state != State::kWritten) return std::nullopt;
  return progress.slabs_end;
}

absl::Status FileWriter::Finish() {
  for (int i = 0; i < files_.size(); ++i) {
    const std::optional<int64_t> slabs_end = AwaitWritten(i);
    if (!slabs_end.has_value()) continue;
    absl::Status status = SyncAndRecord(&files_[i], *slabs_end);
    if (!status.ok()) Fail(std::move(status));
    files_[i].output = OutputFile();
    const MutexLock lock(&mutex_);
    Advance(i, State::kWritten, State::kRecorded);
  }
  return absl::OkStatus();
}

void FileWriter::RunThread(absl::Status (FileWriter::*work)()) {
  if (absl::Status status = CatchExceptions([&] { return (this->*work)(); }); !status.ok())
    Fail(std::move(status));
  const MutexLock lock(&mutex_);
  --running_threads_;
  changed_.NotifyAll();
}

absl::Status FileWriter::StartThreads(int num_workers, std::vector<Thread>* threads) {
  {
    const MutexLock lock(&mutex_);
    running_threads_ = num_workers + 1;
  }
  for (int i = 0; i <= num_workers; ++i) {  // the finisher, then workers
    absl::StatusOr<Thread> thread = Thread::Start(
        "sluice-shard", [this, i] { RunThread(i == 0 ? &FileWriter::Finish : &FileWriter::Work); });
    if (thread.ok()) {
      threads->push_back(*std::move(thread));
      continue;
    }
    absl::Status shortage = ThreadShortage("for sharding", num_workers + 1, i, thread.status());
    {
      const MutexLock lock(&mutex_);
      running_threads_ -= num_workers + 1 - i;
      changed_.NotifyAll();
    }
    if (i < 2) return shortage;
    if (options_.on_fewer_threads) options_.on_fewer_threads(shortage);
    break;
  }
  return absl::OkStatus();
}

absl::Status FileWriter::Run() {
  Prepare();
  const int64_t most =
      std::max<int64_t>(1, options_.most_buffer_bytes / ShardWorker::MaxBytes(plan_));
  const int num_workers = static_cast<int>(std::min<int64_t>(options_.num_threads, most));
  std::vector<Thread> threads;
  if (absl::Status status = StartThreads(num_workers, &threads); !status.ok())
    Fail(std::move(status));
  bool running = true;
  do {
    {
      const MutexLock lock(&mutex_);
      const auto report_at = std::chrono::system_clock::now() + kProgressInterval;
      while (running_threads_ > 0 && !changed_.WaitUntil(&mutex_, report_at)) {
      }
      running = running_threads_ > 0;
    }
    if (options_.stop != nullptr && *options_.stop) {
      Fail(absl::CancelledError(absl::StrCat(
          dir_, ": stopped; run the same command again to continue after the last finished file")));
    }
    Report();
  } while (running);
  threads.clear();  // joins them
  const MutexLock lock(&mutex_);
  return status_;
}

absl::Status CheckOptions(const ShardOptions& options) {
  if (options.num_threads < 1) {
    return absl::InvalidArgumentError(absl::StrCat(options.num_threads, " threads; 1 at least"));
  }
  if (options.slab_bytes < 1) {
    return absl::InvalidArgumentError(absl::StrCat("slabs of ", options.slab_bytes, " bytes"));
  }
  if (options.compression != StoreCompression::kNone &&
      options.slab_bytes > kMaxCompressedSlabBytes) {
    return absl::InvalidArgumentError(absl::StrCat("slabs of ", options.slab_bytes,
                                                   " bytes; compressed ones have at most ",
                                                   kMaxCompressedSlabBytes));
  }
  if (options.recipe.has_value()) return ParseRecipe(options.recipe->name).status();
  return absl::OkStatus();
}

// A second rounding on top of the first one costs quality that nobody may have meant to give up.
absl::Status CheckRequantizing(const StorePlan& plan) {
  for (size_t i = 0; i < plan.sources.size(); ++i) {
    const ManifestTensor& tensor = plan.manifest.tensors[i];
    const Encoding source = plan.sources[i]->encoding;
    if (PlaceOf(tensor.role) == TensorPlace::kResident || !Info(source).quantized() ||
        source == tensor.encoding) {
      continue;
    }
    return absl::FailedPreconditionError(absl::StrCat(
        tensor.name, " is already quantized, as ", Info(source).name, ", and ",
        plan.manifest.recipe, " would quantize it again, as ", Info(tensor.encoding).name,
        ", which loses more than quantizing the original does; keep it as it is (no ",
        "--encoding, no --recipe), start from f16 or bf16 weights, or give --allow-requantize"));
  }
  return absl::OkStatus();
}

std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Says why the checkpoint is not the one that the store was begun with, if so.
absl::Status CheckSource(const Checkpoint& checkpoint, const std::string& dir,
                         const ShardOptions& options, const StorePlan& plan,
                         const ShardRecord& record, bool* by_headers) {
  const SourceCheckOptions check{options.on_compare, options.stop};
  SLUICE_ASSIGN_OR_RETURN(const SourceVerdict verdict,
                          JudgeSource(checkpoint, plan, record, check));
  *by_headers = verdict.by_headers;
  if (verdict.difference.empty()) return absl::OkStatus();
  return RefuseStore(dir, FolderState::kUnfinished, verdict.difference);
}

// The head reads the model's embedding: it gets a second name for that file. Where that cannot be,
// the file is written again.
void ShareEmbedding(const std::string& dir, const StorePlan& plan, ShardRecord* record) {
  const std::string model_dir = FolderOf(dir);
  const absl::StatusOr<Manifest> model = ReadManifest(model_dir);
  const absl::StatusOr<ShardRecord> sealed = ReadSealedRecord(model_dir);
  if (!model.ok() || !sealed.ok() || record->finished.contains(kEmbeddingFile)) return;
  const auto file = sealed->finished.find(kEmbeddingFile);
  const int64_t bytes = plan.manifest.embedding_stride * plan.manifest.tensors[0].shape[0];
  if (file == sealed->finished.end() || file->second.bytes != bytes ||
      model->tensors[0].encoding != plan.manifest.tensors[0].encoding) {
    return;
  }
  const std::string to = absl::StrCat(dir, "/", kEmbeddingFile);
  unlink(to.c_str());  // a link, or what a killed run began to write
  if (link(absl::StrCat(model_dir, "/", kEmbeddingFile).c_str(), to.c_str()) != 0) return;
  record->finished.insert(*file);
}

// Of the embedding's file, if both stores have the same one.
int64_t SharedBytes(const std::string& model_dir, const std::string& head_dir) {
  struct stat model, head;
  if (stat(absl::StrCat(model_dir, "/", kEmbeddingFile).c_str(), &model) != 0 ||
      stat(absl::StrCat(head_dir, "/", kEmbeddingFile).c_str(), &head) != 0) {
    return 0;
  }
  return model.st_dev == head.st_dev && model.st_ino == head.st_ino ? head.st_size : 0;
}

// All of Shard() but creating the folder, where no finished store is.
absl::StatusOr<ShardResult> WriteStore(const Checkpoint& checkpoint, const std::string& dir,
                                       const ShardOptions& options, StorePlan plan) {
  SLUICE_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(dir, options.on_note));
  // Again, now that nobody else can change it.
  SLUICE_ASSIGN_OR_RETURN(const FolderState state, InspectFolder(dir));
  if (state == FolderState::kFinished) {
    return absl::UnavailableError(
        absl::StrCat(dir, ": another process has just finished this store"));
  }
  ShardResult result;
  ShardRecord record = NewRecord(plan.manifest);
  if (state == FolderState::kUnfinished) {
    AdoptPlaces(dir, &plan);
    SLUICE_ASSIGN_OR_RETURN(ShardRecord before, LoadRecord(dir, plan));
    SLUICE_RETURN_IF_ERROR(
        CheckSource(checkpoint, dir, options, plan, before, &result.judged_by_headers));
    record.finished = std::move(before.finished);
  }
  if (plan.manifest.hyper_parameters.is_mtp_head) {
    // The record first: without it nobody knows what a folder with files is.
    SLUICE_RETURN_IF_ERROR(WriteFileAtomically(dir, kUnfinishedFile, SerializeShardRecord(record)));
    ShareEmbedding(dir, plan, &record);
  }
  SLUICE_RETURN_IF_ERROR(
      FinishStore(checkpoint, dir, options, std::move(record), /*kept=*/{}, &plan));
  result.outcome =
      state == FolderState::kUnfinished ? ShardOutcome::kResumed : ShardOutcome::kWritten;
  result.stored_bytes = StoredBytes(plan);
  result.manifest = std::move(plan.manifest);
  return result;
}

}  // namespace

int64_t StoredBytes(const StorePlan& plan) {
  auto bytes = static_cast<int64_t>(SerializeManifest(plan.manifest).size());
  for (const PlannedFile& file : plan.files) bytes += file.bytes;
  for (const ManifestCopy& copy : plan.manifest.tokenizer_files) bytes += copy.bytes;
  return bytes;
}

absl::Status FinishStore(const Checkpoint& checkpoint, const std::string& dir,
                         const ShardOptions& options, ShardRecord record,
                         const std::vector<ManifestCopy>& kept, StorePlan* plan) {
  Manifest& manifest = plan->manifest;
  std::vector<TokenizerSource> tokenizer_files;
  if (!manifest.hyper_parameters.is_mtp_head) {
    SLUICE_ASSIGN_OR_RETURN(tokenizer_files, ListTokenizerFiles(checkpoint));
  }
  // The manifest, its temporary file, and the record twice, which is shorter.
  int64_t other_bytes = 3 * static_cast<int64_t>(SerializeManifest(manifest).size());
  for (const TokenizerSource& file : tokenizer_files) other_bytes += file.bytes;
  SLUICE_RETURN_IF_ERROR(CheckDiskSpace(dir, *plan, record, other_bytes));

  // Every run starts by writing the record, which also takes a killed run's temporary file away.
  SLUICE_RETURN_IF_ERROR(WriteFileAtomically(dir, kUnfinishedFile, SerializeShardRecord(record)));
  for (const char* const name : {kManifestFile, kRecordFile}) {
    SLUICE_RETURN_IF_ERROR(RemoveFile(absl::StrCat(dir, "/", name, ".tmp")));
  }
  SLUICE_RETURN_IF_ERROR(MakeFolder(absl::StrCat(dir, "/", kLayersFolder)));
  SLUICE_RETURN_IF_ERROR(MakeFolder(absl::StrCat(dir, "/", kTokenizerFolder)));
  SLUICE_RETURN_IF_ERROR(FileWriter(checkpoint, dir, options, plan, &record).Run());
  SLUICE_ASSIGN_OR_RETURN(
      manifest.tokenizer_files,
      WriteTokenizerFiles(tokenizer_files, absl::StrCat(dir, "/", kTokenizerFolder), kept));
  std::set<std::string> folders = {dir, absl::StrCat(dir, "/", kLayersFolder)};
  for (size_t i = 0; i < plan->files.size(); ++i) {
    folders.insert(FolderOf(PlannedPath(dir, *plan, static_cast<int>(i))));
  }
  for (const std::string& folder : folders) SLUICE_RETURN_IF_ERROR(SyncFolder(folder));
  // Where an older sluice wrote some of the files, nobody knows what the source's bytes were.
  if (absl::c_all_of(plan->source_checksums, [](const auto& sum) { return sum.has_value(); })) {
    SLUICE_RETURN_IF_ERROR(WriteFileAtomically(dir, kRecordFile, SerializeSealedRecord(record)));
  } else {
    SLUICE_RETURN_IF_ERROR(RemoveFile(absl::StrCat(dir, "/", kRecordFile)));
  }
  SLUICE_RETURN_IF_ERROR(WriteFileAtomically(dir, kManifestFile, SerializeManifest(manifest)));
  SLUICE_RETURN_IF_ERROR(RemoveFile(absl::StrCat(dir, "/", kUnfinishedFile)));
  return SyncFolder(dir);
}

absl::StatusOr<ShardResult> ShardPart(const Checkpoint& checkpoint, StorePart part,
                                      const std::string& store_dir, const ShardOptions& options) {
  StorePlan plan =
      PlanStore(checkpoint, options.recipe, options.slab_bytes, options.compression, part);
  SLUICE_ASSIGN_OR_RETURN(const FolderState state, InspectFolder(store_dir));
  if (state == FolderState::kFinished) {
    return ShardAgain(checkpoint, store_dir, options, std::move(plan));
  }
  if (!options.allow_requantize) SLUICE_RETURN_IF_ERROR(CheckRequantizing(plan));
  SLUICE_RETURN_IF_ERROR(CheckThreadsStart("for sharding", 2));
  if (state == FolderState::kAbsent) SLUICE_RETURN_IF_ERROR(MakeFolder(store_dir));
  absl::StatusOr<ShardResult> result = WriteStore(checkpoint, store_dir, options, std::move(plan));
  // A folder of ours in which nothing was begun goes again; one with anything in it stays.
  if (!result.ok() && state == FolderState::kAbsent) rmdir(store_dir.c_str());
  return result;
}

absl::StatusOr<ShardResult> Shard(const Checkpoint& checkpoint, const std::string& store_dir,
                                  const ShardOptions& options) {
  SLUICE_RETURN_IF_ERROR(CheckOptions(options));
  if (!checkpoint.left_out().empty() && options.on_note) options.on_note(checkpoint.left_out());
  SLUICE_ASSIGN_OR_RETURN(ShardResult result,
                          ShardPart(checkpoint, StorePart::kModel, store_dir, options));
  const std::string head_dir = MtpHeadDirOf(store_dir, result.manifest);
  if (head_dir.empty()) return result;
  ShardOptions for_head = options;
  for_head.take_tokenizer = false;
  SLUICE_ASSIGN_OR_RETURN(const ShardResult head,
                          ShardPart(checkpoint, StorePart::kMtpHead, head_dir, for_head));
  result.stored_bytes += head.stored_bytes - SharedBytes(store_dir, head_dir);
  result.judged_by_headers = result.judged_by_headers || head.judged_by_headers;
  // A run was killed behind the model.
  if (result.outcome == ShardOutcome::kComplete && head.outcome != ShardOutcome::kComplete) {
    result.outcome = ShardOutcome::kResumed;
  }
  return result;
}

}  // namespace sluice
