// Statements and macros.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/access.h"
#include "runtime/text/jinja/evaluator.h"
#include "runtime/text/jinja/loop.h"
#include "runtime/text/jinja/objects.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"

namespace sluice::jinja {
namespace {

// Belongs to the Runtime, as its scope may hold it.
class MacroObject : public Object {
 public:
  MacroObject(Evaluator* evaluator, const Statement* macro, ScopePointer scope, Memory* memory)
      : Object(memory, 256, 1), evaluator_(*evaluator), macro_(*macro), scope_(std::move(scope)) {}
  absl::string_view type_name() const override { return "Macro"; }
  absl::StatusOr<std::string> Repr(Runtime&) override {
    return absl::StrCat("<Macro ", ReprOfText(macro_.signature.name), ">");
  }
  absl::StatusOr<Value> Attribute(Runtime& runtime, absl::string_view name) override {
    if (name == "name") return runtime.String(macro_.signature.name);
    if (name == "catch_kwargs") return Value::Bool(macro_.signature.uses_kwargs);
    if (name == "catch_varargs") return Value::Bool(macro_.signature.uses_varargs);
    if (name == "caller") return Value::Bool(macro_.signature.uses_caller);
    if (name != "arguments") return Value();
    std::vector<Value> names;
    for (const Parameter& parameter : macro_.signature.parameters) {
      names.push_back(runtime.String(parameter.name));
    }
    return runtime.Tuple(std::move(names));
  }
  bool IsCallable() const override { return true; }
  absl::StatusOr<Value> Call(Runtime&, const CallArguments& arguments) override {
    return evaluator_.CallMacro(macro_, scope_, arguments);
  }

 private:
  Evaluator& evaluator_;
  const Statement& macro_;
  const ScopePointer scope_;
};

ScopePointer Inside(const ScopePointer& outside) {
  auto scope = std::make_shared<Scope>();
  scope->outside = outside;
  return scope;
}

// Takes the argument of this name out of `named`; missing where it is not there.
Value TakeNamed(std::vector<std::pair<std::string, Value>>* named, absl::string_view name) {
  for (auto it = named->begin(); it != named->end(); ++it) {
    if (it->first != name) continue;
    Value value = std::move(it->second);
    named->erase(it);
    return value;
  }
  return Value();
}

}  // namespace

absl::Status Evaluator::Print(absl::string_view text) {
  JINJA_RETURN_IF_ERROR(runtime_.Step(1 + static_cast<int64_t>(text.size()) / 64));
  JINJA_RETURN_IF_ERROR(runtime_.Print(static_cast<int64_t>(text.size())));
  absl::StrAppend(out_, text);
  return absl::OkStatus();
}

absl::StatusOr<Value> Evaluator::Capture(const Body& body, const ScopePointer& scope) {
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  const absl::Status status = ExecuteBody(body, scope).status();
  out_ = outer;
  JINJA_RETURN_IF_ERROR(status);
  return runtime_.String(std::move(text));
}

absl::StatusOr<Evaluator::Flow> Evaluator::ExecuteBody(const Body& body,
                                                       const ScopePointer& scope) {
  const DepthGuard deeper(runtime_);
  JINJA_RETURN_IF_ERROR(deeper.status());
  for (const Statement* const statement : body) {
    JINJA_RETURN_IF_ERROR(runtime_.Step());
    const absl::StatusOr<Flow> flow = Execute(*statement, scope);
    if (!flow.ok()) return Located(flow.status(), statement->offset);
    if (*flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

absl::StatusOr<Evaluator::Flow> Evaluator::Execute(const Statement& statement,
                                                   const ScopePointer& scope) {
  absl::Status status;
  switch (statement.type) {
    case StatementType::kText:
      status = Print(statement.text);
      break;
    case StatementType::kPrint: {
      JINJA_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.value, scope));
      if (value.is_string()) {
        status = Print(value.text());
        break;
      }
      JINJA_ASSIGN_OR_RETURN(const std::string text, Str(runtime_, value));
      status = Print(text);
      break;
    }
    case StatementType::kIf:
      return ExecuteIf(statement, scope);
    case StatementType::kFor:
      status = ExecuteFor(statement, scope);
      break;
    case StatementType::kSet: {
      JINJA_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.value, scope));
      status = Assign(*statement.target, value, *scope);
      break;
    }
    case StatementType::kSetBlock:
      status = ExecuteSetBlock(statement, scope);
      break;
    case StatementType::kMacro:
      scope->variables[statement.signature.name] = MakeMacro(statement, scope);
      break;
    case StatementType::kCallBlock:
      status = ExecuteCallBlock(statement, scope);
      break;
    case StatementType::kFilterBlock: {
      JINJA_ASSIGN_OR_RETURN(filtered_, Capture(statement.body, Inside(scope)));
      JINJA_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.value, scope));
      JINJA_ASSIGN_OR_RETURN(const std::string text, Str(runtime_, value));
      status = Print(text);
      break;
    }
    case StatementType::kWith:
      return ExecuteWith(statement, scope);
    case StatementType::kScope:
      return ExecuteBody(statement.body, Inside(scope));
    case StatementType::kBreak:
      return Flow::kBreak;
    case StatementType::kContinue:
      return Flow::kContinue;
  }
  JINJA_RETURN_IF_ERROR(status);
  return Flow::kNext;
}

absl::StatusOr<Evaluator::Flow> Evaluator::ExecuteIf(const Statement& statement,
                                                     const ScopePointer& scope) {
  for (const Branch& branch : statement.branches) {
    JINJA_ASSIGN_OR_RETURN(const bool taken, EvaluateCondition(*branch.condition, scope));
    if (taken) return ExecuteBody(branch.body, scope);
  }
  return ExecuteBody(statement.otherwise, scope);
}

absl::Status Evaluator::ExecuteFor(const Statement& statement, const ScopePointer& scope) {
  JINJA_ASSIGN_OR_RETURN(const Value iterable, Evaluate(*statement.value, scope));
  return RunLoop(statement, scope, iterable, 0);
}

absl::Status Evaluator::RunLoop(const Statement& statement, const ScopePointer& scope,
                                const Value& iterable, int64_t depth0) {
  JINJA_ASSIGN_OR_RETURN(std::vector<Value> values, Items(runtime_, iterable));
  LoopItems::Condition condition;
  if (statement.condition != nullptr) {
    condition = [&](const Value& item) -> absl::StatusOr<bool> {
      const ScopePointer inside = Inside(scope);
      JINJA_RETURN_IF_ERROR(Assign(*statement.target, item, *inside));
      return EvaluateCondition(*statement.condition, inside);
    };
  }
  LoopItems items(std::move(values), std::move(condition));
  LoopObject* loop = nullptr;
  Value loop_value;
  if (statement.uses_loop) {
    LoopObject::Recurse recurse;
    if (statement.recursive) {
      recurse = [this, &statement, scope](const Value& inner,
                                          int64_t depth) -> absl::StatusOr<Value> {
        std::string text;
        std::string* const outer = std::exchange(out_, &text);
        const absl::Status status = RunLoop(statement, scope, inner, depth);
        out_ = outer;
        JINJA_RETURN_IF_ERROR(status);
        return runtime_.String(std::move(text));
      };
    }
    auto object =
        std::make_unique<LoopObject>(&items, depth0, std::move(recurse), runtime_.memory());
    loop = object.get();
    loop_value = runtime_.Own(std::move(object));
  }
  absl::Status status;
  bool any = false;
  for (Flow flow = Flow::kNext; status.ok() && flow != Flow::kBreak; any = true) {
    Value item;
    bool more = false;
    if (loop != nullptr) {
      absl::StatusOr<bool> advanced = loop->Advance(&item);
      status = advanced.status();
      more = advanced.value_or(false);
    } else {
      absl::StatusOr<Value> next = items.Next();
      status = next.status();
      if (next.ok()) item = *std::move(next);
      more = !item.is_missing();
    }
    if (!more) break;
    const ScopePointer inside = Inside(scope);
    status = Assign(*statement.target, item, *inside);
    if (loop != nullptr) inside->variables["loop"] = loop_value;
    if (!status.ok()) break;
    absl::StatusOr<Flow> ended = ExecuteBody(statement.body, inside);
    status = ended.status();
    flow = ended.value_or(Flow::kBreak);
  }
  if (loop != nullptr) loop->Finish();
  JINJA_RETURN_IF_ERROR(status);
  return any ? absl::OkStatus() : ExecuteBody(statement.otherwise, Inside(scope)).status();
}

absl::Status Evaluator::Assign(const Expression& target, const Value& value, Scope& scope) {
  if (target.type == ExpressionType::kName) {
    scope.variables[target.name] = value;
    return absl::OkStatus();
  }
  if (target.type == ExpressionType::kNamespace) {
    const Value holder = Lookup(target.name, scope);
    auto* const space =
        holder.is_object() ? dynamic_cast<NamespaceObject*>(&holder.object()) : nullptr;
    if (space == nullptr) {
      return Located(Error("cannot assign attribute on non-namespace object '", target.name, "'"),
                     target.offset);
    }
    return Located(space->Set(target.attribute, value), target.offset);
  }
  JINJA_ASSIGN_OR_RETURN(const std::vector<Value> items, Items(runtime_, value));
  if (items.size() != target.parts.size()) {
    return Located(
        Error(items.size() < target.parts.size() ? "not enough" : "too many",
              " values to unpack (expected ", target.parts.size(), ", got ", items.size(), ")"),
        target.offset);
  }
  for (size_t i = 0; i < items.size(); ++i) {
    JINJA_RETURN_IF_ERROR(Assign(*target.parts[i], items[i], scope));
  }
  return absl::OkStatus();
}

absl::Status Evaluator::ExecuteSetBlock(const Statement& statement, const ScopePointer& scope) {
  JINJA_ASSIGN_OR_RETURN(Value value, Capture(statement.body, Inside(scope)));
  if (statement.value != nullptr) {
    filtered_ = value;
    JINJA_ASSIGN_OR_RETURN(value, Evaluate(*statement.value, scope));
  }
  return Assign(*statement.target, value, *scope);
}

absl::StatusOr<Evaluator::Flow> Evaluator::ExecuteWith(const Statement& statement,
                                                       const ScopePointer& scope) {
  const ScopePointer inside = Inside(scope);
  for (const auto& [target, expression] : statement.assignments) {
    JINJA_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression, scope));
    JINJA_RETURN_IF_ERROR(Assign(*target, value, *inside));
  }
  return ExecuteBody(statement.body, inside);
}

Value Evaluator::MakeMacro(const Statement& statement, const ScopePointer& scope) {
  return runtime_.Own(std::make_unique<MacroObject>(this, &statement, scope, runtime_.memory()));
}

absl::Status Evaluator::ExecuteCallBlock(const Statement& statement, const ScopePointer& scope) {
  const Expression& call = *statement.value;
  JINJA_ASSIGN_OR_RETURN(const Value function, Evaluate(*call.parts[0], scope));
  JINJA_ASSIGN_OR_RETURN(CallArguments arguments, EvaluateArguments(call.arguments, scope));
  arguments.named.emplace_back("caller", MakeMacro(statement, scope));
  absl::StatusOr<Value> result = Call(runtime_, function, arguments);
  if (!result.ok()) return Located(std::move(result).status(), call.offset);
  JINJA_ASSIGN_OR_RETURN(const std::string text, Str(runtime_, *result));
  return Print(text);
}

absl::Status Evaluator::BindParameters(const MacroSignature& signature,
                                       const CallArguments& arguments, const ScopePointer& scope) {
  std::vector<std::pair<std::string, Value>> named = arguments.named;
  const std::vector<Value>& positional = arguments.positional;
  const size_t count = signature.parameters.size();
  bool has_caller = false;
  std::vector<Value> values(count);
  for (size_t i = 0; i < count; ++i) {
    const std::string& name = signature.parameters[i].name;
    has_caller |= name == "caller";
    values[i] = i < positional.size() ? positional[i] : TakeNamed(&named, name);
  }
  if (signature.uses_caller && !has_caller) {
    Value caller = TakeNamed(&named, "caller");
    if (caller.is_missing()) caller = Value::Undefined("No caller defined");
    scope->variables["caller"] = std::move(caller);
  }
  if (signature.uses_kwargs) {
    std::vector<DictData::Entry> entries;
    for (auto& [name, value] : named) {
      entries.emplace_back(runtime_.String(name), std::move(value));
    }
    scope->variables["kwargs"] = Value::Dict(std::move(entries), runtime_.memory());
  } else if (!named.empty()) {
    return Error("macro '", signature.name, "' takes no keyword argument '", named[0].first, "'");
  }
  const size_t taken = std::min(count, positional.size());
  if (signature.uses_varargs) {
    scope->variables["varargs"] = runtime_.Tuple(
        std::vector<Value>(positional.begin() + static_cast<int64_t>(taken), positional.end()));
  } else if (positional.size() > count) {
    return Error("macro '", signature.name, "' takes not more than ", count, " argument(s)");
  }
  for (size_t i = 0; i < count; ++i) {
    const Parameter& parameter = signature.parameters[i];
    if (values[i].is_missing() && parameter.otherwise != nullptr) {
      JINJA_ASSIGN_OR_RETURN(values[i], Evaluate(*parameter.otherwise, scope));
    } else if (values[i].is_missing()) {
      values[i] =
          Value::Undefined(absl::StrCat("parameter '", parameter.name, "' was not provided"));
    }
    scope->variables[parameter.name] = values[i];
  }
  return absl::OkStatus();
}

absl::StatusOr<Value> Evaluator::CallMacro(const Statement& macro, const ScopePointer& scope,
                                           const CallArguments& arguments) {
  const ScopePointer inside = Inside(scope);
  JINJA_RETURN_IF_ERROR(BindParameters(macro.signature, arguments, inside));
  return Capture(macro.body, inside);
}

}  // namespace sluice::jinja
