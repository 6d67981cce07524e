// Writes completions as OpenAI's API does.
#include "runtime/openai/completion_response.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "nlohmann/json.hpp"
#include "runtime/text/tokenizer/unicode.h"
#include "storage/store/manifest.h"
#include "storage/store/manifest_text.h"

namespace sluice {
namespace {

using nlohmann::json;

// A token of a completion and its place in the lists of log probabilities.
struct ScoredToken {
  int32_t id;
  int64_t text_offset;
  const LogProbList* log_probs;  // null: nothing comes before it
  size_t index;                  // in log_probs
};

std::vector<ScoredToken> ScoredTokens(const CompletionRequest& request,
                                      const CompletionChoice& choice, const Tokenizer* tokenizer) {
  const SequenceResult& result = choice.result;
  std::vector<ScoredToken> tokens;
  int64_t prompt_characters = 0;
  if (request.echo) {
    const int64_t all = CountCharacters(choice.prompt_text);
    for (size_t i = 0; i < choice.prompt->size(); ++i) {
      const int32_t token = (*choice.prompt)[i];
      tokens.push_back(
          {token, prompt_characters, i == 0 ? nullptr : &result.prompt_log_probs, i - 1});
      if (tokenizer == nullptr || tokenizer->IsSpecial(token)) continue;
      prompt_characters =
          std::min(prompt_characters + CountCharacters(tokenizer->Decode({token}, false)), all);
    }
    prompt_characters = all;
  }
  const size_t answer_tokens = AnswerTokens(result, tokenizer);
  for (size_t i = 0; i < answer_tokens; ++i) {
    tokens.push_back(
        {result.ids[i], prompt_characters + result.text_offsets[i], &result.log_probs, i});
  }
  return tokens;
}

// A token as the completions API shows it, which says where it is no text; without a tokenizer its
// id.
std::string TokenText(const Tokenizer* tokenizer, int32_t id) {
  if (tokenizer == nullptr) return absl::StrCat("token_id:", id);
  const std::string bytes = tokenizer->TokenBytes(id);
  std::string shown = ShownBytes(bytes);
  return shown == bytes ? shown : absl::StrCat("bytes:", shown);
}

json TopLogprobs(const TokenLogProb& log_prob, const Tokenizer* tokenizer) {
  json top = json::object();
  // Tokens may have the same text: the likelier one, which comes first, stays.
  for (const auto& [id, value] : log_prob.top) top.emplace(TokenText(tokenizer, id), value);
  return top;
}

// Parallel lists. `bytes`, which the API does not have, puts characters together that several
// tokens make up.
void WriteLogprobs(const CompletionRequest& request, const CompletionChoice& choice,
                   const Tokenizer* tokenizer, TextSink sink) {
  const std::vector<ScoredToken> tokens = ScoredTokens(request, choice, tokenizer);
  const auto write_list = [&](absl::string_view name,
                              absl::FunctionRef<json(const ScoredToken&)> entry) {
    sink(name);
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0) sink(",");
      sink(JsonLine(entry(tokens[i])));
    }
    sink("]");
  };
  write_list("{\"tokens\":[",
             [&](const ScoredToken& token) { return json(TokenText(tokenizer, token.id)); });
  write_list(",\"token_logprobs\":[", [](const ScoredToken& token) {
    return token.log_probs == nullptr ? json() : json((*token.log_probs)[token.index].log_prob);
  });
  if (request.top_logprobs > 0) {
    write_list(",\"top_logprobs\":[", [&](const ScoredToken& token) {
      return token.log_probs == nullptr ? json()
                                        : TopLogprobs((*token.log_probs)[token.index], tokenizer);
    });
  } else {
    sink(",\"top_logprobs\":null");
  }
  if (tokenizer != nullptr) {
    write_list(",\"bytes\":[",
               [&](const ScoredToken& token) { return ByteList(tokenizer->TokenBytes(token.id)); });
  }
  write_list(",\"text_offset\":[",
             [](const ScoredToken& token) { return json(token.text_offset); });
  sink("}");
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

}  // namespace

void WriteWithMember(const json& object, absl::string_view name,
                     absl::FunctionRef<void()> write_value, TextSink sink) {
  std::string text = JsonLine(object);
  text.pop_back();
  sink(absl::StrCat(text, ",\"", name, "\":"));
  write_value();
  sink("}");
}

std::string ShownBytes(absl::string_view bytes) {
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Char c = DecodeUtf8(bytes, at);
    const absl::string_view piece = bytes.substr(at, c.size);
    if (c.state == Utf8State::kValid) {
      text.append(piece.data(), piece.size());
    } else {
      for (const char byte : piece)
        absl::StrAppend(&text, "\\x", absl::Hex(static_cast<uint8_t>(byte), absl::kZeroPad2));
    }
    at += c.size;
  }
  return text;
}

json ByteList(absl::string_view bytes) {
  json list = json::array();
  for (const char byte : bytes) list.push_back(static_cast<uint8_t>(byte));
  return list;
}

size_t AnswerTokens(const SequenceResult& result, const Tokenizer* tokenizer) {
  if (result.finish_reason != FinishReason::kStop || tokenizer == nullptr) return result.ids.size();
  const int64_t characters = CountCharacters(result.text);
  size_t tokens = 0;
  while (tokens < result.ids.size() && result.text_offsets[tokens] < characters) ++tokens;
  return tokens;
}

void WriteBody(const CompletionRequest& request, const std::vector<CompletionChoice>& choices,
               absl::string_view object, absl::string_view id, int64_t created,
               absl::FunctionRef<void(size_t)> write_choice, TextSink sink) {
  WriteWithMember(
      {{"id", std::string(id)},
       {"object", std::string(object)},
       {"created", created},
       {"model", request.model},
       {"usage", UsageOf(request, choices)}},
      "choices",
      [&] {
        sink("[");
        for (size_t i = 0; i < choices.size(); ++i) {
          if (i > 0) sink(",");
          write_choice(i);
        }
        sink("]");
      },
      sink);
}

void WriteCompletionBody(const CompletionRequest& request,
                         const std::vector<CompletionChoice>& choices, absl::string_view id,
                         int64_t created, const Tokenizer* tokenizer, TextSink sink) {
  const auto write_choice = [&](size_t i) {
    const CompletionChoice& choice = choices[i];
    json entry = {{"index", i},
                  {"text", absl::StrCat(request.echo ? choice.prompt_text : std::string(),
                                        choice.result.text)},
                  {"finish_reason", std::string(FinishReasonName(choice.result.finish_reason))}};
    if (tokenizer == nullptr) entry["token_ids"] = choice.result.ids;
    WriteWithMember(
        entry, "logprobs",
        [&] {
          request.top_logprobs >= 0 ? WriteLogprobs(request, choice, tokenizer, sink)
                                    : sink("null");
        },
        sink);
  };
  WriteBody(request, choices, "text_completion", id, created, write_choice, sink);
}

ResultIds::ResultIds(int64_t line_number, absl::string_view custom_id) {
  const std::string key = absl::StrCat(line_number, "\n", custom_id);
  line = Checksum(key);
  const std::string other = ChecksumToHex(Checksum(absl::StrCat("request\n", key)));
  id = absl::StrCat("batch_req_", ChecksumToHex(line));
  request = absl::StrCat("req_", other);
  body = absl::StrCat("cmpl-", other);
}

void WriteResultLine(const ResultIds& ids, absl::string_view custom_id, int status_code,
                     absl::FunctionRef<void()> write_body, TextSink sink) {
  sink(absl::StrCat("{\"id\": \"", ids.id, "\", \"custom_id\": ", JsonLine(std::string(custom_id)),
                    ", \"response\": {\"status_code\": ", status_code, ", \"request_id\": \"",
                    ids.request, "\", \"body\": "));
  write_body();
  sink("}, \"error\": null}\n");
}

std::string ErrorBody(const ApiError& error) {
  return JsonLine({{"error",
                    {{"message", error.message},
                     {"type", error.type},
                     {"param", error.param.empty() ? json() : json(error.param)},
                     {"code", error.code}}}});
}

std::string ErrorLine(const ResultIds& ids, absl::string_view custom_id, const ApiError& error) {
  std::string line;
  const auto sink = [&](absl::string_view piece) { line.append(piece.data(), piece.size()); };
  WriteResultLine(
      ids, custom_id, error.status_code, [&] { sink(ErrorBody(error)); }, sink);
  return line;
}

}  // namespace sluice
