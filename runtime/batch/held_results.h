// Counts the memory that requests hold from their first answer until their last, when their line is
// written.
#ifndef SLUICE_RUNTIME_BATCH_HELD_RESULTS_H_
#define SLUICE_RUNTIME_BATCH_HELD_RESULTS_H_

#include <cstdint>
#include <limits>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/openai/completion_request.h"

namespace sluice {

// The tokens of a prompt, as far as they are known.
struct PromptTokens {
  int64_t least = 1;
  int64_t most = 1;
};

// Returns the most bytes that `request` holds; `prompts` has the tokens of each of its prompts.
// They are the bytes of log probabilities, and of all choices and prompts but the first, which
// PlanBatch counts as a sequence. So a request with one answer and no log probabilities holds 0.
int64_t HeldBytes(const CompletionRequest& request, absl::Span<const PromptTokens> prompts,
                  int64_t context_tokens);

// The bytes that requests may hold.
struct HeldLimit {
  int64_t bytes = 0;  // of all requests at once; a request that holds more is refused
  // The bytes that the budget would have had room for, for the error of a request that is refused.
  int64_t most_bytes = 0;
};

// Returns the most bytes that a request of a batch file holds. Requests that hold more than
// `most_bytes` are left out, and so are lines that may not be read (ParseBatchLine's max_bytes).
// Prompts are not tokenized; they are assumed to be as long as their text allows.
absl::StatusOr<int64_t> LargestHeldBytes(const std::string& input, bool plain_text,
                                         int64_t context_tokens, int64_t max_line_bytes,
                                         int64_t most_bytes = std::numeric_limits<int64_t>::max());

// Returns the largest held bytes for which `fits` finds room.
absl::StatusOr<HeldLimit> FindHeldLimit(const std::string& input, bool plain_text,
                                        int64_t context_tokens, int64_t max_line_bytes,
                                        absl::FunctionRef<bool(int64_t bytes)> fits);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_HELD_RESULTS_H_
