// Two tables, after OpenAI's API reference and vLLM's protocol.py.
#include "runtime/openai/neutral_members.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/openai/request_members.h"

namespace sluice {
namespace {

constexpr absl::string_view kIgnored[] = {"cache_salt",
                                          "media_io_kwargs",
                                          "metadata",
                                          "mm_processor_kwargs",
                                          "prediction",
                                          "priority",
                                          "prompt_cache_key",
                                          "prompt_cache_retention",
                                          "request_id",
                                          "safety_identifier",
                                          "service_tier",
                                          "session_id",
                                          "spaces_between_special_tokens",
                                          "store",
                                          "stream_interval",
                                          "stream_options",
                                          "user"};

struct DefaultMember {
  absl::string_view name;
  const char* value;  // as JSON; empty: only null is
  absl::string_view instead = "";
};
constexpr absl::string_view kFormat = "; give the form of the answer as response_format or grammar";
constexpr DefaultMember kDefaults[] = {
    {"audio", ""},
    {"bad_words", "[]"},
    {"chat_template", "", "; give one to the job with --template FILE"},
    {"early_stopping", "false"},
    {"ec_transfer_params", "{}"},
    {"function_call", "\"none\""},
    {"functions", "[]"},
    {"guided_choice", "", kFormat},
    {"guided_decoding_backend", ""},
    {"guided_grammar", "", kFormat},
    {"guided_json", "", kFormat},
    {"guided_regex", "", kFormat},
    {"guided_whitespace_pattern", ""},
    {"include_reasoning", "true"},
    {"kv_transfer_params", "{}"},
    {"length_penalty", "1"},
    {"logits_processors", "[]"},
    {"logprob_token_ids", ""},
    {"modalities", "[\"text\"]"},
    {"prompt_embeds", ""},
    {"prompt_logprobs", "", "; echo with logprobs scores the prompt of a completion"},
    {"repetition_detection", ""},
    {"return_mm_kwargs", "true"},
    {"return_prompt_text", "false"},
    {"return_token_ids", "false"},
    {"return_token_offsets", "false"},
    {"return_tokens_as_token_ids", "false"},
    {"routed_experts_prompt_start", "0"},
    {"stream", "false"},
    {"structured_outputs", "", kFormat},
    {"suffix", "\"\""},
    {"thinking_token_budget", "-1"},
    {"truncate_prompt_tokens", ""},
    {"truncation_side", ""},
    {"use_beam_search", "false"},
    {"verbosity", "\"medium\""},
    {"vllm_xargs", "{}"},
    {"watermarking", "false"},
    {"web_search_options", ""},
};

}  // namespace

bool IsIgnoredMember(const std::string& name) {
  return std::find(std::begin(kIgnored), std::end(kIgnored), name) != std::end(kIgnored);
}

bool IsDefaultMember(const std::string& name, const nlohmann::json& value,
                     std::optional<ApiError>* error) {
  const auto* const member = std::find_if(std::begin(kDefaults), std::end(kDefaults),
                                          [&](const DefaultMember& m) { return m.name == name; });
  if (member == std::end(kDefaults)) return false;
  const absl::string_view only = member->value;
  if (value.is_null() || (!only.empty() && value == nlohmann::json::parse(member->value)))
    return true;
  *error = Wrong(name,
                 only.empty() ? absl::StrCat("is not supported", member->instead)
                              : absl::StrCat("is supported only as ", only, member->instead),
                 "unsupported_parameter");
  return true;
}

}  // namespace sluice
