// A parsed template: statements and expressions as trees of plain structs.
//
// All nodes belong to the Ast and point at each other, so that freeing them does not recurse.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_AST_H_
#define SLUICE_RUNTIME_TEXT_JINJA_AST_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

struct Builtin;
struct Expression;

// f(1, x=2, *more, **named)
struct Arguments {
  std::vector<const Expression*> positional;
  std::vector<std::pair<std::string, const Expression*>> named;
  const Expression* more = nullptr;
  const Expression* more_named = nullptr;
};

enum class ExpressionType : uint8_t {
  kLiteral,      // literal
  kName,         // name
  kList,         // parts
  kTuple,        // parts
  kDict,         // parts: key, value, key, value, ...
  kAttribute,    // parts[0].name
  kItem,         // parts[0][parts[1]]
  kSlice,        // parts[0][parts[1]:parts[2]:parts[3]], each of the last three may be null
  kCall,         // parts[0](arguments)
  kFilter,       // parts[0] | name(arguments); parts[0] is null where a block is filtered
  kTest,         // parts[0] is name(arguments)
  kUnary,        // unary parts[0]
  kBinary,       // parts[0] binary parts[1]
  kConcat,       // parts, joined by ~
  kCompare,      // parts[0] compares[0] parts[1] compares[1] parts[2] ...
  kNot,          // not parts[0]
  kAnd,          // all of parts, or the first that is false
  kOr,           // the first of parts that is true, or the last
  kConditional,  // parts[0] if parts[1] else parts[2], which may be null
  kNamespace,    // name.attribute as a target of set
};

struct Expression {
  ExpressionType type;
  size_t offset;  // in the source
  std::string name = {};
  std::string attribute = {};
  Value literal = {};
  std::vector<const Expression*> parts = {};
  Arguments arguments = {};
  UnaryOperator unary = {};
  BinaryOperator binary = {};
  std::vector<CompareOperator> compares = {};
  const Builtin* builtin = nullptr;  // of a filter or test; null if there is none of that name
};

struct Statement;
using Body = std::vector<const Statement*>;

struct Parameter {
  std::string name;
  const Expression* otherwise = nullptr;  // its default
};

// The parts that a macro and the block of a call have in common.
struct MacroSignature {
  std::string name;
  std::vector<Parameter> parameters;
  bool uses_varargs = false;  // whether its body mentions these names
  bool uses_kwargs = false;
  bool uses_caller = false;
};

enum class StatementType : uint8_t {
  kText,         // text
  kPrint,        // value
  kIf,           // branches, otherwise
  kFor,          // target in value if condition: body, otherwise
  kSet,          // target = value
  kSetBlock,     // target = body, through the filters of value where it is not null
  kMacro,        // signature, body
  kCallBlock,    // value is the call; signature, body
  kFilterBlock,  // value: filters over body
  kWith,         // assignments, body
  kScope,        // body in a scope of its own: generation, and print of several values
  kBreak,
  kContinue,
};

struct Branch {
  const Expression* condition;
  Body body;
};

struct Statement {
  StatementType type;
  size_t offset;
  std::string text = {};
  const Expression* target = nullptr;
  const Expression* value = nullptr;
  const Expression* condition = nullptr;
  bool recursive = false;
  bool uses_loop = false;  // whether its body mentions `loop`
  Body body = {};
  Body otherwise = {};
  std::vector<Branch> branches = {};
  std::vector<std::pair<const Expression*, const Expression*>> assignments = {};
  MacroSignature signature = {};
};

struct Ast {
  std::string source;  // normalized; offsets refer to it
  Body body;
  std::deque<Expression> expressions;
  std::deque<Statement> statements;
};

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_AST_H_
