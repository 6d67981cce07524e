// Construction of values, and the dict's index.
#include "runtime/text/jinja/value.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "runtime/text/jinja/object.h"
#include "runtime/text/jinja/text.h"

namespace sluice::jinja {
namespace {

// Smaller dicts are searched from end to end.
constexpr size_t kIndexFrom = 9;

// Keys with equal contents of this struct are equal: numbers compare by value, whatever their type.
struct Key {
  Kind kind;
  int64_t bits = 0;
  absl::string_view text = {};

  bool operator==(const Key& other) const {
    return kind == other.kind && bits == other.bits && text == other.text;
  }
  template <typename H>
  friend H AbslHashValue(H hash, const Key& key) {
    return H::combine(std::move(hash), key.kind, key.bits, key.text);
  }
};

Key KeyOf(const Value& value) {
  if (value.is_string()) return {Kind::kString, 0, value.text()};
  if (value.is_integral()) return {Kind::kInt, value.as_int()};
  if (!value.is_float()) return {value.kind()};
  const double number = value.as_double();
  if (std::floor(number) == number && std::fabs(number) < 0x1p63) {
    return {Kind::kInt, static_cast<int64_t>(number)};
  }
  int64_t bits;
  std::memcpy(&bits, &number, sizeof(bits));
  return {Kind::kFloat, bits};
}

int DepthOf(const std::vector<Value>& items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return depth + 1;
}

int DepthOf(const std::vector<DictData::Entry>& entries) {
  int depth = 0;
  for (const auto& entry : entries) depth = std::max(depth, entry.second.depth());
  return depth + 1;
}

int64_t Bytes(int64_t payload) { return payload + 64; }  // with the header and the allocator's

}  // namespace

struct DictData::Index {
  absl::flat_hash_map<Key, size_t> places;
};

StringData::StringData(std::string given, bool markup, Memory* memory)
    : Shared(memory, Bytes(static_cast<int64_t>(given.size())), 1),
      text(std::move(given)),
      length(CountCodePoints(text)),
      markup(markup) {}

ListData::ListData(std::vector<Value> given, bool is_group, Memory* memory)
    : Shared(memory, Bytes(static_cast<int64_t>(given.size() * sizeof(Value))), DepthOf(given)),
      items(std::move(given)),
      is_group(is_group) {}

DictData::DictData(std::vector<Entry> entries, Memory* memory)
    : Shared(memory, Bytes(static_cast<int64_t>(entries.size() * 2 * sizeof(Entry))),
             DepthOf(entries)) {
  if (entries.size() >= kIndexFrom) index_ = std::make_unique<Index>();
  entries_.reserve(entries.size());
  for (Entry& entry : entries) {
    if (const Value* const known = Find(entry.first)) {
      *const_cast<Value*>(known) = std::move(entry.second);
      continue;
    }
    if (index_ != nullptr) index_->places.emplace(KeyOf(entry.first), entries_.size());
    entries_.push_back(std::move(entry));
  }
}

DictData::~DictData() = default;

bool DictData::CanBeKey(const Value& key) {
  return key.is_none() || key.is_number() || key.is_string();
}

const Value* DictData::Find(const Value& key) const {
  if (!CanBeKey(key)) return nullptr;
  const Key wanted = KeyOf(key);
  if (index_ != nullptr) {
    const auto place = index_->places.find(wanted);
    return place == index_->places.end() ? nullptr : &entries_[place->second].second;
  }
  for (const Entry& entry : entries_) {
    if (KeyOf(entry.first) == wanted) return &entry.second;
  }
  return nullptr;
}

const Value* DictData::Find(absl::string_view key) const {
  if (index_ != nullptr) {
    const auto place = index_->places.find(Key{Kind::kString, 0, key});
    return place == index_->places.end() ? nullptr : &entries_[place->second].second;
  }
  for (const Entry& entry : entries_) {
    if (entry.first.is_string() && entry.first.text() == key) return &entry.second;
  }
  return nullptr;
}

Value Value::Undefined(std::string message) {
  return Value(Kind::kUndefined, std::make_shared<UndefinedData>(std::move(message)));
}

Value Value::Bool(bool value) {
  Value result(Kind::kBool);
  result.int_ = value;
  return result;
}

Value Value::Int(int64_t value) {
  Value result(Kind::kInt);
  result.int_ = value;
  return result;
}

Value Value::Float(double value) {
  Value result(Kind::kFloat);
  result.float_ = value;
  return result;
}

Value Value::String(std::string text, Memory* memory, bool markup) {
  return Value(Kind::kString, std::make_shared<StringData>(std::move(text), markup, memory));
}

Value Value::List(std::vector<Value> items, Memory* memory) {
  return Value(Kind::kList, std::make_shared<ListData>(std::move(items), false, memory));
}

Value Value::Tuple(std::vector<Value> items, Memory* memory) {
  return Value(Kind::kTuple, std::make_shared<ListData>(std::move(items), false, memory));
}

Value Value::Group(Value grouper, Value list, Memory* memory) {
  std::vector<Value> parts = {std::move(grouper), std::move(list)};
  return Value(Kind::kTuple, std::make_shared<ListData>(std::move(parts), true, memory));
}

Value Value::Dict(std::vector<std::pair<Value, Value>> entries, Memory* memory) {
  return Value(Kind::kDict, std::make_shared<DictData>(std::move(entries), memory));
}

Value Value::OfObject(std::shared_ptr<Object> object) {
  return Value(Kind::kObject, std::move(object));
}

Value Value::OfObject(Object* object) {
  return Value(Kind::kObject, std::shared_ptr<Shared>(std::shared_ptr<Shared>(), object));
}

Object& Value::object() const { return static_cast<Object&>(*shared_); }

bool Value::IsSameAs(const Value& other) const {
  if (kind_ != other.kind_) return false;
  if (is_string()) return text() == other.text();
  return shared_ == other.shared_ && (shared_ != nullptr || int_ == other.int_);
}

int64_t Value::Size() const {
  switch (kind_) {
    case Kind::kString:
      return 1 + static_cast<int64_t>(text().size()) / 64;
    case Kind::kList:
    case Kind::kTuple:
      return 1 + static_cast<int64_t>(items().size());
    case Kind::kDict:
      return 1 + static_cast<int64_t>(dict().entries().size());
    default:
      return 1;
  }
}

}  // namespace sluice::jinja
