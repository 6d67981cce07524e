// JSON schemas: texts that they allow and do not, and what is refused by name and place.
#include "runtime/grammar/json_schema.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/grammar/integer_range.h"
#include "tests/runtime/grammar/grammar_testing.h"

namespace sluice::grammar {
namespace {

using ::testing::HasSubstr;

TEST(JsonSchema, AllowsJustTheTextsThatAreMeant) {
  struct Case {
    std::string schema;
    std::vector<std::string> matches;
    std::vector<std::string> others;
  };
  const std::vector<Case> cases = {
      {"{}",
       {"null", "[1,{\"a\": \"\\u00e9\"}]", "-1.5e+10", "{\n  \"a\": [ ] }"},
       {"", "nul", "[1,]", "01", "1.", "+1", "{a:1}", "'a'"}},
      {R"({"type":"string"})",
       {R"("")", R"("a\n\"\\\/\u1234")", R"("\ud83d\ude00")", "\"é😀\x7F\""},
       {R"("a)", "\"a\nb\"", R"("\x")", R"("\ud83d")", R"("\ude00")", R"("\ud83dx")", "\"\xFF\""}},
      {R"({"type":"string","minLength":1,"maxLength":2})",
       {R"("é")", R"("\u00e9\n")", R"("\ud83d\ude00x")"},
       {R"("")", R"("abc")"}},
      {R"({"type":"integer"})", {"0", "-1", "120"}, {"-0", "007", "1.0", "1e3", "1234567890123456"}},
      {R"({"type":"number"})", {"0", "-0.5", "1E-5", "12.250"}, {".5", "1.", "1e", "--1"}},
      {R"({"type":"number","minimum":0,"maximum":1})", {"0", "1", "0.25"}, {"-0.1", "1.0", "1.5", "1e-1"}},
      {R"({"type":"number","exclusiveMinimum":-2,"exclusiveMaximum":1.5})",
       {"-1", "-1.999", "0.5", "1", "-0.5"},
       {"-2", "-2.0", "1.5", "2"}},
      {R"({"type":"object","properties":{"b":{"type":"null"},"a":{"type":"null"}}})",
       {"{}", "{ }", R"({"b":null})", R"({"a": null})", "{\n  \"b\": null,\n  \"a\": null\n}"},
       {R"({"a":null,"b":null})", R"({"c":null})", R"({"b":null,})", R"({,"b":null})", R"({"b":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"null"},"ab":{"type":"null"}},"required":["ab"],"additionalProperties":{"type":"boolean"}})",
       {R"({"ab":null})", R"({"a":null,"ab":null,"abc":true,"b":false,"":true})"},
       {R"({"a":null})", R"({"ab":null,"a":true})", R"({"ab":null,"ab":true})", R"({"ab":null,"\u0061":true})", R"({"abc":true})", "{}"}},
      {R"({"type":"array","items":{"type":"null"},"minItems":1,"maxItems":2})",
       {"[null]", "[null,null]", "[ null, null ]"},
       {"[]", "[null,null,null]"}},
      {R"({"prefixItems":[{"type":"null"},{"type":"boolean"}],"items":{"const":1},"minItems":1,"maxItems":3})",
       {"[null]", "[null,true]", "[null,true,1]"},
       {"[]", "[true]", "[null,1]", "[null,true,1,1]"}},
      {R"({"enum":["a\"",1.50,{"k":[null,true]}]})",
       {R"("a\"")", "1.50", R"({"k":[null,true]})"},
       {"1.5", R"({"k": [null,true]})"}},
      {R"({"type":["integer","null"]})", {"1", "null"}, {"true"}},
      {R"({"type":"string","pattern":"b+"})", {R"("b")", R"("xbby")", R"("\nb")"}, {R"("")", R"("a")"}},
      {R"({"type":"string","pattern":"^a|b$"})", {R"("a")", R"("axx")", R"("xxb")"}, {R"("xax")", R"("bx")"}},
      {R"({"type":"string","pattern":"^[\"\\\\\\n]{2}$"})", {R"("\"\\")", R"("\n\n")"}, {R"("""")", R"("\\")"}},
      {R"({"type":"string","pattern":"^(a|bc)*?d{2,}$"})", {R"("dd")", R"("abcddd")"}, {R"("abd")"}},
      {R"({"type":"string","format":"date"})",
       {R"("2024-02-28")", R"("1999-12-31")"},
       {R"("2023-02-29")", R"("2024-04-31")", R"("24-1-1")", R"("0000-01-01")"}},
      {R"({"type":"string","format":"date-time"})",
       {R"("2024-02-28T23:59:59Z")", R"("2024-01-01T00:00:00.5+02:00")"},
       {R"("2024-01-01")", R"("2024-01-01T24:00:00Z")"}},
      {R"({"type":"string","format":"ipv4"})",
       {R"("255.0.10.199")"},
       {R"("256.0.0.1")", R"("1.2.3")", R"("01.2.3.4")"}},
  };
  for (const Case& c : cases) {
    const auto grammar = GrammarFromJsonSchema(c.schema);
    ASSERT_TRUE(grammar.ok()) << grammar.status() << c.schema;
    const BytesMatcher matcher(*grammar);
    for (const std::string& text : c.matches) EXPECT_TRUE(matcher.Matches(text)) << c.schema << "\n" << text;
    for (const std::string& text : c.others) EXPECT_FALSE(matcher.Matches(text)) << c.schema << "\n" << text;
  }
}

TEST(JsonSchema, ThousandsOfConstantsAreOneWayToReadAText) {
  std::string values = "\"\", \"1\", \"1\", 7";
  for (int i = 0; i < 6000; ++i) absl::StrAppend(&values, ",\"", i * 7, "\",\"é", i, "\"");
  const auto grammar = GrammarFromJsonSchema("{\"enum\":[" + values + "]}");
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  const BytesMatcher matcher(*grammar);
  for (const char* const text : {"\"\"", "\"1\"", "7", "\"41993\"", "\"14\"", "\"é5999\"", "\"é0\""}) {
    EXPECT_TRUE(matcher.Matches(text)) << text;
  }
  for (const char* const text : {"", "\"", "77", "\"2\"", "\"15\"", "\"é6000\"", "\"é\""}) {
    EXPECT_FALSE(matcher.Matches(text)) << text;
  }
}

TEST(JsonSchema, WhiteSpaceIsBounded) {
  const BytesMatcher matcher(*GrammarFromJsonSchema(R"({"type":"array"})"));
  EXPECT_TRUE(matcher.IsPrefix("[\n" + std::string(20, ' ') + "1"));
  EXPECT_FALSE(matcher.IsPrefix("[\n" + std::string(21, ' ')));
  EXPECT_FALSE(matcher.IsPrefix("[\n\n"));
  EXPECT_FALSE(matcher.IsPrefix("[  "));
  EXPECT_FALSE(matcher.IsPrefix(" "));
  EXPECT_FALSE(matcher.IsPrefix("[] "));
}

TEST(JsonSchema, IntegersLieBetweenTheirBounds) {
  const std::vector<std::pair<int64_t, int64_t>> ranges = {
      {0, 0},     {0, 9},  {5, 5},    {-3, 4},      {-120, -7},    {8, 1203}, {99, 101}, {100, 199},
      {190, 210}, {-1, 0}, {-999, 0}, {1000, 1999}, {-1500, 1499}, {7, 70},   {120, 120}};
  for (const auto& [min, max] : ranges) {
    Grammar grammar;
    const Grammar::RuleId root = grammar.AddRule("root");
    grammar.Define(root, IntegerRange(min, max, &grammar));
    grammar.set_root(root);
    const BytesMatcher matcher(grammar);
    for (int64_t i = -2100; i <= 2100; ++i) {
      EXPECT_EQ(matcher.Matches(absl::StrCat(i)), i >= min && i <= max) << i << " in " << min << ".." << max;
    }
    EXPECT_FALSE(matcher.Matches("-0"));
    EXPECT_FALSE(matcher.Matches("00"));
    EXPECT_FALSE(matcher.Matches("05"));
  }
}

TEST(JsonSchema, RefusesByNameAndPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "not valid JSON"},
      {"[", "not valid JSON"},
      {"3", "at #: a schema must be an object"},
      {R"({"a":1,"a":2})", "appears twice"},
      {R"({"not":{}})", "at #: \"not\" is not supported"},
      {R"({"type":"object","properties":{"a/b":{"type":"array","items":{"multipleOf":2}}}})",
       "at #/properties/a~1b/items: \"multipleOf\""},
      {R"({"anyOf":[{},{"if":{}}]})", "at #/anyOf/1: \"if\""},
      {R"({"$defs":{"x":{"patternProperties":{}}},"$ref":"#/$defs/x"})", "at #/$defs/x: \"patternProperties\""},
      {R"({"type":"thing"})", "\"type\" \"thing\" is none"},
      {R"({"type":[]})", "empty list"},
      {R"({"type":"array","uniqueItems":true})", "uniqueItems"},
      {R"({"type":"array","items":[{}]})", "prefixItems"},
      {R"({"type":"array","minItems":3,"maxItems":2})", "\"maxItems\" 2 is below"},
      {R"({"type":"array","minItems":-1})", "must be a count"},
      {R"({"type":"array","minItems":1e9})", "more than 100000"},
      {R"({"type":"array","prefixItems":[{}],"items":false,"minItems":2})", "no array has as many"},
      {R"({"type":"string","pattern":"a","minLength":2})", "\"minLength\" beside \"pattern\""},
      {R"x({"type":"string","pattern":"(?=a)"})x", "look-around"},
      {R"({"type":"string","pattern":"(a)\\1"})", "the escape \\1"},
      {R"({"type":"string","pattern":"\\bword"})", "the escape \\b"},
      {R"x({"type":"string","pattern":"(^a)"})x", "^ inside a group"},
      {R"({"type":"string","pattern":"a**"})", "quantifier behind a quantifier"},
      {R"x({"type":"string","pattern":"a)"})x", "unexpected )"},
      {R"({"type":"string","pattern":"[z-a]"})", "not a range"},
      {R"({"type":"string","pattern":"\\p{L}"})", "the escape \\p"},
      {R"({"type":"string","format":"hostname"})", "\"format\" \"hostname\""},
      {R"({"type":"integer","minimum":5,"maximum":4})", "no number"},
      {R"({"type":"number","minimum":0.2,"maximum":0.7})", "no number"},
      {R"({"type":"integer","maximum":1e30})", "more than 15 digits"},
      {R"({"type":"integer","minimum":"1"})", "must be a number"},
      {R"({"enum":[]})", "must be a list"},
      {R"({"type":"integer","const":"a"})", "no value of \"const\""},
      {R"({"const":1,"minimum":0})", "\"minimum\" beside \"const\""},
      {R"({"$ref":"#/$defs/none"})", "points at nothing"},
      {R"({"$ref":"https://example.com/s"})", "only places in this document"},
      {R"({"$ref":"#","type":"object"})", "\"type\" beside \"$ref\""},
      {R"({"anyOf":[{}],"type":"object"})", "\"type\" beside \"anyOf\""},
      {R"({"allOf":[{},{}]})", "one schema only"},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", "0 and 1 do not"},
      {R"({"oneOf":[{"type":"object","properties":{"k":{"const":1}}},{"type":"object","properties":{"k":{"const":2}}}]})",
       "0 and 1 do not"},
      {R"({"type":"object","required":["a"],"properties":{"b":{}},"additionalProperties":false})",
       "\"a\" is required, but not"},
      {R"({"type":"object","required":["a"],"properties":{"a":false}})", "required and may not be"},
      {R"({"type":"object","required":"a"})", "must be a list of names"},
  };
  for (const auto& [schema, message] : cases) {
    const auto grammar = GrammarFromJsonSchema(schema);
    ASSERT_FALSE(grammar.ok()) << schema;
    EXPECT_THAT(std::string(grammar.status().message()), HasSubstr(message)) << schema;
  }
  std::string deep = "{}";
  for (int i = 0; i < 60; ++i) deep = "{\"items\":" + deep + "}";
  EXPECT_TRUE(GrammarFromJsonSchema(deep).ok());
  for (int i = 0; i < 60; ++i) deep = "{\"items\":" + deep + "}";
  EXPECT_TRUE(absl::IsResourceExhausted(GrammarFromJsonSchema(deep).status()));
  for (const char* const endless :
       {R"({"$ref":"#"})", R"({"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}},"$ref":"#/$defs/a"})"}) {
    const auto grammar = GrammarFromJsonSchema(endless);
    ASSERT_TRUE(grammar.ok());
    EXPECT_FALSE(Automaton::Compile(*grammar).ok()) << endless;
  }
}

}  // namespace
}  // namespace sluice::grammar
