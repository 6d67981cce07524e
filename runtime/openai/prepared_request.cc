// Prompts to ids, choices to sequences, results to a body.
#include "runtime/openai/prepared_request.h"

#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "runtime/openai/chat_response.h"
#include "runtime/sample/gumbel.h"

namespace sluice {
namespace {

ApiError GrammarError(const absl::Status& status, GrammarKind kind) {
  return {.message = std::string(status.message()),
          .param = kind == GrammarKind::kGbnf ? "grammar" : "response_format",
          .code = "invalid_grammar"};
}

std::optional<ApiError> EncodePrompts(const PromptEncoder& encoder, int64_t context_tokens,
                                      PreparedRequest* prepared) {
  CompletionRequest& request = prepared->request;
  prepared->end_tokens = encoder.EndTokens(request);
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    std::variant<ChatPrompt, ApiError> prompt = encoder.Encode(request, i, context_tokens);
    if (ApiError* const error = std::get_if<ApiError>(&prompt); error != nullptr)
      return std::move(*error);
    // A chat has one prompt.
    prepared->opens_reasoning = std::get<ChatPrompt>(prompt).opens_reasoning;
    prepared->prompts.push_back(std::move(std::get<ChatPrompt>(prompt).ids));
    std::string* const text = std::get_if<std::string>(&request.prompts[i]);
    if (text != nullptr && !request.echo) std::string().swap(*text);
  }
  if (request.chat.has_value()) *request.chat = Conversation();
  return std::nullopt;
}

}  // namespace

std::optional<ApiError> Prepare(const PromptEncoder& encoder, const Engine& engine,
                                int64_t context_tokens, Constraints* constraints,
                                PreparedRequest* prepared) {
  CompletionRequest& request = prepared->request;
  if (std::optional<ApiError> error = EncodePrompts(encoder, context_tokens, prepared);
      error.has_value()) {
    return error;
  }
  if (request.grammar.has_value()) {
    absl::StatusOr<std::shared_ptr<grammar::Constraint>> constraint =
        constraints->For(*request.grammar);
    if (!constraint.ok()) return GrammarError(constraint.status(), request.grammar->kind);
    prepared->constraint = *std::move(constraint);
  }
  for (size_t prompt = 0; prompt < prepared->prompts.size(); ++prompt) {
    std::optional<RequestError> wrong =
        engine.Check(SequenceOf(*prepared, static_cast<int64_t>(prompt) * request.n, 0));
    if (!wrong.has_value()) continue;
    ApiError error = ToApiError(*std::move(wrong));
    if (request.chat.has_value() && error.param == "prompt") error.param = "messages";
    return error;
  }
  prepared->choices.resize(request.num_choices());
  return std::nullopt;
}

SequenceRequest SequenceOf(const PreparedRequest& prepared, int64_t choice, uint64_t seed) {
  const CompletionRequest& asked = prepared.request;
  SequenceRequest request;
  request.prompt = prepared.prompts[choice / asked.n];
  request.max_new_tokens = asked.max_tokens;
  request.sampler = asked.sampler;
  request.sampler.seed =
      SeedOfChoice(asked.seed.has_value() ? static_cast<uint64_t>(*asked.seed) : seed, choice);
  request.stop = asked.stop;
  request.end_tokens = prepared.end_tokens;
  request.ignore_eos = asked.ignore_eos;
  request.stop_tokens = asked.stop_token_ids;
  request.min_new_tokens = asked.min_tokens;
  request.show_stop = asked.include_stop;
  request.skip_special = asked.skip_special;
  request.allowed_tokens = asked.allowed_token_ids;
  request.constraint = prepared.constraint;
  request.top_logprobs = asked.top_logprobs;
  request.prompt_logprobs = asked.echo && asked.top_logprobs >= 0;
  return request;
}

std::optional<ApiError> ErrorOfChoices(const PreparedRequest& prepared) {
  for (const CompletionChoice& choice : prepared.choices) {
    if (choice.result.status.ok()) continue;
    return GrammarError(choice.result.status, prepared.request.grammar.has_value()
                                                  ? prepared.request.grammar->kind
                                                  : GrammarKind::kGbnf);
  }
  return std::nullopt;
}

void WriteAnswer(PreparedRequest& prepared, absl::string_view id, int64_t created,
                 const Tokenizer* tokenizer, TextSink sink) {
  for (size_t i = 0; i < prepared.choices.size(); ++i) {
    const size_t prompt = i / prepared.request.n;
    CompletionChoice& choice = prepared.choices[i];
    choice.prompt = &prepared.prompts[prompt];
    choice.opens_reasoning = prepared.opens_reasoning;
    if (!prepared.request.echo) continue;
    const std::string* text = std::get_if<std::string>(&prepared.request.prompts[prompt]);
    choice.prompt_text = text != nullptr ? *text
                         : tokenizer != nullptr
                             ? tokenizer->Decode(*choice.prompt, /*skip_special=*/true)
                             : std::string();
  }
  if (prepared.request.chat.has_value()) {
    WriteChatCompletionBody(prepared.request, prepared.choices, absl::StrCat("chat", id), created,
                            *tokenizer, sink);
  } else {
    WriteCompletionBody(prepared.request, prepared.choices, id, created, tokenizer, sink);
  }
}

}  // namespace sluice
