// The items that a for loop goes over, and its variable `loop`.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_LOOP_H_
#define SLUICE_RUNTIME_TEXT_JINJA_LOOP_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/jinja/object.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// The items of a loop that fulfil its condition. The condition is evaluated as late as in Jinja.
class LoopItems {
 public:
  using Condition = std::function<absl::StatusOr<bool>(const Value& item)>;

  // `condition` may be empty.
  LoopItems(std::vector<Value> items, Condition condition)
      : items_(std::move(items)), condition_(std::move(condition)) {}

  // Returns the next item, missing at the end; Peek does not consume it.
  absl::StatusOr<Value> Next();
  absl::StatusOr<Value> Peek();
  // Returns how many items are left beside the `taken` ones; evaluates the condition for all of
  // them.
  absl::StatusOr<int64_t> Rest();

 private:
  std::vector<Value> items_;
  size_t next_ = 0;
  Condition condition_;
  Value ahead_;  // peeked at, or missing
};

// `loop` in a template. It belongs to the Runtime, as a template may keep it after its loop.
class LoopObject : public Object {
 public:
  // Runs the loop's body over other items, for `loop(children)` in a recursive loop.
  using Recurse = std::function<absl::StatusOr<Value>(const Value& iterable, int64_t depth0)>;

  LoopObject(LoopItems* items, int64_t depth0, Recurse recurse, Memory* memory)
      : Object(memory, 256, 1), items_(items), depth0_(depth0), recurse_(std::move(recurse)) {}

  // Moves to the next item; false at the end.
  absl::StatusOr<bool> Advance(Value* item);
  // Ends the loop; its items are gone then.
  void Finish();

  absl::string_view type_name() const override { return "LoopContext"; }
  absl::StatusOr<std::string> Repr(Runtime& runtime) override;
  absl::StatusOr<Value> Attribute(Runtime& runtime, absl::string_view name) override;
  bool IsCallable() const override { return true; }
  absl::StatusOr<Value> Call(Runtime& runtime, const CallArguments& arguments) override;

  // loop.cycle(...) and loop.changed(...)
  absl::StatusOr<Value> Cycle(const CallArguments& arguments) const;
  absl::StatusOr<Value> Changed(Runtime& runtime, const CallArguments& arguments);

 private:
  absl::StatusOr<int64_t> Count();

  LoopItems* items_;  // nullptr once the loop has ended
  int64_t index0_ = -1;
  const int64_t depth0_;
  Recurse recurse_;
  std::optional<int64_t> length_;
  Value before_, current_;
  Value changed_;  // the arguments of the last call; missing before the first
};

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_LOOP_H_
