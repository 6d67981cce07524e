// An index of the parts' lines, a walk over the input, and copying.
#include "runtime/batch/merge.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"
#include "runtime/batch/append_file.h"
#include "runtime/batch/batch_job.h"
#include "runtime/batch/batch_output.h"
#include "runtime/batch/job_record.h"
#include "runtime/batch/line_reader.h"
#include "runtime/openai/completion_request.h"
#include "runtime/openai/completion_response.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

constexpr size_t kWriteBytes = size_t{1} << 20;

// Where a line lies: in file 2 * part (results) or 2 * part + 1 (errors).
struct Place {
  int32_t file;
  int64_t offset;
  int64_t bytes;
};

// N, from the names of the files beside `output`.
absl::StatusOr<int64_t> FindParts(const std::string& output) {
  const BatchPaths paths(output);
  const std::string prefix = absl::StrCat(
      std::filesystem::path(std::string(absl::StripSuffix(output, ".jsonl"))).filename().string(),
      ".part");
  int64_t found = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator it(paths.dir, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    absl::string_view rest = name;
    if (!absl::ConsumePrefix(&rest, prefix) || !absl::ConsumeSuffix(&rest, ".job.json")) continue;
    const std::vector<absl::string_view> numbers = absl::StrSplit(rest, "of");
    int64_t part, parts;
    if (numbers.size() != 2 || !absl::SimpleAtoi(numbers[0], &part) ||
        !absl::SimpleAtoi(numbers[1], &parts))
      continue;
    if (found != 0 && parts != found) {
      return absl::FailedPreconditionError(
          absl::StrCat(output, " has parts of ", found, " and parts of ", parts,
                       " beside it; move away the parts that do not belong to this job"));
    }
    found = parts;
  }
  if (error) return FileError(error.value(), "list folder", paths.dir);
  if (found == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(output, " has no parts beside it (", prefix, "IofN.jsonl)"));
  }
  return found;
}

// The first part's record, after all were compared with it and with the input.
absl::StatusOr<JobRecord> CheckParts(const std::string& input, const InputSummary& summary,
                                     const std::string& output, int64_t num_parts) {
  JobRecord first;
  for (int64_t part = 0; part < num_parts; ++part) {
    const BatchPaths paths(PartPath(output, part, num_parts));
    const absl::StatusOr<std::string> text = ReadWholeFile(paths.job, kMaxJobRecordBytes);
    if (absl::IsNotFound(text.status())) {
      return absl::FailedPreconditionError(
          absl::StrCat(paths.job, " is missing: part ", part, " of ", num_parts, " was not run"));
    }
    SLUICE_RETURN_IF_ERROR(text.status());
    SLUICE_ASSIGN_OR_RETURN(JobRecord record, ParseJobRecord(*text, paths.job));
    if (part == 0) first = record;
    JobRecord asked = first;
    asked.part = part;
    asked.num_parts = num_parts;
    asked.input = input;
    asked.input_hash = summary.checksum;
    asked.input_lines = summary.num_lines;
    if (const absl::Status same = CheckSameJob(record, asked, paths.results); !same.ok()) {
      return absl::Status(
          same.code(),
          absl::StrCat(same.message(), part == 0 ? "; merge with the input of the parts"
                                                 : "; run all parts with the same options"));
    }
  }
  return first;
}

// All lines of the input in order.
absl::StatusOr<std::vector<Place>> FindLines(const std::string& input, const InputSummary& summary,
                                             const std::vector<std::string>& files,
                                             const JobRecord& job, int64_t num_parts) {
  absl::flat_hash_map<uint64_t, Place> index;
  for (size_t file = 0; file < files.size(); ++file) {
    const absl::StatusOr<int64_t> end =
        ScanResults(files[file], [&](uint64_t id, int64_t offset, int64_t bytes) {
          index[id] = {static_cast<int32_t>(file), offset, bytes};
        });
    if (absl::IsFailedPrecondition(end.status())) {
      return absl::FailedPreconditionError(absl::StrCat(
          end.status().message(), "; move the file away and run part ", file / 2, " again"));
    }
    SLUICE_RETURN_IF_ERROR(end.status());
  }
  std::vector<Place> places;
  SLUICE_ASSIGN_OR_RETURN(LineReader reader,
                          LineReader::OpenInput(input, kMaxBatchLineBytes, &summary));
  LineReader::Line line;
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(const bool more, reader.Next(&line));
    if (!more) return places;
    if (IsBlankLine(line.text)) continue;
    const std::string custom_id =
        line.too_long
            ? DefaultCustomId(line.number)
            : ParseBatchLine(line.text, line.number, job.input_format == "text").custom_id;
    const auto it = index.find(ResultIds(line.number, custom_id).line);
    if (it == index.end()) {
      const int64_t part = PartOf(custom_id, num_parts);
      return absl::FailedPreconditionError(absl::StrCat(input, ": line ", line.number, " (",
                                                        custom_id, ") has no result yet; run part ",
                                                        part, " of ", num_parts, " to its end"));
    }
    places.push_back(it->second);
  }
}

// Copies pieces of files to the end of one.
class Copier {
 public:
  static absl::StatusOr<Copier> Create(const std::string& path,
                                       const std::vector<std::string>& sources) {
    Copier copier;
    SLUICE_ASSIGN_OR_RETURN(copier.out_, AppendFile::Open(path));
    SLUICE_RETURN_IF_ERROR(copier.out_.Truncate(0));
    for (const std::string& source : sources) {
      copier.sources_.emplace_back(open(source.c_str(), O_RDONLY | O_CLOEXEC));
      if (copier.sources_.back().get() < 0) return FileError(errno, "open", source);
    }
    return copier;
  }

  absl::Status Add(const Place& place) {
    for (int64_t done = 0; done < place.bytes;) {
      const size_t held = buffer_.size();
      buffer_.resize(held + std::min<int64_t>(place.bytes - done, kWriteBytes));
      const ssize_t n = pread(sources_[place.file].get(), buffer_.data() + held,
                              buffer_.size() - held, place.offset + done);
      buffer_.resize(held + (n > 0 ? n : 0));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0)
        return FileError(n < 0 ? errno : EIO, "read",
                         absl::StrCat("the results for ", out_.path()));
      done += n;
      if (buffer_.size() >= kWriteBytes) SLUICE_RETURN_IF_ERROR(Flush());
    }
    return absl::OkStatus();
  }

  absl::Status Finish(const std::string& name) {
    SLUICE_RETURN_IF_ERROR(Flush());
    SLUICE_RETURN_IF_ERROR(out_.Sync());
    if (std::rename(out_.path().c_str(), name.c_str()) != 0)
      return FileError(errno, "rename to", name);
    return absl::OkStatus();
  }

 private:
  absl::Status Flush() {
    SLUICE_RETURN_IF_ERROR(out_.Append(buffer_));
    buffer_.clear();
    return absl::OkStatus();
  }

  AppendFile out_;
  std::vector<FileDescriptor> sources_;
  std::string buffer_;
};

}  // namespace

absl::StatusOr<MergeReport> MergeParts(const std::string& input, const std::string& output) {
  const BatchPaths paths(output);
  if (std::filesystem::exists(output)) {
    return absl::FailedPreconditionError(absl::StrCat(output, " exists already; remove it first"));
  }
  MergeReport report;
  SLUICE_ASSIGN_OR_RETURN(report.num_parts, FindParts(output));
  SLUICE_ASSIGN_OR_RETURN(const InputSummary summary, SummarizeInput(input));
  SLUICE_ASSIGN_OR_RETURN(const JobRecord job,
                          CheckParts(input, summary, output, report.num_parts));
  std::vector<std::string> files;
  for (int64_t part = 0; part < report.num_parts; ++part) {
    const BatchPaths of_part(PartPath(output, part, report.num_parts));
    files.push_back(of_part.results);
    files.push_back(of_part.errors);
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Place> places,
                          FindLines(input, summary, files, job, report.num_parts));

  SLUICE_ASSIGN_OR_RETURN(Copier results, Copier::Create(paths.results + ".tmp", files));
  SLUICE_ASSIGN_OR_RETURN(Copier errors, Copier::Create(paths.errors + ".tmp", files));
  for (const Place& place : places) {
    const bool failed = place.file % 2 == 1;
    SLUICE_RETURN_IF_ERROR((failed ? errors : results).Add(place));
    ++(failed ? report.errors : report.results);
  }
  SLUICE_RETURN_IF_ERROR(errors.Finish(paths.errors));
  SLUICE_RETURN_IF_ERROR(results.Finish(paths.results));
  SLUICE_RETURN_IF_ERROR(SyncFolder(paths.dir));
  return report;
}

}  // namespace sluice
