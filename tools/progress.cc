// Draws progress.
#include "tools/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/format_bytes.h"
#include "tools/command.h"

namespace sluice {
namespace {

std::string FormatDuration(double seconds) {
  const int64_t s = std::llround(seconds);
  if (s >= 3600) return absl::StrFormat("%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
  return absl::StrFormat("%d:%02d", s / 60, s % 60);
}

int TerminalWidth() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

bool StderrIsTerminal() { return isatty(STDERR_FILENO) == 1; }

Progress::Progress(std::string what, ProgressUnit unit, ProgressEnd end)
    : what_(std::move(what)), unit_(unit), end_(end), terminal_(StderrIsTerminal()) {}

Progress::~Progress() {
  if (!terminal_ || !drawn_) return;
  std::fputs(end_ == ProgressEnd::kClearLine ? "\r\033[K" : "\n", stderr);
  std::fflush(stderr);
}

void Progress::Update(double done, int64_t total, absl::string_view note) {
  const Clock::time_point now = Clock::now();
  if (first_done_ < 0) {
    first_done_ = done;
    start_ = now;
    last_draw_ = now - std::chrono::hours(1);
  }
  const double since_draw = std::chrono::duration<double>(now - last_draw_).count();
  const auto whole = static_cast<int64_t>(done);
  const double share = total > 0 ? std::clamp(done / static_cast<double>(total), 0.0, 1.0) : 1;
  const auto tenth = static_cast<int64_t>(share * 10);
  const bool finished = total >= 0 && done >= static_cast<double>(total);
  if (terminal_ ? since_draw < 0.1 && !finished : tenth == last_tenth_ && since_draw < 10) return;
  last_draw_ = now;
  last_tenth_ = tenth;

  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = seconds > 0.05 ? (done - first_done_) / seconds : 0;
  std::string line = what_;
  if (total >= 0) absl::StrAppendFormat(&line, " %3d%%", static_cast<int>(share * 100));
  std::string tail = "  ";
  if (unit_ == ProgressUnit::kBytes) {
    absl::StrAppend(&tail, FormatBytes(whole),
                    total >= 0 ? absl::StrCat(" of ", FormatBytes(total)) : "");
  } else {
    absl::StrAppend(&tail, whole, total >= 0 ? absl::StrCat(" of ", total) : "",
                    unit_ == ProgressUnit::kTokens ? " tokens" : "");
  }
  if (rate > 0) {
    if (unit_ == ProgressUnit::kBytes) {
      if (rate < 1e8) {
        absl::StrAppendFormat(&tail, "  %.1f MB/s", rate / 1e6);
      } else {
        absl::StrAppendFormat(&tail, "  %.2f GB/s", rate / 1e9);
      }
    } else if (unit_ == ProgressUnit::kTokens) {
      absl::StrAppendFormat(&tail, "  %.3g tokens/s", rate);
    } else if (note.empty()) {
      absl::StrAppendFormat(&tail, "  %.3g/s", rate);
    }
  }
  if (!finished) {
    const bool left_known = rate > 0 && total >= 0;
    absl::StrAppend(
        &tail, "  ",
        FormatDuration(left_known ? (static_cast<double>(total) - done) / rate : seconds),
        left_known ? " left" : "");
  }
  if (!note.empty()) absl::StrAppend(&tail, "  ", note);
  if (!terminal_) {
    std::fprintf(stderr, "%s%s\n", line.c_str(), tail.c_str());
    return;
  }
  const int width = TerminalWidth();
  const int room = std::clamp(width - static_cast<int>(line.size() + tail.size()) - 4, 0, 40);
  if (room >= 10 && total >= 0) {
    const int filled = static_cast<int>(share * room);
    absl::StrAppend(&line, " [", std::string(filled, '='), std::string(room - filled, ' '), "]");
  }
  absl::StrAppend(&line, tail);
  std::fprintf(stderr, "\r\033[K%s", line.substr(0, std::max(width - 1, 1)).c_str());
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace sluice
