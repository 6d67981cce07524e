// Uses the structure of a single pattern if it can, else a product of automata.
#include "runtime/text/grammar/pattern_intersection.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace sluice::grammar {
namespace {

using ExprId = Grammar::ExprId;

constexpr int64_t kEndless = int64_t{1} << 40;  // more than any bound

struct Lengths {
  int64_t min = 0, max = 0;  // max may be kEndless; min > max: no text
  bool IsNone() const { return min > max; }
  bool Inside(const Lengths& outer) const { return min >= outer.min && max <= outer.max; }
};
constexpr Lengths kNoLength{1, 0};

// Returns how long the texts of each expression of a grammar without rules can be.
std::vector<Lengths> LengthsOf(const Grammar& g) {
  std::vector<Lengths> lengths(g.num_exprs());
  for (ExprId id = 0; id < g.num_exprs(); ++id) {
    const Grammar::Expr& e = g.expr(id);
    Lengths& sum = lengths[id];
    if (e.kind == Grammar::Kind::kClass) {
      sum = e.ranges.empty() ? kNoLength : Lengths{1, 1};
    } else if (e.kind == Grammar::Kind::kChoice) {
      sum = kNoLength;
      for (const ExprId part : e.parts) {
        const Lengths& way = lengths[part];
        if (way.IsNone()) continue;
        sum = sum.IsNone() ? way : Lengths{std::min(sum.min, way.min), std::max(sum.max, way.max)};
      }
    } else if (e.kind == Grammar::Kind::kRepeat) {
      const Lengths& one = lengths[e.parts[0]];
      if (one.IsNone()) {
        sum = e.min == 0 ? Lengths{0, 0} : kNoLength;
      } else {
        const int64_t times = e.max == Grammar::kUnlimited ? kEndless : e.max;
        sum.min = std::min(kEndless, one.min * e.min);
        sum.max = one.max == 0                                        ? 0
                  : one.max >= kEndless / std::max<int64_t>(times, 1) ? kEndless
                                                                      : one.max * times;
        if (times == 0) sum.max = 0;
      }
    } else {
      for (const ExprId part : e.parts) {
        if (lengths[part].IsNone()) {
          sum = kNoLength;
          break;
        }
        sum = {std::min(kEndless, sum.min + lengths[part].min),
               std::min(kEndless, sum.max + lengths[part].max)};
      }
    }
  }
  return lengths;
}

// Turns bounds of length of a pattern into bounds of its repetitions.
class Shortening {
 public:
  Shortening(const std::vector<Lengths>& lengths, Grammar* g) : lengths_(lengths), g_(*g) {}

  // Returns nothing if the pattern is of another kind.
  std::optional<ExprId> Within(ExprId id, Lengths bounds) {
    const Lengths own = lengths_[id];
    bounds.min = std::max<int64_t>(bounds.min, 0);
    if (own.IsNone() || own.min > bounds.max || own.max < bounds.min) return g_.Choice({});
    if (own.Inside(bounds)) return id;
    const Grammar::Expr e = g_.expr(id);  // a copy, as expressions are added
    std::vector<ExprId> parts;
    if (e.kind == Grammar::Kind::kChoice) {
      for (const ExprId part : e.parts) {
        const std::optional<ExprId> way = Within(part, bounds);
        if (!way.has_value()) return std::nullopt;
        parts.push_back(*way);
      }
      return g_.Choice(std::move(parts));
    }
    if (e.kind == Grammar::Kind::kRepeat) return Repetition(e, bounds);
    if (e.kind != Grammar::Kind::kSequence) return std::nullopt;
    int64_t fixed = 0;
    int variable = 0;
    for (const ExprId part : e.parts) {
      if (lengths_[part].min == lengths_[part].max) {
        fixed += lengths_[part].min;
      } else {
        ++variable;
      }
    }
    if (variable != 1) return std::nullopt;
    for (ExprId part : e.parts) {
      if (lengths_[part].min != lengths_[part].max) {
        const std::optional<ExprId> way = Within(part, {bounds.min - fixed, bounds.max - fixed});
        if (!way.has_value()) return std::nullopt;
        part = *way;
      }
      parts.push_back(part);
    }
    return g_.Sequence(std::move(parts));
  }

 private:
  std::optional<ExprId> Repetition(const Grammar::Expr& e, const Lengths& bounds) {
    const ExprId part = e.parts[0];
    const Lengths one = lengths_[part];
    if (one.min == one.max && one.min > 0) {
      const int64_t least = std::max<int64_t>(e.min, (bounds.min + one.min - 1) / one.min);
      int64_t most = bounds.max >= kEndless ? kEndless : bounds.max / one.min;
      if (e.max != Grammar::kUnlimited) most = std::min<int64_t>(most, e.max);
      if (least > most) return g_.Choice({});
      return g_.Repeat(part, static_cast<int32_t>(least),
                       most >= kEndless ? Grammar::kUnlimited : static_cast<int32_t>(most));
    }
    if (e.min != 0 || e.max != 1) return std::nullopt;
    const std::optional<ExprId> way = Within(part, bounds);
    if (!way.has_value() || bounds.min > 0) return way;
    return g_.Optional(*way);
  }

  const std::vector<Lengths>& lengths_;  // of the expressions that were there first
  Grammar& g_;
};

// A position automaton: a state for each class of the pattern, which is entered with a character of
// the class.
class Positions {
 public:
  // `longest` bounds the repetitions that matter.
  Positions(const Grammar& g, const std::vector<Lengths>& lengths, int64_t longest, int64_t limit)
      : g_(g), lengths_(lengths), longest_(longest), limit_(limit) {}

  absl::Status Build(ExprId pattern) {
    SLUICE_ASSIGN_OR_RETURN(const Part whole, Of(pattern));
    first_ = whole.first;
    can_end_.resize(classes_.size());
    for (const int32_t p : whole.last) can_end_[p] = true;
    is_empty_text_ = whole.may_be_empty;
    return absl::OkStatus();
  }

  // State -1 is the start.
  const std::vector<int32_t>& Next(int32_t state) const {
    return state < 0 ? first_ : follow_[state];
  }
  bool CanEnd(int32_t state) const { return state < 0 ? is_empty_text_ : can_end_[state]; }
  const std::vector<CodePointRange>& Class(int32_t state) const {
    return g_.expr(classes_[state]).ranges;
  }

 private:
  struct Part {
    bool may_be_empty = true;
    std::vector<int32_t> first = {}, last = {};
  };

  absl::Status Spend(size_t work) {
    spent_ += static_cast<int64_t>(work);
    if (spent_ <= limit_) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        "the pattern is too large to be held to a length or another pattern");
  }

  absl::Status Link(const std::vector<int32_t>& from, const std::vector<int32_t>& to) {
    SLUICE_RETURN_IF_ERROR(Spend(8 * from.size() * to.size()));
    for (const int32_t p : from) follow_[p].insert(follow_[p].end(), to.begin(), to.end());
    return absl::OkStatus();
  }

  absl::StatusOr<Part> Then(Part a, const Part& b) {
    SLUICE_RETURN_IF_ERROR(Link(a.last, b.first));
    SLUICE_RETURN_IF_ERROR(Spend(a.first.size() + b.first.size() + a.last.size() + b.last.size()));
    if (a.may_be_empty) a.first.insert(a.first.end(), b.first.begin(), b.first.end());
    if (!b.may_be_empty) a.last.clear();
    a.last.insert(a.last.end(), b.last.begin(), b.last.end());
    a.may_be_empty &= b.may_be_empty;
    return a;
  }

  absl::StatusOr<Part> Of(ExprId id) {
    SLUICE_RETURN_IF_ERROR(Spend(8));
    const Grammar::Expr& e = g_.expr(id);
    if (e.kind == Grammar::Kind::kClass) {
      const auto p = static_cast<int32_t>(classes_.size());
      classes_.push_back(id);
      follow_.emplace_back();
      return Part{false, {p}, {p}};
    }
    if (e.kind == Grammar::Kind::kRepeat) return Repetition(e);
    Part sum{e.kind != Grammar::Kind::kChoice};
    for (const ExprId part : e.parts) {
      SLUICE_ASSIGN_OR_RETURN(const Part next, Of(part));
      if (e.kind == Grammar::Kind::kSequence) {
        SLUICE_ASSIGN_OR_RETURN(sum, Then(std::move(sum), next));
        continue;
      }
      SLUICE_RETURN_IF_ERROR(Spend(next.first.size() + next.last.size()));
      sum.may_be_empty |= next.may_be_empty;
      sum.first.insert(sum.first.end(), next.first.begin(), next.first.end());
      sum.last.insert(sum.last.end(), next.last.begin(), next.last.end());
    }
    return sum;
  }

  absl::StatusOr<Part> Repetition(const Grammar::Expr& e) {
    const ExprId part = e.parts[0];
    const bool unlimited = e.max == Grammar::kUnlimited;
    int64_t most = e.max;
    if (!unlimited && longest_ < kEndless) {
      most = std::clamp<int64_t>(longest_ / std::max<int64_t>(1, lengths_[part].min), e.min, e.max);
    }
    // Optional times are nested, (x(x)?)?, so that each one is followed only by the next.
    Part rest;
    if (unlimited) {
      SLUICE_ASSIGN_OR_RETURN(rest, Of(part));
      SLUICE_RETURN_IF_ERROR(Link(rest.last, rest.first));
      rest.may_be_empty = true;
    }
    for (int64_t i = unlimited ? e.min : most; i-- > 0;) {
      SLUICE_ASSIGN_OR_RETURN(Part time, Of(part));
      SLUICE_ASSIGN_OR_RETURN(rest, Then(std::move(time), rest));
      rest.may_be_empty |= i >= e.min;
    }
    return rest;
  }

  const Grammar& g_;
  const std::vector<Lengths>& lengths_;
  const int64_t longest_, limit_;
  int64_t spent_ = 0;
  std::vector<ExprId> classes_;  // of each position
  std::vector<std::vector<int32_t>> follow_;
  std::vector<int32_t> first_;
  std::vector<bool> can_end_;
  bool is_empty_text_ = false;
};

std::vector<CodePointRange> CommonRanges(const std::vector<CodePointRange>& a,
                                         const std::vector<CodePointRange>& b) {
  std::vector<CodePointRange> common;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const uint32_t first = std::max(a[i].first, b[j].first), last = std::min(a[i].last, b[j].last);
    if (first <= last) common.push_back({first, last});
    ++(a[i].last < b[j].last ? i : j);
  }
  return common;
}

// Two automata and a count of characters, followed together.
class Product {
 public:
  Product(const Positions& a, const Positions& b, int64_t min, int64_t max, int64_t limit,
          Grammar* g)
      : a_(a), b_(b), min_(min), max_(max), limit_(limit), g_(*g) {}

  absl::StatusOr<std::optional<ExprId>> Build() {
    (void)Number({-1, -1, 0});
    for (size_t i = 0; i < states_.size(); ++i) {
      SLUICE_RETURN_IF_ERROR(Follow(static_cast<int32_t>(i)));
    }
    FindLive();
    if (!is_live_[0]) return std::nullopt;
    return Rules();
  }

 private:
  struct State {
    int32_t a, b;
    int64_t length;  // no more than `min` where there is no `max`
    auto operator<=>(const State&) const = default;
  };
  struct Edge {
    ExprId characters;
    int32_t to;
  };

  int32_t Number(const State& state) {
    const auto [it, is_new] = numbers_.try_emplace(state, static_cast<int32_t>(states_.size()));
    if (is_new) {
      states_.push_back(state);
      edges_.emplace_back();
    }
    return it->second;
  }

  absl::Status Follow(int32_t from) {
    const State state = states_[from];
    if (state.length == max_) return absl::OkStatus();
    const int64_t length = max_ >= kEndless ? std::min(state.length + 1, min_) : state.length + 1;
    for (const int32_t a : a_.Next(state.a)) {
      for (const int32_t b : b_.Next(state.b)) {
        if (++num_pairs_ > limit_ * 8) return TooLarge();
        const ExprId characters = Characters(a, b);
        if (characters < 0) continue;
        if (++num_edges_ > limit_) return TooLarge();
        const int32_t to = Number({a, b, length});
        edges_[from].push_back({characters, to});
      }
    }
    return absl::OkStatus();
  }

  static absl::Status TooLarge() {
    return absl::ResourceExhaustedError(
        "together with its lengths or the other pattern, the pattern has too many states; a "
        "smaller \"maxLength\" or "
        "none may help");
  }

  // Returns the characters of both classes; -1: there are none.
  ExprId Characters(int32_t a, int32_t b) {
    const auto [it, is_new] = classes_.try_emplace({a, b}, -1);
    if (is_new) {
      std::vector<CodePointRange> common = CommonRanges(a_.Class(a), b_.Class(b));
      if (!common.empty()) it->second = g_.Class(std::move(common));
    }
    return it->second;
  }

  bool CanEnd(const State& state) const {
    return state.length >= min_ && a_.CanEnd(state.a) && b_.CanEnd(state.b);
  }

  void FindLive() {
    std::vector<std::vector<int32_t>> from(states_.size());
    std::vector<int32_t> live;
    is_live_.assign(states_.size(), false);
    for (size_t i = 0; i < states_.size(); ++i) {
      for (const Edge& edge : edges_[i]) from[edge.to].push_back(static_cast<int32_t>(i));
      if (!CanEnd(states_[i])) continue;
      is_live_[i] = true;
      live.push_back(static_cast<int32_t>(i));
    }
    while (!live.empty()) {
      const int32_t to = live.back();
      live.pop_back();
      for (const int32_t state : from[to]) {
        if (is_live_[state]) continue;
        is_live_[state] = true;
        live.push_back(state);
      }
    }
  }

  ExprId Rules() {
    std::vector<Grammar::RuleId> rules(states_.size(), -1);
    for (size_t i = 0; i < states_.size(); ++i) {
      if (is_live_[i]) rules[i] = g_.AddRule(absl::StrCat("pattern ", i));
    }
    for (size_t i = 0; i < states_.size(); ++i) {
      if (!is_live_[i]) continue;
      std::vector<ExprId> ways;
      if (CanEnd(states_[i])) ways.push_back(g_.Sequence({}));
      for (const Edge& edge : edges_[i]) {
        if (is_live_[edge.to])
          ways.push_back(g_.Sequence({edge.characters, g_.Use(rules[edge.to])}));
      }
      g_.Define(rules[i], g_.Choice(std::move(ways)));
    }
    return g_.Use(rules[0]);
  }

  const Positions &a_, &b_;
  const int64_t min_, max_, limit_;
  Grammar& g_;
  std::map<State, int32_t> numbers_;
  std::vector<State> states_;
  std::vector<std::vector<Edge>> edges_;
  std::map<std::pair<int32_t, int32_t>, ExprId> classes_;
  std::vector<bool> is_live_;
  int64_t num_edges_ = 0, num_pairs_ = 0;
};

}  // namespace

absl::StatusOr<std::optional<Grammar::ExprId>> PatternIntersection(
    absl::Span<const Grammar::ExprId> patterns, int32_t min, int32_t max, const Limits& limits,
    Grammar* characters) {
  Grammar& g = *characters;
  const ExprId any = g.Repeat(g.Class({{0, kMaxCodePoint}}), 0, Grammar::kUnlimited);
  const std::vector<Lengths> lengths = LengthsOf(g);
  const Lengths bounds{min, max == Grammar::kUnlimited ? kEndless : max};
  for (const ExprId pattern : patterns) {
    const Lengths& own = lengths[pattern];
    if (own.IsNone() || own.min > bounds.max || own.max < bounds.min) return std::nullopt;
  }
  if (patterns.size() == 1) {
    if (const std::optional<ExprId> whole =
            Shortening(lengths, characters).Within(patterns[0], bounds)) {
      return LengthsOf(g)[*whole].IsNone() ? std::nullopt : whole;
    }
  }
  int64_t longest = bounds.max;
  for (const ExprId pattern : patterns) longest = std::min(longest, lengths[pattern].max);
  // No text is so long, so that nothing need be counted.
  const int64_t max_length = longest < bounds.max ? kEndless : bounds.max;
  // Of edges, each of which becomes a few expressions
  const int64_t limit = limits.expressions / 4;
  Positions a(g, lengths, longest, limit * 128), b(g, lengths, longest, limit * 128);
  SLUICE_RETURN_IF_ERROR(a.Build(patterns[0]));
  SLUICE_RETURN_IF_ERROR(b.Build(patterns.size() > 1 ? patterns[1] : any));
  return Product(a, b, bounds.min, max_length, limit, characters).Build();
}

}  // namespace sluice::grammar
