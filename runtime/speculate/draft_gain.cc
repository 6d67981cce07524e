// Two rates that fade, and a look at them once a window.
#include "runtime/speculate/draft_gain.h"

#include <algorithm>

namespace sluice {
namespace {

// Passes behind which what was measured counts half.
constexpr double kFadingPasses = 32;

}  // namespace

void DraftGain::Rate::Add(double pass_seconds, int64_t pass_sequences, int64_t pass_tokens) {
  constexpr double kKeep = 1 - 1 / kFadingPasses;
  seconds = kKeep * seconds + pass_seconds;
  sequences = kKeep * sequences + static_cast<double>(pass_sequences);
  tokens = kKeep * tokens + static_cast<double>(pass_tokens);
}

double DraftGain::RecentGain() const {
  if (plain_.sequences == 0 || drafted_.sequences == 0) return drafted_.TokensEach();
  return drafted_.TokensEach() * plain_.SecondsEach() / drafted_.SecondsEach();
}

double DraftGain::Gain() const {
  return plain_.sequences > 0 && drafted_.sequences > 0 ? RecentGain() : 1;
}

void DraftGain::Note(bool drafted, double seconds, int64_t sequences, int64_t tokens) {
  if (sequences == 0) return;
  (drafted ? drafted_ : plain_).Add(seconds, sequences, tokens);
  if (rest_ > 0) {
    // What is known of passes with drafts is old by then.
    if (--rest_ == 0) {
      drafted_ = {};
      window_ = kFirstWindow;
    }
    return;
  }
  if (!drafted) {
    asks_plain_ = false;
    return;
  }
  if (--window_ > 0) return;
  window_ = kWindow;
  if (plain_.sequences == 0) {
    asks_plain_ = drafted_.TokensEach() < kPlainGain;
    if (asks_plain_) window_ = 1;
    return;
  }
  if (RecentGain() < kLeastGain) rest_ = kRestPasses;
}

}  // namespace sluice
