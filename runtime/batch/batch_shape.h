// What requests of a batch job look like, and how many are left: read from its files before
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

// What requests look like on average, and how many there are.
struct BatchShape {
  double prompt_tokens = 128;
  double answer_tokens = 128;
  int64_t num_sequences = 0;  // 0: more than fit
  // Each of these, in their order, where all are known: up to kMostMeasuredSequences. A job of more
  // is taken to have no end: its last sequences are few among them.
  std::vector<SequenceLength> left = {};
  // Of a prompt's pages of the KV cache, those that others begin with, too
  double shared_pages_each = 0;
  double shared_pages = 0;  // how many different ones those are among `shared_among` sequences that
  double shared_among = 1;  // follow each other
  int64_t bookkeeping_bytes = 0;  // what the job holds whatever the batch size
  int64_t held_bytes = 0;         // HeldBytes of the largest request
  int64_t held_bytes_each = 0;    // HeldBytes of the average one, a sequence
  int64_t num_grammars = 0;   // different ones that answers follow; kEachItsOwn: as many as answers
  int64_t grammar_bytes = 0;  // CheckGrammar's, of the largest
  static constexpr int64_t kEachItsOwn = int64_t{1} << 40;
};
inline constexpr int64_t kMostMeasuredSequences = 4096;

// `num_sequences` sequences of the average shape, for a job that is not there yet.
void ExpectSequences(int64_t num_sequences, BatchShape* shape);

// The prompt tokens that count for one sequence if `sequences` run at once: the tokens that it
// shares with no other sequence, and its part of the shared tokens, which are computed and held
// once. If there are more sequences than shared_among, the number of different prefixes is taken to
// grow in proportion.
double OwnPromptTokens(const BatchShape& shape, double sequences);

// Which requests of the input are the job's to answer.
struct JobInput {
  std::string path;
  int64_t num_lines = 0;
  bool plain_text = false;
  int64_t part = 0;
  int64_t num_parts = 1;
};

// The shape of the requests that are left when `done` is; lines that are wrong do not count, nor
// those of other parts and of custom_ids that were there before. Prompts are tokenized until 4 MiB
// of lines are; those of later lines are taken to have as many tokens a byte. Without any request
// that is left, BatchShape's own numbers.
absl::StatusOr<BatchShape> MeasureShape(const JobInput& input, const DoneBefore& done,
                                        const PromptEncoder& encoder, int64_t context_tokens);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_BATCH_SHAPE_H_
