// Writes chat completions as OpenAI's API does.
#include "runtime/openai/chat_response.h"

#include <string>
#include <utility>

#include "nlohmann/json.hpp"
#include "runtime/chat/reasoning.h"
#include "storage/store/manifest_text.h"

namespace sluice {
namespace {

using nlohmann::json;

json TokenEntry(const Tokenizer& tokenizer, int32_t id, double log_prob) {
  const std::string bytes = tokenizer.TokenBytes(id);
  return {{"token", ShownBytes(bytes)}, {"logprob", log_prob}, {"bytes", ByteList(bytes)}};
}

void WriteLogprobs(const CompletionChoice& choice, const Tokenizer& tokenizer, TextSink sink) {
  sink("{\"content\":[");
  const size_t tokens = AnswerTokens(choice.result, &tokenizer);
  for (size_t i = 0; i < tokens; ++i) {
    const TokenLogProb log_prob = choice.result.log_probs[i];
    json entry = TokenEntry(tokenizer, choice.result.ids[i], log_prob.log_prob);
    entry["top_logprobs"] = json::array();
    for (const auto& [id, value] : log_prob.top)
      entry["top_logprobs"].push_back(TokenEntry(tokenizer, id, value));
    if (i > 0) sink(",");
    sink(JsonLine(entry));
  }
  sink("],\"refusal\":null}");
}

}  // namespace

void WriteChatCompletionBody(const CompletionRequest& request,
                             const std::vector<CompletionChoice>& choices, absl::string_view id,
                             int64_t created, const Tokenizer& tokenizer, TextSink sink) {
  const auto write_choice = [&](size_t i) {
    const CompletionChoice& choice = choices[i];
    // Text that follows a grammar does so from its first token on: there is no reasoning in it,
    // whatever it says.
    SplitAnswer answer = request.grammar.has_value()
                             ? SplitAnswer{.content = choice.result.text, .reasoning = ""}
                             : SplitReasoning(choice.result.text, choice.opens_reasoning);
    json message = {{"role", "assistant"}, {"content", std::move(answer.content)}};
    if (!answer.reasoning.empty()) message["reasoning_content"] = std::move(answer.reasoning);
    WriteWithMember(
        {{"index", i},
         {"message", std::move(message)},
         {"finish_reason", std::string(FinishReasonName(choice.result.finish_reason))}},
        "logprobs",
        [&] { request.top_logprobs >= 0 ? WriteLogprobs(choice, tokenizer, sink) : sink("null"); },
        sink);
  };
  WriteBody(request, choices, "chat.completion", id, created, write_choice, sink);
}

}  // namespace sluice
