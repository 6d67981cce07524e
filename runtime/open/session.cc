// The store, then the device, then the tokenizer; the plan; and the model over it.
#include "runtime/open/session.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/system_memory.h"
#include "kernels/cpu/cpu_ops.h"
#include "runtime/constrain/constraints.h"
#include "runtime/floor/pass_floor.h"
#include "runtime/open/session_rates.h"
#include "runtime/open/speculation.h"
#include "storage/shard/tokenizer_files.h"
#include "storage/store/repair_advice.h"

namespace sluice {
namespace {

constexpr int64_t kDefaultContext = 4096;
constexpr int64_t kLeastDraftRows = 8;  // that a budget must have room for beside a draft model
// What a driver takes differs from run to run; a budget that plan names should do for the next one.
constexpr int64_t kDriverRounding = int64_t{16} << 20;

// Why --fast-math changes nothing; empty where it does.
std::string WhyNoFastMath(const Session& session, Isa isa) {
  const bool on_gpu = session.gpu != nullptr;
  if (!on_gpu && !RoundsActivations(isa)) {
    return absl::StrCat("it takes AVX512_BF16, which the kernels for ", IsaName(isa),
                        " on this CPU do not use");
  }
  const std::vector<Encoding> encodings = SlabEncodings(session.store->manifest());
  const auto has = [&](Encoding encoding) {
    return std::find(encodings.begin(), encodings.end(), encoding) != encodings.end();
  };
  if (has(Encoding::kBF16) || (on_gpu && has(Encoding::kF16))) return "";
  return on_gpu ? "the store has no bf16 or f16 matrices" : "the store has no bf16 matrices";
}

}  // namespace

absl::Status WithTokenizerChanges(const absl::Status& status, const std::string& tokenizer_dir,
                                  const Manifest& manifest) {
  if (TokenizerChanges(tokenizer_dir, manifest).empty()) return status;
  return absl::Status(
      status.code(), absl::StrCat(status.message(),
                                  "; the tokenizer's files have changed since the store was made: ",
                                  kTokenizerAdvice));
}

absl::StatusOr<Session> OpenStoreAlone(const OpenOptions& options) {
  Session session;
  SLUICE_ASSIGN_OR_RETURN(session.store, LayerStore::Open(options.store));
  SLUICE_RETURN_IF_ERROR(CheckIsModel(*session.store));
  SLUICE_ASSIGN_OR_RETURN(session.draft, OpenDraft(options, *session.store));
  const int64_t before = RssBytes();
  SLUICE_ASSIGN_OR_RETURN(session.gpu, OpenDevice(options.device, options.on_note));
  if (session.gpu != nullptr) {
    const int64_t grown = std::max<int64_t>(0, RssBytes() - before);
    session.driver_host_bytes = (grown + kDriverRounding - 1) / kDriverRounding * kDriverRounding;
  }
  if (options.fast_math) {
    if (session.gpu != nullptr) SLUICE_RETURN_IF_ERROR(session.gpu->CheckRoundsActivations());
    const std::string in_vain = WhyNoFastMath(session, options.isa);
    session.fast_math = in_vain.empty();
    if (options.say_fast_math) {
      options.Note(
          OpenNote::Kind::kChoice,
          absl::StrCat("--fast-math ",
                       !in_vain.empty() ? absl::StrCat("changes nothing: ", in_vain)
                       : session.gpu != nullptr
                           ? "rounds the activations of bf16 and f16 weights to their type (GPU)"
                           : "rounds the activations of bf16 weights to bf16 (AVX512_BF16)"));
    }
  }
  return session;
}

absl::Status LoadTokenizer(Session& session, const OpenOptions& options) {
  for (const ManifestCopy& file : session.store->manifest().tokenizer_files) {
    const std::string path = absl::StrCat(session.store->TokenizerDir(), "/", file.name);
    std::error_code error;
    if (std::filesystem::exists(path, error)) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": the manifest lists it, but it is not there; copy it back, or ", kRepairAdvice));
  }
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer =
      Tokenizer::Load(session.store->TokenizerDir());
  if (!tokenizer.ok() && !absl::IsNotFound(tokenizer.status())) {
    return WithTokenizerChanges(tokenizer.status(), session.store->TokenizerDir(),
                                session.store->manifest());
  }
  for (const std::string& line :
       TokenizerChanges(session.store->TokenizerDir(), session.store->manifest())) {
    options.Note(OpenNote::Kind::kWarning, absl::StrCat(line, "; ", kTokenizerAdvice));
  }
  if (tokenizer.ok()) session.tokenizer = *std::move(tokenizer);
  if (session.draft == nullptr) return absl::OkStatus();
  return CheckDraftVocabulary(*session.store, session.tokenizer.get(), *session.draft->store);
}

absl::StatusOr<Session> OpenStore(const OpenOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(Session session, OpenStoreAlone(options));
  SLUICE_RETURN_IF_ERROR(LoadTokenizer(session, options));
  return session;
}

absl::StatusOr<int64_t> ContextOf(const Session& session, const OpenOptions& options) {
  const int64_t model_context = session.store->hyper_parameters().max_position_embeddings;
  if (options.context_tokens > model_context) {
    return absl::InvalidArgumentError(absl::StrCat("-c ", options.context_tokens,
                                                   " is more than the ", model_context,
                                                   " tokens that the model was made for"));
  }
  return options.context_tokens < 0    ? std::min(kDefaultContext, model_context)
         : options.context_tokens == 0 ? model_context
                                       : options.context_tokens;
}

absl::StatusOr<PlanRequest> RequestFor(const Session& session, const OpenOptions& options,
                                       int64_t pass_rows, bool logits_of_all_rows) {
  PlanRequest request;
  request.max_ram_bytes = options.max_ram_bytes;
  request.max_ram_source = options.max_ram_source;
  SLUICE_ASSIGN_OR_RETURN(request.context_tokens, ContextOf(session, options));
  request.requests_bytes = options.kept_bytes;
  request.reads_prompts = options.reads_prompts;
  request.num_threads = options.num_threads;
  request.pass_rows = std::clamp<int64_t>(pass_rows, 1, request.context_tokens);
  request.logits_of_all_rows = logits_of_all_rows;
  request.k_type = options.k_type;
  request.v_type = options.v_type;
  request.fast_math = session.fast_math;
  request.bytes_in_flight = options.read.io.read_bytes * options.read.io.queue_depth;
  request.ring_bytes = options.ring_bytes;
  if (session.gpu != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(request.device, BudgetOf(*session.gpu, options.device));
    request.device->host_bytes = session.driver_host_bytes;
    if (options.device.cpu_share != 0.0) {
      request.host_share = HostShareRequest{.fraction = options.device.cpu_share,
                                            .rates = RememberedRates(options, session),
                                            .num_threads = options.num_threads,
                                            .verify_once = options.read.verify_once};
    }
  }
  if (options.grammar_bytes > 0) {
    request.constraint_bytes = Constraints::MemoryBytes(
        session.store->hyper_parameters().vocab_size, /*grammars=*/1, options.grammar_bytes);
  }
  request.tokenizer_bytes = session.tokenizer == nullptr ? 0 : session.tokenizer->MemoryBytes();
  if (logits_of_all_rows) return request;
  RequestDrafts(options, options.max_sequences, &request);
  if (session.draft != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(
        const MemoryPlan draft,
        PlanDraft(*session.draft->store, options, request.context_tokens, options.max_sequences));
    request.draft_model_bytes = draft.host().total_bytes();
    request.keeps_hidden = session.draft->store->hyper_parameters().is_mtp_head;
  }
  return request;
}

absl::StatusOr<MemoryPlan> PlanRequested(const Session& session, const OpenOptions& options,
                                         PlanRequest request) {
  absl::StatusOr<MemoryPlan> plan = PlanMemory(*session.store, request);
  // A draft model needs rows for what it drafts, but not as many as could be of use.
  while (absl::IsResourceExhausted(plan.status()) && request.draft_model_bytes > 0 &&
         request.draft_rows > kLeastDraftRows) {
    request.draft_rows = std::max(kLeastDraftRows, request.draft_rows / 2);
    plan = PlanMemory(*session.store, request);
  }
  // A head that nobody asked for must not take the place of what has to be there.
  if (absl::IsResourceExhausted(plan.status()) && request.keeps_hidden &&
      options.speculate.mode == SpeculateOptions::Mode::kAuto) {
    request.draft_model_bytes = 0;
    request.keeps_hidden = false;
    RequestDrafts(options, options.max_sequences, &request);
    plan = PlanMemory(*session.store, request);
  }
  SLUICE_RETURN_IF_ERROR(plan.status());
  if (plan->draft_rows == 0) return plan;
  request.draft_rows = ChooseDrafts(session, options, *plan).rows;
  if (ProbeKnowsStore(options, session) && !request.device.has_value()) {
    request.head_streamed_share =
        HeadStreamedShare(session.store->manifest(), RememberedRates(options, session),
                          options.num_threads, request.num_sequences + request.draft_rows);
  }
  if (request.draft_rows == plan->draft_rows &&
      request.head_streamed_share == plan->request.head_streamed_share) {
    return plan;
  }
  return PlanMemory(*session.store, request);
}

absl::StatusOr<MemoryPlan> PlanSession(const Session& session, const OpenOptions& options,
                                       int64_t pass_rows, bool logits_of_all_rows) {
  SLUICE_ASSIGN_OR_RETURN(const PlanRequest request,
                          RequestFor(session, options, pass_rows, logits_of_all_rows));
  return PlanRequested(session, options, request);
}

absl::Status StartPlanned(Session& session, const OpenOptions& options, const MemoryPlan& plan) {
  // The team is filled last: without threads that read and check, no other is of use.
  session.pool = std::make_unique<ThreadPool>(1, options.placement);
  SLUICE_ASSIGN_OR_RETURN(session.ops, MakeCpuOps(options.isa, session.pool.get()));
  if (session.gpu == nullptr) {
    session.place = MakeHostPlace(session.ops.get());
  } else {
    SLUICE_RETURN_IF_ERROR(
        session.gpu->ops()->Reserve(LimitsOf(plan, session.store->manifest().spec)));
    SLUICE_ASSIGN_OR_RETURN(session.place,
                            MakeDevicePlace(session.gpu->device(), session.gpu->stream(),
                                            session.gpu->ops(), session.ops.get()));
  }
  SLUICE_ASSIGN_OR_RETURN(session.model,
                          Model::Create(*session.store, plan, session.place.get(), options.read));
  session.pool->Grow(options.num_threads);
  if (!session.pool->shortage().ok() && options.read.io.on_fewer_threads) {
    options.read.io.on_fewer_threads(session.pool->shortage());
  }
  session.pool->PlaceCaller();
  SLUICE_ASSIGN_OR_RETURN(session.speculator, MakeSpeculator(&session, options));
  return absl::OkStatus();
}

absl::Status StartModel(Session& session, const OpenOptions& options, int64_t pass_rows,
                        bool logits_of_all_rows) {
  SLUICE_ASSIGN_OR_RETURN(const MemoryPlan plan,
                          PlanSession(session, options, pass_rows, logits_of_all_rows));
  return StartPlanned(session, options, plan);
}

absl::Status StartModelEarly(Session& session, const OpenOptions& options, int64_t most_rows) {
  // What the host holds for a device is pinned, and so taken at once: a tokenizer that loads has no
  // room in it.
  if (session.gpu != nullptr) return absl::OkStatus();
  const std::vector<ManifestCopy>& files = session.store->manifest().tokenizer_files;
  const bool has_json =
      absl::c_any_of(files, [](const ManifestCopy& file) { return file.name == "tokenizer.json"; });
  int64_t file_bytes = 0;
  for (const ManifestCopy& file : files) {
    // A tokenizer.model is packed, and the merges that follow from it are not in the file.
    file_bytes += file.name == "tokenizer.model" && !has_json ? 8 * file.bytes : file.bytes;
  }
  SLUICE_ASSIGN_OR_RETURN(PlanRequest request, RequestFor(session, options, most_rows, false));
  request.tokenizer_bytes = 2 * file_bytes;
  const absl::StatusOr<MemoryPlan> plan = PlanRequested(session, options, request);
  // Loading holds the text and its parsed form for a moment.
  if (!plan.ok() || plan->host().fixed_bytes < 8 * file_bytes) return absl::OkStatus();
  return StartPlanned(session, options, *plan);
}

uint64_t StoreHash(const LayerStore& store) {
  const std::string text = SerializeManifest(store.manifest());
  return Checksum({reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

}  // namespace sluice
