// Tables of the functions that are part of the language: filters, tests, methods and global
// functions.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_BUILTIN_H_
#define SLUICE_RUNTIME_TEXT_JINJA_BUILTIN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/text/jinja/object.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// One call of a builtin.
struct Invocation {
  Runtime& runtime;
  const Value& self;             // the value that is filtered or tested, or whose method it is
  std::vector<Value> args = {};  // one for each parameter; missing if it was not given
  const CallArguments& given;    // as they were given, for builtins that take anything

  bool Has(size_t i) const { return !args[i].is_missing(); }
  // Returns the argument as one type, or `otherwise` if it was not given; an error for another
  // type.
  absl::StatusOr<int64_t> Int(size_t i, int64_t otherwise) const;
  absl::StatusOr<std::string> Text(size_t i, absl::string_view otherwise) const;
  // Returns the truth of any value.
  bool Bool(size_t i, bool otherwise) const;
};

struct Builtin {
  absl::string_view name;
  // Parameters in order, "old new count?"; a parameter with ? may be left out. "/" in front: they
  // cannot be given by name. "*" alone: any arguments, unchecked.
  absl::string_view parameters;
  absl::StatusOr<Value> (*run)(Invocation& call);
};

// Matches arguments with parameters and calls the builtin.
absl::StatusOr<Value> Invoke(Runtime& runtime, const Builtin& builtin, const Value& self,
                             const CallArguments& arguments);

// Returns nullptr if there is none of that name.
const Builtin* FindBuiltin(absl::Span<const Builtin> table, absl::string_view name);
const Builtin* FindFilter(absl::string_view name);
const Builtin* FindTest(absl::string_view name);

// The tables, by the values that they work on.
absl::Span<const Builtin> TextFilters();
absl::Span<const Builtin> NumberFilters();
absl::Span<const Builtin> SequenceFilters();
absl::Span<const Builtin> SelectionFilters();
absl::Span<const Builtin> Tests();
absl::Span<const Builtin> TextMethods();
absl::Span<const Builtin> CollectionMethods(Kind kind);  // of lists, tuples, dicts

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_BUILTIN_H_
