// Says whether a draft model's tokens mean what the target's do.
#ifndef SLUICE_RUNTIME_SPECULATE_VOCABULARY_MATCH_H_
#define SLUICE_RUNTIME_SPECULATE_VOCABULARY_MATCH_H_

#include <string>

#include "absl/status/status.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {

// Ids that both have must be the same tokens of the same kind, control tokens or not; one may have
// more of them behind the last that both have, as padding. InvalidArgument names the first id that
// differs, and both tokens; `target_name` and `draft_name` are what the stores are called.
absl::Status CheckSameVocabulary(const Tokenizer& target, const std::string& target_name,
                                 const Tokenizer& draft, const std::string& draft_name);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_VOCABULARY_MATCH_H_
