// sluice perplexity: how well a store predicts a text.
#include <algorithm>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "runtime/engine/scorer.h"
#include "runtime/open/session.h"
#include "tools/commands.h"
#include "tools/interrupt.h"
#include "tools/model_progress.h"
#include "tools/prompt_text.h"
#include "tools/session_options.h"

namespace sluice {
namespace {

constexpr int64_t kDefaultWindow = 256;

absl::Status RunPerplexity(const Arguments& args) {
  SLUICE_ASSIGN_OR_RETURN(OpenOptions options, ParseSessionOptions(args));
  if (!args.Has("--ctx-size")) options.context_tokens = kDefaultWindow;
  SLUICE_ASSIGN_OR_RETURN(const int64_t max_tokens, args.Int("--tokens", -1, 1, int64_t{1} << 40));
  PerplexityOptions perplexity;
  SLUICE_ASSIGN_OR_RETURN(perplexity.stride, args.Int("--stride", 0, 1, int64_t{1} << 30));
  perplexity.rule = args.Get("--rule").value_or("every-token") == "llama.cpp"
                        ? PerplexityRule::kLlamaCpp
                        : PerplexityRule::kEveryToken;
  if (args.Has("--stride") && perplexity.rule == PerplexityRule::kLlamaCpp) {
    return UsageError(
        "--stride does not go with --rule llama.cpp, whose windows follow each other; leave it "
        "out");
  }
  const std::optional<std::string> file = args.Get("--file");
  if (!file.has_value()) return UsageError("-f FILE is missing: the text to predict");
  const std::atomic<bool>* const stop = InstallInterruptHandler();

  SLUICE_ASSIGN_OR_RETURN(Session session, OpenStore(options));
  if (session.tokenizer == nullptr) {
    return absl::FailedPreconditionError(
        "this model has no tokenizer; `sluice score --prompt-ids` scores ids");
  }
  const std::optional<int64_t> bos = session.store->hyper_parameters().bos_token_id;
  if (!bos.has_value()) {
    return absl::FailedPreconditionError(
        "this model has no bos_token_id to begin the windows with");
  }
  SLUICE_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, ReadLongText(*file, session, options));
  if (max_tokens > 0 && static_cast<int64_t>(tokens.size()) > max_tokens) {
    tokens.resize(max_tokens);
    tokens.shrink_to_fit();
  }
  options.kept_bytes = static_cast<int64_t>(tokens.size() * sizeof(tokens[0]));

  SLUICE_RETURN_IF_ERROR(StartModel(session, options, kPrefillRows, /*logits_of_all_rows=*/true));
  perplexity.context = session.model->plan().request.context_tokens;
  ModelProgress progress(session.model.get(), "perplexity");
  SLUICE_ASSIGN_OR_RETURN(
      const PerplexityResult result,
      Perplexity(*session.model, tokens, static_cast<int32_t>(*bos), perplexity, stop,
                 [&](int64_t done, int64_t total, const PerplexityResult& so_far) {
                   if (done == 0) {
                     progress.BeginCounts(total);
                   } else {
                     progress.ShowCounts(done, total,
                                         absl::StrFormat("perplexity %.4f", so_far.perplexity));
                   }
                 }));
  progress.End();
  if (args.Has("--json")) {
    const nlohmann::json object = {{"mean_nll", result.mean_nll},
                                   {"perplexity", result.perplexity},
                                   {"num_tokens", result.num_tokens}};
    std::printf("%s\n", object.dump().c_str());
  } else {
    std::printf("mean nll %.6f  perplexity %.4f  over %d tokens\n", result.mean_nll,
                result.perplexity, static_cast<int>(result.num_tokens));
  }
  return absl::OkStatus();
}

}  // namespace

CommandSpec PerplexityCommand() {
  CommandSpec command;
  command.name = "perplexity";
  command.summary = "Measure how well a store predicts a text";
  command.positionals = {"STORE"};
  command.description =
      "Prints the mean negative log likelihood (nats) and the perplexity of a text. The text is "
      "cut into consecutive windows of c-1 tokens, each preceded by bos; every token is scored, "
      "also in a shorter last window. --rule llama.cpp cuts and scores as llama-perplexity does: "
      "windows of c tokens, of which the second half is scored.";
  command.options = {
      {.name = "--file", .alias = "-f", .value = "FILE", .help = "The text; - is standard input."},
      {.name = "--tokens", .value = "N", .help = "Use only the first N tokens of the text."},
      {.name = "--stride",
       .value = "N",
       .help = "Tokens from one window's begin to the next one's (default c-1; every-token only)."},
      {.name = "--rule",
       .help = "How to cut and score (default every-token).",
       .choices = {"every-token", "llama.cpp"}},
      {.name = "--json", .help = "Print one JSON object instead."},
  };
  for (OptionSpec option : SessionOptionSpecs()) {
    if (option.name == "--ctx-size")
      option.help = "Window in tokens (default 256; 0: the model's context).";
    command.options.push_back(option);
  }
  command.examples = {"sluice perplexity bard.store -f bard-heldout.txt -c 256 --rule llama.cpp"};
  command.run = &RunPerplexity;
  return command;
}

}  // namespace sluice
