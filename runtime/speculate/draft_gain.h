// Measures whether drafting pays, and says when to rest.
#ifndef SLUICE_RUNTIME_SPECULATE_DRAFT_GAIN_H_
#define SLUICE_RUNTIME_SPECULATE_DRAFT_GAIN_H_

#include <cstdint>

namespace sluice {

// Compares tokens a second of passes with drafts to those of passes without, for passes that did
// nothing but generate, of about as many sequences. It looks once a window of kWindow passes with
// drafts (the first time after kFirstWindow). Where two looks in a row see a gain of less than 2%,
// drafting rests, for kFirstRest passes at first and kRest passes later, then it is tried again.
//
// A pass without drafts is only asked for where the answer is not plain: where a pass gives more
// than kPlainGain tokens a sequence, less the part of the time that drafting takes, drafting is
// taken to pay until it is known what a pass takes without drafts. Passes for which nothing was
// proposed show that, too.
class DraftGain {
 public:
  static constexpr double kLeastGain = 1.02;
  static constexpr double kPlainGain = 1.5;
  static constexpr int kWindow = 64;
  static constexpr int kFirstWindow = 16;
  static constexpr int kFirstRest = 64;
  static constexpr int kRest = 512;

  struct Pass {
    bool drafted;
    double seconds;        // without drafting
    double draft_seconds;  // 0 where nothing was drafted
    int64_t sequences;     // that had a row
    int64_t tokens;        // that they got
  };

  // Whether the next pass should have drafts.
  bool Wants() const { return rest_ == 0 && !asks_plain_; }
  void Note(const Pass& pass);

  // Tokens a second with drafts over those without, of the last passes of each kind; 1 where one
  // kind was not seen.
  double Gain() const;

 private:
  // Means that fade, of passes of one kind.
  struct Rate {
    double passes = 0;
    double seconds = 0;
    double draft_seconds = 0;
    double sequences = 0;
    double tokens = 0;
    // A pass that took much longer than the others, by chance, counts as one that took longer.
    void Add(const Pass& pass);
    // Whether it was measured, with about as many sequences.
    bool IsOf(int64_t num_sequences) const;
    double TokensEach() const { return tokens / sequences; }
    double SecondsAPass() const { return (seconds + draft_seconds) / passes; }
  };
  // At the end of a window.
  void Look();

  Rate drafted_;
  Rate plain_;
  int window_ = kFirstWindow;  // passes with drafts before the next look
  int bad_looks_ = 0;          // in a row
  int rest_ = 0;               // passes that are left without drafts
  int next_rest_ = kFirstRest;
  bool asks_plain_ = false;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_DRAFT_GAIN_H_
