// Added tokens that the files beside tokenizer.json name, as transformers adds them.
//
// tokenizer_config.json lists tokens under added_tokens_decoder, names some (bos_token,
// image_token, ...) and has lists of more (additional_special_tokens, extra_special_tokens,
// model_specific_special_tokens). Older models have special_tokens_map.json and added_tokens.json
// instead; both are read only where there is no added_tokens_decoder. The rules are those of
// AutoTokenizer in transformers 5: an id in these files says in which order tokens are added, no
// more; a token that the tokenizer has keeps its id and takes the flags, any other gets the next
// id.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_TOKEN_FILES_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_TOKEN_FILES_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "runtime/text/tokenizer/added_tokens.h"
#include "runtime/text/tokenizer/vocabulary.h"

namespace sluice {

// A file's object; {} where there is no such file. nlohmann::json sorts members, and the order of
// names is that of ids.
struct TokenFile {
  std::string name;  // in messages
  nlohmann::json content = nlohmann::json::object();
  std::vector<std::string> keys = {};  // of `content`, in the file's order
  // The same of those members that are objects, by their key.
  absl::flat_hash_map<std::string, std::vector<std::string>> keys_of = {};
};

struct TokenFiles {
  TokenFile config;              // tokenizer_config.json
  TokenFile special_tokens_map;  // special_tokens_map.json
  TokenFile added_tokens;        // added_tokens.json
};

// `read` gives how messages call a file of this name, and its text where there is one.
// InvalidArgument: not JSON, or not an object. Else errors of `read`.
using TokenFileReader =
    absl::FunctionRef<absl::StatusOr<std::pair<std::string, std::optional<std::string>>>(
        const std::string& file)>;
absl::StatusOr<TokenFiles> ReadTokenFiles(TokenFileReader read);

// Tokens by what the files call them.
struct NamedTokens {
  std::vector<std::pair<std::string, std::string>>
      by_name;                    // {"bos_token", "<s>"}, ...; no name twice
  std::vector<std::string> more;  // those of the lists
};
// InvalidArgument names the file and the member that is no token.
absl::StatusOr<NamedTokens> FindNamedTokens(const TokenFiles& files);

// `added_tokens` (the member of tokenizer.json; null where it has none) with what the files add and
// change. `vocabulary` is the model's. InvalidArgument names the file and the member that is no
// token, or the token that can have no id.
absl::StatusOr<nlohmann::json> MergeAddedTokens(const TokenFiles& files,
                                                const Vocabulary& vocabulary,
                                                nlohmann::json added_tokens);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_TOKEN_FILES_H_
