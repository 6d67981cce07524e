// Runs many sequences at once, a pass at a time: whoever has a place in a pass gets a token from
// it.
#ifndef SLUICE_RUNTIME_ENGINE_ENGINE_H_
#define SLUICE_RUNTIME_ENGINE_ENGINE_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/engine/cached_tokens.h"
#include "runtime/engine/finish_reason.h"
#include "runtime/engine/pass_scheduler.h"
#include "runtime/engine/request_error.h"
#include "runtime/engine/stop_matcher.h"
#include "runtime/kv/kv_swap.h"
#include "runtime/kv/resume_cost.h"
#include "runtime/pass/model.h"
#include "runtime/sample/log_probs.h"
#include "runtime/sample/sampler.h"
#include "runtime/speculate/draft_tree.h"
#include "runtime/speculate/speculator.h"
#include "runtime/text/grammar/constraint.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {

struct SequenceResult {
  std::vector<int32_t> ids;  // generated ones, with the eos that ended them
  // Of the ids, without the eos and from a stop text on; empty without a tokenizer
  std::string text;
  FinishReason finish_reason = FinishReason::kLength;
  LogProbList log_probs;              // of the ids, where they were asked for
  std::vector<int64_t> text_offsets;  // of the ids: characters that were certain before each
  LogProbList prompt_log_probs;       // of the prompt's tokens from first_prompt_logprob on
  absl::Status status;  // an error: the grammar could not be followed, and the rest says nothing
};

struct SequenceRequest {
  std::vector<int32_t> prompt;
  // Tokens that an earlier process chose for this same request: generation continues after them.
  std::vector<int32_t> generated = {};
  int64_t max_new_tokens = 0;  // with those; the end of the context ends a sequence, too
  SamplerOptions sampler = OpenAiSampling();
  std::vector<std::string> stop = {};
  std::vector<int32_t> end_tokens =
      {};                   // end it as the model's eos tokens do: a chat's end of turn
  bool ignore_eos = false;  // neither eos nor end_tokens end it
  std::vector<int32_t> stop_tokens = {};  // end it all the same
  // With fewer tokens neither a token nor a stop text ends it, unless its constraint allows nothing
  // else.
  int64_t min_new_tokens = 0;
  // What ends it is part of the text: a stop text, or a token that has text
  bool show_stop = false;
  bool skip_special = true;  // control tokens are not part of the text
  // No others are chosen; null: all may be. Not beside a constraint.
  std::shared_ptr<const std::vector<int32_t>> allowed_tokens = nullptr;
  // What the text has to follow, over this model's vocabulary; null: nothing. It ends where the
  // grammar does, without an eos where nothing else could come, and max_new_tokens is kept to if
  // any text is that short.
  std::shared_ptr<grammar::Constraint> constraint = nullptr;
  // Below 0: no log probabilities; else also of that many likeliest tokens
  int64_t top_logprobs = -1;
  bool prompt_logprobs = false;      // with top_logprobs
  int64_t first_prompt_logprob = 1;  // then: the first position that has one
  // Pages of an earlier sequence, whose tokens up to the first other one are not computed again;
  // afterwards, also after an error, it has the tokens that were computed. The pages are not shared
  // with other sequences. Must outlive the sequence, and is not touched while it lives; null: none.
  CachedTokens* cache = nullptr;
  Priority priority = Priority::kInteractive;
  // Called by Step, may call Submit and Cancel. Behind each pass with rows of the prompt: how many
  // of its tokens are in the cache now, and of how many.
  std::function<void(int64_t done, int64_t total)> on_prompt = nullptr;
  // The same, before a token is chosen: the logits [vocab_size] that it is chosen by. They are
  // valid until the function returns.
  std::function<void(absl::Span<const float> logits)> on_logits = nullptr;
  // The same. A token that was chosen, and the text that is now
  // certain.
  std::function<void(int32_t token, absl::string_view text)> on_token = nullptr;
  std::function<void(SequenceResult result)> on_finish = nullptr;
};

struct EngineOptions {
  int64_t max_sequences = 1;  // at once
  int64_t balanced_rows = 0;  // as in ScheduleLimits
  // What decides whether a preempted sequence is swapped, where the model has a scratch file.
  // Zeros: never.
  ResumeCosts resume = {};
  // Drafts tokens that a pass computes beyond each sequence's next one, in the rows that the plan
  // has for that and the pass does not need; outlives the engine. Null: one token a pass.
  Speculator* speculator = nullptr;
};

// What a step did.
struct StepReport {
  int64_t rows = 0;
  int64_t logit_rows = 0;
  int64_t tokens = 0;         // chosen
  int64_t draft_rows = 0;     // of the rows
  int64_t kv_disk_bytes = 0;  // of pages that were read for the rows, and written
  int64_t kv_link_bytes = 0;  // of pages that were copied to a device for the rows, and back
};

// What a sequence gets does not depend on the others, nor on when it was submitted, cancelled or
// taken up again: logits do not (docs/architecture.md), and random numbers come from (seed,
// position). Thread-compatible.
class Engine {
 public:
  // `model` is used by nobody else while this lives; `tokenizer` may be null: then there is no
  // text.
  Engine(Model* model, const Tokenizer* tokenizer, const EngineOptions& options);
  ~Engine();

  // Queues a sequence behind those before it and returns its number. InvalidArgument: an empty
  // prompt, one longer than the context, a token outside the vocabulary, a parameter outside its
  // range.
  absl::StatusOr<int64_t> Submit(SequenceRequest request);
  // What is wrong with `request`, without submitting it; nothing where Submit would take it.
  std::optional<RequestError> Check(const SequenceRequest& request) const;
  // Forgets a sequence that has not finished; on_finish is not called.
  void Cancel(int64_t id);
  // Finishes a sequence with what it has; on_finish gets kInterrupt. Also after an error of Step.
  void Interrupt(int64_t id);

  // Runs one pass and calls what the sequences in it asked for. Nothing is left to do once idle().
  // Errors are RunPass's; the engine cannot be used after one.
  absl::StatusOr<StepReport> Step(const std::atomic<bool>* stop = nullptr);

  // Tokens of a submitted sequence's prompt that its cache had.
  int64_t reused_tokens(int64_t id) const;

  bool idle() const { return sequences_.empty(); }
  int64_t num_running() const { return scheduler_.num_running(); }
  int64_t num_waiting() const {
    return scheduler_.num_waiting() + static_cast<int64_t>(finished_.size());
  }
  const PassScheduler::Counters& counters() const { return scheduler_.counters(); }
  // The first failure to swap; from then on preempted sequences are computed again.
  absl::Status swap_status() const { return swap_ != nullptr ? swap_->status() : absl::OkStatus(); }

 private:
  struct Sequence;

  // Takes a chosen token into the text; finishes the sequence where it ends it.
  void Accept(Sequence& sequence, int32_t token);
  void Finish(Sequence& sequence, FinishReason reason);
  // Finishes a sequence whose grammar cannot be followed.
  void Fail(Sequence& sequence, absl::Status status);
  // Whether `token` ends the sequence.
  bool EndsWith(const Sequence& sequence, int32_t token) const;
  // Takes out of mask_ what min_new_tokens and allowed_tokens leave out; fills it first where it is
  // empty.
  void RestrictMask(const Sequence& sequence);
  // What a sequence has in a pass: rows of known tokens, and a tree behind the last one.
  struct Part {
    PassScheduler::Chunk chunk;
    DraftTree tree = {};
    // Of the tree's nodes: slots of the nodes above, one behind the other
    std::vector<int64_t> seen = {};
    bool generates = false;               // the last row is that of the sequence's last token
    std::vector<int32_t> chosen = {};     // tokens that came of the pass
    absl::Span<const float> hidden = {};  // of its rows, where a drafter wants to know them
    bool drafts() const { return tree.size() > 0; }
  };
  // Drafts for the parts that end with their sequence's last token.
  void DraftFor(std::vector<Part>& parts, const std::atomic<bool>* stop, StepReport* report);
  // Cuts a tree to what there is room for in the sequence's pages.
  void FitTree(Part& part);
  std::vector<PassRow> RowsOf(std::vector<Part>& parts) const;
  // Runs the pass of these parts.
  absl::StatusOr<absl::Span<const float>> Compute(std::vector<Part>& parts,
                                                  const std::atomic<bool>* stop,
                                                  StepReport* report);
  // Takes the logits of a part's rows, which are at the beginning of `logits`, and removes them
  // there.
  absl::Status TakePart(Part& part, absl::Span<const float>* logits, StepReport* report);
  // Goes down a part's tree as long as its nodes hold the tokens that are chosen. `logits` are the
  // tree's rows'.
  absl::Status WalkTree(Part& part, absl::Span<const float> logits);

  // Tells drafters the hidden rows of `count` rows of the part, from its row `first_row` on, which
  // are those of the sequence's tokens from number `first` on.
  void NoteHidden(const Part& part, int64_t first, int64_t first_row, int64_t count);

  // The logits of the row at `position` of the part's sequence.
  void TakeLogits(Part& part, int64_t position, absl::Span<const float> logits);
  void Deliver(int64_t id);
  // Calls on_prompt where the chunk has rows of a prompt.
  void TellPrompt(const PassScheduler::Chunk& chunk);
  // Takes the sequence out of the scheduler; its cache gets its pages back.
  void Release(int64_t id, Sequence& sequence);

  Model* const model_;
  const Tokenizer* const tokenizer_;
  const std::unique_ptr<KvSwap> swap_;  // null: there is no file for it
  PassScheduler scheduler_;
  Speculator* const speculator_;
  Sampler sampler_;
  grammar::TokenMask mask_;                                 // scratch
  std::map<int64_t, std::unique_ptr<Sequence>> sequences_;  // by the scheduler's number, or below 0
  std::deque<int64_t> finished_;  // submitted with nothing left to compute
  bool pass_failed_ = false;      // the last one: its rows are not in the cache
  double pass_seconds_ = 0;       // of the last one
  int64_t last_finished_ = 0;     // their numbers count down from here
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_ENGINE_ENGINE_H_
