// Reads the vocabulary's arrays.
#include "storage/source/gguf_vocabulary.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "storage/source/piece_merges.h"
#include "storage/source/safetensors.h"

namespace sluice {
namespace {

constexpr size_t kMaxTokens = size_t{1} << 24;

absl::Status Invalid(const GgufFile& gguf, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(gguf.path(), ": ", what));
}

}  // namespace

absl::StatusOr<GgufVocabulary> GgufVocabulary::Read(const GgufFile& gguf) {
  SLUICE_ASSIGN_OR_RETURN(const auto tokens, gguf.Strings("tokenizer.ggml.tokens"));
  if (!tokens.has_value() || tokens->empty()) return Invalid(gguf, "no \"tokenizer.ggml.tokens\"");
  if (tokens->size() > kMaxTokens) return Invalid(gguf, absl::StrCat(tokens->size(), " tokens"));
  SLUICE_ASSIGN_OR_RETURN(const auto types, gguf.Ints("tokenizer.ggml.token_type"));
  if (types.has_value() && types->size() != tokens->size()) {
    return Invalid(gguf,
                   absl::StrCat(tokens->size(), " tokens, but \"tokenizer.ggml.token_type\" has ",
                                types->size(), " elements"));
  }
  GgufVocabulary vocabulary;
  vocabulary.tokens_.reserve(tokens->size());
  for (size_t i = 0; i < tokens->size(); ++i) {
    vocabulary.tokens_.push_back((*tokens)[i].empty() ? absl::StrCat("[EMPTY_", i, "]")
                                                      : std::string((*tokens)[i]));
    const int64_t type = types.has_value() ? (*types)[i] : 1;
    vocabulary.types_.push_back(type >= 1 && type <= 6 ? static_cast<GgufTokenType>(type)
                                                       : GgufTokenType::kUnused);
    vocabulary.ids_[vocabulary.tokens_.back()] = static_cast<int64_t>(i);
  }
  return vocabulary;
}

int64_t GgufVocabulary::Find(absl::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? -1 : found->second;
}

absl::StatusOr<GgufVocabulary::Merges> GgufVocabulary::ReadMerges(const GgufFile& gguf) const {
  SLUICE_ASSIGN_OR_RETURN(const auto lines, gguf.Strings("tokenizer.ggml.merges"));
  if (!lines.has_value()) return Invalid(gguf, "no \"tokenizer.ggml.merges\"");
  Merges merges;
  merges.reserve(lines->size());
  std::string merged;
  for (const absl::string_view line : *lines) {
    const size_t space = line.find(' ', 1);
    if (space == absl::string_view::npos) {
      return Invalid(gguf, absl::StrCat("the merge \"", ShownName(line),
                                        "\" is not two tokens with a space between"));
    }
    const absl::string_view left = line.substr(0, space), right = line.substr(space + 1);
    merged.assign(left.data(), left.size());
    merged.append(right.data(), right.size());
    if (right.empty() || Find(left) < 0 || Find(right) < 0 || Find(merged) < 0) {
      return Invalid(gguf, absl::StrCat("the merge \"", ShownName(line),
                                        "\" joins or makes a text that is not a token"));
    }
    merges.emplace_back(left, right);
  }
  return merges;
}

absl::StatusOr<GgufVocabulary::Merges> GgufVocabulary::MergesByScore(const GgufFile& gguf) const {
  SLUICE_ASSIGN_OR_RETURN(const auto scores, gguf.Floats("tokenizer.ggml.scores"));
  if (!scores.has_value() || scores->size() != tokens_.size()) {
    return Invalid(gguf, absl::StrCat(tokens_.size(), " tokens, but \"tokenizer.ggml.scores\" has ",
                                      scores.has_value() ? scores->size() : 0, " elements"));
  }
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (!std::isfinite((*scores)[id]))
      return Invalid(gguf, absl::StrCat("the score of token ", id, " is not finite"));
  }
  const auto find = [&](absl::string_view token) -> int64_t {
    const int64_t id = Find(token);
    const bool merges =
        id >= 0 && (types_[id] == GgufTokenType::kNormal || types_[id] == GgufTokenType::kUnused);
    return merges ? id : -1;
  };
  const std::vector<PieceMerge> merges = sluice::MergesByScore(tokens_, *scores, find);
  Merges ordered;
  ordered.reserve(merges.size());
  for (const PieceMerge& merge : merges) ordered.emplace_back(merge.left, merge.right);
  return ordered;
}

}  // namespace sluice
