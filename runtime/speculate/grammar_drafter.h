// Drafts what a sequence's grammar leaves no choice about, or little.
#ifndef SLUICE_RUNTIME_SPECULATE_GRAMMAR_DRAFTER_H_
#define SLUICE_RUNTIME_SPECULATE_GRAMMAR_DRAFTER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/speculate/calibration.h"
#include "runtime/speculate/draft_tree.h"
#include "runtime/speculate/drafter.h"
#include "runtime/text/grammar/constraint.h"

namespace sluice {

// Looks ahead in the grammar of a sequence (DraftLimits::grammar), with matchers of its own. Where
// the grammar allows one token, this token comes for sure, at any temperature: its node survives as
// its parent does. Where the grammar allows a few tokens, all of them are proposed. Most often
// these spell one text, such as the name of a member in JSON: a model then takes the longest token
// that stays in this text (`name` rather than `na`), or one that goes beyond it. The rates of the
// calibration tell how often.
//
// Nothing is drafted where more than kMostAllowed tokens are allowed, and for a sequence without a
// grammar. Tokens that end the text are left out: nobody needs a row behind the last token.
class GrammarDrafter : public Drafter {
 public:
  // States of the grammar that are looked at for a tree: the time that drafting takes. Most of them
  // are asked for again when the sequence comes there, and answered from what is remembered.
  static constexpr int kMostStates = 32;
  static constexpr int kMostAllowed = 16;

  static const Calibration::Priors& InitialRates();

  // `calibration` must outlive this; `source` is the number of the nodes' source there.
  GrammarDrafter(int source, const Calibration* calibration);

  void Observe(int64_t /*sequence*/, absl::Span<const int32_t> /*tokens*/) override {}
  // ResourceExhausted: a limit of the grammar was met.
  absl::Status Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) override;
  void Forget(int64_t /*sequence*/) override {}
  absl::string_view name() const override { return "grammar"; }

 private:
  // A node of the tree, or its root, and the grammar's state behind it.
  struct Place {
    grammar::Matcher matcher;
    int32_t node;
  };
  // A token that may become a node.
  struct Candidate {
    double survival;
    int32_t order;  // of equally likely ones the earlier goes first
    int32_t place;  // the parent's, in places_
    int32_t token;
    int8_t bucket;
    bool operator<(const Candidate& other) const {
      return survival != other.survival ? survival < other.survival : order > other.order;
    }
  };
  // What may follow a place becomes candidates, where that is little enough.
  absl::Status PushCandidates(const DraftLimits& limits, const DraftTree& tree, int32_t place);
  // Sets allowed_ to the tokens of mask_ that do not end a text, those that spell one text first,
  // the longest of these first. Returns how many spell it. None at all where there are too many.
  int FindAllowed(const grammar::Vocabulary& vocabulary);

  const int source_;
  const Calibration* const calibration_;
  // Scratch of Propose.
  std::vector<Place> places_;
  std::vector<Candidate> heap_;
  int32_t order_ = 0;
  grammar::TokenMask mask_;
  std::vector<int32_t> allowed_;
};

// Returns the nodes of `tree` that the grammar lets a text go through which has come as far as
// `matcher`: a tree again. Nodes behind which the text has ended are left out, too.
std::vector<int32_t> AllowedNodes(const grammar::Matcher& matcher, const DraftTree& tree);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_GRAMMAR_DRAFTER_H_
