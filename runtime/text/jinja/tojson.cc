// A recursive writer.
#include "runtime/text/jinja/tojson.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/text/jinja/object.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text.h"

namespace sluice::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  absl::Status Write(const Value& value) {
    JINJA_RETURN_IF_ERROR(runtime_.Step(value.Size()));
    JINJA_RETURN_IF_ERROR(runtime_.CheckRoom(static_cast<int64_t>(out_.size())));
    const DepthGuard deeper(runtime_);
    JINJA_RETURN_IF_ERROR(deeper.status());
    switch (value.kind()) {
      case Kind::kNone:
        out_ += "null";
        break;
      case Kind::kBool:
        out_ += value.as_bool() ? "true" : "false";
        break;
      case Kind::kInt:
        absl::StrAppend(&out_, value.as_int());
        break;
      case Kind::kFloat:
        out_ += Number(value.as_double());
        break;
      case Kind::kString:
        WriteText(value.text());
        break;
      case Kind::kList:
      case Kind::kTuple:
        return WriteItems(value.items());
      case Kind::kDict:
        return WriteDict(value.dict());
      default:
        return Error("Object of type ", TypeName(value), " is not JSON serializable");
    }
    return absl::OkStatus();
  }

  std::string Take() { return std::move(out_); }

 private:
  static std::string Number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return ReprOfDouble(value);
  }

  void WriteText(absl::string_view text) {
    out_ += '"';
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      const uint32_t code = NextCodePoint(text, &at);
      switch (code) {
        case '"':
          out_ += "\\\"";
          break;
        case '\\':
          out_ += "\\\\";
          break;
        case '\n':
          out_ += "\\n";
          break;
        case '\r':
          out_ += "\\r";
          break;
        case '\t':
          out_ += "\\t";
          break;
        case '\b':
          out_ += "\\b";
          break;
        case '\f':
          out_ += "\\f";
          break;
        default:
          if (code >= 0x20 && (code < 0x7F || !style_.ensure_ascii)) {
            absl::StrAppend(&out_, text.substr(begin, at - begin));
          } else if (code < 0x10000) {
            absl::StrAppendFormat(&out_, "\\u%04x", code);
          } else {
            absl::StrAppendFormat(&out_, "\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10),
                                  0xDC00 + ((code - 0x10000) & 0x3FF));
          }
      }
    }
    out_ += '"';
  }

  absl::Status NewLine() {
    if (!style_.indent.has_value()) return absl::OkStatus();
    const int64_t bytes = static_cast<int64_t>(style_.indent->size()) * level_;
    JINJA_RETURN_IF_ERROR(runtime_.CheckRoom(static_cast<int64_t>(out_.size()) + bytes));
    JINJA_RETURN_IF_ERROR(runtime_.Step(bytes / 64));
    out_ += '\n';
    for (int i = 0; i < level_; ++i) out_ += *style_.indent;
    return absl::OkStatus();
  }

  absl::Status WriteItems(const std::vector<Value>& items) {
    out_ += '[';
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      JINJA_RETURN_IF_ERROR(NewLine());
      JINJA_RETURN_IF_ERROR(Write(items[i]));
    }
    --level_;
    if (!items.empty()) JINJA_RETURN_IF_ERROR(NewLine());
    out_ += ']';
    return absl::OkStatus();
  }

  static std::string KeyText(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        return key.text();
      case Kind::kBool:
        return key.as_bool() ? "true" : "false";
      case Kind::kInt:
        return absl::StrCat(key.as_int());
      case Kind::kFloat:
        return Number(key.as_double());
      default:
        return "null";
    }
  }

  // In order where that is asked for; keys of different types have none, as in Python.
  absl::StatusOr<std::vector<const DictData::Entry*>> Sorted(const DictData& dict) {
    std::vector<const DictData::Entry*> entries;
    for (const DictData::Entry& entry : dict.entries()) entries.push_back(&entry);
    if (!style_.sort_keys || entries.empty()) return entries;
    absl::Status status;
    std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
      const absl::StatusOr<bool> less = Less(runtime_, a->first, b->first);
      if (!less.ok()) status = less.status();
      return less.value_or(false);
    });
    JINJA_RETURN_IF_ERROR(status);
    return entries;
  }

  absl::Status WriteDict(const DictData& dict) {
    JINJA_ASSIGN_OR_RETURN(const auto entries, Sorted(dict));
    out_ += '{';
    ++level_;
    bool first = true;
    for (const DictData::Entry* const entry : entries) {
      if (!first) out_ += style_.item_separator;
      first = false;
      JINJA_RETURN_IF_ERROR(NewLine());
      WriteText(KeyText(entry->first));
      out_ += style_.key_separator;
      JINJA_RETURN_IF_ERROR(Write(entry->second));
    }
    --level_;
    if (!entries.empty()) JINJA_RETURN_IF_ERROR(NewLine());
    out_ += '}';
    return absl::OkStatus();
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  int level_ = 0;
  std::string out_;
};

bool IsGiven(const Value& value) { return !value.is_missing() && !value.is_none(); }

}  // namespace

absl::StatusOr<JsonStyle> ParseJsonStyle(Runtime& runtime, const std::vector<Value>& args) {
  const Value &ensure_ascii = args[0], &indent = args[1], &separators = args[2], &sort = args[3];
  JsonStyle style;
  style.ensure_ascii = IsTrue(ensure_ascii);
  style.sort_keys = IsTrue(sort);
  if (IsGiven(indent)) {
    style.item_separator = ",";
    if (indent.is_string()) {
      style.indent = indent.text();
    } else if (indent.is_integral()) {
      JINJA_RETURN_IF_ERROR(runtime.CheckRoom(indent.as_int()));
      style.indent.emplace(static_cast<size_t>(std::max<int64_t>(indent.as_int(), 0)), ' ');
    } else {
      return Error("tojson's indent is a number or text, not '", TypeName(indent), "'");
    }
  }
  if (IsGiven(separators)) {
    JINJA_ASSIGN_OR_RETURN(const std::vector<Value> both, Items(runtime, separators));
    if (both.size() != 2 || !both[0].is_string() || !both[1].is_string()) {
      return Error("tojson's separators are two texts");
    }
    style.item_separator = both[0].text();
    style.key_separator = both[1].text();
  }
  return style;
}

absl::StatusOr<std::string> WriteJson(Runtime& runtime, const Value& value,
                                      const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  JINJA_RETURN_IF_ERROR(writer.Write(value));
  return writer.Take();
}

}  // namespace sluice::jinja
