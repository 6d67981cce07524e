// Computes the attributes of `loop`.
#include "runtime/text/jinja/loop.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/status_macros.h"

namespace sluice::jinja {
namespace {

// loop.cycle and loop.changed as values that can be called. The loop outlives them.
class LoopMethod : public Object {
 public:
  LoopMethod(LoopObject* loop, bool is_cycle)
      : Object(nullptr, 0, 1), loop_(*loop), is_cycle_(is_cycle) {}
  absl::string_view type_name() const override { return "method"; }
  absl::StatusOr<std::string> Repr(Runtime&) override {
    return absl::StrCat("<bound method LoopContext.", is_cycle_ ? "cycle" : "changed", ">");
  }
  bool IsCallable() const override { return true; }
  absl::StatusOr<Value> Call(Runtime& runtime, const CallArguments& arguments) override {
    if (!arguments.named.empty()) return Error("loop's methods take no keyword arguments");
    return is_cycle_ ? loop_.Cycle(arguments) : loop_.Changed(runtime, arguments);
  }

 private:
  LoopObject& loop_;
  const bool is_cycle_;
};

}  // namespace

absl::StatusOr<Value> LoopItems::Peek() {
  while (ahead_.is_missing() && next_ < items_.size()) {
    const Value& item = items_[next_++];
    if (condition_ != nullptr) {
      JINJA_ASSIGN_OR_RETURN(const bool taken, condition_(item));
      if (!taken) continue;
    }
    ahead_ = item;
  }
  return ahead_;
}

absl::StatusOr<Value> LoopItems::Next() {
  JINJA_ASSIGN_OR_RETURN(Value item, Peek());
  ahead_ = Value();
  return item;
}

absl::StatusOr<int64_t> LoopItems::Rest() {
  if (condition_ != nullptr) {
    std::vector<Value> rest;
    for (;;) {
      JINJA_ASSIGN_OR_RETURN(Value item, Next());
      if (item.is_missing()) break;
      rest.push_back(std::move(item));
    }
    items_ = std::move(rest);
    next_ = 0;
    condition_ = nullptr;
  }
  return static_cast<int64_t>(items_.size() - next_) + (ahead_.is_missing() ? 0 : 1);
}

absl::StatusOr<bool> LoopObject::Advance(Value* item) {
  JINJA_ASSIGN_OR_RETURN(*item, items_->Next());
  if (item->is_missing()) return false;
  ++index0_;
  before_ = std::move(current_);
  current_ = *item;
  return true;
}

void LoopObject::Finish() {
  items_ = nullptr;
  recurse_ = nullptr;
  before_ = current_ = changed_ = Value();
}

absl::StatusOr<int64_t> LoopObject::Count() {
  if (!length_.has_value()) {
    if (items_ == nullptr) return index0_ + 1;
    JINJA_ASSIGN_OR_RETURN(const int64_t rest, items_->Rest());
    length_ = index0_ + 1 + rest;
  }
  return *length_;
}

absl::StatusOr<std::string> LoopObject::Repr(Runtime&) {
  JINJA_ASSIGN_OR_RETURN(const int64_t length, Count());
  return absl::StrCat("<LoopContext ", index0_ + 1, "/", length, ">");
}

absl::StatusOr<Value> LoopObject::Attribute(Runtime&, absl::string_view name) {
  if (name == "index") return Value::Int(index0_ + 1);
  if (name == "index0") return Value::Int(index0_);
  if (name == "first") return Value::Bool(index0_ == 0);
  if (name == "depth") return Value::Int(depth0_ + 1);
  if (name == "depth0") return Value::Int(depth0_);
  if (name == "length" || name == "revindex" || name == "revindex0") {
    JINJA_ASSIGN_OR_RETURN(const int64_t length, Count());
    if (name == "length") return Value::Int(length);
    return Value::Int(length - index0_ - (name == "revindex" ? 0 : 1));
  }
  if (name == "last" || name == "nextitem") {
    Value next;
    if (items_ != nullptr) {
      JINJA_ASSIGN_OR_RETURN(next, items_->Peek());
    }
    if (name == "last") return Value::Bool(next.is_missing());
    return next.is_missing() ? Value::Undefined("there is no next item") : next;
  }
  if (name == "previtem") {
    return before_.is_missing() ? Value::Undefined("there is no previous item") : before_;
  }
  if (name == "cycle" || name == "changed") {
    return Value::OfObject(std::make_shared<LoopMethod>(this, name == "cycle"));
  }
  return Value();
}

absl::StatusOr<Value> LoopObject::Call(Runtime&, const CallArguments& arguments) {
  if (recurse_ == nullptr) {
    return Error("a loop must be marked 'recursive', and still run, to be called");
  }
  if (arguments.positional.size() != 1 || !arguments.named.empty()) {
    return Error("a loop is called with one iterable");
  }
  const Recurse recurse = recurse_;
  return recurse(arguments.positional[0], depth0_ + 1);
}

absl::StatusOr<Value> LoopObject::Cycle(const CallArguments& arguments) const {
  if (arguments.positional.empty()) return Error("no items for cycling given");
  return arguments.positional[static_cast<size_t>(index0_) % arguments.positional.size()];
}

absl::StatusOr<Value> LoopObject::Changed(Runtime& runtime, const CallArguments& arguments) {
  if (items_ == nullptr) return Error("loop.changed() is called after its loop");
  Value given = runtime.Tuple(arguments.positional);
  if (!changed_.is_missing()) {
    JINJA_ASSIGN_OR_RETURN(const bool same, Equal(runtime, changed_, given));
    if (same) return Value::Bool(false);
  }
  changed_ = std::move(given);
  return Value::Bool(true);
}

}  // namespace sluice::jinja
