// sluice batch: a file of requests to a file of results, many at once, and on again after any
// interruption.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "kernels/base/format_bytes.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/system_memory.h"
#include "nlohmann/json.hpp"
#include "runtime/batch/batch_job.h"
#include "runtime/batch/batch_output.h"
#include "runtime/batch/batch_plan.h"
#include "runtime/batch/first_error.h"
#include "runtime/batch/floor_sum.h"
#include "runtime/batch/job_plan.h"
#include "runtime/batch/job_record.h"
#include "runtime/batch/line_reader.h"
#include "runtime/batch/merge.h"
#include "runtime/batch/output_check.h"
#include "runtime/batch/sampling_check.h"
#include "runtime/constrain/constraints.h"
#include "runtime/engine/engine.h"
#include "runtime/open/session.h"
#include "runtime/open/session_rates.h"
#include "runtime/open/speculation.h"
#include "runtime/openai/prompt_encoder.h"
#include "tools/chat_options.h"
#include "tools/commands.h"
#include "tools/device_report.h"
#include "tools/draft_report.h"
#include "tools/generate_options.h"
#include "tools/interrupt.h"
#include "tools/model_progress.h"
#include "tools/peak_memory.h"
#include "tools/prompt_text.h"
#include "tools/session_options.h"
#include "tools/terminal_output.h"
#include "tools/trace_session.h"

namespace sluice {
namespace {

struct BatchOptions {
  std::string input;
  std::string output;  // of this part
  bool plain_text = false;
  bool retry_errors = false;
  int64_t batch_size = 0;  // 0: auto
  uint64_t seed = 0;
  int64_t part = 0;
  int64_t num_parts = 1;
};

absl::StatusOr<BatchOptions> ParseBatchOptions(const Arguments& args) {
  BatchOptions options;
  if (!args.Has("--input") || !args.Has("--output"))
    return UsageError("give -i REQUESTS and -o RESULTS");
  options.input = *args.Get("--input");
  options.output = *args.Get("--output");
  if (options.input == "-") return UsageError("-i must be a file: it is read more than once");
  if (options.output.empty() || NamesStream(options.output)) {
    return UsageError(
        "-o must be a file: a job reads it again to continue, and keeps its errors and its journal "
        "beside it");
  }
  SLUICE_RETURN_IF_ERROR(CheckOutputFile(options.output));
  options.plain_text = args.Has("--text");
  options.retry_errors = args.Has("--retry-errors");
  if (args.Get("--batch-size").value_or("auto") != "auto") {
    SLUICE_ASSIGN_OR_RETURN(options.batch_size, args.Int("--batch-size", 0, 1, 1 << 16));
  }
  SLUICE_ASSIGN_OR_RETURN(const int64_t seed, args.Int("--seed", 0, 0, INT64_MAX));
  options.seed = static_cast<uint64_t>(seed);
  if (const std::optional<std::string> part = args.Get("--part"); part.has_value()) {
    const std::vector<std::string> numbers = absl::StrSplit(*part, '/');
    if (numbers.size() != 2 || !absl::SimpleAtoi(numbers[0], &options.part) ||
        !absl::SimpleAtoi(numbers[1], &options.num_parts) || options.part < 0 ||
        options.part >= options.num_parts) {
      return UsageError(
          absl::StrCat("--part wants I/N with I from 0 to N - 1, not \"", *part, "\""));
    }
    options.output = PartPath(options.output, options.part, options.num_parts);
  }
  SLUICE_RETURN_IF_ERROR(CheckJobFiles(options.output, options.input));
  return options;
}

// The requests that failed, for reports.
struct Failures {
  int64_t count = 0;
  std::string file;   // that has their errors
  std::string first;  // FirstError's, or why there is none
};

Failures FailuresOf(const std::string& output, int64_t count) {
  Failures failures{.count = count, .file = BatchPaths(output).errors, .first = ""};
  if (count == 0) return failures;
  const absl::StatusOr<std::string> first = FirstError(failures.file);
  failures.first = first.ok() ? *first : std::string(first.status().message());
  return failures;
}

absl::Status AllFailed(const Failures& failures) {
  return absl::FailedPreconditionError(absl::StrCat("no request was answered: all ", failures.count,
                                                    " failed, the first with ", failures.first,
                                                    "; ", failures.file, " has the errors"));
}

absl::Status Merge(const Arguments& args) {
  if (!args.positionals().empty() || args.Has("--part")) {
    return UsageError("--merge takes only -i REQUESTS and -o RESULTS");
  }
  SLUICE_ASSIGN_OR_RETURN(const BatchOptions batch, ParseBatchOptions(args));
  SLUICE_ASSIGN_OR_RETURN(const MergeReport report, MergeParts(batch.input, batch.output));
  std::printf("%s: %d results and %d errors of %d parts\n", batch.output.c_str(),
              static_cast<int>(report.results), static_cast<int>(report.errors),
              static_cast<int>(report.num_parts));
  const Failures failures = FailuresOf(batch.output, report.errors);
  if (report.errors == 0) return absl::OkStatus();
  if (report.results == 0) return AllFailed(failures);
  std::fprintf(stderr, "%s has the errors; the first is of %s\n", failures.file.c_str(),
               failures.first.c_str());
  return absl::OkStatus();
}

JobRecord DescribeJob(const BatchOptions& batch, const OpenOptions& options, const Session& session,
                      const InputSummary& input, const PlanRequest& request) {
  JobRecord job;
  job.created = static_cast<int64_t>(std::time(nullptr));
  job.input = batch.input;
  job.input_hash = input.checksum;
  job.input_lines = input.num_lines;
  job.input_format = batch.plain_text ? "text" : "openai";
  job.store = options.store;
  job.store_hash = StoreHash(*session.store);
  if (session.gpu != nullptr) job.device = "cuda";
  job.k_type = std::string(KvTypeName(options.k_type));
  job.v_type = std::string(KvTypeName(options.v_type));
  job.arithmetic = ArithmeticOf(request);
  job.context_tokens = request.context_tokens;
  job.seed = batch.seed;
  job.part = batch.part;
  job.num_parts = batch.num_parts;
  return job;
}

// What of the command line changes the answers of chats.
std::string DescribeChatOptions(const Arguments& args, const absl::StatusOr<ChatFront>& chats) {
  return absl::StrCat(args.Has("--template")
                          ? absl::StrCat("template ", ChecksumToHex(chats->template_hash()))
                          : "",
                      args.Has("--template") && args.Has("--no-parse-special") ? ", " : "",
                      args.Has("--no-parse-special") ? "no-parse-special" : "");
}

JobPlanRequest PlanRequestOf(const BatchOptions& batch, const OpenOptions& options,
                             const InputSummary& input) {
  JobPlanRequest job;
  job.input = {batch.input, input.num_lines, batch.plain_text, batch.part, batch.num_parts};
  job.output = batch.output;
  job.retry_errors = batch.retry_errors;
  job.names_grammars = input.names_grammars;
  job.batch_size = batch.batch_size;
  job.num_threads = options.num_threads;
  job.verify_once = options.read.verify_once;
  return job;
}

void PrintBatchReport(const BatchReport& report, const Session& session, const BatchPlan& plan,
                      const FloorSum& floor, const PassScheduler::Counters& preempted,
                      const Failures& failures, bool json) {
  const Model& model = *session.model;
  const double seconds = model.pass_counters().wall_seconds;
  const int64_t bytes_read = model.stream_counters().io.bytes_read;
  const auto ratio = [](double a, double b) { return b > 0 ? a / b : 0.0; };
  const double bytes_a_token = ratio(static_cast<double>(bytes_read), report.tokens);
  const double seconds_a_pass = ratio(model.pass_counters().pass_seconds, report.passes);
  const KvPagerCounters kv = model.kv_counters();
  const double efficiency = floor.Efficiency();
  const Speculator* const speculator = session.speculator.get();
  const double tokens_per_pass = TokensPerPass(speculator);
  if (json) {
    nlohmann::json object = {{"succeeded", report.succeeded},
                             {"failed", report.failed},
                             {"prompt_tokens", report.prompt_tokens},
                             {"completion_tokens", report.completion_tokens},
                             {"generated_tokens", report.tokens},
                             {"rows", report.rows},
                             {"passes", report.passes},
                             {"seconds", seconds},
                             {"tokens_per_s", ratio(report.tokens, seconds)},
                             {"rows_per_s", ratio(report.rows, seconds)},
                             {"seconds_per_pass", seconds_a_pass},
                             {"bytes_read", bytes_read},
                             {"bytes_per_token", bytes_a_token},
                             {"batch_size", plan.batch_size},
                             {"kv_pages", plan.memory.kv_pages},
                             {"kv_disk_pages", plan.memory.kv_disk_pages},
                             {"kv_bytes_read", kv.bytes_read},
                             {"kv_bytes_written", kv.bytes_written},
                             {"streamed_bytes", plan.memory.residency.streamed_bytes},
                             {"preemptions", preempted.preemptions},
                             {"swaps", preempted.swaps},
                             {"bytes_written", model.stream_counters().io.bytes_written},
                             {"peak_rss_bytes", PeakRssBytes()},
                             {"max_ram_bytes", plan.memory.request.max_ram_bytes},
                             {"interrupted", report.interrupted}};
    AddDraftReport(speculator, tokens_per_pass, &object);
    if (efficiency > 0) {
      object["pass_efficiency"] = efficiency;
      object["floor_disk_s"] = floor.disk_seconds();
      object["floor_compute_s"] = floor.compute_seconds();
    }
    if (failures.count > 0) {
      object["errors_file"] = failures.file;
      object["first_error"] = failures.first;
    }
    if (session.gpu != nullptr) object["device"] = DeviceReportToJson(MakeDeviceReport(session));
    std::printf("%s\n", object.dump().c_str());
    return;
  }
  std::fprintf(stderr, "requests     %d answered, %d failed%s\n",
               static_cast<int>(report.succeeded), static_cast<int>(report.failed),
               report.interrupted ? "; interrupted, run it again to go on" : "");
  if (failures.count > 0) {
    std::fprintf(stderr,
                 "errors       %d in %s, which --retry-errors tries again; the first is of %s\n",
                 static_cast<int>(failures.count), failures.file.c_str(), failures.first.c_str());
  }
  if (report.passes == 0) return;  // there is nothing to measure
  std::fprintf(
      stderr,
      "generation   %9.2f tokens/s, %d tokens in %d passes of up to %d sequences, %.4f s a pass\n",
      ratio(report.tokens, seconds), static_cast<int>(report.tokens),
      static_cast<int>(report.passes), static_cast<int>(plan.batch_size), seconds_a_pass);
  PrintDraftReport(speculator, tokens_per_pass);
  std::fprintf(stderr, "disk         %.4f GB read a token (%s)\n", bytes_a_token / 1e9,
               model.io_description().c_str());
  if (session.gpu != nullptr) PrintDeviceReport(MakeDeviceReport(session));
  if (preempted.preemptions > 0) {
    std::fprintf(stderr, "preempted    %d times, %d of them swapped: %s written\n",
                 static_cast<int>(preempted.preemptions), static_cast<int>(preempted.swaps),
                 FormatBytes(model.stream_counters().io.bytes_written - kv.bytes_written).c_str());
  }
  if (plan.memory.kv_disk_pages > 0) {
    std::fprintf(stderr, "KV on disk   %s read, %s written, %.3g s waited\n",
                 FormatBytes(kv.bytes_read).c_str(), FormatBytes(kv.bytes_written).c_str(),
                 kv.wait_seconds);
  }
  if (efficiency <= 0) {
    std::fprintf(
        stderr,
        "efficiency   unknown: no probe of this machine is remembered (`sluice probe STORE`)\n");
  } else {
    std::fprintf(stderr,
                 "efficiency   %.2f of what the passes should have taken: the disk %.3g s, "
                 "computing %.3g s\n",
                 efficiency, floor.disk_seconds(), floor.compute_seconds());
  }
  std::fprintf(stderr, "memory       %s\n",
               DescribePeak(PeakRssBytes(), plan.memory.request.max_ram_bytes).c_str());
}

// The error of a job that stopped, with what the user can do about an input that is another one
// now.
absl::Status WhatWasKept(const absl::Status& status, const BatchOptions& batch) {
  if (!absl::IsAborted(status)) return status;
  return absl::Status(
      status.code(),
      absl::StrCat(status.message(), "; ", batch.output,
                   " keeps the answers so far. Put the old input back and run the same "
                   "command to go on, or give another -o"));
}

// Measures the machine where that has not been done. Without rates `options` lose their probe.
void ProbeOrSay(const Session& session, OpenOptions* options) {
  const absl::Status probed = ProbeWithProgress(options, session);
  if (probed.ok()) return;
  std::fprintf(stderr,
               "this machine could not be measured, so the number of requests at once is chosen "
               "for a slow disk: %s\n",
               std::string(probed.message()).c_str());
  options->probe.reset();
}

// Runs the job, with a line of progress.
absl::StatusOr<BatchReport> RunJob(BatchJob* job, const Engine& engine, Model& model,
                                   int64_t num_lines, FloorSum* floor,
                                   const std::atomic<bool>* stop) {
  bool said = false;
  ModelProgress progress(&model, "requests");
  progress.BeginCounts(num_lines);
  return job->Run(stop, [&](const BatchReport& now, const StepReport& step) {
    floor->Add(step);
    if (!said && !engine.swap_status().ok()) {
      progress.Say(absl::StrCat("preempted requests are computed again from here on, not swapped: ",
                                engine.swap_status().message()));
      said = true;
    }
    const PassCounters passes = model.pass_counters();
    progress.ShowCounts(
        now.lines, num_lines,
        absl::StrFormat("%.3g tokens/s  %.3g s/pass  %d in flight",
                        static_cast<double>(now.tokens) / std::max(passes.wall_seconds, 1e-9),
                        passes.pass_seconds / static_cast<double>(std::max<int64_t>(now.passes, 1)),
                        engine.num_running()));
  });
}

// The waves, and lines about what the user may not expect of a plan.
void SayWhatIsPlanned(const Session& session, const JobPlan& job) {
  if (!job.waves.empty()) std::fprintf(stderr, "%s\n", job.waves.c_str());
  const BatchPlan& plan = job.batch;
  if (session.draft != nullptr && plan.memory.request.draft_model_bytes == 0) {
    std::fprintf(
        stderr,
        "the draft model is not used: %d requests at once leave it no rows of a pass, or no "
        "memory; a smaller --batch-size does\n",
        static_cast<int>(plan.batch_size));
  }
  if (plan.memory.kv_disk_pages > 0) {
    std::fprintf(stderr, "%d of %d pages of keys and values lie on disk, beside the results\n",
                 static_cast<int>(plan.memory.kv_disk_pages),
                 static_cast<int>(plan.memory.kv_pages));
  }
}

// What the command ends with once the report is printed.
absl::Status EndOf(const BatchReport& report, const Failures& failures, const BatchOptions& batch,
                   const InputSummary& input) {
  if (report.interrupted) {
    return absl::CancelledError("interrupted; run the same command again to continue");
  }
  if (const absl::Status status = CheckInputUnchanged(batch.input, input);
      absl::IsAborted(status)) {
    return absl::Status(status.code(),
                        absl::StrCat(status.message(), "; all ", input.num_lines,
                                     " lines that it had are done with, and ", batch.output,
                                     " has their answers; run the new lines with another -o"));
  }
  if (report.succeeded == 0 && report.failed > 0) return AllFailed(failures);
  return absl::OkStatus();
}

absl::Status Batch(const Arguments& args) {
  if (args.Has("--merge")) return Merge(args);
  if (args.positionals().empty()) return UsageError("STORE is missing");
  SLUICE_ASSIGN_OR_RETURN(const BatchOptions batch, ParseBatchOptions(args));
  SLUICE_ASSIGN_OR_RETURN(OpenOptions options, ParseSessionOptions(args));
  options.reads_prompts = true;
  SLUICE_ASSIGN_OR_RETURN(options.speculate, ParseSpeculateOptions(args));
  options.speculate.mtp_in_auto = false;
  const std::atomic<bool>* const stop = InstallInterruptHandler();

  SLUICE_ASSIGN_OR_RETURN(Session session, OpenStore(options));
  SLUICE_ASSIGN_OR_RETURN(const InputSummary input, SummarizeInput(batch.input));
  SLUICE_RETURN_IF_ERROR(CheckSampling(
      batch.output, {batch.input, input.num_lines, batch.plain_text, batch.part, batch.num_parts}));
  if (batch.batch_size == 0) ProbeOrSay(session, &options);
  SLUICE_ASSIGN_OR_RETURN(PlanRequest request,
                          RequestFor(session, options, 1, /*logits_of_all_rows=*/false));
  RequestDrafts(options, kManySequences, &request);
  const absl::StatusOr<ChatFront> chats = LoadChatFront(args, session);
  if (args.Has("--template")) SLUICE_RETURN_IF_ERROR(chats.status());  // else only chats need one
  const std::string chat_options = DescribeChatOptions(args, chats);
  JobPlanRequest wanted = PlanRequestOf(batch, options, input);
  SLUICE_ASSIGN_OR_RETURN(wanted.kv_disk_pages,
                          ParseKvDisk(args, session.store->manifest(), request));
  if (options.probe.has_value()) {
    SLUICE_ASSIGN_OR_RETURN(wanted.rates, RatesForSession(options, session));
  } else if (batch.batch_size == 0 && !wanted.kv_disk_pages.has_value()) {
    wanted.kv_disk_pages = 0;  // that it pays is something only measured rates can say
  }
  wanted.draft_model_bytes = DraftModelBytes(session, options, request.context_tokens);
  const int64_t prompt_work = PromptWorkBytes(options.max_ram_bytes);
  SLUICE_ASSIGN_OR_RETURN(const JobPlan planned,
                          PlanJob(*session.store, request, wanted,
                                  PromptEncoder(session.tokenizer.get(), &chats, 0, prompt_work)));
  const BatchPlan& plan = planned.batch;
  SayWhatIsPlanned(session, planned);
  // Behind the plan: a job that has no room to run leaves no files.
  JobRecord job = DescribeJob(batch, options, session, input, request);
  job.chat = chat_options;
  SLUICE_ASSIGN_OR_RETURN(BatchOutput output,
                          BatchOutput::Open(batch.output, job, batch.retry_errors, &PrintNote));
  options.read.io.scratch_dir = BatchPaths(batch.output).dir;  // for pages of the KV cache
  SLUICE_RETURN_IF_ERROR(StartPlanned(session, options, plan.memory));
  Engine engine(session.model.get(), session.tokenizer.get(),
                {plan.batch_size, plan.balanced_rows, plan.resume, session.speculator.get()});
  // Templates that print the time see when the job began, however often it is taken up.
  const PromptEncoder encoder(session.tokenizer.get(), &chats, output.job().created, prompt_work);
  std::vector<int64_t> ends = session.store->hyper_parameters().eos_token_ids;
  if (chats.ok()) ends.insert(ends.end(), chats->turn_ends().begin(), chats->turn_ends().end());
  BatchJob batch_job(
      batch.input, &input, session.tokenizer.get(), &encoder,
      Constraints(session.tokenizer.get(), session.store->hyper_parameters().vocab_size, ends),
      &engine, &output, plan.batch_size, planned.held);

  std::unique_ptr<TraceWriter> trace;
  if (args.Has("--trace")) {
    SLUICE_ASSIGN_OR_RETURN(trace, TraceSession(session, "batch", *args.Get("--trace")));
  }
  FloorSum floor(&session.store->manifest(), session.model.get(), options.num_threads,
                 options.read.verify_once, wanted.rates.value_or(MachineRates()));
  absl::StatusOr<BatchReport> ran =
      RunJob(&batch_job, engine, *session.model, input.num_lines, &floor, stop);
  if (!ran.ok()) return WhatWasKept(ran.status(), batch);
  const BatchReport report = *std::move(ran);
  if (trace != nullptr) {
    session.model->FlushTimeline();
    SLUICE_RETURN_IF_ERROR(trace->Close());
  }
  const Failures failures = FailuresOf(batch.output, report.failed);
  PrintBatchReport(report, session, plan, floor, engine.counters(), failures, args.Has("--json"));
  return EndOf(report, failures, batch, input);
}

}  // namespace

CommandSpec BatchCommand() {
  CommandSpec command;
  command.name = "batch";
  command.summary = "Answer a file of requests, many at once, and go on after any interruption";
  command.positionals = {"[STORE]"};
  command.description =
      "Reads requests: OpenAI's batch lines for /v1/completions and /v1/chat/completions, or "
      "lines {\"prompt\": ...} and {\"messages\": ...}. Runs as many at once as the memory "
      "budget allows, so that the weights are read once for all of them. Writes one line for "
      "each request; errors go to RESULTS.errors.jsonl. docs/batch.md has the formats.\n\n"
      "Run the same command again to continue after Ctrl-C, a kill or a power cut: finished "
      "requests are skipped, and unfinished ones continue where they were. An answer depends "
      "neither on the other requests nor on interruptions.\n\n"
      "Ctrl-C finishes the pass and stops (exit code 130); twice stops at once.\n\n"
      "With --part I/N it answers one of N parts and writes RESULTS.partIofN.jsonl, so that N "
      "machines which share nothing but the files can work on one job. --merge then writes "
      "RESULTS from all parts, in the order of the input.";
  command.options = {
      {.name = "--input", .alias = "-i", .value = "FILE", .help = "Requests, one a line."},
      {.name = "--output",
       .alias = "-o",
       .value = "FILE",
       .help = "Results, one a line, in any order."},
      {.name = "--text", .help = "Each line of the input is a prompt as it stands."},
      {.name = "--batch-size",
       .value = "auto|N",
       .help = "Requests at once (default auto: what gives the most tokens a second)."},
      KvDiskOptionSpec(),
      {.name = "--seed",
       .alias = "-s",
       .value = "N",
       .help = "Seed for requests without a seed: each one gets its own seed, derived from N "
               "(default 0)."},
      {.name = "--retry-errors",
       .help = "Run the requests in the errors file again. Options that no answer depends on may "
               "differ from the earlier run, such as --template if no chat was answered."},
      {.name = "--part", .value = "I/N", .help = "Answer only part I (from 0) of N."},
      {.name = "--merge", .help = "Put the results of all parts together, and run nothing."},
      {.name = "--trace",
       .value = "FILE",
       .help = "Write what each stage did as a trace for ui.perfetto.dev."},
      {.name = "--json", .help = "Print the report at the end as one JSON object."},
  };
  for (const OptionSpec& option : SpeculateOptionSpecs(/*with_head=*/false)) {
    command.options.push_back(option);
  }
  for (const OptionSpec& option : TemplateOptionSpecs()) command.options.push_back(option);
  for (const OptionSpec& option : SessionOptionSpecs()) command.options.push_back(option);
  command.examples = {
      "sluice batch llama-70b.store -i requests.jsonl -o results.jsonl --max-ram 24GiB",
      "sluice batch bard.store -i prompts.txt --text -o results.jsonl --batch-size 32",
      "sluice batch --merge -i requests.jsonl -o results.jsonl"};
  command.run = &Batch;
  return command;
}

}  // namespace sluice
