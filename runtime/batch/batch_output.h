// The files that a batch job writes while it runs (results, errors, the journal), and how a job
// goes on from them.
#ifndef SLUICE_RUNTIME_BATCH_BATCH_OUTPUT_H_
#define SLUICE_RUNTIME_BATCH_BATCH_OUTPUT_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/batch/append_file.h"
#include "runtime/batch/job_record.h"
#include "runtime/batch/journal.h"

namespace sluice {

// Calls `on_line` with the hash in "batch_req_<hash>" and the place of each whole line of a results
// or errors file, and returns where the whole lines end. FailedPrecondition: a line was written by
// no job.
absl::StatusOr<int64_t> ScanResults(
    const std::string& path,
    absl::FunctionRef<void(uint64_t id, int64_t offset, int64_t bytes)> on_line);

// The work that earlier runs of a job have done, for planning.
struct DoneBefore {
  // By ResultIds::line: answered, or failed. Not Abseil's set: tests fill this one, and they are
  // built without the sanitizer that its slots are marked for.
  std::unordered_set<uint64_t> lines;
  // The number of tokens of each sequence in flight, by line and choice.
  std::map<std::pair<int64_t, int32_t>, int64_t> tokens = {};
};
// Reads and changes nothing. Files that are missing or no job's count as empty: BatchOutput::Open
// reports them.
DoneBefore ReadDoneBefore(const std::string& output, bool retry_errors);

// After each pass the journal gets the pass's tokens in one write; then results and errors get
// their lines, long ones in several writes. All are synced every 8 passes that computed something,
// or 10 s. So a process that dies loses at most a pass, and a machine that dies the last few. A
// line that was torn is cut when the job goes on, and its request runs again, to the same end.
class BatchOutput {
 public:
  // Locks the results, checks that they are this job's (or begins it), cuts torn tails, and reads
  // what was done. With `retry_errors`, failed requests count as not done, and options that no
  // answer depends on may differ from those that the job was begun with (TakeFreeOptions).
  // Unavailable: another process has the lock. FailedPrecondition: the files are another job's, or
  // nobody's. `on_note` is called once if the file system has no locks.
  static absl::StatusOr<BatchOutput> Open(const std::string& output, const JobRecord& job,
                                          bool retry_errors, const OnNote& on_note = nullptr);

  const JobRecord& job() const { return job_; }
  // `line_id` is a ResultIds::line.
  bool HasResult(uint64_t line_id) const { return succeeded_.contains(line_id); }
  bool HasError(uint64_t line_id) const { return failed_.contains(line_id); }
  // Returns the tokens that the journal has of a sequence, and forgets them.
  std::vector<int32_t> TakeJournaled(int64_t line, int32_t choice);

  void AddToken(const JournalEntry& entry) { entries_.push_back(entry); }
  // Adds a part of a line, of any size. The beginning of a long line is written before its end is
  // known, so that no line is held whole. If a line cannot be written, EndPass says so, and the
  // part that was written is cut off again.
  void AddResult(absl::string_view piece);
  void AddError(absl::string_view line) { errors_text_.append(line.data(), line.size()); }
  // Writes the lines that were added. `computed`: the pass had rows. A pass without rows is quickly
  // repeated after a crash, so it does not count among the 8.
  absl::Status EndPass(bool computed);
  absl::Status Sync();

  // Returns whether it pays to rewrite the journal with the sequences that are still in flight.
  bool JournalIsLong() const { return journal_.size() > journal_limit_; }
  // Syncs results, then drops all journal records but `in_flight` and those that nobody took yet.
  absl::Status CompactJournal(std::vector<JournalEntry> in_flight);
  // Ends a job that is done: syncs, and removes the journal.
  absl::Status Finish();

 private:
  BatchOutput(std::string output, JobRecord job) : paths_(output), job_(std::move(job)) {}
  absl::Status BeginOrGoOn(bool retry_errors);
  // The job was begun with `begun`; `differs` describes the difference of the job that is asked for
  // now.
  absl::Status GoOnWithOtherOptions(const JobRecord& begun, bool retry_errors,
                                    const absl::Status& differs);
  absl::Status WriteRecord() const;
  static absl::Status ReadDone(AppendFile* file, absl::flat_hash_set<uint64_t>* done);
  // Writes the journal's entries, then what there is of results.
  absl::Status WriteResults();

  BatchPaths paths_;
  JobRecord job_;
  AppendFile results_, errors_;
  Journal journal_;
  int64_t journal_limit_;
  absl::flat_hash_set<uint64_t> succeeded_, failed_;  // lines of earlier runs
  std::map<std::pair<int64_t, int32_t>, std::vector<int32_t>> journaled_;

  std::vector<JournalEntry> entries_;  // of this pass
  std::string results_text_, errors_text_;
  int64_t whole_results_bytes_ = 0;  // of the results file: where its last whole line ends
  absl::Status results_status_;      // the first failure of AddResult
  int passes_since_sync_ = 0;
  std::chrono::steady_clock::time_point last_sync_ = std::chrono::steady_clock::now();
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_BATCH_OUTPUT_H_
