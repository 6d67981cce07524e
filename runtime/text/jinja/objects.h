// The objects that expressions make: ranges, dict views, generators, methods, namespaces.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_OBJECTS_H_
#define SLUICE_RUNTIME_TEXT_JINJA_OBJECTS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/jinja/builtin.h"
#include "runtime/text/jinja/object.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

class RangeObject : public Object {
 public:
  // `count` items: start, start + step, ...; `stop`, behind the last one, is for printing.
  RangeObject(int64_t start, int64_t stop, int64_t step, int64_t count)
      : Object(nullptr, 0, 1), start_(start), stop_(stop), step_(step), count_(count) {}
  absl::string_view type_name() const override { return "range"; }
  absl::StatusOr<std::string> Repr(Runtime& runtime) override;
  bool IsTrue() const override { return count_ > 0; }
  std::optional<int64_t> Length() const override { return count_; }
  bool IsIterable() const override { return true; }
  bool IsIndexable() const override { return true; }
  absl::StatusOr<std::vector<Value>> Items(Runtime& runtime) override;
  absl::StatusOr<Value> Item(Runtime& runtime, int64_t index) override;
  bool Equals(const Object& other) const override;
  // Returns `count` items from index `first` on, every `stride`th.
  std::shared_ptr<RangeObject> Part(int64_t first, int64_t stride, int64_t count) const;

 private:
  const int64_t start_, stop_, step_, count_;
};

// The result of dict.keys(), values() or items().
class ViewObject : public Object {
 public:
  enum class Part : uint8_t { kKeys, kValues, kItems };
  ViewObject(Value dict, Part part)
      : Object(nullptr, 0, dict.depth() + 1), dict_(std::move(dict)), part_(part) {}
  absl::string_view type_name() const override;
  absl::StatusOr<std::string> Repr(Runtime& runtime) override;
  bool IsTrue() const override { return !dict_.dict().entries().empty(); }
  std::optional<int64_t> Length() const override;
  bool IsIterable() const override { return true; }
  absl::StatusOr<std::vector<Value>> Items(Runtime& runtime) override;

 private:
  const Value dict_;
  const Part part_;
};

// The result of map, select and the like: items that can be taken once. They are all made at once;
// an error is kept until the items before it are taken.
class GeneratorObject : public Object {
 public:
  GeneratorObject(std::vector<Value> items, absl::Status error, Memory* memory);
  absl::string_view type_name() const override { return "generator"; }
  absl::StatusOr<std::string> Repr(Runtime&) override { return std::string("<generator object>"); }
  bool IsIterable() const override { return true; }
  absl::StatusOr<std::vector<Value>> Items(Runtime& runtime) override;
  // Returns the next item; missing: there is no more.
  absl::StatusOr<Value> Next();

 private:
  std::vector<Value> items_;
  size_t next_ = 0;
  const absl::Status error_;
};

// A method of text, a list or a dict, bound to it.
class MethodObject : public Object {
 public:
  MethodObject(Value self, const Builtin* method)
      : Object(nullptr, 0, self.depth() + 1), self_(std::move(self)), method_(*method) {}
  absl::string_view type_name() const override { return "builtin_function_or_method"; }
  absl::StatusOr<std::string> Repr(Runtime& runtime) override;
  bool IsCallable() const override { return true; }
  absl::StatusOr<Value> Call(Runtime& runtime, const CallArguments& arguments) override;

 private:
  const Value self_;
  const Builtin& method_;
};

// A global function.
class FunctionObject : public Object {
 public:
  explicit FunctionObject(const Builtin* function) : Object(nullptr, 0, 1), function_(*function) {}
  absl::string_view type_name() const override { return "function"; }
  absl::StatusOr<std::string> Repr(Runtime& runtime) override;
  bool IsCallable() const override { return true; }
  absl::StatusOr<Value> Call(Runtime& runtime, const CallArguments& arguments) override;

 private:
  const Builtin& function_;
};

// namespace(...), the only value that templates can change. It belongs to the Runtime, as it may
// come to hold itself.
class NamespaceObject : public Object {
 public:
  explicit NamespaceObject(Memory* memory) : Object(memory, 128, 1) {}
  absl::string_view type_name() const override { return "Namespace"; }
  absl::StatusOr<std::string> Repr(Runtime& runtime) override;
  absl::StatusOr<Value> Attribute(Runtime& runtime, absl::string_view name) override;
  // InvalidArgument: the name starts with an underscore, which transformers refuses.
  absl::Status Set(absl::string_view name, Value value);

 private:
  absl::flat_hash_map<std::string, size_t> places_;
  // In the order in which they were first set
  std::vector<std::pair<std::string, Value>> attributes_;
};

// Finds range, dict, namespace, cycler, joiner, raise_exception and strftime_now; missing for other
// names.
Value FindGlobal(absl::string_view name);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_OBJECTS_H_
