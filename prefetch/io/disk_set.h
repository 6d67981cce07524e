// Files on several disks: an engine with a queue of its own for each.
#ifndef SLUICE_PREFETCH_IO_DISK_SET_H_
#define SLUICE_PREFETCH_IO_DISK_SET_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/base/mutex.h"
#include "prefetch/io/io_engine.h"
#include "prefetch/io/io_file.h"

namespace sluice {

// Hands each request to the engine of its file's disk: what waits for one disk holds no other up.
// Disks are told apart by the device number of the file system. IoOptions are those of each disk,
// its speed where it is simulated, too.
class DiskSet : public IoEngine {
 public:
  // The numbers of the files on each disk, by the number of the first.
  static std::vector<std::vector<int>> GroupByDisk(absl::Span<const IoFile> files);

  // Where a file went: its engine, and its number there.
  struct Place {
    int engine;
    int file;
  };
  // `places`: of each file, in the order of the caller's numbers.
  DiskSet(std::vector<std::unique_ptr<IoEngine>> engines, std::vector<Place> places);
  ~DiskSet() override;

  void Submit(IoRequest request) override;
  // Bytes of all disks; seconds of the one that was busy for the longest time.
  IoCounters counters() const override;
  const std::string& description() const override { return description_; }

 private:
  const std::vector<Place> places_;
  std::string description_;
  Mutex mutex_;
  // Changed by the destructor only, after closing_.
  std::vector<std::unique_ptr<IoEngine>> engines_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_IO_DISK_SET_H_
