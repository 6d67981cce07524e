// Session's steps, with the defaults of a library.
#include "runtime/open/open.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/open/pinned_plan.h"
#include "runtime/open/request_room.h"
#include "runtime/open/session_rates.h"

namespace sluice {
namespace {

// More would want more pages than their numbers can name.
constexpr int64_t kMostAllowedSequences = 1 << 20;

void FillDefaults(OpenOptions* options) {
  const int64_t budget = options->max_ram_bytes;
  UseBudget(budget > 0 ? std::optional<int64_t>(budget) : std::nullopt, options);
  if (options->num_threads == 0) UseAllCores(options);
  if (options->num_cores == 0) options->num_cores = options->num_threads;
  if (!options->probe_file.empty() && !options->probe.has_value()) RecallProbeFile(options);
  options->reads_prompts = true;
}

absl::StatusOr<MemoryPlan> PlanOf(const Session& session, const OpenOptions& options) {
  if (options.max_sequences < 1 || options.max_sequences > kMostAllowedSequences) {
    return absl::InvalidArgumentError(absl::StrCat("max_sequences is ", options.max_sequences,
                                                   "; it must be from 1 to ",
                                                   kMostAllowedSequences));
  }
  SLUICE_ASSIGN_OR_RETURN(PlanRequest request,
                          RequestFor(session, options, kPrefillRows, /*logits_of_all_rows=*/false));
  request.num_sequences = options.max_sequences;
  request.requests_bytes += RoomForRequests(options.max_sequences, request.context_tokens);
  if (options.grammar_bytes > 0) {
    request.constraint_bytes =
        Constraints::MemoryBytes(session.store->hyper_parameters().vocab_size,
                                 GrammarsAtOnce(options.max_sequences), options.grammar_bytes);
  }
  return PlanRequested(session, options, std::move(request));
}

PlanReport ReportOf(const Session& session, const OpenOptions& options, MemoryPlan plan) {
  MachineRates rates;
  if (ProbeKnowsStore(options, session)) rates = RememberedRates(options, session);
  return MakePlanReport(session, options, std::move(plan), std::move(rates));
}

}  // namespace

PromptEncoder Opened::EncoderAt(std::time_t now) const {
  return PromptEncoder(tokenizer(), &chats, now, PromptWorkBytes(options.max_ram_bytes));
}

absl::StatusOr<std::unique_ptr<Opened>> Open(OpenOptions options) {
  auto opened = std::make_unique<Opened>();
  const OpenNoteFn on_note = std::move(options.on_note);
  options.on_note = [&notes = opened->report.notes, on_note](const OpenNote& note) {
    notes.push_back(note);
    if (on_note) on_note(note);
  };
  FillDefaults(&options);
  SLUICE_ASSIGN_OR_RETURN(opened->session, OpenStore(options));
  Session& session = opened->session;
  SLUICE_ASSIGN_OR_RETURN(const MemoryPlan plan, PlanOf(session, options));
  SLUICE_RETURN_IF_ERROR(StartPlanned(session, options, plan));
  opened->report.plan = ReportOf(session, options, session.model->plan());
  opened->chats =
      ChatFront::Load(session.store->TokenizerDir(), options.chat, session.tokenizer.get());
  const HyperParameters& h = session.store->hyper_parameters();
  std::vector<int64_t> ends = h.eos_token_ids;
  if (opened->chats.ok()) {
    const std::vector<int32_t>& turn_ends = opened->chats->turn_ends();
    ends.insert(ends.end(), turn_ends.begin(), turn_ends.end());
  } else if (!options.chat.template_file.empty()) {
    return opened->chats.status();
  }
  opened->constraints = std::make_unique<Constraints>(session.tokenizer.get(), h.vocab_size, ends);
  opened->engine = std::make_unique<Engine>(session.model.get(), session.tokenizer.get(),
                                            EngineOptions{.max_sequences = options.max_sequences,
                                                          .speculator = session.speculator.get()});
  opened->inbox = std::make_unique<EngineInbox>(opened->engine.get());
  opened->options = std::move(options);
  return opened;
}

absl::StatusOr<PlanReport> PlanOnly(OpenOptions options) {
  FillDefaults(&options);
  SLUICE_ASSIGN_OR_RETURN(const Session session, OpenStore(options));
  SLUICE_ASSIGN_OR_RETURN(MemoryPlan plan, PlanOf(session, options));
  if (session.gpu != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(plan, AsPinned(session, std::move(plan)));
  }
  return ReportOf(session, options, std::move(plan));
}

}  // namespace sluice
