// Binding of arguments to a builtin's parameters.
#include "runtime/text/jinja/builtin.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"

namespace sluice::jinja {
namespace {

absl::Status Bind(const Builtin& builtin, Invocation* call) {
  const CallArguments& given = call->given;
  absl::string_view list = builtin.parameters;
  const bool by_position_only = absl::ConsumePrefix(&list, "/");
  std::vector<absl::string_view> parameters = absl::StrSplit(list, ' ', absl::SkipEmpty());
  if (given.positional.size() > parameters.size()) {
    return Error(builtin.name, "() takes at most ", parameters.size(), " arguments, ",
                 given.positional.size(), " are given");
  }
  call->args = given.positional;
  call->args.resize(parameters.size());
  if (by_position_only && !given.named.empty()) {
    return Error(builtin.name, "() takes no keyword arguments");
  }
  for (const auto& [name, value] : given.named) {
    size_t i = 0;
    while (i < parameters.size() && absl::StripSuffix(parameters[i], "?") != name) ++i;
    if (i == parameters.size()) {
      return Error(builtin.name, "() has no argument named '", name, "'");
    }
    if (call->Has(i)) return Error(builtin.name, "() is given '", name, "' twice");
    call->args[i] = value;
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!call->Has(i) && parameters[i].back() != '?') {
      return Error(builtin.name, "() needs the argument '", parameters[i], "'");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> Invocation::Int(size_t i, int64_t otherwise) const {
  if (!Has(i)) return otherwise;
  if (args[i].is_undefined()) return Error(args[i].undefined().message);
  if (args[i].is_integral()) return args[i].as_int();
  return Error("'", TypeName(args[i]), "' object cannot be interpreted as an integer");
}

bool Invocation::Bool(size_t i, bool otherwise) const {
  return Has(i) ? IsTrue(args[i]) : otherwise;
}

absl::StatusOr<std::string> Invocation::Text(size_t i, absl::string_view otherwise) const {
  if (!Has(i)) return std::string(otherwise);
  if (args[i].is_undefined()) return Error(args[i].undefined().message);
  if (args[i].is_string()) return args[i].text();
  return Error("a string is expected, not '", TypeName(args[i]), "'");
}

absl::StatusOr<Value> Invoke(Runtime& runtime, const Builtin& builtin, const Value& self,
                             const CallArguments& arguments) {
  const DepthGuard deeper(runtime);
  JINJA_RETURN_IF_ERROR(deeper.status());
  JINJA_RETURN_IF_ERROR(runtime.Step(self.Size()));
  Invocation call{.runtime = runtime, .self = self, .given = arguments};
  if (builtin.parameters != "*") JINJA_RETURN_IF_ERROR(Bind(builtin, &call));
  return builtin.run(call);
}

const Builtin* FindBuiltin(absl::Span<const Builtin> table, absl::string_view name) {
  for (const Builtin& builtin : table) {
    if (builtin.name == name) return &builtin;
  }
  return nullptr;
}

const Builtin* FindFilter(absl::string_view name) {
  for (const auto table : {TextFilters(), NumberFilters(), SequenceFilters(), SelectionFilters()}) {
    if (const Builtin* const filter = FindBuiltin(table, name)) return filter;
  }
  return nullptr;
}

const Builtin* FindTest(absl::string_view name) { return FindBuiltin(Tests(), name); }

}  // namespace sluice::jinja
