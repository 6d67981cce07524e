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

// An object cannot do what it does not override; access.h and operators.h make that an error.
class Object : public Shared {
 public:
  using Shared::Shared;

  virtual absl::string_view type_name() const = 0;  // Python's: "range"
  virtual absl::StatusOr<std::string> Repr(Runtime& runtime) = 0;
  virtual bool IsTrue() const { return true; }

  // Returns the number of items, if Python's len() knows it.
  virtual std::optional<int64_t> Length() const { return std::nullopt; }
  virtual bool IsIterable() const { return false; }
  virtual bool IsIndexable() const { return false; }
  // Returns all items that are still to come; only for iterable objects.
  virtual absl::StatusOr<std::vector<Value>> Items(Runtime& runtime);
  // Returns items[i] of an indexable object for a single index. Missing: out of range.
  virtual absl::StatusOr<Value> Item(Runtime& runtime, int64_t index);

  // Returns an attribute; missing: there is none of that name.
  virtual absl::StatusOr<Value> Attribute(Runtime& runtime, absl::string_view name);

  virtual bool IsCallable() const { return false; }
  virtual absl::StatusOr<Value> Call(Runtime& runtime, const CallArguments& arguments);

  // Compares beyond identity; called for objects of one type_name only.
  virtual bool Equals(const Object& other) const { return this == &other; }
};

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_OBJECT_H_
