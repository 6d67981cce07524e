// A request to /v1/completions or /v1/chat/completions, the body of a completion, and a line of a
// batch file around it.
#ifndef SLUICE_RUNTIME_OPENAI_COMPLETION_REQUEST_H_
#define SLUICE_RUNTIME_OPENAI_COMPLETION_REQUEST_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "runtime/chat/conversation.h"
#include "runtime/constrain/grammar_text.h"
#include "runtime/openai/api_error.h"
#include "runtime/sample/sampler.h"

namespace sluice {

// A prompt: text, or token ids.
using PromptInput = std::variant<std::string, std::vector<int32_t>>;

struct CompletionRequest {
  std::string model;                 // echoed
  std::vector<PromptInput> prompts;  // one or more; the answer's index is prompt * n + choice
  int64_t max_tokens = 16;
  SamplerOptions sampler = OpenAiSampling();  // without its seed
  std::optional<int64_t> seed;
  std::vector<std::string> stop;
  // As in vLLM and in SequenceRequest (runtime/engine/engine.h).
  std::vector<int32_t> stop_token_ids;
  std::shared_ptr<const std::vector<int32_t>> allowed_token_ids;  // null: all
  int64_t min_tokens = 0;
  bool ignore_eos = false;
  bool include_stop = false;
  bool skip_special = true;
  // The tokenizer's additions around a text, such as bos; a chat's template places those itself
  bool add_special = true;
  int64_t n = 1;
  int64_t best_of = 1;        // 1 or n: no answer is left out
  int64_t top_logprobs = -1;  // below 0: no log probabilities
  bool echo = false;
  std::optional<GrammarText> grammar;  // from response_format or grammar
  // A request to /v1/chat/completions: a chat template turns it into the one prompt; `prompts` has
  // one empty text in its place.
  std::optional<Conversation> chat;

  int64_t num_choices() const { return n * static_cast<int64_t>(prompts.size()); }
};

inline constexpr int64_t kMaxChoices = 4096;  // of one request
inline constexpr int64_t kMaxTopLogprobs = 20;
inline constexpr size_t kMaxStops = 16;
inline constexpr size_t kMaxStopBytes = size_t{64} << 10;  // of each
inline constexpr size_t kMaxStopTokens = 1024;

// Reads a body. A member that is null counts as missing, and members that change no answer are
// ignored (neutral_members.h). Every other member must be known and of its type.
std::variant<CompletionRequest, ApiError> ParseCompletionRequest(const nlohmann::json& body);

// Reads the JSON text of a body: to /v1/chat/completions where it has messages, else to
// /v1/completions. Any bytes may come. Half of a surrogate pair (\ud800), which is no character,
// counts as U+FFFD. A body whose JSON could take more than `max_bytes` of memory is an error that
// is found before it takes any.
std::variant<CompletionRequest, ApiError> ParseRequestBody(absl::string_view text,
                                                           int64_t max_bytes);

struct BatchLine {
  std::string custom_id;  // "line-N" where the line has none, or is no JSON
  std::variant<CompletionRequest, ApiError> request;
};

// Reads line `number` (from 1) of a batch file: {custom_id, method, url, body}, or a body alone,
// with or without a custom_id ({"prompt": ...} or {"messages": ...}). With `plain_text` the line is
// a prompt itself. The line may hold any bytes. Half of a surrogate pair (\ud800), which is no
// character, counts as U+FFFD. A line whose JSON could take more than `max_bytes` of memory is an
// error that is found before it takes any; its custom_id is read all the same.
BatchLine ParseBatchLine(absl::string_view line, int64_t number, bool plain_text,
                         int64_t max_bytes = std::numeric_limits<int64_t>::max());

// Such lines are skipped.
bool IsBlankLine(absl::string_view line);

// Names a line of which nothing else is known.
std::string DefaultCustomId(int64_t number);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPENAI_COMPLETION_REQUEST_H_
