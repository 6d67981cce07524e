// Rows by the floor of a pass; drafters by the options.
#include "runtime/open/speculation.h"

#include <algorithm>
#include <vector>

#include "kernels/base/status_macros.h"
#include "runtime/floor/pass_floor.h"
#include "runtime/open/session_rates.h"
#include "runtime/speculate/grammar_drafter.h"
#include "runtime/speculate/model_drafter.h"
#include "runtime/speculate/suffix_drafter.h"

namespace sluice {
namespace {

// Of a pass: trees gain a tenth with each doubling, and logits of a row take a vocabulary of
// floats.
constexpr int64_t kMostDraftRows = 64;
// Where nobody has measured this machine: rows where all weights stay, and what one costs; and the
// rows beyond them where none does.
constexpr int64_t kGuessedResidentRows = 3;
constexpr double kGuessedResidentPrice = 0.1;
constexpr int64_t kGuessedStreamedRows = 24;
// How much longer than one of a single row a pass may be: of a streamed model, and of one in
// memory, whose nodes have to be worth their price.
constexpr double kLongerPass = 1.03;
constexpr double kLongerResidentPass = 1.25;

// Among the calibration's sources, behind the two of the suffix drafter: of the draft model, and of
// grammars.
constexpr int kModelSource = 2;
constexpr int kGrammarSource = 3;
// With a draft model or head, rows are worth a longer pass where all weights stay.
constexpr int64_t kLeastModelRows = 4;

bool HasSuffixDrafter(SpeculateOptions::Mode mode) {
  return mode == SpeculateOptions::Mode::kAuto || mode == SpeculateOptions::Mode::kNgram;
}

}  // namespace

void RequestDrafts(const OpenOptions& options, int64_t num_sequences, PlanRequest* request) {
  if (options.speculate.mode == SpeculateOptions::Mode::kOff) return;
  request->draft_rows = std::min(kMostDraftRows, request->context_tokens - 1);
  const int64_t most = options.speculate.draft_max;
  if (most > 0) request->draft_rows = std::min(request->draft_rows, most * num_sequences);
  request->pass_rows = std::max(request->pass_rows, num_sequences + request->draft_rows);
  if (!HasSuffixDrafter(options.speculate.mode)) return;
  request->drafters_bytes = SuffixDrafter::MaxMemoryBytes(
      SuffixDrafterOptions::For(request->context_tokens, num_sequences), num_sequences);
}

std::function<absl::StatusOr<int64_t>(int64_t sequences)> DraftModelBytes(
    const Session& session, const OpenOptions& options, int64_t context_tokens) {
  if (session.draft == nullptr) return {};
  return [&session, &options, context_tokens](int64_t sequences) -> absl::StatusOr<int64_t> {
    SLUICE_ASSIGN_OR_RETURN(const MemoryPlan plan,
                            PlanDraft(*session.draft->store, options, context_tokens, sequences));
    return plan.host().total_bytes();
  };
}

DraftChoice ChooseDrafts(const Session& session, const OpenOptions& options,
                         const MemoryPlan& plan) {
  const bool resident = plan.residency.streamed_bytes == 0;
  const int64_t least =
      plan.request.draft_model_bytes > 0 ? std::min(plan.draft_rows, kLeastModelRows) : 0;
  if (!ProbeKnowsStore(options, session)) {
    const double streamed =
        static_cast<double>(plan.residency.streamed_bytes) / static_cast<double>(plan.weight_bytes);
    const auto guess = kGuessedResidentRows +
                       static_cast<int64_t>(streamed * static_cast<double>(kGuessedStreamedRows));
    return {std::max(least, std::min(plan.draft_rows, guess)),
            (1 - streamed) * kGuessedResidentPrice};
  }
  const Manifest& manifest = session.store->manifest();
  const MachineRates rates = RememberedRates(options, session);
  const auto seconds = [&](int64_t rows) {
    PassWork work = DescribePass(manifest, plan.residency, rows, rows, options.num_threads,
                                 options.read.verify_once, plan.HostSlabs(rows));
    AddRing(manifest, plan, &work);
    return FloorOf(work, rates).predicted_s();
  };
  const int64_t known = plan.request.num_sequences;
  const double plain = seconds(known);
  const double most = plain * (resident ? kLongerResidentPass : kLongerPass);
  DraftChoice choice;
  int64_t above = plan.draft_rows + 1;
  while (above - choice.rows > 1) {
    const int64_t middle = choice.rows + (above - choice.rows) / 2;
    (seconds(known + middle) <= most ? choice.rows : above) = middle;
  }
  choice.rows = std::max(choice.rows, least);
  if (choice.rows > 0 && plain > 0) {
    choice.row_price =
        (seconds(known + choice.rows) / plain - 1) / static_cast<double>(choice.rows);
  }
  return choice;
}

absl::StatusOr<std::unique_ptr<Speculator>> MakeSpeculator(Session* session,
                                                           const OpenOptions& options) {
  const MemoryPlan& plan = session->model->plan();
  if (plan.draft_rows == 0) return nullptr;
  const SpeculatorOptions speculate = {
      .draft_max = options.speculate.draft_max,
      .row_price = ChooseDrafts(*session, options, plan).row_price};
  auto speculator = std::make_unique<Speculator>(
      speculate, std::vector<Calibration::Priors>{
                     SuffixDrafter::InitialRates(), SuffixDrafter::InitialRates(),
                     ModelDrafter::InitialRates(), GrammarDrafter::InitialRates()});
  speculator->Add(std::make_unique<GrammarDrafter>(kGrammarSource, speculator->calibration()));
  if (HasSuffixDrafter(options.speculate.mode)) {
    speculator->Add(std::make_unique<SuffixDrafter>(
        SuffixDrafterOptions::For(plan.request.context_tokens, plan.request.num_sequences),
        speculator->calibration()));
  }
  if (session->draft != nullptr && plan.request.draft_model_bytes > 0) {
    DraftModel& draft = *session->draft;
    SLUICE_ASSIGN_OR_RETURN(
        draft.plan,
        PlanDraft(*draft.store, options, plan.request.context_tokens, plan.request.num_sequences));
    SLUICE_RETURN_IF_ERROR(StartDraft(options, session->ops.get(), &draft));
    const ModelDrafterOptions drafter = {
        .source = kModelSource,
        .vocab_size = static_cast<int32_t>(session->store->hyper_parameters().vocab_size)};
    speculator->Add(
        std::make_unique<ModelDrafter>(draft.model.get(), drafter, speculator->calibration()));
  }
  if (session->draft != nullptr && plan.request.draft_model_bytes == 0 &&
      session->draft->store->hyper_parameters().is_mtp_head) {
    options.Note(OpenNote::Kind::kChoice,
                 absl::StrCat("the budget has no room for the checkpoint's MTP head (",
                              session->draft->store->dir(), "), so it does not draft"));
  }
  return speculator;
}

}  // namespace sluice
