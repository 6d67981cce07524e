// Builds values from the events of nlohmann's parser.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_VALUE_BUILDER_H_
#define SLUICE_RUNTIME_TEXT_JINJA_VALUE_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "runtime/text/jinja/json.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// Gives what ValueFromJson gives. A call that returns false is the last one; status() then has the
// error. Strings are taken from the parser.
class ValueBuilder : public nlohmann::json_sax<nlohmann::json> {
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

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_VALUE_BUILDER_H_
