// Drafts with a second, smaller model of the same vocabulary, which stays in memory.
#ifndef SLUICE_RUNTIME_SPECULATE_MODEL_DRAFTER_H_
#define SLUICE_RUNTIME_SPECULATE_MODEL_DRAFTER_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/kv/kv_cache.h"
#include "runtime/pass/model.h"
#include "runtime/speculate/calibration.h"
#include "runtime/speculate/drafter.h"

namespace sluice {

struct ModelDrafterOptions {
  int source = 0;            // of the nodes; a bucket is a range of the drafted probability
  int32_t vocab_size = 0;    // of the target: no others are proposed
  bool shares_noise = true;  // else the target's draw is guessed by probabilities alone
};

// Grows a tree level by level: each pass of the draft computes the likeliest nodes that have no
// children yet, and their likeliest next tokens become nodes. At a temperature these are ranked
// with the noise that the target will draw with (GumbelNoise), so that both choose alike as often
// as their distributions allow. Drafting ends where a level costs more time than the tokens that it
// can be expected to bring (SpecExec, arXiv:2406.02532, grows its trees alike).
//
// The draft keeps keys and values of what it computed, and has a window: where a sequence is longer
// than its context, it goes on with the last half of it. That changes what is drafted, not what is
// generated.
class ModelDrafter : public Drafter {
 public:
  // Nodes that a pass of the draft computes; and the most of a tree.
  static constexpr int64_t kWidth = 6;
  static constexpr int64_t kMostComputed = 72;
  // Tokens that a plan's context needs beyond those of the text.
  static constexpr int64_t kSlotsBeyond = kMostComputed + kKvPageTokens;
  // What a plan for the draft has to grant: PlanRequest::draft_rows.
  static constexpr int64_t kDraftRows = 2 * kWidth;

  static const Calibration::Priors& InitialRates();

  // `model` computes for nobody else; it and `calibration` must outlive this.
  ModelDrafter(Model* model, const ModelDrafterOptions& options, const Calibration* calibration);
  ~ModelDrafter() override;

  void Observe(int64_t sequence, absl::Span<const int32_t> tokens) override;
  // Errors are Model::RunPass's, and ResourceExhausted: no page is left for another sequence.
  absl::Status Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) override;
  void Forget(int64_t sequence) override;
  absl::string_view name() const override { return "model"; }

 private:
  // A node whose row is in the cache.
  struct Computed {
    int32_t parent;  // in `computed`, or kDraftRoot
    int32_t token;
    std::vector<int64_t> path;  // slots of the nodes down to this one
  };
  struct Sequence {
    std::vector<int32_t> tokens;
    int64_t first = 0;  // the token at the cache's position 0
    int64_t done = 0;   // positions in the cache
    KvSequence pages;
    std::vector<Computed> computed;  // in slots from `done` on
  };
  // A node of the tree that the draft may compute next.
  struct Open {
    int32_t node;    // of the tree
    int32_t parent;  // in `computed`, or kDraftRoot
    double survival;
  };

  // Moves the rows of nodes that the sequence went through to their positions.
  absl::Status TakeAccepted(Sequence& sequence);
  // Computes the sequence's tokens that are not in the cache; returns the logits of the last one.
  absl::StatusOr<absl::Span<const float>> CatchUp(Sequence& sequence);
  // Adds the likeliest tokens behind a node, and opens them.
  void AddChildren(absl::Span<const float> logits, const DraftLimits& limits, int64_t position,
                   int32_t node, int32_t computed, DraftTree* tree);
  // The survival below which no node of the tree gets one of `max_nodes` rows; 0: all get one.
  static double LeastSurvival(const DraftTree& tree, int64_t max_nodes);
  // Takes the likeliest open nodes, and computes them in one pass. False: it would not pay, or
  // there is none.
  absl::StatusOr<bool> Grow(Sequence& sequence, const DraftLimits& limits, DraftTree* tree);
  int64_t capacity() const { return model_->plan().request.context_tokens - kSlotsBeyond; }

  Model* const model_;
  const ModelDrafterOptions options_;
  const Calibration* const calibration_;
  absl::flat_hash_map<int64_t, Sequence> sequences_;
  std::vector<Open> open_;    // of the tree that grows
  double level_seconds_ = 0;  // that a pass over a level takes
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_MODEL_DRAFTER_H_
