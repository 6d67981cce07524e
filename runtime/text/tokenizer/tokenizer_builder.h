// Builds a tokenizer from the contents of its files; for this folder only.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_TOKENIZER_BUILDER_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_TOKENIZER_BUILDER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "runtime/text/tokenizer/tokenizer_file.h"
#include "runtime/text/tokenizer/tokenizer_parts.h"

namespace sluice {

// Used once: BuildParts(), AddConfig() if there is a tokenizer_config.json, Take(). Errors are
// InvalidArgument and name the member of the document, not the file.
class TokenizerBuilder {
 public:
  // Builds from a document in the form of tokenizer.json.
  absl::Status BuildParts(TokenizerFile file);

  // Follows add_bos_token and add_eos_token if the post-processor adds nothing.
  absl::Status AddConfig(const nlohmann::json& config);

  // `source` names the file in errors of Encode().
  std::unique_ptr<Tokenizer> Take(absl::string_view source);

 private:
  absl::StatusOr<BpeOptions> ReadModel(const nlohmann::json& document) const;
  absl::Status ReadAddedTokens(const nlohmann::json& document, std::vector<AddedToken>* tokens);
  absl::Status AddToken(const AddedToken& token);
  absl::Status FillMatchers(const std::vector<AddedToken>& tokens);
  absl::Status CheckSpecialIds() const;

  std::unique_ptr<Tokenizer::Parts> parts_ = std::make_unique<Tokenizer::Parts>();
};

// Returns the document that vocab.json with merges.txt and this tokenizer_config.json (or {}) stand
// for: components by the class of the tokenizer, added tokens from the config. InvalidArgument:
// names a class other than those of GPT-2 and Qwen2.
absl::StatusOr<nlohmann::json> DocumentFromConfig(const nlohmann::json& config,
                                                  const Vocabulary& vocabulary);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_TOKENIZER_BUILDER_H_
