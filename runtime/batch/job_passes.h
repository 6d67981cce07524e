// Counts the passes that a batch job takes with a number of sequences at once, and their time: it
// follows the scheduler's order, without tokens.
#ifndef SLUICE_RUNTIME_BATCH_JOB_PASSES_H_
#define SLUICE_RUNTIME_BATCH_JOB_PASSES_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"

namespace sluice {

// The length of a sequence that is left.
struct SequenceLength {
  int64_t prompt_tokens;  // rows to compute before its next token; at least 1
  int64_t answer_tokens;  // an upper bound, as nobody knows which answers end earlier
};

// The limits of a pass, as in ScheduleLimits.
struct PassRoom {
  int64_t sequences = 1;
  int64_t pass_rows = 1;
  int64_t balanced_rows = 0;
};

struct JobPasses {
  int64_t passes = 0;
  double seconds = 0;
};

// Counts passes as PassScheduler makes them of sequences that wait in this order, with pages for
// all that run: a row for each sequence that generates, the oldest prompts in the other rows, and a
// waiting sequence as soon as one has ended. So the last passes, with few sequences, count in full.
// `seconds` returns the time of a pass of a number of rows.
JobPasses CountPasses(absl::Span<const SequenceLength> left, const PassRoom& room,
                      absl::FunctionRef<double(int64_t rows)> seconds);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_JOB_PASSES_H_
