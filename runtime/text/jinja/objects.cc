// How each object prints, iterates and is called.
#include "runtime/text/jinja/objects.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/status_macros.h"

namespace sluice::jinja {

absl::StatusOr<std::string> RangeObject::Repr(Runtime&) {
  const std::string step = step_ == 1 ? "" : absl::StrCat(", ", step_);
  return absl::StrCat("range(", start_, ", ", stop_, step, ")");
}

absl::StatusOr<std::vector<Value>> RangeObject::Items(Runtime& runtime) {
  JINJA_RETURN_IF_ERROR(runtime.Step(count_));
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(count_));
  for (int64_t i = 0; i < count_; ++i) items.push_back(Value::Int(start_ + i * step_));
  return items;
}

absl::StatusOr<Value> RangeObject::Item(Runtime&, int64_t index) {
  if (index < 0) index += count_;
  if (index < 0 || index >= count_) return Value();
  return Value::Int(start_ + index * step_);
}

bool RangeObject::Equals(const Object& other) const {
  const auto& range = static_cast<const RangeObject&>(other);
  if (count_ != range.count_) return false;
  if (count_ == 0) return true;
  return start_ == range.start_ && (count_ == 1 || step_ == range.step_);
}

std::shared_ptr<RangeObject> RangeObject::Part(int64_t first, int64_t stride, int64_t count) const {
  const int64_t start = start_ + first * step_;
  if (count <= 1) return std::make_shared<RangeObject>(start, start + count, 1, count);
  const int64_t step = step_ * stride;
  const int64_t last = start + (count - 1) * step;
  return std::make_shared<RangeObject>(start, last + (step < 0 ? -1 : 1), step, count);
}

absl::string_view ViewObject::type_name() const {
  switch (part_) {
    case Part::kKeys:
      return "dict_keys";
    case Part::kValues:
      return "dict_values";
    case Part::kItems:
      return "dict_items";
  }
  return "";
}

absl::StatusOr<std::string> ViewObject::Repr(Runtime& runtime) {
  JINJA_ASSIGN_OR_RETURN(std::vector<Value> items, Items(runtime));
  JINJA_ASSIGN_OR_RETURN(const std::string list,
                         jinja::Repr(runtime, runtime.List(std::move(items))));
  return absl::StrCat(type_name(), "(", list, ")");
}

std::optional<int64_t> ViewObject::Length() const {
  return static_cast<int64_t>(dict_.dict().entries().size());
}

absl::StatusOr<std::vector<Value>> ViewObject::Items(Runtime& runtime) {
  JINJA_RETURN_IF_ERROR(runtime.Step(dict_.Size()));
  std::vector<Value> items;
  items.reserve(dict_.dict().entries().size());
  for (const auto& [key, value] : dict_.dict().entries()) {
    items.push_back(part_ == Part::kKeys     ? key
                    : part_ == Part::kValues ? value
                                             : runtime.Tuple({key, value}));
  }
  return items;
}

GeneratorObject::GeneratorObject(std::vector<Value> items, absl::Status error, Memory* memory)
    : Object(memory, static_cast<int64_t>(items.size() * sizeof(Value)),
             Value::List(items).depth()),
      items_(std::move(items)),
      error_(std::move(error)) {}

absl::StatusOr<std::vector<Value>> GeneratorObject::Items(Runtime& runtime) {
  JINJA_RETURN_IF_ERROR(runtime.Step(static_cast<int64_t>(items_.size() - next_)));
  JINJA_RETURN_IF_ERROR(error_);
  std::vector<Value> rest(items_.begin() + static_cast<int64_t>(next_), items_.end());
  next_ = items_.size();
  return rest;
}

absl::StatusOr<Value> GeneratorObject::Next() {
  if (next_ < items_.size()) return items_[next_++];
  JINJA_RETURN_IF_ERROR(error_);
  return Value();
}

absl::StatusOr<std::string> MethodObject::Repr(Runtime&) {
  return absl::StrCat("<built-in method ", method_.name, " of ", TypeName(self_), " object>");
}

absl::StatusOr<Value> MethodObject::Call(Runtime& runtime, const CallArguments& arguments) {
  return Invoke(runtime, method_, self_, arguments);
}

absl::StatusOr<std::string> FunctionObject::Repr(Runtime&) {
  return absl::StrCat("<function ", function_.name, ">");
}

absl::StatusOr<Value> FunctionObject::Call(Runtime& runtime, const CallArguments& arguments) {
  return Invoke(runtime, function_, Value(), arguments);
}

absl::StatusOr<std::string> NamespaceObject::Repr(Runtime& runtime) {
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, value] : attributes_) entries.emplace_back(runtime.String(name), value);
  JINJA_ASSIGN_OR_RETURN(const std::string dict,
                         jinja::Repr(runtime, Value::Dict(std::move(entries), runtime.memory())));
  return absl::StrCat("<Namespace ", dict, ">");
}

absl::StatusOr<Value> NamespaceObject::Attribute(Runtime&, absl::string_view name) {
  const auto place = places_.find(name);
  return place == places_.end() ? Value() : attributes_[place->second].second;
}

absl::Status NamespaceObject::Set(absl::string_view name, Value value) {
  if (absl::StartsWith(name, "_")) {
    return Error("a namespace has no room for ", ReprOfText(name),
                 ": names must not start with an underscore");
  }
  const auto [place, is_new] = places_.try_emplace(std::string(name), attributes_.size());
  if (is_new) {
    charge.Grow(static_cast<int64_t>(2 * name.size()) + 160);
    attributes_.emplace_back(std::string(name), std::move(value));
  } else {
    attributes_[place->second].second = std::move(value);
  }
  return absl::OkStatus();
}

}  // namespace sluice::jinja
