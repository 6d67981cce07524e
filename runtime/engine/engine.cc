// From submitted sequences to passes, and from logits to tokens.
#include "runtime/engine/engine.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/unicode.h"

namespace sluice {
namespace {

ScheduleLimits LimitsFor(const MemoryPlan& plan, const EngineOptions& options) {
  return {plan.pass_rows, plan.logit_rows, options.max_sequences, options.balanced_rows};
}

// The tree without what is not on its first path, whose rows are in their places from the first.
DraftTree FirstPath(const DraftTree& tree) {
  std::vector<int32_t> kept;
  for (int32_t node = 0; node < tree.size() && tree.DepthOf(node) == node + 1; ++node) {
    kept.push_back(node);
  }
  return tree.Trimmed(kept);
}

std::unique_ptr<KvSwap> MakeSwap(Model* model, const EngineOptions& options) {
  if (model->kv_file() == nullptr) return nullptr;
  return std::make_unique<KvSwap>(&model->kv_cache(), model->kv_file(), options.resume);
}

}  // namespace

struct Engine::Sequence {
  explicit Sequence(SequenceRequest r)
      : request(std::move(r)), matcher(request.stop, request.show_stop) {
    if (request.constraint != nullptr) grammar.emplace(request.constraint);
  }

  bool finished() const { return finish_reason.has_value(); }

  SequenceRequest request;  // without `generated`
  SequenceResult result;
  std::optional<StreamDecoder> decoder;
  StopMatcher matcher;
  std::optional<grammar::Matcher> grammar;
  std::string certain;     // text of the last token
  int64_t characters = 0;  // that the decoder has given
  int64_t limit = 0;       // of generated tokens
  int64_t reused = 0;      // tokens of the prompt that the cache had
  std::optional<FinishReason> finish_reason;
  // Of a finished one: the position whose logits are the last that it needs
  int64_t last_logits = 0;
};

Engine::Engine(Model* model, const Tokenizer* tokenizer, const EngineOptions& options)
    : model_(model),
      tokenizer_(tokenizer),
      swap_(MakeSwap(model, options)),
      scheduler_(LimitsFor(model->plan(), options), &model->kv_cache().pool(), swap_.get()),
      speculator_(options.speculator),
      sampler_(model->hyper_parameters().vocab_size) {}

Engine::~Engine() {
  for (const auto& [id, sequence] : sequences_) Release(id, *sequence);
}

std::optional<RequestError> Engine::Check(const SequenceRequest& request) const {
  const int64_t context = model_->plan().request.context_tokens;
  const int64_t vocab_size = model_->hyper_parameters().vocab_size;
  const auto wrong = [](std::string message, const char* param,
                        const char* code = "invalid_value") {
    return RequestError{std::move(message), param, code};
  };
  if (request.prompt.empty()) {
    return wrong("the prompt is empty; give at least one token", "prompt");
  }
  const auto known = static_cast<int64_t>(request.prompt.size() + request.generated.size());
  if (static_cast<int64_t>(request.prompt.size()) > context || known > context + 1) {
    return wrong(absl::StrCat("the prompt has ", request.prompt.size(),
                              " tokens, the context only ", context),
                 "prompt", "context_length_exceeded");
  }
  const auto outside = [vocab_size](int32_t id) { return id < 0 || id >= vocab_size; };
  for (const std::vector<int32_t>* ids : {&request.prompt, &request.generated}) {
    const auto found = std::find_if(ids->begin(), ids->end(), outside);
    if (found == ids->end()) continue;
    return wrong(absl::StrCat("token ", *found, " is outside the vocabulary of ", vocab_size),
                 "prompt");
  }
  const std::pair<const char*, const std::vector<int32_t>*> lists[] = {
      {"stop_token_ids", &request.stop_tokens},
      {"allowed_token_ids", request.allowed_tokens.get()}};
  for (const auto& [name, ids] : lists) {
    if (ids == nullptr) continue;
    const auto found = std::find_if(ids->begin(), ids->end(), outside);
    if (found == ids->end()) continue;
    return wrong(absl::StrCat(name, " names token ", *found, ", the vocabulary has ", vocab_size),
                 name);
  }
  if (const auto error = CheckSampler(request.sampler, vocab_size); error.has_value()) {
    return OpenAiError(*error);
  }
  return std::nullopt;
}

absl::StatusOr<int64_t> Engine::Submit(SequenceRequest request) {
  if (const auto error = Check(request); error.has_value()) {
    return absl::InvalidArgumentError(error->message);
  }
  const std::vector<int32_t> generated = std::exchange(request.generated, {});
  auto sequence = std::make_unique<Sequence>(std::move(request));
  Sequence& s = *sequence;
  const int64_t context = model_->plan().request.context_tokens;
  const auto prompt_tokens = static_cast<int64_t>(s.request.prompt.size());
  // The last token is chosen, but has no place in the cache any more.
  s.limit = std::min(s.request.max_new_tokens, context - prompt_tokens + 1);
  if (tokenizer_ != nullptr)
    s.decoder.emplace(tokenizer_, s.request.skip_special, s.request.prompt);
  for (const int32_t token : generated) {
    if (!s.finished()) Accept(s, token);
  }
  if (!s.finished() && s.limit <= 0) Finish(s, FinishReason::kLength);

  std::vector<int32_t> tokens = s.request.prompt;
  tokens.insert(tokens.end(), s.result.ids.begin(), s.result.ids.end());
  const bool wants_prompt = s.request.top_logprobs >= 0 && s.request.prompt_logprobs;
  const bool wants_answer = s.request.top_logprobs >= 0 && !s.result.ids.empty();
  int64_t first_logit = wants_prompt   ? s.request.first_prompt_logprob - 1
                        : wants_answer ? prompt_tokens - 1
                                       : static_cast<int64_t>(tokens.size()) - 1;
  if (s.finished())
    tokens.pop_back();  // nothing comes behind it: only log probabilities can be missing
  if (first_logit >= static_cast<int64_t>(tokens.size())) {
    const int64_t id = --last_finished_;
    finished_.push_back(id);
    sequences_.emplace(id, std::move(sequence));
    return id;
  }
  s.last_logits = static_cast<int64_t>(tokens.size()) - 1;
  const int64_t most = std::min(context, prompt_tokens + std::max<int64_t>(s.limit, 1) - 1);
  std::optional<PassScheduler::OwnPages> own;
  if (CachedTokens* const cache = s.request.cache; cache != nullptr) {
    // The last token is computed in any case: for its logits.
    const std::vector<int32_t>& had = cache->tokens;
    const auto same = std::mismatch(had.begin(), had.end(), tokens.begin(), tokens.end() - 1).first;
    s.reused = std::min<int64_t>(same - had.begin(), first_logit);
    own = PassScheduler::OwnPages{std::exchange(cache->pages, {}), s.reused};
    cache->tokens.clear();
  }
  const int64_t id =
      scheduler_.Add(std::move(tokens), most, first_logit, std::move(own), s.request.priority);
  sequences_.emplace(id, std::move(sequence));
  return id;
}

void Engine::Release(int64_t id, Sequence& s) {
  if (speculator_ != nullptr) speculator_->Forget(id);
  if (id < 0) return;  // it never was in the scheduler
  CachedTokens* const cache = s.request.cache;
  if (cache == nullptr) return scheduler_.Remove(id);
  const std::vector<int32_t>& tokens = scheduler_.Tokens(id);
  cache->tokens.assign(tokens.begin(), tokens.end());
  PassScheduler::OwnPages own = scheduler_.TakeOut(id, pass_failed_);
  cache->pages = std::move(own.pages);
  cache->tokens.resize(own.rows);
}

void Engine::Cancel(int64_t id) {
  const auto node = sequences_.extract(id);
  if (node.empty()) return;
  Release(id, *node.mapped());
  if (id < 0) finished_.erase(std::find(finished_.begin(), finished_.end(), id));
}

void Engine::Interrupt(int64_t id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second->finished()) return;
  Finish(*found->second, FinishReason::kInterrupt);
  Release(id, *found->second);
  Deliver(id);
}

int64_t Engine::reused_tokens(int64_t id) const { return sequences_.at(id)->reused; }

void Engine::Finish(Sequence& s, FinishReason reason) {
  s.finish_reason = reason;
  if (!s.decoder.has_value()) return;
  std::string rest = s.matcher.Push(s.decoder->Flush());
  rest += s.matcher.Flush();
  s.result.text += rest;
  s.certain += rest;
  if (s.matcher.stopped()) s.finish_reason = FinishReason::kStop;
}

void Engine::Fail(Sequence& s, absl::Status status) {
  s.result.status = std::move(status);
  Finish(s, FinishReason::kStop);
}

bool Engine::EndsWith(const Sequence& s, int32_t token) const {
  const auto has = [token](const auto& ids) {
    return std::find(ids.begin(), ids.end(), token) != ids.end();
  };
  if (has(s.request.stop_tokens)) return true;
  if (s.request.ignore_eos && !s.grammar.has_value()) return false;
  return has(model_->hyper_parameters().eos_token_ids) || has(s.request.end_tokens);
}

void Engine::RestrictMask(const Sequence& s) {
  const bool early = static_cast<int64_t>(s.result.ids.size()) < s.request.min_new_tokens;
  if (s.request.allowed_tokens == nullptr && !early) return;
  const int64_t vocab_size = model_->hyper_parameters().vocab_size;
  const size_t words = (vocab_size + 63) / 64;
  const auto bit = [](int64_t id) { return uint64_t{1} << (id % 64); };
  if (mask_.empty()) {
    mask_.assign(words, ~uint64_t{0});
    if (vocab_size % 64 != 0) mask_.back() = bit(vocab_size) - 1;
  }
  if (s.request.allowed_tokens != nullptr) {
    grammar::TokenMask allowed(words, 0);
    for (const int32_t id : *s.request.allowed_tokens) allowed[id / 64] |= bit(id);
    for (size_t i = 0; i < words; ++i) mask_[i] &= allowed[i];
  }
  if (!early) return;
  grammar::TokenMask going_on = mask_;
  const auto forbid = [&](const auto& ids) {
    for (const int64_t id : ids) {
      if (id >= 0 && id < vocab_size) going_on[id / 64] &= ~bit(id);
    }
  };
  forbid(model_->hyper_parameters().eos_token_ids);
  forbid(s.request.end_tokens);
  forbid(s.request.stop_tokens);
  const bool any =
      std::any_of(going_on.begin(), going_on.end(), [](uint64_t word) { return word != 0; });
  if (any) mask_ = std::move(going_on);
}

void Engine::Accept(Sequence& s, int32_t token) {
  s.certain.clear();
  if (s.grammar.has_value()) {
    if (absl::Status status = s.grammar->Accept(token); !status.ok())
      return Fail(s, std::move(status));
  }
  s.result.ids.push_back(token);
  if (s.request.top_logprobs >= 0) s.result.text_offsets.push_back(s.characters);
  const bool ends = EndsWith(s, token);
  if (s.decoder.has_value() && (!ends || s.request.show_stop)) {
    std::string text = s.decoder->Push(token);
    s.characters += CountCharacters(text);
    const bool early = static_cast<int64_t>(s.result.ids.size()) <= s.request.min_new_tokens;
    s.certain = early ? std::move(text) : s.matcher.Push(text);
    s.result.text += s.certain;
    if (s.matcher.stopped()) return Finish(s, FinishReason::kStop);
  }
  if (ends) return Finish(s, FinishReason::kStop);
  if (s.grammar.has_value() && s.grammar->finished()) return Finish(s, FinishReason::kStop);
  if (static_cast<int64_t>(s.result.ids.size()) >= s.limit) Finish(s, FinishReason::kLength);
}

void Engine::Deliver(int64_t id) {
  const auto node = sequences_.extract(id);
  Sequence& s = *node.mapped();
  s.result.finish_reason = *s.finish_reason;
  if (speculator_ != nullptr) speculator_->Learn(s.result.ids);
  if (s.request.on_finish) s.request.on_finish(std::move(s.result));
}

void Engine::TakeLogits(Part& part, int64_t position, absl::Span<const float> logits) {
  const int64_t id = part.chunk.id;
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;  // cancelled by another one's callback
  Sequence& s = *found->second;
  const auto prompt_tokens = static_cast<int64_t>(s.request.prompt.size());
  const int64_t next = position + 1;
  const int64_t generated = next - prompt_tokens;  // index of the token that these logits are about
  const bool known = generated < static_cast<int64_t>(s.result.ids.size());
  int32_t token;
  if (known) {
    token = generated < 0 ? s.request.prompt[next] : s.result.ids[generated];
  } else {
    if (s.request.on_logits) s.request.on_logits(logits);
    mask_.clear();
    if (s.grammar.has_value()) {
      const int64_t left = s.limit - static_cast<int64_t>(s.result.ids.size());
      if (absl::Status status = s.grammar->Mask(left, &mask_); !status.ok()) {
        Fail(s, std::move(status));
        Release(id, s);
        return Deliver(id);
      }
    }
    RestrictMask(s);
    token = sampler_.Sample(logits, s.request.sampler, s.request.prompt, s.result.ids, next, mask_);
  }
  if (s.request.top_logprobs >= 0) {
    (generated < 0 ? s.result.prompt_log_probs : s.result.log_probs)
        .Add(logits, token, s.request.top_logprobs);
  }
  if (!known) {
    Accept(s, token);
    part.chosen.push_back(token);
    if (!s.finished()) scheduler_.Append(id, token);
    s.last_logits = position;
    if (s.request.on_token) s.request.on_token(token, s.certain);
    if (!sequences_.contains(id)) return;  // it was cancelled by that
  }
  if (s.finished() && position == s.last_logits) {
    Release(id, s);
    Deliver(id);
  }
}

void Engine::TellPrompt(const PassScheduler::Chunk& chunk) {
  const auto found = sequences_.find(chunk.id);
  if (found == sequences_.end() || !found->second->request.on_prompt) return;
  const auto total = static_cast<int64_t>(found->second->request.prompt.size());
  if (chunk.first >= total) return;
  found->second->request.on_prompt(std::min(chunk.first + chunk.count, total), total);
}

std::vector<PassRow> Engine::RowsOf(std::vector<Part>& parts) const {
  std::vector<PassRow> rows;
  for (Part& part : parts) {
    const PassScheduler::Chunk& chunk = part.chunk;
    const KvSequence* const pages = &scheduler_.Pages(chunk.id);
    const std::vector<int32_t>& tokens = scheduler_.Tokens(chunk.id);
    const int64_t end = chunk.first + chunk.count;
    for (int64_t position = chunk.first; position < end; ++position) {
      rows.push_back({pages, position, tokens[position], position >= chunk.first_logit});
    }
    const absl::Span<const DraftNode> nodes = part.tree.nodes();
    part.seen.clear();
    for (const DraftNode& node : nodes) {
      part.seen.resize(part.seen.size() + static_cast<size_t>(node.depth - 1));
      auto above = part.seen.rbegin();
      for (int32_t up = node.parent; up >= 0; up = nodes[up].parent) *above++ = end + up;
    }
    absl::Span<const int64_t> seen = part.seen;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const auto depth = static_cast<size_t>(nodes[i].depth);
      rows.push_back({.sequence = pages,
                      .position = end - 1 + nodes[i].depth,
                      .token = nodes[i].token,
                      .wants_logits = true,
                      .slot = end + static_cast<int64_t>(i),
                      .sees = seen.first(depth - 1)});
      seen.remove_prefix(depth - 1);
    }
  }
  return rows;
}

void Engine::FitTree(Part& part) {
  if (!part.drafts()) return;
  const PassScheduler::TreeRoom room = scheduler_.TakeTreeRoom(part.chunk.id, part.tree.size());
  std::vector<int32_t> kept = part.tree.Best(room.rows);
  if (static_cast<int64_t>(kept.size()) < part.tree.size()) part.tree = part.tree.Trimmed(kept);
  if (!room.moves) part.tree = FirstPath(part.tree);
}

void Engine::DraftFor(std::vector<Part>& parts, const std::atomic<bool>* stop, StepReport* report) {
  if (speculator_ == nullptr) return;
  const MemoryPlan& plan = model_->plan();
  std::vector<Speculator::Wish> wishes;
  std::vector<Part*> wishing;
  for (Part& part : parts) {
    const std::vector<int32_t>& tokens = scheduler_.Tokens(part.chunk.id);
    const Sequence& s = *sequences_.at(part.chunk.id);
    if (part.chunk.first + part.chunk.count < static_cast<int64_t>(tokens.size()) || s.finished()) {
      continue;
    }
    const int64_t left = s.limit - static_cast<int64_t>(s.result.ids.size());
    wishes.push_back({.sequence = part.chunk.id,
                      .tokens = tokens,
                      .most_depth = std::max<int64_t>(left - 1, 0),
                      .sampler = &s.request.sampler,
                      .grammar = s.grammar.has_value() ? &*s.grammar : nullptr});
    wishing.push_back(&part);
    part.generates = true;
  }
  const int64_t rows =
      std::min({plan.draft_rows, plan.logit_rows - report->logit_rows,
                scheduler_.limits().balanced_rows - report->rows, plan.pass_rows - report->rows});
  std::vector<DraftTree> trees = speculator_->Draft(wishes, std::max<int64_t>(rows, 0), stop);
  for (size_t i = 0; i < wishing.size(); ++i) {
    wishing[i]->tree = std::move(trees[i]);
    FitTree(*wishing[i]);
  }
}

absl::StatusOr<absl::Span<const float>> Engine::Compute(std::vector<Part>& parts,
                                                        const std::atomic<bool>* stop,
                                                        StepReport* report) {
  DraftFor(parts, stop, report);
  std::vector<PassRow> rows = RowsOf(parts);
  const bool drafts =
      std::any_of(parts.begin(), parts.end(), [](const Part& part) { return part.drafts(); });
  if (drafts && model_->RoomsOf(rows) > model_->plan().tree_rooms) {
    for (Part& part : parts) {
      if (part.drafts()) part.tree = FirstPath(part.tree);
    }
    rows = RowsOf(parts);
  }
  report->draft_rows = static_cast<int64_t>(rows.size()) - report->rows;
  report->rows += report->draft_rows;
  report->logit_rows += report->draft_rows;
  const KvPagerCounters before = model_->kv_counters();
  const KvStagingCounters link_before = model_->kv_staging_counters();
  const auto start = std::chrono::steady_clock::now();
  pass_failed_ = true;
  SLUICE_ASSIGN_OR_RETURN(const absl::Span<const float> logits, model_->RunPass(rows, stop));
  pass_failed_ = false;
  pass_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const KvPagerCounters after = model_->kv_counters();
  report->kv_disk_bytes =
      after.bytes_read + after.bytes_written - before.bytes_read - before.bytes_written;
  const KvStagingCounters link = model_->kv_staging_counters();
  report->kv_link_bytes =
      link.bytes_in + link.bytes_out - link_before.bytes_in - link_before.bytes_out;
  return logits;
}

void Engine::NoteHidden(const Part& part, int64_t first, int64_t first_row, int64_t count) {
  if (part.hidden.empty() || !sequences_.contains(part.chunk.id)) return;
  const int64_t n = model_->hyper_parameters().hidden_size;
  speculator_->NoteHidden(
      part.chunk.id, first,
      part.hidden.subspan(static_cast<size_t>(first_row * n), static_cast<size_t>(count * n)));
}

absl::Status Engine::WalkTree(Part& part, absl::Span<const float> logits) {
  const int64_t id = part.chunk.id;
  const int64_t root = part.chunk.first + part.chunk.count - 1;
  const auto vocab_size = static_cast<size_t>(model_->hyper_parameters().vocab_size);
  int32_t node = kDraftRoot;
  for (int64_t position = root + 1;; ++position) {
    const auto found = sequences_.find(id);
    if (found == sequences_.end() || found->second->finished()) return absl::OkStatus();
    node = part.tree.Find(node, found->second->result.ids.back());
    if (node < 0) return absl::OkStatus();
    const int64_t slot = root + 1 + node;
    if (slot != position) {
      const RowMove move = {.from_slot = slot, .to_slot = position};
      SLUICE_RETURN_IF_ERROR(model_->MoveRows(scheduler_.Pages(id), {&move, 1}));
    }
    scheduler_.TakeTreeRow(id);
    NoteHidden(part, position, part.chunk.count + node, 1);
    TakeLogits(part, position, logits.subspan(static_cast<size_t>(node) * vocab_size, vocab_size));
  }
}

absl::Status Engine::TakePart(Part& part, absl::Span<const float>* logits, StepReport* report) {
  const auto take = [&](int64_t rows) {
    const auto count = static_cast<size_t>(rows * model_->hyper_parameters().vocab_size);
    const absl::Span<const float> taken = logits->first(count);
    logits->remove_prefix(count);
    return taken;
  };
  const PassScheduler::Chunk& chunk = part.chunk;
  TellPrompt(chunk);
  NoteHidden(part, chunk.first, 0, chunk.count);
  for (int64_t position = chunk.first_logit; position < chunk.first + chunk.count; ++position) {
    TakeLogits(part, position, take(1));
  }
  if (part.drafts()) {
    SLUICE_RETURN_IF_ERROR(WalkTree(part, take(part.tree.size())));
    scheduler_.DropTreeRoom(chunk.id);
  }
  report->tokens += static_cast<int64_t>(part.chosen.size());
  if (part.generates) speculator_->NoteTokens(part.tree, part.chosen);
  return absl::OkStatus();
}

absl::StatusOr<StepReport> Engine::Step(const std::atomic<bool>* stop) {
  StepReport report;
  while (!finished_.empty()) {
    const int64_t id = finished_.front();
    finished_.pop_front();
    Deliver(id);
  }
  std::vector<Part> parts;
  for (const PassScheduler::Chunk& chunk : scheduler_.NextPass()) {
    parts.push_back({chunk});
    report.rows += chunk.count;
    report.logit_rows += chunk.first + chunk.count - chunk.first_logit;
  }
  if (parts.empty()) return report;
  const int64_t known_rows = report.rows;
  SLUICE_ASSIGN_OR_RETURN(absl::Span<const float> logits, Compute(parts, stop, &report));
  int64_t generating = 0;
  absl::Span<const float> hidden = model_->hidden_rows();
  if (speculator_ == nullptr || !speculator_->WantsHidden()) hidden = {};
  for (Part& part : parts) {
    const int64_t rows = part.chunk.count + part.tree.size();
    part.hidden = hidden.first(std::min(
        hidden.size(), static_cast<size_t>(rows * model_->hyper_parameters().hidden_size)));
    hidden.remove_prefix(part.hidden.size());
    SLUICE_RETURN_IF_ERROR(TakePart(part, &logits, &report));
    generating += part.generates;
  }
  if (speculator_ != nullptr) {
    speculator_->NotePass(pass_seconds_, report.draft_rows, generating == known_rows);
  }
  return report;
}

}  // namespace sluice
