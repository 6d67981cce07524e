// Progress of long work on stderr: a bar on a terminal, plain lines elsewhere.
#ifndef SLUICE_TOOLS_PROGRESS_H_
#define SLUICE_TOOLS_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

enum class ProgressUnit : uint8_t { kBytes, kCount, kTokens };
// What becomes of the bar's line when the work is over.
enum class ProgressEnd : uint8_t { kKeepLine, kClearLine };

class Progress {
 public:
  // `what` begins the line: "sharding".
  Progress(std::string what, ProgressUnit unit, ProgressEnd end = ProgressEnd::kKeepLine);
  // Ends the bar's line, or clears it.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Shows done of total (below 0: nobody knows), the rate since the first call (of counts only
  // where there is no `note`, which says more), the time left or taken, and `note`. Draws at most
  // ten times a second on a terminal; elsewhere a line each ten percent or ten seconds.
  void Update(double done, int64_t total, absl::string_view note = "");

 private:
  using Clock = std::chrono::steady_clock;
  const std::string what_;
  const ProgressUnit unit_;
  const ProgressEnd end_;
  const bool terminal_;
  Clock::time_point start_;
  Clock::time_point last_draw_;
  double first_done_ = -1;
  int64_t last_tenth_ = -1;
  bool drawn_ = false;
};

// Whether stderr is a terminal.
bool StderrIsTerminal();

}  // namespace sluice

#endif  // SLUICE_TOOLS_PROGRESS_H_
