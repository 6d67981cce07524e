// Opens the files and picks the engine.
#include "prefetch/io/io_engine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "prefetch/io/disk_set.h"
#include "prefetch/io/io_file.h"
#include "prefetch/io/thread_engine.h"
#include "prefetch/io/uring_engine.h"

namespace sluice {
namespace {

// Creates one engine, with one queue, for all of `files`.
absl::StatusOr<std::unique_ptr<IoEngine>> EngineFor(std::vector<IoFile> files,
                                                    absl::Span<const absl::Span<std::byte>> buffers,
                                                    const IoOptions& options) {
  std::string reason;
  if (options.kind != IoKind::kThreads) {
    absl::StatusOr<std::unique_ptr<IoEngine>> uring = UringEngine::Create(&files, buffers, options);
    // If no thread starts for io_uring, the other engine's threads would not start, either.
    if (uring.ok() || options.kind == IoKind::kUring || absl::IsResourceExhausted(uring.status()))
      return uring;
    reason = std::string(uring.status().message());
  }
  return ThreadEngine::Create(std::move(files), reason, options);
}

}  // namespace

absl::StatusOr<IoKind> ParseIoKind(absl::string_view name) {
  if (name == "auto") return IoKind::kAuto;
  if (name == "uring") return IoKind::kUring;
  if (name == "threads") return IoKind::kThreads;
  return absl::InvalidArgumentError(
      absl::StrCat("unknown I/O engine '", name, "': auto, uring or threads"));
}

absl::StatusOr<std::unique_ptr<IoEngine>> IoEngine::Create(
    const std::vector<std::string>& paths, absl::Span<const absl::Span<std::byte>> buffers,
    const IoOptions& options) {
  std::vector<IoFile> files;
  for (const std::string& path : paths) {
    SLUICE_ASSIGN_OR_RETURN(IoFile file, IoFile::Open(path, options.direct));
    files.push_back(std::move(file));
  }
  if (!options.scratch_dir.empty()) {
    SLUICE_ASSIGN_OR_RETURN(IoFile file,
                            IoFile::CreateScratch(options.scratch_dir, options.direct));
    files.push_back(std::move(file));
  }
  const std::vector<std::vector<int>> disks = DiskSet::GroupByDisk(files);
  if (disks.size() <= 1) return EngineFor(std::move(files), buffers, options);
  std::vector<std::unique_ptr<IoEngine>> engines;
  std::vector<DiskSet::Place> places(files.size());
  for (const std::vector<int>& disk : disks) {
    std::vector<IoFile> its_files;
    for (const int file : disk) {
      places[file] = {static_cast<int>(engines.size()), static_cast<int>(its_files.size())};
      its_files.push_back(std::move(files[file]));
    }
    SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<IoEngine> engine,
                            EngineFor(std::move(its_files), buffers, options));
    engines.push_back(std::move(engine));
  }
  return std::make_unique<DiskSet>(std::move(engines), std::move(places));
}

}  // namespace sluice
