// Tries attributes and items in Jinja's order; slices text by code points, as Python does.
#include "runtime/text/jinja/access.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/text/jinja/builtin.h"
#include "runtime/text/jinja/objects.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text.h"

namespace sluice::jinja {
namespace {

constexpr absl::string_view kChangesList[] = {"append", "clear", "pop",    "reverse",
                                              "insert", "sort",  "extend", "remove"};
constexpr absl::string_view kChangesDict[] = {"clear", "pop", "popitem", "setdefault", "update"};

bool IsAnyOf(absl::string_view name, absl::Span<const absl::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Value Hidden(const Value& value, absl::string_view name) {
  return Value::Undefined(absl::StrCat("access to attribute ", ReprOfText(name), " of '",
                                       TypeName(value), "' object is unsafe."));
}

std::string NameForUndefined(const Value& value) {
  return value.is_none() ? "None" : absl::StrCat(TypeName(value), " object");
}

Value NoAttribute(const Value& value, absl::string_view name) {
  return Value::Undefined(
      absl::StrCat("'", NameForUndefined(value), "' has no attribute ", ReprOfText(name)));
}

Value BoundMethod(const Value& value, const Builtin* method) {
  if (method == nullptr) return Value();
  return Value::OfObject(std::make_shared<MethodObject>(value, method));
}

Value NumberAttribute(const Value& value, absl::string_view name) {
  if (name == "real" || (name == "numerator" && value.is_integral())) {
    return value.is_bool() ? Value::Int(value.as_int()) : value;
  }
  if (name == "imag") return value.is_float() ? Value::Float(0) : Value::Int(0);
  if (name == "denominator" && value.is_integral()) return Value::Int(1);
  return Value();
}

// Returns missing if there is no item of that key.
absl::StatusOr<Value> ItemOrMissing(Runtime& runtime, const Value& value, const Value& key) {
  if (value.is_dict()) {
    const Value* const found = value.dict().Find(key);
    return found == nullptr ? Value() : *found;
  }
  if (!key.is_integral()) return Value();
  int64_t index = key.as_int();
  if (value.is_object()) {
    if (!value.object().IsIndexable()) return Value();
    return value.object().Item(runtime, index);
  }
  if (value.is_list() || value.is_tuple()) {
    const int64_t size = static_cast<int64_t>(value.items().size());
    if (index < 0) index += size;
    return index < 0 || index >= size ? Value() : value.items()[static_cast<size_t>(index)];
  }
  if (!value.is_string()) return Value();
  const StringData& data = value.string();
  if (index < 0) index += data.length;
  if (index < 0 || index >= data.length) return Value();
  JINJA_RETURN_IF_ERROR(runtime.Step(data.ascii() ? 1 : index / 64));
  const size_t begin = data.ascii() ? static_cast<size_t>(index) : ByteOffset(data.text, index);
  size_t end = begin;
  NextCodePoint(data.text, &end);
  return runtime.String(data.text.substr(begin, end - begin), data.markup);
}

struct SliceRange {
  int64_t start, step, count;
};

absl::StatusOr<int64_t> Bound(const Value& bound, int64_t otherwise) {
  if (bound.is_missing() || bound.is_none()) return otherwise;
  if (bound.is_undefined()) return Error(bound.undefined().message);
  if (bound.is_integral()) return bound.as_int();
  return Error("slice indices must be integers or None, not '", TypeName(bound), "'");
}

// Finds which items of `length` a slice takes.
absl::StatusOr<SliceRange> Resolve(int64_t length, const Value& start, const Value& stop,
                                   const Value& step_value) {
  JINJA_ASSIGN_OR_RETURN(int64_t step, Bound(step_value, 1));
  if (step == 0) return Error("slice step cannot be zero");
  step = std::max<int64_t>(step, -INT64_MAX);
  const int64_t lowest = step < 0 ? -1 : 0, highest = step < 0 ? length - 1 : length;
  const auto clamp = [&](int64_t bound) {
    if (bound < 0) bound += length;
    return std::clamp(bound, lowest, highest);
  };
  JINJA_ASSIGN_OR_RETURN(const int64_t given_start, Bound(start, step < 0 ? INT64_MAX : 0));
  JINJA_ASSIGN_OR_RETURN(const int64_t given_stop, Bound(stop, step < 0 ? INT64_MIN : INT64_MAX));
  const int64_t first = clamp(given_start), end = clamp(given_stop);
  const int64_t span = step > 0 ? end - first : first - end;
  const int64_t stride = step > 0 ? step : -step;
  return SliceRange{first, step, span <= 0 ? 0 : (span - 1) / stride + 1};
}

Value SliceText(Runtime& runtime, const StringData& data, const SliceRange& range) {
  if (range.step == 1) {
    const size_t begin = ByteOffset(data.text, range.start);
    const absl::string_view rest = absl::string_view(data.text).substr(begin);
    return runtime.String(std::string(rest.substr(0, ByteOffset(rest, range.count))), data.markup);
  }
  const std::vector<uint32_t> codes = CodePoints(data.text);
  std::string text;
  for (int64_t i = 0; i < range.count; ++i) {
    AppendCodePoint(codes[static_cast<size_t>(range.start + i * range.step)], &text);
  }
  return runtime.String(std::move(text), data.markup);
}

}  // namespace

absl::StatusOr<Value> GetOwnAttribute(Runtime& runtime, const Value& value,
                                      absl::string_view name) {
  if (value.is_undefined()) return Error(value.undefined().message);
  if (absl::StartsWith(name, "__")) return Hidden(value, name);
  switch (value.kind()) {
    case Kind::kString:
      return BoundMethod(value, FindBuiltin(TextMethods(), name));
    case Kind::kList:
      if (IsAnyOf(name, kChangesList)) return Hidden(value, name);
      return BoundMethod(value, FindBuiltin(CollectionMethods(Kind::kList), name));
    case Kind::kTuple:
      if (value.list().is_group && name == "grouper") return value.items()[0];
      if (value.list().is_group && name == "list") return value.items()[1];
      return BoundMethod(value, FindBuiltin(CollectionMethods(Kind::kTuple), name));
    case Kind::kDict:
      if (IsAnyOf(name, kChangesDict)) return Hidden(value, name);
      return BoundMethod(value, FindBuiltin(CollectionMethods(Kind::kDict), name));
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      return NumberAttribute(value, name);
    case Kind::kObject:
      return value.object().Attribute(runtime, name);
    default:
      return Value();
  }
}

absl::StatusOr<Value> GetAttribute(Runtime& runtime, const Value& value, absl::string_view name) {
  JINJA_ASSIGN_OR_RETURN(Value found, GetOwnAttribute(runtime, value, name));
  if (!found.is_missing()) return found;
  if (value.is_dict()) {
    if (const Value* const item = value.dict().Find(name)) return *item;
  }
  return NoAttribute(value, name);
}

absl::StatusOr<Value> GetItem(Runtime& runtime, const Value& value, const Value& key) {
  if (value.is_undefined()) return Error(value.undefined().message);
  JINJA_ASSIGN_OR_RETURN(Value found, ItemOrMissing(runtime, value, key));
  if (!found.is_missing()) return found;
  if (key.is_string()) {
    JINJA_ASSIGN_OR_RETURN(found, GetOwnAttribute(runtime, value, key.text()));
    return found.is_missing() ? NoAttribute(value, key.text()) : found;
  }
  JINJA_ASSIGN_OR_RETURN(const std::string name, Repr(runtime, key));
  return Value::Undefined(
      absl::StrCat("'", NameForUndefined(value), "' has no element ", name.substr(0, 200)));
}

absl::StatusOr<Value> GetSlice(Runtime& runtime, const Value& value, const Value& start,
                               const Value& stop, const Value& step) {
  if (value.is_undefined()) return Error(value.undefined().message);
  if (value.is_object()) {
    if (auto* const range = dynamic_cast<RangeObject*>(&value.object())) {
      JINJA_ASSIGN_OR_RETURN(const SliceRange part, Resolve(*range->Length(), start, stop, step));
      return Value::OfObject(range->Part(part.start, part.step, part.count));
    }
  }
  if (!value.is_string() && !value.is_list() && !value.is_tuple()) {
    return Error("'", TypeName(value), "' object cannot be sliced");
  }
  JINJA_RETURN_IF_ERROR(runtime.Step(value.Size()));
  if (value.is_string()) {
    JINJA_ASSIGN_OR_RETURN(const SliceRange part,
                           Resolve(value.string().length, start, stop, step));
    return SliceText(runtime, value.string(), part);
  }
  const std::vector<Value>& items = value.items();
  JINJA_ASSIGN_OR_RETURN(const SliceRange part,
                         Resolve(static_cast<int64_t>(items.size()), start, stop, step));
  std::vector<Value> taken;
  taken.reserve(static_cast<size_t>(part.count));
  for (int64_t i = 0; i < part.count; ++i) {
    taken.push_back(items[static_cast<size_t>(part.start + i * part.step)]);
  }
  return value.is_list() ? runtime.List(std::move(taken)) : runtime.Tuple(std::move(taken));
}

absl::StatusOr<Value> GetPath(Runtime& runtime, const Value& value, const Value& path) {
  if (path.is_missing() || path.is_none()) return value;
  if (!path.is_string()) return GetItem(runtime, value, path);
  Value found = value;
  for (const absl::string_view part : absl::StrSplit(path.text(), '.')) {
    JINJA_RETURN_IF_ERROR(runtime.Step());
    int64_t index;
    const bool is_index = !part.empty() &&
                          part.find_first_not_of("0123456789") == absl::string_view::npos &&
                          absl::SimpleAtoi(part, &index);
    const Value key = is_index ? Value::Int(index) : Value::String(std::string(part));
    JINJA_ASSIGN_OR_RETURN(found, GetItem(runtime, found, key));
  }
  return found;
}

absl::StatusOr<Value> Call(Runtime& runtime, const Value& function,
                           const CallArguments& arguments) {
  if (function.is_undefined()) return Error(function.undefined().message);
  if (!function.is_object() || !function.object().IsCallable()) {
    return Error("'", TypeName(function), "' object is not callable");
  }
  const DepthGuard deeper(runtime);
  JINJA_RETURN_IF_ERROR(deeper.status());
  return function.object().Call(runtime, arguments);
}

}  // namespace sluice::jinja
