// RFC 8259 as expressions, a little narrower.
#include "runtime/text/grammar/json_grammar.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/text/grammar/utf8.h"

namespace sluice::grammar {
namespace {

// The characters that a string holds unescaped: all but control characters, quote and backslash.
const std::vector<CodePointRange>& PlainRanges() {
  static const auto* const ranges =
      new std::vector<CodePointRange>{{0x20, 0x21}, {0x23, 0x5B}, {0x5D, kMaxCodePoint}};
  return *ranges;
}

std::vector<CodePointRange> Intersection(const std::vector<CodePointRange>& a,
                                         const std::vector<CodePointRange>& b) {
  std::vector<CodePointRange> both;
  for (const CodePointRange& x : a) {
    for (const CodePointRange& y : b) {
      const uint32_t first = std::max(x.first, y.first), last = std::min(x.last, y.last);
      if (first <= last) both.push_back({first, last});
    }
  }
  return both;
}

}  // namespace

JsonGrammar::ExprId JsonGrammar::Rule(std::optional<Grammar::RuleId>* rule, absl::string_view name,
                                      ExprId (JsonGrammar::*body)()) {
  if (!rule->has_value()) {
    *rule = g_.AddRule(name);  // first, as its body may use it
    g_.Define(**rule, (this->*body)());
  }
  return g_.Use(**rule);
}

JsonGrammar::ExprId JsonGrammar::Value() { return Rule(&value_, "value", &JsonGrammar::ValueBody); }
JsonGrammar::ExprId JsonGrammar::Object() {
  return Rule(&object_, "object", &JsonGrammar::ObjectBody);
}
JsonGrammar::ExprId JsonGrammar::Array() { return Rule(&array_, "array", &JsonGrammar::ArrayBody); }
JsonGrammar::ExprId JsonGrammar::Number() {
  return Rule(&number_, "number", &JsonGrammar::NumberBody);
}
JsonGrammar::ExprId JsonGrammar::Integer() {
  return Rule(&integer_, "integer", &JsonGrammar::IntegerBody);
}
JsonGrammar::ExprId JsonGrammar::Char() { return Rule(&char_, "char", &JsonGrammar::CharBody); }
JsonGrammar::ExprId JsonGrammar::Space() { return Rule(&space_, "space", &JsonGrammar::SpaceBody); }

JsonGrammar::ExprId JsonGrammar::ValueBody() {
  return g_.Choice(
      {Object(), Array(), String(0, Grammar::kUnlimited), Number(), Boolean(), Null()});
}

JsonGrammar::ExprId JsonGrammar::ObjectBody() {
  const ExprId member = g_.Sequence({String(0, Grammar::kUnlimited), Colon(), Value()});
  return Enclosed("{", List(member, 1, Grammar::kUnlimited), /*may_be_empty=*/true, "}");
}

JsonGrammar::ExprId JsonGrammar::ArrayBody() {
  return Enclosed("[", List(Value(), 1, Grammar::kUnlimited), /*may_be_empty=*/true, "]");
}

JsonGrammar::ExprId JsonGrammar::IntegerBody() {
  const ExprId digit = g_.Class({{'0', '9'}}), nonzero = g_.Class({{'1', '9'}});
  return g_.Choice(
      {g_.Text("0"), g_.Sequence({g_.Optional(g_.Text("-")), nonzero, g_.Repeat(digit, 0, 14)})});
}

JsonGrammar::ExprId JsonGrammar::NumberBody() {
  const ExprId digit = g_.Class({{'0', '9'}}), nonzero = g_.Class({{'1', '9'}});
  const ExprId sign = g_.Optional(g_.Class({{'+', '+'}, {'-', '-'}}));
  return g_.Sequence({g_.Optional(g_.Text("-")),
                      g_.Choice({g_.Text("0"), g_.Sequence({nonzero, g_.Repeat(digit, 0, 14)})}),
                      g_.Optional(g_.Sequence({g_.Text("."), g_.Repeat(digit, 1, 15)})),
                      g_.Optional(g_.Sequence(
                          {g_.Class({{'e', 'e'}, {'E', 'E'}}), sign, g_.Repeat(digit, 1, 2)}))});
}

JsonGrammar::ExprId JsonGrammar::Unescaped() { return g_.Class(PlainRanges()); }

JsonGrammar::ExprId JsonGrammar::CharBody() {
  const ExprId hex = g_.Class({{'0', '9'}, {'A', 'F'}, {'a', 'f'}});
  const auto letters = [&](absl::string_view both_cases) {
    std::vector<CodePointRange> ranges;
    for (const char c : both_cases)
      ranges.push_back({static_cast<uint8_t>(c), static_cast<uint8_t>(c)});
    return g_.Class(ranges);
  };
  const ExprId d = letters("Dd");
  // Halves of surrogate pairs come in pairs only.
  const ExprId bmp = g_.Choice(
      {g_.Sequence(
           {g_.Class({{'0', '9'}, {'A', 'C'}, {'a', 'c'}, {'E', 'F'}, {'e', 'f'}}), hex, hex, hex}),
       g_.Sequence({d, g_.Class({{'0', '7'}}), hex, hex})});
  const ExprId pair = g_.Sequence(
      {d, letters("89ABab"), hex, hex, g_.Text("\\u"), d, letters("CDEFcdef"), hex, hex});
  const ExprId escape =
      g_.Choice({letters("\"\\/bfnrt"), g_.Sequence({g_.Text("u"), g_.Choice({bmp, pair})})});
  return g_.Choice({Unescaped(), g_.Sequence({g_.Text("\\"), escape})});
}

JsonGrammar::ExprId JsonGrammar::CharOf(const std::vector<CodePointRange>& ranges) {
  if (ranges.size() == 1 && ranges[0].first == 0 && ranges[0].last == kMaxCodePoint) return Char();
  std::vector<ExprId> ways = {g_.Class(Intersection(ranges, PlainRanges()))};
  for (const CodePointRange& range : Intersection(ranges, ComplementRanges(PlainRanges()))) {
    for (uint32_t c = range.first; c <= range.last; ++c) {
      static constexpr absl::string_view kLetters = "\b\f\n\r\t\"\\";
      static constexpr absl::string_view kNames = "bfnrt\"\\";
      const size_t at = kLetters.find(static_cast<char>(c));
      ways.push_back(g_.Text(at != absl::string_view::npos
                                 ? absl::StrCat("\\", kNames.substr(at, 1))
                                 : absl::StrFormat("\\u%04x", c)));
    }
  }
  return g_.Choice(std::move(ways));
}

JsonGrammar::ExprId JsonGrammar::String(int32_t min, int32_t max) {
  return Quoted(g_.Repeat(Char(), min, max));
}

JsonGrammar::ExprId JsonGrammar::Spelled(const Grammar& characters, ExprId expr) {
  std::vector<bool> is_used(characters.num_exprs());
  is_used[expr] = true;
  std::vector<Grammar::RuleId> rules;
  for (const Grammar::Rule& rule : characters.rules()) {
    rules.push_back(g_.AddRule(rule.name));
    is_used[rule.body] = true;
  }
  for (ExprId id = static_cast<ExprId>(characters.num_exprs()) - 1; id >= 0; --id) {
    if (!is_used[id]) continue;
    for (const ExprId part : characters.expr(id).parts) is_used[part] = true;
  }
  std::vector<ExprId> spelled(characters.num_exprs());  // an expression holds only earlier ones
  for (ExprId id = 0; id < characters.num_exprs(); ++id) {
    if (!is_used[id]) continue;
    const Grammar::Expr& e = characters.expr(id);
    std::vector<ExprId> parts;
    for (const ExprId part : e.parts) parts.push_back(spelled[part]);
    switch (e.kind) {
      case Grammar::Kind::kText:  // there is none
        break;
      case Grammar::Kind::kClass:
        spelled[id] = CharOf(e.ranges);
        break;
      case Grammar::Kind::kSequence:
        spelled[id] = g_.Sequence(std::move(parts));
        break;
      case Grammar::Kind::kChoice:
        spelled[id] = g_.Choice(std::move(parts));
        break;
      case Grammar::Kind::kRepeat:
        spelled[id] = g_.Repeat(parts[0], e.min, e.max);
        break;
      case Grammar::Kind::kRule:
        spelled[id] = g_.Use(rules[e.rule]);
        break;
    }
  }
  for (size_t r = 0; r < rules.size(); ++r)
    g_.Define(rules[r], spelled[characters.rules()[r].body]);
  return spelled[expr];
}

JsonGrammar::ExprId JsonGrammar::SpaceBody() {
  return g_.Optional(
      g_.Choice({g_.Text(" "), g_.Sequence({g_.Text("\n"), g_.Repeat(g_.Text(" "), 0, 20)})}));
}

JsonGrammar::ExprId JsonGrammar::Colon() {
  return g_.Sequence({g_.Text(":"), g_.Optional(g_.Text(" "))});
}
JsonGrammar::ExprId JsonGrammar::Comma() { return g_.Sequence({g_.Text(","), Space()}); }

JsonGrammar::ExprId JsonGrammar::Enclosed(absl::string_view open, ExprId inner, bool may_be_empty,
                                          absl::string_view close) {
  ExprId filled = g_.Sequence({inner, Space()});
  if (may_be_empty) filled = g_.Optional(filled);
  return g_.Sequence({g_.Text(open), Space(), filled, g_.Text(close)});
}

JsonGrammar::ExprId JsonGrammar::List(ExprId item, int32_t min, int32_t max) {
  const ExprId more = g_.Sequence({Comma(), item});
  const ExprId list =
      g_.Sequence({item, g_.Repeat(more, std::max(min - 1, 0),
                                   max == Grammar::kUnlimited ? Grammar::kUnlimited : max - 1)});
  return min == 0 ? g_.Optional(list) : list;
}

JsonGrammar::ExprId JsonGrammar::KeyOtherThan(absl::Span<const std::string> names) {
  std::vector<std::string> sorted(names.begin(), names.end());
  std::sort(sorted.begin(), sorted.end());
  return Quoted(KeyRest(sorted, 0));
}

JsonGrammar::ExprId JsonGrammar::KeyRest(absl::Span<const std::string> names, size_t at) {
  const ExprId any = g_.Repeat(Unescaped(), 0, Grammar::kUnlimited);
  if (names.empty()) return any;
  std::vector<ExprId> ways;
  size_t i = 0;
  if (names[0].size() == at) {
    ++i;  // just this name: something must follow
  } else {
    ways.push_back(g_.Sequence({}));
  }
  std::vector<CodePointRange> taken;
  while (i < names.size()) {
    const CodePoint c = FirstCodePoint(absl::string_view(names[i]).substr(at));
    const absl::string_view letter = absl::string_view(names[i]).substr(at, c.size);
    size_t end = i;
    while (end < names.size() && absl::string_view(names[end]).substr(at, c.size) == letter) ++end;
    taken.push_back({c.value, c.value});
    // A name with a character that needs an escape is no such key anyway.
    if (c.value >= 0x20 && c.value != '"' && c.value != '\\') {
      ways.push_back(
          g_.Sequence({g_.Text(letter), KeyRest(names.subspan(i, end - i), at + c.size)}));
    }
    i = end;
  }
  const std::vector<CodePointRange> others = ComplementRanges(NormalizedRanges(std::move(taken)));
  ways.push_back(g_.Sequence({g_.Class(Intersection(others, PlainRanges())), any}));
  return g_.Choice(std::move(ways));
}

}  // namespace sluice::grammar
