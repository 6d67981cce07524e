// results.job.json: the input and the options of a job, so that it goes on only with the same ones.
#ifndef SLUICE_RUNTIME_BATCH_JOB_RECORD_H_
#define SLUICE_RUNTIME_BATCH_JOB_RECORD_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

struct JobRecord {
  int64_t created = 0;  // seconds since 1970, at the first start
  std::string input;    // path, for people
  uint64_t input_hash = 0;
  int64_t input_lines = 0;
  std::string input_format = "openai";  // or "text"
  std::string store;                    // path, for people
  uint64_t store_hash = 0;
  std::string device = "cpu";  // or "cuda"
  std::string k_type;
  std::string v_type;
  // How tokens are drawn. Empty in records from before Gumbel noise (gumbel.h).
  std::string sampling = "gumbel";
  std::string arithmetic = "exact";  // ArithmeticOf (runtime/pass/memory_plan.h)
  int64_t context_tokens = 0;
  uint64_t seed = 0;
  // The options of chats: the hash of a template other than the store's, and whether messages are
  // plain text.
  std::string chat;
  int64_t part = 0;
  int64_t num_parts = 1;
};

// The largest size of the file; no job writes a longer one.
inline constexpr int64_t kMaxJobRecordBytes = 1 << 20;

std::string SerializeJobRecord(const JobRecord& record);
// InvalidArgument: the text is no such record. FailedPrecondition: a newer sluice wrote it.
absl::StatusOr<JobRecord> ParseJobRecord(absl::string_view text, absl::string_view path);

// FailedPrecondition: names what differs between the job with the results in `path` and the one
// that was asked for, except for `created` and the paths. Memory, threads and the batch size may
// differ, as they change no result. The caller adds what to do about it.
absl::Status CheckSameJob(const JobRecord& begun, const JobRecord& asked, absl::string_view path);

// The requests that a job has answered so far.
struct AnsweredRequests {
  bool any = false;
  bool chats = false;
  bool context_matters = false;  // another context (-c) could have made an answer longer or shorter
};
// Returns `begun` with those options of `asked` that no answer depends on: all of them if there is
// no answer, the options of chats if no chat was answered, and the context if no answer was as
// long.
JobRecord TakeFreeOptions(const JobRecord& begun, const JobRecord& asked,
                          AnsweredRequests answered);

// The files of a job, named after its results: results.jsonl -> results.errors.jsonl, ...
struct BatchPaths {
  explicit BatchPaths(const std::string& output);
  std::string results;
  std::string errors;
  std::string job;
  std::string journal;
  std::string dir;  // the folder of all of them
};
// Names a part: results.jsonl -> results.part0of4.jsonl.
std::string PartPath(const std::string& output, int64_t part, int64_t num_parts);
// Returns the part that runs the request: XXH3-64 of its custom_id, modulo the number of parts.
int64_t PartOf(absl::string_view custom_id, int64_t num_parts);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_JOB_RECORD_H_
