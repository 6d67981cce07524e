// Return-on-error macros for absl::Status, which Abseil itself does not publish.
#ifndef SLUICE_KERNELS_BASE_STATUS_MACROS_H_
#define SLUICE_KERNELS_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the calling function where `expression` (an absl::Status) is not OK.
#define SLUICE_RETURN_IF_ERROR(expression)                                                    \
  do {                                                                                        \
    if (absl::Status sluice_status = (expression); !sluice_status.ok()) return sluice_status; \
  } while (false)

#define SLUICE_CONCAT_INNER(a, b) a##b
#define SLUICE_CONCAT(a, b) SLUICE_CONCAT_INNER(a, b)

// SLUICE_ASSIGN_OR_RETURN(auto value, F()): declares or assigns `value` from the StatusOr that F()
// returns, or returns its error from the calling function.
#define SLUICE_ASSIGN_OR_RETURN(lhs, expression) \
  SLUICE_ASSIGN_OR_RETURN_INNER(SLUICE_CONCAT(sluice_statusor_, __LINE__), lhs, expression)
#define SLUICE_ASSIGN_OR_RETURN_INNER(statusor, lhs, expression) \
  auto statusor = (expression);                                  \
  if (!statusor.ok()) return std::move(statusor).status();       \
  lhs = *std::move(statusor)

#endif  // SLUICE_KERNELS_BASE_STATUS_MACROS_H_
