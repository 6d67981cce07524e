// Passes requests on to the engine of their disk, under the file's number there.
#include "prefetch/io/disk_set.h"

#include <algorithm>

#include "absl/base/macros.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice {

std::vector<std::vector<int>> DiskSet::GroupByDisk(absl::Span<const IoFile> files) {
  std::vector<std::vector<int>> disks;
  for (size_t i = 0; i < files.size(); ++i) {
    const auto disk = std::find_if(disks.begin(), disks.end(), [&](const std::vector<int>& other) {
      return files[other[0]].disk() == files[i].disk();
    });
    (disk != disks.end() ? *disk : disks.emplace_back()).push_back(static_cast<int>(i));
  }
  return disks;
}

DiskSet::DiskSet(std::vector<std::unique_ptr<IoEngine>> engines, std::vector<Place> places)
    : places_(std::move(places)), engines_(std::move(engines)) {
  description_ = absl::StrCat(engines_.size(), " disks");
  for (const std::unique_ptr<IoEngine>& engine : engines_) {
    absl::StrAppend(&description_, "; ", engine->description());
  }
}

DiskSet::~DiskSet() {
  {
    // From here on no engine's answer makes a request of another engine.
    const MutexLock lock(&mutex_);
    closing_ = true;
  }
  engines_.clear();
}

void DiskSet::Submit(IoRequest request) {
  ABSL_ASSERT(request.file >= 0 && request.file < static_cast<int>(places_.size()));
  {
    const MutexLock lock(&mutex_);
    if (!closing_) {
      const Place& place = places_[request.file];
      request.file = place.file;
      engines_[place.engine]->Submit(std::move(request));
      return;
    }
  }
  request.done(absl::CancelledError("the engine was closed"));
}

IoCounters DiskSet::counters() const {
  IoCounters all;
  for (const std::unique_ptr<IoEngine>& engine : engines_) {
    const IoCounters disk = engine->counters();
    all.bytes_read += disk.bytes_read;
    all.bytes_written += disk.bytes_written;
    if (disk.busy_seconds >= all.busy_seconds) {
      all.busy_seconds = disk.busy_seconds;
      all.idle_seconds = disk.idle_seconds;
    }
  }
  return all;
}

}  // namespace sluice
