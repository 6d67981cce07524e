// Learns how often the nodes that drafters propose are accepted.
#ifndef SLUICE_RUNTIME_SPECULATE_CALIBRATION_H_
#define SLUICE_RUNTIME_SPECULATE_CALIBRATION_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "runtime/speculate/draft_tree.h"

namespace sluice {

// A drafter sorts its proposals into this many classes of confidence, 0 the least.
inline constexpr int kConfidenceBuckets = 16;

// A node is *judged* when the sequence has reached its parent and gone on from there: it is
// accepted where it holds the token that came, else rejected. The step rate of a class of nodes is
// the share of the judged ones that are accepted; a node's survival is the product of the step
// rates from the root down.
//
// Every (source, bucket, depth) has a smoothed rate: while few of its nodes are judged, it is near
// the rate of the bucket at all depths, and that one near the prior. Old judgements fade, so
// that the rates follow the text. For one thread.
class Calibration {
 public:
  // The step rates that a source's buckets begin with, each from 0 to 1.
  using Priors = std::array<double, kConfidenceBuckets>;

  // Sources are numbered in the order of `priors`.
  explicit Calibration(std::vector<Priors> priors);

  // Returns the step rate that is expected of a node, above 0 and below 1. `source` and `bucket`
  // are in range; `depth` is at least 1.
  double Rate(int source, int bucket, int depth) const;

  // Counts one judged node.
  void Note(int source, int bucket, int depth, bool accepted);

  int num_sources() const { return static_cast<int>(sources_.size()); }

 private:
  static constexpr int kDepthBuckets = 16;
  static int DepthBucket(int depth);

  struct Judged {
    double nodes = 0;
    double accepted = 0;

    // The share of the accepted nodes, with `weight` nodes of the rate `prior` added.
    double Share(double prior, double weight) const;
    // Counts a node; at `limit` nodes, those before it count half from then on.
    void Count(bool was_accepted, double limit);
  };
  struct Source {
    Priors priors;
    std::array<Judged, kConfidenceBuckets> at_all_depths;
    std::array<std::array<Judged, kDepthBuckets>, kConfidenceBuckets> at_depth;
  };
  std::vector<Source> sources_;
};

// Notes all nodes of `tree` that are judged when the sequence goes on with `tokens`: from the root
// down, each token judges the children of the node that holds the token before it. `tree` holds
// the nodes that a pass computed, and `tokens` those that the pass gave to the sequence: the
// accepted ones, and the drawn one behind them where the sequence did not end before it.
void NoteWalk(const DraftTree& tree, absl::Span<const int32_t> tokens, Calibration* calibration);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_CALIBRATION_H_
