// Reads the vocabulary's arrays and derives SentencePiece's merges.
#include "storage/gguf_vocabulary.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "kernels/status_macros.h"
#include "storage/safetensors.h"

namespace sluice {
namespace {

constexpr size_t kMaxTokens = size_t{1} << 24;
// Longer tokens than this are added ones; trying all their splits would be quadratic.
constexpr size_t kMaxMergedBytes = 512;

absl::Status Invalid(const GgufFile& gguf, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(gguf.path(), ": ", what));
}

bool BeginsCharacter(char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }

int64_t Characters(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), &BeginsCharacter);
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
                                        "\" is of or makes what is no token"));
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
  struct Candidate {
    float score;
    int64_t left_characters, right_characters;
    absl::string_view left, right;
  };
  const auto merges = [&](GgufTokenType type) {
    return type == GgufTokenType::kNormal || type == GgufTokenType::kUnused;
  };
  std::vector<Candidate> candidates;
  for (size_t id = 0; id < tokens_.size(); ++id) {
    const absl::string_view token = tokens_[id];
    if (!std::isfinite((*scores)[id]))
      return Invalid(gguf, absl::StrCat("the score of token ", id, " is not finite"));
    if (!merges(types_[id]) || token.size() > kMaxMergedBytes ||
        Find(token) != static_cast<int64_t>(id))
      continue;
    std::vector<std::pair<std::pair<int64_t, int64_t>, size_t>>
        splits;  // ids of the parts, where they meet
    for (size_t at = 1; at < token.size(); ++at) {
      if (!BeginsCharacter(token[at])) continue;
      const int64_t left = Find(token.substr(0, at)), right = Find(token.substr(at));
      if (left < 0 || right < 0 || !merges(types_[left]) || !merges(types_[right])) continue;
      splits.push_back({{left, right}, at});
    }
    std::sort(splits.begin(), splits.end());
    for (const auto& [parts, at] : splits) {
      const absl::string_view left = token.substr(0, at), right = token.substr(at);
      candidates.push_back({(*scores)[id], Characters(left), Characters(right), left, right});
    }
  }
  // As transformers orders them: the best score, then the longest left part, then the longest right
  // one.
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) {
                     return std::tie(a.score, a.left_characters, a.right_characters) >
                            std::tie(b.score, b.left_characters, b.right_characters);
                   });
  Merges ordered;
  ordered.reserve(candidates.size());
  for (const Candidate& c : candidates) ordered.emplace_back(c.left, c.right);
  return ordered;
}

}  // namespace sluice
