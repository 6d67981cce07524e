// Compares token by token.
#include "runtime/speculate/vocabulary_match.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

std::string Described(const Tokenizer& tokenizer, int32_t id) {
  if (!tokenizer.Contains(id)) return "no token";
  return absl::StrCat(tokenizer.IsSpecial(id) ? "the control token \"" : "\"",
                      absl::Utf8SafeCEscape(tokenizer.Token(id)), "\"");
}

}  // namespace

absl::Status CheckSameVocabulary(const Tokenizer& target, const std::string& target_name,
                                 const Tokenizer& draft, const std::string& draft_name) {
  const int32_t shared = std::min(target.vocab_size(), draft.vocab_size());
  for (int32_t id = 0; id < shared; ++id) {
    if (target.Contains(id) == draft.Contains(id) && target.Token(id) == draft.Token(id) &&
        target.IsSpecial(id) == draft.IsSpecial(id)) {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat(
        draft_name, " cannot draft for ", target_name, ", as their vocabularies differ: token ", id,
        " is ", Described(draft, id), " there and ", Described(target, id),
        " here; give a draft model of the same family"));
  }
  return absl::OkStatus();
}

}  // namespace sluice
