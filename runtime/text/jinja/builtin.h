// Functions that are part of the language: filters, tests, methods and global functions, in tables.
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
  const Value& self;             // what is filtered or tested, or whose method it is
  std::vector<Value> args = {};  // one a parameter; missing where it was not given
  const CallArguments& given;    // as they came, for builtins that take anything

  bool Has(size_t i) const { return !args[i].is_missing(); }
  // The argument as one type, or `otherwise` where it was not given; an error for another type.
  absl::StatusOr<int64_t> Int(size_t i, int64_t otherwise) const;
  absl::StatusOr<std::string> Text(size_t i, absl::string_view otherwise) const;
  // The truth of any value.
  bool Bool(size_t i, bool otherwise) const;
};

struct Builtin {
  absl::string_view name;
  // Parameters in order, "old new count?": those with ? may be left out. "/" first: they have no
  // names for the caller. "*" alone: any arguments, unchecked.
  absl::string_view parameters;
  absl::StatusOr<Value> (*run)(Invocation& call);
};

// Matches arguments with parameters and runs.
absl::StatusOr<Value> Invoke(Runtime& runtime, const Builtin& builtin, const Value& self,
                             const CallArguments& arguments);

// nullptr where there is none of that name.
const Builtin* FindBuiltin(absl::Span<const Builtin> table, absl::string_view name);
const Builtin* FindFilter(absl::string_view name);
const Builtin* FindTest(absl::string_view name);

// The tables, by what they work on.
absl::Span<const Builtin> TextFilters();
absl::Span<const Builtin> NumberFilters();
absl::Span<const Builtin> SequenceFilters();
absl::Span<const Builtin> SelectionFilters();
absl::Span<const Builtin> Tests();
absl::Span<const Builtin> TextMethods();
absl::Span<const Builtin> CollectionMethods(Kind kind);  // of lists, tuples, dicts

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_BUILTIN_H_
