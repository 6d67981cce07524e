// GBNF: what it means, and what is refused.
#include "runtime/text/grammar/gbnf.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/text/grammar/constraint.h"
#include "tests/runtime/text/grammar/grammar_testing.h"

namespace sluice::grammar {
namespace {

using ::testing::HasSubstr;

TEST(Gbnf, MatchesWhatTheNotationSays) {
  struct Case {
    std::string grammar;
    std::vector<std::string> matches;
    std::vector<std::string> others;
  };
  const std::vector<Case> cases = {
      {R"(root ::= "a" | "bc")", {"a", "bc"}, {"", "b", "abc", "A"}},
      {R"(root ::= "a" "b"? "c"* "d"+)", {"ad", "abd", "accdd"}, {"a", "abc", "abbd"}},
      {R"(root ::= "a"{2} "b"{1,} "c"{0,2} "d"{1,3})",
       {"aabd", "aabbbccddd"},
       {"abd", "aad", "aabcccd", "aabdddd"}},
      {R"(root ::= [a-cx] [^a-c\n] [\]\-^])", {"ad]", "xé^", "c😀-"}, {"aa]", "d0]", "a\n]", "a"}},
      {R"(root ::= .)",
       {"a", "\n", "é", "€", "😀"},
       {"", "ab", "\xC3", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC0\x80"}},
      {R"(root ::= "\x41\u20AC\U0001F600\t\"\\\[")", {"A€😀\t\"\\["}, {"A€"}},
      {R"(root ::= "\xE9")", {"é"}, {"\xE9"}},
      {R"(root ::= [\u00e0-\u00ff]+)", {"éü"}, {"e", "Ā"}},
      {"# comment\nroot ::= # another\n  a b | # and one\n  \"z\"\n\na ::= \"a\"\r\nb-2 ::= b\nb "
       "::= (\"b\" |\n \"c\") "
       "\n",
       {"ab", "ac", "z"},
       {"a", "b"}},
      {"root ::= \"\" | \"(\" root \")\" root", {"", "()", "(())()"}, {"(", ")("}},
      {"root ::= x* x\nx ::= \"a\" x | \"a\"", {"a", "aaaa"}, {""}},  // ambiguous
      {"root ::= (\"a\"*)* (\"\" | \"b\")* \"c\"", {"c", "aabbc"}, {"ab"}},
      {"root ::= dead | \"a\"\ndead ::= \"b\" dead", {"a"}, {"b", "ba"}},
      {"root ::= \"a\" [] | \"b\"", {"b"}, {"a", "ab"}},
      {"root ::= n \"+\" n\nn ::= d+ (\".\" d+)?\nd ::= [0-9]", {"1+2", "10.25+3"}, {"1+", "1.+2"}},
      {"root ::= s{3000}\ns ::= [a-z] | \"€\"",
       {std::string(3000, 'x')},
       {std::string(2999, 'x'), std::string(3001, 'x')}},
      {"root ::= (\"ab\" | [x-z] \"é\"){0,2000}",
       {"", "abxé"},
       {"ax"}},  // written out, it would be large
      {"root::=\"a\"|\"b\"", {"a", "b"}, {}},
      {"\xEF\xBB\xBFroot ::= \"a\"",
       {"a"},
       {"\xEF\xBB\xBF"
        "a"}},  // a byte order mark
  };
  for (const Case& c : cases) {
    const auto grammar = ParseGbnf(c.grammar);
    ASSERT_TRUE(grammar.ok()) << grammar.status() << c.grammar;
    const BytesMatcher matcher(*grammar);
    for (const std::string& text : c.matches)
      EXPECT_TRUE(matcher.Matches(text)) << c.grammar << "\n" << text;
    for (const std::string& text : c.others)
      EXPECT_FALSE(matcher.Matches(text)) << c.grammar << "\n" << text;
  }
}

TEST(Gbnf, RefusesWithPlaceAndReason) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "no rule \"root\""},
      {"a ::= \"x\"", "no rule \"root\""},
      {"root ::= a\n", "grammar:1:10: the rule \"a\" is used but not defined"},
      {"root ::= \"x\"\n\nroot ::= \"y\"", "grammar:3:1: the rule \"root\" is defined twice"},
      {"root := \"x\"", "expected ::= after \"root\""},
      {"root ::= \"x", "ends inside"},
      {"root ::= [a-", "ends inside"},
      {"root ::= [z-a]", "wrong way round"},
      {"root ::= \"a\"{3,2}", "wrong way round"},
      {"root ::= \"a\"{,2}", "number of repetitions"},
      {"root ::= \"a\"{2", "expected }"},
      {"root ::= (\"a\"", "expected )"},
      {"root ::= \"\\q\"", "unknown escape"},
      {"root ::= \"\\x4\"", "2 hexadecimal digits"},
      {"root ::= \"\\uD800\"", "not a character"},
      {"root ::= \"\\U00110000\"", "not a character"},
      {"root ::= \"\xFF\"", "malformed UTF-8"},
      {"root ::= \"a\" )", "expected the end of the rule \"root\""},
      {"::= \"a\"", "expected the name"},
      {"root ::= <think", "grammar:1:10: a token is named by its text as in <think>"},
      {"root ::= <>", "as in <think>"},
      {"root ::= <a\nb>", "as in <think>"},
      {"root ::= \"x\" <[]>", "grammar:1:14: a token is named by its id as in <[258]>"},
      {"root ::= <[-1]>", "as in <[258]>"},
      {"root ::= <[99999999999999999999]>", "as in <[258]>"},
      {"root ::= <[1]", "as in <[258]>"},
      {"root ::= !\"a\"", "expected the end of the rule \"root\""},
      {"root ::= \"a\"{1000000000}", "more than 100000 repetitions"},
      {"root ::= " + std::string(200, '(') + "\"a\"" + std::string(200, ')'),
       "more than 100 groups"},
  };
  for (const auto& [text, message] : cases) {
    const auto grammar = ParseGbnf(text);
    ASSERT_FALSE(grammar.ok()) << text;
    EXPECT_THAT(std::string(grammar.status().message()), HasSubstr(message)) << text;
  }
  EXPECT_TRUE(absl::IsResourceExhausted(ParseGbnf(std::string((1 << 20) + 1, ' ')).status()));
}

TEST(Gbnf, KeepsEachTokenThatIsNamedOnce) {
  const auto grammar =
      ParseGbnf("root ::= <think> (!</think>)* </think> x\nx ::= (<[5]> | !<[5]>)+ <think>");
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  const std::vector<Grammar::Token>& tokens = grammar->tokens();
  ASSERT_EQ(tokens.size(), 5u);
  EXPECT_EQ(tokens[0].text, "<think>");
  EXPECT_EQ(tokens[1].text, "</think>");
  EXPECT_TRUE(tokens[1].negated && !tokens[2].negated);
  EXPECT_EQ(tokens[2].text, "</think>");
  EXPECT_EQ(tokens[3].id, 5);
  EXPECT_TRUE(tokens[4].negated);
  std::string many = "root ::=";
  for (int id = 0; id <= 256; ++id) many += absl::StrCat(" <[", id, "]>");
  EXPECT_THAT(std::string(ParseGbnf(many).status().message()),
              HasSubstr("more than 256 tokens by name"));
}

TEST(Automaton, RefusesWhatCannotBeFollowed) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"root ::= root \"a\" | \"b\"", "left recursion, which would never end: root, root"},
      {"root ::= x\nx ::= \"\"? y \"a\" | \"c\"\ny ::= x | \"b\"", "y, x, y"},
      {"root ::= n root \"b\" | \"c\"\nn ::= \"a\"?", "root, root"},
      {"root ::= \"a\" root", "no text matches it"},
      {"root ::= []", "no text matches it"},
      {"root ::= [a-z]{20000}", "more than 10000 states"},
      {"root ::= " + absl::StrJoin(std::vector<std::string>(100, "(\"\"{60}){60}"), " "),
       "repetitions of repetitions"},
  };
  for (const auto& [text, message] : cases) {
    const auto grammar = ParseGbnf(text);
    ASSERT_TRUE(grammar.ok()) << grammar.status();
    const auto automaton = Automaton::Compile(*grammar, {.states = 10000});
    ASSERT_FALSE(automaton.ok()) << text;
    EXPECT_THAT(std::string(automaton.status().message()), HasSubstr(message)) << text;
  }
}

TEST(Automaton, KnowsHowFarTheEndIs) {
  const std::vector<std::pair<std::string, int>> cases = {
      {"root ::= \"\"", 0},
      {"root ::= \"a\"{5,7} | \"bc\" root", 5},
      {"root ::= \"(\" (root | \"x\") \")\"", 3},
      {"root ::= . [€-₿] [a-z€]", 5},
      {"root ::= <think> (!</think>){2,} \"ab\" | \"abcdefg\"", 5},
      {"root ::= a a\na ::= b \"x\"{3}\nb ::= \"y\" b | a2\na2 ::= \"zz\"", 10},
  };
  for (const auto& [text, bytes] : cases) {
    const auto automaton = Automaton::Compile(*ParseGbnf(text));
    ASSERT_TRUE(automaton.ok()) << automaton.status();
    const auto start = automaton->rules()[automaton->root()].start;
    EXPECT_EQ(automaton->BytesToEnd(std::bitset<256>().set())[start], bytes) << text;
  }
}

}  // namespace
}  // namespace sluice::grammar
