// sluice score: the log probability of each token of a text, for evaluation harnesses.
#include <algorithm>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "runtime/engine/scorer.h"
#include "runtime/open/session.h"
#include "runtime/sample/log_probs.h"
#include "tools/commands.h"
#include "tools/interrupt.h"
#include "tools/model_progress.h"
#include "tools/prompt_text.h"
#include "tools/session_options.h"

namespace sluice {
namespace {

// Of a score, and of one of the tokens of --top: the values of the JSON object and its text, with
// room that they grow into.
constexpr int64_t kBytesPerScore = 128;
constexpr int64_t kBytesPerTop = 192;

absl::Status Score(const Arguments& args) {
  SLUICE_ASSIGN_OR_RETURN(OpenOptions options, ParseSessionOptions(args));
  SLUICE_RETURN_IF_ERROR(CheckPromptOptions(args));
  SLUICE_ASSIGN_OR_RETURN(const int64_t top_k, args.Int("--top", 0, 0, 1 << 20));
  const std::atomic<bool>* const stop = InstallInterruptHandler();
  SLUICE_ASSIGN_OR_RETURN(Session session, OpenStore(options));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ReadPrompt(args, session, options));
  if (ids.empty())
    return absl::InvalidArgumentError("the text is empty: there are no tokens to score");
  const int64_t top_each = std::min(top_k, session.store->hyper_parameters().vocab_size);
  options.kept_bytes =
      static_cast<int64_t>(ids.size()) *
      (kBytesPerScore + kBytesPerTop * top_each + LogProbList::BytesPerToken(top_each));
  SLUICE_RETURN_IF_ERROR(StartModel(
      session, options, std::min<int64_t>(kPrefillRows, static_cast<int64_t>(ids.size())),
      /*logits_of_all_rows=*/true));
  nlohmann::json log_probs = nlohmann::json::array({nullptr});
  nlohmann::json top = nlohmann::json::array({nullptr});
  double sum = 0;
  ModelProgress progress(session.model.get(), "scoring");
  progress.BeginRows(static_cast<int64_t>(ids.size()));
  SLUICE_RETURN_IF_ERROR(
      ScoreTokens(*session.model, ids, 1, top_k, stop, [&](const TokenScore& score) {
        sum += score.log_prob;
        log_probs.push_back(score.log_prob);
        nlohmann::json entry = nlohmann::json::array();
        for (const auto& [id, log_prob] : score.top) entry.push_back({id, log_prob});
        top.push_back(std::move(entry));
      }));
  progress.End();
  if (args.Has("--json")) {
    nlohmann::json object = {{"ids", ids}, {"logprobs", std::move(log_probs)}};
    if (top_k > 0) object["top"] = std::move(top);
    std::printf("%s\n", object.dump().c_str());
    return absl::OkStatus();
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    std::printf("%8d  %s", ids[i], i == 0 ? "       -" : "");
    if (i > 0) std::printf("%8.4f", log_probs[i].get<double>());
    if (session.tokenizer != nullptr) {
      const nlohmann::json text = session.tokenizer->Decode(absl::MakeConstSpan(&ids[i], 1), false);
      std::printf("  %s",
                  text.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    }
    std::printf("\n");
  }
  std::printf("sum %.6f over %d tokens\n", sum, static_cast<int>(ids.size()) - 1);
  return absl::OkStatus();
}

}  // namespace

CommandSpec ScoreCommand() {
  CommandSpec command;
  command.name = "score";
  command.summary = "Print the log probability of each token of a text";
  command.positionals = {"STORE"};
  command.description =
      "Prints the natural log probability of each token, given the tokens before it. With "
      "--json: {\"ids\": [...], \"logprobs\": [null, ...], \"top\": [null, [[id, logprob], ...], "
      "...]}.";
  command.options = PromptOptionSpecs();
  command.options.push_back(
      {.name = "--top", .value = "K", .help = "Also give the K most likely tokens at each place."});
  command.options.push_back({.name = "--json", .help = "Print one JSON object."});
  for (const OptionSpec& option : SessionOptionSpecs()) command.options.push_back(option);
  command.examples = {"sluice score bard.store -p \"To be, or not to be\" --top 5 --json"};
  command.run = &Score;
  return command;
}

}  // namespace sluice
