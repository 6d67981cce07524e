// The vocabulary of a GGUF file: tokens with types and scores, and how they merge. For this folder
// only.
#ifndef SLUICE_STORAGE_SOURCE_GGUF_VOCABULARY_H_
#define SLUICE_STORAGE_SOURCE_GGUF_VOCABULARY_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/source/gguf.h"

namespace sluice {

// The numbers are llama.cpp's.
enum class GgufTokenType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

class GgufVocabulary {
 public:
  // Views live as long as `gguf`. InvalidArgument: there are no tokens, or too many, or fewer or
  // more types or scores than tokens.
  static absl::StatusOr<GgufVocabulary> Read(const GgufFile& gguf);

  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }
  // An empty token gets a name that no text contains by chance.
  const std::string& token(int64_t id) const { return tokens_[id]; }
  GgufTokenType type(int64_t id) const { return types_[id]; }
  // Returns the id of `token`, or -1. Of equal tokens the last one counts, as in llama.cpp.
  int64_t Find(absl::string_view token) const;

  using Merges = std::vector<std::pair<absl::string_view, absl::string_view>>;
  // Reads tokenizer.ggml.merges, in order of rank. InvalidArgument: there are none, or one names
  // what is no token.
  absl::StatusOr<Merges> ReadMerges(const GgufFile& gguf) const;
  // Returns all ways to put a token together from two others, in order of the scores, by which
  // SentencePiece merges. They are views into this object. InvalidArgument: there are no scores.
  absl::StatusOr<Merges> MergesByScore(const GgufFile& gguf) const;

 private:
  std::vector<std::string> tokens_;
  std::vector<GgufTokenType> types_;
  absl::flat_hash_map<std::string, int64_t> ids_;
};

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_GGUF_VOCABULARY_H_
