// How many passes a batch job takes with so many sequences at once, and how long: the scheduler's
// order, without tokens.
#ifndef SLUICE_RUNTIME_BATCH_JOB_PASSES_H_
#define SLUICE_RUNTIME_BATCH_JOB_PASSES_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"

namespace sluice {

// What a sequence that is left takes.
struct SequenceLength {
  int64_t prompt_tokens;  // rows to compute before its next token; at least 1
  int64_t answer_tokens;  // at the most, as nobody knows which answers end earlier
};

// As ScheduleLimits.
struct PassRoom {
  int64_t sequences = 1;
  int64_t pass_rows = 1;
  int64_t balanced_rows = 0;
};

struct JobPasses {
  int64_t passes = 0;
  double seconds = 0;
};

// Passes as PassScheduler makes them of sequences that wait in this order, with pages for all that
// run: a row for each that generates, the oldest prompts in the rows that are left, and a waiting
// sequence as soon as one has ended. So the last sequences, with few beside them, count as the
// passes that they take. `seconds` says how long a pass of that many rows takes.
JobPasses CountPasses(absl::Span<const SequenceLength> left, const PassRoom& room,
                      absl::FunctionRef<double(int64_t rows)> seconds);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_JOB_PASSES_H_
