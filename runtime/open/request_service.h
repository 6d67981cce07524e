// Requests in JSON, from any thread, answered by one engine on a thread of its own.
#ifndef SLUICE_RUNTIME_OPEN_REQUEST_SERVICE_H_
#define SLUICE_RUNTIME_OPEN_REQUEST_SERVICE_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/base/mutex.h"
#include "kernels/cpu/thread.h"
#include "runtime/open/open.h"
#include "runtime/openai/api_error.h"

namespace sluice {

// What has become of a request.
struct RequestEvent {
  enum class Kind : uint8_t {
    kToken,     // a token was chosen
    kFinished,  // the last event: the answer
    kFailed,    // the last event: there is no answer
  };
  int64_t request = 0;
  Kind kind = Kind::kToken;
  int64_t choice = 0;  // kToken: index of the answer's choice
  int32_t token = 0;   // kToken: its id
  // kToken: the text that is certain by now, maybe none. kFinished: the JSON body of the answer.
  std::string text;
  ApiError error;  // kFailed
};

// What the engine has done since the service began.
struct ServiceStatistics {
  int64_t passes = 0;
  int64_t rows = 0;              // token rows of all passes
  int64_t tokens = 0;            // chosen
  int64_t bytes_read = 0;        // from the disk
  double pass_seconds = 0;       // inside passes
  double disk_wait_seconds = 0;  // of these, that computing waited for the disk
  // Of drafting, as Speculator::counters has them; 0 where nothing is drafted
  int64_t draft_rows = 0;      // nodes that passes computed
  int64_t accepted_rows = 0;   // of these, that became tokens
  double draft_seconds = 0;    // outside passes
  double tokens_per_pass = 1;  // that a sequence got from a pass in which it generated
  double speculation_gain = 1;
};

// The thread "sluice-engine" opens the model and runs its passes; it alone touches the model. All
// functions are for any thread and return without waiting for a pass, but for those that say
// otherwise. Events of requests are kept until Poll takes them.
class RequestService {
 public:
  // Opens as Open does, on the service's thread, which also calls options.on_note; returns when the
  // model is loaded. Errors are Open's.
  static absl::StatusOr<std::unique_ptr<RequestService>> Start(OpenOptions options);

  RequestService(const RequestService&) = delete;
  RequestService& operator=(const RequestService&) = delete;
  // Stops the pass that runs and joins the thread. Requests that are not finished are forgotten. No
  // other thread may be in a function of this.
  ~RequestService();

  // Queues the body of a request to /v1/completions, or, where it has messages, to
  // /v1/chat/completions, and returns its number (1, 2, ...). Encodes the prompt on the calling
  // thread; two requests are not encoded at once, so that they keep to the budget. ApiError: what
  // is wrong with it; code "engine_stopped" after an error of the engine; code "request_too_large"
  // where the plan has no room for it, and "queue_full" where it has once others are answered and
  // their last events were taken (RoomForRequests).
  std::variant<int64_t, ApiError> Submit(absl::string_view body);

  // Forgets a request: Poll gives no event of it from now on. A number that is unknown or whose
  // request has ended is ignored.
  void Cancel(int64_t request);

  // The oldest event, or nothing where none comes within `timeout`. Waits, a day at most. Several
  // threads may poll; each event goes to one of them.
  std::optional<RequestEvent> Poll(std::chrono::nanoseconds timeout);

  // The logits [vocab_size] behind the last token of `prompt`: waits for its passes.
  // InvalidArgument: what is wrong with the prompt.
  absl::StatusOr<std::vector<float>> Logits(std::vector<int32_t> prompt);

  ServiceStatistics Statistics() const;
  // OK, or the error that the engine stopped with.
  absl::Status status() const;

  // Never changes but for the engine's and the model's state, which are the service's own.
  const Opened& opened() const { return *opened_; }

 private:
  struct Flight;

  RequestService() = default;
  // The body of the thread.
  void Serve(OpenOptions options);
  void NoteStep(const StepReport& step);
  // All that is left has failed with `status`.
  void End(const absl::Status& status);
  std::optional<ApiError> PrepareFlight(absl::string_view body, Flight* flight);
  SequenceRequest SequenceFor(const std::shared_ptr<Flight>& flight, int64_t choice);
  // Takes the room that the request needs; an error where there is none.
  std::optional<ApiError> TakeRoom(const Flight& flight) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GiveRoomBack(int64_t request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeToken(const Flight& flight, int64_t choice, int32_t token, absl::string_view text);
  void TakeResult(Flight& flight, int64_t choice, SequenceResult result);
  void TellEnds() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // kOpening -> kServing -> kEnded, or kOpening -> kEnded; moved by the engine's thread alone.
  enum class State : uint8_t { kOpening, kServing, kEnded };

  mutable Mutex mutex_;
  CondVar changed_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kOpening;
  absl::Status ended_ ABSL_GUARDED_BY(mutex_);  // what opening or the engine ended with
  std::deque<RequestEvent> events_ ABSL_GUARDED_BY(mutex_);
  // Of the step that runs: told once its statistics are known.
  std::vector<RequestEvent> ends_ ABSL_GUARDED_BY(mutex_);
  std::map<int64_t, std::shared_ptr<Flight>> flights_ ABSL_GUARDED_BY(mutex_);
  // What requests take, until their last event was taken: by number.
  struct Room {
    int64_t bytes;
    bool grammar;
  };
  std::map<int64_t, Room> rooms_ ABSL_GUARDED_BY(mutex_);
  int64_t held_bytes_ ABSL_GUARDED_BY(mutex_) = 0;     // of all of them
  int64_t held_grammars_ ABSL_GUARDED_BY(mutex_) = 0;  // the same
  int64_t last_request_ ABSL_GUARDED_BY(mutex_) = 0;
  ServiceStatistics statistics_ ABSL_GUARDED_BY(mutex_);

  // Held while a prompt is encoded. Guards opened_->constraints.
  Mutex encoding_mutex_;
  std::unique_ptr<Opened> opened_;  // set before kServing
  std::atomic<bool> stop_{false};
  Thread thread_;  // joined before the rest goes
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPEN_REQUEST_SERVICE_H_
