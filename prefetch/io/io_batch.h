// Requests to an I/O engine that are waited for together.
#ifndef SLUICE_PREFETCH_IO_IO_BATCH_H_
#define SLUICE_PREFETCH_IO_IO_BATCH_H_

#include <vector>

#include "absl/status/status.h"
#include "kernels/base/mutex.h"
#include "prefetch/io/io_engine.h"

namespace sluice {

// For one thread at a time, again and again. The engine must be alive while something is submitted
// and not waited for.
class IoBatch {
 public:
  explicit IoBatch(IoEngine* engine) : engine_(engine) {}
  ~IoBatch() { Wait(); }

  // Sets the request's `done`.
  void Submit(IoRequest request);
  // Waits for everything since the last call; an answer each, in the order of Submit.
  std::vector<absl::Status> Wait();

 private:
  IoEngine* const engine_;
  Mutex mutex_;
  CondVar answered_;                                            // signalled when pending_ becomes 0
  int pending_ ABSL_GUARDED_BY(mutex_) = 0;                     // requests not yet answered
  std::vector<absl::Status> statuses_ ABSL_GUARDED_BY(mutex_);  // a request each
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_IO_IO_BATCH_H_
