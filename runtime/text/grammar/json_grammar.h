// The pieces that JSON texts are made of, as expressions.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_JSON_GRAMMAR_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_JSON_GRAMMAR_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/text/grammar/grammar.h"

namespace sluice::grammar {

// Adds to one grammar; each piece is a rule that is made when it is first asked for.
//
// White space comes only behind { [ , : and ahead of } ]; it is nothing, a space, or (but for the
// one behind a colon) a line break and up to 20 spaces. It is bounded so that no text can go on
// with nothing else. Numbers are bounded for the same reason: 15 digits, 15 behind the point, an
// exponent of two.
class JsonGrammar {
 public:
  using ExprId = Grammar::ExprId;

  explicit JsonGrammar(Grammar* grammar) : g_(*grammar) {}

  ExprId Value();   // any
  ExprId Object();  // any
  ExprId Array();   // any
  ExprId Null() { return g_.Text("null"); }
  ExprId Boolean() { return g_.Choice({g_.Text("true"), g_.Text("false")}); }
  ExprId Number();
  ExprId Integer();

  // Any string of min to max characters; max may be Grammar::kUnlimited.
  ExprId String(int32_t min, int32_t max);
  // What is between the quotes for one character, plain or escaped: any, or one of `ranges`
  // (normalized), with only the escapes that are needed unless it may be any.
  ExprId Char();
  ExprId CharOf(const std::vector<CodePointRange>& ranges);
  // `expr` of a grammar over the characters of a text, without kText, as a JSON string spells it
  // between its quotes.
  ExprId Spelled(const Grammar& characters, ExprId expr);
  // A text and its quotes.
  ExprId Quoted(ExprId inner) { return g_.Sequence({g_.Text("\""), inner, g_.Text("\"")}); }
  // A key that is none of `names`, and its quotes. Such keys hold no escapes, so that they are what
  // they look like.
  ExprId KeyOtherThan(absl::Span<const std::string> names);

  ExprId Space();
  ExprId Colon();  // with its space
  ExprId Comma();  // with its space
  // `open`, white space, and either just `close` or `inner` (where `may_be_empty`), white space and
  // `close`.
  ExprId Enclosed(absl::string_view open, ExprId inner, bool may_be_empty, absl::string_view close);
  // `first`, then `more` any number of times from min to max, with commas.
  ExprId List(ExprId item, int32_t min, int32_t max);

 private:
  ExprId Rule(std::optional<Grammar::RuleId>* rule, absl::string_view name,
              ExprId (JsonGrammar::*body)());
  ExprId ValueBody();
  ExprId ObjectBody();
  ExprId ArrayBody();
  ExprId NumberBody();
  ExprId IntegerBody();
  ExprId CharBody();
  ExprId SpaceBody();
  ExprId Unescaped();
  // Of the names from `begin` to `end`, sorted, all of which share their first `at` bytes.
  ExprId KeyRest(absl::Span<const std::string> names, size_t at);

  Grammar& g_;
  std::optional<Grammar::RuleId> value_, object_, array_, number_, integer_, char_, space_;
};

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_JSON_GRAMMAR_H_
