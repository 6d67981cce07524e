// Attributes, items and slices, with the sandbox's rules on what a template may reach.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_ACCESS_H_
#define SLUICE_RUNTIME_TEXT_JINJA_ACCESS_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/jinja/object.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// value.name: Python's attribute, else the item of that key. Undefined where there is neither, or
// where the sandbox hides it; an error on undefined values.
absl::StatusOr<Value> GetAttribute(Runtime& runtime, const Value& value, absl::string_view name);

// value[key]: the item, else for text the attribute of that name.
absl::StatusOr<Value> GetItem(Runtime& runtime, const Value& value, const Value& key);

// The attribute alone; missing where there is none.
absl::StatusOr<Value> GetOwnAttribute(Runtime& runtime, const Value& value, absl::string_view name);

// value[start:stop:step]; None or missing for a bound that is not given.
absl::StatusOr<Value> GetSlice(Runtime& runtime, const Value& value, const Value& start,
                               const Value& stop, const Value& step);

// A path such as "function.name" or "0.id", or an integer, as filters take it: items all along.
absl::StatusOr<Value> GetPath(Runtime& runtime, const Value& value, const Value& path);

absl::StatusOr<Value> Call(Runtime& runtime, const Value& function, const CallArguments& arguments);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_ACCESS_H_
