// The loop from prompt to text.
#include "runtime/engine/generator.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/engine/request_error.h"

namespace sluice {

absl::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kInterrupt:
      return "interrupt";
  }
  return "";
}

std::string StopMatcher::Push(absl::string_view text) {
  if (stopped_) return "";
  absl::StrAppend(&held_, text);
  size_t found = std::string::npos;
  size_t stop_bytes = 0;
  for (const std::string& stop : stops_) {
    const size_t at = stop.empty() ? std::string::npos : held_.find(stop);
    if (at >= found) continue;
    found = at;
    stop_bytes = stop.size();
  }
  if (found != std::string::npos) {
    stopped_ = true;
    std::string shown = held_.substr(0, show_stop_ ? found + stop_bytes : found);
    held_.clear();
    return shown;
  }
  size_t keep = 0;  // the longest end of held_ that begins a stop text
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size(), held_.size()); n > keep; --n) {
      if (absl::EndsWith(held_, absl::string_view(stop).substr(0, n))) keep = n;
    }
  }
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, shown.size());
  return shown;
}

std::string StopMatcher::Flush() { return stopped_ ? "" : std::exchange(held_, ""); }

absl::StatusOr<GenerateResult> Generate(Model& model, const Tokenizer* tokenizer,
                                        absl::Span<const int32_t> prompt,
                                        const GenerateOptions& options, CachedTokens* cache) {
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point t) {
    return std::chrono::duration<double>(Clock::now() - t).count();
  };
  const auto start = Clock::now();
  const int64_t context = model.plan().request.context_tokens;
  const int64_t prompt_tokens = static_cast<int64_t>(prompt.size());
  if (const auto error = CheckSampler(options.sampler, model.hyper_parameters().vocab_size);
      error.has_value()) {
    return absl::InvalidArgumentError(OpenAiError(*error).message);
  }
  if (prompt.empty())
    return absl::InvalidArgumentError("the prompt is empty; give at least one token");
  if (prompt_tokens > context) {
    return absl::InvalidArgumentError(absl::StrCat("the prompt has ", prompt_tokens,
                                                   " tokens, the context only ", context,
                                                   "; shorten it or give a larger -c"));
  }

  CachedTokens own;
  const absl::Cleanup release = [&] { model.kv_cache().Release(own.pages); };
  CachedTokens& cached = cache != nullptr ? *cache : own;
  KvSequence& sequence = cached.pages;
  SLUICE_RETURN_IF_ERROR(model.kv_cache().Reserve(sequence, context));
  Sampler sampler(model.hyper_parameters().vocab_size);
  const auto ends = [&](int32_t token) {
    const std::vector<int64_t>& eos = model.hyper_parameters().eos_token_ids;
    return std::find(eos.begin(), eos.end(), token) != eos.end() ||
           std::find(options.end_tokens.begin(), options.end_tokens.end(), token) !=
               options.end_tokens.end();
  };
  StopMatcher matcher(options.stop);
  std::optional<StreamDecoder> decoder;
  if (tokenizer != nullptr) decoder.emplace(tokenizer, /*skip_special=*/true, prompt);

  GenerateResult result;
  const auto show = [&](std::string text) -> absl::Status {
    if (text.empty()) return absl::OkStatus();
    result.text += text;
    return options.on_text ? options.on_text(text) : absl::OkStatus();
  };
  std::vector<int32_t> tokens(prompt.begin(), prompt.end());
  tokens.reserve(context + 1);
  std::optional<grammar::Matcher> grammar;
  if (options.constraint != nullptr) grammar.emplace(options.constraint);
  grammar::TokenMask mask;
  // Tokens whose keys and values are in the cache. The prompt's last one is computed in any case:
  // for its logits.
  int64_t done =
      std::mismatch(cached.tokens.begin(), cached.tokens.end(), prompt.begin(), prompt.end() - 1)
          .first -
      cached.tokens.begin();
  result.reused_tokens = done;
  const absl::Cleanup keep = [&] { cached.tokens.assign(tokens.begin(), tokens.begin() + done); };
  const int64_t limit = options.max_new_tokens < 0
                            ? context - prompt_tokens + 1
                            : std::min(options.max_new_tokens, context - prompt_tokens + 1);
  result.finish_reason = limit == 0 ? FinishReason::kLength : FinishReason::kStop;

  if (options.on_prompt && limit > 0) options.on_prompt(prompt_tokens - done);
  std::vector<PassRow> rows;
  // What start-up read ahead belongs to the first prompt.
  bool loads = model.pass_counters().passes == 0;
  int64_t bytes_before = loads ? 0 : model.stream_counters().io.bytes_read;
  while (static_cast<int64_t>(result.ids.size()) < limit) {
    const auto pass_start = Clock::now();
    const int64_t count = std::min<int64_t>(tokens.size() - done, model.plan().pass_rows);
    const bool last_chunk = done + count == static_cast<int64_t>(tokens.size());
    rows.clear();
    for (int64_t i = 0; i < count; ++i) {
      rows.push_back({&sequence, done + i, tokens[done + i], last_chunk && i + 1 == count});
    }
    const absl::StatusOr<absl::Span<const float>> logits = model.RunPass(rows, options.interrupt);
    const bool generating = !result.ids.empty();
    const int64_t bytes_now = model.stream_counters().io.bytes_read;
    (generating ? result.generation_seconds : result.prompt_seconds) += seconds_since(pass_start);
    (generating ? result.generation_bytes_read : result.prompt_bytes_read) +=
        bytes_now - bytes_before;
    bytes_before = bytes_now;
    // The first walk reads all weights in order: what it waited for those that stay is their share.
    if (std::exchange(loads, false)) {
      const MemoryPlan& plan = model.plan();
      const auto kept = static_cast<double>(plan.weight_bytes - plan.residency.streamed_bytes);
      const double share = kept / static_cast<double>(plan.weight_bytes);
      result.loading_seconds =
          std::min(share * model.pass_counters().wait_disk_seconds, result.prompt_seconds);
    }
    if (absl::IsCancelled(logits.status())) {
      result.finish_reason = FinishReason::kInterrupt;
      break;
    }
    SLUICE_RETURN_IF_ERROR(logits.status());
    result.generation_passes += generating;
    done += count;
    if (!last_chunk) continue;

    if (grammar.has_value()) {
      SLUICE_RETURN_IF_ERROR(grammar->Mask(limit - static_cast<int64_t>(result.ids.size()), &mask));
    }
    const int32_t token = sampler.Sample(*logits, options.sampler, prompt, result.ids,
                                         static_cast<int64_t>(tokens.size()), mask);
    if (grammar.has_value()) SLUICE_RETURN_IF_ERROR(grammar->Accept(token));
    tokens.push_back(token);
    if (result.ids.empty()) result.first_token_seconds = seconds_since(start);
    result.ids.push_back(token);
    const bool ends_count = !options.ignore_eos || grammar.has_value();
    if (ends_count && ends(token)) {
      result.finish_reason = FinishReason::kStop;
      break;
    }
    if (decoder.has_value()) {
      SLUICE_RETURN_IF_ERROR(show(matcher.Push(decoder->Push(token))));
      if (matcher.stopped()) {
        result.finish_reason = FinishReason::kStop;
        break;
      }
    }
    if (grammar.has_value() && grammar->finished()) {
      result.finish_reason = FinishReason::kStop;
      break;
    }
    result.finish_reason = FinishReason::kLength;
    if (options.interrupt != nullptr && options.interrupt->load()) {
      result.finish_reason = FinishReason::kInterrupt;
      break;
    }
  }
  if (decoder.has_value()) {
    SLUICE_RETURN_IF_ERROR(show(matcher.Push(decoder->Flush())));
    SLUICE_RETURN_IF_ERROR(show(matcher.Flush()));
    if (matcher.stopped()) result.finish_reason = FinishReason::kStop;
  }
  return result;
}

}  // namespace sluice
