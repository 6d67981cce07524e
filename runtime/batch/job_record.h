// results.job.json: the input and the options of a job, so that it only continues with the same
// ones.
#ifndef SLUICE_RUNTIME_BATCH_JOB_RECORD_H_
#define SLUICE_RUNTIME_BATCH_JOB_RECORD_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

struct JobRecord {
  int64_t created = 0;  // seconds since 1970, of the first start
  std::string input;    // path, for people
  uint64_t input_hash = 0;
  int64_t input_lines = 0;
  std::string input_format = "openai";  // or "text"
  std::string store;                    // path, for people
  uint64_t store_hash = 0;
  std::string device = "cpu";  // or "cuda"
  std::string k_type;
  std::string v_type;
  // How tokens are drawn. Empty: as before Gumbel noise (gumbel.h), in a record of that time.
  std::string sampling = "gumbel";
  std::string arithmetic = "exact";  // ArithmeticOf (runtime/pass/memory_plan.h)
  int64_t context_tokens = 0;
  uint64_t seed = 0;
  // What was asked for chats: another template than the store's (its hash), plain text
  std::string chat;
  int64_t part = 0;
  int64_t num_parts = 1;
};

// Of the file: a longer one is none of ours.
inline constexpr int64_t kMaxJobRecordBytes = 1 << 20;

std::string SerializeJobRecord(const JobRecord& record);
// InvalidArgument where the text is no such record; FailedPrecondition where a newer sluice wrote
// it.
absl::StatusOr<JobRecord> ParseJobRecord(absl::string_view text, absl::string_view path);

// FailedPrecondition names what differs between the job with the results in `path` and the one that
// was asked for, but for `created` and the paths. Memory, threads and the batch size may differ:
// they change no result. What to do about it is the caller's to say.
absl::Status CheckSameJob(const JobRecord& begun, const JobRecord& asked, absl::string_view path);

// What a job has answered so far.
struct AnsweredRequests {
  bool any = false;
  bool chats = false;
  bool context_matters = false;  // another context (-c) could have made an answer longer or shorter
};
// `begun` with all that `asked` says and no answer depends on: everything where there is no answer,
// what only chats use where no chat was answered, and the context where no answer was as long.
JobRecord TakeFreeOptions(const JobRecord& begun, const JobRecord& asked,
                          AnsweredRequests answered);

// The files of a job, by the one that was asked for: results.jsonl -> results.errors.jsonl, ...
struct BatchPaths {
  explicit BatchPaths(const std::string& output);
  std::string results;
  std::string errors;
  std::string job;
  std::string journal;
  std::string dir;  // that they are in
};
// results.jsonl -> results.part0of4.jsonl
std::string PartPath(const std::string& output, int64_t part, int64_t num_parts);
// The part that runs the request: XXH3-64 of its custom_id, modulo the number of parts.
int64_t PartOf(absl::string_view custom_id, int64_t num_parts);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_JOB_RECORD_H_
