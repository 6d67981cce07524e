// Return-on-error macros, as this folder includes nothing from outside.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_STATUS_MACROS_H_
#define SLUICE_RUNTIME_TEXT_JINJA_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the calling function if `expression` (an absl::Status) is not OK.
#define JINJA_RETURN_IF_ERROR(expression)                                                  \
  do {                                                                                     \
    if (absl::Status jinja_status = (expression); !jinja_status.ok()) return jinja_status; \
  } while (false)

#define JINJA_CONCAT_INNER(a, b) a##b
#define JINJA_CONCAT(a, b) JINJA_CONCAT_INNER(a, b)

// Declares or assigns `lhs` from a StatusOr, or returns its error from the calling function.
#define JINJA_ASSIGN_OR_RETURN(lhs, expression) \
  JINJA_ASSIGN_OR_RETURN_INNER(JINJA_CONCAT(jinja_statusor_, __LINE__), lhs, expression)
#define JINJA_ASSIGN_OR_RETURN_INNER(statusor, lhs, expression) \
  auto statusor = (expression);                                 \
  if (!statusor.ok()) return std::move(statusor).status();      \
  lhs = *std::move(statusor)

#endif  // SLUICE_RUNTIME_TEXT_JINJA_STATUS_MACROS_H_
