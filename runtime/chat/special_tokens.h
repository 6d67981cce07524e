// bos_token, eos_token and the other special tokens, as transformers hands them to templates.
#ifndef SLUICE_RUNTIME_CHAT_SPECIAL_TOKENS_H_
#define SLUICE_RUNTIME_CHAT_SPECIAL_TOKENS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "runtime/chat/model_files.h"
#include "runtime/text/jinja/value.h"

namespace sluice {

// The variables of a template: keys are text. Of variables with one name the last counts.
using TemplateVariables = std::vector<jinja::DictData::Entry>;

// Returns the tokens that the files name (runtime/text/tokenizer/token_files.h), and the lists as
// additional_special_tokens. Errors of ModelFiles::Read, ReadTokenFiles and FindNamedTokens.
absl::StatusOr<TemplateVariables> ReadSpecialTokens(const ModelFiles& files);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_SPECIAL_TOKENS_H_
