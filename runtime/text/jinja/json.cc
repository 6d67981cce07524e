// Builds values from the events of nlohmann's parser.
#include "runtime/text/jinja/json.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "runtime/text/jinja/status_macros.h"

namespace sluice::jinja {
namespace {

using nlohmann::json;

class ValueBuilder : public nlohmann::json_sax<json> {
 public:
  explicit ValueBuilder(absl::string_view what) : what_(what) {}

  bool null() override { return Add(Value::None()); }
  bool boolean(bool value) override { return Add(Value::Bool(value)); }
  bool number_integer(number_integer_t value) override { return Add(Value::Int(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<uint64_t>(INT64_MAX)) return Fail("an integer of more than 64 bits");
    return Add(Value::Int(static_cast<int64_t>(value)));
  }
  bool number_float(number_float_t value, const string_t& digits) override {
    if (digits.find_first_of(".eE") == std::string::npos) {
      return Fail("an integer of more than 64 bits");
    }
    return Add(Value::Float(value));
  }
  bool string(string_t& value) override { return Add(Value::String(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(); }
  bool start_array(std::size_t) override { return Open(); }

  bool key(string_t& value) override {
    open_.back().keys.push_back(Value::String(std::move(value)));
    return true;
  }

  bool end_object() override {
    Level level = Close();
    std::vector<DictData::Entry> entries;
    for (size_t i = 0; i < level.items.size(); ++i) {
      entries.emplace_back(std::move(level.keys[i]), std::move(level.items[i]));
    }
    return Add(Value::Dict(std::move(entries)));
  }
  bool end_array() override { return Add(Value::List(Close().items)); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Fail(absl::StrCat("not valid JSON at byte ", position));
  }

  absl::Status status() const { return status_; }
  Value Take() { return std::move(root_); }

 private:
  struct Level {
    std::vector<Value> keys, items;
  };

  bool Fail(absl::string_view message) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(what_, ": ", message));
    return false;
  }

  bool Add(Value value) {
    (open_.empty() ? root_ : open_.back().items.emplace_back()) = std::move(value);
    return true;
  }

  bool Open() {
    if (open_.size() >= kMaxJsonDepth) {
      return Fail(absl::StrCat("JSON nested deeper than ", kMaxJsonDepth));
    }
    open_.emplace_back();
    return true;
  }

  Level Close() {
    Level level = std::move(open_.back());
    open_.pop_back();
    return level;
  }

  const std::string what_;
  Value root_;
  std::vector<Level> open_;
  absl::Status status_;
};

// The code unit of the escape (\uXXXX) that begins at `at`, or -1.
int EscapedUnit(absl::string_view text, size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int unit = 0;
  for (const char c : text.substr(at + 2, 4)) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return -1;
    const int digit =
        absl::ascii_isdigit(static_cast<unsigned char>(c)) ? c - '0' : (c | 0x20) - 'a' + 10;
    unit = unit * 16 + digit;
  }
  return unit;
}

}  // namespace

bool ReplaceLoneSurrogates(absl::string_view text, std::string* replaced) {
  const auto is_high = [](int unit) { return unit >= 0xD800 && unit < 0xDC00; };
  const auto is_low = [](int unit) { return unit >= 0xDC00 && unit < 0xE000; };
  replaced->clear();
  // A backslash stands only inside of strings, and escapes what follows.
  for (size_t at = text.find('\\'); at != absl::string_view::npos; at = text.find('\\', at)) {
    const int unit = EscapedUnit(text, at);
    if (is_high(unit) && is_low(EscapedUnit(text, at + 6))) {
      at += 12;
    } else if (is_high(unit) || is_low(unit)) {
      if (replaced->empty()) replaced->assign(text.data(), text.size());
      replaced->replace(at, 6, "\\ufffd");
      at += 6;
    } else {
      at += 2;
    }
  }
  return !replaced->empty();
}

absl::StatusOr<Value> ValueFromJson(absl::string_view text, absl::string_view what) {
  if (absl::StartsWith(text, "\xEF\xBB\xBF")) text.remove_prefix(3);
  // The library takes a zero byte for the end of the text and would not look behind it.
  if (const size_t zero = text.find('\0'); zero != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": not valid JSON at byte ", zero + 1, ", which is zero"));
  }
  std::string replaced;
  if (ReplaceLoneSurrogates(text, &replaced)) text = replaced;
  ValueBuilder builder(what);
  const bool ok = json::sax_parse(text.begin(), text.end(), &builder);
  JINJA_RETURN_IF_ERROR(builder.status());
  if (!ok) return absl::InvalidArgumentError(absl::StrCat(what, ": not valid JSON"));
  return builder.Take();
}

}  // namespace sluice::jinja
