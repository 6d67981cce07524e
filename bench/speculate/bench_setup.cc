// The steps of runtime/open, with a plan whose rows the benchmark chooses.
#include "bench/speculate/bench_setup.h"

#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "runtime/chat/chat_front.h"
#include "runtime/open/session_rates.h"
#include "runtime/open/speculation.h"

namespace sluice {
namespace {

// Prompts have up to 350 tokens.
constexpr int64_t kContextTokens = 1024;
constexpr int64_t kAnyBudget = int64_t{1} << 40;

// Peaks of setups that were closed are not this one's.
void ForgetPeakRss() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
}

OpenOptions OptionsFor(const SpeculateBench& bench, const SetupWish& wish) {
  OpenOptions options;
  options.store = bench.target;
  options.context_tokens = kContextTokens;
  options.max_sequences = wish.sequences;
  options.read.io.max_bytes_per_s = wish.throttle_bytes_per_s;
  options.speculate.mode = wish.mode;
  if (wish.with_draft) options.speculate.draft_store = bench.draft;
  options.max_ram_bytes = kAnyBudget;
  UseAllCores(&options);
  options.unusual_option = "a benchmark";  // which may run beside others: it is not remembered
  return options;
}

absl::Status TakeProbe(const Session& session, SpeculateBench* bench, OpenOptions* options) {
  options->probe = bench->probe;
  if (options->probe.has_value()) {
    options->read.io.read_bytes = options->probe->rates.read_bytes;
    options->read.io.queue_depth = options->probe->rates.queue_depth;
  }
  SLUICE_RETURN_IF_ERROR(ProbeForSession(options, session));
  if (!bench->probe.has_value()) {
    const MachineRates& rates = options->probe->rates;
    std::fprintf(stderr, "this machine: disk %.2f GB/s, memory %.1f GB/s, %d threads\n",
                 rates.disk_bytes_per_s / 1e9, rates.memory_bytes_per_s / 1e9, rates.num_threads);
  }
  bench->probe = options->probe;
  return absl::OkStatus();
}

// Sets the budget, too.
absl::StatusOr<MemoryPlan> PlanFor(const Session& session, const SetupWish& wish,
                                   OpenOptions* options) {
  SLUICE_ASSIGN_OR_RETURN(PlanRequest request, RequestFor(session, *options, kPrefillRows, false));
  request.num_sequences = wish.sequences;
  if (wish.draft_rows > 0) request.draft_rows = wish.draft_rows;
  // The least plan has rows for drafts where there is a draft model; here it has them always.
  request.draft_model_bytes = std::max<int64_t>(request.draft_model_bytes, 1);
  // With all rows that the product may choose from.
  SLUICE_ASSIGN_OR_RETURN(const MemoryPlan free, PlanMemory(*session.store, request));
  options->max_ram_bytes = wish.max_ram_bytes > 0 ? wish.max_ram_bytes
                           : wish.resident        ? free.host().total_bytes()
                                                  : free.host().minimum_bytes;
  request.max_ram_bytes = options->max_ram_bytes;
  SLUICE_ASSIGN_OR_RETURN(MemoryPlan plan, wish.draft_rows > 0
                                               ? PlanMemory(*session.store, request)
                                               : PlanRequested(session, *options, request));
  if ((plan.residency.streamed_bytes == 0) == wish.resident) return plan;
  return absl::FailedPreconditionError(
      absl::StrCat("a budget of ", options->max_ram_bytes, " bytes streams ",
                   plan.residency.streamed_bytes, " bytes of ", plan.weight_bytes,
                   wish.resident ? ", but all should stay" : "; give a smaller --max-ram"));
}

}  // namespace

absl::StatusOr<std::vector<BenchPrompt>> ReadBenchPrompts(const std::string& path) {
  std::ifstream in(path);
  if (!in) return absl::NotFoundError(absl::StrCat(path, ": cannot be read; name it: --prompts"));
  std::vector<BenchPrompt> prompts;
  int line_number = 0;
  for (std::string line; std::getline(in, line);) {
    ++line_number;
    const nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
    if (!object.is_object() || !object.contains("kind") || !object.contains("prompt")) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", line_number, ": want {\"kind\": ..., \"prompt\": ...}"));
    }
    prompts.push_back({object["kind"].get<std::string>(), object["prompt"].get<std::string>()});
  }
  return prompts;
}

std::vector<std::string> KindsOf(const SpeculateBench& bench) {
  std::vector<std::string> kinds;
  for (const BenchPrompt& prompt : bench.prompts) {
    if (std::find(kinds.begin(), kinds.end(), prompt.kind) == kinds.end()) {
      kinds.push_back(prompt.kind);
    }
  }
  return kinds;
}

absl::StatusOr<std::unique_ptr<BenchSetup>> OpenSetup(SpeculateBench* bench,
                                                      const SetupWish& wish) {
  auto setup = std::make_unique<BenchSetup>();
  OpenOptions& options = setup->options;
  options = OptionsFor(*bench, wish);
  SLUICE_ASSIGN_OR_RETURN(setup->session, OpenStore(options));
  SLUICE_RETURN_IF_ERROR(TakeProbe(setup->session, bench, &options));
  SLUICE_ASSIGN_OR_RETURN(const MemoryPlan plan, PlanFor(setup->session, wish, &options));
  ForgetPeakRss();
  SLUICE_RETURN_IF_ERROR(StartPlanned(setup->session, options, plan));
  return setup;
}

absl::Status RenewSpeculator(BenchSetup* setup) {
  Session& session = setup->session;
  session.speculator.reset();
  if (session.draft != nullptr) session.draft->model.reset();  // before the place that it is in
  SLUICE_ASSIGN_OR_RETURN(session.speculator, MakeSpeculator(&session, setup->options));
  if (session.speculator != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError("the plan has no rows for drafts");
}

absl::StatusOr<std::vector<BenchText>> TextsFor(const BenchSetup& setup,
                                                const SpeculateBench& bench, double temperature,
                                                int64_t max_new_tokens, int64_t per_kind,
                                                const std::string& kind) {
  const Session& session = setup.session;
  if (session.tokenizer == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(bench.target, " has no tokenizer"));
  }
  const absl::StatusOr<ChatFront> front =
      ChatFront::Load(session.store->TokenizerDir(), {}, session.tokenizer.get());
  if (!front.ok() && !absl::IsNotFound(front.status())) return front.status();
  std::vector<BenchText> texts;
  std::map<std::string, int64_t> taken;
  for (size_t i = 0; i < bench.prompts.size(); ++i) {
    const BenchPrompt& prompt = bench.prompts[i];
    if (!kind.empty() && prompt.kind != kind) continue;
    if (per_kind > 0 && taken[prompt.kind]++ >= per_kind) continue;
    BenchText text = {.kind = prompt.kind, .index = i, .request = {}};
    if (front.ok()) {
      SLUICE_ASSIGN_OR_RETURN(
          ChatPrompt encoded,
          front->Encode(TextConversation({{.role = "user", .content = prompt.text}}), std::tm{}));
      text.request.prompt = std::move(encoded.ids);
      text.request.end_tokens = front->turn_ends();
    } else {
      SLUICE_ASSIGN_OR_RETURN(text.request.prompt,
                              session.tokenizer->Encode(prompt.text, EncodeOptions()));
    }
    text.request.max_new_tokens = max_new_tokens;
    text.request.sampler = SamplerOptions();  // what `run` has by default
    text.request.sampler.temperature = temperature;
    text.request.sampler.seed = i;
    texts.push_back(std::move(text));
  }
  if (texts.empty()) {
    return absl::NotFoundError(absl::StrCat("there are no prompts of kind \"", kind, "\""));
  }
  return texts;
}

}  // namespace sluice
