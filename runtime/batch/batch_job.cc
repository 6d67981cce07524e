// Turns lines into sequences, and sequences into lines.
#include "runtime/batch/batch_job.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/status_macros.h"
#include "runtime/openai/chat_response.h"
#include "runtime/sample/gumbel.h"
#include "storage/store/manifest.h"

namespace sluice {
namespace {

ApiError GrammarError(const absl::Status& status, GrammarKind kind) {
  return {.message = std::string(status.message()),
          .param = kind == GrammarKind::kGbnf ? "grammar" : "response_format",
          .code = "invalid_grammar"};
}

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

std::optional<ApiError> BatchJob::Prepare(InFlight& flight) {
  flight.end_tokens = encoder_->EndTokens(flight.request);
  for (size_t i = 0; i < flight.request.prompts.size(); ++i) {
    std::variant<ChatPrompt, ApiError> prompt =
        encoder_->Encode(flight.request, i, output_->job().context_tokens);
    if (ApiError* const error = std::get_if<ApiError>(&prompt); error != nullptr)
      return std::move(*error);
    flight.opens_reasoning = std::get<ChatPrompt>(prompt).opens_reasoning;  // a chat has one prompt
    flight.prompts.push_back(std::move(std::get<ChatPrompt>(prompt).ids));
    std::string* const text = std::get_if<std::string>(&flight.request.prompts[i]);
    if (text != nullptr && !flight.request.echo) std::string().swap(*text);
  }
  if (flight.request.chat.has_value()) *flight.request.chat = Conversation();
  if (flight.request.grammar.has_value()) {
    absl::StatusOr<std::shared_ptr<grammar::Constraint>> constraint =
        constraints_.For(*flight.request.grammar);
    if (!constraint.ok()) return GrammarError(constraint.status(), flight.request.grammar->kind);
    flight.constraint = *std::move(constraint);
  }
  for (size_t prompt = 0; prompt < flight.prompts.size(); ++prompt) {
    std::optional<RequestError> wrong =
        engine_->Check(RequestFor(flight, static_cast<int64_t>(prompt) * flight.request.n));
    if (!wrong.has_value()) continue;
    ApiError error = ToApiError(*std::move(wrong));
    if (flight.request.chat.has_value() && error.param == "prompt") error.param = "messages";
    return error;
  }
  std::vector<PromptTokens> sizes;
  for (const std::vector<int32_t>& prompt : flight.prompts) {
    const auto n = static_cast<int64_t>(prompt.size());
    sizes.push_back({n, n});
  }
  flight.held_bytes = HeldBytes(flight.request, sizes, output_->job().context_tokens);
  if (flight.held_bytes > held_limit_.bytes)
    return TooLarge(flight.request, flight.held_bytes, held_limit_);
  flight.choices.resize(flight.request.num_choices());
  flight.tokens.resize(flight.choices.size());
  return std::nullopt;
}

SequenceRequest BatchJob::RequestFor(const InFlight& flight, int64_t choice) const {
  const CompletionRequest& asked = flight.request;
  SequenceRequest request;
  request.prompt = flight.prompts[choice / asked.n];
  request.max_new_tokens = asked.max_tokens;
  request.sampler = asked.sampler;
  const uint64_t seed = asked.seed.has_value()
                            ? static_cast<uint64_t>(*asked.seed)
                            : Checksum(absl::StrCat(output_->job().seed, "\n", flight.custom_id));
  request.sampler.seed = SeedOfChoice(seed, choice);
  request.stop = asked.stop;
  request.end_tokens = flight.end_tokens;
  request.ignore_eos = asked.ignore_eos;
  request.stop_tokens = asked.stop_token_ids;
  request.min_new_tokens = asked.min_tokens;
  request.show_stop = asked.include_stop;
  request.skip_special = asked.skip_special;
  request.allowed_tokens = asked.allowed_token_ids;
  request.constraint = flight.constraint;
  request.top_logprobs = asked.top_logprobs;
  request.prompt_logprobs = asked.echo && asked.top_logprobs >= 0;
  return request;
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
  if (const std::optional<ApiError> error = Prepare(*flight); error.has_value())
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
    const auto failed =
        std::find_if(flight.choices.begin(), flight.choices.end(),
                     [](const CompletionChoice& choice) { return !choice.result.status.ok(); });
    if (failed != flight.choices.end()) {
      Fail(flight, GrammarError(failed->result.status, flight.request.grammar->kind));
      continue;
    }
    for (size_t i = 0; i < flight.choices.size(); ++i) {
      const size_t prompt = i / flight.request.n;
      CompletionChoice& choice = flight.choices[i];
      choice.prompt = &flight.prompts[prompt];
      choice.opens_reasoning = flight.opens_reasoning;
      report_.completion_tokens += static_cast<int64_t>(choice.result.ids.size());
      if (i % flight.request.n == 0)
        report_.prompt_tokens += static_cast<int64_t>(choice.prompt->size());
      if (!flight.request.echo) continue;
      const std::string* text = std::get_if<std::string>(&flight.request.prompts[prompt]);
      choice.prompt_text = text != nullptr ? *text
                           : tokenizer_ != nullptr
                               ? tokenizer_->Decode(*choice.prompt, /*skip_special=*/true)
                               : std::string();
    }
    WriteResult(flight);
    ++report_.succeeded;
  }
  finished_.clear();
}

void BatchJob::WriteResult(const InFlight& flight) {
  const int64_t created = output_->job().created;
  const auto sink = [this](absl::string_view piece) { output_->AddResult(piece); };
  const auto write_body = [&] {
    if (flight.request.chat.has_value()) {
      WriteChatCompletionBody(flight.request, flight.choices, absl::StrCat("chat", flight.ids.body),
                              created, *tokenizer_, sink);
    } else {
      WriteCompletionBody(flight.request, flight.choices, flight.ids.body, created, tokenizer_,
                          sink);
    }
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
