// A list of jobs in the order of the files, and threads that take the next one.
#include "storage/store/verify.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/exception_status.h"
#include "kernels/base/mutex.h"
#include "kernels/base/status_macros.h"
#include "storage/file/checksum.h"
#include "storage/file/input_file.h"
#include "storage/file/progress_interval.h"
#include "storage/store/store_geometry.h"
#include "storage/store/store_paths.h"

namespace sluice {
namespace {

constexpr int64_t kReadBytes = int64_t{4} << 20;

struct Job {
  enum class Kind : uint8_t { kSlab, kRows, kResident, kTokenizerFile };
  Kind kind;
  int file = -1;          // of Verifier::files_
  int index = 0;          // kSlab: of Manifest::slabs; kTokenizerFile: of tokenizer_files
  int64_t first_row = 0;  // kRows
  int64_t num_rows = 0;
  int64_t bytes = 0;
  std::vector<std::string> damage;  // written by the thread that has the job
};

// Threads share the job list (each job is one thread's), the files (only pread) and the counters.
class Verifier {
 public:
  Verifier(const std::string& dir, const Manifest& manifest,
           const std::optional<std::set<std::string>>& wanted, const VerifyOptions& options)
      : dir_(dir), manifest_(manifest), wanted_(wanted), options_(options) {}

  absl::StatusOr<std::vector<StoreDamage>> Run();

 private:
  // A worker's buffers.
  struct Worker {
    AlignedBytes buffer = AllocateAligned(kReadBytes);
    RunningChecksum checksum;
  };

  int OpenFile(const std::string& name, const std::string& path, int64_t bytes);
  void ListJobs();
  absl::Status StartThreads(int count, std::vector<Thread>* threads);
  void Work();
  void RunJob(Job* job, Worker* worker);
  void CheckSlab(Job* job, Worker* worker);
  void CheckRows(Job* job, Worker* worker);
  void CheckResident(Job* job);
  void CheckTokenizerFile(Job* job, Worker* worker);

  const std::string& dir_;
  const Manifest& manifest_;
  const std::optional<std::set<std::string>>& wanted_;  // none: all files
  const VerifyOptions& options_;
  std::vector<std::optional<InputFile>> files_;  // empty: could not be opened, or is not wanted
  std::vector<std::string> names_;               // of files_
  std::vector<StoreDamage> file_damage_;         // missing files and wrong sizes
  std::vector<Job> jobs_;
  int64_t bytes_total_ = 0;
  std::atomic<size_t> next_job_{0};
  std::atomic<int64_t> bytes_done_{0};
  std::atomic<bool> abort_{false};

  Mutex mutex_;
  CondVar changed_;  // running_threads_
  int running_threads_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);  // the first, of this process and not of the store
};

std::string Mismatch(uint64_t got, uint64_t want) {
  return absl::StrCat("XXH3 ", ChecksumToHex(got), ", the manifest says ", ChecksumToHex(want));
}

bool IsZero(absl::Span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

int Verifier::OpenFile(const std::string& name, const std::string& path, int64_t bytes) {
  files_.emplace_back();
  names_.push_back(name);
  if (wanted_.has_value() && !wanted_->contains(name)) return -1;
  absl::StatusOr<InputFile> file = InputFile::Open(path, PageCache::kBypass);
  if (!file.ok()) {
    file_damage_.push_back({name, std::string(file.status().message())});
    return -1;
  }
  if (file->bytes() != bytes) {
    file_damage_.push_back(
        {name, absl::StrCat(path, ": ", file->bytes(), " bytes, the manifest says ", bytes)});
  }
  files_.back() = *std::move(file);
  return static_cast<int>(files_.size()) - 1;
}

void Verifier::ListJobs() {
  const ManifestTensor& embedding = *manifest_.Find(TensorRole::kEmbedding, -1);
  const int64_t rows = embedding.shape[0];
  const int64_t stride = manifest_.embedding_stride;
  const auto add = [&](Job job) {
    if (job.file < 0) return;
    bytes_total_ += job.bytes;
    jobs_.push_back(std::move(job));
  };
  const int resident =
      OpenFile(kResidentFile, absl::StrCat(dir_, "/", kResidentFile), manifest_.resident_bytes);
  add({Job::Kind::kResident, resident, 0, 0, 0, manifest_.resident_bytes, {}});
  const int embedding_file =
      OpenFile(kEmbeddingFile, absl::StrCat(dir_, "/", kEmbeddingFile), rows * stride);
  // A job's rows and the direct-I/O blocks at both of its ends fit a buffer.
  const int64_t per_job = std::max<int64_t>(1, (kReadBytes - 2 * kDirectAlignment) / stride);
  for (int64_t row = 0; row < rows; row += per_job) {
    const int64_t n = std::min(per_job, rows - row);
    add({Job::Kind::kRows, embedding_file, 0, row, n, n * stride, {}});
  }
  std::vector<int> slab_files;
  for (int i = 0; i < manifest_.files.size(); ++i) {
    slab_files.push_back(OpenFile(manifest_.files[i].path, SlabFilePath(dir_, manifest_, i),
                                  manifest_.files[i].bytes));
  }
  for (int i = 0; i < manifest_.slabs.size(); ++i) {
    const ManifestSlab& slab = manifest_.slabs[i];
    add({Job::Kind::kSlab, slab_files[slab.file], i, 0, 0, slab.bytes, {}});
  }
  for (int i = 0; i < manifest_.tokenizer_files.size(); ++i) {
    const ManifestCopy& copy = manifest_.tokenizer_files[i];
    const std::string name = absl::StrCat(kTokenizerFolder, "/", copy.name);
    const int file = OpenFile(name, absl::StrCat(dir_, "/", name), copy.bytes);
    add({Job::Kind::kTokenizerFile, file, i, 0, 0, copy.bytes, {}});
  }
}

void Verifier::CheckSlab(Job* job, Worker* worker) {
  const ManifestSlab& slab = manifest_.slabs[job->index];
  const InputFile& file = *files_[job->file];
  const std::string where =
      absl::StrCat(file.path(), ": slab ", job->index, " at byte ", slab.offset, " (",
                   manifest_.tensors[slab.tensors[0]].name, "): ");
  const int64_t padded = RoundUp(slab.bytes, kSlabAlignment);
  bool padding_is_zero = true;
  worker->checksum.Reset();
  for (int64_t done = 0; done < padded && !abort_; done += kReadBytes) {
    const auto part = absl::MakeSpan(worker->buffer.get(), std::min(kReadBytes, padded - done));
    if (absl::Status status = file.ReadAllAt(slab.offset + done, part); !status.ok()) {
      job->damage.push_back(absl::StrCat(where, status.message()));
      return;
    }
    const auto stored =
        part.first(std::clamp<int64_t>(slab.bytes - done, 0, static_cast<int64_t>(part.size())));
    worker->checksum.Add(stored);
    padding_is_zero = padding_is_zero && IsZero(part.subspan(stored.size()));
    bytes_done_ += static_cast<int64_t>(stored.size());
  }
  if (abort_) return;
  if (const uint64_t got = worker->checksum.Value(); got != slab.checksum) {
    job->damage.push_back(absl::StrCat(where, Mismatch(got, slab.checksum)));
  }
  if (!padding_is_zero) job->damage.push_back(absl::StrCat(where, "the padding is not zero"));
}

void Verifier::CheckRows(Job* job, Worker* worker) {
  const ManifestTensor& embedding = *manifest_.Find(TensorRole::kEmbedding, -1);
  const InputFile& file = *files_[job->file];
  const int64_t stride = manifest_.embedding_stride;
  const int64_t row_bytes = RowBytes(embedding.encoding, embedding.shape[1]);
  const int64_t begin = job->first_row * stride / kDirectAlignment * kDirectAlignment;
  const int64_t end = RoundUp((job->first_row + job->num_rows) * stride, kDirectAlignment);
  AlignedBytes long_rows;  // of a hidden size that no model has
  if (end - begin > kReadBytes) long_rows = AllocateAligned(end - begin);
  std::byte* buffer = long_rows != nullptr ? long_rows.get() : worker->buffer.get();
  absl::StatusOr<int64_t> read = file.ReadAt(begin, absl::MakeSpan(buffer, end - begin));
  if (!read.ok()) {
    job->damage.push_back(absl::StrCat("rows ", job->first_row, " to ",
                                       job->first_row + job->num_rows - 1, ": ",
                                       read.status().message()));
    return;
  }
  int64_t first_bad = -1;  // of a run of bad rows, which make one line
  for (int64_t row = job->first_row; row <= job->first_row + job->num_rows; ++row) {
    bool good = true;
    if (row < job->first_row + job->num_rows) {
      const int64_t offset = row * stride - begin;
      const auto bytes = absl::MakeConstSpan(buffer + offset, stride);
      good = offset + stride <= *read &&
             Checksum(bytes.first(row_bytes)) == LoadChecksum(bytes.data() + row_bytes) &&
             IsZero(bytes.subspan(row_bytes + kRowChecksumBytes));
    }
    if (!good && first_bad < 0) first_bad = row;
    if (good && first_bad >= 0) {
      job->damage.push_back(absl::StrCat(file.path(), ": row ", first_bad,
                                         row - 1 > first_bad ? absl::StrCat(" to ", row - 1) : "",
                                         " at byte ", first_bad * stride,
                                         ": wrong checksum, or missing"));
      first_bad = -1;
    }
  }
  bytes_done_ += job->bytes;
}

void Verifier::CheckResident(Job* job) {
  const InputFile& file = *files_[job->file];
  // Not the size that the manifest claims: damage must not decide how much memory is asked for.
  const int64_t bytes = std::min(manifest_.resident_bytes, file.bytes());
  const AlignedBytes buffer = AllocateAligned(bytes);
  const auto all = absl::MakeSpan(buffer.get(), RoundUp(bytes, kDirectAlignment));
  absl::StatusOr<int64_t> read = file.ReadAt(0, all);
  if (!read.ok()) {
    job->damage.emplace_back(read.status().message());
    return;
  }
  int64_t end = 0;  // of the tensor before
  const auto check_gap = [&](int64_t begin) {
    if (end < begin && begin <= *read && !IsZero(all.subspan(end, begin - end))) {
      job->damage.push_back(
          absl::StrCat(file.path(), ": the padding at byte ", end, " is not zero"));
    }
  };
  for (const ManifestTensor& tensor : manifest_.tensors) {
    if (PlaceOf(tensor.role) != TensorPlace::kResident) continue;
    const int64_t tensor_bytes = tensor.shape[0] * static_cast<int64_t>(sizeof(float));
    check_gap(tensor.offset);
    end = tensor.offset + tensor_bytes;
    if (end > *read) {
      job->damage.push_back(absl::StrCat(file.path(), ": tensor ", tensor.name, " is missing"));
      continue;
    }
    const uint64_t got = Checksum(all.subspan(tensor.offset, tensor_bytes));
    if (got != tensor.checksum) {
      job->damage.push_back(ResidentDamage(file.path(), tensor, got));
    }
  }
  check_gap(bytes);
  bytes_done_ += job->bytes;
}

void Verifier::CheckTokenizerFile(Job* job, Worker* worker) {
  const ManifestCopy& copy = manifest_.tokenizer_files[job->index];
  const InputFile& file = *files_[job->file];
  worker->checksum.Reset();
  int64_t done = 0;
  while (!abort_) {
    const auto part = absl::MakeSpan(worker->buffer.get(), kReadBytes);
    absl::StatusOr<int64_t> n = file.ReadAt(done, part);
    if (!n.ok()) {
      job->damage.emplace_back(n.status().message());
      return;
    }
    worker->checksum.Add(part.first(*n));
    done += *n;
    if (*n < kReadBytes) break;
  }
  if (abort_) return;
  if (const uint64_t got = worker->checksum.Value(); got != copy.checksum) {
    job->damage.push_back(absl::StrCat(
        file.path(), ": changed since the store was made: ", Mismatch(got, copy.checksum)));
  }
  bytes_done_ += job->bytes;
}

void Verifier::RunJob(Job* job, Worker* worker) {
  switch (job->kind) {
    case Job::Kind::kSlab:
      return CheckSlab(job, worker);
    case Job::Kind::kRows:
      return CheckRows(job, worker);
    case Job::Kind::kResident:
      return CheckResident(job);
    case Job::Kind::kTokenizerFile:
      return CheckTokenizerFile(job, worker);
  }
}

void Verifier::Work() {
  absl::Status status = CatchExceptions([this] {
    Worker worker;
    for (size_t i = next_job_++; i < jobs_.size() && !abort_; i = next_job_++) {
      RunJob(&jobs_[i], &worker);
    }
    return absl::OkStatus();
  });
  const MutexLock lock(&mutex_);
  if (!status.ok()) abort_ = true;
  failure_.Update(std::move(status));
  --running_threads_;
  changed_.NotifyAll();
}

absl::Status Verifier::StartThreads(int count, std::vector<Thread>* threads) {
  {
    const MutexLock lock(&mutex_);
    running_threads_ = count;
  }
  for (int i = 0; i < count; ++i) {
    absl::StatusOr<Thread> thread = Thread::Start("sluice-verify", [this] { Work(); });
    if (thread.ok()) {
      threads->push_back(*std::move(thread));
      continue;
    }
    absl::Status shortage = ThreadShortage("for verifying", count, i, thread.status());
    if (i == 0) return shortage;
    if (options_.on_fewer_threads) options_.on_fewer_threads(shortage);
    const MutexLock lock(&mutex_);
    running_threads_ -= count - i;
    break;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoreDamage>> Verifier::Run() {
  ListJobs();
  std::vector<Thread> threads;
  SLUICE_RETURN_IF_ERROR(StartThreads(std::max(1, options_.num_threads), &threads));
  bool running = true;
  do {
    {
      const MutexLock lock(&mutex_);
      const auto report_at = std::chrono::system_clock::now() + kProgressInterval;
      while (running_threads_ > 0 && !changed_.WaitUntil(&mutex_, report_at)) {
      }
      running = running_threads_ > 0;
    }
    if (options_.stop != nullptr && *options_.stop) abort_ = true;
    if (options_.on_progress) options_.on_progress({bytes_done_, bytes_total_});
  } while (running);
  threads.clear();  // joins them
  {
    const MutexLock lock(&mutex_);
    SLUICE_RETURN_IF_ERROR(failure_);
  }
  if (abort_) return absl::CancelledError(absl::StrCat(dir_, ": stopped before all was verified"));
  std::vector<StoreDamage> damage = std::move(file_damage_);
  for (const Job& job : jobs_) {
    for (const std::string& line : job.damage) damage.push_back({names_[job.file], line});
  }
  return damage;
}

}  // namespace

absl::StatusOr<std::vector<StoreDamage>> FindDamage(
    const std::string& dir, const Manifest& manifest,
    const std::optional<std::set<std::string>>& files, const VerifyOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(std::vector<StoreDamage> damage,
                          Verifier(dir, manifest, files, options).Run());
  if (files.has_value()) return damage;
  // A store that an older sluice made has none.
  if (const absl::Status record = ReadSealedRecord(dir).status();
      !record.ok() && !absl::IsNotFound(record)) {
    damage.push_back({kRecordFile, std::string(record.message())});
  }
  return damage;
}

absl::StatusOr<std::vector<StoreDamage>> FindAllDamage(const std::string& dir,
                                                       const Manifest& manifest,
                                                       const VerifyOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(std::vector<StoreDamage> damage,
                          FindDamage(dir, manifest, std::nullopt, options));
  const std::string head_dir = MtpHeadDirOf(dir, manifest);
  if (head_dir.empty()) return damage;
  const auto name = [](absl::string_view file) { return absl::StrCat(kMtpFolder, "/", file); };
  const absl::StatusOr<Manifest> head = ReadManifest(head_dir);
  if (!head.ok()) {
    damage.push_back({name(kManifestFile), std::string(head.status().message())});
    return damage;
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<StoreDamage> of_head,
                          FindDamage(head_dir, *head, std::nullopt, options));
  for (const StoreDamage& one : of_head) damage.push_back({name(one.file), one.line});
  return damage;
}

absl::StatusOr<std::vector<std::string>> VerifyStore(const std::string& dir,
                                                     const VerifyOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(dir));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<StoreDamage> damage,
                          FindAllDamage(dir, manifest, options));
  std::vector<std::string> lines;
  for (const StoreDamage& one : damage) lines.push_back(one.line);
  return lines;
}

}  // namespace sluice
