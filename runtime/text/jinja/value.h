// Python's values as far as templates meet them: scalars, text, lists, tuples, dicts, objects.
//
// A Value is a handle: copies share their content, which never changes (the sandbox that templates
// run in refuses to change lists and dicts). Objects may change; see object.h.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_VALUE_H_
#define SLUICE_RUNTIME_TEXT_JINJA_VALUE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/text/jinja/memory.h"

namespace sluice::jinja {

class Object;
class Value;

enum class Kind : uint8_t {
  kMissing,    // no value at all: an argument that was not given, a name that is not there
  kUndefined,  // Jinja's Undefined: it prints as nothing, and most uses are errors
  kNone,
  kBool,
  kInt,  // 64 bits; a larger one is an error
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kObject,
};

// The content that several handles share.
class Shared {
 public:
  Shared(Memory* memory, int64_t bytes, int depth) : charge(memory, bytes), depth(depth) {}
  virtual ~Shared() = default;

  Charge charge;
  const int depth;  // levels of values in values; 1 for text
};

struct StringData : Shared {
  StringData(std::string text, bool markup, Memory* memory);
  const std::string text;  // valid UTF-8
  const int64_t length;    // in code points
  const bool markup;       // marked as safe HTML: text that is added to it is escaped
  bool ascii() const { return length == static_cast<int64_t>(text.size()); }
};

struct ListData : Shared {
  ListData(std::vector<Value> items, bool is_group, Memory* memory);
  const std::vector<Value> items;
  const bool is_group;  // a tuple of groupby, whose parts have names: grouper, list
};

// Entries stand in the order in which their keys first came. Keys are None, booleans, numbers and
// text; 1, 1.0 and True are one key, as in Python.
class DictData : public Shared {
 public:
  using Entry = std::pair<Value, Value>;
  // Of entries with equal keys the last value counts.
  DictData(std::vector<Entry> entries, Memory* memory);
  ~DictData() override;
  static bool CanBeKey(const Value& key);

  const std::vector<Entry>& entries() const { return entries_; }
  // Returns nullptr if there is no such key.
  const Value* Find(const Value& key) const;
  const Value* Find(absl::string_view key) const;

 private:
  struct Index;
  std::vector<Entry> entries_;
  std::unique_ptr<Index> index_;  // of larger dicts
};

struct UndefinedData : Shared {
  explicit UndefinedData(std::string message)
      : Shared(nullptr, 0, 0), message(std::move(message)) {}
  const std::string message;  // what a use of the value reports
};

class Value {
 public:
  Value() = default;  // kMissing

  static Value Undefined(std::string message);
  static Value None() { return Value(Kind::kNone); }
  static Value Bool(bool value);
  static Value Int(int64_t value);
  static Value Float(double value);
  // `memory` counts the bytes and must outlive the value; values of a context have none.
  static Value String(std::string text, Memory* memory = nullptr, bool markup = false);
  static Value List(std::vector<Value> items, Memory* memory = nullptr);
  static Value Tuple(std::vector<Value> items, Memory* memory = nullptr);
  static Value Group(Value grouper, Value list, Memory* memory);
  // DictData::CanBeKey must hold for the keys.
  static Value Dict(std::vector<std::pair<Value, Value>> entries, Memory* memory = nullptr);
  static Value OfObject(std::shared_ptr<Object> object);
  // Makes a value of an object that outlives all values.
  static Value OfObject(Object* object);

  Kind kind() const { return kind_; }
  bool is_missing() const { return kind_ == Kind::kMissing; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_bool() const { return kind_ == Kind::kBool; }
  bool is_float() const { return kind_ == Kind::kFloat; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_dict() const { return kind_ == Kind::kDict; }
  bool is_list() const { return kind_ == Kind::kList; }
  bool is_tuple() const { return kind_ == Kind::kTuple; }
  bool is_object() const { return kind_ == Kind::kObject; }
  bool is_integral() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }  // as in Python
  bool is_number() const { return is_integral() || is_float(); }

  // Each may be called for its kinds only.
  bool as_bool() const { return int_ != 0; }
  int64_t as_int() const { return int_; }  // of kBool too
  double as_double() const { return is_float() ? float_ : static_cast<double>(int_); }
  const StringData& string() const { return static_cast<const StringData&>(*shared_); }
  const std::string& text() const { return string().text; }
  const std::vector<Value>& items() const { return static_cast<const ListData&>(*shared_).items; }
  const ListData& list() const { return static_cast<const ListData&>(*shared_); }
  const DictData& dict() const { return static_cast<const DictData&>(*shared_); }
  const UndefinedData& undefined() const { return static_cast<const UndefinedData&>(*shared_); }
  Object& object() const;

  bool is_markup() const { return is_string() && string().markup; }
  int depth() const { return shared_ == nullptr ? 0 : shared_->depth; }
  // Evaluates Python's `is`: the same shared content, or the same scalar.
  bool IsSameAs(const Value& other) const;
  // Returns roughly how much work a look at the whole value is, without looking into items: at
  // least 1.
  int64_t Size() const;

 private:
  explicit Value(Kind kind) : kind_(kind) {}
  Value(Kind kind, std::shared_ptr<Shared> shared) : kind_(kind), shared_(std::move(shared)) {}

  Kind kind_ = Kind::kMissing;
  union {
    int64_t int_ = 0;
    double float_;
  };
  std::shared_ptr<Shared> shared_;
};

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_VALUE_H_
