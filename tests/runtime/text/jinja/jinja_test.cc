#include "jinja_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/text/jinja/json.h"
#include "runtime/text/jinja/template.h"

namespace sluice::jinja {

std::tm FixtureClock() {
  std::tm clock = {};
  clock.tm_year = 126;
  clock.tm_mon = 2;
  clock.tm_mday = 4;
  clock.tm_hour = 5;
  clock.tm_min = 6;
  clock.tm_sec = 7;
  clock.tm_wday = 3;
  clock.tm_yday = 62;
  return clock;
}

absl::StatusOr<std::string> Render(const std::string& source, const Value& context,
                                   const Limits& limits) {
  const absl::StatusOr<Template> parsed = Template::Parse(source, limits);
  if (!parsed.ok()) return parsed.status();
  return parsed->Render(context, FixtureClock());
}

Value Json(const std::string& text) {
  absl::StatusOr<Value> value = ValueFromJson(text, "test data");
  EXPECT_TRUE(value.ok()) << value.status();
  return value.ok() ? *std::move(value) : Value::Dict({});
}

const Value& Member(const Value& dict, const std::string& key) {
  static const Value* const nothing = new Value(Value::String(""));
  const Value* const member = dict.dict().Find(key);
  EXPECT_NE(member, nullptr) << key;
  return member != nullptr ? *member : *nothing;
}

void CheckCase(const std::string& name, const std::string& source, const Value& test_case,
               const Value& context) {
  const absl::StatusOr<std::string> rendered = Render(source, context);
  const Value* const expected = test_case.dict().Find("expected");
  if (expected != nullptr) {
    ASSERT_TRUE(rendered.ok()) << name << ": " << rendered.status();
    EXPECT_EQ(*rendered, expected->text()) << name;
    return;
  }
  const std::string& error = Member(test_case, "error").text();
  ASSERT_FALSE(rendered.ok()) << name << " gave " << *rendered << ", wanted " << error;
  EXPECT_THAT(std::string(rendered.status().message()), ::testing::StartsWith("line ")) << name;
}

}  // namespace sluice::jinja
