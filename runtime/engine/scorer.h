// Scores text: the log probability of each token given those before it.
#ifndef SLUICE_RUNTIME_ENGINE_SCORER_H_
#define SLUICE_RUNTIME_ENGINE_SCORER_H_

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/engine/engine.h"
#include "runtime/pass/model.h"

namespace sluice {

struct TokenScore {
  int64_t position;  // of the token that is scored: 1 .. n - 1
  double log_prob;   // natural, of tokens[position] given tokens[0 .. position - 1]
  // The most likely tokens, best first; at most `top_k`
  std::vector<std::pair<int32_t, double>> top;
};

// Scores one text after the other with one Engine. Thread-compatible.
class Scorer {
 public:
  // `model` is used by nobody else while this lives; its plan must have logits_of_all_rows.
  explicit Scorer(Model* model);

  // Runs `tokens` (1 .. context) as one sequence and then calls `on_score` for positions
  // first_scored (at least 1) .. n - 1, in order. InvalidArgument: no tokens, or more than the
  // context. Cancelled: `stop` was set. After an error of a pass nothing more can be scored.
  absl::Status Score(absl::Span<const int32_t> tokens, int64_t first_scored, int64_t top_k,
                     const std::atomic<bool>* stop,
                     absl::FunctionRef<void(const TokenScore&)> on_score);

 private:
  const int64_t context_tokens_;
  Engine engine_;
};

// How a text is cut into windows for perplexity.
enum class PerplexityRule : uint8_t {
  // Consecutive windows of context - 1 tokens, each preceded by bos, every token scored.
  kEveryToken,
  // llama-perplexity's: bos + text in windows of `context`, the first token of each replaced by
  // bos, the
  // incomplete last window dropped, scored are the targets behind the middle.
  kLlamaCpp,
};

struct PerplexityOptions {
  int64_t context = 256;  // tokens of a window, bos included; at least 2
  PerplexityRule rule = PerplexityRule::kEveryToken;
  // kEveryToken: tokens from the begin of a window to that of the next, at least 1; 0: context - 1,
  // so that windows follow each other. With context, each window's successor skips a token, as some
  // harnesses do.
  int64_t stride = 0;
};

struct PerplexityResult {
  double mean_nll = 0;     // nats a token
  double perplexity = 0;   // exp(mean_nll)
  int64_t num_tokens = 0;  // scored
};

// Perplexity of `text_tokens` (without special tokens). `on_window(done, total, so far)` before the
// first window, and after each. InvalidArgument: context below 2 or above the plan's, a negative
// stride, one with kLlamaCpp, or a text too short for one window.
absl::StatusOr<PerplexityResult> Perplexity(
    Model& model, absl::Span<const int32_t> text_tokens, int32_t bos,
    const PerplexityOptions& options, const std::atomic<bool>* stop,
    absl::FunctionRef<void(int64_t done, int64_t total, const PerplexityResult&)> on_window);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_ENGINE_SCORER_H_
