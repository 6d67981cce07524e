// Walks a parsed template and prints.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_EVALUATOR_H_
#define SLUICE_RUNTIME_TEXT_JINJA_EVALUATOR_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/jinja/ast.h"
#include "runtime/text/jinja/object.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// The variables of a loop's pass, a macro's call or the template; other names are looked up in the
// outer scope. Macros keep the scope in which they were defined.
struct Scope {
  std::shared_ptr<Scope> outside;
  absl::flat_hash_map<absl::string_view, Value> variables;  // named as in the tree
};
using ScopePointer = std::shared_ptr<Scope>;

class Evaluator {
 public:
  // All arguments must outlive the evaluator; `context` is a dict.
  Evaluator(const Ast& ast, const Value& context, Runtime* runtime)
      : ast_(ast), context_(context), runtime_(*runtime) {}

  // Returns what the template prints. Errors start with line and column.
  absl::StatusOr<std::string> Run();

  // Calls a macro, or the block of a call, that was defined in `scope`.
  absl::StatusOr<Value> CallMacro(const Statement& macro, const ScopePointer& scope,
                                  const CallArguments& arguments);

 private:
  enum class Flow : uint8_t { kNext, kBreak, kContinue };

  // Statements (statements.cc).
  absl::StatusOr<Flow> ExecuteBody(const Body& body, const ScopePointer& scope);
  absl::StatusOr<Flow> Execute(const Statement& statement, const ScopePointer& scope);
  absl::StatusOr<Flow> ExecuteIf(const Statement& statement, const ScopePointer& scope);
  absl::Status ExecuteFor(const Statement& statement, const ScopePointer& scope);
  absl::Status RunLoop(const Statement& statement, const ScopePointer& scope, const Value& iterable,
                       int64_t depth0);
  absl::Status ExecuteSetBlock(const Statement& statement, const ScopePointer& scope);
  absl::Status ExecuteCallBlock(const Statement& statement, const ScopePointer& scope);
  absl::StatusOr<Flow> ExecuteWith(const Statement& statement, const ScopePointer& scope);
  absl::Status Assign(const Expression& target, const Value& value, Scope& scope);
  absl::Status BindParameters(const MacroSignature& signature, const CallArguments& arguments,
                              const ScopePointer& scope);
  Value MakeMacro(const Statement& statement, const ScopePointer& scope);
  absl::Status Print(absl::string_view text);
  // Runs `body` in a scope of its own and returns what it prints as a value.
  absl::StatusOr<Value> Capture(const Body& body, const ScopePointer& scope);

  // Expressions (evaluator.cc).
  absl::StatusOr<Value> Evaluate(const Expression& expression, const ScopePointer& scope);
  absl::StatusOr<Value> EvaluateAny(const Expression& expression, const ScopePointer& scope);
  absl::StatusOr<std::vector<Value>> EvaluateParts(const Expression& expression,
                                                   const ScopePointer& scope);
  absl::StatusOr<Value> EvaluateDict(const Expression& expression, const ScopePointer& scope);
  absl::StatusOr<Value> EvaluateSlice(const Expression& expression, const ScopePointer& scope);
  absl::StatusOr<Value> EvaluateCall(const Expression& expression, const ScopePointer& scope);
  absl::StatusOr<Value> EvaluateFilter(const Expression& expression, const ScopePointer& scope);
  absl::StatusOr<Value> EvaluateTest(const Expression& expression, const ScopePointer& scope);
  absl::StatusOr<Value> EvaluateBinary(const Expression& expression, const ScopePointer& scope);
  absl::StatusOr<Value> EvaluateConcat(const Expression& expression, const ScopePointer& scope);
  absl::StatusOr<Value> EvaluateCompare(const Expression& expression, const ScopePointer& scope);
  absl::StatusOr<Value> EvaluateLogic(const Expression& expression, const ScopePointer& scope);
  absl::StatusOr<Value> EvaluateConditional(const Expression& expression,
                                            const ScopePointer& scope);
  absl::StatusOr<CallArguments> EvaluateArguments(const Arguments& arguments,
                                                  const ScopePointer& scope);
  absl::StatusOr<bool> EvaluateCondition(const Expression& expression, const ScopePointer& scope);
  Value Lookup(absl::string_view name, const Scope& scope) const;

  // Notes where an error came from, innermost first.
  absl::Status Located(absl::Status status, size_t offset);

  const Ast& ast_;
  const Value& context_;
  Runtime& runtime_;
  std::string* out_ = nullptr;  // statements print to it
  Value filtered_;              // the print of a block, for the filters over it
  std::optional<size_t> failed_at_;
};

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_EVALUATOR_H_
