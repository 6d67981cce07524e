// Whether a JSON value is valid by a schema: the keywords that grammars know, as draft 2020-12
// defines them.
#ifndef SLUICE_TESTS_SUPPORT_SCHEMA_VALIDATOR_H_
#define SLUICE_TESTS_SUPPORT_SCHEMA_VALIDATOR_H_

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/text/tokenizer/regex.h"
#include "runtime/text/tokenizer/search_budget.h"
#include "runtime/text/tokenizer/unicode.h"

namespace sluice {

// Shares nothing with the library's reading of schemas; compared once with Python's jsonschema,
// whose verdicts are in tests/data/schemas/verdicts.jsonl.
class SchemaValidator {
 public:
  explicit SchemaValidator(nlohmann::json root) : root_(std::move(root)) {}
  bool IsValid(const nlohmann::json& value) const { return Valid(root_, value); }

 private:
  using json = nlohmann::json;

  bool Valid(const json& schema, const json& value) const {
    if (schema.is_boolean()) return schema.get<bool>();
    for (const auto& [key, argument] : schema.items()) {
      if (!Holds(key, argument, schema, value)) return false;
    }
    return true;
  }

  static bool IsType(const std::string& type, const json& v) {
    if (type == "integer")
      return v.is_number_integer() || (v.is_number_float() && v == std::floor(v.get<double>()));
    return (type == "null" && v.is_null()) || (type == "boolean" && v.is_boolean()) ||
           (type == "number" && v.is_number()) || (type == "string" && v.is_string()) ||
           (type == "array" && v.is_array()) || (type == "object" && v.is_object());
  }

  bool Holds(const std::string& key, const json& a, const json& schema, const json& v) const {
    if (key == "$ref")
      return Valid(root_.at(json::json_pointer(a.get<std::string>().substr(1))), v);
    if (key == "const") return v == a;
    if (key == "enum") return Count(a, [&](const json& item) { return item == v; }) > 0;
    if (key == "anyOf") return Count(a, [&](const json& s) { return Valid(s, v); }) > 0;
    if (key == "oneOf") return Count(a, [&](const json& s) { return Valid(s, v); }) == 1;
    if (key == "allOf") return Count(a, [&](const json& s) { return Valid(s, v); }) == a.size();
    if (key == "type") {
      return a.is_string() ? IsType(a, v)
                           : Count(a, [&](const json& type) { return IsType(type, v); }) > 0;
    }
    if (v.is_number()) {
      if (key == "minimum") return v >= a;
      if (key == "maximum") return v <= a;
      if (key == "exclusiveMinimum") return v > a;
      if (key == "exclusiveMaximum") return v < a;
    }
    if (v.is_string()) {
      const std::string text = v;
      if (key == "minLength") return CountCharacters(text) >= a.get<int64_t>();
      if (key == "maxLength") return CountCharacters(text) <= a.get<int64_t>();
      if (key == "pattern") return Matches(a, text);
      if (key == "format") return HasFormat(a, text);
    }
    if (v.is_array()) {
      if (key == "minItems") return v.size() >= a.get<size_t>();
      if (key == "maxItems") return v.size() <= a.get<size_t>();
      const size_t fixed = schema.contains("prefixItems") ? schema["prefixItems"].size() : 0;
      for (size_t i = 0; i < v.size(); ++i) {
        if (key == "prefixItems" && i < fixed && !Valid(a[i], v[i])) return false;
        if (key == "items" && i >= fixed && !Valid(a, v[i])) return false;
      }
    }
    if (v.is_object()) {
      if (key == "required")
        return Count(a, [&](const json& name) { return v.contains(name.get<std::string>()); }) ==
               a.size();
      for (const auto& [name, member] : v.items()) {
        const bool described = schema.contains("properties") && schema["properties"].contains(name);
        if (key == "properties" && described && !Valid(a[name], member)) return false;
        if (key == "additionalProperties" && !described && !Valid(a, member)) return false;
      }
    }
    return true;
  }

  template <typename Predicate>
  static size_t Count(const json& list, Predicate holds) {
    size_t n = 0;
    for (const json& item : list) n += holds(item);
    return n;
  }

  static bool Matches(const std::string& pattern, const std::string& text) {
    // ^ and $ are the text's ends there, and those of lines here.
    std::string ours;
    bool in_class = false;
    for (size_t i = 0; i < pattern.size(); ++i) {
      const char c = pattern[i];
      if (c == '\\' && pattern[i + 1] == 'u') {
        ours += "\\x{" + pattern.substr(i + 2, 4) + "}";
        i += 5;
      } else if (c == '\\') {
        ours += pattern.substr(i++, 2);
      } else if (!in_class && (c == '^' || c == '$')) {
        ours += c == '^' ? "\\A" : "\\z";
      } else {
        if (c == '[') in_class = true;
        if (c == ']') in_class = false;
        ours += c;
      }
    }
    const auto regex = Regex::Compile(ours);
    EXPECT_TRUE(regex.ok()) << regex.status();
    std::vector<TextRange> matches;
    SearchBudget budget(text.size());
    EXPECT_TRUE(regex->FindAll(text, &budget, &matches).ok());
    return !matches.empty();
  }

  static bool HasFormat(const std::string& format, const std::string& text) {
    int a = 0, b = 0, c = 0, d = 0, end = 0;
    if (format == "ipv4") {
      return std::sscanf(text.c_str(), "%3d.%3d.%3d.%3d%n", &a, &b, &c, &d, &end) == 4 &&
             end == static_cast<int>(text.size()) && a < 256 && b < 256 && c < 256 && d < 256;
    }
    if (format == "date") {
      if (text.size() != 10 || std::sscanf(text.c_str(), "%4d-%2d-%2d%n", &a, &b, &c, &end) != 3 ||
          end != 10)
        return false;
      static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
      const bool leap = b == 2 && a % 4 == 0 && (a % 100 != 0 || a % 400 == 0);
      return a > 0 && b >= 1 && b <= 12 && c >= 1 && c <= kDays[b - 1] + leap;
    }
    if (format == "email") return text.find('@') != std::string::npos;
    if (format == "uuid")
      return Matches("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", text);
    ADD_FAILURE() << "unknown format " << format;
    return false;
  }

  const json root_;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_SUPPORT_SCHEMA_VALIDATOR_H_
