// The tests that stand behind `is`.
#include <string>

#include "runtime/text/jinja/builtin.h"
#include "runtime/text/jinja/object.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text_tools.h"

namespace sluice::jinja {
namespace {

template <bool (*holds)(const Value&)>
absl::StatusOr<Value> Plain(Invocation& call) {
  return Value::Bool(holds(call.self));
}

bool IsDefined(const Value& value) { return !value.is_undefined(); }
bool IsUndefined(const Value& value) { return value.is_undefined(); }
bool IsNone(const Value& value) { return value.is_none(); }
bool IsBoolean(const Value& value) { return value.is_bool(); }
bool IsTrueItself(const Value& value) { return value.is_bool() && value.as_bool(); }
bool IsFalseItself(const Value& value) { return value.is_bool() && !value.as_bool(); }
bool IsInteger(const Value& value) { return value.kind() == Kind::kInt; }
bool IsFloat(const Value& value) { return value.is_float(); }
bool IsNumber(const Value& value) { return value.is_number(); }
bool IsText(const Value& value) { return value.is_string(); }
bool IsMapping(const Value& value) { return value.is_dict(); }
bool IsEscaped(const Value& value) { return value.is_markup(); }
bool IsCallable(const Value& value) {
  return value.is_undefined() || (value.is_object() && value.object().IsCallable());
}
// Jinja asks for len() and [], which undefined values have too.
bool IsASequence(const Value& value) {
  if (value.is_object()) return value.object().IsIndexable();
  return value.is_string() || value.is_list() || value.is_tuple() || value.is_dict() ||
         value.is_undefined();
}

absl::StatusOr<int64_t> Remainder(Invocation& call, int64_t divisor) {
  JINJA_ASSIGN_OR_RETURN(const Value rest,
                         Apply(call.runtime, BinaryOperator::kMod, call.self, Value::Int(divisor)));
  if (!rest.is_number()) return Error("a number is expected, not '", TypeName(call.self), "'");
  return rest.as_double() == 0 ? 0 : rest.as_double() == 1 ? 1 : 2;
}

absl::StatusOr<Value> IsOdd(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const int64_t rest, Remainder(call, 2));
  return Value::Bool(rest == 1);
}

absl::StatusOr<Value> IsEven(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const int64_t rest, Remainder(call, 2));
  return Value::Bool(rest == 0);
}

absl::StatusOr<Value> IsDivisible(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const Value rest,
                         Apply(call.runtime, BinaryOperator::kMod, call.self, call.args[0]));
  JINJA_ASSIGN_OR_RETURN(const bool is_zero, Equal(call.runtime, rest, Value::Int(0)));
  return Value::Bool(is_zero);
}

template <bool upper>
absl::StatusOr<Value> HasCase(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::string text, Str(call.runtime, call.self));
  return Value::Bool(HasOnlyCase(text, upper));
}

absl::StatusOr<Value> IsSame(Invocation& call) {
  return Value::Bool(call.self.IsSameAs(call.args[0]));
}

template <CompareOperator op>
absl::StatusOr<Value> Compared(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const bool holds, Compare(call.runtime, op, call.self, call.args[0]));
  return Value::Bool(holds);
}

absl::StatusOr<Value> IsFilterName(Invocation& call) {
  return Value::Bool(call.self.is_string() && FindFilter(call.self.text()) != nullptr);
}

absl::StatusOr<Value> IsTestName(Invocation& call) {
  return Value::Bool(call.self.is_string() && FindTest(call.self.text()) != nullptr);
}

constexpr Builtin kTests[] = {
    {"boolean", "", &Plain<IsBoolean>},
    {"callable", "", &Plain<IsCallable>},
    {"defined", "", &Plain<IsDefined>},
    {"divisibleby", "num", &IsDivisible},
    {"eq", "other", &Compared<CompareOperator::kEq>},
    {"equalto", "other", &Compared<CompareOperator::kEq>},
    {"==", "other", &Compared<CompareOperator::kEq>},
    {"escaped", "", &Plain<IsEscaped>},
    {"even", "", &IsEven},
    {"false", "", &Plain<IsFalseItself>},
    {"filter", "", &IsFilterName},
    {"float", "", &Plain<IsFloat>},
    {"ge", "other", &Compared<CompareOperator::kGe>},
    {">=", "other", &Compared<CompareOperator::kGe>},
    {"greaterthan", "other", &Compared<CompareOperator::kGt>},
    {"gt", "other", &Compared<CompareOperator::kGt>},
    {">", "other", &Compared<CompareOperator::kGt>},
    {"in", "seq", &Compared<CompareOperator::kIn>},
    {"integer", "", &Plain<IsInteger>},
    {"iterable", "", &Plain<IsIterable>},
    {"le", "other", &Compared<CompareOperator::kLe>},
    {"<=", "other", &Compared<CompareOperator::kLe>},
    {"lessthan", "other", &Compared<CompareOperator::kLt>},
    {"lower", "", &HasCase<false>},
    {"lt", "other", &Compared<CompareOperator::kLt>},
    {"<", "other", &Compared<CompareOperator::kLt>},
    {"mapping", "", &Plain<IsMapping>},
    {"ne", "other", &Compared<CompareOperator::kNe>},
    {"!=", "other", &Compared<CompareOperator::kNe>},
    {"none", "", &Plain<IsNone>},
    {"number", "", &Plain<IsNumber>},
    {"odd", "", &IsOdd},
    {"sameas", "other", &IsSame},
    {"sequence", "", &Plain<IsASequence>},
    {"string", "", &Plain<IsText>},
    {"test", "", &IsTestName},
    {"true", "", &Plain<IsTrueItself>},
    {"undefined", "", &Plain<IsUndefined>},
    {"upper", "", &HasCase<true>},
};

}  // namespace

absl::Span<const Builtin> Tests() { return kTests; }

}  // namespace sluice::jinja
