// Levels of a tree, computed by a draft model that keeps what it has computed.
#include "runtime/speculate/model_drafter.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <utility>

#include "kernels/base/status_macros.h"
#include "runtime/sample/gumbel.h"
#include "runtime/sample/top_tokens.h"

namespace sluice {
namespace {

// More trees at once share the width of so many.
constexpr int64_t kMostTrees = 10;
constexpr double kLevelFades =
    0.95;  // what a level is taken to cost, with each one that is left out
// Tokens that are looked at behind a node; of a draw, those that are worth a node.
constexpr int64_t kRankedTokens = 64;
constexpr size_t kChildren = 8;
// A first choice is accepted more often than another one of the same share, so that each has half
// of the buckets. Lower ends of the buckets, from the highest.
constexpr int kHalf = kConfidenceBuckets / 2;
constexpr std::array<double, kHalf - 1> kFirstFloors = {0.95, 0.85, 0.7, 0.5, 0.35, 0.2, 0.1};
constexpr std::array<double, kHalf - 1> kOtherFloors = {0.3, 0.2, 0.12, 0.07, 0.04, 0.02, 0.01};

int BucketOf(double share, bool first) {
  int bucket = first ? kHalf : 0;
  for (const double floor : first ? kFirstFloors : kOtherFloors) bucket += share >= floor;
  return bucket;
}

struct Choice {
  int32_t token;
  double share;  // how likely the target is taken to choose it; of all choices together 1
};

// The tokens that the target's filters are likely to leave, with their logits over the temperature,
// less the best one's.
std::vector<Choice> Filtered(absl::Span<const float> logits, const DraftLimits& limits) {
  const int64_t ranked = limits.top_k > 0 ? std::min(limits.top_k, kRankedTokens) : kRankedTokens;
  const std::vector<std::pair<int32_t, float>> top = TopTokens(logits, ranked);
  const double scale = limits.temperature > 0 ? 1 / limits.temperature : 1;
  std::vector<Choice> choices;
  double sum = 0;
  for (const auto& [token, logit] : top) {
    const double score = (double{logit} - top[0].second) * scale;
    choices.push_back({token, score});
    sum += std::exp(score);
  }
  if (limits.temperature == 0) return choices;
  double before = 0;
  const auto end = std::find_if(choices.begin(), choices.end(), [&](const Choice& choice) {
    const double share = std::exp(choice.share);
    if (before >= limits.top_p * sum || share < limits.min_p) return true;
    before += share;
    return false;
  });
  choices.erase(std::max(end, choices.begin() + 1), choices.end());
  return choices;
}

// What a target may choose where a draft has these logits, likeliest first.
std::vector<Choice> ChoicesOf(absl::Span<const float> logits, const DraftLimits& limits,
                              int64_t position, bool shares_noise) {
  std::vector<Choice> choices = Filtered(logits, limits);
  if (limits.temperature > 0 && shares_noise) {
    const GumbelNoise noise(limits.seed, position);
    for (Choice& choice : choices) choice.share += noise.Of(choice.token);
  }
  double most = choices[0].share;
  for (const Choice& choice : choices) most = std::max(most, choice.share);
  double sum = 0;
  for (Choice& choice : choices) sum += choice.share = std::exp(choice.share - most);
  for (Choice& choice : choices) choice.share /= sum;
  std::stable_sort(choices.begin(), choices.end(),
                   [](const Choice& a, const Choice& b) { return a.share > b.share; });
  if (choices.size() > kChildren) choices.resize(kChildren);
  return choices;
}

}  // namespace

const Calibration::Priors& ModelDrafter::InitialRates() {
  static const Calibration::Priors rates = {0.003, 0.01, 0.02, 0.04, 0.07, 0.11, 0.17, 0.25,
                                            0.15,  0.3,  0.4,  0.5,  0.62, 0.75, 0.86, 0.95};
  return rates;
}

ModelDrafter::ModelDrafter(Model* model, const ModelDrafterOptions& options,
                           const Calibration* calibration)
    : model_(model),
      is_head_(model->hyper_parameters().is_mtp_head),
      options_(options),
      calibration_(calibration) {}

ModelDrafter::~ModelDrafter() {
  for (auto& [id, sequence] : sequences_) model_->kv_cache().Release(sequence.pages);
  model_->kv_cache().Release(kept_.pages);
}

int64_t ModelDrafter::HiddenBytes(int64_t hidden_size, int64_t context_tokens,
                                  int64_t num_sequences) {
  // A sequence more: the last one that ended.
  return (num_sequences + 1) *
         HiddenWindow::MemoryBytes(
             hidden_size, context_tokens - kSlotsBeyond + kMostComputed + WidthFor(kMostTrees) + 1);
}

ModelDrafter::Sequence& ModelDrafter::StateOf(int64_t sequence) {
  const auto [entry, is_new] = sequences_.try_emplace(sequence);
  if (is_new) entry->second.first = FirstToken();
  if (is_new && is_head_) {
    entry->second.hidden = HiddenWindow(model_->hyper_parameters().hidden_size, capacity());
  }
  return entry->second;
}

void ModelDrafter::Observe(int64_t sequence, absl::Span<const int32_t> tokens) {
  std::vector<int32_t>& known = StateOf(sequence).tokens;
  known.insert(known.end(), tokens.begin(), tokens.end());
}

void ModelDrafter::ObserveHidden(int64_t sequence, int64_t first, absl::Span<const float> rows) {
  if (is_head_) StateOf(sequence).hidden.Add(first, rows);
}

bool ModelDrafter::KnowsHidden(const Sequence& s) const {
  const auto before_last = static_cast<int64_t>(s.tokens.size()) - 2;
  return before_last >= s.hidden.first() && before_last < s.hidden.end();
}

absl::Span<const float> ModelDrafter::HiddenRow(size_t row) const {
  const auto n = static_cast<size_t>(model_->hyper_parameters().hidden_size);
  return model_->hidden_rows().subspan(row * n, n);
}

void ModelDrafter::Forget(int64_t sequence) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return;
  if (!found->second.pages.pages.empty()) {
    model_->kv_cache().Release(kept_.pages);
    kept_ = std::move(found->second);
    kept_.computed.clear();
  }
  sequences_.erase(found);
}

void ModelDrafter::TakeKept(Sequence& s) {
  const int64_t first = FirstToken();
  if (!s.pages.pages.empty() || kept_.pages.pages.empty()) return;
  if (kept_.first > first || s.first > first) return;
  const auto same =
      std::mismatch(s.tokens.begin(), s.tokens.end(), kept_.tokens.begin(), kept_.tokens.end());
  const int64_t tokens = same.first - s.tokens.begin();
  const int64_t shared = std::min<int64_t>(tokens - first, kept_.done);
  if (shared < kKvPageTokens) return;
  kept_.hidden.Truncate(tokens);
  s.hidden.AddInFront(std::exchange(kept_.hidden, {}));
  s.pages = std::exchange(kept_.pages, {});
  s.done = shared;
}

absl::Status ModelDrafter::TakeAccepted(Sequence& s) {
  if (is_head_) {
    s.computed.clear();
    return absl::OkStatus();
  }
  std::vector<RowMove> moves;
  int32_t at = kDraftRoot;
  int64_t length = s.done;
  const auto next_of = [&](int32_t parent, int32_t token) {
    for (size_t i = 0; i < s.computed.size(); ++i) {
      if (s.computed[i].parent == parent && s.computed[i].token == token) {
        return static_cast<int32_t>(i);
      }
    }
    return int32_t{-1};
  };
  while (s.first + length < static_cast<int64_t>(s.tokens.size())) {
    at = next_of(at, s.tokens[static_cast<size_t>(s.first + length)]);
    if (at < 0) break;
    const int64_t slot = s.computed[static_cast<size_t>(at)].path.back();
    if (slot != length) moves.push_back({slot, length});
    ++length;
  }
  s.computed.clear();
  s.done = length;
  return model_->MoveRows(s.pages, moves);
}

absl::Status ModelDrafter::MakeRoom(Sequence& s) {
  const auto known = static_cast<int64_t>(s.tokens.size());
  if (known - s.first > capacity()) {
    s.first = known - capacity() / 2;
    s.done = 0;
  }
  // The last row is computed again where it is there: for its logits.
  s.done = std::min(s.done, known - s.first - 1);
  if (is_head_ && s.first + s.done <= s.hidden.first()) {
    s.first = s.hidden.first() + 1;
    s.done = 0;
  }
  const int64_t wanted = known - s.first + kMostComputed + WidthFor(kMostTrees);
  if (model_->kv_cache().Reserve(s.pages, wanted).ok()) return absl::OkStatus();
  model_->kv_cache().Release(kept_.pages);
  // Sequences that are not in this pass compute theirs again.
  for (auto& entry : sequences_) {
    Sequence* const other = &entry.second;
    const bool grows = std::any_of(growing_.begin(), growing_.end(),
                                   [&](const Growing& g) { return g.sequence == other; });
    if (grows || other == &s) continue;
    model_->kv_cache().Release(other->pages);
    other->done = 0;
    other->computed.clear();
  }
  return model_->kv_cache().Reserve(s.pages, wanted);
}

absl::Status ModelDrafter::CatchUp() {
  for (bool behind = true; behind;) {
    behind = false;
    std::vector<PassRow> rows;
    std::vector<std::pair<size_t, size_t>> ends;  // trees, and the row that has their last token
    for (size_t i = 0; i < growing_.size(); ++i) {
      Sequence& s = *growing_[i].sequence;
      const int64_t end = static_cast<int64_t>(s.tokens.size()) - s.first;
      const int64_t room = model_->plan().pass_rows - static_cast<int64_t>(rows.size());
      const int64_t stop = std::min(end, s.done + room);
      for (; s.done < stop; ++s.done) {
        const int64_t token = s.first + s.done;
        const bool is_last = s.done + 1 == end;
        if (is_last) ends.emplace_back(i, rows.size());
        rows.push_back({&s.pages, s.done, s.tokens[static_cast<size_t>(token)], is_last});
        if (is_head_) rows.back().hidden = s.hidden.Row(token - 1);
      }
      behind = behind || s.done < end;
    }
    if (rows.empty()) return absl::OkStatus();
    SLUICE_ASSIGN_OR_RETURN(absl::Span<const float> logits,
                            model_->RunPass(rows, growing_[0].request->limits.stop));
    const auto vocab_size = static_cast<size_t>(model_->hyper_parameters().vocab_size);
    for (const auto& [tree, row] : ends) {
      if (is_head_) {
        const absl::Span<const float> hidden = HiddenRow(row);
        growing_[tree].sequence->last_hidden.assign(hidden.begin(), hidden.end());
      }
      AddChildren(logits.first(vocab_size), tree, kDraftRoot, kDraftRoot);
      logits.remove_prefix(vocab_size);
    }
  }
  return absl::OkStatus();
}

void ModelDrafter::AddChildren(absl::Span<const float> logits, size_t tree, int32_t node,
                               int32_t computed) {
  const DraftRequest& request = *growing_[tree].request;
  const int32_t depth = request.tree->DepthOf(node) + 1;
  if (depth > request.limits.max_depth) return;
  const auto known = static_cast<size_t>(options_.vocab_size);
  const int64_t position = static_cast<int64_t>(growing_[tree].sequence->tokens.size()) + depth - 1;
  const std::vector<Choice> choices = ChoicesOf(logits.first(std::min(logits.size(), known)),
                                                request.limits, position, options_.shares_noise);
  for (const Choice& choice : choices) {
    const int bucket = BucketOf(choice.share, &choice == &choices.front());
    const double survival =
        request.tree->SurvivalOf(node) * calibration_->Rate(options_.source, bucket, depth);
    const int32_t child = request.tree->Add(node, choice.token, survival, options_.source, bucket);
    open_.push_back({tree, child, computed, survival});
  }
}

double ModelDrafter::LeastSurvival(const DraftTree& tree, int64_t max_nodes) {
  if (tree.size() <= max_nodes) return 0;
  std::vector<double> survivals;
  for (const DraftNode& node : tree.nodes()) survivals.push_back(node.survival);
  std::nth_element(survivals.begin(), survivals.begin() + max_nodes, survivals.end(),
                   std::greater<>());
  return survivals[static_cast<size_t>(max_nodes)];
}

std::vector<ModelDrafter::Open> ModelDrafter::ChooseLevel() {
  std::vector<double> least;
  for (const Growing& growing : growing_) {
    const DraftRequest& request = *growing.request;
    const bool full = static_cast<int64_t>(growing.sequence->computed.size()) + 1 > kMostComputed;
    least.push_back(full ? 1 : LeastSurvival(*request.tree, request.limits.max_nodes));
  }
  std::erase_if(open_, [&](const Open& open) { return open.survival <= least[open.tree]; });
  const auto num_trees = static_cast<int64_t>(growing_.size());
  const auto width = std::min(WidthFor(num_trees), static_cast<int64_t>(open_.size()));
  std::partial_sort(open_.begin(), open_.begin() + width, open_.end(),
                    [](const Open& a, const Open& b) { return a.survival > b.survival; });
  std::vector<Open> level(open_.begin(), open_.begin() + width);
  double gain = 0;
  double wanted = 0;
  for (const Open& open : level) {
    gain += open.survival;
    wanted = growing_[open.tree].request->limits.tokens_per_second * level_seconds_;
  }
  if (gain < wanted) {
    // A level that took long by chance must not keep others away for good.
    level_seconds_ *= kLevelFades;
    return {};
  }
  open_.erase(open_.begin(), open_.begin() + width);
  // Rows of a sequence come one behind the other.
  std::stable_sort(level.begin(), level.end(),
                   [](const Open& a, const Open& b) { return a.tree < b.tree; });
  return level;
}

absl::Status ModelDrafter::ComputeLevel(absl::Span<const Open> level) {
  std::vector<int32_t> numbers;  // of the nodes, in `computed`
  for (const Open& open : level) {
    Sequence& s = *growing_[open.tree].sequence;
    const DraftTree& tree = *growing_[open.tree].request->tree;
    Computed node = {.parent = open.parent, .token = tree.nodes()[open.node].token, .path = {}};
    if (open.parent >= 0) node.path = s.computed[static_cast<size_t>(open.parent)].path;
    numbers.push_back(static_cast<int32_t>(s.computed.size()));
    node.path.push_back(s.done + numbers.back());
    s.computed.push_back(std::move(node));
  }
  std::vector<PassRow> rows;
  for (size_t i = 0; i < level.size(); ++i) {
    const Sequence& s = *growing_[level[i].tree].sequence;
    const Computed& node = s.computed[static_cast<size_t>(numbers[i])];
    rows.push_back({.sequence = &s.pages,
                    .position = s.done + static_cast<int64_t>(node.path.size()) - 1,
                    .token = node.token,
                    .wants_logits = true,
                    .slot = node.path.back(),
                    .sees = absl::MakeConstSpan(node.path).first(node.path.size() - 1),
                    .hidden = node.parent >= 0 ? s.computed[static_cast<size_t>(node.parent)].hidden
                                               : s.last_hidden});
  }
  const auto start = std::chrono::steady_clock::now();
  SLUICE_ASSIGN_OR_RETURN(absl::Span<const float> logits,
                          model_->RunPass(rows, growing_[0].request->limits.stop));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  level_seconds_ = level_seconds_ > 0
                       ? 0.8 * level_seconds_ + 0.2 * std::min(seconds, 3 * level_seconds_)
                       : seconds;
  const auto vocab_size = static_cast<size_t>(model_->hyper_parameters().vocab_size);
  for (size_t i = 0; i < level.size(); ++i) {
    if (is_head_) {
      const absl::Span<const float> hidden = HiddenRow(i);
      growing_[level[i].tree].sequence->computed[static_cast<size_t>(numbers[i])].hidden.assign(
          hidden.begin(), hidden.end());
    }
    AddChildren(logits.first(vocab_size), level[i].tree, level[i].node, numbers[i]);
    logits.remove_prefix(vocab_size);
  }
  return absl::OkStatus();
}

absl::Status ModelDrafter::ProposeAll(absl::Span<const DraftRequest> requests) {
  growing_.clear();
  open_.clear();
  for (const DraftRequest& request : requests) {
    const auto found = sequences_.find(request.sequence);
    if (found == sequences_.end() || found->second.tokens.empty()) continue;
    TakeKept(found->second);
    SLUICE_RETURN_IF_ERROR(TakeAccepted(found->second));
    if (is_head_ && !KnowsHidden(found->second)) continue;
    SLUICE_RETURN_IF_ERROR(MakeRoom(found->second));
    growing_.push_back({&request, &found->second});
  }
  if (growing_.empty()) return absl::OkStatus();
  absl::Status status = GrowTrees();
  if (status.ok()) return status;
  // What was in the cache may be lost.
  for (const Growing& growing : growing_) {
    growing.sequence->done = 0;
    growing.sequence->computed.clear();
  }
  return absl::IsCancelled(status) ? absl::OkStatus() : status;
}

absl::Status ModelDrafter::GrowTrees() {
  SLUICE_RETURN_IF_ERROR(CatchUp());
  for (;;) {
    const std::vector<Open> level = ChooseLevel();
    if (level.empty()) return absl::OkStatus();
    SLUICE_RETURN_IF_ERROR(ComputeLevel(level));
  }
}

}  // namespace sluice
