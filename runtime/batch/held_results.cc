// Sums, and a walk over the input.
#include "runtime/batch/held_results.h"

#include <algorithm>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"
#include "runtime/batch/batch_job.h"
#include "runtime/batch/journal.h"
#include "runtime/batch/line_reader.h"
#include "runtime/sample/log_probs.h"

namespace sluice {
namespace {

// The objects of a choice, and the least that its lists and texts take.
constexpr int64_t kChoiceBytes = 1024;
// A token of an answer: its id and its text (about 8 bytes), in lists that have grown to twice
// their size, and what rewriting the journal takes.
constexpr int64_t kAnswerTokenBytes = 2 * (sizeof(int32_t) + 8) + 2 * sizeof(JournalEntry);
constexpr int64_t kTextOffsetBytes = 2 * sizeof(int64_t);
constexpr int64_t kLimitStepBytes = int64_t{64} << 10;

// Whether a line's request may hold anything; where a name is spelled with escapes, BatchJob finds
// out.
bool MayHold(absl::string_view line) {
  if (absl::StrContains(line, "\"n\"") || absl::StrContains(line, "logprobs\"")) return true;
  constexpr absl::string_view kPrompt = "\"prompt\"";
  for (size_t at = 0; (at = line.find(kPrompt, at)) != absl::string_view::npos;) {
    at += kPrompt.size();
    const size_t value = line.find_first_not_of(" \t:", at);
    if (value != absl::string_view::npos && line[value] == '[') return true;
  }
  return false;
}

// Of text that was not tokenized: a token has a byte at least, and a few may stand around the text.
PromptTokens GuessTokens(const CompletionRequest& request, size_t prompt, int64_t context_tokens) {
  constexpr int64_t kAround = 8;
  if (request.chat.has_value()) return {1, context_tokens};
  const PromptInput& input = request.prompts[prompt];
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&input); ids != nullptr) {
    const auto n = std::min<int64_t>(static_cast<int64_t>(ids->size()), context_tokens);
    return {n, n};
  }
  const auto bytes = static_cast<int64_t>(std::get<std::string>(input).size());
  return {1, std::min(bytes + kAround, context_tokens)};
}

}  // namespace

int64_t HeldBytes(const CompletionRequest& request, absl::Span<const PromptTokens> prompts,
                  int64_t context_tokens) {
  const bool logprobs = request.top_logprobs >= 0;
  const int64_t logprob_bytes = logprobs ? LogProbList::BytesPerToken(request.top_logprobs) : 0;
  int64_t bytes = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const PromptTokens& prompt = prompts[i];
    const int64_t answer =
        std::max<int64_t>(std::min(request.max_tokens, context_tokens + 1 - prompt.least), 0);
    const int64_t text = request.echo ? 8 * prompt.most : 0;
    int64_t each = answer * (logprobs ? logprob_bytes + kTextOffsetBytes : 0);
    if (request.echo) each += prompt.most * logprob_bytes;
    bytes += request.n * each;
    const int64_t choices = i == 0 ? request.n - 1 : request.n;
    bytes += choices * (kChoiceBytes + answer * kAnswerTokenBytes + text);
    if (i > 0) bytes += prompt.most * static_cast<int64_t>(sizeof(int32_t)) + text;
  }
  return bytes;
}

absl::StatusOr<int64_t> LargestHeldBytes(const std::string& input, bool plain_text,
                                         int64_t context_tokens, int64_t max_line_bytes,
                                         int64_t most_bytes) {
  int64_t largest = 0;
  if (plain_text) return largest;
  SLUICE_ASSIGN_OR_RETURN(LineReader reader, LineReader::Open(input, kMaxBatchLineBytes));
  LineReader::Line line;
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(const bool more, reader.Next(&line));
    if (!more) return largest;
    if (line.too_long || !MayHold(line.text)) continue;
    const BatchLine parsed = ParseBatchLine(line.text, line.number, plain_text, max_line_bytes);
    const auto* const request = std::get_if<CompletionRequest>(&parsed.request);
    if (request == nullptr) continue;
    std::vector<PromptTokens> prompts;
    for (size_t i = 0; i < request->prompts.size(); ++i) {
      prompts.push_back(GuessTokens(*request, i, context_tokens));
    }
    const int64_t bytes = HeldBytes(*request, prompts, context_tokens);
    if (bytes <= most_bytes) largest = std::max(largest, bytes);
  }
}

absl::StatusOr<HeldLimit> FindHeldLimit(const std::string& input, bool plain_text,
                                        int64_t context_tokens, int64_t max_line_bytes,
                                        absl::FunctionRef<bool(int64_t bytes)> fits) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t largest,
                          LargestHeldBytes(input, plain_text, context_tokens, max_line_bytes));
  // Where not even 0 fits, that is the plan's to say.
  if (largest == 0 || fits(largest)) return HeldLimit{largest, largest};
  int64_t good = 0, bad = largest;
  while (bad - good > kLimitStepBytes) {
    const int64_t middle = good + (bad - good) / 2;
    (fits(middle) ? good : bad) = middle;
  }
  SLUICE_ASSIGN_OR_RETURN(const int64_t next, LargestHeldBytes(input, plain_text, context_tokens,
                                                               max_line_bytes, good));
  return HeldLimit{next, good};
}

}  // namespace sluice
