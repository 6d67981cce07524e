// Writes completions as OpenAI's API does.
#include "runtime/openai/completion_response.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "runtime/tokenizer/unicode.h"
#include "storage/manifest.h"
#include "storage/manifest_text.h"

namespace sluice {
namespace {

using nlohmann::json;

uint64_t HashOf(const std::string& text) {
  return Checksum({reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

// The four parallel lists of a completion's log probabilities.
class LogprobLists {
 public:
  LogprobLists(const Tokenizer* tokenizer, int64_t top_logprobs) : tokenizer_(tokenizer), top_(top_logprobs) {}

  void Add(int32_t token, const TokenLogProb* log_prob, int64_t text_offset) {
    tokens_.push_back(TokenText(tokenizer_, token));
    offsets_.push_back(text_offset);
    if (log_prob == nullptr) {  // nothing comes before it
      log_probs_.push_back(nullptr);
      tops_.push_back(nullptr);
      return;
    }
    log_probs_.push_back(log_prob->log_prob);
    json top = json::object();
    // Tokens may have the same text: the likelier one, which comes first, stays.
    for (const auto& [id, value] : log_prob->top) top.emplace(TokenText(tokenizer_, id), value);
    tops_.push_back(std::move(top));
  }

  json Take() {
    return {{"tokens", std::move(tokens_)},
            {"token_logprobs", std::move(log_probs_)},
            {"top_logprobs", top_ > 0 ? std::move(tops_) : json()},
            {"text_offset", std::move(offsets_)}};
  }

 private:
  const Tokenizer* const tokenizer_;
  const int64_t top_;
  json tokens_ = json::array(), log_probs_ = json::array(), tops_ = json::array(), offsets_ = json::array();
};

json ChoiceLogprobs(const CompletionRequest& request, const CompletionChoice& choice, const Tokenizer* tokenizer) {
  const SequenceResult& result = choice.result;
  LogprobLists lists(tokenizer, request.top_logprobs);
  int64_t prompt_characters = 0;
  if (request.echo) {
    for (size_t i = 0; i < choice.prompt->size(); ++i) {
      const int32_t token = (*choice.prompt)[i];
      lists.Add(token, i == 0 ? nullptr : &result.prompt_log_probs[i - 1], prompt_characters);
      if (tokenizer == nullptr || tokenizer->IsSpecial(token)) continue;
      prompt_characters = std::min(prompt_characters + CountCharacters(TokenText(tokenizer, token)),
                                   CountCharacters(choice.prompt_text));
    }
    prompt_characters = CountCharacters(choice.prompt_text);
  }
  for (size_t i = 0; i < AnswerTokens(result, tokenizer); ++i) {
    lists.Add(result.ids[i], &result.log_probs[i], prompt_characters + result.text_offsets[i]);
  }
  return lists.Take();
}

}  // namespace

std::string TokenText(const Tokenizer* tokenizer, int32_t id) {
  if (tokenizer == nullptr) return absl::StrCat("token_id:", id);
  return tokenizer->Decode(absl::MakeConstSpan(&id, 1), /*skip_special=*/false);
}

size_t AnswerTokens(const SequenceResult& result, const Tokenizer* tokenizer) {
  if (result.finish_reason != FinishReason::kStop || tokenizer == nullptr) return result.ids.size();
  const int64_t characters = CountCharacters(result.text);
  size_t tokens = 0;
  while (tokens < result.ids.size() && result.text_offsets[tokens] < characters) ++tokens;
  return tokens;
}

json UsageOf(const CompletionRequest& request, const std::vector<CompletionChoice>& choices) {
  int64_t prompt_tokens = 0, completion_tokens = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i % request.n == 0) prompt_tokens += static_cast<int64_t>(choices[i].prompt->size());
    completion_tokens += static_cast<int64_t>(choices[i].result.ids.size());
  }
  return {{"prompt_tokens", prompt_tokens},
          {"completion_tokens", completion_tokens},
          {"total_tokens", prompt_tokens + completion_tokens}};
}

json CompletionBody(const CompletionRequest& request, const std::vector<CompletionChoice>& choices, int64_t created,
                    const Tokenizer* tokenizer) {
  json list = json::array();
  for (size_t i = 0; i < choices.size(); ++i) {
    const CompletionChoice& choice = choices[i];
    json entry = {{"index", i},
                  {"text", absl::StrCat(request.echo ? choice.prompt_text : std::string(), choice.result.text)},
                  {"finish_reason", std::string(FinishReasonName(choice.result.finish_reason))},
                  {"logprobs", nullptr}};
    if (tokenizer == nullptr) entry["token_ids"] = choice.result.ids;
    if (request.top_logprobs >= 0) entry["logprobs"] = ChoiceLogprobs(request, choice, tokenizer);
    list.push_back(std::move(entry));
  }
  return {{"object", "text_completion"},
          {"created", created},
          {"model", request.model},
          {"choices", std::move(list)},
          {"usage", UsageOf(request, choices)}};
}

json ErrorBody(const ApiError& error) {
  return {{"error",
           {{"message", error.message},
            {"type", error.type},
            {"param", error.param.empty() ? json() : json(error.param)},
            {"code", error.code}}}};
}

ResultIds::ResultIds(int64_t line_number, absl::string_view custom_id) {
  const std::string key = absl::StrCat(line_number, "\n", custom_id);
  line = HashOf(key);
  const std::string other = ChecksumToHex(HashOf(absl::StrCat("request\n", key)));
  id = absl::StrCat("batch_req_", ChecksumToHex(line));
  request = absl::StrCat("req_", other);
  body = absl::StrCat("cmpl-", other);
}

std::string ResultLine(const ResultIds& ids, absl::string_view custom_id, int status_code, const json& body) {
  json whole = body;
  if (status_code == 200) whole["id"] = absl::StrCat(body["object"] == "chat.completion" ? "chat" : "", ids.body);
  return absl::StrCat("{\"id\": \"", ids.id, "\", \"custom_id\": ", JsonLine(std::string(custom_id)),
                      ", \"response\": {\"status_code\": ", status_code, ", \"request_id\": \"", ids.request,
                      "\", \"body\": ", JsonLine(whole), "}, \"error\": null}\n");
}

}  // namespace sluice
