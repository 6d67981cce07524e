// Builds expressions, and sets of code points.
#include "runtime/text/grammar/grammar.h"

#include <algorithm>
#include <utility>

namespace sluice::grammar {

std::vector<CodePointRange> NormalizedRanges(std::vector<CodePointRange> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const CodePointRange& a, const CodePointRange& b) {
    return a.first != b.first ? a.first < b.first : a.last < b.last;
  });
  std::vector<CodePointRange> merged;
  for (const CodePointRange& range : ranges) {
    if (!merged.empty() && range.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

std::vector<CodePointRange> ComplementRanges(const std::vector<CodePointRange>& ranges) {
  std::vector<CodePointRange> others;
  uint32_t next = 0;
  for (const CodePointRange& range : ranges) {
    if (range.first > next) others.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kMaxCodePoint) others.push_back({next, kMaxCodePoint});
  return others;
}

Grammar::ExprId Grammar::Add(Expr expr) {
  exprs_.push_back(std::move(expr));
  return static_cast<ExprId>(exprs_.size()) - 1;
}

Grammar::ExprId Grammar::AnyText(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  return AnyRest(texts, 0);
}

Grammar::ExprId Grammar::AnyRest(absl::Span<const std::string> texts, size_t at) {
  if (texts.size() == 1) return Text(absl::string_view(texts[0]).substr(at));
  std::vector<ExprId> ways;
  if (!texts.empty() && texts[0].size() == at) {
    ways.push_back(Sequence({}));
    texts.remove_prefix(1);
  }
  while (!texts.empty()) {
    size_t count = 1;
    while (count < texts.size() && texts[count][at] == texts[0][at]) ++count;
    // In sorted texts, all share what the first and the last one share.
    const std::string &first = texts[0], &last = texts[count - 1];
    size_t common = at + 1;
    while (common < first.size() && common < last.size() && first[common] == last[common]) ++common;
    if (count == 1) common = first.size();
    const ExprId begin = Text(absl::string_view(first).substr(at, common - at));
    ways.push_back(count == 1 ? begin : Sequence({begin, AnyRest(texts.first(count), common)}));
    texts.remove_prefix(count);
  }
  return Choice(std::move(ways));
}

Grammar::ExprId Grammar::Text(absl::string_view bytes) {
  return Add({.kind = Kind::kText, .text = std::string(bytes)});
}

Grammar::ExprId Grammar::Class(std::vector<CodePointRange> ranges) {
  return Add({.kind = Kind::kClass, .ranges = NormalizedRanges(std::move(ranges))});
}

Grammar::ExprId Grammar::Sequence(std::vector<ExprId> parts) {
  if (parts.size() == 1) return parts[0];
  return Add({.kind = Kind::kSequence, .parts = std::move(parts)});
}

Grammar::ExprId Grammar::Choice(std::vector<ExprId> parts) {
  if (parts.size() == 1) return parts[0];
  return Add({.kind = Kind::kChoice, .parts = std::move(parts)});
}

Grammar::ExprId Grammar::Repeat(ExprId part, int32_t min, int32_t max) {
  if (min == 1 && max == 1) return part;
  return Add({.kind = Kind::kRepeat, .parts = {part}, .min = min, .max = max});
}

Grammar::ExprId Grammar::Use(RuleId rule) { return Add({.kind = Kind::kRule, .rule = rule}); }

Grammar::ExprId Grammar::OneToken(Token token) {
  const auto it = std::find_if(tokens_.begin(), tokens_.end(), [&](const Token& t) {
    return t.text == token.text && t.id == token.id && t.negated == token.negated;
  });
  const auto index = static_cast<int32_t>(it - tokens_.begin());
  if (it == tokens_.end()) tokens_.push_back(std::move(token));
  return Add({.kind = Kind::kToken, .token = index});
}

Grammar::RuleId Grammar::AddRule(absl::string_view name) {
  rules_.push_back({std::string(name)});
  return static_cast<RuleId>(rules_.size()) - 1;
}

}  // namespace sluice::grammar
