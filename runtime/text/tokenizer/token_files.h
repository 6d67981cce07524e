// Reads the added tokens that the files beside tokenizer.json name, as transformers does.
//
// tokenizer_config.json lists tokens under added_tokens_decoder, names some (bos_token,
// image_token, ...) and has lists of more (additional_special_tokens, extra_special_tokens,
// model_specific_special_tokens). Older models have special_tokens_map.json and added_tokens.json
// instead; both are read only if there is no added_tokens_decoder. The rules are those of
// AutoTokenizer in transformers 5: an id in these files only says in which order tokens are added;
// a token that the tokenizer has keeps its id and takes the flags, and any other token gets the
// next id.
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

// A file's object; {} if there is no such file. The order of names is the order of ids, and
// nlohmann::json sorts members, so that the keys are kept beside it.
struct TokenFile {
  std::string name;  // in messages
  nlohmann::json content = nlohmann::json::object();
  std::vector<std::string> keys = {};  // of `content`, in the file's order
  // The keys of those members that are objects.
  absl::flat_hash_map<std::string, std::vector<std::string>> keys_of = {};
};

struct TokenFiles {
  TokenFile config;              // tokenizer_config.json
  TokenFile special_tokens_map;  // special_tokens_map.json
  TokenFile added_tokens;        // added_tokens.json
};

// `read` returns the name of a file for messages, and its text if there is such a file.
// InvalidArgument: not JSON, or not an object. Other errors are those of `read`.
using TokenFileReader =
    absl::FunctionRef<absl::StatusOr<std::pair<std::string, std::optional<std::string>>>(
        const std::string& file)>;
absl::StatusOr<TokenFiles> ReadTokenFiles(TokenFileReader read);

// The tokens, by the names that the files give them.
struct NamedTokens {
  std::vector<std::pair<std::string, std::string>>
      by_name;                    // {"bos_token", "<s>"}, ...; no name twice
  std::vector<std::string> more;  // the tokens of the lists
};
// InvalidArgument: names the file and the member that is no token.
absl::StatusOr<NamedTokens> FindNamedTokens(const TokenFiles& files);

// Returns `added_tokens` (the member of tokenizer.json, or null) with the additions and changes of
// the files. `vocabulary` is the model's. InvalidArgument: names the file and the member that is no
// token, or the token that can have no id.
absl::StatusOr<nlohmann::json> MergeAddedTokens(const TokenFiles& files,
                                                const Vocabulary& vocabulary,
                                                nlohmann::json added_tokens);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_TOKEN_FILES_H_
