// Reads the fields of both ways into one Specification, which one function carries out.
#include "runtime/text/jinja/format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/access.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text.h"

namespace sluice::jinja {
namespace {

constexpr int64_t kMostDigits = 400;  // behind the point; a double has no more than 1074

struct Specification {
  std::string fill = " ";
  char align = '\0';  // < > ^ =, or none
  char sign = '-';    // - + or a space
  bool alternate = false;
  bool grouped = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = '\0';
};

// Reads digits at `*at` as a number, which stops growing at a size that is absurd.
int64_t TakeNumber(absl::string_view text, size_t* at) {
  int64_t value = 0;
  for (; *at < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[*at])); ++*at) {
    value = std::min<int64_t>(value * 10 + (text[*at] - '0'), INT32_MAX);
  }
  return value;
}

std::string Grouped(std::string digits) {
  const size_t whole = std::min(digits.find('.'), digits.size());
  for (size_t at = whole; at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

// Puts `sign` and `body` together with the fill of the width.
absl::StatusOr<std::string> Pad(Runtime& runtime, const Specification& spec, std::string sign,
                                std::string body, char default_align) {
  const char align = spec.align == '\0' ? default_align : spec.align;
  const int64_t length = CountCodePoints(sign) + CountCodePoints(body);
  const int64_t missing = std::max<int64_t>(spec.width - length, 0);
  JINJA_RETURN_IF_ERROR(runtime.CheckRoom(missing * 4));
  JINJA_RETURN_IF_ERROR(runtime.Step(1 + missing / 64));
  const int64_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  std::string left, right;
  for (int64_t i = 0; i < missing; ++i) (i < before ? left : right) += spec.fill;
  return align == '=' ? absl::StrCat(sign, left, body) : absl::StrCat(left, sign, body, right);
}

std::string SignOf(const Specification& spec, bool negative) {
  return negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
}

absl::StatusOr<std::string> FormatInteger(Runtime& runtime, const Specification& spec,
                                          int64_t value) {
  uint64_t rest = value < 0 ? -static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const char type = absl::ascii_tolower(static_cast<unsigned char>(spec.type));
  const uint64_t base = type == 'x' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
  std::string digits;
  do {
    digits += "0123456789abcdef"[rest % base];
    rest /= base;
  } while (rest > 0);
  while (static_cast<int64_t>(digits.size()) < std::min(spec.precision, kMostDigits)) {
    digits += '0';
  }
  std::reverse(digits.begin(), digits.end());
  if (spec.type == 'X') digits = absl::AsciiStrToUpper(digits);
  if (spec.grouped && base == 10) digits = Grouped(std::move(digits));
  std::string sign = SignOf(spec, value < 0);
  if (spec.alternate && base != 10) absl::StrAppend(&sign, "0", std::string(1, spec.type));
  return Pad(runtime, spec, std::move(sign), std::move(digits), '>');
}

absl::StatusOr<std::string> FormatDouble(Runtime& runtime, const Specification& spec,
                                         double value) {
  if (spec.precision > kMostDigits) {
    return Error("a number is formatted with ", spec.precision, " digits, at most ", kMostDigits,
                 " are supported");
  }
  const bool percent = spec.type == '%';
  const double magnitude = std::fabs(percent ? value * 100 : value);
  std::string digits;
  if (spec.type == '\0' && spec.precision < 0) {
    digits = ReprOfDouble(magnitude);
  } else {
    const char form[] = {'%', '.', '*', percent ? 'f' : spec.type == '\0' ? 'g' : spec.type, '\0'};
    char buffer[1024];
    const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
    std::snprintf(buffer, sizeof(buffer), form, precision, magnitude);
    digits = buffer;
  }
  if (spec.grouped) digits = Grouped(std::move(digits));
  if (percent) digits += '%';
  return Pad(runtime, spec, SignOf(spec, std::signbit(value) && !std::isnan(value)),
             std::move(digits), '>');
}

absl::StatusOr<std::string> FormatText(Runtime& runtime, const Specification& spec,
                                       std::string text, char default_align) {
  if (spec.precision >= 0) text.resize(ByteOffset(text, spec.precision));
  return Pad(runtime, spec, "", std::move(text), default_align);
}

// Does one conversion of %: reads the rest of it at `*at` and formats the value that `next`
// returns.
class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const StringData& format, const Value& values)
      : runtime_(runtime), format_(format.text), escapes_(format.markup), values_(values) {}

  absl::StatusOr<std::string> Run() {
    std::string out;
    while (at_ < format_.size()) {
      if (format_[at_] != '%') {
        out += format_[at_++];
        continue;
      }
      ++at_;
      JINJA_ASSIGN_OR_RETURN(const std::string text, Conversion());
      JINJA_RETURN_IF_ERROR(runtime_.CheckRoom(static_cast<int64_t>(out.size() + text.size())));
      JINJA_RETURN_IF_ERROR(runtime_.Step());
      out += text;
    }
    if (values_.is_tuple() && used_ < values_.items().size()) {
      return Error("not all arguments converted during string formatting");
    }
    if (!values_.is_tuple() && !values_.is_dict() && used_ == 0) {
      return Error("not all arguments converted during string formatting");
    }
    return out;
  }

 private:
  absl::StatusOr<Value> NextValue() {
    if (values_.is_tuple()) {
      if (used_ < values_.items().size()) return values_.items()[used_++];
    } else if (used_++ == 0) {
      return values_;
    }
    return Error("not enough arguments for format string");
  }

  absl::StatusOr<Value> NamedValue() {
    const size_t end = format_.find(')', at_);
    if (end == absl::string_view::npos) return Error("incomplete format key");
    if (!values_.is_dict()) return Error("format requires a mapping");
    const absl::string_view name = format_.substr(at_, end - at_);
    at_ = end + 1;
    const Value* const value = values_.dict().Find(name);
    if (value == nullptr) return Error("there is no key ", ReprOfText(name), " to format");
    return *value;
  }

  absl::StatusOr<std::string> Conversion() {
    Value value;
    if (at_ < format_.size() && format_[at_] == '(') {
      ++at_;
      JINJA_ASSIGN_OR_RETURN(value, NamedValue());
    }
    Specification spec;
    bool zero = false;
    for (; at_ < format_.size() && absl::StrContains("-+ #0", format_[at_]); ++at_) {
      const char flag = format_[at_];
      if (flag == '-') spec.align = '<';
      if (flag == '+' || (flag == ' ' && spec.sign == '-')) spec.sign = flag;
      spec.alternate |= flag == '#';
      zero |= flag == '0';
    }
    spec.width = TakeNumber(format_, &at_);
    if (at_ < format_.size() && format_[at_] == '.') {
      ++at_;
      spec.precision = TakeNumber(format_, &at_);
    }
    if (at_ >= format_.size()) return Error("incomplete format");
    spec.type = format_[at_++];
    if (spec.type == '%') return std::string("%");
    if (value.is_missing()) {
      JINJA_ASSIGN_OR_RETURN(value, NextValue());
    }
    if (zero && spec.align == '\0') {
      spec.fill = "0";
      spec.align = '=';
    }
    return FormatOne(spec, value);
  }

  absl::StatusOr<std::string> FormatOne(Specification spec, const Value& value) {
    if (spec.type == 's' || spec.type == 'r' || spec.type == 'a') {
      if (spec.align == '=') {  // zeros are for numbers
        spec.align = '>';
        spec.fill = " ";
      }
      JINJA_ASSIGN_OR_RETURN(std::string text,
                             spec.type == 's' ? Str(runtime_, value) : Repr(runtime_, value));
      if (escapes_ && !(value.is_markup() && spec.type == 's')) text = EscapeHtml(text);
      return FormatText(runtime_, spec, std::move(text), '>');
    }
    if (value.is_undefined()) return Error(value.undefined().message);
    if (spec.type == 'c' && value.is_string() && value.string().length == 1) {
      return FormatText(runtime_, spec, value.text(), '>');
    }
    if (!value.is_number()) {
      return Error("%", std::string(1, spec.type), " format: a number is required, not ",
                   TypeName(value));
    }
    if (absl::StrContains("eEfFgG", spec.type)) {
      return FormatDouble(runtime_, spec, value.as_double());
    }
    const bool is_decimal = absl::StrContains("diu", spec.type);
    if (!is_decimal && (!absl::StrContains("xXo", spec.type) || !value.is_integral())) {
      return Error("unsupported format character '", std::string(1, spec.type), "' for ",
                   TypeName(value));
    }
    if (value.is_integral()) return FormatInteger(runtime_, spec, value.as_int());
    if (!(std::fabs(value.as_double()) < 0x1p63)) return Error("a number needs more than 64 bits");
    return FormatInteger(runtime_, spec, static_cast<int64_t>(value.as_double()));
  }

  Runtime& runtime_;
  const absl::string_view format_;
  const bool escapes_;  // what goes into safe HTML
  const Value& values_;
  size_t at_ = 0;
  size_t used_ = 0;
};

absl::StatusOr<Specification> ParseSpecification(absl::string_view text) {
  Specification spec;
  size_t at = 0;
  if (!text.empty()) {
    size_t behind = 0;
    NextCodePoint(text, &behind);
    if (behind < text.size() && absl::StrContains("<>=^", text[behind])) {
      spec.fill = std::string(text.substr(0, behind));
      spec.align = text[behind];
      at = behind + 1;
    } else if (absl::StrContains("<>=^", text[0])) {
      spec.align = text[at++];
    }
  }
  const auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
  if (peek() == '+' || peek() == '-' || peek() == ' ') spec.sign = text[at++];
  if (peek() == '#') spec.alternate = ++at > 0;
  if (peek() == '0' && spec.align == '\0') {
    spec.fill = "0";
    spec.align = '=';
  }
  spec.width = TakeNumber(text, &at);
  if (peek() == ',') spec.grouped = ++at > 0;
  if (peek() == '.') {
    ++at;
    spec.precision = TakeNumber(text, &at);
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) return Error("invalid format specifier '", text.substr(0, 80), "'");
  return spec;
}

absl::StatusOr<std::string> FormatValue(Runtime& runtime, const Value& value,
                                        absl::string_view specification) {
  if (specification.empty()) return Str(runtime, value);
  JINJA_ASSIGN_OR_RETURN(Specification spec, ParseSpecification(specification));
  if (value.is_string() && (spec.type == '\0' || spec.type == 's')) {
    if (spec.align == '=') return Error("'=' alignment not allowed in string format specifier");
    return FormatText(runtime, spec, value.text(), '<');
  }
  if (value.is_number()) {
    if (spec.type != '\0' && absl::StrContains("eEfFgG%", spec.type)) {
      return FormatDouble(runtime, spec, value.as_double());
    }
    if (value.is_float() && spec.type == '\0') {
      return FormatDouble(runtime, spec, value.as_double());
    }
    if (value.is_integral() && (spec.type == '\0' || absl::StrContains("bdoxX", spec.type))) {
      if (spec.precision >= 0) return Error("Precision not allowed in integer format specifier");
      return FormatInteger(runtime, spec, value.as_int());
    }
  }
  return Error("the format specification '", specification.substr(0, 80), "' is not supported for ",
               TypeName(value));
}

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const StringData& format, const CallArguments& values)
      : runtime_(runtime), format_(format.text), escapes_(format.markup), values_(values) {}

  absl::StatusOr<std::string> Run() {
    std::string out;
    for (size_t at = 0; at < format_.size();) {
      const char c = format_[at];
      if (c != '{' && c != '}') {
        out += c;
        ++at;
        continue;
      }
      if (at + 1 < format_.size() && format_[at + 1] == c) {
        out += c;
        at += 2;
        continue;
      }
      if (c == '}') return Error("Single '}' encountered in format string");
      const size_t end = format_.find_first_of("{}", at + 1);
      if (end == absl::string_view::npos) return Error("expected '}' before end of string");
      if (format_[end] == '{') return Error("a field inside of a field is not supported");
      JINJA_ASSIGN_OR_RETURN(const std::string text, Field(format_.substr(at + 1, end - at - 1)));
      JINJA_RETURN_IF_ERROR(runtime_.CheckRoom(static_cast<int64_t>(out.size() + text.size())));
      JINJA_RETURN_IF_ERROR(runtime_.Step());
      out += text;
      at = end + 1;
    }
    return out;
  }

 private:
  absl::StatusOr<std::string> Field(absl::string_view field) {
    absl::string_view specification, conversion;
    if (const size_t colon = field.find(':'); colon != absl::string_view::npos) {
      specification = field.substr(colon + 1);
      field = field.substr(0, colon);
    }
    if (const size_t mark = field.find('!'); mark != absl::string_view::npos) {
      conversion = field.substr(mark + 1);
      field = field.substr(0, mark);
    }
    JINJA_ASSIGN_OR_RETURN(Value value, FieldValue(field));
    if (conversion == "r" || conversion == "s") {
      JINJA_ASSIGN_OR_RETURN(std::string text,
                             conversion == "r" ? Repr(runtime_, value) : Str(runtime_, value));
      value = runtime_.String(std::move(text));
    } else if (!conversion.empty()) {
      return Error("unknown conversion '!", conversion, "'");
    }
    JINJA_ASSIGN_OR_RETURN(std::string text, FormatValue(runtime_, value, specification));
    return escapes_ && !value.is_markup() ? EscapeHtml(text) : text;
  }

  absl::StatusOr<Value> FieldValue(absl::string_view field) {
    const size_t end = std::min(field.find_first_of(".["), field.size());
    JINJA_ASSIGN_OR_RETURN(Value value, Argument(field.substr(0, end)));
    for (size_t at = end; at < field.size();) {
      JINJA_RETURN_IF_ERROR(runtime_.Step());
      if (field[at] == '.') {
        const size_t stop = std::min(field.find_first_of(".[", at + 1), field.size());
        JINJA_ASSIGN_OR_RETURN(value,
                               GetAttribute(runtime_, value, field.substr(at + 1, stop - at - 1)));
        at = stop;
        continue;
      }
      const size_t stop = field.find(']', at);
      if (field[at] != '[' || stop == absl::string_view::npos) {
        return Error("malformed field '{", field.substr(0, 80), "}'");
      }
      const absl::string_view key = field.substr(at + 1, stop - at - 1);
      int64_t index;
      JINJA_ASSIGN_OR_RETURN(
          value, GetItem(runtime_, value,
                         absl::SimpleAtoi(key, &index) ? Value::Int(index)
                                                       : runtime_.String(std::string(key))));
      at = stop + 1;
    }
    return value;
  }

  absl::StatusOr<Value> Argument(absl::string_view name) {
    size_t digits = 0;
    size_t index = static_cast<size_t>(TakeNumber(name, &digits));
    if (digits == name.size() && (name.empty() ? numbered_ : next_ > 0)) {
      return Error("fields with and without numbers cannot be mixed");
    }
    if (name.empty()) {
      index = next_++;
    } else if (digits < name.size()) {
      for (const auto& [given, value] : values_.named) {
        if (given == name) return value;
      }
      return Error("there is no argument '", name.substr(0, 80), "' to format");
    }
    numbered_ |= !name.empty();
    if (index >= values_.positional.size()) {
      return Error("Replacement index ", index, " out of range for positional args tuple");
    }
    return values_.positional[index];
  }

  Runtime& runtime_;
  const absl::string_view format_;
  const bool escapes_;  // what goes into safe HTML
  const CallArguments& values_;
  size_t next_ = 0;  // of the fields without a number
  bool numbered_ = false;
};

}  // namespace

absl::StatusOr<Value> FormatPercent(Runtime& runtime, const Value& format, const Value& values) {
  JINJA_ASSIGN_OR_RETURN(std::string text,
                         PercentFormatter(runtime, format.string(), values).Run());
  return runtime.String(std::move(text), format.is_markup());
}

absl::StatusOr<Value> FormatBraces(Runtime& runtime, const Value& format,
                                   const CallArguments& values) {
  JINJA_ASSIGN_OR_RETURN(std::string text, BraceFormatter(runtime, format.string(), values).Run());
  return runtime.String(std::move(text), format.is_markup());
}

double RoundDecimal(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits < -308) return std::copysign(0.0, value);
  if (digits < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-digits));
    return std::nearbyint(value / unit) * unit;
  }
  char buffer[1024];
  std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(digits), value);
  return std::strtod(buffer, nullptr);
}

}  // namespace sluice::jinja
