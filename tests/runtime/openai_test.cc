// Batch lines: what is right is read as OpenAI means it, what is wrong is named.
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/openai/chat_response.h"
#include "runtime/openai/completion_request.h"
#include "runtime/openai/completion_response.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ApiError ErrorOf(const std::string& line, bool plain_text = false) {
  const BatchLine parsed = ParseBatchLine(line, 7, plain_text);
  const auto* error = std::get_if<ApiError>(&parsed.request);
  EXPECT_NE(error, nullptr) << line;
  return error == nullptr ? ApiError() : *error;
}

CompletionRequest RequestOf(const std::string& line) {
  const BatchLine parsed = ParseBatchLine(line, 7, false);
  const auto* error = std::get_if<ApiError>(&parsed.request);
  EXPECT_EQ(error, nullptr) << line << ": " << error->message;
  return error == nullptr ? std::get<CompletionRequest>(parsed.request) : CompletionRequest();
}

// What `write` writes, as JSON.
json Parsed(absl::FunctionRef<void(TextSink)> write) {
  std::string text;
  write([&](absl::string_view piece) { text.append(piece.data(), piece.size()); });
  return json::parse(text);
}

TEST(OpenAi, ReadsAWholeLine) {
  const std::string line =
      R"({"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {
      "model": "m", "prompt": ["x", [1, 2]], "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "seed": -3,
      "stop": "end", "n": 2, "logprobs": 3, "frequency_penalty": 0.1, "presence_penalty": -0.2,
      "logit_bias": {"9": -100, "4": 1}, "echo": true, "user": "u", "metadata": {"k": 1}, "store": false,
      "service_tier": "auto", "suffix": null, "stream": false}})";
  EXPECT_EQ(ParseBatchLine(line, 7, false).custom_id, "a");
  const CompletionRequest r = RequestOf(line);
  EXPECT_EQ(r.model, "m");
  ASSERT_EQ(r.prompts.size(), 2u);
  EXPECT_EQ(std::get<std::string>(r.prompts[0]), "x");
  EXPECT_THAT(std::get<std::vector<int32_t>>(r.prompts[1]), ElementsAre(1, 2));
  EXPECT_EQ(r.max_tokens, 5);
  EXPECT_EQ(r.sampler.temperature, 0.5);
  EXPECT_EQ(r.sampler.top_p, 0.9);
  EXPECT_EQ(r.seed, -3);
  EXPECT_THAT(r.stop, ElementsAre("end"));
  EXPECT_EQ(r.num_choices(), 4);
  EXPECT_EQ(r.top_logprobs, 3);
  EXPECT_EQ(r.sampler.frequency_penalty, 0.1);
  EXPECT_EQ(r.sampler.presence_penalty, -0.2);
  EXPECT_THAT(r.sampler.logit_bias, ElementsAre(testing::Pair(4, 1.0f), testing::Pair(9, -100.0f)));
  EXPECT_TRUE(r.echo);
}

TEST(OpenAi, ReadsTheShortFormsAndFillsInDefaults) {
  const CompletionRequest r = RequestOf(R"({"prompt": "x"})");
  EXPECT_EQ(r.max_tokens, 16);
  EXPECT_EQ(r.sampler.temperature, 1);
  EXPECT_EQ(r.n, 1);
  EXPECT_EQ(r.top_logprobs, -1);
  EXPECT_FALSE(r.seed.has_value());
  EXPECT_EQ(ParseBatchLine(R"({"prompt": "x"})", 7, false).custom_id, "line-7");
  EXPECT_EQ(ParseBatchLine(R"({"prompt": "x", "custom_id": "b"})", 7, false).custom_id, "b");
  EXPECT_EQ(RequestOf(R"({"prompt": "x", "max_completion_tokens": 9})").max_tokens, 9);
  EXPECT_EQ(RequestOf(R"({"prompt": [1, 2, 3]})").prompts.size(), 1u);
  EXPECT_EQ(RequestOf(R"({"prompt": "x", "logprobs": true, "top_logprobs": 4})").top_logprobs, 4);
  EXPECT_EQ(RequestOf(R"({"prompt": "x", "logprobs": 0})").top_logprobs, 0);
  const BatchLine text = ParseBatchLine("{\"prompt\"", 3, true);
  EXPECT_EQ(text.custom_id, "line-3");
  EXPECT_EQ(std::get<std::string>(std::get<CompletionRequest>(text.request).prompts[0]),
            "{\"prompt\"");
}

TEST(OpenAi, ReadsTheFormatOfAnswersWithASchemaAsItIsWritten) {
  EXPECT_FALSE(
      RequestOf(R"({"prompt": "x", "response_format": {"type": "text"}})").grammar.has_value());
  EXPECT_EQ(
      RequestOf(R"({"prompt": "x", "response_format": {"type": "json_object"}})").grammar->kind,
      GrammarKind::kJsonObject);
  const CompletionRequest gbnf = RequestOf(R"({"prompt": "x", "grammar": "root ::= [a]"})");
  EXPECT_EQ(gbnf.grammar->kind, GrammarKind::kGbnf);
  EXPECT_EQ(gbnf.grammar->text, "root ::= [a]");
  const std::string format =
      R"({"type": "json_schema", "json_schema": {"strict": true, "name": "n", "schema":
      {"type": "object", "properties": {"z": {"maximum": 2.50}, "a": {}}}}})";
  for (const std::string& line :
       {"{\"prompt\": \"x\", \"response_format\": " + format + "}",
        "{\"url\": \"/v1/completions\", \"body\": {\"prompt\": \"x\", \"response_format\": " +
            format + "}}"}) {
    const CompletionRequest r = RequestOf(line);
    ASSERT_TRUE(r.grammar.has_value());
    EXPECT_EQ(r.grammar->kind, GrammarKind::kJsonSchema);
    EXPECT_EQ(r.grammar->text, R"({"type":"object","properties":{"z":{"maximum":2.5},"a":{}}})");
  }
  // Any value, and members of the same names elsewhere.
  const CompletionRequest r = RequestOf(
      R"({"user": "schema", "metadata": {"response_format": {"json_schema": {"schema": {}}}}, "prompt": "x",
      "response_format": {"json_schema": {"name": "schema", "schema": {"enum": ["\u00e9\"{", [], {}, -1,
      18446744073709551615, 1e2, null, true, ["a", {"b": [1, 2]}]], "schema": {"$id": "i"}}}, "type": "json_schema"}})");
  ASSERT_TRUE(r.grammar.has_value());
  EXPECT_EQ(r.grammar->text,
            "{\"enum\":[\"\xC3\xA9"
            R"(\"{",[],{},-1,18446744073709551615,100.0,null,true,["a",{"b":[1,2]}]],)"
            R"("schema":{"$id":"i"}})");
  // Names may be written with escapes.
  const CompletionRequest escaped = RequestOf(
      R"({"\u006dessages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_schem\u0061",
      "json\u005fschema": {"name": "n", "schema": {"z": 1, "a": 2}}}})");
  EXPECT_TRUE(escaped.chat.has_value());
  ASSERT_TRUE(escaped.grammar.has_value());
  EXPECT_EQ(escaped.grammar->text, R"({"z":1,"a":2})");
}

TEST(OpenAi, NamesWhatIsWrong) {
  struct Case {
    const char* line;
    const char* code;
    const char* param;
    const char* words;
  };
  const Case cases[] = {
      {"", "invalid_json", "", "not valid JSON"},
      {"{\"prompt\": \"x\"", "invalid_json", "", "not valid JSON"},
      {"[1]", "invalid_json", "", "not a JSON object"},
      {"{\"prompt\": \"\xff\xfe\"}", "invalid_json", "", "not valid JSON"},
      {R"({"prompt": "x", "prompt": "y"})", "invalid_json", "", "twice"},
      {R"({"custom_id": 5, "prompt": "x"})", "invalid_type", "custom_id", "string"},
      {R"({"custom_id": "", "prompt": "x"})", "invalid_type", "custom_id", "string"},
      {R"({"custom_id": "a"})", "missing_required_parameter", "url", "missing"},
      {R"({"url": "/v1/completions"})", "missing_required_parameter", "body", "missing"},
      {R"({"url": "/v1/completions", "body": 5})", "invalid_type", "body", "object"},
      {R"({"url": "/v1/completions", "body": {}})", "missing_required_parameter", "prompt",
       "missing"},
      {R"({"url": "/v1/embeddings", "body": {}})", "invalid_url", "url", "/v1/completions"},
      {R"({"url": "/v1/chat/completions", "body": {"messages": []}})", "invalid_value", "messages",
       "empty"},
      {R"({"method": "GET", "url": "/v1/completions", "body": {}})", "invalid_value", "method",
       "POST"},
      {R"({"url": "/v1/completions", "body": {}, "priority": 1})", "unknown_parameter", "priority",
       "batch line"},
      {R"({"prompt": 5})", "invalid_type", "prompt", "string"},
      {R"({"prompt": []})", "invalid_value", "prompt", "empty"},
      {R"({"prompt": [1, "x"]})", "invalid_type", "prompt", "string"},
      {R"({"prompt": [[1], 5]})", "invalid_type", "prompt", "string"},
      {R"({"prompt": [1, -1]})", "invalid_value", "prompt", "token id"},
      {R"({"prompt": [1, 99999999999]})", "invalid_value", "prompt", "token id"},
      {R"({"prompt": "x", "max_tokens": -1})", "invalid_value", "max_tokens", "from 0"},
      {R"({"prompt": "x", "max_tokens": "5"})", "invalid_type", "max_tokens", "integer"},
      {R"({"prompt": "x", "max_tokens": 1.5})", "invalid_type", "max_tokens", "integer"},
      {R"({"prompt": "x", "temperature": 3})", "invalid_value", "temperature", "[0, 2]"},
      {R"({"prompt": "x", "temperature": "hot"})", "invalid_type", "temperature", "number"},
      {R"({"prompt": "x", "top_p": 0})", "invalid_value", "top_p", "(0, 1]"},
      {R"({"prompt": "x", "frequency_penalty": 5})", "invalid_value", "frequency_penalty",
       "[-2, 2]"},
      {R"({"prompt": "x", "n": 0})", "invalid_value", "n", "from 1"},
      {R"({"prompt": ["x", "y"], "n": 4000})", "invalid_value", "n", "8000"},
      {R"({"prompt": "x", "stop": [""]})", "invalid_value", "stop", "empty"},
      {R"({"prompt": "x", "stop": 5})", "invalid_type", "stop", "string"},
      {R"({"prompt": "x", "logprobs": 21})", "invalid_value", "logprobs", "20"},
      {R"({"prompt": "x", "top_logprobs": 2})", "invalid_value", "top_logprobs", "needs logprobs"},
      {R"({"prompt": "x", "logit_bias": {"a": 1}})", "invalid_value", "logit_bias", "token id"},
      {R"({"prompt": "x", "logit_bias": {"1": "a"}})", "invalid_type", "logit_bias", "numbers"},
      {R"({"prompt": "x", "echo": 1})", "invalid_type", "echo", "true or false"},
      {R"({"prompt": "x", "stream": true})", "unsupported_parameter", "stream", "only as false"},
      {R"({"prompt": "x", "tools": []})", "unsupported_parameter", "tools", "not supported"},
      {R"({"prompt": "x", "response_format": "json"})", "invalid_type", "response_format",
       "object"},
      {R"({"prompt": "x", "response_format": {"type": "xml"}})", "invalid_value",
       "response_format.type", "json_object"},
      {R"({"prompt": "x", "response_format": {"type": "text", "schema": {}}})", "unknown_parameter",
       "response_format.schema", "not a parameter"},
      {R"({"prompt": "x", "response_format": {"type": "json_schema"}})",
       "missing_required_parameter", "response_format.json_schema", "object"},
      {R"({"prompt": "x", "response_format": {"type": "json_schema", "json_schema": {"schema": true}}})",
       "missing_required_parameter", "response_format.json_schema.schema", "object"},
      {R"({"prompt": "x", "response_format": {"type": "json_schema", "json_schema": {"schema": {}, "colour": 1}}})",
       "unknown_parameter", "response_format.json_schema.colour", "not a parameter"},
      {R"({"prompt": "x", "grammar": 5})", "invalid_type", "grammar", "string"},
      {R"({"prompt": "x", "grammar": "root ::= [a]", "response_format": {"type": "json_object"}})",
       "invalid_value", "response_format", "only one"},
      {R"({"prompt": "x", "images": []})", "unknown_parameter", "images", "not a parameter"},
  };
  for (const Case& c : cases) {
    const ApiError error = ErrorOf(c.line);
    EXPECT_EQ(error.code, c.code) << c.line;
    EXPECT_EQ(error.param, c.param) << c.line;
    EXPECT_THAT(error.message, HasSubstr(c.words)) << c.line;
    EXPECT_EQ(error.status_code, 400);
  }
  EXPECT_EQ(ErrorOf("caf\xe9", /*plain_text=*/true).code, "invalid_utf8");
  const std::string name(99, 'n');
  EXPECT_EQ(ErrorOf(R"({"prompt": "x", ")" + name + R"(ä": 1})").param, name)
      << "no half of a character";
}

TEST(OpenAi, ReadsAChat) {
  const CompletionRequest r =
      RequestOf(R"({"url": "/v1/chat/completions", "body": {"model": "m", "messages": [
      {"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "a"},
      {"type": "text", "text": "b"}], "name": null}, {"role": "assistant", "content": null, "tool_calls": [{"id": "1",
      "type": "function", "function": {"name": "f", "arguments": "{\"z\": 1, \"a\": 2}"}}]},
      {"role": "tool", "tool_call_id": "1", "content": "t"}], "tools": [{"type": "function", "function": {"z": 1,
      "a": 2}}], "tool_choice": "auto", "parallel_tool_calls": true, "chat_template_kwargs": {"enable_thinking": false},
      "reasoning_effort": "low", "logprobs": true, "top_logprobs": 2, "max_completion_tokens": 7, "stop": ["x"],
      "temperature": 0.5, "seed": 4, "n": 2}})");
  ASSERT_TRUE(r.chat.has_value());
  ASSERT_EQ(r.chat->messages.size(), 4u);
  EXPECT_EQ(r.chat->messages[1].dict().Find("content")->text(), "a\nb");
  EXPECT_EQ(r.chat->messages[1].dict().Find("name"), nullptr);
  EXPECT_EQ(r.chat->messages[2].dict().Find("content")->text(), "");
  const jinja::Value& call = r.chat->messages[2].dict().Find("tool_calls")->items()[0];
  const jinja::Value& arguments = *call.dict().Find("function")->dict().Find("arguments");
  ASSERT_TRUE(arguments.is_dict());
  EXPECT_EQ(arguments.dict().entries()[0].first.text(),
            "z");  // in the order in which they were written
  ASSERT_TRUE(r.chat->has_tools());
  EXPECT_EQ(r.chat->tools.items()[0].dict().Find("function")->dict().entries()[0].first.text(),
            "z");
  EXPECT_EQ(r.chat->variables.size(), 2u);
  EXPECT_EQ(r.num_choices(), 2);
  EXPECT_EQ(r.top_logprobs, 2);
  EXPECT_EQ(r.max_tokens, 7);
  EXPECT_EQ(r.seed, 4);

  const CompletionRequest alone =
      RequestOf(R"({"custom_id": "c", "messages": [{"role": "user", "content": "x"}],
                                                "tools": [{}], "tool_choice": "none"})");
  EXPECT_FALSE(alone.chat->has_tools());
  EXPECT_GT(alone.max_tokens, 1 << 20);
  EXPECT_EQ(alone.top_logprobs, -1);
}

TEST(OpenAi, NamesWhatIsWrongWithAChat) {
  struct Case {
    const char* members;  // beside a right list of messages, unless they have one
    const char* code;
    const char* param;
  };
  const Case cases[] = {
      {R"("messages": 5)", "invalid_type", "messages"},
      {R"("messages": [])", "invalid_value", "messages"},
      {R"("messages": ["x"])", "invalid_type", "messages[0]"},
      {R"("messages": [{"content": "x"}])", "invalid_value", "messages[0].role"},
      {R"("messages": [{"role": "robot", "content": "x"}])", "invalid_value", "messages[0].role"},
      {R"("messages": [{"role": "user"}])", "missing_required_parameter", "messages[0].content"},
      {R"("messages": [{"role": "user", "content": 5}])", "invalid_type", "messages[0].content"},
      {R"("messages": [{"role": "user", "content": ["x"]}])", "invalid_type",
       "messages[0].content"},
      {R"("messages": [{"role": "user", "content": [{"type": "text"}]}])", "invalid_value",
       "messages[0].content"},
      {R"("messages": [{"role": "user", "content": [{"type": "image_url"}]}])",
       "unsupported_parameter", "messages[0].content"},
      {R"("messages": [{"role": "user", "content": "x", "audio": {}}])", "unknown_parameter",
       "messages[0].audio"},
      {R"("messages": [{"role": "user", "content": "x", "name": 5}])", "invalid_type",
       "messages[0].name"},
      {R"("messages": [{"role": "assistant", "tool_calls": [{}]}])", "invalid_type",
       "messages[0].tool_calls"},
      {R"("messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]}])",
       "invalid_value", "messages[0].tool_calls"},
      {R"("tools": {})", "invalid_type", "tools"},
      {R"("tools": ["x"])", "invalid_type", "tools"},
      {R"("tool_choice": "required")", "unsupported_parameter", "tool_choice"},
      {R"("tool_choice": {"type": "function"})", "unsupported_parameter", "tool_choice"},
      {R"("parallel_tool_calls": false, "tools": [{}])", "unsupported_parameter",
       "parallel_tool_calls"},
      {R"("chat_template_kwargs": 5)", "invalid_type", "chat_template_kwargs"},
      {R"("reasoning_effort": 5)", "invalid_type", "reasoning_effort"},
      {R"("prompt": "x")", "unknown_parameter", "prompt"},
      {R"("echo": true)", "unknown_parameter", "echo"},
      {R"("logprobs": 3)", "invalid_type", "logprobs"},
      {R"("top_logprobs": 3)", "invalid_value", "top_logprobs"},
      {R"("stream": true)", "unsupported_parameter", "stream"},
      {R"("modalities": ["audio"])", "unsupported_parameter", "modalities"},
      {R"("temperature": 3)", "invalid_value", "temperature"},
  };
  for (const Case& c : cases) {
    const bool has_messages = std::string(c.members).find("messages") != std::string::npos;
    const ApiError error =
        ErrorOf(std::string(R"({"url": "/v1/chat/completions", "body": {)") + c.members +
                (has_messages ? "" : R"(, "messages": [{"role": "user", "content": "x"}])") + "}}");
    EXPECT_EQ(error.code, c.code) << c.members << ": " << error.message;
    EXPECT_EQ(error.param, c.param) << c.members;
  }
  EXPECT_EQ(ErrorOf(R"({"url": "/v1/chat/completions", "body": {}})").param, "messages");
  EXPECT_EQ(ErrorOf(R"({"url": "/v1/chat/completions", "body": 5})").param, "body");
}

TEST(OpenAi, WritesAChatWithItsReasoning) {
  CompletionRequest request;
  request.model = "m";
  request.prompts.emplace_back(std::string());
  request.chat.emplace();
  request.top_logprobs = 1;
  const std::vector<int32_t> prompt = {1, 2};
  const auto tokenizer = Tokenizer::FromJson(
      R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}, "added_tokens": [{"id": 2,
          "content": "<e>", "special": true}]})",
      "small");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  std::vector<CompletionChoice> choices(1);
  choices[0].prompt = &prompt;
  choices[0].result.ids = {0, 1, 2};
  choices[0].result.text = "ab";
  choices[0].result.text_offsets = {0, 1, 2};
  choices[0].result.finish_reason = FinishReason::kStop;
  LogProbList& log_probs = choices[0].result.log_probs;
  log_probs.Add(0, -0.5F, {{0, -0.5F}});
  log_probs.Add(1, 0, {{0, 0.75F}});
  log_probs.Add(0, -2, {{2, -2.0F}});
  const auto body_of = [&] {
    return Parsed([&](TextSink sink) {
      WriteChatCompletionBody(request, choices, "chatcmpl-1", 5, **tokenizer, sink);
    });
  };
  json body = body_of();
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["usage"],
            json::parse(R"({"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5})"));
  EXPECT_EQ(body["choices"][0], json::parse(R"({"index": 0, "finish_reason": "stop",
      "message": {"role": "assistant", "content": "ab"}, "logprobs": {"refusal": null, "content": [
      {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "a", "logprob": -0.5, "bytes": [97]}]},
      {"token": "b", "logprob": -1.0, "bytes": [98], "top_logprobs": [{"token": "a", "logprob": -0.25, "bytes": [97]}]}
      ]}})"));
  EXPECT_EQ(body["id"], "chatcmpl-1");

  request.top_logprobs = -1;
  choices[0].result.text = "<think>why</think>\nb";
  body = body_of();
  EXPECT_EQ(body["choices"][0]["message"],
            json::parse(R"({"role": "assistant", "content": "b", "reasoning_content": "why"})"));
  EXPECT_TRUE(body["choices"][0]["logprobs"].is_null());
  choices[0].opens_reasoning = true;
  choices[0].result.text = "why";
  EXPECT_EQ(body_of()["choices"][0]["message"],
            json::parse(R"({"role": "assistant", "content": "", "reasoning_content": "why"})"));
  request.grammar = GrammarText{GrammarKind::kJsonObject, ""};
  choices[0].result.text = "{}";
  EXPECT_EQ(body_of()["choices"][0]["message"],
            json::parse(R"({"role": "assistant", "content": "{}"})"));
}

TEST(OpenAi, WritesACompletionWithItsLogProbabilities) {
  CompletionRequest request;
  request.model = "m";
  request.prompts = {"p", "q"};
  request.top_logprobs = 1;
  const std::vector<int32_t> p = {1, 2}, q = {3};
  SequenceResult first;
  first.ids = {5, 6};
  first.text = "ab";
  first.finish_reason = FinishReason::kLength;
  first.log_probs.Add(0, -0.5F, {{5, -0.5F}});
  first.log_probs.Add(0.5, -1, {{7, 0.25F}});
  first.text_offsets = {0, 1};
  SequenceResult second;
  second.finish_reason = FinishReason::kStop;
  const json body = Parsed([&](TextSink sink) {
    WriteCompletionBody(request, {{first, &p, ""}, {second, &q, ""}}, "cmpl-1", 99, nullptr, sink);
  });
  EXPECT_EQ(body["id"], "cmpl-1");
  EXPECT_EQ(body["object"], "text_completion");
  EXPECT_EQ(body["created"], 99);
  EXPECT_EQ(body["usage"],
            (json{{"prompt_tokens", 3}, {"completion_tokens", 2}, {"total_tokens", 5}}));
  EXPECT_EQ(body["choices"][0]["text"], "ab");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body["choices"][1]["index"], 1);
  EXPECT_EQ(body["choices"][1]["finish_reason"], "stop");
  const json& logprobs = body["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["token_logprobs"], (json{-0.5, -1.5}));
  EXPECT_EQ(logprobs["top_logprobs"][1], (json{{"token_id:7", -0.25}}));
  EXPECT_EQ(logprobs["text_offset"], (json{0, 1}));
}

TEST(OpenAi, NamesLinesByNumberAndCustomId) {
  const ResultIds a(1, "x"), again(1, "x"), b(2, "x"), c(1, "y");
  EXPECT_EQ(a.id, again.id);
  EXPECT_NE(a.id, b.id);
  EXPECT_NE(a.id, c.id);
  EXPECT_EQ(a.request, again.request);
  const std::string line =
      ErrorLine(a, "quo\"te\n", {.message = "no", .param = "n", .code = "invalid_value"});
  EXPECT_EQ(line.back(), '\n');
  EXPECT_EQ(line.find('\n'), line.size() - 1) << "one line";
  const json parsed = json::parse(line);
  EXPECT_EQ(parsed["custom_id"], "quo\"te\n");
  EXPECT_EQ(parsed["id"], a.id);
  EXPECT_EQ(parsed["response"]["status_code"], 400);
  EXPECT_EQ(parsed["response"]["body"]["error"]["param"], "n");
  EXPECT_TRUE(parsed["error"].is_null());
}

}  // namespace
}  // namespace sluice
