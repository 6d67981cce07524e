// Evaluates expressions.
#include "runtime/text/jinja/evaluator.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/access.h"
#include "runtime/text/jinja/builtin.h"
#include "runtime/text/jinja/lexer.h"
#include "runtime/text/jinja/objects.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"

namespace sluice::jinja {

absl::StatusOr<std::string> Evaluator::Run() {
  std::string out;
  out_ = &out;
  const absl::Status status = ExecuteBody(ast_.body, std::make_shared<Scope>()).status();
  if (status.ok()) return out;
  if (!failed_at_.has_value()) return status;
  return absl::Status(status.code(), absl::StrCat(DescribePosition(ast_.source, *failed_at_), ": ",
                                                  status.message()));
}

absl::Status Evaluator::Located(absl::Status status, size_t offset) {
  if (!status.ok() && !failed_at_.has_value()) failed_at_ = offset;
  return status;
}

Value Evaluator::Lookup(absl::string_view name, const Scope& scope) const {
  for (const Scope* s = &scope; s != nullptr; s = s->outside.get()) {
    if (const auto found = s->variables.find(name); found != s->variables.end()) {
      return found->second;
    }
  }
  if (const Value* const given = context_.dict().Find(name)) return *given;
  Value global = FindGlobal(name);
  if (!global.is_missing()) return global;
  return Value::Undefined(absl::StrCat("'", name, "' is undefined"));
}

absl::StatusOr<Value> Evaluator::Evaluate(const Expression& expression, const ScopePointer& scope) {
  const DepthGuard deeper(runtime_);
  absl::Status status = deeper.status();
  if (status.ok()) status = runtime_.Step();
  if (status.ok()) {
    absl::StatusOr<Value> value = EvaluateAny(expression, scope);
    status = value.ok() ? runtime_.CheckDepth(*value) : value.status();
    if (status.ok()) return value;
  }
  return Located(std::move(status), expression.offset);
}

absl::StatusOr<Value> Evaluator::EvaluateAny(const Expression& expression,
                                             const ScopePointer& scope) {
  switch (expression.type) {
    case ExpressionType::kLiteral:
      return expression.literal;
    case ExpressionType::kName:
      return Lookup(expression.name, *scope);
    case ExpressionType::kList: {
      JINJA_ASSIGN_OR_RETURN(std::vector<Value> items, EvaluateParts(expression, scope));
      return runtime_.List(std::move(items));
    }
    case ExpressionType::kTuple: {
      JINJA_ASSIGN_OR_RETURN(std::vector<Value> items, EvaluateParts(expression, scope));
      return runtime_.Tuple(std::move(items));
    }
    case ExpressionType::kDict:
      return EvaluateDict(expression, scope);
    case ExpressionType::kAttribute: {
      JINJA_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.parts[0], scope));
      return GetAttribute(runtime_, value, expression.name);
    }
    case ExpressionType::kItem: {
      JINJA_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.parts[0], scope));
      JINJA_ASSIGN_OR_RETURN(const Value key, Evaluate(*expression.parts[1], scope));
      return GetItem(runtime_, value, key);
    }
    case ExpressionType::kSlice:
      return EvaluateSlice(expression, scope);
    case ExpressionType::kCall:
      return EvaluateCall(expression, scope);
    case ExpressionType::kFilter:
      return EvaluateFilter(expression, scope);
    case ExpressionType::kTest:
      return EvaluateTest(expression, scope);
    case ExpressionType::kUnary: {
      JINJA_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.parts[0], scope));
      return Apply(runtime_, expression.unary, value);
    }
    case ExpressionType::kBinary:
      return EvaluateBinary(expression, scope);
    case ExpressionType::kConcat:
      return EvaluateConcat(expression, scope);
    case ExpressionType::kCompare:
      return EvaluateCompare(expression, scope);
    case ExpressionType::kNot: {
      JINJA_ASSIGN_OR_RETURN(const bool truth, EvaluateCondition(*expression.parts[0], scope));
      return Value::Bool(!truth);
    }
    case ExpressionType::kAnd:
    case ExpressionType::kOr:
      return EvaluateLogic(expression, scope);
    case ExpressionType::kConditional:
      return EvaluateConditional(expression, scope);
    case ExpressionType::kNamespace:
      break;  // only a target
  }
  return Error("not an expression");
}

absl::StatusOr<bool> Evaluator::EvaluateCondition(const Expression& expression,
                                                  const ScopePointer& scope) {
  JINJA_ASSIGN_OR_RETURN(const Value value, Evaluate(expression, scope));
  return IsTrue(value);
}

absl::StatusOr<std::vector<Value>> Evaluator::EvaluateParts(const Expression& expression,
                                                            const ScopePointer& scope) {
  std::vector<Value> values;
  values.reserve(expression.parts.size());
  for (const Expression* const part : expression.parts) {
    JINJA_ASSIGN_OR_RETURN(Value value, Evaluate(*part, scope));
    values.push_back(std::move(value));
  }
  return values;
}

absl::StatusOr<Value> Evaluator::EvaluateDict(const Expression& expression,
                                              const ScopePointer& scope) {
  JINJA_ASSIGN_OR_RETURN(std::vector<Value> parts, EvaluateParts(expression, scope));
  std::vector<DictData::Entry> entries;
  for (size_t i = 0; i < parts.size(); i += 2) {
    if (!DictData::CanBeKey(parts[i])) {
      return Error("a value of type '", TypeName(parts[i]), "' cannot be the key of a dict");
    }
    entries.emplace_back(std::move(parts[i]), std::move(parts[i + 1]));
  }
  return Value::Dict(std::move(entries), runtime_.memory());
}

absl::StatusOr<Value> Evaluator::EvaluateSlice(const Expression& expression,
                                               const ScopePointer& scope) {
  Value parts[4];
  for (size_t i = 0; i < 4; ++i) {
    if (expression.parts[i] == nullptr) continue;
    JINJA_ASSIGN_OR_RETURN(parts[i], Evaluate(*expression.parts[i], scope));
  }
  return GetSlice(runtime_, parts[0], parts[1], parts[2], parts[3]);
}

absl::StatusOr<CallArguments> Evaluator::EvaluateArguments(const Arguments& arguments,
                                                           const ScopePointer& scope) {
  CallArguments values;
  for (const Expression* const argument : arguments.positional) {
    JINJA_ASSIGN_OR_RETURN(Value value, Evaluate(*argument, scope));
    values.positional.push_back(std::move(value));
  }
  for (const auto& [name, argument] : arguments.named) {
    JINJA_ASSIGN_OR_RETURN(Value value, Evaluate(*argument, scope));
    values.named.emplace_back(name, std::move(value));
  }
  if (arguments.more != nullptr) {
    JINJA_ASSIGN_OR_RETURN(const Value more, Evaluate(*arguments.more, scope));
    JINJA_ASSIGN_OR_RETURN(const std::vector<Value> items, Items(runtime_, more));
    values.positional.insert(values.positional.end(), items.begin(), items.end());
  }
  if (arguments.more_named != nullptr) {
    JINJA_ASSIGN_OR_RETURN(const Value more, Evaluate(*arguments.more_named, scope));
    if (!more.is_dict()) return Error("argument after ** must be a mapping, not ", TypeName(more));
    for (const auto& [key, value] : more.dict().entries()) {
      if (!key.is_string()) return Error("keywords must be strings");
      values.named.emplace_back(key.text(), value);
    }
    JINJA_RETURN_IF_ERROR(runtime_.Step(more.Size()));
  }
  return values;
}

absl::StatusOr<Value> Evaluator::EvaluateCall(const Expression& expression,
                                              const ScopePointer& scope) {
  JINJA_ASSIGN_OR_RETURN(const Value function, Evaluate(*expression.parts[0], scope));
  JINJA_ASSIGN_OR_RETURN(const CallArguments arguments,
                         EvaluateArguments(expression.arguments, scope));
  return Call(runtime_, function, arguments);
}

absl::StatusOr<Value> Evaluator::EvaluateFilter(const Expression& expression,
                                                const ScopePointer& scope) {
  Value input = filtered_;
  if (expression.parts[0] != nullptr) {
    JINJA_ASSIGN_OR_RETURN(input, Evaluate(*expression.parts[0], scope));
  }
  if (expression.builtin == nullptr) {
    return Error("there is no filter named '", expression.name, "'");
  }
  JINJA_ASSIGN_OR_RETURN(const CallArguments arguments,
                         EvaluateArguments(expression.arguments, scope));
  return Invoke(runtime_, *expression.builtin, input, arguments);
}

absl::StatusOr<Value> Evaluator::EvaluateTest(const Expression& expression,
                                              const ScopePointer& scope) {
  JINJA_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.parts[0], scope));
  if (expression.builtin == nullptr) return Error("there is no test named '", expression.name, "'");
  JINJA_ASSIGN_OR_RETURN(const CallArguments arguments,
                         EvaluateArguments(expression.arguments, scope));
  return Invoke(runtime_, *expression.builtin, value, arguments);
}

// Long sums nest to the left: their depth is not counted as nesting.
absl::StatusOr<Value> Evaluator::EvaluateBinary(const Expression& expression,
                                                const ScopePointer& scope) {
  std::vector<const Expression*> chain;
  const Expression* leftmost = &expression;
  for (; leftmost->type == ExpressionType::kBinary; leftmost = leftmost->parts[0]) {
    chain.push_back(leftmost);
  }
  JINJA_ASSIGN_OR_RETURN(Value value, Evaluate(*leftmost, scope));
  for (auto node = chain.rbegin(); node != chain.rend(); ++node) {
    JINJA_ASSIGN_OR_RETURN(const Value right, Evaluate(*(*node)->parts[1], scope));
    absl::StatusOr<Value> result = Apply(runtime_, (*node)->binary, value, right);
    if (!result.ok()) return Located(std::move(result).status(), (*node)->offset);
    value = *std::move(result);
  }
  return value;
}

absl::StatusOr<Value> Evaluator::EvaluateConcat(const Expression& expression,
                                                const ScopePointer& scope) {
  JINJA_ASSIGN_OR_RETURN(const std::vector<Value> values, EvaluateParts(expression, scope));
  std::string text;
  for (const Value& value : values) {
    JINJA_ASSIGN_OR_RETURN(const std::string part, Str(runtime_, value));
    JINJA_RETURN_IF_ERROR(runtime_.Step(1 + static_cast<int64_t>(part.size()) / 64));
    JINJA_RETURN_IF_ERROR(runtime_.CheckRoom(static_cast<int64_t>(text.size() + part.size())));
    text += part;
  }
  return runtime_.String(std::move(text));
}

absl::StatusOr<Value> Evaluator::EvaluateCompare(const Expression& expression,
                                                 const ScopePointer& scope) {
  JINJA_ASSIGN_OR_RETURN(Value left, Evaluate(*expression.parts[0], scope));
  for (size_t i = 0; i < expression.compares.size(); ++i) {
    JINJA_ASSIGN_OR_RETURN(Value right, Evaluate(*expression.parts[i + 1], scope));
    JINJA_ASSIGN_OR_RETURN(const bool holds,
                           Compare(runtime_, expression.compares[i], left, right));
    if (!holds) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

absl::StatusOr<Value> Evaluator::EvaluateLogic(const Expression& expression,
                                               const ScopePointer& scope) {
  const bool decides = expression.type == ExpressionType::kOr;
  Value value;
  for (const Expression* const part : expression.parts) {
    JINJA_ASSIGN_OR_RETURN(value, Evaluate(*part, scope));
    if (part == expression.parts.back()) break;
    if (IsTrue(value) == decides) break;
  }
  return value;
}

absl::StatusOr<Value> Evaluator::EvaluateConditional(const Expression& expression,
                                                     const ScopePointer& scope) {
  JINJA_ASSIGN_OR_RETURN(const bool truth, EvaluateCondition(*expression.parts[1], scope));
  if (truth) return Evaluate(*expression.parts[0], scope);
  if (expression.parts[2] != nullptr) return Evaluate(*expression.parts[2], scope);
  return Value::Undefined(
      "the inline if-expression evaluated to false and no else section was defined.");
}

}  // namespace sluice::jinja
