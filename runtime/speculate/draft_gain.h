// Measures whether drafting pays, and says when to rest.
#ifndef SLUICE_RUNTIME_SPECULATE_DRAFT_GAIN_H_
#define SLUICE_RUNTIME_SPECULATE_DRAFT_GAIN_H_

#include <cstdint>

namespace sluice {

// Compares tokens a second of passes with drafts to those of passes without, for passes that did
// nothing but generate. Where drafting gains less than 2% over kWindow passes (the first time over
// kFirstWindow), it rests for kRestPasses passes, then it is tried again.
//
// A pass without drafts is only asked for where the answer is not plain: more than kPlainGain
// tokens a pass and sequence are taken to pay until it is known what a pass takes without drafts,
// which passes for which nothing was proposed show.
class DraftGain {
 public:
  static constexpr double kLeastGain = 1.02;
  static constexpr double kPlainGain = 1.5;
  static constexpr int kWindow = 64;
  static constexpr int kFirstWindow = 16;
  static constexpr int kRestPasses = 512;

  // Whether the next pass should have drafts.
  bool Wants() const { return rest_ == 0 && !asks_plain_; }

  // Notes a pass of `sequences` sequences which gave `tokens` tokens in `seconds`, drafting
  // included. `drafted`: with drafts.
  void Note(bool drafted, double seconds, int64_t sequences, int64_t tokens);

  // Tokens a second with drafts over those without, of the last passes of each kind; 1 where one
  // kind was not seen.
  double Gain() const;

 private:
  // Sums that fade.
  struct Rate {
    double seconds = 0;
    double sequences = 0;  // that had a row, a pass each
    double tokens = 0;
    void Add(double pass_seconds, int64_t pass_sequences, int64_t pass_tokens);
    double SecondsEach() const { return sequences > 0 ? seconds / sequences : 0; }
    double TokensEach() const { return sequences > 0 ? tokens / sequences : 0; }
  };
  double RecentGain() const;

  Rate drafted_;
  Rate plain_;
  int window_ = kFirstWindow;  // passes with drafts before the next look
  int rest_ = 0;               // passes that are left without drafts
  bool asks_plain_ = false;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_DRAFT_GAIN_H_
