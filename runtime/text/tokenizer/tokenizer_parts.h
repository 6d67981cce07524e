// The parts of a tokenizer; for this folder only.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_TOKENIZER_PARTS_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_TOKENIZER_PARTS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "runtime/text/tokenizer/added_tokens.h"
#include "runtime/text/tokenizer/bpe.h"
#include "runtime/text/tokenizer/decoder.h"
#include "runtime/text/tokenizer/normalizer.h"
#include "runtime/text/tokenizer/post_processor.h"
#include "runtime/text/tokenizer/pre_tokenizer.h"
#include "runtime/text/tokenizer/tokenizer.h"
#include "runtime/text/tokenizer/vocabulary.h"

namespace sluice {

// A text passes through raw_matcher; the text between its tokens through normalizer and
// normalized_matcher; the text between those tokens through pre_tokenizer and bpe.
struct Tokenizer::Parts {
  std::string source;                              // the file that the components come from
  Vocabulary vocabulary;                           // the model's; added tokens may be in it or not
  absl::flat_hash_map<int32_t, AddedToken> added;  // by id
  absl::flat_hash_map<std::string, int32_t> added_ids;  // by content
  AddedTokenMatcher raw_matcher;         // added tokens that are looked for in the text as it is
  AddedTokenMatcher normalized_matcher;  // added tokens that are looked for in normalized text
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::optional<Bpe> bpe;  // always set once built; it refers to `vocabulary`
  SpecialTokens around;
  std::vector<DecoderStep> decoder;
  int32_t vocab_size = 0;
  // An upper bound of the bytes of normalized text that a token stands for. 0: no bound.
  size_t token_bytes = 0;
  // The same for bytes of the text as it is, with added tokens.
  size_t raw_token_bytes = 0;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_TOKENIZER_PARTS_H_
