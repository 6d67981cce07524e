// Python's operators on values: truth, comparison, arithmetic, `in`, iteration.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_OPERATORS_H_
#define SLUICE_RUNTIME_TEXT_JINJA_OPERATORS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

enum class BinaryOperator : uint8_t { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };
enum class UnaryOperator : uint8_t { kNegate, kPlus };
enum class CompareOperator : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

bool IsTrue(const Value& value);

absl::StatusOr<bool> Equal(Runtime& runtime, const Value& a, const Value& b);
// Evaluates a < b; an error if Python has no order for the two types.
absl::StatusOr<bool> Less(Runtime& runtime, const Value& a, const Value& b);
absl::StatusOr<bool> Contains(Runtime& runtime, const Value& container, const Value& item);
absl::StatusOr<bool> Compare(Runtime& runtime, CompareOperator op, const Value& a, const Value& b);

absl::StatusOr<Value> Apply(Runtime& runtime, BinaryOperator op, const Value& a, const Value& b);
absl::StatusOr<Value> Apply(Runtime& runtime, UnaryOperator op, const Value& a);

// len(value).
absl::StatusOr<int64_t> Length(const Value& value);
bool IsIterable(const Value& value);
// Evaluates list(value): code points of text, keys of dicts.
absl::StatusOr<std::vector<Value>> Items(Runtime& runtime, const Value& value);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_OPERATORS_H_
