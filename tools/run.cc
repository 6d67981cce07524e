// sluice run: generates text from a store, streamed, and reports how it went.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/format_bytes.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/system_memory.h"
#include "nlohmann/json.hpp"
#include "runtime/chat/model_files.h"
#include "runtime/chat/template_source.h"
#include "runtime/engine/generator.h"
#include "runtime/open/sequence_pass.h"
#include "runtime/open/session.h"
#include "runtime/open/session_rates.h"
#include "runtime/sample/log_probs.h"
#include "tools/chat_options.h"
#include "tools/commands.h"
#include "tools/device_report.h"
#include "tools/draft_report.h"
#include "tools/generate_options.h"
#include "tools/grammar_options.h"
#include "tools/interrupt.h"
#include "tools/model_progress.h"
#include "tools/peak_memory.h"
#include "tools/prompt_text.h"
#include "tools/session_options.h"
#include "tools/terminal_output.h"
#include "tools/trace_session.h"

namespace sluice {
namespace {

constexpr int64_t kMostLogProbs = 1000;
// Of a token, and of one of its likeliest ones: the values of the JSON object and its text, with
// room that they grow into.
constexpr int64_t kJsonBytesPerToken = 128;
constexpr int64_t kJsonBytesPerTop = 192;

struct RunReport {
  int64_t prompt_tokens = 0;
  int64_t generated_tokens = 0;
  double first_token_s = 0;        // since the command began; 0 without any
  double loading_s = 0;            // of it, waiting for weights that stay in memory
  double prompt_tokens_per_s = 0;  // without loading
  double generation_tokens_per_s = 0;
  double predicted_tokens_per_s = 0;  // as plan predicts; 0 where no probe is remembered
  std::string bound_by;               // the same
  double seconds_per_pass = 0;
  double tokens_per_pass = 0;              // of those behind the prompt's
  const Speculator* speculator = nullptr;  // null: nothing was drafted
  double bytes_per_token = 0;  // read from disk a generated token, the prompt's passes excluded
  double disk_gb_per_s = 0;    // while the disk was reading
  double disk_wait_share = 0;  // of the time in passes that compute waited for the disk
  double disk_busy_share = 0;  // of the time since the model was opened
  int64_t disk_bytes = 0;
  int64_t resident_bytes = 0;  // weights that stay in memory
  int64_t streamed_bytes = 0;  // weights read each pass
  int64_t ring_bytes = 0;
  int64_t peak_rss_bytes = 0;
  int64_t max_ram_bytes = 0;
  std::string max_ram_source;  // of a budget that nobody gave
  int64_t passes = 0;
  int num_threads = 0;
  uint64_t seed = 0;
  std::string io;
  std::string isa;
  bool fast_math = false;
  std::vector<std::string> fallback_tensors;
  std::optional<DeviceReport> device;  // that computed
};

// `seconds_before`: from the command's beginning until the prompt was given to the model.
RunReport MakeReport(const Session& session, const OpenOptions& options,
                     const GenerateOptions& generate, int64_t prompt_tokens, double seconds_before,
                     const GenerateResult& result) {
  const Model& model = *session.model;
  const StreamCounters stream = model.stream_counters();
  const PassCounters passes = model.pass_counters();
  const auto ratio = [](double a, double b) { return b > 0 ? a / b : 0.0; };
  RunReport r;
  r.prompt_tokens = prompt_tokens;
  r.generated_tokens = static_cast<int64_t>(result.ids.size());
  r.loading_s = result.loading_seconds;
  if (!result.ids.empty()) r.first_token_s = seconds_before + result.first_token_seconds;
  r.prompt_tokens_per_s =
      ratio(static_cast<double>(prompt_tokens), result.prompt_seconds - result.loading_seconds);
  const auto tokens = static_cast<double>(result.generation_tokens);
  r.generation_tokens_per_s = ratio(tokens, result.generation_seconds);
  r.speculator = session.speculator.get();
  r.tokens_per_pass = ratio(tokens, static_cast<double>(result.generation_passes));
  if (ProbeKnowsStore(options, session)) {
    const PassFloor token = FloorOf(
        DescribeSequencePass(session.store->manifest(), model.plan(), options, prompt_tokens,
                             /*rows=*/1, /*logit_rows=*/1),
        RememberedRates(options, session));
    r.predicted_tokens_per_s = ratio(1, token.predicted_s());
    r.bound_by = token.bound_by();
  }
  r.seconds_per_pass = ratio(passes.pass_seconds, passes.passes);
  r.bytes_per_token = ratio(static_cast<double>(result.generation_bytes_read), tokens);
  r.disk_gb_per_s = ratio(stream.io.bytes_read / 1e9, stream.io.busy_seconds);
  r.disk_wait_share = std::min(1.0, ratio(passes.wait_disk_seconds, passes.pass_seconds));
  r.disk_busy_share =
      ratio(stream.io.busy_seconds, stream.io.busy_seconds + stream.io.idle_seconds);
  r.disk_bytes = stream.io.bytes_read;
  r.resident_bytes = model.plan().weight_bytes - model.plan().residency.streamed_bytes;
  r.streamed_bytes = model.plan().residency.streamed_bytes;
  r.ring_bytes = model.plan().host().ring_bytes;
  r.peak_rss_bytes = PeakRssBytes();
  r.max_ram_bytes = options.max_ram_bytes;
  r.max_ram_source = options.max_ram_source;
  r.passes = passes.passes;
  r.num_threads = session.pool->num_threads();
  r.seed = generate.sampler.seed;
  r.io = model.io_description();
  r.isa = std::string(IsaName(options.isa));
  r.fast_math = session.fast_math;
  for (const ManifestTensor& tensor : session.store->manifest().tensors) {
    if (tensor.fallback) r.fallback_tensors.push_back(tensor.name);
  }
  if (session.gpu != nullptr) r.device = MakeDeviceReport(session);
  return r;
}

nlohmann::json ReportToJson(const RunReport& r) {
  nlohmann::json object = {{"prompt_tokens", r.prompt_tokens},
                           {"generated_tokens", r.generated_tokens},
                           {"first_token_s", r.first_token_s},
                           {"loading_s", r.loading_s},
                           {"prompt_tokens_per_s", r.prompt_tokens_per_s},
                           {"generation_tokens_per_s", r.generation_tokens_per_s},
                           {"seconds_per_pass", r.seconds_per_pass},
                           {"bytes_per_token", r.bytes_per_token},
                           {"disk_gb_per_s", r.disk_gb_per_s},
                           {"disk_wait_share", r.disk_wait_share},
                           {"disk_busy_share", r.disk_busy_share},
                           {"disk_bytes", r.disk_bytes},
                           {"resident_bytes", r.resident_bytes},
                           {"streamed_bytes", r.streamed_bytes},
                           {"ring_bytes", r.ring_bytes},
                           {"peak_rss_bytes", r.peak_rss_bytes},
                           {"max_ram_bytes", r.max_ram_bytes},
                           {"most_rss_bytes", r.max_ram_bytes + kOverheadBytes},
                           {"passes", r.passes},
                           {"threads", r.num_threads},
                           {"seed", r.seed},
                           {"io", r.io},
                           {"isa", r.isa},
                           {"fast_math", r.fast_math},
                           {"fallback_tensors", r.fallback_tensors}};
  if (r.predicted_tokens_per_s > 0) {
    object["predicted_tokens_per_s"] = r.predicted_tokens_per_s;
    object["bound_by"] = r.bound_by;
  }
  AddDraftReport(r.speculator, r.tokens_per_pass, &object);
  if (r.device.has_value()) object["device"] = DeviceReportToJson(*r.device);
  return object;
}

void PrintReport(const RunReport& r) {
  if (r.generated_tokens > 0) {
    std::fprintf(
        stderr,
        "first token  after %.2f s, %.2f s of them waiting for weights that stay in memory\n",
        r.first_token_s, r.loading_s);
  }
  const bool has_speed = r.generated_tokens > 1;  // the first token is the prompt's
  if (r.generated_tokens > 0) {
    std::fprintf(stderr, "prompt       %6d tokens  %9.2f tokens/s without that\n",
                 static_cast<int>(r.prompt_tokens), r.prompt_tokens_per_s);
  } else {
    std::fprintf(stderr, "prompt       %6d tokens\n", static_cast<int>(r.prompt_tokens));
  }
  if (has_speed) {
    std::fprintf(stderr, "generation   %6d tokens  %9.2f tokens/s  %.4f s a pass, %d passes\n",
                 static_cast<int>(r.generated_tokens), r.generation_tokens_per_s,
                 r.seconds_per_pass, static_cast<int>(r.passes));
  } else {
    std::fprintf(stderr, "generation   %6d tokens, %d passes\n",
                 static_cast<int>(r.generated_tokens), static_cast<int>(r.passes));
  }
  PrintDraftReport(r.speculator, r.tokens_per_pass);
  if (has_speed && r.predicted_tokens_per_s > 0) {
    std::fprintf(
        stderr,
        "predicted                   %9.2f tokens/s, bound by %s, from the probe of this machine\n",
        r.predicted_tokens_per_s, r.bound_by.c_str());
  }
  std::fprintf(stderr, "disk         %.4f GB read%s, %.2f GB/s while reading (%s)\n",
               (has_speed ? r.bytes_per_token : static_cast<double>(r.disk_bytes)) / 1e9,
               has_speed ? " a token" : "", r.disk_gb_per_s, r.io.c_str());
  std::fprintf(
      stderr,
      "             busy %.0f%% of the time; computing waited for it %.0f%% of the passes' time\n",
      100 * r.disk_busy_share, 100 * r.disk_wait_share);
  if (r.device.has_value()) PrintDeviceReport(*r.device);
  std::fprintf(stderr, "weights      %s resident, %s streamed each pass through a ring of %s\n",
               FormatBytes(r.resident_bytes).c_str(), FormatBytes(r.streamed_bytes).c_str(),
               FormatBytes(r.ring_bytes).c_str());
  std::fprintf(stderr, "memory       %s\n",
               DescribePeak(r.peak_rss_bytes, r.max_ram_bytes).c_str());
  if (!r.max_ram_source.empty())
    std::fprintf(stderr, "             the budget is %s\n", r.max_ram_source.c_str());
  std::fprintf(stderr, "kernels      %s%s, %d threads; seed %llu\n", r.isa.c_str(),
               r.fast_math ? " with --fast-math" : "", r.num_threads,
               static_cast<unsigned long long>(r.seed));
  if (!r.fallback_tensors.empty()) {
    std::fprintf(stderr, "fallback     %d tensors whose shape the encoding did not fit, first %s\n",
                 static_cast<int>(r.fallback_tensors.size()), r.fallback_tensors[0].c_str());
  }
}

// Then text on standard output and progress on a terminal do not meet.
bool StdoutIsFile() {
  struct stat info;
  return fstat(STDOUT_FILENO, &info) == 0 && S_ISREG(info.st_mode);
}

// Log probabilities are part of the JSON object alone.
absl::StatusOr<int64_t> ParseLogProbs(const Arguments& args) {
  if (!args.Has("--logprobs")) return -1;
  if (!args.Has("--json")) return UsageError("--logprobs needs --json");
  return args.Int("--logprobs", 0, 0, kMostLogProbs);
}

// What the log probabilities of all tokens that may come take, until they are printed.
absl::StatusOr<int64_t> LogProbBytes(const Session& session, const OpenOptions& options,
                                     const GenerateOptions& generate) {
  if (generate.top_logprobs < 0) return 0;
  SLUICE_ASSIGN_OR_RETURN(int64_t tokens, ContextOf(session, options));
  if (generate.max_new_tokens >= 0) tokens = std::min(tokens, generate.max_new_tokens);
  return tokens * (LogProbList::BytesPerToken(generate.top_logprobs) + kJsonBytesPerToken +
                   kJsonBytesPerTop * generate.top_logprobs);
}

// "logprobs" [ids] and "top" [ids][N] as `sluice score` prints them.
void AddLogProbs(const LogProbList& log_probs, int64_t top_k, nlohmann::json* object) {
  nlohmann::json& values = (*object)["logprobs"] = nlohmann::json::array();
  nlohmann::json top = nlohmann::json::array();
  for (size_t i = 0; i < log_probs.size(); ++i) {
    const TokenLogProb token = log_probs[i];
    values.push_back(token.log_prob);
    nlohmann::json entry = nlohmann::json::array();
    for (const auto& [id, log_prob] : token.top) entry.push_back({id, log_prob});
    top.push_back(std::move(entry));
  }
  if (top_k > 0) (*object)["top"] = std::move(top);
}

absl::Status CheckChatOptions(const Arguments& args) {
  if (args.Has("--chat")) {
    if (args.Has("--no-chat")) return UsageError("give one of --chat and --no-chat");
    return args.Has("--prompt-ids") ? UsageError("--chat wants a text: -p or -f")
                                    : absl::OkStatus();
  }
  for (const OptionSpec& option : ChatOptionSpecs()) {
    if (option.name == "--no-chat" || !args.Has(option.name)) continue;
    return UsageError(absl::StrCat(option.name, " needs --chat"));
  }
  return absl::OkStatus();
}

// The prompt of a conversation of one message. `generate` gets what ends the answer.
absl::StatusOr<std::vector<int32_t>> ChatPromptIds(const Arguments& args, const Session& session,
                                                   const OpenOptions& options,
                                                   GenerateOptions* generate) {
  SLUICE_ASSIGN_OR_RETURN(const ChatFront front, LoadChatFront(args, session));
  SLUICE_ASSIGN_OR_RETURN(std::string text, ReadPromptText(args, session, options));
  std::vector<ChatMessage> messages;
  if (args.Has("--system")) messages.push_back({"system", *args.Get("--system")});
  messages.push_back({"user", std::move(text)});
  SLUICE_ASSIGN_OR_RETURN(const int64_t context, ContextOf(session, options));
  absl::StatusOr<ChatPrompt> prompt =
      front.Encode(TextConversation(messages), LocalTime(std::time(nullptr)), context,
                   TextRoom(session, options));
  if (absl::IsOutOfRange(prompt.status())) return NoTextRoom("the conversation", session, options);
  SLUICE_RETURN_IF_ERROR(prompt.status());
  generate->end_tokens = front.turn_ends();
  return std::move(prompt->ids);
}

// Whoever asks an instruct model for an answer without its template gets a continuation, and
// wonders. A prompt with control tokens has been put into a template already.
bool MissesChatTemplate(const Arguments& args, const Session& session,
                        absl::Span<const int32_t> prompt) {
  if (session.tokenizer == nullptr || args.Has("--chat") || args.Has("--no-chat") ||
      args.Has("--json") || args.Has("--prompt-ids")) {
    return false;
  }
  const absl::StatusOr<ModelFiles> files = ModelFiles::Open(session.store->TokenizerDir());
  if (!files.ok() || !FindTemplate(*files, "", /*has_tools=*/false).ok()) return false;
  const absl::StatusOr<std::vector<int32_t>> around =
      session.tokenizer->Encode("", EncodeOptions());
  return around.ok() && std::none_of(prompt.begin(), prompt.end(), [&](int32_t id) {
           return session.tokenizer->IsSpecial(id) &&
                  std::find(around->begin(), around->end(), id) == around->end();
         });
}

// Opens the store, starts the model and reads the prompt, as early as each can be. `generate` gets
// what ends the answer of a chat.
absl::StatusOr<std::vector<int32_t>> StartAndReadPrompt(const Arguments& args, OpenOptions options,
                                                        Session* session,
                                                        GenerateOptions* generate) {
  const bool chat = args.Has("--chat");
  SLUICE_ASSIGN_OR_RETURN(*session, OpenStoreAlone(options));
  SLUICE_ASSIGN_OR_RETURN(options.kept_bytes, LogProbBytes(*session, options, *generate));
  SLUICE_RETURN_IF_ERROR(
      StartModelEarly(*session, options, chat ? kPrefillRows : MostPromptRows(args)));
  SLUICE_RETURN_IF_ERROR(LoadTokenizer(*session, options));
  SLUICE_ASSIGN_OR_RETURN(std::vector<int32_t> prompt,
                          chat ? ChatPromptIds(args, *session, options, generate)
                               : ReadPrompt(args, *session, options));
  if (prompt.empty()) {
    return absl::InvalidArgumentError("the prompt is empty; give at least one token");
  }
  if (MissesChatTemplate(args, *session, prompt)) {
    std::fprintf(stderr,
                 "sluice run: the store has a chat template; --chat puts it around the prompt, "
                 "--no-chat leaves it out without this line\n");
  }
  if (session->model == nullptr) {
    const auto rows = std::min<int64_t>(kPrefillRows, static_cast<int64_t>(prompt.size()));
    SLUICE_RETURN_IF_ERROR(StartModel(*session, options, rows, /*logits_of_all_rows=*/false));
  }
  return prompt;
}

// What is printed once the text is complete.
void PrintResult(const Session& session, const std::vector<int32_t>& prompt,
                 const GenerateResult& result, const RunReport& report, bool json,
                 int64_t top_logprobs) {
  if (json) {
    nlohmann::json object = {{"prompt_ids", prompt},
                             {"ids", result.ids},
                             {"text", result.text},
                             {"finish_reason", std::string(FinishReasonName(result.finish_reason))},
                             {"report", ReportToJson(report)}};
    if (top_logprobs >= 0) AddLogProbs(result.log_probs, top_logprobs, &object);
    std::printf("%s\n",
                object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return;
  }
  if (session.tokenizer == nullptr) {
    for (size_t i = 0; i < result.ids.size(); ++i) {
      std::printf("%s%d", i == 0 ? "" : ",", result.ids[i]);
    }
  }
  std::printf("\n");
  std::fflush(stdout);
  std::fprintf(stderr, "\n");
  PrintReport(report);
}

absl::Status Run(const Arguments& given) {
  const auto start = std::chrono::steady_clock::now();
  const Arguments args = WithEscapes(given);
  SLUICE_ASSIGN_OR_RETURN(OpenOptions options, ParseSessionOptions(args));
  SLUICE_RETURN_IF_ERROR(CheckPromptOptions(args));
  SLUICE_RETURN_IF_ERROR(CheckChatOptions(args));
  const bool chat = args.Has("--chat");
  SLUICE_ASSIGN_OR_RETURN(GenerateOptions generate, ParseGenerateOptions(args));
  SLUICE_ASSIGN_OR_RETURN(options.speculate, ParseSpeculateOptions(args));
  SLUICE_ASSIGN_OR_RETURN(generate.top_logprobs, ParseLogProbs(args));
  SLUICE_ASSIGN_OR_RETURN(const std::optional<GrammarText> grammar,
                          ReadGrammarOption(args, &options));
  const bool json = args.Has("--json");
  generate.interrupt = InstallInterruptHandler();

  Session session;
  SLUICE_ASSIGN_OR_RETURN(const std::vector<int32_t> prompt,
                          StartAndReadPrompt(args, options, &session, &generate));
  SLUICE_ASSIGN_OR_RETURN(generate.constraint,
                          MakeConstraint(grammar, session, generate.end_tokens));
  generate.speculator = session.speculator.get();
  std::unique_ptr<TraceWriter> trace;
  if (args.Has("--trace")) {
    SLUICE_ASSIGN_OR_RETURN(trace, TraceSession(session, "run", *args.Get("--trace")));
  }
  ModelProgress progress(session.model.get(), "prompt");
  generate.on_prompt = [&progress](int64_t rows) { progress.BeginRows(rows); };
  bool shown = false;  // some of a line that is not ended
  const auto show = [&shown](absl::string_view text) {
    shown |= !text.empty();
    return WriteOut(text);
  };
  // The prompt, which comes with the first text where the line of progress would hide it
  std::string held;
  const auto show_held = [&] { return show(std::exchange(held, "")); };
  if (!json) {
    if (session.tokenizer != nullptr && !chat && !args.Has("--no-display-prompt")) {
      held = session.tokenizer->Decode(prompt, /*skip_special=*/true);
    }
    if (!StderrIsTerminal()) SLUICE_RETURN_IF_ERROR(show_held());
    generate.on_text = [&, to_file = StdoutIsFile()](absl::string_view text) -> absl::Status {
      if (!to_file) progress.End();
      SLUICE_RETURN_IF_ERROR(show_held());
      return show(text);
    };
  }
  const std::chrono::duration<double> before = std::chrono::steady_clock::now() - start;
  const absl::StatusOr<GenerateResult> generated =
      Generate(*session.model, session.tokenizer.get(), prompt, generate);
  progress.End();
  if (!generated.ok()) {
    show_held().IgnoreError();  // an error that is told next
    if (shown) std::printf("\n");
    std::fflush(stdout);
    return generated.status();
  }
  SLUICE_RETURN_IF_ERROR(show_held());
  const GenerateResult& result = *generated;
  if (trace != nullptr) {
    session.model->FlushTimeline();
    SLUICE_RETURN_IF_ERROR(trace->Close());
  }
  const RunReport report = MakeReport(session, options, generate,
                                      static_cast<int64_t>(prompt.size()), before.count(), result);
  PrintResult(session, prompt, result, report, json, generate.top_logprobs);
  if (result.finish_reason == FinishReason::kInterrupt) return absl::CancelledError("interrupted");
  return absl::OkStatus();
}

}  // namespace

CommandSpec RunCommand() {
  CommandSpec command;
  command.name = "run";
  command.summary = "Generate text from a store, within a memory budget";
  command.positionals = {"STORE"};
  command.description =
      "Continues a prompt with the model in STORE. Weights that fit the budget stay in memory; "
      "the others are streamed from disk in each pass, ahead of the computation. The text goes "
      "to standard output as it comes, and a report to standard error.\n\n"
      "Ctrl-C stops after the current layer and still reports (exit code 130); twice stops at "
      "once.";
  command.options = PromptOptionSpecs();
  for (const OptionSpec& option : ChatOptionSpecs()) command.options.push_back(option);
  for (const OptionSpec& option : GenerateOptionSpecs()) command.options.push_back(option);
  for (const OptionSpec& option : SpeculateOptionSpecs(/*with_head=*/true)) {
    command.options.push_back(option);
  }
  const std::vector<OptionSpec> own = {
      {.name = "--no-display-prompt", .help = "Print only what is generated."},
      {.name = "--trace",
       .value = "FILE",
       .help = "Write what each stage did as a trace for ui.perfetto.dev."},
      {.name = "--json",
       .help = "Print one JSON object instead: prompt_ids, ids, text, finish_reason, report."},
      {.name = "--logprobs",
       .value = "N",
       .help =
           "With --json: also the log probability of each generated token (logprobs), and the N "
           "likeliest tokens with theirs (top: [[id, logprob], ...] a token). They are the "
           "model's, before sampling; 0 to 1000."},
  };
  command.options.insert(command.options.end(), own.begin(), own.end());
  for (const OptionSpec& option : GrammarOptionSpecs()) command.options.push_back(option);
  for (const OptionSpec& option : SessionOptionSpecs()) command.options.push_back(option);
  command.examples = {
      "sluice run llama-70b.store -p \"The sea was\" -n 64 --max-ram 6GiB",
      "sluice run bard.store -f scene.txt --temp 0 --json",
      "sluice run qwen3.store --chat -p \"Why is the sky blue?\" --system \"Be brief.\""};
  command.run = &Run;
  return command;
}

}  // namespace sluice
