// Asks drafters, shares out rows, keeps count.
#include "runtime/speculate/speculator.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/speculate/grammar_drafter.h"

namespace sluice {
namespace {

// Nodes that are less likely are not worth the energy, even where a row costs no time.
constexpr double kLeastSurvival = 0.003;

using DraftClock = std::chrono::steady_clock;

double SecondsFrom(DraftClock::time_point start) {
  return std::chrono::duration<double>(DraftClock::now() - start).count();
}

}  // namespace

Speculator::Speculator(const SpeculatorOptions& options, std::vector<Calibration::Priors> priors)
    : options_(options), calibration_(std::move(priors)) {}

void Speculator::Add(std::unique_ptr<Drafter> drafter) {
  drafters_.push_back({std::move(drafter)});
}

void Speculator::Propose(absl::Span<const Wish> wishes, int64_t rows, const std::atomic<bool>* stop,
                         std::vector<DraftTree>* trees) {
  // Of several trees none gets much more than its part.
  const auto count = static_cast<int64_t>(wishes.size());
  int64_t most = count == 1 ? rows : std::min(rows, 2 * rows / count + 1);
  if (options_.draft_max > 0) most = std::min(most, options_.draft_max);
  std::vector<DraftRequest> requests;
  for (size_t i = 0; i < wishes.size(); ++i) {
    const Wish& wish = wishes[i];
    int64_t& observed = observed_[wish.sequence];
    const absl::Span<const int32_t> news = wish.tokens.subspan(static_cast<size_t>(observed));
    observed = static_cast<int64_t>(wish.tokens.size());
    for (Asked& asked : drafters_) {
      if (!asked.failed) asked.drafter->Observe(wish.sequence, news);
    }
    if (wish.most_depth == 0) continue;
    const DraftLimits limits = {
        .max_nodes = most,
        .max_depth = static_cast<int32_t>(std::min<int64_t>(wish.most_depth, options_.most_depth)),
        .temperature = wish.sampler->temperature,
        .seed = wish.sampler->seed,
        .top_k = wish.sampler->top_k,
        .top_p = wish.sampler->top_p,
        .min_p = wish.sampler->min_p,
        .grammar = wish.grammar,
        .tokens_left = wish.most_depth + 1,
        .tokens_per_second = options_.adapts ? tokens_per_second_ : 0,
        .stop = stop};
    requests.push_back({wish.sequence, limits, &(*trees)[i]});
  }
  if (requests.empty()) return;
  for (size_t i = 0; i < drafters_.size(); ++i) {
    Asked& asked = drafters_[i];
    if (asked.failed) continue;
    if (absl::Status status = Ask(i, requests); !status.ok()) {
      asked.failed = true;
      failures_.push_back(absl::StrCat("the ", asked.drafter->name(),
                                       " drafter is not asked any more: ", status.message()));
    }
  }
}

absl::Status Speculator::Ask(size_t drafter, absl::Span<const DraftRequest> requests) {
  Drafter& asked = *drafters_[drafter].drafter;
  if (!span_sink_) return asked.ProposeAll(requests);
  std::vector<int64_t> sizes;
  for (const DraftRequest& request : requests) sizes.push_back(request.tree->size());
  DraftSpan span = {.drafter = asked.name(), .begin = DraftClock::now(), .end = {}};
  absl::Status status = asked.ProposeAll(requests);
  span.end = DraftClock::now();
  for (size_t i = 0; i < requests.size(); ++i) {
    const absl::Span<const DraftNode> news =
        requests[i].tree->nodes().subspan(static_cast<size_t>(sizes[i]));
    span.proposed += static_cast<int64_t>(news.size());
    for (const DraftNode& node : news) {
      span_of_source_[static_cast<size_t>(node.source)] = static_cast<int>(spans_.size());
    }
  }
  spans_.push_back(span);
  return status;
}

DraftSpan* Speculator::SpanOf(const DraftNode& node) {
  const auto source = static_cast<size_t>(node.source);
  if (source >= span_of_source_.size() || span_of_source_[source] < 0) return nullptr;
  return &spans_[static_cast<size_t>(span_of_source_[source])];
}

std::vector<DraftTree> Speculator::Draft(absl::Span<const Wish> wishes, int64_t rows,
                                         const std::atomic<bool>* stop) {
  const auto start = DraftClock::now();
  std::vector<DraftTree> trees(wishes.size());
  pass_sequences_ = static_cast<int64_t>(wishes.size());
  pass_tokens_ = 0;
  spans_.clear();
  span_of_source_.assign(static_cast<size_t>(calibration_.num_sources()), -1);
  if (rows > 0 && (gain_.Wants() || !options_.adapts)) {
    std::vector<DraftTree> proposed(wishes.size());
    std::vector<const DraftTree*> all;
    Propose(wishes, rows, stop, &proposed);
    for (size_t i = 0; i < wishes.size(); ++i) {
      if (wishes[i].grammar != nullptr) {
        proposed[i] = proposed[i].Trimmed(AllowedNodes(*wishes[i].grammar, proposed[i]));
      }
      all.push_back(&proposed[i]);
    }
    const std::vector<int64_t> shares = ShareRows(all, rows);
    const double least = std::max(options_.row_price, kLeastSurvival);
    for (size_t i = 0; i < wishes.size(); ++i) {
      const int64_t most =
          options_.draft_max > 0 ? std::min(options_.draft_max, shares[i]) : shares[i];
      std::vector<int32_t> best = proposed[i].Best(most);
      std::erase_if(best, [&](int32_t node) { return proposed[i].SurvivalOf(node) < least; });
      trees[i] = proposed[i].Trimmed(best);
    }
  }
  draft_seconds_ = SecondsFrom(start);
  return trees;
}

bool Speculator::WantsHidden() const {
  return std::any_of(drafters_.begin(), drafters_.end(), [](const Asked& asked) {
    return !asked.failed && asked.drafter->WantsHidden();
  });
}

void Speculator::NoteHidden(int64_t sequence, int64_t first, absl::Span<const float> rows) {
  observed_.try_emplace(sequence, 0);
  for (Asked& asked : drafters_) {
    if (!asked.failed && asked.drafter->WantsHidden()) {
      asked.drafter->ObserveHidden(sequence, first, rows);
    }
  }
}

void Speculator::NoteTokens(const DraftTree& tree, absl::Span<const int32_t> tokens) {
  pass_tokens_ += static_cast<int64_t>(tokens.size());
  NoteWalk(tree, tokens, &calibration_);
  for (const DraftNode& node : tree.nodes()) {
    if (DraftSpan* const span = SpanOf(node); span != nullptr) ++span->rows;
  }
  int32_t node = kDraftRoot;
  for (size_t depth = 1; depth < tokens.size(); ++depth) {
    node = tree.Find(node, tokens[depth - 1]);
    if (node < 0) return;
    if (counters_.accepted_by_depth.size() < depth) counters_.accepted_by_depth.resize(depth);
    ++counters_.accepted_by_depth[depth - 1];
    if (DraftSpan* const span = SpanOf(tree.nodes()[node]); span != nullptr) ++span->accepted;
  }
}

void Speculator::NotePass(double seconds, int64_t nodes, bool comparable) {
  if (pass_sequences_ == 0) return;
  ++counters_.passes;
  counters_.sequences += pass_sequences_;
  counters_.tokens += pass_tokens_;
  counters_.draft_rows += nodes;
  counters_.draft_seconds += draft_seconds_;
  counters_.pass_seconds += seconds;
  // Fades, so that it follows the text.
  constexpr double kKeep = 0.9;
  recent_tokens_ = kKeep * recent_tokens_ + static_cast<double>(pass_tokens_);
  recent_seconds_ = kKeep * recent_seconds_ + seconds + draft_seconds_;
  tokens_per_second_ = recent_seconds_ > 0 ? recent_tokens_ / recent_seconds_ : 0;
  if (comparable) {
    gain_.Note({.drafted = nodes > 0,
                .seconds = seconds,
                .draft_seconds = nodes > 0 ? draft_seconds_ : 0,
                .sequences = pass_sequences_,
                .tokens = pass_tokens_});
  }
  if (span_sink_ && !spans_.empty()) span_sink_(spans_);
}

void Speculator::Forget(int64_t sequence) {
  if (observed_.erase(sequence) == 0) return;
  for (Asked& asked : drafters_) asked.drafter->Forget(sequence);
}

void Speculator::Learn(absl::Span<const int32_t> tokens) {
  for (Asked& asked : drafters_) asked.drafter->Learn(tokens);
}

SpeculationCounters Speculator::counters() const {
  SpeculationCounters counters = counters_;
  counters.gain = gain_.Gain();
  return counters;
}

}  // namespace sluice
