// Writes the limits' messages, and the errors for what objects cannot do.
#include "runtime/text/jinja/runtime.h"

#include "runtime/text/jinja/object.h"

namespace sluice::jinja {

Runtime::Runtime(const Limits& limits, const std::tm& now)
    : limits_(limits), now_(now), memory_(limits.value_bytes) {}

Runtime::~Runtime() = default;

Value Runtime::Own(std::unique_ptr<Object> object) {
  owned_.push_back(std::move(object));
  return Value::OfObject(owned_.back().get());
}

absl::Status Runtime::Step(int64_t steps) {
  steps_ += steps;
  if (steps_ > limits_.steps) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the template takes more than ", limits_.steps, " steps"));
  }
  return memory_.exhausted() ? CheckRoom(0) : absl::OkStatus();
}

absl::Status Runtime::CheckRoom(int64_t bytes) const {
  if (memory_.HasRoomFor(bytes)) return absl::OkStatus();
  out_of_memory_ = true;
  return absl::ResourceExhaustedError(
      absl::StrCat("the template's values need more than ", limits_.value_bytes, " bytes"));
}

absl::Status Runtime::CheckDepth(const Value& value) const {
  if (value.depth() <= limits_.depth) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("a value nests deeper than ", limits_.depth, " levels"));
}

absl::Status Runtime::Print(int64_t bytes) {
  printed_ += bytes;
  if (printed_ <= limits_.output_bytes) return absl::OkStatus();
  out_of_memory_ = true;
  return absl::ResourceExhaustedError(
      absl::StrCat("the template prints more than ", limits_.output_bytes, " bytes"));
}

absl::Status Runtime::Enter() {
  if (++depth_ <= limits_.depth) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the template calls and nests deeper than ", limits_.depth, " levels"));
}

absl::StatusOr<std::vector<Value>> Object::Items(Runtime&) {
  return Error("'", type_name(), "' object is not iterable");
}

absl::StatusOr<Value> Object::Item(Runtime&, int64_t) {
  return Error("'", type_name(), "' object is not subscriptable");
}

absl::StatusOr<Value> Object::Attribute(Runtime&, absl::string_view) { return Value(); }

absl::StatusOr<Value> Object::Call(Runtime&, const CallArguments&) {
  return Error("'", type_name(), "' object is not callable");
}

}  // namespace sluice::jinja
