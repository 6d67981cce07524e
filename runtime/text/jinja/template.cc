// Parsing and evaluating, put together.
#include "runtime/text/jinja/template.h"

#include <algorithm>
#include <utility>

#include "runtime/text/jinja/ast.h"
#include "runtime/text/jinja/evaluator.h"
#include "runtime/text/jinja/parser.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/status_macros.h"

namespace sluice::jinja {

Template::Template(std::unique_ptr<const Ast> ast, const Limits& limits)
    : ast_(std::move(ast)), limits_(limits) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

absl::StatusOr<Template> Template::Parse(absl::string_view source, const Limits& limits) {
  JINJA_ASSIGN_OR_RETURN(std::unique_ptr<const Ast> ast, ParseTemplate(source, limits));
  return Template(std::move(ast), limits);
}

absl::StatusOr<std::string> Template::Render(const Value& context, const std::tm& now,
                                             int64_t max_bytes) const {
  if (!context.is_dict()) return Error("the context is not a dict");
  Limits limits = limits_;
  limits.value_bytes = std::min(limits.value_bytes, max_bytes);
  limits.output_bytes = std::min(limits.output_bytes, max_bytes);
  Runtime runtime(limits, now);
  absl::StatusOr<std::string> text = Evaluator(*ast_, context, &runtime).Run();
  if (!text.ok() && runtime.out_of_memory() && max_bytes < limits_.value_bytes) {
    return absl::OutOfRangeError(text.status().message());
  }
  return text;
}

}  // namespace sluice::jinja
