// A client of Engine that waits for its one sequence and measures its passes.
#include "runtime/engine/generator.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/request_error.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

// The error of a prompt or an option that the engine does not take.
absl::Status Refusal(const RequestError& error) {
  if (error.code == "context_length_exceeded") {
    return absl::InvalidArgumentError(
        absl::StrCat(error.message, "; shorten it or give a larger -c"));
  }
  return absl::InvalidArgumentError(error.message);
}

// Splits time and bytes into the prompt's and those of generation.
class PassMeter {
 public:
  // What start-up read ahead belongs to the first prompt.
  PassMeter(const Model& model, GenerateResult* result)
      : model_(model),
        result_(*result),
        loads_(model.pass_counters().passes == 0),
        bytes_before_(loads_ ? 0 : model.stream_counters().io.bytes_read) {}

  // Behind each pass, which began at `start` with `generating` where a token had been chosen.
  void Add(Clock::time_point start, bool generating) {
    const int64_t bytes_now = model_.stream_counters().io.bytes_read;
    (generating ? result_.generation_seconds : result_.prompt_seconds) += SecondsSince(start);
    (generating ? result_.generation_bytes_read : result_.prompt_bytes_read) +=
        bytes_now - bytes_before_;
    bytes_before_ = bytes_now;
    if (!std::exchange(loads_, false)) return;
    // The first walk reads all weights in order: what it waited for those that stay is their share.
    const MemoryPlan& plan = model_.plan();
    const auto kept = static_cast<double>(plan.weight_bytes - plan.residency.streamed_bytes);
    const double share = kept / static_cast<double>(plan.weight_bytes);
    result_.loading_seconds =
        std::min(share * model_.pass_counters().wait_disk_seconds, result_.prompt_seconds);
  }

 private:
  const Model& model_;
  GenerateResult& result_;
  bool loads_;
  int64_t bytes_before_;
};

// The request of `options`, without its callbacks.
SequenceRequest RequestFor(const Model& model, absl::Span<const int32_t> prompt,
                           const GenerateOptions& options, CachedTokens* cache) {
  SequenceRequest request;
  request.prompt.assign(prompt.begin(), prompt.end());
  request.max_new_tokens =
      options.max_new_tokens < 0 ? model.plan().request.context_tokens : options.max_new_tokens;
  request.sampler = options.sampler;
  request.stop = options.stop;
  request.end_tokens = options.end_tokens;
  request.ignore_eos = options.ignore_eos;
  request.constraint = options.constraint;
  request.top_logprobs = options.top_logprobs;
  request.cache = cache;
  return request;
}

}  // namespace

absl::StatusOr<GenerateResult> Generate(Model& model, const Tokenizer* tokenizer,
                                        absl::Span<const int32_t> prompt,
                                        const GenerateOptions& options, CachedTokens* cache) {
  const auto start = Clock::now();
  GenerateResult result;
  SequenceRequest request = RequestFor(model, prompt, options, cache);
  Engine engine(&model, tokenizer, {.max_sequences = 1, .speculator = options.speculator});
  if (const auto error = engine.Check(request); error.has_value()) return Refusal(*error);

  absl::Status failed;
  bool generating = false;
  const auto show = [&](absl::string_view text) {
    if (text.empty() || !failed.ok()) return;
    result.text.append(text.data(), text.size());
    if (options.on_text) failed = options.on_text(text);
  };
  request.on_token = [&](int32_t, absl::string_view text) {
    if (!std::exchange(generating, true)) result.first_token_seconds = SecondsSince(start);
    show(text);
  };
  request.on_finish = [&](SequenceResult got) {
    if (!got.status.ok()) failed = got.status;
    // What was held back until nothing more could come.
    if (failed.ok()) show(absl::string_view(got.text).substr(result.text.size()));
    result.ids = std::move(got.ids);
    result.log_probs = std::move(got.log_probs);
    result.finish_reason = got.finish_reason;
  };
  const bool any = options.max_new_tokens != 0;
  SLUICE_ASSIGN_OR_RETURN(const int64_t id, engine.Submit(std::move(request)));
  result.reused_tokens = engine.reused_tokens(id);
  if (options.on_prompt && any) {
    options.on_prompt(static_cast<int64_t>(prompt.size()) - result.reused_tokens);
  }
  PassMeter meter(model, &result);
  while (!engine.idle()) {
    const bool was_generating = generating;
    const auto pass_start = Clock::now();
    const absl::StatusOr<StepReport> step = engine.Step(options.interrupt);
    const bool interrupted = absl::IsCancelled(step.status());
    if (!step.ok() && !interrupted) return step.status();
    if (interrupted || step->rows > 0) meter.Add(pass_start, was_generating);
    if (!interrupted && was_generating) result.generation_tokens += step->tokens;
    result.generation_passes += !interrupted && was_generating;
    if (!failed.ok()) return failed;
    const bool asked = options.interrupt != nullptr && options.interrupt->load() && generating;
    if ((interrupted || asked) && !engine.idle()) engine.Interrupt(id);
  }
  if (!failed.ok()) return failed;
  return result;
}

}  // namespace sluice
