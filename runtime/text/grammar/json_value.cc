// Builds values from the events of nlohmann's parser.
#include "runtime/text/grammar/json_value.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace sluice::grammar {
namespace {

using nlohmann::json;

class Builder : public nlohmann::json_sax<json> {
 public:
  explicit Builder(int max_depth) : max_depth_(max_depth) {}

  bool null() override { return Add({}); }
  bool boolean(bool value) override {
    return Add({value ? JsonValue::Kind::kTrue : JsonValue::Kind::kFalse});
  }
  bool number_integer(number_integer_t value) override {
    return AddNumber(absl::StrCat(value), static_cast<double>(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    return AddNumber(absl::StrCat(value), static_cast<double>(value));
  }
  bool number_float(number_float_t value, const string_t& digits) override {
    return AddNumber(digits, value);
  }
  bool string(string_t& value) override {
    return Add({JsonValue::Kind::kString, std::move(value)});
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(JsonValue::Kind::kObject); }
  bool start_array(std::size_t) override { return Open(JsonValue::Kind::kArray); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& value) override {
    open_.back().keys.push_back(std::move(value));
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    if (status_.ok())
      status_ = absl::InvalidArgumentError(absl::StrCat("not valid JSON at byte ", position));
    return false;
  }

  absl::Status status() const { return status_; }
  JsonValue Take() { return std::move(root_); }

 private:
  bool Add(JsonValue value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else {
      open_.back().items.push_back(std::move(value));
    }
    return true;
  }

  bool AddNumber(std::string digits, double value) {
    return Add({.kind = JsonValue::Kind::kNumber, .text = std::move(digits), .number = value});
  }

  bool Open(JsonValue::Kind kind) {
    if (static_cast<int>(open_.size()) >= max_depth_) {
      status_ = absl::ResourceExhaustedError(absl::StrCat("JSON nested deeper than ", max_depth_));
      return false;
    }
    open_.push_back({kind});
    return true;
  }

  bool Close() {
    JsonValue value = std::move(open_.back());
    open_.pop_back();
    value.order.resize(value.keys.size());
    std::iota(value.order.begin(), value.order.end(), 0);
    std::sort(value.order.begin(), value.order.end(),
              [&](uint32_t a, uint32_t b) { return value.keys[a] < value.keys[b]; });
    const auto twice =
        std::adjacent_find(value.order.begin(), value.order.end(),
                           [&](uint32_t a, uint32_t b) { return value.keys[a] == value.keys[b]; });
    if (twice != value.order.end()) {
      status_ = absl::InvalidArgumentError(absl::StrCat(
          "the key \"", value.keys[*twice].substr(0, 80), "\" appears twice in one object"));
      return false;
    }
    return Add(std::move(value));
  }

  const int max_depth_;
  JsonValue root_;
  std::vector<JsonValue> open_;
  absl::Status status_;
};

}  // namespace

const JsonValue* JsonValue::Find(absl::string_view key) const {
  const auto at = std::lower_bound(
      order.begin(), order.end(), key,
      [&](uint32_t i, absl::string_view k) { return absl::string_view(keys[i]) < k; });
  return at == order.end() || keys[*at] != key ? nullptr : &items[*at];
}

absl::StatusOr<JsonValue> ParseJsonValue(absl::string_view text, const Limits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.source_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(text.size(), " bytes, more than ", limits.source_bytes));
  }
  // The library takes a zero byte for the end of the text and would not look behind it.
  if (const size_t zero = text.find('\0'); zero != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("not valid JSON at byte ", zero + 1, ", which is zero"));
  }
  Builder builder(limits.depth);
  const bool ok = json::sax_parse(text.begin(), text.end(), &builder);
  SLUICE_RETURN_IF_ERROR(builder.status());
  if (!ok) return absl::InvalidArgumentError("not valid JSON");
  return builder.Take();
}

void AppendJsonString(absl::string_view utf8, std::string* out) {
  out->push_back('"');
  for (const char c : utf8) {
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      switch (c) {
        case '\n':
          *out += "\\n";
          break;
        case '\t':
          *out += "\\t";
          break;
        case '\r':
          *out += "\\r";
          break;
        default:
          char escape[8];
          std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c));
          *out += escape;
      }
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

std::string JsonText(const JsonValue& value) {
  std::string text;
  switch (value.kind) {
    case JsonValue::Kind::kNull:
      return "null";
    case JsonValue::Kind::kFalse:
      return "false";
    case JsonValue::Kind::kTrue:
      return "true";
    case JsonValue::Kind::kNumber:
      return value.text;
    case JsonValue::Kind::kString:
      AppendJsonString(value.text, &text);
      return text;
    case JsonValue::Kind::kArray:
    case JsonValue::Kind::kObject:
      break;
  }
  const bool object = value.is(JsonValue::Kind::kObject);
  text.assign(1, object ? '{' : '[');
  for (size_t i = 0; i < value.items.size(); ++i) {
    if (i > 0) text.push_back(',');
    if (object) {
      AppendJsonString(value.keys[i], &text);
      text.push_back(':');
    }
    text += JsonText(value.items[i]);
  }
  text.push_back(object ? '}' : ']');
  return text;
}

bool JsonEqual(const JsonValue& a, const JsonValue& b) {
  if (a.kind != b.kind || a.items.size() != b.items.size()) return false;
  if (a.is(JsonValue::Kind::kNumber)) return a.number == b.number;
  if (a.is(JsonValue::Kind::kObject)) {
    for (size_t i = 0; i < a.keys.size(); ++i) {
      const JsonValue* const other = b.Find(a.keys[i]);
      if (other == nullptr || !JsonEqual(a.items[i], *other)) return false;
    }
    return true;
  }
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!JsonEqual(a.items[i], b.items[i])) return false;
  }
  return a.text == b.text;
}

}  // namespace sluice::grammar
