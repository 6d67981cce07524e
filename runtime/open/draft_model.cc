// A plan in which every slab stays, for a model whose speed is that of memory.
#include "runtime/open/draft_model.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/speculate/model_drafter.h"
#include "runtime/speculate/vocabulary_match.h"
#include "storage/store/store_paths.h"

namespace sluice {
namespace {

// A draft sees this much of a text: more would take memory from the target and gain little. A head
// also keeps the target's hidden rows of that; several sequences share its window.
constexpr int64_t kDraftWindow = 2048;
constexpr int64_t kMtpWindow = 1024;
constexpr int64_t kLeastMtpWindow = 128;
constexpr int64_t kDraftPassRows = 128;

}  // namespace

absl::StatusOr<std::unique_ptr<DraftModel>> OpenDraft(const OpenOptions& options,
                                                      const LayerStore& store) {
  auto draft = std::make_unique<DraftModel>();
  if (options.speculate.WantsModel()) {
    SLUICE_ASSIGN_OR_RETURN(draft->store, LayerStore::Open(options.speculate.draft_store));
    SLUICE_RETURN_IF_ERROR(CheckIsModel(*draft->store));
    return draft;
  }
  if (!options.speculate.WantsMtpHead()) return nullptr;
  const std::string dir = MtpHeadDirOf(store.dir(), store.manifest());
  const bool wanted = options.speculate.mode == SpeculateOptions::Mode::kMtp;
  if (!dir.empty()) {
    absl::StatusOr<std::unique_ptr<LayerStore>> head = LayerStore::Open(dir);
    if (head.ok()) {
      draft->store = *std::move(head);
      return draft;
    }
    const std::string message =
        absl::StrCat(head.status().message(),
                     "; the same `sluice shard` command, run again, writes what is missing");
    if (wanted) return absl::Status(head.status().code(), message);
    options.Note(OpenNote::Kind::kWarning,
                 absl::StrCat("the checkpoint's MTP head does not draft: ", message));
    return nullptr;
  }
  if (!wanted) return nullptr;
  return absl::NotFoundError(
      absl::StrCat(store.dir(),
                   ": the checkpoint had no head that drafts (MTP), or not all of it; draft by "
                   "suffixes (ngram), or by a draft model"));
}

absl::Status CheckIsModel(const LayerStore& store) {
  if (!store.hyper_parameters().is_mtp_head) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(store.dir(),
                   ": the head of a model, which drafts for that model only; give the model's own "
                   "store, the folder above"));
}

absl::StatusOr<MemoryPlan> PlanDraft(const LayerStore& store, const OpenOptions& options,
                                     int64_t context_tokens, int64_t num_sequences) {
  const HyperParameters& h = store.hyper_parameters();
  PlanRequest request;
  request.max_ram_bytes = std::numeric_limits<int64_t>::max() / 4;
  request.context_tokens =
      std::min(
          {context_tokens,
           h.is_mtp_head ? std::max(kMtpWindow / num_sequences, kLeastMtpWindow) : kDraftWindow,
           h.max_position_embeddings}) +
      ModelDrafter::kSlotsBeyond;
  if (h.is_mtp_head) {
    request.keeps_hidden = true;
    request.drafters_bytes =
        ModelDrafter::HiddenBytes(h.hidden_size, request.context_tokens, num_sequences);
  }
  request.num_sequences = num_sequences;
  request.draft_rows = ModelDrafter::DraftRowsFor(num_sequences);
  request.pass_rows = std::max(kDraftPassRows, num_sequences + request.draft_rows);
  request.num_threads = options.num_threads;
  request.k_type = options.k_type;
  request.v_type = options.v_type;
  request.bytes_in_flight = options.read.io.read_bytes * options.read.io.queue_depth;
  return PlanMemory(store, request);
}

absl::Status CheckDraftVocabulary(const LayerStore& target_store, const Tokenizer* target,
                                  const LayerStore& draft_store) {
  if (draft_store.hyper_parameters().is_mtp_head) return absl::OkStatus();  // it is the target's
  absl::StatusOr<std::unique_ptr<Tokenizer>> draft = Tokenizer::Load(draft_store.TokenizerDir());
  if (absl::IsNotFound(draft.status()) && target == nullptr) return absl::OkStatus();
  SLUICE_RETURN_IF_ERROR(draft.status());
  if (target == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(target_store.dir(), " has no tokenizer, ",
                                                   draft_store.dir(),
                                                   " has one: nothing says that their ids agree"));
  }
  return CheckSameVocabulary(*target, target_store.dir(), **draft, draft_store.dir());
}

absl::Status StartDraft(const OpenOptions& options, Ops* ops, DraftModel* draft) {
  draft->model.reset();  // before the place that it computes in
  draft->place = MakeHostPlace(ops);
  ReadOptions read = options.read;
  read.io.max_bytes_per_s = 0;  // a throttle is for what is measured: the target's disk
  read.io.scratch_dir.clear();
  SLUICE_ASSIGN_OR_RETURN(draft->model,
                          Model::Create(*draft->store, draft->plan, draft->place.get(), read));
  return absl::OkStatus();
}

}  // namespace sluice
