// results.journal: the tokens of sequences in flight, from which a job that was killed goes on.
#ifndef SLUICE_RUNTIME_BATCH_JOURNAL_H_
#define SLUICE_RUNTIME_BATCH_JOURNAL_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/batch/append_file.h"

namespace sluice {

// The next token of a sequence: choice `choice` of the request in line `line`.
struct JournalEntry {
  int64_t line;
  int32_t choice;
  int32_t token;
};

// The file: a header of kHeaderBytes ("sluiceJ1", the job's hash), then records. A record: the
// number of its entries (u32), 0 (u32), XXH3-64 of the entries (u64), the entries (line i64, choice
// i32, token i32). Integers are little-endian. Entries of a sequence are in the order of its
// tokens.
class Journal {
 public:
  static constexpr int64_t kHeaderBytes = 16;

  // Opens or creates the journal of job `job_hash` and calls `on_entry` with its entries. A torn or
  // damaged record is cut off, with everything behind it. FailedPrecondition: the file is another
  // job's, or no journal.
  static absl::StatusOr<Journal> Open(const std::string& path, uint64_t job_hash,
                                      absl::FunctionRef<void(const JournalEntry&)> on_entry);

  // Reads the entries of a journal of any job, without changing it; there are none if there is no
  // file.
  static void Read(const std::string& path, absl::FunctionRef<void(const JournalEntry&)> on_entry);

  // Appends one record, in one write; none if there are no entries.
  absl::Status Append(absl::Span<const JournalEntry> entries);
  absl::Status Sync() const { return file_.Sync(); }
  // Replaces the file by one with just these entries, durably, by rename.
  absl::Status Rewrite(absl::Span<const JournalEntry> entries);
  int64_t size() const { return file_.size(); }

 private:
  AppendFile file_;
  uint64_t job_hash_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_JOURNAL_H_
