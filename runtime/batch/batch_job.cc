// Turns lines into sequences, and sequences into lines.
#include "runtime/batch/batch_job.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/status_macros.h"
#include "storage/store/manifest.h"

namespace sluice {
namespace {

ApiError TooLarge(const CompletionRequest& request, int64_t bytes, const HeldLimit& limit) {
  const bool logprobs = request.top_logprobs >= 0;
  return {.message = absl::StrFormat(
              "the request needs about %.1f MiB to hold its %s; the budget leaves %.1f MiB",
              static_cast<double>(bytes) / (1 << 20), logprobs ? "log probabilities" : "answers",
              static_cast<double>(std::max(limit.bytes, limit.most_bytes)) / (1 << 20)),
          .param = logprobs ? "logprobs" : "n",
          .code = "request_too_large"};
}

}  // namespace

bool BatchJob::Hold(const InFlight& flight) {
  if (held_bytes_ + flight.held_bytes > held_limit_.bytes) return false;
  held_bytes_ += flight.held_bytes;
  return true;
}

void BatchJob::Fail(const InFlight& flight, const ApiError& error) {
  output_->AddError(ErrorLine(flight.ids, flight.custom_id, error));
  ++report_.failed;
}

std::optional<ApiError> BatchJob::PrepareFlight(InFlight& flight) {
  const int64_t context = output_->job().context_tokens;
  if (std::optional<ApiError> error = Prepare(*encoder_, *engine_, context, &constraints_, &flight);
      error.has_value()) {
    return error;
  }
  std::vector<PromptTokens> sizes;
  for (const std::vector<int32_t>& prompt : flight.prompts) {
    const auto n = static_cast<int64_t>(prompt.size());
    sizes.push_back({n, n});
  }
  flight.held_bytes = HeldBytes(flight.request, sizes, context);
  if (flight.held_bytes > held_limit_.bytes)
    return TooLarge(flight.request, flight.held_bytes, held_limit_);
  flight.tokens.resize(flight.choices.size());
  return std::nullopt;
}

SequenceRequest BatchJob::RequestFor(const InFlight& flight, int64_t choice) const {
  return SequenceOf(flight, choice,
                    Checksum(absl::StrCat(output_->job().seed, "\n", flight.custom_id)));
}

void BatchJob::TakeLine(const LineReader::Line& line) {
  const JobRecord& job = output_->job();
  BatchLine parsed{
      DefaultCustomId(line.number),
      ApiError{.message = absl::StrCat("the line is longer than ", kMaxBatchLineBytes, " bytes"),
               .param = "",
               .code = "line_too_long"}};
  if (!line.too_long)
    parsed =
        ParseBatchLine(line.text, line.number, job.input_format == "text", encoder_->max_bytes());
  if (job.num_parts > 1 && PartOf(parsed.custom_id, job.num_parts) != job.part) return;

  auto flight = std::make_unique<InFlight>(line.number, parsed.custom_id);
  const bool first = seen_.insert(Checksum(parsed.custom_id)).second;
  if (output_->HasResult(flight->ids.line) || output_->HasError(flight->ids.line)) {
    ++(output_->HasResult(flight->ids.line) ? report_.succeeded : report_.failed);
    return;
  }
  if (!first) {
    return Fail(*flight, {.message = "an earlier line has this custom_id; only that one was run",
                          .param = "custom_id",
                          .code = "duplicate_custom_id"});
  }
  if (const ApiError* error = std::get_if<ApiError>(&parsed.request); error != nullptr)
    return Fail(*flight, *error);
  flight->request = std::get<CompletionRequest>(std::move(parsed.request));
  if (const std::optional<ApiError> error = PrepareFlight(*flight); error.has_value())
    return Fail(*flight, *error);
  submitting_ = flight.get();
  in_flight_.emplace(line.number, std::move(flight));
}

absl::Status BatchJob::SubmitNext() {
  InFlight& flight = *submitting_;
  const int64_t choice = flight.submitted;
  SequenceRequest request = RequestFor(flight, choice);
  request.generated = output_->TakeJournaled(flight.number, static_cast<int32_t>(choice));
  flight.tokens[choice] = request.generated;
  request.on_token = [this, &flight, choice](int32_t token, absl::string_view) {
    flight.tokens[choice].push_back(token);
    output_->AddToken({flight.number, static_cast<int32_t>(choice), token});
  };
  request.on_finish = [this, &flight, choice](SequenceResult result) {
    flight.choices[choice].result = std::move(result);
    std::vector<int32_t>().swap(flight.tokens[choice]);
    if (++flight.finished == static_cast<int64_t>(flight.choices.size()))
      finished_.push_back(flight.number);
  };
  SLUICE_RETURN_IF_ERROR(engine_->Submit(std::move(request)).status());
  if (++flight.submitted == static_cast<int64_t>(flight.choices.size())) submitting_ = nullptr;
  return absl::OkStatus();
}

// Gives the engine enough sequences for the next pass.
absl::Status BatchJob::Fill(LineReader* reader) {
  while (engine_->num_waiting() < read_ahead_) {
    if (submitting_ != nullptr) {
      if (submitting_->submitted == 0 && !Hold(*submitting_)) return absl::OkStatus();
      SLUICE_RETURN_IF_ERROR(SubmitNext());
      continue;
    }
    if (input_ended_) return absl::OkStatus();
    LineReader::Line line;
    SLUICE_ASSIGN_OR_RETURN(const bool more, reader->Next(&line));
    input_ended_ = !more;
    if (!more) continue;
    lines_read_ = line.number;
    const int64_t in_flight = static_cast<int64_t>(in_flight_.size());
    if (!IsBlankLine(line.text)) TakeLine(line);
    // A long run of lines that are done or wrong gives the engine nothing to do, and errors must
    // not pile up.
    if (static_cast<int64_t>(in_flight_.size()) == in_flight && line.number % 1024 == 0) {
      SLUICE_RETURN_IF_ERROR(output_->EndPass(/*computed=*/false));
    }
  }
  return absl::OkStatus();
}

void BatchJob::WriteFinished() {
  for (const int64_t number : finished_) {
    const auto node = in_flight_.extract(number);
    InFlight& flight = *node.mapped();
    held_bytes_ -= flight.held_bytes;
    if (const std::optional<ApiError> error = ErrorOfChoices(flight); error.has_value()) {
      Fail(flight, *error);
      continue;
    }
    for (const CompletionChoice& choice : flight.choices) {
      report_.completion_tokens += static_cast<int64_t>(choice.result.ids.size());
    }
    for (const std::vector<int32_t>& prompt : flight.prompts) {
      report_.prompt_tokens += static_cast<int64_t>(prompt.size());
    }
    WriteResult(flight);
    ++report_.succeeded;
  }
  finished_.clear();
}

void BatchJob::WriteResult(InFlight& flight) {
  const auto sink = [this](absl::string_view piece) { output_->AddResult(piece); };
  const auto write_body = [&] {
    WriteAnswer(flight, flight.ids.body, output_->job().created, tokenizer_, sink);
  };
  WriteResultLine(flight.ids, flight.custom_id, 200, write_body, sink);
}

absl::Status BatchJob::CompactJournal() {
  std::vector<JournalEntry> entries;
  for (const auto& [number, flight] : in_flight_) {
    for (size_t choice = 0; choice < flight->choices.size(); ++choice) {
      const std::vector<int32_t>& finished = flight->choices[choice].result.ids;
      for (const int32_t token : finished.empty() ? flight->tokens[choice] : finished) {
        entries.push_back({number, static_cast<int32_t>(choice), token});
      }
    }
  }
  return output_->CompactJournal(std::move(entries));
}

absl::StatusOr<BatchReport> BatchJob::Run(
    const std::atomic<bool>* stop,
    absl::FunctionRef<void(const BatchReport&, const StepReport&)> on_pass) {
  SLUICE_ASSIGN_OR_RETURN(LineReader reader,
                          LineReader::OpenInput(input_, kMaxBatchLineBytes, summary_));
  while (true) {
    if (stop != nullptr && stop->load()) {
      report_.interrupted = true;
      SLUICE_RETURN_IF_ERROR(output_->EndPass(/*computed=*/false));
      SLUICE_RETURN_IF_ERROR(output_->Sync());
      return report_;
    }
    if (const absl::Status status = Fill(&reader); !status.ok()) {
      // Writes the lines that failed since the last pass, and all before them. The first error is
      // the one that matters.
      output_->EndPass(/*computed=*/false).IgnoreError();
      output_->Sync().IgnoreError();
      return status;
    }
    if (engine_->idle()) break;
    SLUICE_ASSIGN_OR_RETURN(const StepReport step, engine_->Step());
    report_.tokens += step.tokens;
    report_.rows += step.rows;
    report_.passes += step.rows > 0;
    WriteFinished();
    SLUICE_RETURN_IF_ERROR(output_->EndPass(/*computed=*/step.rows > 0));
    if (output_->JournalIsLong()) SLUICE_RETURN_IF_ERROR(CompactJournal());
    report_.lines = lines_read_ - static_cast<int64_t>(in_flight_.size());
    on_pass(report_, step);
  }
  report_.lines = lines_read_;
  SLUICE_RETURN_IF_ERROR(output_->Finish());
  return report_;
}

}  // namespace sluice
