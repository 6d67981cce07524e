// Every pointer begins with the version of its format (git-lfs, docs/spec.md).
#include "storage/file/lfs_pointer.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr absl::string_view kPointerStart = "version https://";
constexpr size_t kLeastStart = 8;

}  // namespace

absl::Status CheckNoLfsPointer(absl::string_view start, absl::string_view path) {
  const absl::string_view looked_at = start.substr(0, kPointerStart.size());
  if (looked_at.size() < kLeastStart || !absl::StartsWith(kPointerStart, looked_at))
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      path, " is a Git LFS pointer, not the file; fetch the file with `git lfs pull`"));
}

}  // namespace sluice
