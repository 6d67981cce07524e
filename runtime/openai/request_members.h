// Members that requests for completions and chats share; completion_request.cc reads them.
#ifndef SLUICE_RUNTIME_OPENAI_REQUEST_MEMBERS_H_
#define SLUICE_RUNTIME_OPENAI_REQUEST_MEMBERS_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "runtime/openai/api_error.h"
#include "runtime/openai/completion_request.h"

namespace sluice {

using MaybeError = std::optional<ApiError>;  // none: all is well

// Makes the error "'param' message".
ApiError Wrong(absl::string_view param, absl::string_view message,
               absl::string_view code = "invalid_value");
ApiError WrongType(absl::string_view param, absl::string_view wanted);
// Returns the beginning of a name that a request made up, to be shown: at most 100 bytes, without
// half a character.
absl::string_view ShortName(absl::string_view name);

// Reads any member of a completion but logprobs and top_logprobs, which it skips. An unknown member
// is an error.
MaybeError ReadMember(const std::string& name, const nlohmann::json& value,
                      CompletionRequest* request);

// `logprobs` of a completion is the number of likeliest tokens; with `top_logprobs`, and in chats,
// it is a switch. Either may be nullptr.
MaybeError ReadLogprobs(const nlohmann::json* logprobs, const nlohmann::json* top,
                        CompletionRequest* request);

// Checks everything that does not depend on the model; the engine checks the rest.
MaybeError CheckRequest(const CompletionRequest& request);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPENAI_REQUEST_MEMBERS_H_
