// Reads and writes through a pool of threads, each in one pread or pwrite: for systems that do not permit io_uring.
#ifndef SLUICE_PREFETCH_THREAD_ENGINE_H_
#define SLUICE_PREFETCH_THREAD_ENGINE_H_

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"
#include "prefetch/io_engine.h"
#include "prefetch/io_file.h"
#include "prefetch/read_queue.h"

namespace sluice {

// Owns as many threads "sluice-io" as calls may be in flight.
class ThreadEngine : public IoEngine {
 public:
  // `reason`: why not io_uring, for description(); empty where these threads were asked for.
  ThreadEngine(std::vector<IoFile> files, absl::string_view reason, const IoOptions& options);
  ~ThreadEngine() override;

  void Submit(IoRequest request) override;
  IoCounters counters() const override { return queue_.counters(); }
  const std::string& description() const override { return description_; }

 private:
  void Run();

  const std::vector<IoFile> files_;
  ReadQueue queue_;
  std::string description_;
  std::vector<std::thread> threads_;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_THREAD_ENGINE_H_
