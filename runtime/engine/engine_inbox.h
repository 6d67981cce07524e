// Work for an Engine from any thread: requests, cancellations, pauses, taken up between two passes.
#ifndef SLUICE_RUNTIME_ENGINE_ENGINE_INBOX_H_
#define SLUICE_RUNTIME_ENGINE_ENGINE_INBOX_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "kernels/base/mutex.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/request_error.h"

namespace sluice {

// One thread calls Run and is the only one that touches the engine; callbacks of requests come on
// that thread. All other functions are for any thread, and return at once but for Pause.
class EngineInbox {
 public:
  // `engine` must outlive this.
  explicit EngineInbox(Engine* engine) : engine_(engine) {}
  EngineInbox(const EngineInbox&) = delete;
  EngineInbox& operator=(const EngineInbox&) = delete;

  // Queues a request and returns its ticket, or what is wrong with it. on_finish is called unless
  // the request is cancelled or Run ends before.
  std::variant<int64_t, RequestError> Submit(SequenceRequest request);
  // Forgets a request; on_finish is not called from the next pass on. A ticket that is unknown or
  // whose request has finished is ignored.
  void Cancel(int64_t ticket);

  // Returns once no pass runs and none will begin until Resume. Not for the thread of Run.
  void Pause();
  void Resume();
  // Run returns behind the pass that runs.
  void Stop();

  // Runs passes as long as there is work, and waits where there is none, until Stop. `stop` also
  // ends a pass that runs (Cancelled). Errors are Engine::Step's, after which no request goes on.
  // `on_step` is called behind each pass, on the thread of Run, before the next one begins.
  absl::Status Run(const std::atomic<bool>* stop = nullptr,
                   const std::function<void(const StepReport&)>& on_step = nullptr);

 private:
  struct Arrival {
    int64_t ticket;
    std::optional<SequenceRequest> request;  // nothing: the ticket is cancelled
  };

  // Waits until there is something to do. False: Stop was called.
  bool WaitForWork();
  // Hands what has arrived to the engine.
  void TakeArrivals();

  Engine* const engine_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<Arrival> arrivals_ ABSL_GUARDED_BY(mutex_);
  int64_t last_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  int pauses_ ABSL_GUARDED_BY(mutex_) = 0;
  bool in_pass_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  // Of requests that the engine has; only the thread of Run uses it.
  std::map<int64_t, int64_t> id_of_ticket_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_ENGINE_ENGINE_INBOX_H_
