// Reads requests member by member; the first thing that is wrong is what is reported.
#include "runtime/openai/completion_request.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/openai/chat_request.h"
#include "runtime/openai/neutral_members.h"
#include "runtime/openai/request_document.h"
#include "runtime/openai/request_members.h"
#include "runtime/openai/response_format.h"
#include "runtime/text/jinja/json.h"
#include "runtime/text/tokenizer/unicode.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

using nlohmann::json;
constexpr size_t kMaxCustomIdBytes = 512;
constexpr char kChatUrl[] = "/v1/chat/completions";

bool IsCustomId(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxCustomIdBytes;
}

MaybeError ReadInt(absl::string_view name, const json& value, int64_t min, int64_t max,
                   int64_t* out) {
  const json object = {{std::string(name), value}};
  const absl::StatusOr<int64_t> number = JsonInt(object, name);
  if (!number.ok()) return WrongType(name, "an integer");
  if (*number < min || *number > max)
    return Wrong(name, absl::StrCat("must be from ", min, " to ", max));
  *out = *number;
  return std::nullopt;
}

MaybeError ReadDouble(absl::string_view name, const json& value, double* out) {
  if (!value.is_number()) return WrongType(name, "a number");
  *out = value.get<double>();
  return std::nullopt;
}

MaybeError ReadBool(absl::string_view name, const json& value, bool* out) {
  if (!value.is_boolean()) return WrongType(name, "true or false");
  *out = value.get<bool>();
  return std::nullopt;
}

MaybeError ReadString(absl::string_view name, const json& value, std::string* out) {
  const std::string* text = value.get_ptr<const std::string*>();
  if (text == nullptr) return WrongType(name, "a string");
  *out = *text;
  return std::nullopt;
}

MaybeError ReadIds(absl::string_view name, absl::string_view wanted, const json& array,
                   std::vector<int32_t>* ids) {
  ids->reserve(array.size());
  for (const json& item : array) {
    if (!item.is_number_integer()) return WrongType(name, wanted);
    const auto id = item.get<int64_t>();
    if (id < 0 || id > std::numeric_limits<int32_t>::max())
      return Wrong(name, "holds a number that is not a token id");
    ids->push_back(static_cast<int32_t>(id));
  }
  return std::nullopt;
}

MaybeError ReadPromptIds(const json& array, std::vector<int32_t>* ids) {
  return ReadIds("prompt",
                 "a string, an array of strings, an array of token ids, or an array of such arrays",
                 array, ids);
}

// An array of ids, sorted and each once.
MaybeError ReadIdSet(absl::string_view name, const json& value, std::vector<int32_t>* ids) {
  if (!value.is_array()) return WrongType(name, "an array of token ids");
  MaybeError error = ReadIds(name, "an array of token ids", value, ids);
  std::sort(ids->begin(), ids->end());
  ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
  return error;
}

MaybeError ReadStopIds(absl::string_view name, const json& value, std::vector<int32_t>* ids) {
  MaybeError error = ReadIdSet(name, value, ids);
  if (!error.has_value() && ids->size() > kMaxStopTokens) {
    return Wrong(name, absl::StrCat("has more than ", kMaxStopTokens, " ids"));
  }
  return error;
}

// vLLM's; where there are none, it says so by null.
MaybeError ReadAllowedIds(absl::string_view name, const json& value, CompletionRequest* request) {
  std::vector<int32_t> ids;
  if (MaybeError error = ReadIdSet(name, value, &ids); error.has_value()) return error;
  if (ids.empty()) return Wrong(name, "is an empty array: no token could be chosen");
  request->allowed_token_ids = std::make_shared<const std::vector<int32_t>>(std::move(ids));
  return std::nullopt;
}

// "text", [1, 2], ["text", "text"], [[1, 2], [3]], also mixed.
MaybeError ReadPrompt(const json& value, std::vector<PromptInput>* prompts) {
  if (const std::string* text = value.get_ptr<const std::string*>(); text != nullptr) {
    prompts->emplace_back(*text);
    return std::nullopt;
  }
  if (!value.is_array()) return WrongType("prompt", "a string or an array");
  if (value.empty()) return Wrong("prompt", "is an empty array");
  if (value[0].is_number()) {
    std::vector<int32_t> ids;
    if (MaybeError error = ReadPromptIds(value, &ids); error.has_value()) return error;
    prompts->emplace_back(std::move(ids));
    return std::nullopt;
  }
  for (const json& item : value) {
    if (const std::string* text = item.get_ptr<const std::string*>(); text != nullptr) {
      prompts->emplace_back(*text);
      continue;
    }
    std::vector<int32_t> ids;
    if (!item.is_array())
      return WrongType("prompt", "a string or an array of strings or token ids");
    if (MaybeError error = ReadPromptIds(item, &ids); error.has_value()) return error;
    prompts->emplace_back(std::move(ids));
  }
  return std::nullopt;
}

MaybeError ReadStop(const json& value, std::vector<std::string>* stop) {
  const json list = value.is_array() ? value : json::array({value});
  if (list.size() > kMaxStops)
    return Wrong("stop", absl::StrCat("has more than ", kMaxStops, " texts"));
  for (const json& item : list) {
    std::string text;
    if (ReadString("stop", item, &text).has_value())
      return WrongType("stop", "a string or an array of strings");
    if (text.empty()) return Wrong("stop", "holds an empty text");
    if (text.size() > kMaxStopBytes) {
      return Wrong("stop", absl::StrCat("holds a text of more than ", kMaxStopBytes, " bytes"));
    }
    stop->push_back(std::move(text));
  }
  return std::nullopt;
}

MaybeError ReadBias(const json& value, std::vector<std::pair<int32_t, float>>* bias) {
  if (!value.is_object()) return WrongType("logit_bias", "an object of token ids and numbers");
  for (const auto& [key, item] : value.items()) {
    int32_t id;
    if (!absl::SimpleAtoi(key, &id) || id < 0)
      return Wrong("logit_bias", "has a member that is not a token id");
    if (!item.is_number()) return WrongType("logit_bias", "an object of token ids and numbers");
    bias->emplace_back(id, item.get<float>());
  }
  // The text's order of members is not kept, and "7" and "07" are one token: the sum has one order
  // this way.
  std::sort(bias->begin(), bias->end());
  return std::nullopt;
}

// Members of vLLM's SamplingParams. False: `name` is none of them.
bool ReadVllmMember(const std::string& name, const json& value, CompletionRequest* request,
                    MaybeError* error) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (name == "top_k") {
    *error = ReadInt(name, value, -1, kMost, &request->sampler.top_k);
    request->sampler.top_k = std::max<int64_t>(request->sampler.top_k, 0);  // -1: all, too
  } else if (name == "min_p") {
    *error = ReadDouble(name, value, &request->sampler.min_p);
  } else if (name == "typical_p") {  // llama.cpp's server has it
    *error = ReadDouble(name, value, &request->sampler.typical_p);
  } else if (name == "repetition_penalty") {
    *error = ReadDouble(name, value, &request->sampler.repeat_penalty);
  } else if (name == "min_tokens") {
    *error = ReadInt(name, value, 0, int64_t{1} << 40, &request->min_tokens);
  } else if (name == "stop_token_ids") {
    *error = ReadStopIds(name, value, &request->stop_token_ids);
  } else if (name == "allowed_token_ids") {
    *error = ReadAllowedIds(name, value, request);
  } else if (name == "ignore_eos") {
    *error = ReadBool(name, value, &request->ignore_eos);
  } else if (name == "include_stop_str_in_output") {
    *error = ReadBool(name, value, &request->include_stop);
  } else if (name == "skip_special_tokens") {
    *error = ReadBool(name, value, &request->skip_special);
  } else if (name == "add_special_tokens") {
    *error = ReadBool(name, value, &request->add_special);
  } else {
    return false;
  }
  return true;
}

}  // namespace

ApiError Wrong(absl::string_view param, absl::string_view message, absl::string_view code) {
  return {.message = absl::StrCat("'", param, "' ", message),
          .param = std::string(param),
          .code = std::string(code)};
}

ApiError WrongType(absl::string_view param, absl::string_view wanted) {
  return Wrong(param, absl::StrCat("must be ", wanted), "invalid_type");
}

absl::string_view ShortName(absl::string_view name) {
  size_t size = 100;
  if (name.size() <= size) return name;
  while (size > 0 && (static_cast<unsigned char>(name[size]) & 0xC0) == 0x80) --size;
  return name.substr(0, size);
}

MaybeError ReadLogprobs(const json* logprobs, const json* top, CompletionRequest* request) {
  if (logprobs != nullptr && logprobs->is_boolean()) {
    request->top_logprobs = logprobs->get<bool>() ? 0 : -1;
  } else if (logprobs != nullptr) {
    if (MaybeError error =
            ReadInt("logprobs", *logprobs, 0, kMaxTopLogprobs, &request->top_logprobs);
        error.has_value()) {
      return error;
    }
  }
  if (top == nullptr) return std::nullopt;
  if (request->top_logprobs < 0 && *top == 0)
    return std::nullopt;  // as programs write it that write all defaults
  if (request->top_logprobs < 0) return Wrong("top_logprobs", "needs logprobs");
  return ReadInt("top_logprobs", *top, 0, kMaxTopLogprobs, &request->top_logprobs);
}

MaybeError ReadMember(const std::string& name, const json& value, CompletionRequest* request) {
  if (name == "model") return ReadString(name, value, &request->model);
  if (name == "prompt") return ReadPrompt(value, &request->prompts);
  if (name == "max_tokens" || name == "max_completion_tokens") {
    return ReadInt(name, value, 0, int64_t{1} << 40, &request->max_tokens);
  }
  if (name == "temperature") return ReadDouble(name, value, &request->sampler.temperature);
  if (name == "top_p") return ReadDouble(name, value, &request->sampler.top_p);
  if (name == "frequency_penalty")
    return ReadDouble(name, value, &request->sampler.frequency_penalty);
  if (name == "presence_penalty")
    return ReadDouble(name, value, &request->sampler.presence_penalty);
  if (name == "logit_bias") return ReadBias(value, &request->sampler.logit_bias);
  if (name == "seed") {
    int64_t seed;
    MaybeError error = ReadInt(name, value, std::numeric_limits<int64_t>::min(),
                               std::numeric_limits<int64_t>::max(), &seed);
    if (!error.has_value()) request->seed = seed;
    return error;
  }
  if (name == "stop") return ReadStop(value, &request->stop);
  if (name == "n") return ReadInt(name, value, 1, kMaxChoices, &request->n);
  if (name == "response_format" || name == "grammar") {
    if (request->grammar.has_value())
      return Wrong(name, "beside another format: only one can be followed");
    return ReadResponseFormat(name, value, &request->grammar);
  }
  if (name == "echo") return ReadBool(name, value, &request->echo);
  if (name == "logprobs" || name == "top_logprobs") return std::nullopt;  // ReadLogprobs
  if (name == "best_of") return ReadInt(name, value, 1, kMaxChoices, &request->best_of);
  if (MaybeError error; ReadVllmMember(name, value, request, &error)) return error;
  if (IsIgnoredMember(name)) return std::nullopt;
  if (MaybeError error; IsDefaultMember(name, value, &error)) return error;
  if (name == "tools" || name == "tool_choice") {
    return Wrong(name, "is not supported in a batch of completions", "unsupported_parameter");
  }
  if (name == "parallel_tool_calls") return std::nullopt;  // there are no tools
  return Wrong(ShortName(name), "is not a parameter of a completion", "unknown_parameter");
}

namespace {

// The API's ranges, where they are narrower than the sampler's.
MaybeError CheckApiRanges(const SamplerOptions& sampler) {
  const auto check = [](const char* name, double value, double least, double most) -> MaybeError {
    if (value >= least && value <= most) return std::nullopt;
    return ApiError{
        .message = absl::StrCat(name, " ", value, " is not in [", least, ", ", most, "]"),
        .param = name,
        .code = "invalid_value"};
  };
  MaybeError error = check("temperature", sampler.temperature, 0, 2);
  if (!error) error = check("frequency_penalty", sampler.frequency_penalty, -2, 2);
  if (!error) error = check("presence_penalty", sampler.presence_penalty, -2, 2);
  for (const auto& [id, bias] : sampler.logit_bias) {
    if (!error) error = check("logit_bias", bias, -100, 100);
  }
  return error;
}

}  // namespace

MaybeError CheckRequest(const CompletionRequest& request) {
  if (request.prompts.empty()) return Wrong("prompt", "is missing", "missing_required_parameter");
  if (request.num_choices() > kMaxChoices) {
    return Wrong("n", absl::StrCat("times the prompts is ", request.num_choices(), ", more than ",
                                   kMaxChoices));
  }
  if (request.best_of > 1 && request.best_of != request.n) {
    return Wrong("best_of", "can be 1 or n only: all answers come back", "unsupported_parameter");
  }
  if (request.min_tokens > request.max_tokens)
    return Wrong("min_tokens", "is more than max_tokens");
  if (request.allowed_token_ids != nullptr && request.grammar.has_value()) {
    return Wrong("allowed_token_ids", "beside a format: only one can be followed");
  }
  if (MaybeError error = CheckApiRanges(request.sampler); error.has_value()) return error;
  // The model, which knows its vocabulary, looks at the tokens of logit_bias.
  if (const auto error = CheckSampler(request.sampler, 0); error.has_value()) {
    return ToApiError(OpenAiError(*error));
  }
  return std::nullopt;
}

namespace {

ApiError NotJson(absl::string_view message) {
  return {.message = std::string(message), .param = "", .code = "invalid_json"};
}

// The members around a body. Null members count as missing.
MaybeError CheckEnvelope(const json& line) {
  for (const auto& [name, value] : line.items()) {
    if (name != "custom_id" && name != "method" && name != "url" && name != "body") {
      return Wrong(ShortName(name), "is not a member of a batch line", "unknown_parameter");
    }
  }
  const json* method = JsonFind(line, "method");
  if (method != nullptr && *method != "POST") return Wrong("method", "must be \"POST\"");
  const json* url = JsonFind(line, "url");
  if (url == nullptr) return Wrong("url", "is missing", "missing_required_parameter");
  if (*url != "/v1/completions" && *url != kChatUrl) {
    return Wrong("url", absl::StrCat("must be \"/v1/completions\" or \"", kChatUrl, "\""),
                 "invalid_url");
  }
  if (JsonFind(line, "body") == nullptr)
    return Wrong("body", "is missing", "missing_required_parameter");
  return std::nullopt;
}

// The request of `body`, which is all of `document` or its member "body".
std::variant<CompletionRequest, ApiError> ParseBody(RequestDocument& document, bool is_all,
                                                    bool chat, const json& body) {
  std::variant<CompletionRequest, ApiError> parsed;
  if (chat) {
    const absl::StatusOr<jinja::Value>& ordered = *document.ordered;
    if (!ordered.ok()) return NotJson(ordered.status().message());
    parsed = ParseChatRequest(body, is_all ? *ordered : *ordered->dict().Find("body"));
  } else {
    parsed = ParseCompletionRequest(body);
  }
  auto* const request = std::get_if<CompletionRequest>(&parsed);
  if (request != nullptr && request->grammar.has_value() &&
      request->grammar->kind == GrammarKind::kJsonSchema) {
    request->grammar->text = std::move(document.schema);
  }
  return parsed;
}

// Reads the member custom_id of a line, and builds nothing of the other members.
class CustomIdReader : public nlohmann::json_sax<json> {
 public:
  // The id, or nothing where the line has none that a line may have.
  const std::string& id() const { return id_; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool binary(binary_t&) override { return false; }
  bool string(string_t& value) override {
    if (depth_ == 1 && is_id_ && IsCustomId(value)) id_ = value;
    return true;
  }
  bool key(string_t& value) override {
    if (depth_ == 1) is_id_ = value == "custom_id";
    return true;
  }
  bool start_object(std::size_t) override { return ++depth_ <= kMaxJsonDepth; }
  bool start_array(std::size_t) override { return ++depth_ <= kMaxJsonDepth; }
  bool end_object() override { return --depth_ >= 0; }
  bool end_array() override { return --depth_ >= 0; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  int depth_ = 0;
  bool is_id_ = false;
  std::string id_;
};

std::string ReadCustomId(absl::string_view line, int64_t number) {
  CustomIdReader reader;
  const bool whole = ReadJsonEvents(line, &reader);
  return whole && !reader.id().empty() ? reader.id() : DefaultCustomId(number);
}

}  // namespace

bool IsBlankLine(absl::string_view line) { return absl::StripAsciiWhitespace(line).empty(); }

std::string DefaultCustomId(int64_t number) { return absl::StrCat("line-", number); }

std::variant<CompletionRequest, ApiError> ParseCompletionRequest(const json& body) {
  if (!body.is_object()) return WrongType("body", "an object");
  CompletionRequest request;
  for (const auto& [name, value] : body.items()) {
    if (value.is_null()) continue;
    if (MaybeError error = ReadMember(name, value, &request); error.has_value())
      return *std::move(error);
  }
  MaybeError error =
      ReadLogprobs(JsonFind(body, "logprobs"), JsonFind(body, "top_logprobs"), &request);
  if (!error.has_value()) error = CheckRequest(request);
  if (error.has_value()) return *std::move(error);
  return request;
}

BatchLine ParseBatchLine(absl::string_view line, int64_t number, bool plain_text,
                         int64_t max_bytes) {
  BatchLine parsed{DefaultCustomId(number), ApiError()};
  if (plain_text) {
    for (size_t at = 0; at < line.size();) {
      const Utf8Char c = DecodeUtf8(line, at);
      if (c.state != Utf8State::kValid) {
        parsed.request = ApiError{.message = absl::StrCat("the line is not UTF-8 at byte ", at + 1),
                                  .param = "",
                                  .code = "invalid_utf8"};
        return parsed;
      }
      at += c.size;
    }
    CompletionRequest request;
    request.prompts.emplace_back(std::string(line));
    parsed.request = std::move(request);
    return parsed;
  }
  std::string without_surrogates;
  if (jinja::ReplaceLoneSurrogates(line, &without_surrogates)) line = without_surrogates;
  std::variant<RequestDocument, ApiError> document =
      ReadRequestDocument(line, "the line", max_bytes);
  if (ApiError* const error = std::get_if<ApiError>(&document); error != nullptr) {
    if (error->code == "out_of_memory") parsed.custom_id = ReadCustomId(line, number);
    parsed.request = std::move(*error);
    return parsed;
  }
  json* const root = &std::get<RequestDocument>(document).root;
  if (const json* id = JsonFind(*root, "custom_id"); id != nullptr) {
    const std::string* text = id->get_ptr<const std::string*>();
    if (text == nullptr || !IsCustomId(*text)) {
      parsed.request =
          WrongType("custom_id", absl::StrCat("a string of 1 to ", kMaxCustomIdBytes, " bytes"));
      return parsed;
    }
    parsed.custom_id = *text;
  }
  const bool shorthand =
      (root->contains("prompt") || root->contains("messages")) && !root->contains("body");
  if (shorthand) {
    root->erase("custom_id");
  } else if (MaybeError error = CheckEnvelope(*root); error.has_value()) {
    parsed.request = *std::move(error);
    return parsed;
  }
  const json& body = shorthand ? *root : (*root)["body"];
  const bool chat = shorthand ? root->contains("messages") : (*root)["url"] == kChatUrl;
  parsed.request = ParseBody(std::get<RequestDocument>(document), shorthand, chat, body);
  return parsed;
}

std::variant<CompletionRequest, ApiError> ParseRequestBody(absl::string_view text,
                                                           int64_t max_bytes) {
  std::string without_surrogates;
  if (jinja::ReplaceLoneSurrogates(text, &without_surrogates)) text = without_surrogates;
  std::variant<RequestDocument, ApiError> document =
      ReadRequestDocument(text, "the request", max_bytes);
  if (ApiError* const error = std::get_if<ApiError>(&document); error != nullptr) {
    return std::move(*error);
  }
  RequestDocument& request = std::get<RequestDocument>(document);
  return ParseBody(request, /*is_all=*/true, request.root.contains("messages"), request.root);
}

}  // namespace sluice
