// What the tests of templates share: rendering with a fixed clock, and cases from JSON files.
#ifndef SLUICE_TESTS_RUNTIME_JINJA_JINJA_TEST_H_
#define SLUICE_TESTS_RUNTIME_JINJA_JINJA_TEST_H_

#include <ctime>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/text/jinja/limits.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// 2026-03-04 05:06:07, the clock of the fixtures; a Wednesday.
std::tm FixtureClock();

absl::StatusOr<std::string> Render(const std::string& source,
                                   const Value& context = Value::Dict({}),
                                   const Limits& limits = {});

// The value of a JSON text; a test failure where it is none.
Value Json(const std::string& text);
// A member of a dict that must have it.
const Value& Member(const Value& dict, const std::string& key);

// Renders `source`: the case's "expected" must come out, or where it has "error" instead, an error
// with its place.
void CheckCase(const std::string& name, const std::string& source, const Value& test_case,
               const Value& context);

}  // namespace sluice::jinja

#endif  // SLUICE_TESTS_RUNTIME_JINJA_JINJA_TEST_H_
