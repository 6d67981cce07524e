// Requests to an I/O engine that are waited for together.
#ifndef SLUICE_PREFETCH_IO_IO_BATCH_H_
#define SLUICE_PREFETCH_IO_IO_BATCH_H_

#include <vector>

#include "absl/status/status.h"
#include "kernels/base/mutex.h"
#include "prefetch/io/io_engine.h"

namespace sluice {

// May be used again and again, by one thread at a time. The engine must be alive while something is
// submitted and not waited for.
class IoBatch {
 public:
  explicit IoBatch(IoEngine* engine) : engine_(engine) {}
  ~IoBatch() { Wait(); }

  // Submits a request; the batch sets its `done`.
  void Submit(IoRequest request);
  // Waits for everything that was submitted since the last call. Returns a status for each request,
  // in the order of Submit().
  std::vector<absl::Status> Wait();

 private:
  IoEngine* const engine_;
  Mutex mutex_;
  CondVar answered_;                                            // signalled when pending_ becomes 0
  int pending_ ABSL_GUARDED_BY(mutex_) = 0;                     // requests not yet answered
  std::vector<absl::Status> statuses_ ABSL_GUARDED_BY(mutex_);  // one for each request
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_IO_IO_BATCH_H_
