// Looks at the files by stat: opening a pipe could wait forever.
#include "runtime/batch/output_check.h"

#include <sys/stat.h>

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"
#include "runtime/batch/job_record.h"

namespace sluice {
namespace {

std::optional<struct stat> StatOf(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return std::nullopt;
  return info;
}

absl::Status CheckRegular(const std::string& path) {
  const std::optional<struct stat> info = StatOf(path);
  if (!info.has_value() || S_ISREG(info->st_mode)) return absl::OkStatus();
  if (S_ISDIR(info->st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is a folder, and a job writes a file there"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path,
                   " is a pipe or a device; a job needs a regular file there, which it reads again "
                   "when it continues"));
}

}  // namespace

bool NamesStream(const std::string& output) {
  return output == "-" || output == "/dev/stdin" || output == "/dev/stdout" ||
         output == "/dev/stderr" || absl::StartsWith(output, "/dev/fd/") ||
         absl::StartsWith(output, "/proc/");
}

absl::Status CheckOutputFile(const std::string& output) {
  const std::optional<struct stat> info = StatOf(output);
  if (absl::EndsWith(output, "/") || (info.has_value() && S_ISDIR(info->st_mode))) {
    return absl::InvalidArgumentError(
        absl::StrCat(output, " is a folder; give a file in it as -o, such as ",
                     absl::StripSuffix(output, "/"), "/results.jsonl"));
  }
  SLUICE_RETURN_IF_ERROR(CheckRegular(output));
  absl::string_view stem = output;
  if (absl::ConsumeSuffix(&stem, ".errors.jsonl")) {
    const std::string other = absl::StrCat(stem, ".jsonl");
    if (StatOf(BatchPaths(other).job).has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(output, " is the errors file of the job ", other, "; give another -o"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckJobFiles(const std::string& results, const std::string& input) {
  const BatchPaths paths(results);
  const std::optional<struct stat> read = StatOf(input);
  std::vector<std::pair<std::string, struct stat>> seen;
  for (const std::string& path : {paths.results, paths.errors, paths.job, paths.journal}) {
    SLUICE_RETURN_IF_ERROR(CheckRegular(path));
    const std::optional<struct stat> info = StatOf(path);
    if (!info.has_value()) continue;
    const auto same = [&](const struct stat& other) {
      return info->st_dev == other.st_dev && info->st_ino == other.st_ino;
    };
    if (read.has_value() && same(*read)) {
      return absl::InvalidArgumentError(absl::StrCat(
          input, " is the input, and the job would write to it as ", path, "; give another -o"));
    }
    for (const auto& [other_path, other] : seen) {
      if (!same(other)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(other_path, " and ", path, " are the same file; give another -o"));
    }
    seen.emplace_back(path, *info);
  }
  return absl::OkStatus();
}

}  // namespace sluice
