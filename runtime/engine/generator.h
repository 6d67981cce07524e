// Generates one text: an Engine with one sequence, and a clock.
#ifndef SLUICE_RUNTIME_ENGINE_GENERATOR_H_
#define SLUICE_RUNTIME_ENGINE_GENERATOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/engine/cached_tokens.h"
#include "runtime/engine/finish_reason.h"
#include "runtime/pass/model.h"
#include "runtime/sample/log_probs.h"
#include "runtime/sample/sampler.h"
#include "runtime/speculate/speculator.h"
#include "runtime/text/grammar/constraint.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {

struct GenerateOptions {
  int64_t max_new_tokens = -1;  // below 0: until an eos or the context is full
  SamplerOptions sampler;
  std::vector<std::string> stop;    // text that ends generation; it is not part of the result
  std::vector<int32_t> end_tokens;  // end it as the model's eos tokens do: a chat's end of turn
  bool ignore_eos = false;          // eos tokens neither end nor are avoided
  // What the text has to follow, over this model's vocabulary; null: nothing. It ends where the
  // grammar does, without an eos where nothing else could come, and max_new_tokens is kept to if
  // any text is that short.
  std::shared_ptr<grammar::Constraint> constraint = nullptr;
  // Below 0: no log probabilities; else also of that many likeliest tokens
  int64_t top_logprobs = -1;
  Speculator* speculator = nullptr;  // as in EngineOptions
  const std::atomic<bool>* interrupt = nullptr;
  std::function<void(int64_t rows)>
      on_prompt;  // before the first pass: tokens of the prompt that are to be computed
  // Gets the text as it comes: whole characters, never part of a stop text. An error ends
  // generation and is returned.
  std::function<absl::Status(absl::string_view)> on_text;
};

struct GenerateResult {
  std::vector<int32_t> ids;  // generated ones, with the eos that ended them
  // Of the ids, without the eos and from a stop text on; empty without a tokenizer
  std::string text;
  LogProbList log_probs;  // of the ids, where they were asked for
  FinishReason finish_reason = FinishReason::kLength;
  int64_t reused_tokens = 0;  // of the prompt, whose keys and values the cache had
  double prompt_seconds = 0;
  // Of prompt_seconds: the model's first pass waiting for weights that stay from then on
  double loading_seconds = 0;
  double first_token_seconds = 0;  // until the first one was chosen; 0 without any
  double generation_seconds = 0;   // of the passes after the prompt's
  int64_t prompt_bytes_read = 0;
  int64_t generation_bytes_read = 0;
  int64_t generation_passes = 0;
  int64_t generation_tokens = 0;  // that these passes gave: not the prompt's first ones
};

// Continues `prompt` (1 .. context tokens). `tokenizer` may be null: then there is no text. With
// `cache`, only what lies behind the longest common prefix of its tokens and the prompt is
// computed, to the same bits; afterwards, also after an error, it has the tokens that were
// computed. InvalidArgument: an empty prompt, or one longer than the context (both numbers); errors
// of grammar::Matcher.
absl::StatusOr<GenerateResult> Generate(Model& model, const Tokenizer* tokenizer,
                                        absl::Span<const int32_t> prompt,
                                        const GenerateOptions& options,
                                        CachedTokens* cache = nullptr);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_ENGINE_GENERATOR_H_
