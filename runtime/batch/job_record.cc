// The record as JSON.
#include "runtime/batch/job_record.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"
#include "storage/file/json.h"
#include "storage/store/manifest.h"
#include "storage/store/manifest_text.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr int64_t kJobFormatVersion = 1;

std::string Stem(const std::string& output) {
  return std::string(absl::StripSuffix(output, ".jsonl"));
}

absl::Status ReadRecord(const json& root, JobRecord* record) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t version, JsonInt(root, "format_version"));
  if (version != kJobFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("the job has format ", version, ", this program reads format ",
                     kJobFormatVersion, "; continue the job with the sluice that began it"));
  }
  for (const auto& [name, hash] :
       {std::pair{"input_hash", &record->input_hash}, {"store_hash", &record->store_hash}}) {
    SLUICE_ASSIGN_OR_RETURN(const std::string hex, JsonString(root, name));
    SLUICE_ASSIGN_OR_RETURN(*hash, ParseChecksum(hex));
  }
  for (const auto& [name, text] : {std::pair{"input", &record->input},
                                   {"input_format", &record->input_format},
                                   {"store", &record->store},
                                   {"device", &record->device},
                                   {"cache_type_k", &record->k_type},
                                   {"cache_type_v", &record->v_type}}) {
    SLUICE_ASSIGN_OR_RETURN(*text, JsonString(root, name));
  }
  int64_t seed;
  for (const auto& [name, number] : {std::pair{"created", &record->created},
                                     {"input_lines", &record->input_lines},
                                     {"context_tokens", &record->context_tokens},
                                     {"seed", &seed},
                                     {"part", &record->part},
                                     {"num_parts", &record->num_parts}}) {
    SLUICE_ASSIGN_OR_RETURN(*number, JsonInt(root, name));
  }
  record->seed = static_cast<uint64_t>(seed);
  // Jobs begun before there were chats, --fast-math or Gumbel noise do not have them.
  record->sampling.clear();
  for (const auto& [name, text] : {std::pair{"chat", &record->chat},
                                   {"arithmetic", &record->arithmetic},
                                   {"sampling", &record->sampling}}) {
    if (JsonFind(root, name) == nullptr) continue;
    SLUICE_ASSIGN_OR_RETURN(*text, JsonString(root, name));
  }
  return absl::OkStatus();
}

}  // namespace

std::string SerializeJobRecord(const JobRecord& record) {
  const json root = {{"format_version", kJobFormatVersion},
                     {"created", record.created},
                     {"input", record.input},
                     {"input_hash", ChecksumToHex(record.input_hash)},
                     {"input_lines", record.input_lines},
                     {"input_format", record.input_format},
                     {"store", record.store},
                     {"store_hash", ChecksumToHex(record.store_hash)},
                     {"device", record.device},
                     {"cache_type_k", record.k_type},
                     {"cache_type_v", record.v_type},
                     {"arithmetic", record.arithmetic},
                     {"context_tokens", record.context_tokens},
                     {"seed", static_cast<int64_t>(record.seed)},
                     {"sampling", record.sampling},
                     {"chat", record.chat},
                     {"part", record.part},
                     {"num_parts", record.num_parts}};
  return root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

absl::StatusOr<JobRecord> ParseJobRecord(absl::string_view text, absl::string_view path) {
  SLUICE_ASSIGN_OR_RETURN(const json root, ParseJson(text, path));
  JobRecord record;
  if (const absl::Status status = ReadRecord(root, &record); !status.ok()) {
    return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
  }
  return record;
}

absl::Status CheckSameJob(const JobRecord& begun, const JobRecord& asked, absl::string_view path) {
  const auto differs = [&](absl::string_view what, absl::string_view was, absl::string_view is) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " belongs to a job with another ", what, ": ", was, ", now ", is));
  };
  if (begun.input_hash != asked.input_hash && begun.input == asked.input) {
    return absl::FailedPreconditionError(
        absl::StrCat(asked.input, " has changed since the job of ", path, " began: it had ",
                     begun.input_lines, " lines (XXH3 ", ChecksumToHex(begun.input_hash), "), now ",
                     asked.input_lines, " (XXH3 ", ChecksumToHex(asked.input_hash), ")"));
  }
  if (begun.input_hash != asked.input_hash) {
    return differs("input",
                   absl::StrCat(begun.input, " (XXH3 ", ChecksumToHex(begun.input_hash), ")"),
                   absl::StrCat(asked.input, " (XXH3 ", ChecksumToHex(asked.input_hash), ")"));
  }
  if (begun.store_hash != asked.store_hash) {
    return differs("store",
                   absl::StrCat(begun.store, " (XXH3 ", ChecksumToHex(begun.store_hash), ")"),
                   absl::StrCat(asked.store, " (XXH3 ", ChecksumToHex(asked.store_hash), ")"));
  }
  if (begun.input_format != asked.input_format)
    return differs("input format", begun.input_format, asked.input_format);
  if (begun.device != asked.device) return differs("device", begun.device, asked.device);
  if (begun.k_type != asked.k_type)
    return differs("type of keys (-ctk)", begun.k_type, asked.k_type);
  if (begun.v_type != asked.v_type)
    return differs("type of values (-ctv)", begun.v_type, asked.v_type);
  if (begun.arithmetic != asked.arithmetic)
    return differs("arithmetic (--fast-math)", begun.arithmetic, asked.arithmetic);
  if (begun.context_tokens != asked.context_tokens) {
    return differs("context (-c)", absl::StrCat(begun.context_tokens),
                   absl::StrCat(asked.context_tokens));
  }
  if (begun.seed != asked.seed)
    return differs("--seed", absl::StrCat(begun.seed), absl::StrCat(asked.seed));
  // CheckSampling looks at jobs that do not say it.
  if (!begun.sampling.empty() && begun.sampling != asked.sampling)
    return differs("way of drawing tokens", begun.sampling, asked.sampling);
  if (begun.chat != asked.chat)
    return differs("--template or --no-parse-special", begun.chat.empty() ? "none" : begun.chat,
                   asked.chat.empty() ? "none" : asked.chat);
  if (begun.part != asked.part || begun.num_parts != asked.num_parts) {
    return differs("--part", absl::StrCat(begun.part, "/", begun.num_parts),
                   absl::StrCat(asked.part, "/", asked.num_parts));
  }
  return absl::OkStatus();
}

JobRecord TakeFreeOptions(const JobRecord& begun, const JobRecord& asked,
                          AnsweredRequests answered) {
  if (!answered.any) return asked;
  JobRecord record = begun;
  if (!answered.chats) record.chat = asked.chat;
  if (!answered.context_matters) record.context_tokens = asked.context_tokens;
  return record;
}

BatchPaths::BatchPaths(const std::string& output)
    : results(output),
      errors(Stem(output) + ".errors.jsonl"),
      job(Stem(output) + ".job.json"),
      journal(Stem(output) + ".journal") {
  const size_t slash = output.rfind('/');
  dir = slash == std::string::npos ? "." : slash == 0 ? "/" : output.substr(0, slash);
}

std::string PartPath(const std::string& output, int64_t part, int64_t num_parts) {
  return absl::StrCat(Stem(output), ".part", part, "of", num_parts, ".jsonl");
}

int64_t PartOf(absl::string_view custom_id, int64_t num_parts) {
  const uint64_t hash =
      Checksum({reinterpret_cast<const std::byte*>(custom_id.data()), custom_id.size()});
  return static_cast<int64_t>(hash % static_cast<uint64_t>(num_parts));
}

}  // namespace sluice
