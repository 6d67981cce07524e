// Reads the members of a request that give its answers a form.
#ifndef SLUICE_RUNTIME_OPENAI_RESPONSE_FORMAT_H_
#define SLUICE_RUNTIME_OPENAI_RESPONSE_FORMAT_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "runtime/constrain/grammar_text.h"
#include "runtime/openai/api_error.h"

namespace sluice {

// Reads "response_format" ({"type": "text"}, {"type": "json_object"}, or {"type": "json_schema",
// "json_schema": {name, schema, strict, description}}) or "grammar" (GBNF, as llama.cpp's server
// has it). Returns what is wrong, if anything is. The grammar itself is not looked at. A schema's
// members are in the order of `value`, which sorts them.
std::optional<ApiError> ReadResponseFormat(absl::string_view name, const nlohmann::json& value,
                                           std::optional<GrammarText>* grammar);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPENAI_RESPONSE_FORMAT_H_
