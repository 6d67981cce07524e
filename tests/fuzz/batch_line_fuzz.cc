// Fuzzes lines of batch files: what parses is a request within its limits, what does not is an
// error with a message.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <variant>

#include "absl/strings/string_view.h"
#include "runtime/openai/completion_request.h"

namespace {

using sluice::CompletionRequest;

void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckLimits(const CompletionRequest& request) {
  Require(!request.prompts.empty());
  Require(request.n >= 1 && request.num_choices() <= sluice::kMaxChoices);
  Require(request.best_of == 1 || request.best_of == request.n);
  Require(request.max_tokens >= 0 && request.max_tokens <= int64_t{1} << 40);
  Require(request.min_tokens >= 0 && request.min_tokens <= request.max_tokens);
  Require(request.top_logprobs >= -1 && request.top_logprobs <= sluice::kMaxTopLogprobs);
  Require(request.stop.size() <= sluice::kMaxStops);
  for (const std::string& stop : request.stop) Require(!stop.empty());
  Require(request.stop_token_ids.size() <= sluice::kMaxStopTokens);
  for (const int32_t id : request.stop_token_ids) Require(id >= 0);
  Require(request.allowed_token_ids == nullptr || !request.allowed_token_ids->empty());
  Require(request.sampler.top_k >= 0 && std::isfinite(request.sampler.temperature));
  Require(!request.chat.has_value() || !request.chat->messages.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > (1 << 16)) return 0;
  const absl::string_view line(reinterpret_cast<const char*>(data), size);
  for (const bool plain_text : {false, true}) {
    const sluice::BatchLine parsed = sluice::ParseBatchLine(line, 7, plain_text);
    Require(!parsed.custom_id.empty() && parsed.custom_id.size() <= 512);
    if (const auto* const error = std::get_if<sluice::ApiError>(&parsed.request);
        error != nullptr) {
      Require(!error->message.empty() && !error->code.empty() && error->status_code == 400);
    } else {
      CheckLimits(std::get<CompletionRequest>(parsed.request));
    }
  }
  return 0;
}
