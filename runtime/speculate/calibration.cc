// Two levels of Laplace smoothing: a depth's rate leans on its bucket's, which leans on the prior.
#include "runtime/speculate/calibration.h"

#include <algorithm>
#include <utility>

#include "absl/base/macros.h"

namespace sluice {
namespace {

// A rate of 0 would never be proposed again, and one of 1 would let a chain grow for ever.
constexpr double kLeastStepRate = 0.001;
constexpr double kLargestStepRate = 0.999;
// So many nodes outweigh what the smoothing adds.
constexpr double kWeightOfPrior = 4;
constexpr double kWeightOfBucket = 8;
// At so many judged nodes the old ones are halved.
constexpr double kFadeAtDepth = 256;
constexpr double kFadeAtAllDepths = 512;

}  // namespace

double Calibration::Judged::Share(double prior, double weight) const {
  return (accepted + prior * weight) / (nodes + weight);
}

void Calibration::Judged::Count(bool was_accepted, double limit) {
  if (nodes >= limit) {
    nodes /= 2;
    accepted /= 2;
  }
  nodes += 1;
  if (was_accepted) accepted += 1;
}

Calibration::Calibration(std::vector<Priors> priors) {
  sources_.reserve(priors.size());
  for (const Priors& of_source : priors) {
    Source source = {};
    source.priors = of_source;
    sources_.push_back(source);
  }
}

// One bucket a depth up to 10, then the buckets grow.
int Calibration::DepthBucket(int depth) {
  constexpr int kLast[] = {12, 16, 24, 32, 64};  // the largest depths of buckets 10 to 14
  ABSL_ASSERT(depth >= 1);
  if (depth <= 10) return depth - 1;
  int bucket = 10;
  for (const int last : kLast) {
    if (depth <= last) break;
    ++bucket;
  }
  return bucket;
}

double Calibration::Rate(int source, int bucket, int depth) const {
  ABSL_ASSERT(source >= 0 && source < num_sources());
  ABSL_ASSERT(bucket >= 0 && bucket < kConfidenceBuckets);
  const Source& of_source = sources_[source];
  const double of_bucket =
      of_source.at_all_depths[bucket].Share(of_source.priors[bucket], kWeightOfPrior);
  const double rate =
      of_source.at_depth[bucket][DepthBucket(depth)].Share(of_bucket, kWeightOfBucket);
  return std::clamp(rate, kLeastStepRate, kLargestStepRate);
}

void Calibration::Note(int source, int bucket, int depth, bool accepted) {
  ABSL_ASSERT(source >= 0 && source < num_sources());
  ABSL_ASSERT(bucket >= 0 && bucket < kConfidenceBuckets);
  Source& of_source = sources_[source];
  of_source.at_all_depths[bucket].Count(accepted, kFadeAtAllDepths);
  of_source.at_depth[bucket][DepthBucket(depth)].Count(accepted, kFadeAtDepth);
}

void NoteWalk(const DraftTree& tree, absl::Span<const int32_t> tokens, Calibration* calibration) {
  int32_t reached = kDraftRoot;
  for (const int32_t token : tokens) {
    // Children have higher indices than their parent.
    for (int64_t i = reached + 1; i < tree.size(); ++i) {
      const DraftNode& node = tree.nodes()[i];
      if (node.parent != reached) continue;
      calibration->Note(node.source, node.bucket, node.depth, node.token == token);
    }
    reached = tree.Find(reached, token);
    if (reached < 0) return;
  }
}

}  // namespace sluice
