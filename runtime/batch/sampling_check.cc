// Reads the record, and the requests where the record is old.
#include "runtime/batch/sampling_check.h"

#include <variant>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/batch/batch_job.h"
#include "runtime/batch/job_record.h"
#include "runtime/batch/line_reader.h"
#include "runtime/openai/completion_request.h"
#include "storage/file/json.h"

namespace sluice {

absl::Status CheckSampling(const std::string& output, const JobInput& input) {
  const std::string path = BatchPaths(output).job;
  const absl::StatusOr<std::string> text = ReadWholeFile(path, kMaxJobRecordBytes);
  if (!text.ok()) return absl::OkStatus();
  const absl::StatusOr<JobRecord> record = ParseJobRecord(*text, path);
  if (!record.ok() || !record->sampling.empty()) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(LineReader reader, LineReader::Open(input.path, kMaxBatchLineBytes));
  LineReader::Line line;
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(const bool more, reader.Next(&line));
    if (!more) return absl::OkStatus();
    if (line.too_long || IsBlankLine(line.text)) continue;
    const BatchLine parsed = ParseBatchLine(line.text, line.number, input.plain_text);
    const auto* const request = std::get_if<CompletionRequest>(&parsed.request);
    if (request == nullptr || request->sampler.temperature <= 0) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        path, " is of a job that was begun when sluice drew tokens in another way, and request ",
        parsed.custom_id, " is sampled (temperature ", request->sampler.temperature,
        "); finish the job with the sluice that began it, or give another -o"));
  }
}

}  // namespace sluice
