// Decides what is drafted for which sequence, and whether drafting pays.
#ifndef SLUICE_RUNTIME_SPECULATE_SPECULATOR_H_
#define SLUICE_RUNTIME_SPECULATE_SPECULATOR_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/sample/sampler.h"
#include "runtime/speculate/calibration.h"
#include "runtime/speculate/draft_gain.h"
#include "runtime/speculate/draft_tree.h"
#include "runtime/speculate/drafter.h"
#include "runtime/text/grammar/constraint.h"

namespace sluice {

// What was drafted and what came of it. Tokens count where they were emitted.
struct SpeculationCounters {
  int64_t passes = 0;      // in which a sequence generated
  int64_t sequences = 0;   // that generated in them, one a pass each
  int64_t tokens = 0;      // that they gave
  int64_t draft_rows = 0;  // nodes that passes computed
  // Accepted nodes of depth 1, 2, ...
  std::vector<int64_t> accepted_by_depth;
  double draft_seconds = 0;
  double pass_seconds = 0;  // of these passes, without drafting
  // Tokens a second of passes with drafts over those of passes without, by the measured times of
  // the last ones of both; 1 where one kind was not seen.
  double gain = 1;
};

// What a drafter did for a pass, over all sequences.
struct DraftSpan {
  absl::string_view drafter;  // its name
  std::chrono::steady_clock::time_point begin;
  std::chrono::steady_clock::time_point end;
  int64_t proposed = 0;  // nodes, but for those that a drafter before it had proposed
  int64_t rows = 0;      // of these, that the pass computed
  int64_t accepted = 0;  // of these, that became tokens
};

struct SpeculatorOptions {
  int64_t draft_max = 0;    // nodes a sequence and pass, at most; 0: as many as there are rows
  int32_t most_depth = 32;  // of a node
  // What a row more makes a pass longer by, as a part of a pass without drafts. Nodes that are less
  // likely than that are not computed.
  double row_price = 0;
  // Rests where drafting is measured not to pay, and tells drafters what their time has to bring.
  bool adapts = true;
};

// Owns drafters, and knows which tokens each has observed of each sequence. Output never depends on
// it. For one thread.
class Speculator {
 public:
  // Sources of the calibration are numbered as `priors` has them.
  Speculator(const SpeculatorOptions& options, std::vector<Calibration::Priors> priors);

  const Calibration* calibration() const { return &calibration_; }
  // Asks `drafter` from now on, behind those that were added before.
  void Add(std::unique_ptr<Drafter> drafter);

  // A sequence that has a row in the next pass.
  struct Wish {
    int64_t sequence;                  // its number, which may come again once it was forgotten
    absl::Span<const int32_t> tokens;  // all that are known of it
    int64_t most_depth;                // tokens that it may get beyond the one of its own row
    const SamplerOptions* sampler;
    // Of the sequence, behind these tokens; null: it has none. Nodes that it forbids get no row.
    const grammar::Matcher* grammar = nullptr;
  };
  // Returns a tree for each wish, depth first (DraftTree::Trimmed), with `rows` nodes together at
  // most. `stop` as in DraftLimits.
  std::vector<DraftTree> Draft(absl::Span<const Wish> wishes, int64_t rows,
                               const std::atomic<bool>* stop = nullptr);

  // Whether a drafter wants to know hidden rows.
  bool WantsHidden() const;
  // As Drafter::ObserveHidden.
  void NoteHidden(int64_t sequence, int64_t first, absl::Span<const float> rows);

  // Tells that a sequence went on with `tokens` where `tree` was computed for it.
  void NoteTokens(const DraftTree& tree, absl::Span<const int32_t> tokens);
  // Tells how long the pass took that computed `nodes` nodes of what Draft returned last.
  // `comparable`: it did nothing else, as take a prompt's rows.
  void NotePass(double seconds, int64_t nodes, bool comparable);
  void Forget(int64_t sequence);
  // Tells what a sequence got in the end.
  void Learn(absl::Span<const int32_t> tokens);

  // From now on `sink` gets what each drafter did for a pass, in their order, once the pass is
  // over; nothing of passes for which none was asked.
  void SetSpanSink(std::function<void(absl::Span<const DraftSpan>)> sink) {
    span_sink_ = std::move(sink);
  }

  SpeculationCounters counters() const;
  // Why a drafter is not asked any more, one line each.
  const std::vector<std::string>& failures() const { return failures_; }

 private:
  struct Asked {
    std::unique_ptr<Drafter> drafter;
    bool failed = false;
  };
  // Has all drafters fill a tree for each wish, where a pass has `rows` rows for them.
  void Propose(absl::Span<const Wish> wishes, int64_t rows, const std::atomic<bool>* stop,
               std::vector<DraftTree>* trees);

  // Asks a drafter to fill the trees, and notes what it did.
  absl::Status Ask(size_t drafter, absl::Span<const DraftRequest> requests);
  // The span of the drafter that proposed a node; null where there is none.
  DraftSpan* SpanOf(const DraftNode& node);

  const SpeculatorOptions options_;
  Calibration calibration_;
  std::vector<Asked> drafters_;
  absl::flat_hash_map<int64_t, int64_t> observed_;  // tokens, by sequence
  DraftGain gain_;
  SpeculationCounters counters_;
  std::vector<std::string> failures_;
  // Sums that fade, of all passes in which a sequence generated.
  double recent_tokens_ = 0, recent_seconds_ = 0, tokens_per_second_ = 0;
  // Of the pass that Draft was called for.
  double draft_seconds_ = 0;
  int64_t pass_sequences_ = 0;
  int64_t pass_tokens_ = 0;
  std::vector<DraftSpan> spans_;
  std::vector<int> span_of_source_;                             // indices, or -1
  std::function<void(absl::Span<const DraftSpan>)> span_sink_;  // null: nobody wants spans
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_SPECULATOR_H_
