// What a grammar matches, slowly and by other means than the library: stacks of expressions, one
// byte at a time.
#ifndef SLUICE_TESTS_RUNTIME_GRAMMAR_NAIVE_MATCHER_H_
#define SLUICE_TESTS_RUNTIME_GRAMMAR_NAIVE_MATCHER_H_

#include <cstdint>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/text/grammar/grammar.h"

namespace sluice::grammar {

// For grammars without left recursion.
class NaiveMatcher {
 public:
  explicit NaiveMatcher(const Grammar& grammar) : g_(grammar) { FindProductive(); }

  // Whether some text of the grammar begins with `text`.
  bool IsPrefix(absl::string_view text) { return !After(text).empty(); }
  bool Matches(absl::string_view text) { return After(text).contains(Stack()); }
  // A grammar had so many ways to read a text that the answers are not to be relied on.
  bool overwhelmed() const { return overwhelmed_; }

 private:
  // What is still to be matched; the top is the last one. An expression, or the rest of one.
  struct Pending {
    Grammar::ExprId expr;
    int32_t min, max;   // of a repetition; a text's bytes that were matched are in min
    std::string begun;  // of a class: the first bytes of a character
    auto operator<=>(const Pending&) const = default;
  };
  using Stack = std::vector<Pending>;
  using Stacks = std::set<Stack>;

  Pending Start(Grammar::ExprId id) const {
    const Grammar::Expr& e = g_.expr(id);
    return {id, e.kind == Grammar::Kind::kRepeat ? e.min : 0, e.max, ""};
  }

  // Stacks whose top takes a byte, and the empty one.
  void Expand(Stack stack, Stacks* seen, Stacks* out) {
    if (overwhelmed_ || !seen->insert(stack).second) return;
    overwhelmed_ = seen->size() > 2000;
    for (const Pending& p : stack) {
      if (!productive_[p.expr]) return;
    }
    if (stack.empty()) {
      out->insert(stack);
      return;
    }
    const Pending top = stack.back();
    const Grammar::Expr& e = g_.expr(top.expr);
    Stack rest = stack;
    rest.pop_back();
    const auto with = [&](std::vector<Pending> more) {
      Stack next = rest;
      next.insert(next.end(), more.begin(), more.end());
      Expand(std::move(next), seen, out);
    };
    switch (e.kind) {
      case Grammar::Kind::kText:
        if (top.min == static_cast<int32_t>(e.text.size())) return with({});
        out->insert(stack);
        return;
      case Grammar::Kind::kClass:
        out->insert(stack);
        return;
      case Grammar::Kind::kSequence: {
        std::vector<Pending> parts;
        for (auto it = e.parts.rbegin(); it != e.parts.rend(); ++it) parts.push_back(Start(*it));
        return with(parts);
      }
      case Grammar::Kind::kChoice:
        for (const Grammar::ExprId part : e.parts) with({Start(part)});
        return;
      case Grammar::Kind::kRepeat: {
        if (top.min <= 0) with({});
        if (top.max == 0) return;
        Pending again = top;
        again.min = std::max(0, top.min - 1);
        again.max = top.max == Grammar::kUnlimited ? top.max : top.max - 1;
        return with({again, Start(e.parts[0])});
      }
      case Grammar::Kind::kRule:
        return with({Start(g_.rules()[e.rule].body)});
      case Grammar::Kind::kToken:  // no byte is one
        return;
    }
  }

  Stacks After(absl::string_view text) {
    Stacks at, seen;
    Expand({Start(g_.rules()[g_.root()].body)}, &seen, &at);
    for (const char c : text) {
      Stacks next;
      seen.clear();
      for (const Stack& stack : at) {
        if (!stack.empty()) Step(stack, static_cast<uint8_t>(c), &seen, &next);
      }
      at = std::move(next);
    }
    return at;
  }

  void Step(Stack stack, uint8_t byte, Stacks* seen, Stacks* out) {
    Pending& top = stack.back();
    const Grammar::Expr& e = g_.expr(top.expr);
    if (e.kind == Grammar::Kind::kText) {
      if (static_cast<uint8_t>(e.text[top.min]) != byte) return;
      ++top.min;
      return Expand(std::move(stack), seen, out);
    }
    top.begun.push_back(static_cast<char>(byte));
    int length = 0;
    if (!AnyBegins(top.begun, e.ranges, &length)) return;
    if (static_cast<int>(top.begun.size()) == length) stack.pop_back();
    Expand(std::move(stack), seen, out);
  }

  // Whether a character of `ranges` has an encoding that begins with `bytes`, and how long that is.
  static bool AnyBegins(const std::string& bytes, const std::vector<CodePointRange>& ranges,
                        int* length) {
    const auto lead = static_cast<uint8_t>(bytes[0]);
    if (lead < 0x80) {
      *length = 1;
    } else if (lead >= 0xC0 && lead < 0xF8) {
      *length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    } else {
      return false;
    }
    uint32_t first = *length == 1 ? lead : lead & (0xFFu >> (*length + 1)), last = first;
    for (int i = 1; i < *length; ++i) {
      const bool known = i < static_cast<int>(bytes.size());
      const uint32_t bits = known ? static_cast<uint8_t>(bytes[i]) & 0x3Fu : 0;
      if (known && (static_cast<uint8_t>(bytes[i]) & 0xC0) != 0x80) return false;
      first = first << 6 | bits;
      last = last << 6 | (known ? bits : 0x3F);
    }
    static constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    first = std::max(first, kSmallest[*length]);
    last = std::min(last, kMaxCodePoint);
    for (const CodePointRange& range : ranges) {
      const uint32_t a = std::max(first, range.first), b = std::min(last, range.last);
      if (a > b || (a >= 0xD800 && b <= 0xDFFF)) continue;
      return true;
    }
    return false;
  }

  // Expressions that match some text.
  void FindProductive() {
    productive_.assign(g_.num_exprs(), false);
    for (bool changed = true; changed;) {
      changed = false;
      for (int32_t i = 0; i < g_.num_exprs(); ++i) {
        if (productive_[i] || !Productive(g_.expr(i))) continue;
        productive_[i] = true;
        changed = true;
      }
    }
  }

  bool Productive(const Grammar::Expr& e) const {
    switch (e.kind) {
      case Grammar::Kind::kText:
        return true;
      case Grammar::Kind::kClass:
        return !e.ranges.empty();
      case Grammar::Kind::kSequence:
        for (const Grammar::ExprId part : e.parts) {
          if (!productive_[part]) return false;
        }
        return true;
      case Grammar::Kind::kChoice:
        for (const Grammar::ExprId part : e.parts) {
          if (productive_[part]) return true;
        }
        return false;
      case Grammar::Kind::kRepeat:
        return e.min == 0 || productive_[e.parts[0]];
      case Grammar::Kind::kRule:
        return productive_[g_.rules()[e.rule].body];
      case Grammar::Kind::kToken:
        return true;
    }
    return false;
  }

  const Grammar& g_;
  std::vector<bool> productive_;
  bool overwhelmed_ = false;
};

}  // namespace sluice::grammar

#endif  // SLUICE_TESTS_RUNTIME_GRAMMAR_NAIVE_MATCHER_H_
