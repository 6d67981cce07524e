// A drafter without a model: what followed the last tokens before may follow them again.
#ifndef SLUICE_RUNTIME_SPECULATE_SUFFIX_DRAFTER_H_
#define SLUICE_RUNTIME_SPECULATE_SUFFIX_DRAFTER_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/speculate/calibration.h"
#include "runtime/speculate/drafter.h"
#include "runtime/speculate/suffix_automaton.h"

namespace sluice {

struct SuffixDrafterOptions {
  // Tokens of all known sequences together, and of the learned texts. What goes beyond is not
  // remembered; each takes at most SuffixAutomaton::kMaxBytesPerToken bytes.
  int64_t max_sequence_tokens = 256 << 10;
  int64_t max_shared_tokens = 256 << 10;
  // The sources of nodes that come from the sequence itself, and from the learned texts.
  int source = 0;
  int shared_source = 1;

  // For so many sequences at once: all of a single one, and nothing else; of several no more than
  // 64 Ki tokens, and as many of finished ones.
  static SuffixDrafterOptions For(int64_t context_tokens, int64_t num_sequences);
};

// Looks for earlier occurrences of the sequence's last tokens, in the sequence and in the texts
// that were learned, and proposes what followed there. All suffixes that occurred vote, down to
// one token: a suffix has the more weight the longer it is, and gives it to its followers by how
// often each came; what it does not give is left to shorter suffixes. This is the prediction by
// partial matching of Cleary and Witten (1984). No token that followed shorter suffixes alone gets
// more votes than the first follower of the longest one. A node's bucket is a range of votes, and
// the Calibration says how often such nodes are accepted.
//
// The tree grows likeliest node first. A node is treated as if its path belonged to the text: its
// followers are those of the longest suffix of text and path that occurs. So the chain of a match
// goes on as long as the match does, and where it comes to the end of the text, which nothing has
// followed, shorter suffixes decide; a text that repeats itself is so continued with its period.
class SuffixDrafter : public Drafter {
 public:
  // What both sources' buckets should begin with, measured over source code and prose.
  static const Calibration::Priors& InitialRates();

  // `calibration` must outlive this and know both sources.
  SuffixDrafter(const SuffixDrafterOptions& options, const Calibration* calibration);

  // Remembers a finished text for all sequences, for example an answer. Only the part that there
  // is room for is learned. Texts are separate: no match reaches from one into the next.
  void Learn(absl::Span<const int32_t> tokens) override;

  // Tokens below 0 are not allowed. Where there is no more room, the sequence's later tokens are
  // not remembered, but are still looked for among the earlier ones.
  void Observe(int64_t sequence, absl::Span<const int32_t> tokens) override;
  // Always returns OkStatus().
  absl::Status Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) override;
  void Forget(int64_t sequence) override;
  absl::string_view name() const override { return "suffix"; }

  // Bytes that are held now, and the most that can be held with `sequences` sequences at once.
  // Neither counts what Propose() works with, which is below 2 KiB for each of `max_nodes`.
  int64_t MemoryBytes() const;
  static int64_t MaxMemoryBytes(const SuffixDrafterOptions& options, int64_t sequences);

 private:
  using Match = SuffixAutomaton::Match;
  struct Sequence {
    SuffixAutomaton text;
    Match own;             // in `text`: the last tokens' earlier occurrence
    Match shared;          // in shared_
    bool is_full = false;  // `text` is not the whole sequence and does not grow
  };
  // One suffix that occurred: the more tokens, the more its followers count.
  struct Suffix {
    const SuffixAutomaton* automaton;
    Match match;
    int source;
  };
  // A token that may come next.
  struct Follower {
    int32_t token;
    int source;    // of the longest suffix that it followed
    double votes;  // from 0 to 1; those of all followers add up to at most 1
  };
  // Where a node of the tree stands in the texts.
  struct Place {
    int32_t node;
    Match own;
    Match shared;
  };
  // A node that may be added: `token` behind the node of places_[place].
  struct Candidate {
    double survival;
    int64_t order;  // of equal ones the lower goes first
    int32_t place;
    int32_t token;
    int source;
    int bucket;

    bool operator<(const Candidate& other) const {  // for a heap with the likeliest on top
      return survival != other.survival ? survival < other.survival : order > other.order;
    }
  };

  // Fills suffixes_: the longest ones of both automata, longest first.
  void FindSuffixes(const Sequence& sequence, const Place& place);
  // Adds the votes of one suffix to followers_, and takes them from `remaining`.
  void CountVotes(const Suffix& suffix, double* remaining);
  // Fills followers_, with the most votes first.
  void FindFollowers(const Sequence& sequence, const Place& place);
  // Puts the followers of a place on the heap.
  void PushCandidates(const Sequence& sequence, int32_t place, int32_t depth, double survival);

  const SuffixDrafterOptions options_;
  const Calibration* const calibration_;
  absl::flat_hash_map<int64_t, Sequence> sequences_;
  int64_t sequence_tokens_ = 0;  // of all automata in sequences_
  SuffixAutomaton shared_;

  // What one Propose() works with; kept for the memory alone.
  std::vector<Suffix> suffixes_;
  std::vector<Follower> followers_;
  std::vector<Place> places_;
  std::vector<Candidate> heap_;
  int64_t order_ = 0;  // of the next candidate
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_SUFFIX_DRAFTER_H_
