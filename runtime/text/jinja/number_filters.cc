// Filters that make numbers, and file sizes.
#include <cmath>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/text/jinja/access.h"
#include "runtime/text/jinja/builtin.h"
#include "runtime/text/jinja/format.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text.h"

namespace sluice::jinja {
namespace {

// Removes single underscores between digits, as Python reads numbers; empty if Python would refuse
// the text.
std::string WithoutUnderscores(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || text[i - 1] == '_') {
      return "";
    }
  }
  return out;
}

// int(text, base); none where it is no integer or needs more than 64 bits.
std::optional<int64_t> ParseInt(absl::string_view given, int64_t base) {
  absl::string_view text = Strip(given, nullptr, true, true);
  const bool negative = absl::StartsWith(text, "-");
  if (negative || absl::StartsWith(text, "+")) text.remove_prefix(1);
  std::string digits = absl::AsciiStrToLower(WithoutUnderscores(text));
  static constexpr std::pair<absl::string_view, int64_t> kPrefixes[] = {
      {"0x", 16}, {"0o", 8}, {"0b", 2}};
  for (const auto& [prefix, of] : kPrefixes) {
    if (absl::StartsWith(digits, prefix) && (base == of || base == 0)) {
      digits.erase(0, 2);
      base = of;
    }
  }
  if (base == 0) base = 10;
  if (digits.empty() || base < 2 || base > 36) return std::nullopt;
  int64_t value = 0;
  for (const char c : digits) {
    const bool is_digit = absl::ascii_isdigit(static_cast<unsigned char>(c));
    if (!is_digit && !absl::ascii_islower(static_cast<unsigned char>(c))) return std::nullopt;
    const int64_t digit = is_digit ? c - '0' : c - 'a' + 10;
    if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
        __builtin_sub_overflow(value, digit, &value)) {
      return std::nullopt;
    }
  }
  if (negative) return value;  // counted downwards, where there is room for one more
  return value == INT64_MIN ? std::nullopt : std::optional<int64_t>(-value);
}

// float(text).
std::optional<double> ParseFloat(absl::string_view given) {
  const std::string text = WithoutUnderscores(Strip(given, nullptr, true, true));
  double value;
  if (text.empty() || absl::StrContains(text, 'x') || absl::StrContains(text, 'X') ||
      absl::ascii_isspace(static_cast<unsigned char>(text[0])) || absl::StrContains(text, '(') ||
      !absl::SimpleAtod(text, &value)) {
    return std::nullopt;
  }
  return value;
}

std::optional<Value> Truncated(double value) {
  if (!(std::fabs(value) < 0x1p63)) return std::nullopt;
  return Value::Int(static_cast<int64_t>(value));
}

absl::StatusOr<Value> ToInt(Invocation& call) {
  const Value otherwise = call.Has(0) ? call.args[0] : Value::Int(0);
  JINJA_ASSIGN_OR_RETURN(const int64_t base, call.Int(1, 10));
  if (call.self.is_undefined()) return Error(call.self.undefined().message);
  if (call.self.is_integral()) return Value::Int(call.self.as_int());
  std::optional<double> number;
  if (call.self.is_float()) number = call.self.as_double();
  if (call.self.is_string()) {
    if (const auto value = ParseInt(call.self.text(), base)) return Value::Int(*value);
    number = ParseFloat(call.self.text());
  }
  return number.has_value() ? Truncated(*number).value_or(otherwise) : otherwise;
}

absl::StatusOr<Value> ToFloat(Invocation& call) {
  if (call.self.is_undefined()) return Error(call.self.undefined().message);
  if (call.self.is_number()) return Value::Float(call.self.as_double());
  if (call.self.is_string()) {
    if (const auto value = ParseFloat(call.self.text())) return Value::Float(*value);
  }
  return call.Has(0) ? call.args[0] : Value::Float(0);
}

absl::Status NeedsNumber(const Value& value, absl::string_view filter) {
  if (value.is_undefined()) return Error(value.undefined().message);
  if (value.is_number()) return absl::OkStatus();
  return Error(filter, " wants a number, not '", TypeName(value), "'");
}

absl::StatusOr<Value> Abs(Invocation& call) {
  JINJA_RETURN_IF_ERROR(NeedsNumber(call.self, "abs"));
  if (call.self.is_float()) return Value::Float(std::fabs(call.self.as_double()));
  if (call.self.as_int() >= 0) return Value::Int(call.self.as_int());
  return Apply(call.runtime, UnaryOperator::kNegate, call.self);
}

absl::StatusOr<Value> Round(Invocation& call) {
  JINJA_RETURN_IF_ERROR(NeedsNumber(call.self, "round"));
  JINJA_ASSIGN_OR_RETURN(const int64_t precision, call.Int(0, 0));
  JINJA_ASSIGN_OR_RETURN(const std::string method, call.Text(1, "common"));
  const double value = call.self.as_double();
  if (method == "common") {
    if (call.self.is_float()) return Value::Float(RoundDecimal(value, precision));
    if (precision >= 0) return Value::Int(call.self.as_int());
    return Value::Int(static_cast<int64_t>(RoundDecimal(value, precision)));
  }
  if (method != "ceil" && method != "floor") return Error("method must be common, ceil or floor");
  const double unit = std::pow(10.0, static_cast<double>(precision));
  const double scaled = value * unit;
  return Value::Float((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

absl::StatusOr<Value> Sum(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::vector<Value> items, Items(call.runtime, call.self));
  Value sum = call.Has(1) ? call.args[1] : Value::Int(0);
  if (sum.is_string()) return Error("sum() can't sum strings");
  for (const Value& item : items) {
    JINJA_ASSIGN_OR_RETURN(const Value part, GetPath(call.runtime, item, call.args[0]));
    JINJA_ASSIGN_OR_RETURN(sum, Apply(call.runtime, BinaryOperator::kAdd, sum, part));
  }
  return sum;
}

absl::StatusOr<Value> FileSize(Invocation& call) {
  const bool binary = call.Bool(0, false);
  std::optional<double> bytes;
  if (call.self.is_number()) bytes = call.self.as_double();
  if (call.self.is_string()) bytes = ParseFloat(call.self.text());
  if (!bytes.has_value() || !std::isfinite(*bytes)) {
    return Error("filesizeformat wants a number, not '", TypeName(call.self), "'");
  }
  const double base = binary ? 1024 : 1000;
  if (*bytes == 1) return call.runtime.String("1 Byte");
  if (*bytes < base) return call.runtime.String(absl::StrFormat("%.0f Bytes", std::trunc(*bytes)));
  constexpr absl::string_view kPrefixes = "kMGTPEZY";
  double unit = base;
  size_t prefix = 0;
  while (prefix + 1 < kPrefixes.size() && *bytes >= unit * base) {
    unit *= base;
    ++prefix;
  }
  const char letter = binary && prefix == 0 ? 'K' : kPrefixes[prefix];
  return call.runtime.String(
      absl::StrFormat("%.1f %c%s", *bytes / unit, letter, binary ? "iB" : "B"));
}

constexpr Builtin kNumberFilters[] = {
    {"abs", "/", &Abs},
    {"filesizeformat", "binary?", &FileSize},
    {"float", "default?", &ToFloat},
    {"int", "default? base?", &ToInt},
    {"round", "precision? method?", &Round},
    {"sum", "attribute? start?", &Sum},
};

}  // namespace

absl::Span<const Builtin> NumberFilters() { return kNumberFilters; }

}  // namespace sluice::jinja
