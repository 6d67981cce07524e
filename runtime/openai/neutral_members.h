// Members of requests that exist for OpenAI's API and for vLLM, and change no answer here.
#ifndef SLUICE_RUNTIME_OPENAI_NEUTRAL_MEMBERS_H_
#define SLUICE_RUNTIME_OPENAI_NEUTRAL_MEMBERS_H_

#include <optional>
#include <string>

#include "nlohmann/json.hpp"
#include "runtime/openai/api_error.h"

namespace sluice {

// Returns whether a member changes no answer, whatever its value is: the user, the priority, the
// way an answer is streamed.
bool IsIgnoredMember(const std::string& name);

// Returns whether a member is known here only with the value that stands for its absence, which
// some programs always write; null always does. `error` then says what is wrong with `value`, if
// anything is.
bool IsDefaultMember(const std::string& name, const nlohmann::json& value,
                     std::optional<ApiError>* error);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPENAI_NEUTRAL_MEMBERS_H_
