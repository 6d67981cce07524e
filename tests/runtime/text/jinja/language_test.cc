// The language piece by piece, against Jinja2, and what is Jinja2's only in part: messages, clock.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "jinja_test.h"
#include "runtime/text/jinja/json.h"
#include "runtime/text/jinja/strftime.h"
#include "runtime/text/jinja/template.h"
#include "tests/support/data_file.h"

namespace sluice::jinja {
namespace {

using ::testing::HasSubstr;

TEST(Expressions, GiveWhatJinja2Gives) {
  const Value file = Json(ReadData("chat-templates/expressions.json"));
  const std::vector<Value>& cases = Member(file, "cases").items();
  EXPECT_GE(cases.size(), 480u);
  for (const Value& test_case : cases) {
    const std::string& source = Member(test_case, "template").text();
    CheckCase(source, source, test_case, Member(file, "context"));
  }
}

TEST(Errors, HaveLineAndColumnAndSayWhatIsExpected) {
  const struct {
    const char* source;
    const char* message;
  } kCases[] = {
      {"{{ 'x' }}\n  {{ a b }}", "line 2, column 8: unexpected 'b', expected '}}'"},
      {"{% if x %}\n\na", "line 3, column 2: unexpected the end of the template, expected {% elif"},
      {"h\u00e9 {{ 1 +", "line 1, column 4: this tag has no }}"},
      {"{{ 1 + }}", "line 1, column 8: unexpected '}}', expected an expression"},
      {"{{ (1, 2] }}", "line 1, column 9: unexpected ']', expected ')'"},
      {"{% for x y %}{% endfor %}", "line 1, column 10: unexpected 'y', expected 'in'"},
      {"{% nope %}", "line 1, column 4: there is no tag named 'nope'"},
      {"{% include 'x' %}", "the tag 'include' has no use in a chat template"},
      {"{{ 1 | nope }}", "line 1, column 8: there is no filter named 'nope'"},
      {"{{ 1 is nope }}", "there is no test named 'nope'"},
      {"{% break %}", "'break' is outside of a loop"},
      {"\n{{ raise_exception('Roles alternate') }}", "line 2, column 19: Roles alternate"},
      {"{{ nope.x }}", "line 1, column 8: 'nope' is undefined"},
      {"{{ {'a': 1}.b.c }}", "'dict object' has no attribute 'b'"},
      {"{{ 'x'.foo() }}", "'str object' has no attribute 'foo'"},
      {"{{ [1].append(2) }}", "access to attribute 'append' of 'list' object is unsafe"},
      {"{{ 1 + 'a' }}", "line 1, column 6: unsupported operand type(s) for +: 'int' and 'str'"},
      {"{{ 'a'.replace('a') }}", "replace() needs the argument 'new'"},
      {"{{ 'a' | replace('a', 'b', 1, 2) }}", "takes at most 3 arguments"},
      {"{{ 'a' | indent(wide=1) }}", "has no argument named 'wide'"},
      {"{{ 9223372036854775807 + 1 }}", "more than 64 bits"},
      {"{{ 9223372036854775808 }}", "not an integer of 64 bits"},
      {"{{ strftime_now('%Q') }}", "no directive '%Q'"},
      {"{{ \"\\ud800\" }}", "not a Unicode character"},
      {"\xff", "not UTF-8"},
  };
  for (const auto& c : kCases) {
    const auto rendered = Render(c.source);
    ASSERT_FALSE(rendered.ok()) << c.source;
    EXPECT_EQ(rendered.status().code(), absl::StatusCode::kInvalidArgument) << c.source;
    EXPECT_THAT(std::string(rendered.status().message()), HasSubstr(c.message)) << c.source;
  }
}

TEST(Strftime, FormatsTheClockThatIsGiven) {
  const std::pair<const char*, const char*> kCases[] = {
      {"%Y-%m-%d", "2026-03-04"},
      {"%d %b %Y", "04 Mar 2026"},
      {"%A, %B %-d, %Y", "Wednesday, March 4, 2026"},
      {"%H:%M:%S %p %I", "05:06:07 AM 05"},
      {"%j %y %%", "063 26 %"},
      {"", ""},
      {"h\u00e9 %f%z%Z", "h\u00e9 000000"}};
  for (const auto& [format, expected] : kCases) {
    EXPECT_EQ(FormatTime(FixtureClock(), format).value_or("an error"), expected) << format;
  }
  for (const char* const format : {"%", "%Q", "%-", "%10d", "abc%"}) {
    EXPECT_FALSE(FormatTime(FixtureClock(), format).ok()) << format;
  }
  EXPECT_EQ(Render("{{ strftime_now('%d') }}").value_or("an error"), "04");
}

TEST(Context, KeepsTheOrderOfKeysAndTheTypesOfNumbers) {
  const Value context = Json(R"({"d": {"z": 1, "a": 1.0, "m": {"y": null, "b": [true]}, "z": 2}})");
  EXPECT_EQ(Render("{{ d }} {{ d | tojson }}", context).value_or("an error"),
            "{'z': 2, 'a': 1.0, 'm': {'y': None, 'b': [True]}} "
            "{\"z\": 2, \"a\": 1.0, \"m\": {\"y\": null, \"b\": [true]}}");
}

TEST(Context, IsRefusedWhereItIsNoJsonOrTooDeep) {
  for (const std::string& text :
       {std::string("{"), std::string("{\"a\": 99999999999999999999}"), std::string("[1] 2"),
        std::string(100, '[') + std::string(100, ']'), std::string("{\"a\": 1}\0", 9)}) {
    EXPECT_FALSE(ValueFromJson(text, "context").ok()) << text;
  }
  const auto parsed = Template::Parse("x");
  ASSERT_TRUE(parsed.ok());
  EXPECT_FALSE(parsed->Render(Value::List({}), FixtureClock()).ok());
}

TEST(Dicts, FindTheirKeysHoweverManyThereAre) {
  std::vector<DictData::Entry> entries;
  for (int i = 0; i < 1000; ++i) {
    entries.emplace_back(Value::String("k" + std::to_string(i)), Value::Int(i));
    entries.emplace_back(Value::Int(i), Value::Int(-i));
  }
  entries.emplace_back(Value::Float(7.0), Value::String("last"));
  const Value dict = Value::Dict(std::move(entries));
  EXPECT_EQ(dict.dict().entries().size(), 2000u);
  EXPECT_EQ(dict.dict().Find("k999")->as_int(), 999);
  EXPECT_EQ(dict.dict().Find(Value::Int(7))->text(), "last");
  EXPECT_EQ(dict.dict().Find(Value::Bool(true))->as_int(), -1);
  EXPECT_EQ(dict.dict().Find(Value::None()), nullptr);
  EXPECT_EQ(dict.dict().Find("k1000"), nullptr);
}

TEST(Templates, RenderTheSameAgain) {
  const auto parsed = Template::Parse(
      "{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}"
      "{{ ns.n }}");
  ASSERT_TRUE(parsed.ok());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(parsed->Render(Value::Dict({}), FixtureClock()).value_or("an error"), "3");
  }
}

}  // namespace
}  // namespace sluice::jinja
