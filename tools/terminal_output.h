// What a command writes while it works: its output as it comes, and lines for the user that are
// neither output nor error.
#ifndef SLUICE_TOOLS_TERMINAL_OUTPUT_H_
#define SLUICE_TOOLS_TERMINAL_OUTPUT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice {

// Writes `text` to standard output at once. DataLoss, with the system's reason: standard output is
// closed or full, and what computes more of it should end.
absl::Status WriteOut(absl::string_view text);

// Writes "sluice: <note>" as one line to standard error.
void PrintNote(absl::string_view note);

}  // namespace sluice

#endif  // SLUICE_TOOLS_TERMINAL_OUTPUT_H_
