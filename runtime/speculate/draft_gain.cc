// Two rates that fade, and a look at them once a window.
#include "runtime/speculate/draft_gain.h"

#include <algorithm>

namespace sluice {
namespace {

// Passes behind which what was measured counts about a third.
constexpr double kFadingPasses = 32;
// Of a pass that took longer than the mean of those before it, so many means count.
constexpr double kMostMeans = 3;
constexpr double kEnoughPasses = 3;
// Numbers of sequences within this factor are compared.
constexpr double kAlike = 1.25;

}  // namespace

void DraftGain::Rate::Add(const Pass& pass) {
  const double mean = passes > 0 ? SecondsAPass() : 0;
  const double took = pass.seconds + pass.draft_seconds;
  const bool odd = passes >= kEnoughPasses && took > kMostMeans * mean;
  const double part = odd ? kMostMeans * mean / took : 1;
  constexpr double kKeep = 1 - 1 / kFadingPasses;
  passes = kKeep * passes + 1;
  seconds = kKeep * seconds + part * pass.seconds;
  draft_seconds = kKeep * draft_seconds + part * pass.draft_seconds;
  sequences = kKeep * sequences + static_cast<double>(pass.sequences);
  tokens = kKeep * tokens + static_cast<double>(pass.tokens);
}

bool DraftGain::Rate::IsOf(int64_t num_sequences) const {
  const auto now = static_cast<double>(num_sequences);
  const double mean = passes > 0 ? sequences / passes : 0;
  return now <= kAlike * mean && mean <= kAlike * now;
}

double DraftGain::Gain() const {
  if (plain_.passes == 0 || drafted_.passes == 0) return 1;
  return drafted_.TokensEach() / plain_.TokensEach() * plain_.SecondsAPass() /
         drafted_.SecondsAPass();
}

void DraftGain::Look() {
  window_ = kWindow;
  if (plain_.passes == 0) {
    const double share = drafted_.seconds / (drafted_.seconds + drafted_.draft_seconds);
    asks_plain_ = drafted_.TokensEach() * share < kPlainGain;
    if (asks_plain_) window_ = 1;
    return;
  }
  bad_looks_ = Gain() < kLeastGain ? bad_looks_ + 1 : 0;
  if (bad_looks_ == 1) window_ = kFirstWindow;
  if (bad_looks_ < 2) return;
  bad_looks_ = 0;
  rest_ = next_rest_;
  next_rest_ = kRest;
}

void DraftGain::Note(const Pass& pass) {
  if (pass.sequences == 0) return;
  for (Rate* rate : {&drafted_, &plain_}) {
    if (!rate->IsOf(pass.sequences)) *rate = {};
  }
  (pass.drafted ? drafted_ : plain_).Add(pass);
  if (rest_ > 0) {
    // What is known of passes with drafts is old by then.
    if (--rest_ == 0) {
      drafted_ = {};
      window_ = kFirstWindow;
    }
    return;
  }
  if (!pass.drafted) {
    asks_plain_ = false;
    return;
  }
  if (--window_ <= 0) Look();
}

}  // namespace sluice
