// Makes a tree of a template's tokens.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_PARSER_H_
#define SLUICE_RUNTIME_TEXT_JINJA_PARSER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/jinja/ast.h"
#include "runtime/text/jinja/limits.h"

namespace sluice::jinja {

// InvalidArgument: malformed, or an unknown tag, filter or test; with line, column and what was
// expected. ResourceExhausted: larger or deeper than `limits` allow.
absl::StatusOr<std::unique_ptr<const Ast>> ParseTemplate(absl::string_view source,
                                                         const Limits& limits);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_PARSER_H_
