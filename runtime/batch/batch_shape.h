// Measures the requests of a batch job, and counts those that are left, from its files before
// anything is planned.
#ifndef SLUICE_RUNTIME_BATCH_BATCH_SHAPE_H_
#define SLUICE_RUNTIME_BATCH_BATCH_SHAPE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/batch/batch_output.h"
#include "runtime/batch/job_passes.h"
#include "runtime/openai/prompt_encoder.h"

namespace sluice {

// The average size of the requests, and their number.
struct BatchShape {
  double prompt_tokens = 128;
  double answer_tokens = 128;
  int64_t num_sequences = 0;  // 0: more than fit
  // The length of each sequence, in their order, if all are known and there are at most
  // kMostMeasuredSequences. A larger job is planned as one without end: its last sequences are few
  // among them.
  std::vector<SequenceLength> left = {};
  // The average number of a prompt's pages of the KV cache that other prompts begin with, too.
  double shared_pages_each = 0;
  double shared_pages = 0;        // the number of different pages of that kind among `shared_among`
  double shared_among = 1;        // sequences that follow each other
  int64_t bookkeeping_bytes = 0;  // bytes that the job holds whatever the batch size is
  int64_t held_bytes = 0;         // HeldBytes of the largest request
  int64_t held_bytes_each = 0;    // the average HeldBytes of a sequence
  // The number of different grammars that answers follow; kEachItsOwn: as many as answers
  int64_t num_grammars = 0;
  int64_t grammar_bytes = 0;  // CheckGrammar's bytes for the largest grammar
  static constexpr int64_t kEachItsOwn = int64_t{1} << 40;
};
inline constexpr int64_t kMostMeasuredSequences = 4096;

// Expects `num_sequences` sequences of the average shape, for a job that does not exist yet.
void ExpectSequences(int64_t num_sequences, BatchShape* shape);

// Returns the prompt tokens that count for one sequence if `sequences` run at once: the tokens that
// it shares with no other sequence, and its part of the shared tokens, which are computed and held
// once. Beyond shared_among sequences, the number of different prefixes is assumed to grow in
// proportion.
double OwnPromptTokens(const BatchShape& shape, double sequences);

// Says which requests of the input the job is to answer.
struct JobInput {
  std::string path;
  int64_t num_lines = 0;
  bool plain_text = false;
  int64_t part = 0;
  int64_t num_parts = 1;
};

// Returns the shape of the requests that are left after `done`. Wrong lines do not count, nor lines
// of other parts, nor repeated custom_ids. Prompts are tokenized up to 4 MiB of lines; those of
// later lines are assumed to have as many tokens a byte. If no request is left, BatchShape's own
// numbers are returned.
absl::StatusOr<BatchShape> MeasureShape(const JobInput& input, const DoneBefore& done,
                                        const PromptEncoder& encoder, int64_t context_tokens);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_BATCH_SHAPE_H_
