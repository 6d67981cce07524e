// What requests hold in memory from their first answer until their last, when their line is
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

// Tokens of a prompt, as far as they are known.
struct PromptTokens {
  int64_t least = 1;
  int64_t most = 1;
};

// The most that `request` holds, with one of `prompts` for each of its prompts: log probabilities,
// and what its choices and prompts take but for the first, which counts as a sequence of
// PlanBatch's like those of plain requests. So a request with one answer and no log probabilities
// holds 0.
int64_t HeldBytes(const CompletionRequest& request, absl::Span<const PromptTokens> prompts,
                  int64_t context_tokens);

// What a job may hold.
struct HeldLimit {
  int64_t bytes = 0;  // at once; a request that holds more is refused
  // What the budget would have had room for, for the error of one that is refused.
  int64_t most_bytes = 0;
};

// The most bytes that a request of a batch file holds; requests that hold more than `most_bytes`
// are left out, and so are lines that may not be read (ParseBatchLine's max_bytes). Prompts are not
// tokenized, but taken to be as long as their text allows.
absl::StatusOr<int64_t> LargestHeldBytes(const std::string& input, bool plain_text,
                                         int64_t context_tokens, int64_t max_line_bytes,
                                         int64_t most_bytes = std::numeric_limits<int64_t>::max());

// LargestHeldBytes of the requests that there is room for, as `fits` says.
absl::StatusOr<HeldLimit> FindHeldLimit(const std::string& input, bool plain_text,
                                        int64_t context_tokens, int64_t max_line_bytes,
                                        absl::FunctionRef<bool(int64_t bytes)> fits);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_HELD_RESULTS_H_
