// The loop around Engine::Step.
#include "runtime/engine/engine_inbox.h"

#include "kernels/base/status_macros.h"

namespace sluice {

std::variant<int64_t, RequestError> EngineInbox::Submit(SequenceRequest request) {
  // What Check reads of the engine never changes.
  if (std::optional<RequestError> error = engine_->Check(request); error.has_value()) {
    return *std::move(error);
  }
  const MutexLock lock(&mutex_);
  const int64_t ticket = ++last_ticket_;
  arrivals_.push_back({ticket, std::move(request)});
  changed_.NotifyAll();
  return ticket;
}

void EngineInbox::Cancel(int64_t ticket) {
  const MutexLock lock(&mutex_);
  arrivals_.push_back({ticket, std::nullopt});
  changed_.NotifyAll();
}

void EngineInbox::Pause() {
  const MutexLock lock(&mutex_);
  ++pauses_;
  while (in_pass_) changed_.Wait(&mutex_);
}

void EngineInbox::Resume() {
  const MutexLock lock(&mutex_);
  --pauses_;
  changed_.NotifyAll();
}

void EngineInbox::Stop() {
  const MutexLock lock(&mutex_);
  stopped_ = true;
  changed_.NotifyAll();
}

bool EngineInbox::WaitForWork() {
  const MutexLock lock(&mutex_);
  in_pass_ = false;
  changed_.NotifyAll();
  while (!stopped_ && (pauses_ > 0 || (arrivals_.empty() && engine_->idle()))) {
    changed_.Wait(&mutex_);
  }
  in_pass_ = !stopped_;
  return in_pass_;
}

void EngineInbox::TakeArrivals() {
  std::vector<Arrival> arrivals;
  {
    const MutexLock lock(&mutex_);
    arrivals.swap(arrivals_);
  }
  for (Arrival& arrival : arrivals) {
    const int64_t ticket = arrival.ticket;
    if (!arrival.request.has_value()) {
      const auto found = id_of_ticket_.find(ticket);
      if (found == id_of_ticket_.end()) continue;
      engine_->Cancel(found->second);
      id_of_ticket_.erase(found);
      continue;
    }
    auto on_finish = std::move(arrival.request->on_finish);
    arrival.request->on_finish = [this, ticket, on_finish](SequenceResult result) {
      id_of_ticket_.erase(ticket);
      if (on_finish) on_finish(std::move(result));
    };
    const absl::StatusOr<int64_t> id = engine_->Submit(*std::move(arrival.request));
    if (id.ok()) {
      id_of_ticket_[ticket] = *id;
    } else if (on_finish) {
      SequenceResult refused;
      refused.status = id.status();
      on_finish(std::move(refused));
    }
  }
}

absl::Status EngineInbox::Run(const std::atomic<bool>* stop,
                              const std::function<void(const StepReport&)>& on_step) {
  while (WaitForWork()) {
    TakeArrivals();
    const absl::StatusOr<StepReport> step = engine_->Step(stop);
    if (step.ok()) {
      if (on_step) on_step(*step);
      continue;
    }
    const MutexLock lock(&mutex_);
    in_pass_ = false;
    stopped_ = true;
    changed_.NotifyAll();
    return step.status();
  }
  return absl::OkStatus();
}

}  // namespace sluice
