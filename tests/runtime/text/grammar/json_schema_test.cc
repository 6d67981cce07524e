// JSON schemas: texts that they allow and do not, and what is refused by name and place.
#include "runtime/text/grammar/json_schema.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/text/grammar/integer_range.h"
#include "tests/runtime/text/grammar/grammar_testing.h"

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
      {R"({"type":"integer"})",
       {"0", "-1", "120"},
       {"-0", "007", "1.0", "1e3", "1234567890123456"}},
      {R"({"type":"number"})", {"0", "-0.5", "1E-5", "12.250"}, {".5", "1.", "1e", "--1"}},
      {R"({"type":"number","minimum":0,"maximum":1})",
       {"0", "1", "0.25", "1.0"},
       {"-0.1", "1.01", "1.5", "1e-1"}},
      {R"({"type":"number","exclusiveMinimum":-2,"exclusiveMaximum":1.5})",
       {"-1", "-1.999", "0.5", "1", "-0.5", "1.499999"},
       {"-2", "-2.0", "1.5", "2"}},
      {R"({"type":"object","properties":{"b":{"type":"null"},"a":{"type":"null"}}})",
       {"{}", "{ }", R"({"b":null})", R"({"a": null})", "{\n  \"b\": null,\n  \"a\": null\n}"},
       {R"({"a":null,"b":null})", R"({"c":null})", R"({"b":null,})", R"({,"b":null})",
        R"({"b":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"null"},"ab":{"type":"null"}},"required":["ab"],"additionalProperties":{"type":"boolean"}})",
       {R"({"ab":null})", R"({"a":null,"ab":null,"abc":true,"b":false,"":true})"},
       {R"({"a":null})", R"({"ab":null,"a":true})", R"({"ab":null,"ab":true})",
        R"({"ab":null,"\u0061":true})", R"({"abc":true})", "{}"}},
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
      {R"({"type":"string","pattern":"b+"})",
       {R"("b")", R"("xbby")", R"("\nb")"},
       {R"("")", R"("a")"}},
      {R"({"type":"string","pattern":"^a|b$"})",
       {R"("a")", R"("axx")", R"("xxb")"},
       {R"("xax")", R"("bx")"}},
      {R"({"type":"string","pattern":"^[\"\\\\\\n]{2}$"})",
       {R"("\"\\")", R"("\n\n")"},
       {R"("""")", R"("\\")"}},
      {R"({"type":"string","pattern":"^(a|bc)*?d{2,}$"})",
       {R"("dd")", R"("abcddd")"},
       {R"("abd")"}},
      {R"({"type":"string","format":"date"})",
       {R"("2024-02-28")", R"("1999-12-31")"},
       {R"("2023-02-29")", R"("2024-04-31")", R"("24-1-1")", R"("0000-01-01")"}},
      {R"({"type":"string","format":"date-time"})",
       {R"("2024-02-28T23:59:59Z")", R"("2024-01-01T00:00:00.5+02:00")"},
       {R"("2024-01-01")", R"("2024-01-01T24:00:00Z")"}},
      {R"({"type":"array","items":[{"type":"null"},{"const":1}],"additionalItems":false})",
       {"[]", "[null]", "[null,1]"},
       {"[1]", "[null,1,null]"}},
      {R"({"type":"object","properties":{"a":{"type":"null","required":true},"b":{"type":"null"}}})",
       {R"({"a":null})", R"({"a":null,"b":null})"},
       {"{}", R"({"b":null})"}},
      {R"({"format":"ipv6"})",
       {R"("::1")", R"("fe80::")", R"("1:2:3:4:5:6:7:8")", R"("2001:DB8::1")"},
       {R"(":1")", R"("1:2:3")", R"("::1::")", R"("1:2:3:4:5:6:7::8")"}},
      {R"({"format":"uri"})",
       {R"("https://example.com/a?b=c#d")", R"("mailto:a@b.cd")", R"("urn:isbn:123")"},
       {R"("example.com")", R"("https://")", R"("http://a b")"}},
      {R"({"format":"duration"})",
       {R"("P1DT2H")", R"("PT5S")", R"("P3W")"},
       {R"("P")", R"("P1DT")", R"("1D")"}},
      {R"({"type":"string","format":"ipv4"})",
       {R"("255.0.10.199")"},
       {R"("256.0.0.1")", R"("1.2.3")", R"("01.2.3.4")"}},
  };
  for (const Case& c : cases) {
    const auto grammar = GrammarFromJsonSchema(c.schema);
    ASSERT_TRUE(grammar.ok()) << grammar.status() << c.schema;
    const BytesMatcher matcher(*grammar);
    for (const std::string& text : c.matches)
      EXPECT_TRUE(matcher.Matches(text)) << c.schema << "\n" << text;
    for (const std::string& text : c.others)
      EXPECT_FALSE(matcher.Matches(text)) << c.schema << "\n" << text;
  }
}

TEST(JsonSchema, ThousandsOfConstantsAreOneWayToReadAText) {
  std::string values = "\"\", \"1\", \"1\", 7";
  for (int i = 0; i < 6000; ++i) absl::StrAppend(&values, ",\"", i * 7, "\",\"é", i, "\"");
  const auto grammar = GrammarFromJsonSchema("{\"enum\":[" + values + "]}");
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  const BytesMatcher matcher(*grammar);
  for (const char* const text :
       {"\"\"", "\"1\"", "7", "\"41993\"", "\"14\"", "\"é5999\"", "\"é0\""}) {
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
      EXPECT_EQ(matcher.Matches(absl::StrCat(i)), i >= min && i <= max)
          << i << " in " << min << ".." << max;
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
      {R"({"$defs":{"x":{"patternProperties":{}}},"$ref":"#/$defs/x"})",
       "at #/$defs/x: \"patternProperties\""},
      {R"({"type":"thing"})", "\"type\" \"thing\" is none"},
      {R"({"type":[]})", "empty list"},
      {R"({"type":"array","uniqueItems":true})", "uniqueItems"},
      {R"({"type":"array","items":[{}],"prefixItems":[{}]})", "prefixItems"},
      {R"({"type":"array","minItems":3,"maxItems":2})", "\"maxItems\" 2 is below"},
      {R"({"type":"array","minItems":-1})", "must be a count"},
      {R"({"type":"array","minItems":1e9})", "more than 100000"},
      {R"({"type":"array","prefixItems":[{}],"items":false,"minItems":2})", "no array has as many"},
      {R"({"type":"string","pattern":"^a$","minLength":2})",
       "no text fits its \"pattern\" \"^a$\", \"minLength\" 2"},
      {R"({"type":"string","pattern":"^(ab|abcd)$","minLength":3,"maxLength":3})", "no text fits"},
      {R"({"type":"string","pattern":"^[a-f]+$","format":"date"})", "no text fits"},
      {R"({"type":"string","pattern":"^(a{9999}b{9999}|c*d?)*$","maxLength":99999})", "too"},
      {R"x({"type":"string","pattern":"(?=a)"})x", "look-around"},
      {R"({"type":"string","pattern":"(a)\\1"})", "the escape \\1"},
      {R"({"type":"string","pattern":"\\bword"})", "the escape \\b"},
      {R"x({"type":"string","pattern":"(^a)"})x", "^ inside a group"},
      {R"({"type":"string","pattern":"a**"})", "quantifier after a quantifier"},
      {R"x({"type":"string","pattern":"a)"})x", "unexpected )"},
      {R"({"type":"string","pattern":"[z-a]"})", "not a range"},
      {R"({"type":"string","pattern":"\\p{L}"})", "the escape \\p"},
      {R"({"type":"string","format":3})", "\"format\" must be a text"},
      {R"({"type":"integer","minimum":5,"maximum":4})",
       "at #: no integer of up to 15 digits lies at or above \"minimum\" 5 and at or below "
       "\"maximum\" 4"},
      {R"({"properties":{"n":{"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":1}}})",
       "at #/properties/n: no integer of up to 15 digits lies above \"exclusiveMinimum\" 0 and "
       "below "
       "\"exclusiveMaximum\" 1"},
      {R"({"type":"number","minimum":1,"exclusiveMaximum":1})",
       "no number of up to 15 digits before"},
      {R"({"type":["number","null"],"minimum":0.5,"maximum":0.25})", "no number"},
      {R"({"type":"number","minimum":1e-16,"maximum":3e-16})", "15 after the point"},
      {R"({"type":"number","minimum":1,"maximum":1.000000000000000004})", "only one number"},
      {R"({"type":"integer","minimum":1e30})", "lies at or above \"minimum\" 1e30"},
      {R"({"type":"number","exclusiveMaximum":-1e300})", "lies below \"exclusiveMaximum\" -1e300"},
      {R"({"type":"number","exclusiveMinimum":true})",
       "\"exclusiveMinimum\" is true, and there is no \"minimum\""},
      {R"({"type":"integer","minimum":"1"})", "must be a number"},
      {R"({"enum":[]})", "must be a list"},
      {R"({"type":"integer","const":"a"})", "no value of \"const\""},
      {R"({"const":1,"minimum":0})", "\"minimum\" beside \"const\""},
      {R"({"$ref":"#/$defs/none"})", "points at nothing"},
      {R"({"$ref":"https://example.com/s"})", "only places in this document"},
      {R"({"$id":"https://example.com/a","$ref":"b#/$defs/c"})", "\"b#/$defs/c\" is not supported"},
      {R"({"$ref":"#nothing"})", "points at nothing"},
      {R"({"$defs":{"a%20b":{}},"$ref":"#/$defs/a%20b"})", "points at nothing"},
      {R"({"$ref":7})", "must be a text"},
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
       {R"({"$ref":"#"})",
        R"({"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}},"$ref":"#/$defs/a"})"}) {
    const auto grammar = GrammarFromJsonSchema(endless);
    ASSERT_TRUE(grammar.ok());
    EXPECT_FALSE(Automaton::Compile(*grammar).ok()) << endless;
  }
}

void ExpectTexts(const std::string& schema, const std::vector<std::string>& matches,
                 const std::vector<std::string>& others) {
  const auto grammar = GrammarFromJsonSchema(schema);
  ASSERT_TRUE(grammar.ok()) << grammar.status() << schema;
  const BytesMatcher matcher(*grammar);
  for (const std::string& text : matches)
    EXPECT_TRUE(matcher.Matches(text)) << schema << "\n" << text;
  for (const std::string& text : others)
    EXPECT_FALSE(matcher.Matches(text)) << schema << "\n" << text;
}

TEST(JsonSchema, EveryDecimalBetweenTheBoundsCanBeWritten) {
  ExpectTexts(R"({"type":"number","exclusiveMinimum":0,"maximum":1})",
              {"0.000001", "0.5", "1", "1.000000"},
              {"0", "0.0", "0.000000", "1.000001", "-0.5", "-0", "01"});
  ExpectTexts(R"({"type":"number","exclusiveMinimum":0.0,"exclusiveMaximum":1.0})",
              {"0.1", "0.999999", "0.000001"}, {"0", "1", "1.0"});
  ExpectTexts(R"({"type":"number","minimum":0.2,"maximum":0.3})",
              {"0.2", "0.20", "0.25", "0.3", "0.300000"},
              {"0", "0.1", "0.199999", "0.300001", "0.4"});
  ExpectTexts(R"({"type":"number","minimum":-0.3,"exclusiveMaximum":-0.2})",
              {"-0.3", "-0.25", "-0.200001"}, {"-0.2", "-0.300001", "0", "-0"});
  ExpectTexts(R"({"type":"number","minimum":-1.5,"maximum":2.25})",
              {"-1.5", "-0.000001", "0", "0.0", "2.25", "-1"},
              {"-1.500001", "2.250001", "-2", "3", "-0", "-0.0"});
  ExpectTexts(R"({"minimum":1e-3,"maximum":1E9})",
              {"0.001", "1000000000", "1000000000.0", "999999999.999999"},
              {"0", "0.0009", "1000000000.000001", "1e3"});
  ExpectTexts(R"({"type":"number","minimum":0.5})", {"0.5", "999999999999999.999999", "1"},
              {"0.4", "0", "-1"});
  ExpectTexts(R"({"type":"number","exclusiveMaximum":-7.25})", {"-7.250001", "-8", "-123456.789"},
              {"-7.25", "7.3"});
  ExpectTexts(R"({"type":"number","minimum":7,"maximum":7.0})", {"7", "7.0", "7.000000"},
              {"7.000001", "6.999999"});
  // Bounds that everything is inside of.
  ExpectTexts(R"({"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807})",
              {"0", "-999999999999999", "999999999999999"}, {"1000000000000000", "0.5"});
  ExpectTexts(R"({"type":"number","minimum":0,"maximum":1.7976931348623157e308})",
              {"0", "0.5", "123456789012345"}, {"-1", "1e3"});
  ExpectTexts(R"({"type":"integer","minimum":1000000000000000,"maximum":9007199254740991})",
              {"1000000000000000", "9007199254740991"}, {"999999999999999", "9007199254740992"});
  ExpectTexts(R"({"type":"number","exclusiveMaximum":-1e17})",
              {"-100000000000000100", "-999999999999999999"}, {"-100000000000000000", "-5"});
  // Integers with bounds that are none.
  ExpectTexts(R"({"type":"integer","minimum":-0.5,"exclusiveMaximum":2.5})", {"0", "1", "2"},
              {"-1", "3", "0.5"});
  ExpectTexts(R"({"type":"integer","exclusiveMinimum":-3,"maximum":-1})", {"-2", "-1"},
              {"-3", "0"});
}

TEST(JsonSchema, ARangeThatSixDigitsDoNotSufficeForGetsMore) {
  ExpectTexts(R"({"type":"number","minimum":0.00000015,"maximum":0.00000025})",
              {"0.00000015", "0.0000002", "0.00000025", "0.0000001999"},
              {"0", "0.00000014", "0.00000026", "0.000001"});
  ExpectTexts(R"({"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1e-6})",
              {"0.0000005", "0.000000999"}, {"0", "0.000001"});
  ExpectTexts(R"({"type":"number","minimum":100.0000001,"maximum":100.0000002})", {"100.00000015"},
              {"100", "100.000001"});
}

TEST(JsonSchema, NumbersBesideAnOpenBoundAreOtherDoubles) {
  // Half the distance between doubles there is 0.0000038.
  ExpectTexts(R"({"type":"number","exclusiveMinimum":34359738368,"maximum":34359738369})",
              {"34359738368.000004", "34359738368.5"},
              {"34359738368.000001", "34359738368.000003", "34359738368"});
  ExpectTexts(R"({"type":"number","exclusiveMaximum":0.30000000000000004,"minimum":0})", {"0.3"},
              {"0.300001"});
  ExpectTexts(R"({"type":"number","minimum":0.30000000000000004,"maximum":1})", {"0.300001"},
              {"0.3"});
}

TEST(JsonSchema, DraftFoursBooleansOpenItsBounds) {
  ExpectTexts(
      R"({"type":"number","minimum":0,"exclusiveMinimum":true,"maximum":1,"exclusiveMaximum":true})",
      {"0.5", "0.000001", "0.999999"}, {"0", "1"});
  ExpectTexts(
      R"({"type":"integer","minimum":0,"exclusiveMinimum":false,"maximum":2,"exclusiveMaximum":true})",
      {"0", "1"}, {"2", "-1"});
}

TEST(JsonSchema, WordsThatOnlyAnnotateAreIgnored) {
  for (const std::string word : {R"("id":"http://example.com/a")",
                                 R"("id":"#a")",
                                 R"("example":1)",
                                 R"("x-order":3)",
                                 R"("links":[{"rel":"self"}])",
                                 R"("self":{"vendor":"x"})",
                                 R"("$comment":"c")",
                                 R"("$anchor":"a")",
                                 R"("$dynamicAnchor":"a")",
                                 R"("$recursiveAnchor":true)",
                                 R"("$vocabulary":{})",
                                 R"("readOnly":true)",
                                 R"("deprecated":true)",
                                 R"("contentEncoding":"base64")",
                                 R"("contentMediaType":"text/html")",
                                 R"("contentSchema":{"not":{}})",
                                 R"("nullable":true)",
                                 R"("xml":{})",
                                 R"("externalDocs":{})",
                                 R"("markdownDescription":"m")",
                                 R"("enumNames":["a"])",
                                 R"("discriminator":{"propertyName":"p"})",
                                 R"("errorMessage":{"required":"r"})",
                                 R"("definitions":{"a":{"not":{}}})",
                                 R"("media":{})",
                                 R"("_format":1)",
                                 R"("$id":"urn:x")",
                                 R"("defaultSnippets":[])",
                                 R"("format":"int32")"}) {
    ExpectTexts("{\"type\":\"boolean\"," + word + "}", {"true"}, {"null", "1"});
    ExpectTexts("{\"enum\":[\"a\"]," + word + "}", {"\"a\""}, {"null", "1"});
    ExpectTexts("{\"anyOf\":[{\"type\":\"null\"," + word + "}]," + word + "}", {"null"}, {"true"});
  }
  // Formats that are unknown, and one that stands alone and so says nothing of the type.
  ExpectTexts(R"({"type":"string","format":"x-unknown","maxLength":2})", {"\"ab\""}, {"\"abc\""});
  ExpectTexts(R"({"format":"int64"})", {"1", "null", "\"a\""}, {});
  ExpectTexts(R"({"type":"integer","format":"int64","minimum":3})", {"3"}, {"2"});
}

TEST(JsonSchema, WordsThatConstrainInAnyDraftAreRefusedByName) {
  for (const char* const word : {"not",
                                 "if",
                                 "then",
                                 "else",
                                 "dependencies",
                                 "dependentRequired",
                                 "dependentSchemas",
                                 "unevaluatedProperties",
                                 "unevaluatedItems",
                                 "propertyNames",
                                 "patternProperties",
                                 "minProperties",
                                 "maxProperties",
                                 "contains",
                                 "minContains",
                                 "maxContains",
                                 "multipleOf",
                                 "divisibleBy",
                                 "disallow",
                                 "extends",
                                 "$dynamicRef",
                                 "$recursiveRef"}) {
    for (const std::string& schema :
         {absl::StrCat("{\"", word, "\":{}}"),
          absl::StrCat("{\"type\":\"object\",\"", word, "\":{\"a\":{}}}"),
          absl::StrCat("{\"type\":\"object\",\"properties\":{\"p\":{\"", word, "\":1,\"x-a\":1}}}"),
          absl::StrCat("{\"enum\":[1],\"", word, "\":{}}"),
          absl::StrCat("{\"oneOf\":[{}],\"", word, "\":{}}")}) {
      const auto grammar = GrammarFromJsonSchema(schema);
      ASSERT_FALSE(grammar.ok()) << schema;
      EXPECT_THAT(std::string(grammar.status().message()),
                  HasSubstr(absl::StrCat("\"", word, "\" is not supported")));
    }
    // A property may be called so.
    ExpectTexts(absl::StrCat("{\"properties\":{\"", word, "\":{\"type\":\"null\"}}}"),
                {absl::StrCat("{\"", word, "\":null}")}, {});
  }
}

TEST(JsonSchema, ReferencesArePercentDecoded) {
  const std::vector<std::pair<std::string, std::string>> names = {
      {"Page<Item>", "Page%3CItem%3E"},
      {"My Type", "My%20Type"},
      {"größe", "gr%C3%B6%C3%9Fe"},
      {"größe", "größe"},
      {"100%", "100%25"},
      {"100%", "100%"},
      {"a/b", "a~1b"},
      {"a~b", "a~0b"},
      {"a~1b", "a~01b"},
      {"a/b", "a%7E1b"},
      {"a%20b", "a%2520b"},
      {"A<B>", "A<B>"},
      {"Map[string]int", "Map%5bstring%5Dint"},
      {"", ""}};
  for (const auto& [name, encoded] : names) {
    for (const char* const place : {"$defs", "definitions", "components/schemas"}) {
      const std::string named = absl::StrCat("{\"", name, "\":{\"const\":7}}");
      const std::string members = std::string(place) == "components/schemas"
                                      ? absl::StrCat("\"components\":{\"schemas\":", named, "}")
                                      : absl::StrCat("\"", place, "\":", named);
      ExpectTexts(absl::StrCat("{", members, ",\"$ref\":\"#/", place, "/", encoded, "\"}"), {"7"},
                  {"8"});
    }
  }
  ExpectTexts(R"({"$defs":{"a":{"b":{"const":7}}},"$ref":"#/$defs/a%2Fb"})", {"7"}, {});
}

TEST(JsonSchema, ReferencesByAnchorAndById) {
  for (
      const std::string schema :
      {R"({"$ref":"#a","$defs":{"x":{"$anchor":"a","const":7}}})",
       R"({"$ref":"#a","definitions":{"x":{"id":"#a","const":7}}})",
       R"({"$ref":"#a%20b","$defs":{"x":{"$id":"#a b","const":7}}})",
       R"({"$id":"https://example.com/root.json","$ref":"item.json","$defs":{"x":{"$id":"item.json","const":7}}})",
       R"({"$id":"https://example.com/root.json","$ref":"root.json#/$defs/x","$defs":{"x":{"const":7}}})",
       R"({"$id":"https://example.com/a/root.json","$ref":"/b/item#c","$defs":{"x":{"$id":"../b/./item","$defs":{"y":{"$anchor":"c","const":7}}}}})",
       R"({"id":"http://example.com/root.json#","$ref":"http://example.com/root.json#/definitions/x","definitions":{"x":{"const":7}}})",
       R"({"$ref":"urn:x:y","$defs":{"x":{"$id":"urn:x:y","const":7}}})",
       R"({"allOf":[{"id":"/p","allOf":[{"$ref":"#/definitions/x"}]}],"definitions":{"x":{"const":7}}})",
       R"({"$ref":"a","$defs":{"x":{"$id":"a","allOf":[{"$ref":"#/$defs/x"}],"$defs":{"x":{"const":7}}}}})"}) {
    ExpectTexts(schema, {"7"}, {"8"});
  }
}

TEST(JsonSchema, UpToDraftSevenAReferenceStandsAlone) {
  for (const char* const draft : {"draft-04", "draft-06", "draft-07"}) {
    ExpectTexts(absl::StrCat("{\"$schema\":\"http://json-schema.org/", draft,
                             "/schema#\",\"type\":\"array\",\"items\":{\"$ref\":\"#/definitions/"
                             "a\",\"type\":\"string\","
                             "\"not\":{}},\"definitions\":{\"a\":{\"const\":7}}}"),
                {"[7]"}, {"[\"a\"]"});
  }
  EXPECT_FALSE(
      GrammarFromJsonSchema(
          R"({"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"#/$defs/a","type":"string","$defs":{"a":{}}})")
          .ok());
}

TEST(JsonSchema, ADiscriminatorTellsTheSchemasOfOneOfApart) {
  // Constants that need not be there (their default), as Pydantic writes them.
  const std::string optional_constants =
      R"({"oneOf":[{"$ref":"#/$defs/Cat"},{"$ref":"#/$defs/Dog"}],"discriminator":{"propertyName":"kind","mapping":{"cat":"#/$defs/Cat","dog":"#/$defs/Dog"}},
          "$defs":{"Cat":{"type":"object","properties":{"kind":{"const":"cat","default":"cat"}}},"Dog":{"type":"object","properties":{"kind":{"const":"dog"}}}}})";
  ExpectTexts(optional_constants, {R"({"kind":"cat"})", R"({"kind":"dog"})"},
              {"{}", R"({"kind":"cow"})"});
  // Plain texts: the mapping's names, or those of the schemas.
  const std::string tail =
      R"("components":{"schemas":{"Cat":{"type":"object","properties":{"kind":{"type":"string"},"of":{"$ref":"#"}}},"Dog":{"type":"object","properties":{"kind":{"type":"string"}}}}}})";
  ExpectTexts(
      R"({"oneOf":[{"$ref":"#/components/schemas/Cat"},{"$ref":"#/components/schemas/Dog"}],"discriminator":{"propertyName":"kind","mapping":{"c":"#/components/schemas/Cat","tom":"Cat"}},)" +
          tail,
      {R"({"kind":"c"})", R"({"kind":"tom","of":{"kind":"Dog"}})"},
      {R"({"kind":"Cat"})", R"({"of":{"kind":"Dog"}})"});
  ExpectTexts(
      R"({"oneOf":[{"$ref":"#/components/schemas/Cat"},{"$ref":"#/components/schemas/Dog"}],"discriminator":{"propertyName":"kind"},)" +
          tail,
      {R"({"kind":"Cat"})", R"({"kind":"Dog"})"}, {R"({"kind":"c"})"});
  // An annotation where it is not needed.
  ExpectTexts(R"({"anyOf":[{"type":"null"},{"const":1}],"discriminator":{"propertyName":"kind"}})",
              {"null", "1"}, {});
  for (
      const char* const useless :
      {R"({"oneOf":[{},{}],"discriminator":{"propertyName":"kind"}})",
       R"({"oneOf":[{},{}],"discriminator":{}})", R"({"oneOf":[{},{}],"discriminator":3})",
       R"({"oneOf":[{"properties":{"k":{}}},{"properties":{"k":{}}}],"discriminator":{"propertyName":"k"}})",
       R"({"oneOf":[{"properties":{"k":{"const":1}}},{"properties":{"k":{"enum":[1,2]}}}],"discriminator":{"propertyName":"k"}})"}) {
    EXPECT_THAT(std::string(GrammarFromJsonSchema(useless).status().message()),
                HasSubstr("0 and 1 do not"))
        << useless;
  }
}

TEST(JsonSchema, PatternsHoldTogetherWithLengthsAndFormats) {
  ExpectTexts(R"({"type":"string","pattern":"^[a-z]+$","maxLength":3})", {R"("a")", R"("abc")"},
              {R"("")", R"("abcd")"});
  ExpectTexts(R"({"type":"string","pattern":"^[a-z]([a-z-]*[a-z])?$","minLength":2,"maxLength":4})",
              {R"("ab")", R"("a--b")"}, {R"("a")", R"("a-")", R"("abcde")"});
  ExpectTexts(R"({"type":"string","pattern":"b","minLength":2,"maxLength":3})",
              {R"("ab")", R"("bb")", R"("xbx")", R"("\u00e9b")"},
              {R"("b")", R"("aaa")", R"("abba")"});
  ExpectTexts(R"({"type":"string","pattern":"^[^@]+@[^@]+$","maxLength":5})",
              {R"("a@b")", R"("\"@\\\n")"}, {R"("a@bcde")", R"("a@")"});
  ExpectTexts(R"({"type":"string","pattern":"^(a|bb)*$","minLength":3,"maxLength":3})",
              {R"("aaa")", R"("abb")", R"("bba")"}, {R"("aa")", R"("bab")", R"("bbbb")"});
  ExpectTexts(R"({"type":"string","pattern":"^(ab)*$","minLength":3})",
              {R"("abab")", R"("ababab")"}, {R"("ab")", R"("")"});
  ExpectTexts(R"({"type":"string","pattern":"^a?b{2,40}c*$","minLength":4,"maxLength":100})",
              {R"("bbbb")", R"("abbc")", "\"bb" + std::string(98, 'c') + "\""},
              {R"("bbb")", "\"bb" + std::string(99, 'c') + "\""});
  ExpectTexts(R"({"type":"string","pattern":"^1","format":"ipv4","maxLength":8})",
              {R"("10.0.0.1")", R"("1.1.1.1")"}, {R"("9.1.1.1")", R"("100.0.0.1")"});
  // An emoji is one character, however it is written.
  ExpectTexts(R"({"type":"string","pattern":".*","maxLength":1})",
              {R"("😀")", R"("\ud83d\ude00")", R"("")"}, {R"("😀😀")"});
}

TEST(JsonSchema, FormatsHoldTogetherWithTheLengthsThatPeopleGiveThem) {
  // As Pydantic writes an HttpUrl.
  ExpectTexts(R"({"type":"string","format":"uri","minLength":1,"maxLength":2083})",
              {R"("https://example.com/a?b#c")"}, {R"("example")", R"("")"});
  ExpectTexts(R"({"type":"string","format":"uri","pattern":"^https://","maxLength":2083})",
              {R"("https://example.com")"}, {R"("http://example.com")"});
  for (const int length : {20, 255, 800, 825, 826, 827}) {
    ExpectTexts(
        absl::StrCat(R"({"type":"string","format":"uri","maxLength":)", length, "}"),
        {R"("https://a.example/b")"},
        {R"("a")", absl::StrCat("\"https://a.example/", std::string(length - 17, 'b'), "\"")});
  }
  for (const int length : {11, 100, 200, 201, 254}) {
    ExpectTexts(absl::StrCat(R"({"type":"string","format":"email","maxLength":)", length, "}"),
                {R"("a.b@cd.org")"},
                {R"("a.b@")", absl::StrCat("\"a@", std::string(length - 5, 'b'), ".org\"")});
  }
  for (const int length : {11, 208, 209, 253}) {
    ExpectTexts(absl::StrCat(R"({"type":"string","format":"hostname","maxLength":)", length, "}"),
                {R"("example.com")"},
                {R"("a_b")", absl::StrCat("\"", std::string(length + 1, 'b'), "\"")});
  }
}

}  // namespace
}  // namespace sluice::grammar
