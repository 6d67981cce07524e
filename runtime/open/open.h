// The library's front door: one call from a store's folder to an engine that answers.
#ifndef SLUICE_RUNTIME_OPEN_OPEN_H_
#define SLUICE_RUNTIME_OPEN_OPEN_H_

#include <cstdint>
#include <ctime>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/chat/chat_front.h"
#include "runtime/constrain/constraints.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/engine_inbox.h"
#include "runtime/open/open_note.h"
#include "runtime/open/open_options.h"
#include "runtime/open/plan_report.h"
#include "runtime/open/session.h"
#include "runtime/openai/prompt_encoder.h"
#include "runtime/pass/memory_plan.h"

namespace sluice {

// What opening found out.
struct OpenReport {
  std::vector<OpenNote> notes;  // that were given to OpenOptions::on_note, too
  // The plan, and the floor of a pass by what a probe knew of this machine
  PlanReport plan;
};

// A store that is open, and a model that is loaded. Its parts point at each other, so that it stays
// where it is.
struct Opened {
  OpenOptions options;
  Session session;
  // An error: that of each chat. NotFound where the store has no chat template.
  absl::StatusOr<ChatFront> chats = absl::UnknownError("");
  std::unique_ptr<Constraints> constraints;
  std::unique_ptr<Engine> engine;
  // The engine's work from other threads: one thread calls inbox->Run(), and the engine is not
  // called directly then.
  std::unique_ptr<EngineInbox> inbox;
  OpenReport report;

  // Null: the store has none, and prompts are token ids.
  const Tokenizer* tokenizer() const { return session.tokenizer.get(); }
  const MemoryPlan& plan() const { return session.model->plan(); }
  // From prompts of any form to token ids, within the budget: one prompt at a time. Templates see
  // the local time of `now`. Must not outlive this.
  PromptEncoder EncoderAt(std::time_t now) const;
};

// Opens `options.store`, its tokenizer and the device, plans within the budget and starts the
// model. An option of 0 for max_ram_bytes or num_threads is this machine's default: 80% of the free
// memory, or a thread a physical core. Nothing is measured; what options.probe_file remembers of
// this machine is used.
//
// The thread that calls this is the one that runs passes (Engine::Step, EngineInbox::Run): the
// device and the CPUs of options.placement are chosen for it. Errors name the file or the option:
// NotFound, FailedPrecondition, DataLoss (the store), ResourceExhausted (the budget is too small;
// the message has the smallest that works), InvalidArgument.
absl::StatusOr<std::unique_ptr<Opened>> Open(OpenOptions options);

// What Open would plan, without starting the model.
absl::StatusOr<PlanReport> PlanOnly(OpenOptions options);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPEN_OPEN_H_
