// Log probabilities and perplexity.
#include "runtime/engine/scorer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace sluice {

Scorer::Scorer(Model* model)
    : context_tokens_(model->plan().request.context_tokens),
      engine_(model, /*tokenizer=*/nullptr, {.max_sequences = 1}) {}

absl::Status Scorer::Score(absl::Span<const int32_t> tokens, int64_t first_scored, int64_t top_k,
                           const std::atomic<bool>* stop,
                           absl::FunctionRef<void(const TokenScore&)> on_score) {
  const int64_t n = static_cast<int64_t>(tokens.size());
  if (n == 0) return absl::InvalidArgumentError("there are no tokens to score");
  if (n > context_tokens_) {
    return absl::InvalidArgumentError(absl::StrCat("there are ", n,
                                                   " tokens to score, the context has only ",
                                                   context_tokens_, "; give a larger -c"));
  }
  if (first_scored >= n) return absl::OkStatus();
  SequenceRequest request;
  request.prompt.assign(tokens.begin(), tokens.end());
  request.max_new_tokens = 0;
  request.top_logprobs = std::max<int64_t>(top_k, 0);
  request.prompt_logprobs = true;
  request.first_prompt_logprob = first_scored;
  request.on_finish = [&](SequenceResult result) {
    for (size_t i = 0; i < result.prompt_log_probs.size(); ++i) {
      TokenLogProb score = result.prompt_log_probs[i];
      on_score({first_scored + static_cast<int64_t>(i), score.log_prob, std::move(score.top)});
    }
  };
  SLUICE_RETURN_IF_ERROR(engine_.Submit(std::move(request)).status());
  while (!engine_.idle()) SLUICE_RETURN_IF_ERROR(engine_.Step(stop).status());
  return absl::OkStatus();
}

absl::StatusOr<PerplexityResult> Perplexity(
    Model& model, absl::Span<const int32_t> text_tokens, int32_t bos,
    const PerplexityOptions& options, const std::atomic<bool>* stop,
    absl::FunctionRef<void(int64_t done, int64_t total, const PerplexityResult&)> on_window) {
  const int64_t context = options.context;
  const PerplexityRule rule = options.rule;
  if (options.stride < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("windows cannot be ", options.stride, " tokens apart"));
  }
  if (options.stride > 0 && rule == PerplexityRule::kLlamaCpp) {
    return absl::InvalidArgumentError(
        "llama.cpp's rule takes no stride: its windows follow each other");
  }
  if (context < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("a window of ", context, " tokens scores nothing"));
  }
  // A window is bos and up to context - 1 tokens of the text. llama.cpp's first one begins with a
  // bos before the text; in the others bos takes the place of a token.
  const int64_t num_tokens = static_cast<int64_t>(text_tokens.size());
  const int64_t stride = rule == PerplexityRule::kLlamaCpp ? context
                         : options.stride > 0              ? options.stride
                                                           : context - 1;
  const int64_t num_windows = rule == PerplexityRule::kLlamaCpp
                                  ? (num_tokens + 1) / context
                                  : (num_tokens + stride - 1) / stride;
  if (num_windows == 0) {
    return absl::InvalidArgumentError(absl::StrCat("a text of ", text_tokens.size(),
                                                   " tokens does not fill a window of ", context));
  }
  const int64_t first_scored = rule == PerplexityRule::kEveryToken ? 1 : context / 2 + 1;
  PerplexityResult result;
  double sum = 0;
  std::vector<int32_t> window;
  Scorer scorer(&model);
  on_window(0, num_windows, result);
  for (int64_t w = 0; w < num_windows; ++w) {
    const absl::Span<const int32_t> part = text_tokens.subspan(w * stride, context - 1);
    window.assign(1, bos);
    window.insert(window.end(), part.begin(), part.end());
    SLUICE_RETURN_IF_ERROR(
        scorer.Score(window, first_scored, 0, stop, [&](const TokenScore& score) {
          sum -= score.log_prob;
          ++result.num_tokens;
        }));
    result.mean_nll = sum / static_cast<double>(std::max<int64_t>(result.num_tokens, 1));
    result.perplexity = std::exp(result.mean_nll);
    on_window(w + 1, num_windows, result);
  }
  return result;
}

}  // namespace sluice
