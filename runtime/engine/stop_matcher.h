// Finds stop texts in text that comes piece by piece.
#ifndef SLUICE_RUNTIME_ENGINE_STOP_MATCHER_H_
#define SLUICE_RUNTIME_ENGINE_STOP_MATCHER_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice {

// Holds text back while it may be the beginning of a stop text.
class StopMatcher {
 public:
  // With `show_stop` the stop text that ends the text is shown, too.
  explicit StopMatcher(std::vector<std::string> stops, bool show_stop = false)
      : stops_(std::move(stops)), show_stop_(show_stop) {}
  // Takes more text; returns what can be shown. After stopped() nothing is returned any more.
  std::string Push(absl::string_view text);
  // What was held back, at the end.
  std::string Flush();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  bool show_stop_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_ENGINE_STOP_MATCHER_H_
