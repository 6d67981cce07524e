// Runs a file of requests through an engine, into a file of results.
#ifndef SLUICE_RUNTIME_BATCH_BATCH_JOB_H_
#define SLUICE_RUNTIME_BATCH_BATCH_JOB_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "runtime/batch/batch_output.h"
#include "runtime/batch/held_results.h"
#include "runtime/batch/line_reader.h"
#include "runtime/constrain/constraints.h"
#include "runtime/engine/engine.h"
#include "runtime/openai/completion_request.h"
#include "runtime/openai/completion_response.h"
#include "runtime/openai/prepared_request.h"
#include "runtime/openai/prompt_encoder.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {

// A longer line is answered with an error and never held whole.
inline constexpr int64_t kMaxBatchLineBytes = int64_t{4} << 20;

struct BatchReport {
  int64_t lines = 0;      // answered, failed, of other parts, or blank
  int64_t succeeded = 0;  // requests of this job, in this run and earlier ones
  int64_t failed = 0;
  int64_t prompt_tokens = 0;  // of requests that ended in this run
  int64_t completion_tokens = 0;
  int64_t tokens = 0;  // chosen in this run
  int64_t rows = 0;    // computed in this run
  int64_t passes = 0;
  bool interrupted = false;
};

// Requests are read in the order of the file as the engine has room for them, so that memory does
// not grow with the file, except for kBytesPerLine: the custom_ids that were seen, and the results
// that an earlier run has written. The bytes that requests hold until all of their choices are
// there stay within a limit: the next request waits for room.
class BatchJob {
 public:
  // The share of two hash sets, which hold both copies while they grow.
  static constexpr int64_t kBytesPerLine = 48;

  // All arguments but `constraints` must outlive the job. `tokenizer` may be null; `encoder` uses
  // the same one. `summary` is the result of SummarizeInput for `input`.
  BatchJob(std::string input, const InputSummary* summary, const Tokenizer* tokenizer,
           const PromptEncoder* encoder, Constraints constraints, Engine* engine,
           BatchOutput* output, int64_t max_sequences, HeldLimit held_limit)
      : input_(std::move(input)),
        summary_(summary),
        tokenizer_(tokenizer),
        encoder_(encoder),
        constraints_(std::move(constraints)),
        engine_(engine),
        output_(output),
        read_ahead_(max_sequences),
        held_limit_(held_limit) {}

  // Runs until every line has its result or its error, or, between two passes, until `stop` is set.
  // `on_pass` is called after each pass, with its report. Aborted: the input has changed; all
  // answers so far are written, and the tokens of requests in flight are in the journal.
  absl::StatusOr<BatchReport> Run(
      const std::atomic<bool>* stop,
      absl::FunctionRef<void(const BatchReport&, const StepReport&)> on_pass);

 private:
  // A request that is being answered.
  struct InFlight : PreparedRequest {
    InFlight(int64_t line, std::string id)
        : number(line), custom_id(std::move(id)), ids(line, custom_id) {}
    int64_t number;
    std::string custom_id;
    ResultIds ids;
    std::vector<std::vector<int32_t>>
        tokens;              // generated so far, for the journal; empty for finished choices
    int64_t held_bytes = 0;  // HeldBytes
    int64_t submitted = 0;   // choices
    int64_t finished = 0;
  };

  absl::Status Fill(LineReader* reader);
  void TakeLine(const LineReader::Line& line);
  void Fail(const InFlight& flight, const ApiError& error);
  // Prepares the request, and counts what it will hold.
  std::optional<ApiError> PrepareFlight(InFlight& flight);
  // Counts the bytes that the flight holds; returns false if earlier ones have to end first.
  bool Hold(const InFlight& flight);
  SequenceRequest RequestFor(const InFlight& flight, int64_t choice) const;
  absl::Status SubmitNext();
  void WriteFinished();
  void WriteResult(InFlight& flight);
  absl::Status CompactJournal();

  const std::string input_;
  const InputSummary* const summary_;
  const Tokenizer* const tokenizer_;
  const PromptEncoder* const encoder_;
  Constraints constraints_;
  Engine* const engine_;
  BatchOutput* const output_;
  // Sequences that wait, so that the next pass finds as many as can end in this one
  const int64_t read_ahead_;
  const HeldLimit held_limit_;
  int64_t held_bytes_ = 0;  // of requests whose choices were submitted
  bool input_ended_ = false;
  int64_t lines_read_ = 0;
  absl::flat_hash_set<uint64_t> seen_;  // hashes of custom_ids
  std::map<int64_t, std::unique_ptr<InFlight>> in_flight_;
  InFlight* submitting_ = nullptr;  // the request that has choices which were not submitted yet
  std::vector<int64_t> finished_;   // lines that ended since WriteFinished
  BatchReport report_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_BATCH_JOB_H_
