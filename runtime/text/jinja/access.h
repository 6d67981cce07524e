// Attributes, items and slices, with the sandbox's rules on what a template may reach.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_ACCESS_H_
#define SLUICE_RUNTIME_TEXT_JINJA_ACCESS_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/jinja/object.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// Evaluates value.name: Python's attribute, else the item of that key. Undefined if there is
// neither, or if the sandbox hides it; an error on undefined values.
absl::StatusOr<Value> GetAttribute(Runtime& runtime, const Value& value, absl::string_view name);

// Evaluates value[key]: the item, else, for text, the attribute of that name.
absl::StatusOr<Value> GetItem(Runtime& runtime, const Value& value, const Value& key);

// Returns the attribute alone; missing if there is none.
absl::StatusOr<Value> GetOwnAttribute(Runtime& runtime, const Value& value, absl::string_view name);

// Evaluates value[start:stop:step]; None or missing stands for a bound that is not given.
absl::StatusOr<Value> GetSlice(Runtime& runtime, const Value& value, const Value& start,
                               const Value& stop, const Value& step);

// Follows a path such as "function.name" or "0.id", or an integer, as filters take it; each part is
// an item.
absl::StatusOr<Value> GetPath(Runtime& runtime, const Value& value, const Value& path);

absl::StatusOr<Value> Call(Runtime& runtime, const Value& function, const CallArguments& arguments);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_ACCESS_H_
