// Members that files for vLLM and OpenAI's API have, messages that come back as an API gave them,
// and bytes of tokens.
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/openai/chat_response.h"
#include "runtime/openai/completion_request.h"
#include "runtime/openai/completion_response.h"
#include "runtime/text/jinja/json.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::variant<CompletionRequest, ApiError> ParseBody(const std::string& body) {
  return ParseBatchLine(body, 1, false).request;
}

CompletionRequest MustParse(const std::string& body) {
  const auto parsed = ParseBody(body);
  const auto* const error = std::get_if<ApiError>(&parsed);
  EXPECT_EQ(error, nullptr) << body << ": " << error->message;
  return error == nullptr ? std::get<CompletionRequest>(parsed) : CompletionRequest();
}

ApiError MustFail(const std::string& body) {
  const auto parsed = ParseBody(body);
  const auto* const error = std::get_if<ApiError>(&parsed);
  EXPECT_NE(error, nullptr) << body;
  return error == nullptr ? ApiError() : *error;
}

// All that decides about the answer.
void ExpectDefaults(const CompletionRequest& r) {
  EXPECT_EQ(r.sampler.temperature, 1);
  EXPECT_EQ(r.sampler.top_p, 1);
  EXPECT_EQ(r.sampler.top_k, 0);
  EXPECT_EQ(r.sampler.min_p, 0);
  EXPECT_EQ(r.sampler.repeat_penalty, 1);
  EXPECT_TRUE(r.sampler.logit_bias.empty());
  EXPECT_EQ(r.n, 1);
  EXPECT_EQ(r.min_tokens, 0);
  EXPECT_EQ(r.top_logprobs, -1);
  EXPECT_TRUE(r.stop.empty() && r.stop_token_ids.empty());
  EXPECT_EQ(r.allowed_token_ids, nullptr);
  EXPECT_TRUE(r.skip_special && r.add_special && !r.ignore_eos && !r.include_stop && !r.echo);
  EXPECT_FALSE(r.grammar.has_value() || r.seed.has_value());
}

// What the members of vLLM's requests have in common, with the values that its protocol.py gives
// them.
constexpr char kVllmDefaults[] =
    R"("frequency_penalty": 0.0, "logit_bias": {}, "presence_penalty": 0.0,
    "seed": null, "stop": [], "stream": false, "stream_options": null, "temperature": 1.0, "top_p": 1.0, "user": "u",
    "best_of": 1, "use_beam_search": false, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "length_penalty": 1.0,
    "early_stopping": false, "stop_token_ids": [], "include_stop_str_in_output": false, "ignore_eos": false,
    "min_tokens": 0, "skip_special_tokens": true, "spaces_between_special_tokens": true, "truncate_prompt_tokens": null,
    "truncation_side": null, "prompt_logprobs": null, "logprob_token_ids": null, "allowed_token_ids": null,
    "bad_words": [], "response_format": null, "structured_outputs": null, "guided_json": null, "guided_regex": null,
    "guided_choice": null, "guided_grammar": null, "guided_decoding_backend": null, "guided_whitespace_pattern": null,
    "priority": 0, "request_id": "r-1", "session_id": "s", "return_tokens_as_token_ids": null, "return_token_ids": false,
    "routed_experts_prompt_start": 0, "return_token_offsets": false, "return_mm_kwargs": true, "cache_salt": "salt",
    "kv_transfer_params": null, "ec_transfer_params": null, "vllm_xargs": null, "repetition_detection": null,
    "thinking_token_budget": null, "stream_interval": null, "watermarking": null, "logits_processors": null, "n": 1,
    "parallel_tool_calls": true, "service_tier": "auto", "store": false, "metadata": {"a": "b"}, "safety_identifier": "x",
    "prompt_cache_key": "y", "prompt_cache_retention": "24h", "prediction": null, "model": "m", )";

TEST(OpenAiMembers, TakesWhatAProgramWritesThatWritesAllDefaults) {
  const std::string common = std::string("{") + kVllmDefaults;
  ExpectDefaults(MustParse(
      common + R"("prompt": "x", "echo": false, "logprobs": null, "max_tokens": 16, "suffix": "",
      "prompt_embeds": null, "add_special_tokens": true})"));
  ExpectDefaults(
      MustParse(common + R"("messages": [{"role": "user", "content": "x"}], "logprobs": false,
      "top_logprobs": 0, "max_tokens": null, "max_completion_tokens": null, "tools": null, "tool_choice": "none",
      "reasoning_effort": null, "include_reasoning": true, "echo": false, "add_generation_prompt": true,
      "continue_final_message": false, "add_special_tokens": false, "documents": null, "chat_template": null,
      "chat_template_kwargs": null, "media_io_kwargs": null, "mm_processor_kwargs": {}, "modalities": ["text"],
      "audio": null, "web_search_options": null, "verbosity": "medium", "functions": [], "function_call": "none",
      "return_prompt_text": null})"));
}

TEST(OpenAiMembers, ReadsVllmsSamplingMembers) {
  const CompletionRequest r =
      MustParse(R"({"prompt": "x", "top_k": 40, "min_p": 0.05, "repetition_penalty": 1.1,
      "min_tokens": 4, "stop_token_ids": [7, 3, 7], "allowed_token_ids": [9, 1], "ignore_eos": true,
      "include_stop_str_in_output": true, "skip_special_tokens": false, "add_special_tokens": false, "n": 2,
      "best_of": 2, "parallel_tool_calls": false})");
  EXPECT_EQ(r.sampler.top_k, 40);
  EXPECT_EQ(r.sampler.min_p, 0.05);
  EXPECT_EQ(r.sampler.repeat_penalty, 1.1);
  EXPECT_EQ(r.min_tokens, 4);
  EXPECT_THAT(r.stop_token_ids, ElementsAre(3, 7));
  EXPECT_THAT(*r.allowed_token_ids, ElementsAre(1, 9));
  EXPECT_TRUE(r.ignore_eos && r.include_stop && !r.skip_special && !r.add_special);
  const CompletionRequest chat =
      MustParse(R"({"messages": [{"role": "user", "content": "x"}], "top_k": 1,
      "documents": [{"title": "t", "text": "d"}], "parallel_tool_calls": false, "min_tokens": 100})");
  EXPECT_EQ(chat.sampler.top_k, 1);
  ASSERT_EQ(chat.chat->variables.size(), 1u);
  EXPECT_EQ(chat.chat->variables[0].first.text(), "documents");
}

TEST(OpenAiMembers, NamesWhatChangesAnswersAndIsNotThere) {
  struct Case {
    const char* members;
    const char* code;
    const char* param;
    const char* words;
  };
  const Case cases[] = {
      {R"("best_of": 3)", "unsupported_parameter", "best_of", "1 or n"},
      {R"("best_of": 0)", "invalid_value", "best_of", "from 1"},
      {R"("use_beam_search": true)", "unsupported_parameter", "use_beam_search", "only as false"},
      {R"("length_penalty": 0.5)", "unsupported_parameter", "length_penalty", "only as 1"},
      {R"("bad_words": ["x"])", "unsupported_parameter", "bad_words", "only as []"},
      {R"("guided_json": {})", "unsupported_parameter", "guided_json", "response_format"},
      {R"("guided_choice": ["a"])", "unsupported_parameter", "guided_choice", "grammar"},
      {R"("structured_outputs": {"json": {}})", "unsupported_parameter", "structured_outputs",
       "response_format"},
      {R"("truncate_prompt_tokens": 5)", "unsupported_parameter", "truncate_prompt_tokens",
       "not supported"},
      {R"("prompt_logprobs": 0)", "unsupported_parameter", "prompt_logprobs", "echo"},
      {R"("return_token_ids": true)", "unsupported_parameter", "return_token_ids", "only as false"},
      {R"("thinking_token_budget": 5)", "unsupported_parameter", "thinking_token_budget",
       "only as -1"},
      {R"("suffix": "x")", "unsupported_parameter", "suffix", "only"},
      {R"("stream": true)", "unsupported_parameter", "stream", "only as false"},
      {R"("top_k": -2)", "invalid_value", "top_k", "from -1"},
      {R"("top_k": 1.5)", "invalid_type", "top_k", "integer"},
      {R"("min_p": 1.5)", "invalid_value", "min_p", "[0, 1]"},
      {R"("min_p": "x")", "invalid_type", "min_p", "number"},
      {R"("repetition_penalty": 0)", "invalid_value", "repetition_penalty", "[0.01, 100]"},
      {R"("min_tokens": 17)", "invalid_value", "min_tokens", "max_tokens"},
      {R"("stop_token_ids": 5)", "invalid_type", "stop_token_ids", "array"},
      {R"("stop_token_ids": ["x"])", "invalid_type", "stop_token_ids", "array"},
      {R"("stop_token_ids": [-1])", "invalid_value", "stop_token_ids", "not a token id"},
      {R"("allowed_token_ids": [])", "invalid_value", "allowed_token_ids", "empty"},
      {R"("allowed_token_ids": [1], "grammar": "root ::= [a]")", "invalid_value",
       "allowed_token_ids", "only one"},
      {R"("ignore_eos": 1)", "invalid_type", "ignore_eos", "true or false"},
      {R"("enable_thinking": true)", "unknown_parameter", "enable_thinking", "not a parameter"},
  };
  for (const Case& c : cases) {
    const ApiError error = MustFail(std::string(R"({"prompt": "x", )") + c.members + "}");
    EXPECT_EQ(error.code, c.code) << c.members << ": " << error.message;
    EXPECT_EQ(error.param, c.param) << c.members;
    EXPECT_THAT(error.message, HasSubstr(c.words));
  }
  for (const char* const member :
       {R"("chat_template": "x")", R"("add_generation_prompt": false)",
        R"("continue_final_message": true)", R"("add_special_tokens": true)",
        R"("modalities": ["text", "audio"])", R"("audio": {"voice": "x"})",
        R"("web_search_options": {})", R"("parallel_tool_calls": false, "tools": [{}])"}) {
    const ApiError error = MustFail(
        std::string(R"({"messages": [{"role": "user", "content": "x"}], )") + member + "}");
    EXPECT_EQ(error.code, "unsupported_parameter") << member << ": " << error.message;
  }
}

// The members of an assistant's message as the template sees them.
std::string Seen(const std::string& message) {
  const CompletionRequest r =
      MustParse(R"({"messages": [{"role": "user", "content": "x"}, )" + message + "]}");
  if (!r.chat.has_value() || r.chat->messages.size() != 2) return "";
  std::string text;
  for (const auto& [key, value] : r.chat->messages[1].dict().entries()) {
    text += key.text() + "=" +
            (value.is_string() ? value.text() : "(" + std::to_string(value.items().size()) + ")") +
            ";";
  }
  return text;
}

TEST(OpenAiMembers, TakesMessagesAsTheyCameBack) {
  const std::string plain = "role=assistant;content=Hello;";
  for (
      const char* const more :
      {R"()", R"(, "annotations": [])",
       R"(, "annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}])",
       R"(, "refusal": null, "annotations": null, "audio": null, "function_call": null, "tool_calls": null)",
       R"(, "tool_calls": [], "id": "msg_1", "parsed": {"a": 1}, "refusal": "no")"}) {
    EXPECT_EQ(Seen(std::string(R"({"role": "assistant", "content": "Hello")") + more + "}"), plain)
        << more;
  }
  EXPECT_EQ(Seen(R"({"role": "assistant", "content": "Hello", "reasoning": "r"})"),
            plain + "reasoning=r;reasoning_content=r;");
  EXPECT_EQ(
      Seen(
          R"({"role": "assistant", "content": "Hello", "reasoning": "r", "reasoning_content": "c"})"),
      plain + "reasoning=r;reasoning_content=c;");
  EXPECT_EQ(Seen(R"({"role": "assistant", "content": null, "refusal": "I cannot"})"),
            "role=assistant;content=I cannot;");
  EXPECT_EQ(Seen(R"({"role": "assistant", "content": null, "reasoning_content": "r"})"),
            "role=assistant;reasoning_content=r;content=;");
  EXPECT_EQ(
      Seen(
          R"({"role": "assistant", "content": null, "tool_calls": [{"id": "1", "index": 0, "type": "function",
                     "function": {"name": "f", "arguments": ""}}]})"),
      "role=assistant;tool_calls=(1);content=;");
  const CompletionRequest call =
      MustParse(R"({"messages": [{"role": "assistant", "tool_calls": [{"index": 0, "id": "1",
      "function": {"name": "f", "arguments": ""}}]}]})");
  const jinja::Value& entry = call.chat->messages[0].dict().Find("tool_calls")->items()[0];
  EXPECT_EQ(entry.dict().Find("index"), nullptr);
  EXPECT_TRUE(entry.dict().Find("function")->dict().Find("arguments")->is_dict());
}

TEST(OpenAiMembers, NamesMembersOfMessagesThatCouldMatter) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"role": "assistant", "content": "x", "images": ["x"]})", "messages[0].images"},
      {R"({"role": "assistant", "content": "x", "audio": {"id": "a"}})", "messages[0].audio"},
      {R"({"role": "assistant", "content": "x", "function_call": {"name": "f"}})",
       "messages[0].function_call"},
      {R"({"role": "user", "content": "x", "annotations": []})", "messages[0].annotations"},
      {R"({"role": "user", "content": "x", "reasoning": "r"})", "messages[0].reasoning"},
      {R"({"role": "assistant", "content": "x", "reasoning": 5})", "messages[0].reasoning"},
      {R"({"role": "assistant"})", "messages[0].content"},
      {R"({"role": "user", "content": null})", "messages[0].content"}};
  for (const auto& [message, param] : cases) {
    EXPECT_EQ(MustFail(std::string("{\"messages\": [") + message + "]}").param, param) << message;
  }
}

TEST(OpenAiMembers, HalfASurrogatePairIsAReplacementCharacter) {
  const std::string mark = "\xEF\xBF\xBD";
  const std::pair<const char*, std::string> cases[] = {
      {R"(a\ud800b)", "a" + mark + "b"},
      {R"(\uDC00)", mark},
      {R"(\ud83d\ude00)", "\xF0\x9F\x98\x80"},
      {R"(\ud83d\ud83d\ude00)", mark + "\xF0\x9F\x98\x80"},
      {R"(\ud83dx\ude00)", mark + "x" + mark},
      {R"(\\ud800)", "\\ud800"},
      {R"(\\\ud800)", "\\" + mark},
      {R"(\ud800\\udc00)", mark + "\\udc00"}};
  for (const auto& [escaped, text] : cases) {
    const CompletionRequest r = MustParse(std::string("{\"prompt\": \"") + escaped + "\"}");
    EXPECT_EQ(std::get<std::string>(r.prompts[0]), text) << escaped;
    const CompletionRequest chat = MustParse(
        std::string(R"({"messages": [{"role": "user", "content": ")") + escaped + "\"}]}");
    EXPECT_EQ(chat.chat->messages[0].dict().Find("content")->text(), text) << escaped;
    const auto value = jinja::ValueFromJson(std::string("\"") + escaped + "\"", "x");
    ASSERT_TRUE(value.ok()) << value.status();
    EXPECT_EQ(value->text(), text);
  }
  EXPECT_EQ(ParseBatchLine(R"({"custom_id": "\ud800", "prompt": "x"})", 1, false).custom_id, mark);
  EXPECT_EQ(MustFail(R"({"prompt": "\ud8"})").code, "invalid_json");
  EXPECT_EQ(MustFail(R"({"prompt": "\ud800)").code, "invalid_json");
  const CompletionRequest schema =
      MustParse(R"({"prompt": "x", "response_format": {"type": "json_schema", "json_schema":
      {"schema": {"const": "\ud800"}}}})");
  EXPECT_THAT(schema.grammar->text, HasSubstr(mark));
}

// A byte-level tokenizer: an "a", a space with the first byte of an emoji, its other bytes, and a
// control token.
std::unique_ptr<Tokenizer> MembersTokenizer() {
  auto tokenizer = Tokenizer::FromJson(
      R"({"model": {"type": "BPE", "vocab": {"a": 0, "ð": 1, "Ł": 2, "ĺ": 3, "Ģ": 4, "Ġð": 5}, "merges": []},
          "decoder": {"type": "ByteLevel"}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
          "added_tokens": [{"id": 6, "content": "<e>", "special": true}]})",
      "small");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

TEST(OpenAiMembers, GivesTheBytesOfTokensThatArePartOfACharacter) {
  const std::unique_ptr<Tokenizer> tokenizer = MembersTokenizer();
  const std::vector<int32_t> prompt = {0};
  std::vector<CompletionChoice> choices(1);
  choices[0].prompt = &prompt;
  choices[0].result.ids = {0, 5, 2, 3, 4};
  choices[0].result.text = "a \xF0\x9F\x98\x80";
  choices[0].result.text_offsets = {0, 1, 2, 2, 2};
  choices[0].result.finish_reason = FinishReason::kLength;
  for (int i = 0; i < 5; ++i) choices[0].result.log_probs.Add(0, -1, {{1, -1.0F}, {6, -2.0F}});
  CompletionRequest request;
  request.prompts.emplace_back(std::string());
  request.top_logprobs = 2;
  std::string text;
  const auto sink = [&](absl::string_view piece) { text.append(piece.data(), piece.size()); };
  WriteCompletionBody(request, choices, "cmpl-1", 5, tokenizer.get(), sink);
  json logprobs = json::parse(text)["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"],
            json::parse(R"(["a", "bytes: \\xf0", "bytes:\\x9f", "bytes:\\x98", "bytes:\\x80"])"));
  EXPECT_EQ(logprobs["bytes"], json::parse("[[97], [32, 240], [159], [152], [128]]"));
  EXPECT_EQ(logprobs["top_logprobs"][1], json::parse(R"({"bytes:\\xf0": -1.0, "<e>": -2.0})"));

  text.clear();
  request.chat.emplace();
  WriteChatCompletionBody(request, choices, "chatcmpl-1", 5, *tokenizer, sink);
  logprobs = json::parse(text)["choices"][0]["logprobs"]["content"];
  std::string joined;
  for (const json& token : logprobs) {
    for (const json& byte : token["bytes"]) joined.push_back(static_cast<char>(byte.get<int>()));
    EXPECT_EQ(token["top_logprobs"],
              json::parse(R"([{"token": "\\xf0", "logprob": -1.0, "bytes": [240]},
                                                     {"token": "<e>", "logprob": -2.0, "bytes": [60, 101, 62]}])"));
  }
  EXPECT_EQ(joined, choices[0].result.text);
  EXPECT_EQ(logprobs[1]["token"], " \\xf0");
  EXPECT_EQ(logprobs[1]["bytes"], json::parse("[32, 240]"));
}

// SentencePiece's: a token's space is part of it, a byte is a token of its own.
TEST(OpenAiMembers, GivesTheBytesOfSentencePieceTokens) {
  const auto tokenizer = Tokenizer::FromJson(
      R"({"model": {"type": "BPE", "byte_fallback": true, "vocab": {"▁Hi": 0, "<0xF0>": 1, "�": 2}, "merges": []},
          "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
          {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}})",
      "small");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->TokenBytes(0), " Hi");
  EXPECT_EQ((*tokenizer)->TokenBytes(1), "\xF0");
  EXPECT_EQ((*tokenizer)->TokenBytes(2), "\xEF\xBF\xBD") << "a character like others";
  EXPECT_EQ((*tokenizer)->TokenBytes(3), "") << "no token";
  EXPECT_EQ(ShownBytes("\xEF\xBF\xBD"), "\xEF\xBF\xBD");
  EXPECT_EQ(ShownBytes("a\xE4\xB8"), "a\\xe4\\xb8");
}

}  // namespace
}  // namespace sluice
