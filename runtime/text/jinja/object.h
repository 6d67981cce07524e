// Values that are more than data: ranges, generators, loops, macros, methods, namespaces.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_OBJECT_H_
#define SLUICE_RUNTIME_TEXT_JINJA_OBJECT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

class Runtime;

struct CallArguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// What an object does not override it cannot do; access.h and operators.h make that an error.
class Object : public Shared {
 public:
  using Shared::Shared;

  virtual absl::string_view type_name() const = 0;  // Python's: "range"
  virtual absl::StatusOr<std::string> Repr(Runtime& runtime) = 0;
  virtual bool IsTrue() const { return true; }

  // The number of items where Python's len() knows it.
  virtual std::optional<int64_t> Length() const { return std::nullopt; }
  virtual bool IsIterable() const { return false; }
  virtual bool IsIndexable() const { return false; }
  // All items that are still to come. Only for what is iterable.
  virtual absl::StatusOr<std::vector<Value>> Items(Runtime& runtime);
  // The part of what is indexable; items[i] for a single index. Missing: out of range.
  virtual absl::StatusOr<Value> Item(Runtime& runtime, int64_t index);

  // Missing: there is no such attribute.
  virtual absl::StatusOr<Value> Attribute(Runtime& runtime, absl::string_view name);

  virtual bool IsCallable() const { return false; }
  virtual absl::StatusOr<Value> Call(Runtime& runtime, const CallArguments& arguments);

  // Equality beyond being the same; only asked for objects of one type_name.
  virtual bool Equals(const Object& other) const { return this == &other; }
};

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_OBJECT_H_
