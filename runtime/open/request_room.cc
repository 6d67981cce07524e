// Sums over sequences.
#include "runtime/open/request_room.h"

#include <algorithm>
#include <vector>

#include "runtime/batch/held_results.h"

namespace sluice {
namespace {

// The objects of a sequence, and what each of its tokens takes: its id in the request, in the
// sequence and in the result, and its text, in the events and in the answer.
constexpr int64_t kObjectBytes = 4096;
constexpr int64_t kTokenBytes = 3 * sizeof(int32_t) + 2 * 8;
constexpr int64_t kLeastWaiting = 16;

int64_t SequenceBytes(int64_t tokens) { return kObjectBytes + tokens * kTokenBytes; }

}  // namespace

int64_t RoomForRequests(int64_t max_sequences, int64_t context_tokens) {
  return std::max(kLeastWaiting, 2 * max_sequences) * SequenceBytes(context_tokens);
}

int64_t RequestBytes(const PreparedRequest& prepared, int64_t context_tokens) {
  const CompletionRequest& request = prepared.request;
  std::vector<PromptTokens> prompts;
  int64_t bytes = 0;
  for (const std::vector<int32_t>& prompt : prepared.prompts) {
    const auto tokens = static_cast<int64_t>(prompt.size());
    prompts.push_back({tokens, tokens});
    bytes += request.n * SequenceBytes(std::min(tokens + request.max_tokens, context_tokens + 1));
  }
  return bytes + HeldBytes(request, prompts, context_tokens);
}

}  // namespace sluice
