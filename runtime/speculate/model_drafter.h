// Drafts with a second, smaller model of the same vocabulary, or with a head that the target's
// checkpoint has for that (MTP); it stays in memory.
#ifndef SLUICE_RUNTIME_SPECULATE_MODEL_DRAFTER_H_
#define SLUICE_RUNTIME_SPECULATE_MODEL_DRAFTER_H_

#include <algorithm>
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
#include "runtime/speculate/hidden_window.h"

namespace sluice {

struct ModelDrafterOptions {
  int source =
      0;  // of the nodes; a bucket is a range of their drafted probability, first choices apart
  int32_t vocab_size = 0;    // of the target: no others are proposed
  bool shares_noise = true;  // else the target's draw is guessed by probabilities alone
};

// Grows a tree level by level: each pass of the draft computes the likeliest nodes that have no
// children yet, and their likeliest next tokens become nodes. At a temperature these are ranked
// with the noise that the target will draw with (GumbelNoise), so that both choose alike as often
// as their distributions allow. Drafting ends where a level costs more time than the tokens that it
// can be expected to bring (SpecExec, arXiv:2406.02532, grows its trees alike).
//
// The draft keeps keys and values of what it computed, and of the last sequence that ended: the
// next turn of a chat begins with that one. It has a window: where a sequence is longer than the
// draft's context, the draft goes on with the sequence's last tokens, half a context of them. That
// changes what is drafted, not what is generated.
//
// A head (HyperParameters::is_mtp_head) reads with each token the target's hidden row of the token
// in front of it, so its position 0 is the sequence's second token. With a token that is drafted it
// reads its own row of the token in front, behind its final norm, in place of the target's; where
// the token is accepted, its row is computed again with the target's. The head goes on where hidden
// rows are known: it drafts nothing for a sequence whose last ones are missing, and begins its
// window behind a gap.
class ModelDrafter : public Drafter {
 public:
  // Nodes that a pass of the draft computes for so many sequences, and the most of a tree.
  static int64_t WidthFor(int64_t num_sequences) {
    return std::min<int64_t>(4 + 2 * num_sequences, 24);
  }
  static constexpr int64_t kMostComputed = 72;
  // Tokens that a plan's context needs beyond those of the text: a tree with its last level, and
  // what is left of a page.
  static constexpr int64_t kSlotsBeyond = kMostComputed + kKvPageTokens;
  // What a plan for the draft has to grant as PlanRequest::draft_rows.
  static int64_t DraftRowsFor(int64_t num_sequences) { return 2 * WidthFor(num_sequences); }

  // What hidden rows take for a head whose plan has so many `context_tokens`.
  static int64_t HiddenBytes(int64_t hidden_size, int64_t context_tokens, int64_t num_sequences);

  static const Calibration::Priors& InitialRates();

  // `model` computes for nobody else; it and `calibration` must outlive this.
  ModelDrafter(Model* model, const ModelDrafterOptions& options, const Calibration* calibration);
  ~ModelDrafter() override;

  void Observe(int64_t sequence, absl::Span<const int32_t> tokens) override;
  bool WantsHidden() const override { return is_head_; }
  void ObserveHidden(int64_t sequence, int64_t first, absl::Span<const float> rows) override;
  // Errors are Model::RunPass's, and ResourceExhausted: no page is left for another sequence.
  absl::Status Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) override {
    const DraftRequest request = {sequence, limits, tree};
    return ProposeAll({&request, 1});
  }
  // A level of all trees is one pass. Where it is to stop, the trees stay as they are.
  absl::Status ProposeAll(absl::Span<const DraftRequest> requests) override;
  void Forget(int64_t sequence) override;
  absl::string_view name() const override { return is_head_ ? "mtp" : "model"; }

 private:
  // A node whose row is in the cache.
  struct Computed {
    int32_t parent;  // in `computed`, or kDraftRoot
    int32_t token;
    std::vector<int64_t> path;       // slots of the nodes down to this one
    std::vector<float> hidden = {};  // of a head: its row
  };
  struct Sequence {
    std::vector<int32_t> tokens;
    int64_t first = 0;  // the token at the cache's position 0
    int64_t done = 0;   // positions in the cache
    KvSequence pages;
    std::vector<Computed> computed;  // in slots from `done` on
    // Of a head: the target's rows, and its own of the last token
    HiddenWindow hidden;
    std::vector<float> last_hidden;
  };
  // A tree that grows.
  struct Growing {
    const DraftRequest* request;
    Sequence* sequence;
  };
  // A node of a tree that the draft may compute next.
  struct Open {
    size_t tree;     // in growing_
    int32_t node;    // of the tree
    int32_t parent;  // in `computed`, or kDraftRoot
    double survival;
  };

  // The sequence's state, which begins where there is none.
  Sequence& StateOf(int64_t sequence);
  // The first token that has a position of the cache.
  int64_t FirstToken() const { return is_head_ ? 1 : 0; }
  // Whether the hidden row is known that the sequence's last token is read with.
  bool KnowsHidden(const Sequence& sequence) const;
  // The row of the last pass.
  absl::Span<const float> HiddenRow(size_t row) const;
  // Moves the rows of nodes that the sequence went through to their positions.
  absl::Status TakeAccepted(Sequence& sequence);
  // Takes up what the last sequence that ended left, where this one begins alike.
  void TakeKept(Sequence& sequence);
  // Makes room for the sequence's tokens and a tree; where it has become too long, or hidden rows
  // are missing, forgets the first part of it.
  absl::Status MakeRoom(Sequence& sequence);
  // Computes level after level of the trees in growing_.
  absl::Status GrowTrees();
  // Computes tokens that are not in the cache yet, of all that grow, in as many passes as that
  // takes, and gives the trees their first nodes.
  absl::Status CatchUp();
  // Adds the likeliest tokens behind a node, and opens them.
  void AddChildren(absl::Span<const float> logits, size_t tree, int32_t node, int32_t computed);
  // The survival below which no node of the tree gets one of `max_nodes` rows; 0: all get one.
  static double LeastSurvival(const DraftTree& tree, int64_t max_nodes);
  // Takes the likeliest open nodes out of open_; none where they would not pay.
  std::vector<Open> ChooseLevel();
  // Computes them in one pass.
  absl::Status ComputeLevel(absl::Span<const Open> level);
  int64_t capacity() const { return model_->plan().request.context_tokens - kSlotsBeyond; }

  Model* const model_;
  const bool is_head_;
  const ModelDrafterOptions options_;
  const Calibration* const calibration_;
  absl::flat_hash_map<int64_t, Sequence> sequences_;
  Sequence kept_;  // of a sequence that ended; without pages: none
  std::vector<Growing> growing_;
  std::vector<Open> open_;    // of the trees that grow
  double level_seconds_ = 0;  // that a pass over a level takes
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_MODEL_DRAFTER_H_
