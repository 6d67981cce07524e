// Writes expressions out as states and edges, and analyses the graph that results.
#include "runtime/text/grammar/automaton.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <queue>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/grammar/utf8.h"

namespace sluice::grammar {
namespace {

using State = Automaton::State;

// Repeating more than this many states makes the repeated part a rule of its own, which is written
// out once.
constexpr int64_t kInlineStates = 4096;

template <typename Edge>
struct From {
  State from;
  Edge edge;
};

// Sorts edges by the state that they leave, keeping their order there.
template <typename Edge>
void Place(const std::vector<From<Edge>>& edges, size_t num_states, std::vector<Edge>* placed,
           std::vector<uint32_t>* begin) {
  begin->assign(num_states + 1, 0);
  for (const auto& e : edges) ++(*begin)[e.from + 1];
  for (size_t s = 0; s < num_states; ++s) (*begin)[s + 1] += (*begin)[s];
  placed->resize(edges.size());
  std::vector<uint32_t> at(begin->begin(), begin->end() - 1);
  for (const auto& e : edges) (*placed)[at[e.from]++] = e.edge;
}

}  // namespace

class AutomatonBuilder {
 public:
  AutomatonBuilder(const Grammar& grammar, const Limits& limits)
      : grammar_(grammar), limits_(limits) {
    a_.num_tokens_ = static_cast<int>(grammar.tokens().size());
  }

  absl::StatusOr<Automaton> Build() {
    SizeExpressions();
    for (const Grammar::Rule& rule : grammar_.rules()) {
      a_.rules_.emplace_back().name = rule.name;
      bodies_.push_back(rule.body);
    }
    a_.root_ = grammar_.root();
    for (size_t r = 0; r < bodies_.size(); ++r) {  // Write adds rules
      State start;
      SLUICE_ASSIGN_OR_RETURN(start, NewState());
      a_.rules_[r].start = start;
      SLUICE_ASSIGN_OR_RETURN(const State end, Write(bodies_[r], start));
      a_.is_end_[end] = true;
    }
    MakeClasses();
    PlaceEdges();
    std::vector<int32_t> to_end = a_.BytesToEnd(std::bitset<256>().set());
    const auto start_of = [&](int32_t rule) { return a_.rules_[rule].start; };
    if (to_end[start_of(a_.root_)] == Automaton::kNever) {
      return absl::InvalidArgumentError(
          "grammar: no text matches it, as every way through it is endless");
    }
    // Edges that lead nowhere are dropped; a call of a rule that may match nothing can also be
    // skipped.
    std::erase_if(bytes_,
                  [&](const auto& e) { return to_end[e.edge.target] == Automaton::kNever; });
    std::erase_if(tokens_,
                  [&](const auto& e) { return to_end[e.edge.target] == Automaton::kNever; });
    std::erase_if(empties_, [&](const auto& e) { return to_end[e.edge] == Automaton::kNever; });
    std::erase_if(calls_, [&](const auto& e) {
      return to_end[e.edge.target] == Automaton::kNever ||
             to_end[start_of(e.edge.rule)] == Automaton::kNever;
    });
    for (const auto& call : calls_) {
      if (to_end[start_of(call.edge.rule)] == 0) empties_.push_back({call.from, call.edge.target});
    }
    PlaceEdges();
    MarkOnlyEnds(to_end);
    SLUICE_RETURN_IF_ERROR(RankRules());
    return std::move(a_);
  }

 private:
  struct RawByteEdge {
    uint8_t first, last;
    State target;
  };
  struct RawTokenEdge {
    int32_t token;
    State target;
  };

  absl::StatusOr<State> NewState() {
    if (a_.num_states() >= limits_.states) {
      return absl::ResourceExhaustedError(absl::StrCat("grammar: written out, it has more than ",
                                                       limits_.states,
                                                       " states; are its repetitions that large?"));
    }
    a_.is_end_.push_back(false);
    a_.repetition_.push_back(0);
    return static_cast<State>(a_.num_states() - 1);
  }

  // Counts the states of each expression, roughly.
  void SizeExpressions() {
    sizes_.resize(grammar_.num_exprs());
    for (int32_t i = 0; i < grammar_.num_exprs(); ++i) {
      const Grammar::Expr& e = grammar_.expr(i);
      int64_t size =
          1 + static_cast<int64_t>(e.text.size()) + 4 * static_cast<int64_t>(e.ranges.size());
      for (const Grammar::ExprId part : e.parts) size += sizes_[part];
      if (e.kind == Grammar::Kind::kRepeat) {
        // Write() does the same: a large part becomes a rule, and then takes one state each time.
        const int64_t times = std::max({e.min, e.max, 1});
        size = IsOutlined(e.parts[0], times) ? times : times * sizes_[e.parts[0]];
      }
      sizes_[i] = std::min<int64_t>(size, int64_t{1} << 40);
    }
  }

  bool IsOutlined(Grammar::ExprId part, int64_t times) const {
    return times > 1 && grammar_.expr(part).kind != Grammar::Kind::kRule &&
           sizes_[part] * times > kInlineStates;
  }

  // Adds the texts of `id` behind `from`; returns the state behind them. Nothing leads back to
  // `from`, so that several expressions may begin there.
  absl::StatusOr<State> Write(Grammar::ExprId id, State from) {
    if (++steps_ > 4 * limits_.states) {
      return absl::ResourceExhaustedError("grammar: its repetitions of repetitions are too large");
    }
    const Grammar::Expr& e = grammar_.expr(id);
    switch (e.kind) {
      case Grammar::Kind::kText: {
        for (const char c : e.text) {
          SLUICE_ASSIGN_OR_RETURN(const State next, NewState());
          bytes_.push_back({from, {static_cast<uint8_t>(c), static_cast<uint8_t>(c), next}});
          from = next;
        }
        return from;
      }
      case Grammar::Kind::kClass:
        return WriteClass(e, from);
      case Grammar::Kind::kSequence: {
        for (const Grammar::ExprId part : e.parts) {
          SLUICE_ASSIGN_OR_RETURN(from, Write(part, from));
        }
        return from;
      }
      case Grammar::Kind::kChoice: {
        SLUICE_ASSIGN_OR_RETURN(const State end, NewState());
        for (const Grammar::ExprId part : e.parts) {
          SLUICE_ASSIGN_OR_RETURN(const State part_end, Write(part, from));
          empties_.push_back({part_end, end});
        }
        return end;
      }
      case Grammar::Kind::kRepeat:
        return WriteRepeat(e, from);
      case Grammar::Kind::kRule:
        return WriteCall(e.rule, from);
      case Grammar::Kind::kToken: {
        SLUICE_ASSIGN_OR_RETURN(const State next, NewState());
        tokens_.push_back({from, {e.token, next}});
        return next;
      }
    }
    return from;
  }

  absl::StatusOr<State> WriteCall(Grammar::RuleId rule, State from) {
    SLUICE_ASSIGN_OR_RETURN(const State end, NewState());
    calls_.push_back({from, {rule, end}});
    return end;
  }

  absl::StatusOr<State> WriteClass(const Grammar::Expr& e, State from) {
    // rest[n]: n continuation bytes of any value are missing.
    std::optional<State> rest[4];
    SLUICE_ASSIGN_OR_RETURN(rest[0], NewState());
    const auto rest_of = [&](int n) -> absl::StatusOr<State> {
      for (int i = 1; i <= n; ++i) {
        if (rest[i].has_value()) continue;
        SLUICE_ASSIGN_OR_RETURN(rest[i], NewState());
        bytes_.push_back({*rest[i], {0x80, 0xBF, *rest[i - 1]}});
      }
      return *rest[n];
    };
    for (const ByteSequence& sequence : Utf8Sequences(e.ranges)) {
      State at = from;
      for (int i = 0; i < sequence.size; ++i) {
        bool any = true;  // anything may come behind this byte
        for (int j = i + 1; j < sequence.size; ++j)
          any &= sequence.first[j] == 0x80 && sequence.last[j] == 0xBF;
        State next;
        if (any) {
          SLUICE_ASSIGN_OR_RETURN(next, rest_of(sequence.size - 1 - i));
        } else {
          SLUICE_ASSIGN_OR_RETURN(next, NewState());
        }
        bytes_.push_back({at, {sequence.first[i], sequence.last[i], next}});
        if (any) break;
        at = next;
      }
    }
    return *rest[0];
  }

  absl::StatusOr<State> WriteRepeat(const Grammar::Expr& e, State from) {
    const Grammar::ExprId part = e.parts[0];
    const bool unlimited = e.max == Grammar::kUnlimited;
    int32_t outlined = -1;
    if (IsOutlined(part, std::max({e.min, e.max, 1}))) {
      outlined = static_cast<int32_t>(bodies_.size());
      bodies_.push_back(part);
      a_.rules_.emplace_back().name = "(what is repeated)";
    }
    const auto once = [&](State s) {
      return outlined >= 0 ? WriteCall(outlined, s) : Write(part, s);
    };
    for (int32_t i = 0; i < e.min; ++i) {
      SLUICE_ASSIGN_OR_RETURN(from, once(from));
    }
    if (unlimited) {
      SLUICE_ASSIGN_OR_RETURN(const State loop, NewState());
      empties_.push_back({from, loop});
      SLUICE_ASSIGN_OR_RETURN(const State again, once(loop));
      empties_.push_back({again, loop});
      // An edge leads back to `loop`, so that other expressions may not begin there.
      SLUICE_ASSIGN_OR_RETURN(const State end, NewState());
      empties_.push_back({loop, end});
      return end;
    }
    if (e.max == e.min) return from;
    SLUICE_ASSIGN_OR_RETURN(const State end, NewState());
    const uint32_t repetition = ++repetitions_;
    for (int32_t i = e.min; i < e.max; ++i) {
      empties_.push_back({from, end});
      if (i > e.min)
        a_.repetition_[from] = repetition;  // other expressions may begin at the first one
      SLUICE_ASSIGN_OR_RETURN(from, once(from));
    }
    empties_.push_back({from, end});
    return end;
  }

  void MakeClasses() {
    std::bitset<257> begins;
    begins.set(0);
    for (const auto& e : bytes_) {
      begins.set(e.edge.first);
      begins.set(e.edge.last + 1);
    }
    int byte_class = -1;
    for (int byte = 0; byte < 256; ++byte) {
      byte_class += begins[byte];
      a_.class_of_[byte] = static_cast<uint8_t>(byte_class);
    }
    a_.num_byte_classes_ = byte_class + 1;
  }

  void PlaceEdges() {
    const size_t n = a_.is_end_.size();
    std::vector<From<Automaton::ByteEdge>> by_class;
    for (const auto& e : bytes_) {
      by_class.push_back(
          {e.from, {a_.class_of_[e.edge.first], a_.class_of_[e.edge.last], e.edge.target}});
    }
    for (const auto& e : tokens_) {
      const uint16_t token_class = a_.class_of_token(e.edge.token);
      by_class.push_back({e.from, {token_class, token_class, e.edge.target}});
    }
    Place(by_class, n, &a_.byte_edges_, &a_.byte_begin_);
    Place(calls_, n, &a_.call_edges_, &a_.call_begin_);
    Place(empties_, n, &a_.empty_edges_, &a_.empty_begin_);
  }

  void MarkOnlyEnds(const std::vector<int32_t>& to_end) {
    const size_t n = a_.is_end_.size();
    std::vector<From<State>> reversed;
    for (const auto& e : empties_) reversed.push_back({e.edge, e.from});
    std::vector<State> sources;
    std::vector<uint32_t> begin;
    Place(reversed, n, &sources, &begin);
    std::vector<State> goes_on;
    std::vector<bool> marked(n);
    for (State s = 0; s < n; ++s) {
      marked[s] = !a_.bytes(s).empty() || !a_.calls(s).empty();
      if (marked[s]) goes_on.push_back(s);
    }
    while (!goes_on.empty()) {
      const State s = goes_on.back();
      goes_on.pop_back();
      for (uint32_t i = begin[s]; i < begin[s + 1]; ++i) {
        if (marked[sources[i]]) continue;
        marked[sources[i]] = true;
        goes_on.push_back(sources[i]);
      }
    }
    a_.only_end_.resize(n);
    for (State s = 0; s < n; ++s) a_.only_end_[s] = !marked[s] && to_end[s] == 0;
  }

  // The rules that each rule can call before any byte.
  std::vector<std::vector<int32_t>> FirstCalls() const {
    std::vector<std::vector<int32_t>> first(a_.rules_.size());
    std::vector<uint32_t> seen(a_.is_end_.size(), ~0u);
    for (uint32_t r = 0; r < first.size(); ++r) {
      std::vector<State> open = {a_.rules_[r].start};
      seen[open[0]] = r;
      while (!open.empty()) {
        const State s = open.back();
        open.pop_back();
        for (const Automaton::CallEdge& call : a_.calls(s)) first[r].push_back(call.rule);
        for (const State next : a_.empties(s)) {
          if (seen[next] == r) continue;
          seen[next] = r;
          open.push_back(next);
        }
      }
      std::sort(first[r].begin(), first[r].end());
      first[r].erase(std::unique(first[r].begin(), first[r].end()), first[r].end());
    }
    return first;
  }

  absl::Status RankRules() {
    const std::vector<std::vector<int32_t>> first = FirstCalls();
    std::vector<int32_t> callers(first.size());
    for (const auto& called : first) {
      for (const int32_t rule : called) ++callers[rule];
    }
    std::vector<int32_t> ready;
    for (size_t r = 0; r < first.size(); ++r) {
      if (callers[r] == 0) ready.push_back(static_cast<int32_t>(r));
    }
    int32_t rank = 0;
    while (!ready.empty()) {
      const int32_t rule = ready.back();
      ready.pop_back();
      a_.rules_[rule].rank = rank++;
      for (const int32_t called : first[rule]) {
        if (--callers[called] == 0) ready.push_back(called);
      }
    }
    if (rank == static_cast<int32_t>(first.size())) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("grammar: left recursion, which would never end: ", Cycle(first, callers)));
  }

  // Describes a cycle, "a, b, a", among the rules that were left over; each of them has a caller
  // among them.
  std::string Cycle(const std::vector<std::vector<int32_t>>& first,
                    const std::vector<int32_t>& callers) const {
    std::vector<int32_t> caller(first.size(), -1);
    int32_t at = -1;
    for (size_t r = 0; r < first.size(); ++r) {
      if (callers[r] == 0) continue;
      at = static_cast<int32_t>(r);
      for (const int32_t called : first[r]) caller[called] = at;
    }
    std::vector<int32_t> way;  // backwards
    std::vector<bool> seen(first.size());
    for (; !seen[at]; at = caller[at]) {
      seen[at] = true;
      way.push_back(at);
    }
    way.erase(way.begin(), std::find(way.begin(), way.end(), at));
    way.push_back(at);
    std::reverse(way.begin(), way.end());
    return absl::StrJoin(
        way, ", ", [&](std::string* out, int32_t r) { absl::StrAppend(out, a_.rules_[r].name); });
  }

  const Grammar& grammar_;
  const Limits& limits_;
  Automaton a_;
  std::vector<int64_t> sizes_;
  std::vector<Grammar::ExprId> bodies_;  // of each rule
  std::vector<From<RawByteEdge>> bytes_;
  std::vector<From<RawTokenEdge>> tokens_;
  std::vector<From<Automaton::CallEdge>> calls_;
  std::vector<From<State>> empties_;
  int64_t steps_ = 0;
  uint32_t repetitions_ = 0;
};

absl::StatusOr<Automaton> Automaton::Compile(const Grammar& grammar, const Limits& limits) {
  return AutomatonBuilder(grammar, limits).Build();
}

std::vector<int32_t> Automaton::BytesToEnd(const std::bitset<256>& usable) const {
  // Knuth's generalization of Dijkstra's algorithm, backwards from the ends: a call costs as much
  // as its rule, and is settled when both the rule's start and the way back are.
  std::vector<int> usable_classes(num_classes() + 1);  // how many of those below
  {
    std::bitset<256> classes;
    for (int byte = 0; byte < 256; ++byte) {
      if (usable[byte]) classes.set(class_of_[byte]);
    }
    for (int c = 0; c < num_classes(); ++c) {
      usable_classes[c + 1] = usable_classes[c] + (c >= num_byte_classes_ || classes[c]);
    }
  }
  struct Back {
    State source;
    int32_t rule;  // -1: a byte, -2: nothing
  };
  const size_t n = is_end_.size();
  std::vector<From<Back>> backwards;
  std::vector<From<std::pair<State, State>>> calls_of;
  for (State s = 0; s < n; ++s) {
    for (const ByteEdge& e : bytes(s)) {
      if (usable_classes[e.last_class + 1] > usable_classes[e.first_class])
        backwards.push_back({e.target, {s, -1}});
    }
    for (const State target : empties(s)) backwards.push_back({target, {s, -2}});
    for (const CallEdge& e : calls(s)) {
      backwards.push_back({e.target, {s, e.rule}});
      calls_of.push_back({rules_[e.rule].start, {s, e.target}});
    }
  }
  std::vector<Back> back;
  std::vector<uint32_t> back_begin;
  Place(backwards, n, &back, &back_begin);
  // Of the rule that starts at a state: source, way back
  std::vector<std::pair<State, State>> calls;
  std::vector<uint32_t> calls_begin;
  Place(calls_of, n, &calls, &calls_begin);

  std::vector<int32_t> cost(n, kNever);
  std::vector<bool> settled(n);
  using Entry = std::pair<int32_t, State>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> queue;
  const auto relax = [&](State s, int64_t value) {
    if (value >= cost[s]) return;
    cost[s] = static_cast<int32_t>(value);
    queue.push({cost[s], s});
  };
  for (State s = 0; s < n; ++s) {
    if (is_end_[s]) relax(s, 0);
  }
  while (!queue.empty()) {
    const State s = queue.top().second;
    queue.pop();
    if (settled[s]) continue;
    settled[s] = true;
    for (uint32_t i = back_begin[s]; i < back_begin[s + 1]; ++i) {
      const Back& b = back[i];
      if (b.rule < 0) {
        relax(b.source, int64_t{cost[s]} + (b.rule == -1));
      } else if (settled[rules_[b.rule].start]) {
        relax(b.source, int64_t{cost[s]} + cost[rules_[b.rule].start]);
      }
    }
    for (uint32_t i = calls_begin[s]; i < calls_begin[s + 1]; ++i) {
      const auto& [source, target] = calls[i];
      if (settled[target]) relax(source, int64_t{cost[s]} + cost[target]);
    }
  }
  return cost;
}

int64_t Automaton::MemoryBytes() const {
  return static_cast<int64_t>(byte_edges_.capacity() * sizeof(ByteEdge) +
                              call_edges_.capacity() * sizeof(CallEdge) +
                              empty_edges_.capacity() * sizeof(State) + is_end_.size() / 4 +
                              (byte_begin_.capacity() + call_begin_.capacity() +
                               empty_begin_.capacity() + repetition_.capacity()) *
                                  4 +
                              rules_.capacity() * sizeof(Rule));
}

}  // namespace sluice::grammar
