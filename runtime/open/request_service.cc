// The engine's thread hands events over; the callers' threads hand requests to its inbox.
#include "runtime/open/request_service.h"

#include <algorithm>
#include <ctime>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/exception_status.h"
#include "kernels/base/format_bytes.h"
#include "kernels/base/status_macros.h"
#include "runtime/constrain/constraints.h"
#include "runtime/open/request_room.h"
#include "runtime/openai/completion_request.h"
#include "runtime/openai/prepared_request.h"

namespace sluice {
namespace {

// As much as systems give a main thread: the store's tokenizer and chat template are parsed there.
constexpr int64_t kEngineStackBytes = int64_t{8} << 20;

ApiError Stopped(const absl::Status& status) {
  return {.message = absl::StrCat("the engine has stopped: ", status.message()),
          .param = "",
          .code = "engine_stopped",
          .type = "server_error",
          .status_code = 500};
}

}  // namespace

// A request that is being answered. Its tickets and whether it is forgotten are guarded by the
// service's mutex; choices and how many are finished are the engine's thread's after Submit.
struct RequestService::Flight : PreparedRequest {
  int64_t id = 0;
  std::time_t created = 0;
  uint64_t seed = 0;
  int64_t bytes = 0;             // RequestBytes
  std::vector<int64_t> tickets;  // of the engine's inbox, a choice
  int64_t finished = 0;          // choices
  bool forgotten = false;        // cancelled, or failed with the engine
};

absl::StatusOr<std::unique_ptr<RequestService>> RequestService::Start(OpenOptions options) {
  std::unique_ptr<RequestService> service(new RequestService);
  SLUICE_ASSIGN_OR_RETURN(service->thread_,
                          Thread::Start(
                              "sluice-engine",
                              [raw = service.get(), options = std::move(options)]() mutable {
                                raw->Serve(std::move(options));
                              },
                              kEngineStackBytes));
  {
    const MutexLock lock(&service->mutex_);
    while (service->state_ == State::kOpening) service->changed_.Wait(&service->mutex_);
    if (service->opened_ != nullptr) return service;
  }
  return service->status();
}

RequestService::~RequestService() {
  stop_.store(true);
  bool serves;
  {
    const MutexLock lock(&mutex_);
    serves = state_ == State::kServing;
  }
  if (serves) opened_->inbox->Stop();
  thread_.Join();
}

void RequestService::Serve(OpenOptions options) {
  const absl::Status status = CatchExceptions([&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Opened> opened, Open(std::move(options)));
    {
      const MutexLock lock(&mutex_);
      opened_ = std::move(opened);
      state_ = State::kServing;
      changed_.NotifyAll();
    }
    return opened_->inbox->Run(&stop_, [this](const StepReport& step) { NoteStep(step); });
  });
  End(status.ok() ? absl::CancelledError("it was closed") : status);
}

void RequestService::End(const absl::Status& status) {
  const MutexLock lock(&mutex_);
  state_ = State::kEnded;
  ended_ = status;
  // The end may have come with the memory's: what cannot be told is left out.
  CatchExceptions([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    TellEnds();
    for (const auto& [id, flight] : flights_) {
      flight->forgotten = true;
      events_.push_back({.request = id,
                         .kind = RequestEvent::Kind::kFailed,
                         .text = "",
                         .error = Stopped(status)});
    }
    return absl::OkStatus();
  }).IgnoreError();
  flights_.clear();
  changed_.NotifyAll();
}

std::optional<ApiError> RequestService::TakeRoom(const Flight& flight) {
  const int64_t room = opened_->plan().request.requests_bytes - opened_->options.kept_bytes;
  if (flight.bytes > room) {
    return ApiError{.message = absl::StrCat("the request and its answers take up to ",
                                            FormatBytes(flight.bytes), ", and ", FormatBytes(room),
                                            " are set aside for requests; ask for fewer tokens or "
                                            "choices, or open the model with more max_sequences"),
                    .param = flight.request.n > 1 ? "n" : "max_tokens",
                    .code = "request_too_large"};
  }
  const bool grammar = flight.constraint != nullptr;
  if (held_bytes_ + flight.bytes > room ||
      (grammar && held_grammars_ == GrammarsAtOnce(opened_->options.max_sequences))) {
    return ApiError{.message = absl::StrCat(rooms_.size(),
                                            " requests fill the room that is set "
                                            "aside for them; try again when one has been answered"),
                    .param = "",
                    .code = "queue_full",
                    .type = "server_error",
                    .status_code = 503};
  }
  rooms_.emplace(flight.id, Room{flight.bytes, grammar});
  held_bytes_ += flight.bytes;
  held_grammars_ += grammar;
  return std::nullopt;
}

void RequestService::GiveRoomBack(int64_t request) {
  const auto node = rooms_.extract(request);
  if (node.empty()) return;
  held_bytes_ -= node.mapped().bytes;
  held_grammars_ -= node.mapped().grammar;
}

void RequestService::NoteStep(const StepReport& step) {
  const Model& model = *opened_->session.model;
  const PassCounters passes = model.pass_counters();
  const int64_t bytes_read = model.stream_counters().io.bytes_read;
  const Speculator* const speculator = opened_->session.speculator.get();
  SpeculationCounters drafts;
  if (speculator != nullptr) drafts = speculator->counters();
  const MutexLock lock(&mutex_);
  statistics_.passes = passes.passes;
  statistics_.rows = passes.rows;
  statistics_.tokens += step.tokens;
  statistics_.bytes_read = bytes_read;
  statistics_.pass_seconds = passes.pass_seconds;
  statistics_.disk_wait_seconds = passes.wait_disk_seconds;
  statistics_.draft_rows = drafts.draft_rows;
  statistics_.accepted_rows =
      std::accumulate(drafts.accepted_by_depth.begin(), drafts.accepted_by_depth.end(), int64_t{0});
  statistics_.draft_seconds = drafts.draft_seconds;
  statistics_.speculation_gain = drafts.gain;
  if (drafts.sequences > 0) {
    statistics_.tokens_per_pass =
        static_cast<double>(drafts.tokens) / static_cast<double>(drafts.sequences);
  }
  TellEnds();
}

std::optional<ApiError> RequestService::PrepareFlight(absl::string_view body, Flight* flight) {
  const MutexLock lock(&encoding_mutex_);
  flight->created = std::time(nullptr);
  const PromptEncoder encoder = opened_->EncoderAt(flight->created);
  std::variant<CompletionRequest, ApiError> parsed = ParseRequestBody(body, encoder.max_bytes());
  if (ApiError* const error = std::get_if<ApiError>(&parsed); error != nullptr) {
    return std::move(*error);
  }
  flight->request = std::get<CompletionRequest>(std::move(parsed));
  if (flight->request.grammar.has_value()) {
    const int64_t room = opened_->options.grammar_bytes;
    const GrammarText& grammar = *flight->request.grammar;
    const absl::StatusOr<int64_t> bytes =
        opened_->constraints->Knows(grammar) ? 0 : CheckGrammar(grammar);
    if (bytes.ok() && *bytes > room) {
      return ApiError{.message = absl::StrCat("the grammar takes ", FormatBytes(*bytes),
                                              " of memory, and ", FormatBytes(room),
                                              " are set aside for grammars; open the model with "
                                              "more grammar_bytes"),
                      .param = grammar.kind == GrammarKind::kGbnf ? "grammar" : "response_format",
                      .code = "out_of_memory"};
    }
  }
  const int64_t context_tokens = opened_->plan().request.context_tokens;
  std::optional<ApiError> error =
      Prepare(encoder, *opened_->engine, context_tokens, opened_->constraints.get(), flight);
  if (!error.has_value()) flight->bytes = RequestBytes(*flight, context_tokens);
  return error;
}

SequenceRequest RequestService::SequenceFor(const std::shared_ptr<Flight>& flight, int64_t choice) {
  SequenceRequest request = SequenceOf(*flight, choice, flight->seed);
  request.on_token = [this, flight, choice](int32_t token, absl::string_view text) {
    TakeToken(*flight, choice, token, text);
  };
  request.on_finish = [this, flight, choice](SequenceResult result) {
    TakeResult(*flight, choice, std::move(result));
  };
  return request;
}

std::variant<int64_t, ApiError> RequestService::Submit(absl::string_view body) {
  const auto flight = std::make_shared<Flight>();
  if (std::optional<ApiError> error = PrepareFlight(body, flight.get()); error.has_value()) {
    return *std::move(error);
  }
  {
    const MutexLock lock(&mutex_);
    if (state_ == State::kEnded) return Stopped(ended_);
    flight->id = ++last_request_;
    if (std::optional<ApiError> error = TakeRoom(*flight); error.has_value()) {
      return *std::move(error);
    }
  }
  // Without a seed, requests differ from each other, and are the same in the next run.
  flight->seed = static_cast<uint64_t>(flight->id);
  std::vector<SequenceRequest> sequences;
  for (int64_t choice = 0; choice < static_cast<int64_t>(flight->choices.size()); ++choice) {
    sequences.push_back(SequenceFor(flight, choice));
  }
  const MutexLock lock(&mutex_);
  for (SequenceRequest& sequence : sequences) {
    // The engine's thread waits for the mutex before it can tell of the request.
    std::variant<int64_t, RequestError> ticket = opened_->inbox->Submit(std::move(sequence));
    if (RequestError* const error = std::get_if<RequestError>(&ticket); error != nullptr) {
      flight->forgotten = true;
      for (const int64_t submitted : flight->tickets) opened_->inbox->Cancel(submitted);
      GiveRoomBack(flight->id);
      return ToApiError(std::move(*error));
    }
    flight->tickets.push_back(std::get<int64_t>(ticket));
  }
  if (state_ == State::kEnded) return Stopped(ended_);
  flights_.emplace(flight->id, flight);
  return flight->id;
}

void RequestService::Cancel(int64_t request) {
  const MutexLock lock(&mutex_);
  events_.erase(std::remove_if(events_.begin(), events_.end(),
                               [&](const RequestEvent& e) { return e.request == request; }),
                events_.end());
  ends_.erase(std::remove_if(ends_.begin(), ends_.end(),
                             [&](const RequestEvent& e) { return e.request == request; }),
              ends_.end());
  GiveRoomBack(request);
  const auto node = flights_.extract(request);
  if (node.empty()) return;
  Flight& flight = *node.mapped();
  flight.forgotten = true;
  for (const int64_t ticket : flight.tickets) opened_->inbox->Cancel(ticket);
}

std::optional<RequestEvent> RequestService::Poll(std::chrono::nanoseconds timeout) {
  constexpr std::chrono::nanoseconds kLongest = std::chrono::hours(24);
  const auto end =
      std::chrono::system_clock::now() +
      std::chrono::duration_cast<std::chrono::system_clock::duration>(std::min(timeout, kLongest));
  const MutexLock lock(&mutex_);
  while (events_.empty()) {
    if (timeout <= std::chrono::nanoseconds(0) || changed_.WaitUntil(&mutex_, end)) break;
  }
  if (events_.empty()) return std::nullopt;
  RequestEvent event = std::move(events_.front());
  events_.pop_front();
  if (event.kind != RequestEvent::Kind::kToken) GiveRoomBack(event.request);
  return event;
}

void RequestService::TakeToken(const Flight& flight, int64_t choice, int32_t token,
                               absl::string_view text) {
  const MutexLock lock(&mutex_);
  if (flight.forgotten) return;
  events_.push_back({.request = flight.id,
                     .kind = RequestEvent::Kind::kToken,
                     .choice = choice,
                     .token = token,
                     .text = std::string(text),
                     .error = {}});
  changed_.NotifyAll();
}

void RequestService::TakeResult(Flight& flight, int64_t choice, SequenceResult result) {
  // Only this thread touches the choices.
  flight.choices[choice].result = std::move(result);
  if (++flight.finished < static_cast<int64_t>(flight.choices.size())) return;
  RequestEvent event = {.request = flight.id, .text = "", .error = {}};
  if (std::optional<ApiError> error = ErrorOfChoices(flight); error.has_value()) {
    event.kind = RequestEvent::Kind::kFailed;
    event.error = *std::move(error);
  } else {
    event.kind = RequestEvent::Kind::kFinished;
    WriteAnswer(flight, absl::StrFormat("cmpl-%x-%d", flight.created, flight.id), flight.created,
                opened_->tokenizer(),
                [&](absl::string_view piece) { absl::StrAppend(&event.text, piece); });
  }
  const MutexLock lock(&mutex_);
  if (flight.forgotten) return;
  flights_.erase(flight.id);
  ends_.push_back(std::move(event));
}

void RequestService::TellEnds() {
  for (RequestEvent& event : ends_) events_.push_back(std::move(event));
  ends_.clear();
  changed_.NotifyAll();
}

absl::StatusOr<std::vector<float>> RequestService::Logits(std::vector<int32_t> prompt) {
  struct Taken {
    std::vector<float> logits;
    absl::Status status;
    bool done = false;
  };
  const auto taken = std::make_shared<Taken>();  // the engine may tell of it after an error
  SequenceRequest request;
  request.prompt = std::move(prompt);
  request.max_new_tokens = 1;
  request.sampler.temperature = 0;
  request.on_logits = [taken](absl::Span<const float> logits) {
    taken->logits.assign(logits.begin(), logits.end());
  };
  request.on_finish = [this, taken](SequenceResult result) {
    const MutexLock lock(&mutex_);
    taken->status = std::move(result.status);
    taken->done = true;
    changed_.NotifyAll();
  };
  std::variant<int64_t, RequestError> ticket = opened_->inbox->Submit(std::move(request));
  if (const RequestError* const error = std::get_if<RequestError>(&ticket); error != nullptr) {
    return absl::InvalidArgumentError(error->message);
  }
  const MutexLock lock(&mutex_);
  while (!taken->done && state_ != State::kEnded) changed_.Wait(&mutex_);
  if (!taken->done) return ended_;
  SLUICE_RETURN_IF_ERROR(taken->status);
  return std::move(taken->logits);
}

ServiceStatistics RequestService::Statistics() const {
  const MutexLock lock(&mutex_);
  return statistics_;
}

absl::Status RequestService::status() const {
  const MutexLock lock(&mutex_);
  return ended_;
}

}  // namespace sluice
