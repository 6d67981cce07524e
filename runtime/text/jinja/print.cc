// Python's repr() of text and numbers, and a walk over lists, tuples and dicts.
#include "runtime/text/jinja/print.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/text/jinja/object.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text.h"

namespace sluice::jinja {
namespace {

absl::Status AppendRepr(Runtime& runtime, const Value& value, std::string* out);

absl::Status AppendItems(Runtime& runtime, const std::vector<Value>& items, std::string* out) {
  bool first = true;
  for (const Value& item : items) {
    if (!first) out->append(", ");
    first = false;
    JINJA_RETURN_IF_ERROR(AppendRepr(runtime, item, out));
  }
  return absl::OkStatus();
}

absl::Status AppendDict(Runtime& runtime, const DictData& dict, std::string* out) {
  out->push_back('{');
  bool first = true;
  for (const auto& [key, value] : dict.entries()) {
    if (!first) out->append(", ");
    first = false;
    JINJA_RETURN_IF_ERROR(AppendRepr(runtime, key, out));
    out->append(": ");
    JINJA_RETURN_IF_ERROR(AppendRepr(runtime, value, out));
  }
  out->push_back('}');
  return absl::OkStatus();
}

// One value can be in many places, so that the print can be far larger than the values in memory.
absl::Status AppendRepr(Runtime& runtime, const Value& value, std::string* out) {
  JINJA_RETURN_IF_ERROR(runtime.Step(value.Size()));
  JINJA_RETURN_IF_ERROR(runtime.CheckRoom(static_cast<int64_t>(out->size())));
  const DepthGuard deeper(runtime);
  JINJA_RETURN_IF_ERROR(deeper.status());
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kNone:
      out->append("None");
      break;
    case Kind::kUndefined:
      out->append("Undefined");
      break;
    case Kind::kBool:
      out->append(value.as_bool() ? "True" : "False");
      break;
    case Kind::kInt:
      absl::StrAppend(out, value.as_int());
      break;
    case Kind::kFloat:
      out->append(ReprOfDouble(value.as_double()));
      break;
    case Kind::kString:
      absl::StrAppend(out, value.is_markup() ? "Markup(" : "", ReprOfText(value.text()),
                      value.is_markup() ? ")" : "");
      break;
    case Kind::kList:
      out->push_back('[');
      JINJA_RETURN_IF_ERROR(AppendItems(runtime, value.items(), out));
      out->push_back(']');
      break;
    case Kind::kTuple:
      out->push_back('(');
      JINJA_RETURN_IF_ERROR(AppendItems(runtime, value.items(), out));
      out->append(value.items().size() == 1 ? ",)" : ")");
      break;
    case Kind::kDict:
      return AppendDict(runtime, value.dict(), out);
    case Kind::kObject: {
      JINJA_ASSIGN_OR_RETURN(const std::string text, value.object().Repr(runtime));
      out->append(text);
      break;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> Str(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value.text();
  if (value.is_undefined()) return std::string();
  return Repr(runtime, value);
}

absl::StatusOr<std::string> Repr(Runtime& runtime, const Value& value) {
  std::string out;
  JINJA_RETURN_IF_ERROR(AppendRepr(runtime, value, &out));
  return out;
}

std::string ReprOfText(absl::string_view text) {
  const bool double_quotes =
      text.find('\'') != absl::string_view::npos && text.find('"') == absl::string_view::npos;
  const char quote = double_quotes ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t code = NextCodePoint(text, &at);
    if (code == static_cast<uint32_t>(quote) || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (code == '\n') {
      out += "\\n";
    } else if (code == '\r') {
      out += "\\r";
    } else if (code == '\t') {
      out += "\\t";
    } else if (IsPrintable(code)) {
      absl::StrAppend(&out, text.substr(begin, at - begin));
    } else if (code < 0x100) {
      absl::StrAppendFormat(&out, "\\x%02x", code);
    } else if (code < 0x10000) {
      absl::StrAppendFormat(&out, "\\u%04x", code);
    } else {
      absl::StrAppendFormat(&out, "\\U%08x", code);
    }
  }
  out += quote;
  return out;
}

std::string ReprOfDouble(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto written =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const absl::string_view all(buffer, static_cast<size_t>(written.ptr - buffer));
  const size_t e = all.find('e');
  const int exponent = std::atoi(std::string(all.substr(e + 1)).c_str());
  std::string digits(all.substr(0, e));
  const std::string sign = digits[0] == '-' ? "-" : "";
  digits.erase(0, sign.size());
  if (exponent < -4 || exponent >= 16) {
    return absl::StrFormat("%s%se%c%02d", sign, digits, exponent < 0 ? '-' : '+',
                           std::abs(exponent));
  }
  if (digits.size() > 1) digits.erase(1, 1);  // the point
  if (exponent < 0) {
    return absl::StrCat(sign, "0.", std::string(static_cast<size_t>(-exponent - 1), '0'), digits);
  }
  const size_t whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) {
    return absl::StrCat(sign, digits, std::string(whole - digits.size(), '0'), ".0");
  }
  return absl::StrCat(sign, digits.substr(0, whole), ".", digits.substr(whole));
}

std::string TypeName(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
      return "missing";
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return value.is_markup() ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return value.list().is_group ? "_GroupTuple" : "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kObject:
      return std::string(value.object().type_name());
  }
  return "";
}

}  // namespace sluice::jinja
