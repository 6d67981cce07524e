// Lines that a user types or a pipe delivers, as valid UTF-8.
#ifndef SLUICE_TOOLS_LINE_SOURCE_H_
#define SLUICE_TOOLS_LINE_SOURCE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

inline constexpr size_t kMaxLineBytes = size_t{4} << 20;

enum class LineState {
  kLine,
  kEnd,          // Ctrl-D, or the end of the input
  kTooLong,      // more than kMaxLineBytes; the line was read to its end
  kInterrupted,  // a signal came while waiting; on a terminal `line` has what was typed so far
};

class LineSource {
 public:
  virtual ~LineSource() = default;
  // Waits for a line, without its line end. Bytes that are no UTF-8 become U+FFFD, and *replaced is
  // set.
  virtual LineState Read(absl::string_view prompt, std::string* line, bool* replaced) = 0;
};

// Standard input as it comes; no prompt is shown.
std::unique_ptr<LineSource> MakePlainLines();
// The terminal, with libedit: editing, history of this process, the user's ~/.editrc, resizing.
// InstallInterruptHandler must have been called. nullptr where libedit cannot work with this
// terminal.
std::unique_ptr<LineSource> MakeTerminalLines();

}  // namespace sluice

#endif  // SLUICE_TOOLS_LINE_SOURCE_H_
