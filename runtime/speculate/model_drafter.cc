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

// Tokens that are looked at behind a node; of a draw, those that are worth a node.
constexpr int64_t kRankedTokens = 32;
constexpr size_t kChildren = 8;
// Below this part of the likeliest token's probability, a target with the usual filters draws none.
constexpr double kLeastShare = 0.03;
// Lower ends of the buckets, from the highest.
constexpr std::array<double, kConfidenceBuckets - 1> kBucketFloors = {
    0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.12, 0.07, 0.04, 0.02, 0.01};

int BucketOf(double share) {
  int bucket = 0;
  for (const double floor : kBucketFloors) bucket += share >= floor;
  return bucket;
}

struct Choice {
  int32_t token;
  double share;  // how likely the target is taken to choose it; of all choices together 1
};

// What a target may choose where a draft has these logits, likeliest first.
std::vector<Choice> ChoicesOf(absl::Span<const float> logits, const DraftLimits& limits,
                              int64_t position, bool shares_noise) {
  const std::vector<std::pair<int32_t, float>> top = TopTokens(logits, kRankedTokens);
  const double scale = limits.temperature > 0 ? 1 / limits.temperature : 1;
  const GumbelNoise noise(limits.seed, position);
  const bool noisy = limits.temperature > 0 && shares_noise;
  std::vector<Choice> choices;
  for (const auto& [token, logit] : top) {
    const double score = (double{logit} - top[0].second) * scale;
    if (noisy && score < std::log(kLeastShare)) break;
    choices.push_back({token, score + (noisy ? noise.Of(token) : 0)});
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
  static const Calibration::Priors rates = {0.004, 0.012, 0.03, 0.05, 0.08, 0.13, 0.2,  0.3,
                                            0.38,  0.47,  0.55, 0.63, 0.72, 0.81, 0.88, 0.95};
  return rates;
}

ModelDrafter::ModelDrafter(Model* model, const ModelDrafterOptions& options,
                           const Calibration* calibration)
    : model_(model), options_(options), calibration_(calibration) {}

ModelDrafter::~ModelDrafter() {
  for (auto& [id, sequence] : sequences_) model_->kv_cache().Release(sequence.pages);
}

void ModelDrafter::Observe(int64_t sequence, absl::Span<const int32_t> tokens) {
  std::vector<int32_t>& known = sequences_[sequence].tokens;
  known.insert(known.end(), tokens.begin(), tokens.end());
}

void ModelDrafter::Forget(int64_t sequence) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return;
  model_->kv_cache().Release(found->second.pages);
  sequences_.erase(found);
}

absl::Status ModelDrafter::TakeAccepted(Sequence& s) {
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

absl::StatusOr<absl::Span<const float>> ModelDrafter::CatchUp(Sequence& s) {
  const auto known = static_cast<int64_t>(s.tokens.size());
  if (known - s.first > capacity()) {
    s.first = known - capacity() / 2;
    s.done = 0;
  }
  const int64_t end = known - s.first;
  // The last row is computed again where it is there: for its logits.
  s.done = std::min(s.done, end - 1);
  SLUICE_RETURN_IF_ERROR(model_->kv_cache().Reserve(s.pages, end + kMostComputed));
  absl::Span<const float> logits;
  while (s.done < end) {
    std::vector<PassRow> rows;
    const int64_t stop = std::min(end, s.done + model_->plan().pass_rows);
    for (int64_t position = s.done; position < stop; ++position) {
      rows.push_back({&s.pages, position, s.tokens[static_cast<size_t>(s.first + position)],
                      position + 1 == end});
    }
    SLUICE_ASSIGN_OR_RETURN(logits, model_->RunPass(rows));
    s.done = stop;
  }
  return logits;
}

void ModelDrafter::AddChildren(absl::Span<const float> logits, const DraftLimits& limits,
                               int64_t position, int32_t node, int32_t computed, DraftTree* tree) {
  const int32_t depth = tree->DepthOf(node) + 1;
  if (depth > limits.max_depth) return;
  const auto known = static_cast<size_t>(options_.vocab_size);
  for (const Choice& choice : ChoicesOf(logits.first(std::min(logits.size(), known)), limits,
                                        position, options_.shares_noise)) {
    const int bucket = BucketOf(choice.share);
    const double survival =
        tree->SurvivalOf(node) * calibration_->Rate(options_.source, bucket, depth);
    const int32_t child = tree->Add(node, choice.token, survival, options_.source, bucket);
    open_.push_back({child, computed, survival});
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

absl::StatusOr<bool> ModelDrafter::Grow(Sequence& s, const DraftLimits& limits, DraftTree* tree) {
  const auto room = kMostComputed - static_cast<int64_t>(s.computed.size());
  const auto width =
      static_cast<size_t>(std::min({kWidth, room, static_cast<int64_t>(open_.size())}));
  if (width == 0) return false;
  std::partial_sort(open_.begin(), open_.begin() + static_cast<int64_t>(width), open_.end(),
                    [](const Open& a, const Open& b) { return a.survival > b.survival; });
  if (open_[0].survival <= LeastSurvival(*tree, limits.max_nodes)) return false;
  double gain = 0;
  for (size_t i = 0; i < width; ++i) gain += open_[i].survival;
  if (gain < limits.tokens_per_second * level_seconds_) return false;
  const std::vector<Open> chosen(open_.begin(), open_.begin() + static_cast<int64_t>(width));
  open_.erase(open_.begin(), open_.begin() + static_cast<int64_t>(width));
  const size_t first = s.computed.size();
  for (const Open& open : chosen) {
    Computed node = {.parent = open.parent, .token = tree->nodes()[open.node].token, .path = {}};
    if (open.parent >= 0) node.path = s.computed[static_cast<size_t>(open.parent)].path;
    node.path.push_back(s.done + static_cast<int64_t>(s.computed.size()));
    s.computed.push_back(std::move(node));
  }
  std::vector<PassRow> rows;
  for (size_t i = first; i < s.computed.size(); ++i) {
    const std::vector<int64_t>& path = s.computed[i].path;
    rows.push_back({.sequence = &s.pages,
                    .position = s.done + static_cast<int64_t>(path.size()) - 1,
                    .token = s.computed[i].token,
                    .wants_logits = true,
                    .slot = path.back(),
                    .sees = absl::MakeConstSpan(path).first(path.size() - 1)});
  }
  const auto start = std::chrono::steady_clock::now();
  SLUICE_ASSIGN_OR_RETURN(absl::Span<const float> logits, model_->RunPass(rows));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  level_seconds_ = level_seconds_ > 0 ? 0.8 * level_seconds_ + 0.2 * seconds : seconds;
  const auto vocab_size = static_cast<size_t>(model_->hyper_parameters().vocab_size);
  for (size_t i = 0; i < width; ++i) {
    AddChildren(logits.first(vocab_size), limits,
                static_cast<int64_t>(s.tokens.size()) + tree->DepthOf(chosen[i].node),
                chosen[i].node, static_cast<int32_t>(first + i), tree);
    logits.remove_prefix(vocab_size);
  }
  return true;
}

absl::Status ModelDrafter::Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end() || found->second.tokens.empty()) return absl::OkStatus();
  Sequence& s = found->second;
  SLUICE_RETURN_IF_ERROR(TakeAccepted(s));
  SLUICE_ASSIGN_OR_RETURN(const absl::Span<const float> logits, CatchUp(s));
  open_.clear();
  AddChildren(logits, limits, static_cast<int64_t>(s.tokens.size()), kDraftRoot, kDraftRoot, tree);
  for (bool grows = true; grows;) {
    SLUICE_ASSIGN_OR_RETURN(grows, Grow(s, limits, tree));
  }
  return absl::OkStatus();
}

}  // namespace sluice
