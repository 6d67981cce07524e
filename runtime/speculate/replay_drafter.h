// A drafter for benches and tests, whose guesses are right as often as it is told.
#ifndef SLUICE_RUNTIME_SPECULATE_REPLAY_DRAFTER_H_
#define SLUICE_RUNTIME_SPECULATE_REPLAY_DRAFTER_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/speculate/drafter.h"

namespace sluice {

struct ReplayOptions {
  double error_probability = 0;  // of each proposed token, independent of all others
  uint64_t seed = 0;
  int32_t vocab_size = 0;  // at least 2; wrong tokens are below it
  int source = 0;          // of the nodes; their bucket is 0
};

// Proposes a chain of the tokens that the sequence is known to get, some of them replaced by wrong
// ones. Seed and position alone decide which, so a position is right or wrong in every pass. Behind
// a wrong token the chain goes on with recorded ones. The output stays the target's: what is
// measured is real but for how good the guesses are.
class ReplayDrafter : public Drafter {
 public:
  explicit ReplayDrafter(const ReplayOptions& options) : options_(options) {}

  // Says that `answer` follows the first `prompt_tokens` tokens of the sequence. Positions count
  // from the answer's first token. Comes before the sequence's first Observe().
  void Record(int64_t sequence, int64_t prompt_tokens, std::vector<int32_t> answer);

  void Observe(int64_t sequence, absl::Span<const int32_t> tokens) override;
  // NotFound: no answer is recorded. DataLoss: the sequence got other tokens than the recorded
  // ones. Proposes nothing within the prompt and behind the end of the answer.
  absl::Status Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) override;
  void Forget(int64_t sequence) override { sequences_.erase(sequence); }
  absl::string_view name() const override { return "replay"; }

  // Returns the number of right tokens from `position` on before the first wrong one, at most
  // `depth` and at most to the end of the answer: what a pass at this position accepts when all
  // nodes to this depth have rows. 0 where no answer is recorded.
  int64_t ExpectedAccepted(int64_t sequence, int64_t position, int64_t depth) const;

 private:
  struct Sequence {
    int64_t prompt_tokens = 0;
    std::vector<int32_t> answer;
    int64_t observed = 0;           // tokens, those of the prompt too
    int64_t first_difference = -1;  // the first position with another token than recorded
  };
  bool IsWrong(int64_t position) const;
  int32_t WrongToken(int64_t position, int32_t recorded) const;

  const ReplayOptions options_;
  absl::flat_hash_map<int64_t, Sequence> sequences_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_REPLAY_DRAFTER_H_
