// Generates texts with an engine, and notes what each pass took and gave.
#ifndef SLUICE_BENCH_SPECULATE_TEXT_RUN_H_
#define SLUICE_BENCH_SPECULATE_TEXT_RUN_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/engine/engine.h"
#include "runtime/pass/model.h"
#include "runtime/speculate/speculator.h"

namespace sluice {

struct PassNote {
  double seconds = 0;  // of the engine's step: drafting, the pass, choosing
  double draft_seconds = 0;
  int64_t draft_rows = 0;
  int64_t tokens = 0;      // that it gave
  bool generating = true;  // it had no rows of prompts
};

struct TextRun {
  std::vector<std::vector<int32_t>> ids;  // of each request
  std::vector<PassNote> passes;           // in order

  // Of the passes that gave tokens, the last one of a prompt among them: of one request, plain
  // decoding gives 1.
  int64_t tokens() const;
  int64_t token_passes() const;
  // Of the passes that had no rows of prompts.
  double seconds() const;
  int64_t timed_tokens() const;
  int64_t timed_passes() const;
  double draft_seconds() const;
};

struct RunControls {
  Speculator* speculator = nullptr;  // null: plain
  // Stops all requests when passes without prompt rows have given so many tokens; 0: never.
  int64_t stop_after_tokens = 0;
  // Hears the numbers of the requests before the first pass.
  std::function<void(absl::Span<const int64_t> ids)> on_submitted = nullptr;
};

// Runs all requests at once, each to its own end. Errors are Engine's.
absl::StatusOr<TextRun> RunTexts(Model* model, absl::Span<const SequenceRequest> requests,
                                 const RunControls& controls);

// Texts that are not the same as far as both go; where `whole`, also those of another length.
int64_t CountDifferences(const TextRun& a, const TextRun& b, bool whole);

// Sums over several runs.
struct RunSum {
  int64_t texts = 0;
  int64_t tokens = 0;
  int64_t token_passes = 0;
  double seconds = 0;
  int64_t timed_tokens = 0;
  int64_t timed_passes = 0;
  double draft_seconds = 0;

  void Add(const TextRun& run);
  void Add(const RunSum& other);
  double TokensPerPass() const;
  double TokensPerSecond() const;
  double DraftSecondsPerPass() const;
};

}  // namespace sluice

#endif  // SLUICE_BENCH_SPECULATE_TEXT_RUN_H_
