// Files on several disks: each disk has an engine with a queue of its own.
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

// Hands each request to the engine of its file's disk, so that a wait for one disk holds up no
// other. Disks are told apart by the device number of the file system. IoOptions, with the speed of
// a simulated disk, hold for each disk.
class DiskSet : public IoEngine {
 public:
  // Returns the numbers of the files on each disk; the disks are in the order of their first file.
  static std::vector<std::vector<int>> GroupByDisk(absl::Span<const IoFile> files);

  // The engine that a file went to, and its number there.
  struct Place {
    int engine;
    int file;
  };
  // `places`: where each file went, in the order of the caller's numbers.
  DiskSet(std::vector<std::unique_ptr<IoEngine>> engines, std::vector<Place> places);
  ~DiskSet() override;

  void Submit(IoRequest request) override;
  // Bytes are those of all disks, seconds those of the disk that was busy for the longest time.
  IoCounters counters() const override;
  const std::string& description() const override { return description_; }

 private:
  const std::vector<Place> places_;
  std::string description_;
  Mutex mutex_;
  // Only the destructor changes it, after closing_.
  std::vector<std::unique_ptr<IoEngine>> engines_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_IO_DISK_SET_H_
