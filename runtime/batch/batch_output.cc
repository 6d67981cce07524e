// Orders writes and syncs, and recovers after a crash.
#include "runtime/batch/batch_output.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/batch/line_reader.h"
#include "storage/file/durable_file.h"
#include "storage/file/json.h"
#include "storage/store/manifest.h"

namespace sluice {
namespace {

constexpr int kPassesPerSync = 8;
constexpr std::chrono::seconds kSecondsPerSync(10);
constexpr int64_t kLeastJournalLimit = int64_t{4} << 20;
constexpr size_t kLongResults = size_t{256} << 10;
constexpr absl::string_view kLineStart = "{\"id\": \"batch_req_";
// A longer answer is looked at only up to here; behind that it may be of any kind.
constexpr int64_t kMaxLookedAtBytes = 1 << 20;

absl::Status WithAdvice(const absl::Status& status, absl::string_view advice) {
  return absl::Status(status.code(), absl::StrCat(status.message(), "; ", advice));
}

// Returns whether another context could have given another answer. The line has the sum of its
// tokens and its prompts' tokens, and an answer that the context ended has one more than the
// context. Quotes in texts have a backslash before them.
bool ContextMatters(const LineReader::Line& line, int64_t was, int64_t is) {
  constexpr absl::string_view kTotal = "\"total_tokens\":";
  const size_t usage = line.text.find("\"usage\":{");
  const size_t at = usage == absl::string_view::npos ? usage : line.text.find(kTotal, usage);
  if (at == absl::string_view::npos) return true;
  absl::string_view digits = line.text.substr(at + kTotal.size());
  int64_t total;
  if (!absl::SimpleAtoi(digits.substr(0, digits.find('}')), &total)) return true;
  if (total <= std::min(was, is)) return false;
  return is < was || line.too_long || absl::StrContains(line.text, "\"finish_reason\":\"length\"");
}

bool AnswersChat(absl::string_view line) {
  const size_t body = line.find("\"body\": {");
  return body != absl::string_view::npos &&
         absl::StrContains(line.substr(body, 64), "\"id\":\"chatcmpl-");
}

absl::StatusOr<AnsweredRequests> AnsweredIn(const std::string& results, int64_t context_was,
                                            int64_t context_is) {
  SLUICE_ASSIGN_OR_RETURN(LineReader reader, LineReader::Open(results, kMaxLookedAtBytes));
  AnsweredRequests answered;
  LineReader::Line line;
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(const bool more, reader.Next(&line));
    if (!more || !line.whole) return answered;
    answered.any = true;
    answered.chats = answered.chats || AnswersChat(line.text);
    answered.context_matters =
        answered.context_matters || ContextMatters(line, context_was, context_is);
  }
}

}  // namespace

absl::StatusOr<int64_t> ScanResults(
    const std::string& path,
    absl::FunctionRef<void(uint64_t id, int64_t offset, int64_t bytes)> on_line) {
  // Only the beginning of a line is looked at, so that lines may be of any length.
  SLUICE_ASSIGN_OR_RETURN(LineReader reader, LineReader::Open(path, /*max_bytes=*/256));
  LineReader::Line line;
  int64_t end = 0;
  std::pair<uint64_t, int64_t> last = {0, -1};  // its length is known when the next one begins
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(const bool more, reader.Next(&line));
    if (last.second >= 0) on_line(last.first, last.second, line.offset - last.second);
    last.second = -1;
    end = line.offset;
    if (!more || !line.whole) return end;
    absl::StatusOr<uint64_t> id = absl::StartsWith(line.text, kLineStart)
                                      ? ParseChecksum(line.text.substr(kLineStart.size(), 16))
                                      : absl::InvalidArgumentError("another beginning");
    if (!id.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": line ", line.number, " is not a result that a batch job wrote"));
    }
    last = {*id, line.offset};
  }
}

DoneBefore ReadDoneBefore(const std::string& output, bool retry_errors) {
  const BatchPaths paths(output);
  DoneBefore done;
  const auto add = [&](const std::string& path) {
    ScanResults(path, [&](uint64_t id, int64_t, int64_t) { done.lines.insert(id); }).IgnoreError();
  };
  add(paths.results);
  if (!retry_errors) add(paths.errors);
  Journal::Read(paths.journal, [&](const JournalEntry& entry) {
    ++done.tokens[{entry.line, entry.choice}];
  });
  return done;
}

absl::Status BatchOutput::BeginOrGoOn(bool retry_errors) {
  const absl::StatusOr<std::string> text = ReadWholeFile(paths_.job, kMaxJobRecordBytes);
  if (text.ok()) {
    SLUICE_ASSIGN_OR_RETURN(const JobRecord begun, ParseJobRecord(*text, paths_.job));
    const absl::Status same = CheckSameJob(begun, job_, paths_.results);
    if (!same.ok()) return GoOnWithOtherOptions(begun, retry_errors, same);
    job_ = begun;
    return absl::OkStatus();
  }
  if (!absl::IsNotFound(text.status())) return text.status();
  for (const AppendFile* file : {&results_, &errors_}) {
    if (file->size() > 0) {
      return absl::FailedPreconditionError(
          absl::StrCat(file->path(), " exists, but ", paths_.job,
                       " is missing, so no job can continue it; give another -o"));
    }
  }
  return WriteRecord();
}

absl::Status BatchOutput::GoOnWithOtherOptions(const JobRecord& begun, bool retry_errors,
                                               const absl::Status& differs) {
  SLUICE_ASSIGN_OR_RETURN(const AnsweredRequests answered,
                          AnsweredIn(paths_.results, begun.context_tokens, job_.context_tokens));
  const JobRecord changed = TakeFreeOptions(begun, job_, answered);
  if (!CheckSameJob(changed, job_, paths_.results).ok()) {
    return WithAdvice(differs, "give the option that the job began with, or another -o");
  }
  if (!retry_errors) {
    return WithAdvice(differs,
                      "no answer depends on it: give --retry-errors to accept it and to run the "
                      "failed requests again");
  }
  // The journal goes first, as its tokens are of the former job.
  SLUICE_RETURN_IF_ERROR(RemoveFile(paths_.journal));
  job_ = changed;
  return WriteRecord();
}

absl::Status BatchOutput::WriteRecord() const {
  const size_t slash = paths_.job.rfind('/');
  return WriteFileAtomically(paths_.dir,
                             paths_.job.substr(slash == std::string::npos ? 0 : slash + 1),
                             SerializeJobRecord(job_));
}

absl::Status BatchOutput::ReadDone(AppendFile* file, absl::flat_hash_set<uint64_t>* done) {
  const absl::StatusOr<int64_t> end =
      ScanResults(file->path(), [&](uint64_t id, int64_t, int64_t) { done->insert(id); });
  if (absl::IsFailedPrecondition(end.status())) return WithAdvice(end.status(), "give another -o");
  SLUICE_RETURN_IF_ERROR(end.status());
  return *end < file->size() ? file->Truncate(*end) : absl::OkStatus();
}

absl::StatusOr<BatchOutput> BatchOutput::Open(const std::string& path, const JobRecord& job,
                                              bool retry_errors, const OnNote& on_note) {
  BatchOutput output(path, job);
  SLUICE_ASSIGN_OR_RETURN(output.results_, AppendFile::Open(output.paths_.results));
  SLUICE_RETURN_IF_ERROR(output.results_.Lock(on_note));
  SLUICE_ASSIGN_OR_RETURN(output.errors_, AppendFile::Open(output.paths_.errors));
  // -o results and -o results.jsonl share this file, as they share the journal.
  SLUICE_RETURN_IF_ERROR(output.errors_.Lock());
  SLUICE_RETURN_IF_ERROR(output.BeginOrGoOn(retry_errors));
  if (retry_errors) SLUICE_RETURN_IF_ERROR(output.errors_.Truncate(0));
  SLUICE_RETURN_IF_ERROR(ReadDone(&output.results_, &output.succeeded_));
  output.whole_results_bytes_ = output.results_.size();
  SLUICE_RETURN_IF_ERROR(ReadDone(&output.errors_, &output.failed_));
  SLUICE_ASSIGN_OR_RETURN(
      output.journal_,
      Journal::Open(output.paths_.journal, Checksum(SerializeJobRecord(output.job_)),
                    [&](const JournalEntry& entry) {
                      output.journaled_[{entry.line, entry.choice}].push_back(entry.token);
                    }));
  output.journal_limit_ = std::max(kLeastJournalLimit, 2 * output.journal_.size());
  SLUICE_RETURN_IF_ERROR(SyncFolder(output.paths_.dir));
  return output;
}

std::vector<int32_t> BatchOutput::TakeJournaled(int64_t line, int32_t choice) {
  const auto node = journaled_.extract({line, choice});
  return node.empty() ? std::vector<int32_t>() : std::move(node.mapped());
}

absl::Status BatchOutput::WriteResults() {
  SLUICE_RETURN_IF_ERROR(journal_.Append(entries_));
  entries_.clear();
  if (results_text_.empty()) return absl::OkStatus();
  const int64_t before = results_.size();
  const absl::Status status = results_.Append(results_text_);
  if (!status.ok()) {
    // Best effort: a torn tail that stays is cut when the job goes on.
    results_.Truncate(whole_results_bytes_).IgnoreError();
    return status;
  }
  const size_t line_end = results_text_.rfind('\n');
  if (line_end != std::string::npos)
    whole_results_bytes_ = before + static_cast<int64_t>(line_end) + 1;
  results_text_.clear();
  return absl::OkStatus();
}

void BatchOutput::AddResult(absl::string_view piece) {
  if (!results_status_.ok()) return;
  results_text_.append(piece.data(), piece.size());
  if (results_text_.size() >= kLongResults) results_status_ = WriteResults();
}

absl::Status BatchOutput::EndPass(bool computed) {
  SLUICE_RETURN_IF_ERROR(results_status_);
  SLUICE_RETURN_IF_ERROR(WriteResults());
  if (!errors_text_.empty()) SLUICE_RETURN_IF_ERROR(errors_.Append(errors_text_));
  errors_text_.clear();
  if (computed) ++passes_since_sync_;
  if (passes_since_sync_ < kPassesPerSync &&
      std::chrono::steady_clock::now() - last_sync_ < kSecondsPerSync) {
    return absl::OkStatus();
  }
  return Sync();
}

absl::Status BatchOutput::Sync() {
  SLUICE_RETURN_IF_ERROR(results_.Sync());
  SLUICE_RETURN_IF_ERROR(errors_.Sync());
  SLUICE_RETURN_IF_ERROR(journal_.Sync());
  passes_since_sync_ = 0;
  last_sync_ = std::chrono::steady_clock::now();
  return absl::OkStatus();
}

absl::Status BatchOutput::CompactJournal(std::vector<JournalEntry> in_flight) {
  SLUICE_RETURN_IF_ERROR(results_.Sync());
  SLUICE_RETURN_IF_ERROR(errors_.Sync());
  for (const auto& [sequence, tokens] : journaled_) {
    for (const int32_t token : tokens)
      in_flight.push_back({sequence.first, sequence.second, token});
  }
  SLUICE_RETURN_IF_ERROR(journal_.Rewrite(in_flight));
  journal_limit_ = std::max(kLeastJournalLimit, 2 * journal_.size());
  return absl::OkStatus();
}

absl::Status BatchOutput::Finish() {
  SLUICE_RETURN_IF_ERROR(EndPass(/*computed=*/false));
  SLUICE_RETURN_IF_ERROR(Sync());
  // The journal stays if answers may be lost: then the same command completes the job.
  SLUICE_RETURN_IF_ERROR(results_.CheckStillThere());
  SLUICE_RETURN_IF_ERROR(errors_.CheckStillThere());
  SLUICE_RETURN_IF_ERROR(RemoveFile(paths_.journal));
  return SyncFolder(paths_.dir);
}

}  // namespace sluice
