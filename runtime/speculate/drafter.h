// The interface of drafters, which guess how a sequence goes on.
//
// The engine decides by the target model alone which tokens a sequence gets, so a drafter changes
// how many tokens a pass gives and never which ones. In each pass it does this:
//
//   1. For each sequence it makes an empty DraftTree and calls Propose() of each drafter on it.
//      Paths that two drafters propose become one.
//   2. ShareRows() gives each tree its part of the rows that the pass has left; Best() names the
//      nodes of that part, and Trimmed() brings them into the order in which a pass computes them.
//   3. The pass computes a row for the sequence's last token and one for each node.
//   4. The engine walks down from the root: it draws the next token from the row of the node it
//      has reached, and steps to the child with this token (Find()) until there is none or the
//      sequence ends. The drawn tokens are the sequence's next ones.
//   5. NoteWalk() tells the Calibration which nodes were accepted and which were not: those whose
//      parent was reached. Nothing is known about the other nodes.
//   6. ObserveHidden() gets the hidden rows of the tokens whose rows were computed and stay, and
//      Observe(), before the next Propose(), the drawn tokens. When the sequence has ended,
//      Forget().
#ifndef SLUICE_RUNTIME_SPECULATE_DRAFTER_H_
#define SLUICE_RUNTIME_SPECULATE_DRAFTER_H_

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/speculate/draft_tree.h"
#include "runtime/text/grammar/constraint.h"

namespace sluice {

struct DraftLimits {
  int64_t max_nodes = 64;  // nodes that the call may add to the tree
  int32_t max_depth = 16;  // of these nodes
  // The sampling of the sequence, for drafters that draw with the target's noise (GumbelNoise):
  // the position of the first proposed token is the number of observed ones. 0: greedy.
  double temperature = 0;
  uint64_t seed = 0;
  // Its filters, as SamplerOptions has them: what they leave out is not drawn.
  int64_t top_k = 0;
  double top_p = 1;
  double min_p = 0;
  // Where the sequence's grammar is, behind all of its tokens, and how many tokens it may still
  // get; it is not to be moved, but copied. Null: the sequence has none.
  const grammar::Matcher* grammar = nullptr;
  int64_t tokens_left = 0;
  // Tokens that the engine gives in a second. A second of drafting has to bring more than that. 0:
  // not known.
  double tokens_per_second = 0;
  // Set where drafting is to end soon, as the engine's pass is: that is no error. Null: it never
  // is.
  const std::atomic<bool>* stop = nullptr;
};

// A tree that is wanted.
struct DraftRequest {
  int64_t sequence;
  DraftLimits limits;
  DraftTree* tree;
};

// Calls come from one thread. A sequence begins with its first Observe() or ObserveHidden(), and
// its number may be used again after Forget().
class Drafter {
 public:
  virtual ~Drafter() = default;

  // Tells the tokens that follow the ones observed before: the prompt, then what each pass gave.
  virtual void Observe(int64_t sequence, absl::Span<const int32_t> tokens) = 0;

  // Whether ObserveHidden is to be called.
  virtual bool WantsHidden() const { return false; }
  // Tells final hidden rows of the target's, [number of rows, hidden_size], of the sequence's
  // tokens from number `first` on, once a pass has computed them. A token's hidden row may come
  // before or after the token itself is observed; rows of tokens that were not computed (a cache
  // had them) never come, and those of a sequence that is computed again come again.
  virtual void ObserveHidden(int64_t /*sequence*/, int64_t /*first*/,
                             absl::Span<const float> /*rows*/) {}

  // Adds to `tree` guesses of how the sequence goes on behind the observed tokens. A sequence that
  // was never observed gets none. After an error the caller asks this drafter no more; the tree is
  // then still valid.
  virtual absl::Status Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) = 0;

  // The same for several sequences of a pass, each once: drafters that compute with one model for
  // all of them do so at once.
  virtual absl::Status ProposeAll(absl::Span<const DraftRequest> requests) {
    for (const DraftRequest& request : requests) {
      absl::Status status = Propose(request.sequence, request.limits, request.tree);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Tells what a sequence got in the end; it may come again in another one.
  virtual void Learn(absl::Span<const int32_t> /*tokens*/) {}

  // Frees what is kept for the sequence. A sequence that is not known is ignored.
  virtual void Forget(int64_t sequence) = 0;

  // A short constant name for statistics, such as "suffix".
  virtual absl::string_view name() const = 0;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_DRAFTER_H_
