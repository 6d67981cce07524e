// An engine that fails the requests of one of its files.
#ifndef SLUICE_TESTS_RUNTIME_FAULTY_FILE_H_
#define SLUICE_TESTS_RUNTIME_FAULTY_FILE_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "prefetch/io/io_engine.h"
#include "prefetch/slab_stream.h"

namespace sluice {

// kWrites and kReads end as Unavailable without having been carried out; kFlips reads, and the last
// byte is wrong.
class FaultyFile : public IoEngine {
 public:
  enum class Fault { kWrites, kReads, kFlips };

  // Engines whose scratch file, the one behind all that are named, fails so from its `first` such
  // request on (1 is the first of all).
  static SlabStream::EngineFactory Scratch(Fault fault, int first) {
    return [fault, first](const std::vector<std::string>& paths,
                          absl::Span<const absl::Span<std::byte>> buffers,
                          const IoOptions& options) -> absl::StatusOr<std::unique_ptr<IoEngine>> {
      auto engine = IoEngine::Create(paths, buffers, options);
      if (!engine.ok()) return engine.status();
      return std::make_unique<FaultyFile>(*std::move(engine), static_cast<int>(paths.size()), fault,
                                          first);
    };
  }

  FaultyFile(std::unique_ptr<IoEngine> engine, int file, Fault fault, int first)
      : file_(file), fault_(fault), first_(first), engine_(std::move(engine)) {}

  void Submit(IoRequest request) override {
    const bool counts = request.file == file_ && request.write == (fault_ == Fault::kWrites);
    if (!counts || ++seen_ < first_) return engine_->Submit(std::move(request));
    if (fault_ != Fault::kFlips) {
      return request.done(
          absl::UnavailableError(request.write ? "injected ENOSPC" : "injected EIO"));
    }
    request.done = [done = std::move(request.done),
                    byte = &request.buffer.back()](absl::Status status) {
      *byte ^= std::byte{4};
      done(std::move(status));
    };
    engine_->Submit(std::move(request));
  }
  IoCounters counters() const override { return engine_->counters(); }
  const std::string& description() const override { return engine_->description(); }

 private:
  const int file_;
  const Fault fault_;
  const int first_;
  std::atomic<int> seen_ = 0;
  std::unique_ptr<IoEngine> engine_;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_RUNTIME_FAULTY_FILE_H_
