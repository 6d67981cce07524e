// A walk over the requests.
#include "runtime/batch/batch_shape.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_set.h"
#include "kernels/base/status_macros.h"
#include "kernels/ops.h"
#include "runtime/batch/batch_job.h"
#include "runtime/batch/held_results.h"
#include "runtime/batch/line_reader.h"
#include "runtime/batch/prefix_sample.h"
#include "runtime/constrain/constraints.h"
#include "runtime/openai/completion_request.h"
#include "runtime/openai/completion_response.h"
#include "storage/store/manifest.h"

namespace sluice {
namespace {

// Of lines whose prompts are tokenized, and of all that are looked at: the job parses them again.
constexpr int64_t kMostTokenizedBytes = int64_t{4} << 20;
constexpr int64_t kMostParsedBytes = int64_t{256} << 20;

class ShapeMeter {
 public:
  ShapeMeter(const JobInput& input, const DoneBefore& done, const PromptEncoder& encoder,
             int64_t context_tokens)
      : input_(input), done_(done), encoder_(encoder), context_tokens_(context_tokens) {}

  absl::StatusOr<BatchShape> Run() {
    SLUICE_ASSIGN_OR_RETURN(LineReader reader, LineReader::Open(input_.path, kMaxBatchLineBytes));
    LineReader::Line line;
    bool more = true;
    while (parsed_bytes_ < kMostParsedBytes &&
           static_cast<int64_t>(lengths_.size()) < kMostMeasuredSequences) {
      SLUICE_ASSIGN_OR_RETURN(more, reader.Next(&line));
      if (!more) break;
      ++lines_;
      if (line.too_long || IsBlankLine(line.text)) continue;
      parsed_bytes_ += static_cast<int64_t>(line.text.size());
      BatchLine parsed =
          ParseBatchLine(line.text, line.number, input_.plain_text, encoder_.max_bytes());
      if (input_.num_parts > 1 && PartOf(parsed.custom_id, input_.num_parts) != input_.part)
        continue;
      if (done_.lines.contains(ResultIds(line.number, parsed.custom_id).line)) {
        ++done_lines_;
        continue;
      }
      if (!seen_.insert(Checksum(parsed.custom_id)).second) continue;
      auto* const request = std::get_if<CompletionRequest>(&parsed.request);
      if (request != nullptr) Take(*request, line.number, static_cast<int64_t>(line.text.size()));
    }
    return Shape(/*all=*/!more);
  }

 private:
  // Encoding moves ids out of the request.
  void Take(CompletionRequest& request, int64_t line, int64_t line_bytes) {
    if (request.grammar.has_value()) {
      ++constrained_;
      if (grammars_.insert(request.grammar->text).second) {
        // One that cannot be compiled takes nothing: its request fails.
        shape_.grammar_bytes =
            std::max(shape_.grammar_bytes, CheckGrammar(*request.grammar).value_or(0));
      }
    }
    const bool tokenizes = tokenized_bytes_ < kMostTokenizedBytes;
    std::vector<PromptTokens> sizes;
    for (size_t i = 0; i < request.prompts.size(); ++i) {
      int64_t n = 0;
      if (tokenizes) {
        const std::variant<ChatPrompt, ApiError> encoded =
            encoder_.Encode(request, i, context_tokens_);
        const auto* const prompt = std::get_if<ChatPrompt>(&encoded);
        n = prompt == nullptr ? 0 : static_cast<int64_t>(prompt->ids.size());
        if (n > 0 && n <= context_tokens_) {
          prefixes_.Add(prompt->ids, request.echo ? 0 : n - 1, request.n);
          tokenized_tokens_ += static_cast<double>(n);
        }
      } else {
        const double tokens = tokenized_tokens_ / static_cast<double>(tokenized_bytes_) *
                              static_cast<double>(line_bytes) /
                              static_cast<double>(request.prompts.size());
        n = std::clamp<int64_t>(std::llround(tokens), 1, context_tokens_);
      }
      if (n == 0 || n > context_tokens_) continue;  // ids may be more
      sizes.push_back({n, n});
      prompts_ += 1;
      prompt_tokens_ += static_cast<double>(n);
      const int64_t answer = std::min(request.max_tokens, context_tokens_ - n);
      answer_tokens_ += static_cast<double>(answer);
      for (int64_t k = 0; k < request.n; ++k) {
        const auto journaled = done_.tokens.find(
            {line, static_cast<int32_t>(static_cast<int64_t>(i) * request.n + k)});
        const int64_t had =
            journaled == done_.tokens.end() ? 0 : std::min(journaled->second, answer);
        lengths_.push_back({n + had, answer - had});
      }
    }
    if (sizes.empty()) return;
    if (tokenizes) tokenized_bytes_ += line_bytes;
    held_bytes_ += HeldBytes(request, sizes, context_tokens_);
  }

  BatchShape Shape(bool all) {
    shape_.num_grammars = static_cast<int64_t>(grammars_.size());
    // None like another: then those that follow are not either.
    if (constrained_ > 1 && shape_.num_grammars == constrained_)
      shape_.num_grammars = BatchShape::kEachItsOwn;
    if (prompts_ == 0) return std::move(shape_);
    const auto sequences = static_cast<double>(lengths_.size());
    shape_.held_bytes_each = static_cast<int64_t>(static_cast<double>(held_bytes_) / sequences);
    shape_.prompt_tokens = prompt_tokens_ / prompts_;
    shape_.answer_tokens = answer_tokens_ / prompts_;
    shape_.shared_pages_each = prefixes_.shared_pages_each();
    shape_.shared_pages = static_cast<double>(prefixes_.shared_pages());
    shape_.shared_among = static_cast<double>(prefixes_.sequences());
    // Lines that nobody looked at are taken to be like those that were left among the others.
    const double a_line = sequences / static_cast<double>(lines_ - done_lines_);
    shape_.num_sequences = static_cast<int64_t>(
        std::ceil(sequences + a_line * static_cast<double>(input_.num_lines - lines_)));
    if (all) {
      shape_.num_sequences = static_cast<int64_t>(lengths_.size());
      shape_.left = std::move(lengths_);
    }
    return std::move(shape_);
  }

  const JobInput& input_;
  const DoneBefore& done_;
  const PromptEncoder& encoder_;
  const int64_t context_tokens_;
  BatchShape shape_;
  std::vector<SequenceLength> lengths_;
  double prompts_ = 0, prompt_tokens_ = 0, answer_tokens_ = 0;
  double tokenized_tokens_ = 0;  // of prompt_tokens_, in lines of tokenized_bytes_
  int64_t held_bytes_ = 0;
  PrefixSample prefixes_;
  int64_t lines_ = 0;       // that were looked at
  int64_t done_lines_ = 0;  // of them
  int64_t parsed_bytes_ = 0, tokenized_bytes_ = 0;
  int64_t constrained_ = 0;
  std::set<std::string> grammars_;
  absl::flat_hash_set<uint64_t> seen_;  // hashes of custom_ids
};

}  // namespace

void ExpectSequences(int64_t num_sequences, BatchShape* shape) {
  shape->num_sequences = num_sequences;
  shape->left.clear();
  if (num_sequences > kMostMeasuredSequences) return;
  shape->left.assign(num_sequences,
                     {std::llround(shape->prompt_tokens), std::llround(shape->answer_tokens)});
}

double OwnPromptTokens(const BatchShape& shape, double sequences) {
  const double distinct = shape.shared_pages * std::max(sequences / shape.shared_among, 1.0);
  const double saved =
      std::max(shape.shared_pages_each - distinct / sequences, 0.0) * kKvPageTokens;
  return std::max(shape.prompt_tokens - saved, 0.0);
}

absl::StatusOr<BatchShape> MeasureShape(const JobInput& input, const DoneBefore& done,
                                        const PromptEncoder& encoder, int64_t context_tokens) {
  return ShapeMeter(input, done, encoder, context_tokens).Run();
}

}  // namespace sluice
