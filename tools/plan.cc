// sluice plan: what would lie where under a budget, and why.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/format_bytes.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "prefetch/pinned_memory.h"
#include "runtime/batch/batch_job.h"
#include "runtime/batch/batch_plan.h"
#include "runtime/open/pinned_plan.h"
#include "runtime/open/plan_report.h"
#include "runtime/open/session.h"
#include "runtime/open/session_rates.h"
#include "runtime/open/speculation.h"
#include "tools/commands.h"
#include "tools/generate_options.h"
#include "tools/grammar_options.h"
#include "tools/session_options.h"

namespace sluice {
namespace {

// A share of the time that a pass reads.
constexpr double kTurnsWorthSaying = 0.05;
// Levels of a draft model's tree where texts are neither easy nor hard.
constexpr double kTypicalLevels = 8;

void PrintPrediction(const Session& session, const PlanReport& prediction) {
  const MemoryPlan& plan = prediction.plan;
  const MachineRates& rates = prediction.rates;
  const PassFloor& token = prediction.token;
  std::printf("\npredicted    %.4g s a generated token (%.3g tokens/s), bound by %s\n",
              token.predicted_s(), 1 / token.predicted_s(), token.bound_by());
  std::printf("             %.4g s a pass of %d prompt tokens (%.3g tokens/s), bound by %s\n",
              prediction.prompt.predicted_s(), static_cast<int>(plan.pass_rows),
              static_cast<double>(plan.pass_rows) / prediction.prompt.predicted_s(),
              prediction.prompt.bound_by());
  std::printf(
      "             a token: disk %.4g s at %.2f GB/s, memory %.4g s at %.1f GB/s, verifying %.4g "
      "s, "
      "kernels %.4g s\n",
      token.ring_s - token.turns_s, rates.disk_bytes_per_s / 1e9, token.Seconds(kMemoryTerm),
      rates.memory_bytes_per_s / 1e9, token.verify_s, token.compute_s);
  if (token.turns_s >= kTurnsWorthSaying * token.ring_s && token.ring_s > 0) {
    std::printf(
        "             and %.4g s of waiting at the turns of the ring: it has room for %s, which "
        "come and go %.0f "
        "times a pass\n",
        token.turns_s, FormatBytes(plan.host().ring_bytes).c_str(),
        static_cast<double>(plan.residency.streamed_bytes) /
            static_cast<double>(plan.host().ring_bytes));
  }
  if (plan.on_device()) {
    std::printf(
        "             link %.4g s at %.2f GB/s, device memory %.4g s at %.1f GB/s; the device's "
        "kernels are not "
        "measured: a prompt may take longer\n",
        token.Seconds(kLinkTerm), rates.link_bytes_per_s / 1e9, token.Seconds(kDeviceMemoryTerm),
        rates.device_memory_bytes_per_s / 1e9);
    if (plan.KvInHostMemory()) {
      std::printf(
          "             both with pages of the KV cache on the link as at the end of the "
          "context\n");
    }
  }
  if (!prediction.otherwise.has_value()) return;
  const bool compressed = session.store->manifest().compression != StoreCompression::kNone;
  const double with = compressed ? token.predicted_s() : prediction.otherwise->predicted_s();
  const double without = compressed ? prediction.otherwise->predicted_s() : token.predicted_s();
  std::printf(
      "             --compress zstd %s on this machine: %.4g s a token with it, %.4g s without\n",
      with < without ? "pays" : "does not pay", with, without);
}

// What passes with drafts take, and what so many tokens a pass would then be: how many they are,
// the text decides.
void PrintDrafts(const PlanReport& report) {
  const MemoryPlan& plan = report.plan;
  if (plan.draft_rows == 0) return;
  std::printf("drafts       %d rows a pass", static_cast<int>(plan.draft_rows));
  if (plan.request.draft_model_bytes > 0) {
    std::printf(", %s for the draft model", FormatBytes(plan.request.draft_model_bytes).c_str());
  }
  if (!report.predicts()) {
    std::printf("\n");
    return;
  }
  const double draft_s = kTypicalLevels * report.draft_level_s;
  const double seconds = report.drafted.predicted_s() + draft_s;
  std::printf("; %.4g s a pass", report.drafted.predicted_s());
  if (draft_s > 0) {
    std::printf(" and %.4g s to draft %d levels", draft_s, static_cast<int>(kTypicalLevels));
  }
  std::printf(":\n             %.3g tokens/s at 2 tokens a pass, %.3g at 4, %.3g at 8\n",
              2 / seconds, 4 / seconds, 8 / seconds);
}

void PrintDevicePlan(const Session& session, const MemoryPlan& plan) {
  const PlacePlan& device = plan.nearest();
  const int64_t budget = plan.request.device->max_bytes;
  std::printf("\n%s: budget%*s\n", session.gpu->name().c_str(),
              std::max(1, 37 - static_cast<int>(session.gpu->name().size())),
              FormatBytes(budget).c_str());
  for (const PlanItem& item : device.items) {
    std::printf("  - %-29s %12s\n", item.name.c_str(), FormatBytes(item.bytes).c_str());
  }
  std::printf("  - %-29s %12s\n", "ring for streamed slabs",
              FormatBytes(device.ring_bytes).c_str());
  std::printf("  - %-29s %12s\n", "slabs that stay", FormatBytes(device.kept_bytes).c_str());
  std::printf("  = %-29s %12s\n", "left", FormatBytes(budget - device.total_bytes()).c_str());
  std::printf("smallest     --max-vram %dMiB works at this context\n",
              static_cast<int>((device.minimum_bytes + 1048575) / 1048576));
  if (plan.KvInHostMemory()) {
    std::printf(
        "KV cache     in host memory; on the device %d pages of each of two layers, which take "
        "turns\n",
        static_cast<int>(plan.kv_staged_pages));
  } else {
    std::printf("KV cache     on the device\n");
  }
  if (const HostShare& share = plan.host_share; share.num_slabs > 0) {
    std::printf(
        "CPU          computes %s in %d slabs of host memory, in passes of up to %d rows; the link "
        "has the others\n",
        FormatBytes(share.bytes).c_str(), static_cast<int>(share.num_slabs),
        static_cast<int>(share.most_rows));
  }
  if (plan.unpinned_bytes > 0) {
    std::printf(
        "pinning      the system pins no more than %s of host memory, so %s of weights are read in "
        "each pass\n",
        FormatBytes(plan.request.device->max_pinned_bytes).c_str(),
        FormatBytes(plan.unpinned_bytes).c_str());
  }
}

void PrintPlan(const Session& session, const MemoryPlan& plan) {
  const Manifest& manifest = session.store->manifest();
  const int64_t resident = plan.weight_bytes - plan.residency.streamed_bytes;
  int64_t resident_slabs = 0;
  for (const int tier : plan.residency.tier) resident_slabs += tier != kOnDisk;
  std::printf("%s: %s, %d layers, %s of weights in %d slabs (%s)\n", session.store->dir().c_str(),
              manifest.hyper_parameters.architecture.c_str(),
              static_cast<int>(manifest.hyper_parameters.num_hidden_layers),
              FormatBytes(plan.weight_bytes).c_str(), static_cast<int>(manifest.slabs.size()),
              manifest.recipe.c_str());
  std::printf("\nbudget%39s%s\n", FormatBytes(plan.request.max_ram_bytes).c_str(),
              plan.request.max_ram_source.empty()
                  ? ""
                  : absl::StrCat("  (", plan.request.max_ram_source, ")").c_str());
  for (const PlanItem& item : plan.host().items) {
    std::printf("  - %-29s %12s\n", item.name.c_str(), FormatBytes(item.bytes).c_str());
  }
  std::printf("  - %-29s %12s\n", "ring for streamed slabs",
              FormatBytes(plan.host().ring_bytes).c_str());
  std::printf("  - %-29s %12s\n", "resident slabs", FormatBytes(plan.host().kept_bytes).c_str());
  std::printf("  = %-29s %12s\n", "left",
              FormatBytes(plan.request.max_ram_bytes - plan.host().total_bytes()).c_str());
  if (plan.on_device()) PrintDevicePlan(session, plan);
  std::printf("\ncontext      %d tokens, passes of up to %d rows\n",
              static_cast<int>(plan.request.context_tokens), static_cast<int>(plan.pass_rows));
  std::printf("resident     %s in %d slabs, spread evenly over the pass\n",
              FormatBytes(resident).c_str(), static_cast<int>(resident_slabs));
  std::printf("streamed     %s a pass\n", FormatBytes(plan.residency.streamed_bytes).c_str());
  const auto mib = [](int64_t bytes) { return static_cast<int>((bytes + 1048575) / 1048576); };
  if (plan.request.reads_prompts) {
    std::printf("smallest     --max-ram %dMiB works at this context\n",
                mib(plan.host().minimum_bytes));
  } else {
    std::printf("smallest     --max-ram %dMiB works at this context, for chat %dMiB\n",
                mib(plan.host().minimum_bytes),
                mib(SmallestWithPrompts(plan.host().minimum_bytes)));
  }
}

void PrintBatch(const BatchPlan& batch, const BatchShape& shape, const PlanRequest& request) {
  std::printf("\nbatch        %d sequences at once, of %.0f + %.0f tokens each\n",
              static_cast<int>(batch.batch_size), shape.prompt_tokens, shape.answer_tokens);
  const int64_t disk_pages = batch.memory.kv_disk_pages;
  const std::string on_disk =
      disk_pages == 0 ? ""
                      : absl::StrCat(" and ", disk_pages, " on disk (",
                                     FormatBytes(batch.kv_disk_bytes), " read and written a pass)");
  std::printf("KV cache     %d pages of %d tokens %s%s, for %.1f whole contexts\n",
              static_cast<int>(batch.memory.kv_pages - disk_pages), kKvPageTokens,
              batch.memory.KvInHostMemory() ? "in host memory"
              : batch.memory.on_device()    ? "on the device"
                                            : "in RAM",
              on_disk.c_str(),
              static_cast<double>(batch.memory.kv_pages * kKvPageTokens) /
                  static_cast<double>(request.context_tokens));
  if (batch.tokens_per_s <= 0) return;
  std::printf("reason       %s\n", DescribeWaves(batch, shape).c_str());
  std::printf("\npredicted    %.3g tokens/s generated: %.4g s a pass of %.0f rows, bound by %s\n",
              batch.tokens_per_s, batch.pass.predicted_s(), batch.rows, batch.pass.bound_by());
  std::printf(
      "             a pass: disk %.4g s, memory %.4g s, verifying %.4g s, kernels %.4g s\n"
      "             kernels take as long as the disk at %d rows\n",
      batch.pass.Seconds(kDiskTerm), batch.pass.Seconds(kMemoryTerm), batch.pass.verify_s,
      batch.pass.compute_s, static_cast<int>(batch.balanced_rows));
  if (batch.memory.on_device()) {
    std::printf("             link %.4g s, device memory %.4g s\n", batch.pass.Seconds(kLinkTerm),
                batch.pass.Seconds(kDeviceMemoryTerm));
  }
}

// sluice plan --batch: what `sluice batch` would choose.
absl::Status PlanBatchJob(const Arguments& args, OpenOptions options, const Session& session) {
  options.reads_prompts = true;
  BatchShape shape;
  SLUICE_ASSIGN_OR_RETURN(const int64_t prompt,
                          args.Int("--prompt-tokens", 128, 1, int64_t{1} << 30));
  SLUICE_ASSIGN_OR_RETURN(const int64_t answer,
                          args.Int("--answer-tokens", 128, 1, int64_t{1} << 30));
  shape.prompt_tokens = static_cast<double>(prompt);
  shape.answer_tokens = static_cast<double>(answer);
  SLUICE_ASSIGN_OR_RETURN(const int64_t requests, args.Int("--requests", 0, 1, int64_t{1} << 40));
  if (requests > 0) ExpectSequences(requests, &shape);
  shape.bookkeeping_bytes = requests * BatchJob::kBytesPerLine;
  shape.num_grammars = options.grammar_bytes > 0;
  shape.grammar_bytes = options.grammar_bytes;
  int64_t batch_size = 0;
  if (args.Get("--batch-size").value_or("auto") != "auto") {
    SLUICE_ASSIGN_OR_RETURN(batch_size, args.Int("--batch-size", 0, 1, 1 << 16));
  }
  MachineRates rates;
  if (ProbeKnowsStore(options, session)) {
    SLUICE_ASSIGN_OR_RETURN(rates, RatesForSession(options, session));
  } else if (batch_size == 0) {
    return UsageError(
        "without rates there is no best batch size: leave out --no-probe, or give --batch-size N");
  }
  SLUICE_ASSIGN_OR_RETURN(PlanRequest request,
                          RequestFor(session, options, 1, /*logits_of_all_rows=*/false));
  RequestDrafts(options, kManySequences, &request);
  SLUICE_ASSIGN_OR_RETURN(const std::optional<int64_t> kv_disk_pages,
                          ParseKvDisk(args, session.store->manifest(), request));
  const DraftModelBytesFn draft = DraftModelBytes(session, options, request.context_tokens);
  const auto plan_for = [&](int64_t sequences) {
    return PlanBatch(*session.store, request, rates, options.num_threads, options.read.verify_once,
                     shape, sequences, kv_disk_pages, draft);
  };
  SLUICE_ASSIGN_OR_RETURN(BatchPlan batch, plan_for(batch_size));
  if (session.gpu != nullptr && !args.Has("--no-probe")) {
    SLUICE_ASSIGN_OR_RETURN(const std::optional<int64_t> limit, PinnedLimit(session, batch.memory));
    if (limit.has_value()) {  // the job finds out when it starts, with its size chosen
      request.device->max_pinned_bytes = *limit;
      SLUICE_ASSIGN_OR_RETURN(batch, plan_for(batch.batch_size));
    }
  }
  if (!args.Has("--json")) {
    PrintPlan(session, batch.memory);
    PrintBatch(batch, shape, request);
    return absl::OkStatus();
  }
  nlohmann::json object = {{"max_ram_bytes", request.max_ram_bytes},
                           {"fixed_bytes", batch.memory.host().fixed_bytes},
                           {"streamed_bytes", batch.memory.residency.streamed_bytes},
                           {"weight_bytes", batch.memory.weight_bytes},
                           {"pass_rows", batch.memory.pass_rows},
                           {"draft_rows", batch.memory.draft_rows},
                           {"draft_model_bytes", batch.memory.request.draft_model_bytes},
                           {"batch_size", batch.batch_size},
                           {"kv_pages", batch.memory.kv_pages},
                           {"kv_disk_pages", batch.memory.kv_disk_pages},
                           {"kv_disk_bytes_a_pass", batch.kv_disk_bytes},
                           {"kv_page_tokens", kKvPageTokens},
                           {"balanced_rows", batch.balanced_rows}};
  if (batch.tokens_per_s > 0) {
    object["rows"] = batch.rows;
    object["predicted_s"] = batch.pass.predicted_s();
    object["tokens_per_s"] = batch.tokens_per_s;
    object["bound_by"] = batch.pass.bound_by();
    object["reason"] = DescribeWaves(batch, shape);
    if (batch.job.passes > 0) {
      object["passes"] = batch.job.passes;
      object["job_s"] = batch.job.seconds;
    }
  }
  std::printf("%s\n", object.dump().c_str());
  return absl::OkStatus();
}

absl::Status Plan(const Arguments& args) {
  SLUICE_ASSIGN_OR_RETURN(OpenOptions options, ParseSessionOptions(args));
  SLUICE_ASSIGN_OR_RETURN(options.speculate, ParseSpeculateOptions(args));
  options.speculate.mtp_in_auto = !args.Has("--batch");
  if (args.Has("--batch") && options.speculate.mode == SpeculateOptions::Mode::kMtp) {
    return UsageError("--speculate mtp is for run and chat; a batch does not ask a head");
  }
  SLUICE_RETURN_IF_ERROR(ReadGrammarOption(args, &options).status());
  SLUICE_ASSIGN_OR_RETURN(const Session session, OpenStore(options));
  if (!args.Has("--no-probe")) SLUICE_RETURN_IF_ERROR(ProbeWithProgress(&options, session));
  if (args.Has("--batch")) return PlanBatchJob(args, options, session);
  for (const char* option :
       {"--batch-size", "--kv-disk", "--prompt-tokens", "--answer-tokens", "--requests"}) {
    if (args.Has(option)) return UsageError(absl::StrCat(option, " needs --batch"));
  }
  SLUICE_ASSIGN_OR_RETURN(MemoryPlan plan, PlanSession(session, options, kPrefillRows, false));
  if (session.gpu != nullptr && !args.Has("--no-probe")) {
    SLUICE_ASSIGN_OR_RETURN(plan, AsPinned(session, std::move(plan)));
  }
  MachineRates rates;
  if (ProbeKnowsStore(options, session)) {
    SLUICE_ASSIGN_OR_RETURN(rates, RatesForSession(options, session));
  }
  const PlanReport report = MakePlanReport(session, options, std::move(plan), std::move(rates));
  if (!args.Has("--json")) {
    PrintPlan(session, report.plan);
    if (report.predicts()) PrintPrediction(session, report);
    PrintDrafts(report);
    return absl::OkStatus();
  }
  std::printf("%s\n", PlanReportToJson(report).dump().c_str());
  return absl::OkStatus();
}

}  // namespace

CommandSpec PlanCommand() {
  CommandSpec command;
  command.name = "plan";
  command.summary = "Show what would lie in memory and what on disk";
  command.positionals = {"STORE"};
  command.description =
      "Prints how a memory budget would be divided: KV cache, activations, the ring of streamed "
      "slabs, and the slabs that stay. A budget that is too small is refused, and the error "
      "names the smallest one that works.\n\n"
      "Then it predicts how long a pass takes, from the rates that `sluice probe` has measured "
      "on this machine. If there are none, it measures the machine for about three seconds, as "
      "`sluice probe --quick` does, and remembers the result.\n\n"
      "With --batch it prints how many requests `sluice batch` would run at once, where their KV "
      "cache lies, and how many tokens a second all of them together would get.";
  command.options = SessionOptionSpecs();
  command.options.push_back(
      {.name = "--batch", .help = "Plan a batch job instead of one sequence."});
  command.options.push_back(
      {.name = "--batch-size",
       .value = "auto|N",
       .help = "Requests at once (default auto: what gives the most tokens a second)."});
  command.options.push_back(KvDiskOptionSpec());
  command.options.push_back({.name = "--requests",
                             .value = "N",
                             .help = "Requests of the job (default: so many that the end of the "
                                     "job makes no difference)."});
  command.options.push_back({.name = "--prompt-tokens",
                             .value = "N",
                             .help = "Tokens of an average prompt of the job (default 128)."});
  command.options.push_back({.name = "--answer-tokens",
                             .value = "N",
                             .help = "Tokens of an average answer of the job (default 128)."});
  for (const OptionSpec& option : SpeculateOptionSpecs(/*with_head=*/true)) {
    command.options.push_back(option);
  }
  for (OptionSpec option : GrammarOptionSpecs()) {
    option.help = "Set memory aside for texts that follow it.";
    command.options.push_back(std::move(option));
  }
  command.options.push_back({.name = "--no-probe",
                             .help = "Do not measure: predict only from a remembered probe, and do "
                                     "not try how much host memory can be "
                                     "pinned for a GPU."});
  command.options.push_back({.name = "--json", .help = "Print one JSON object instead."});
  command.examples = {"sluice plan llama-70b.store --max-ram 8GiB -c 8192 -ctk q8_0 -ctv q8_0",
                      "sluice plan llama-70b.store --batch --max-ram 24GiB --prompt-tokens 800"};
  command.run = &Plan;
  return command;
}

}  // namespace sluice
