// A byte trie, walked from each position where a token may start.
#include "runtime/text/tokenizer/added_tokens.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/text/tokenizer/unicode.h"

namespace sluice {
namespace {

// Where the character before `at` > 0 starts.
size_t PreviousCharacter(absl::string_view text, size_t at) {
  --at;
  while (at > 0 && IsUtf8Continuation(text[at])) --at;
  return at;
}

bool TouchesWord(absl::string_view text, size_t begin, size_t end) {
  if (begin > 0 && IsWord(DecodeUtf8(text, PreviousCharacter(text, begin)).code)) return true;
  return end < text.size() && IsWord(DecodeUtf8(text, end).code);
}

}  // namespace

absl::Status AddedTokenMatcher::Add(absl::string_view text, const AddedToken& token) {
  if (text.empty()) return absl::InvalidArgumentError("the text to look for is empty");
  if (text.size() > kMaxAddedTokenBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("an added token of ", text.size(), " bytes; at most ", kMaxAddedTokenBytes));
  }
  if (node_entry_.empty()) node_entry_.push_back(-1);
  uint32_t node = 0;
  for (const char c : text) {
    const uint64_t key = uint64_t{node} << 8 | static_cast<uint8_t>(c);
    const auto [it, added] = children_.try_emplace(key, static_cast<uint32_t>(node_entry_.size()));
    if (added) node_entry_.push_back(-1);
    node = it->second;
  }
  if (node_entry_[node] >= 0) return absl::OkStatus();
  node_entry_[node] = static_cast<int32_t>(entries_.size());
  entries_.push_back({token.id, token.single_word, token.lstrip, token.rstrip, token.special});
  starts_[static_cast<uint8_t>(text[0])] = true;
  return absl::OkStatus();
}

int32_t AddedTokenMatcher::Longest(absl::string_view text, size_t at, size_t* end) const {
  int32_t longest = -1;
  uint32_t node = 0;
  while (at < text.size()) {
    const auto it = children_.find(uint64_t{node} << 8 | static_cast<uint8_t>(text[at]));
    if (it == children_.end()) break;
    node = it->second;
    ++at;
    if (node_entry_[node] >= 0) {
      longest = node_entry_[node];
      *end = at;
    }
  }
  return longest;
}

size_t AddedTokenMatcher::LongestAt(absl::string_view text, size_t at) const {
  size_t end = at;
  if (starts_[static_cast<uint8_t>(text[at])]) Longest(text, at, &end);
  return end - at;
}

std::vector<Segment> AddedTokenMatcher::Cut(absl::string_view text, bool parse_special,
                                            size_t most) const {
  std::vector<Segment> segments;
  size_t done = 0;  // where the last token found ends, with the white space it took
  for (size_t at = 0; at < text.size() && !entries_.empty();) {
    size_t match_end = 0;
    const int32_t found =
        starts_[static_cast<uint8_t>(text[at])] ? Longest(text, at, &match_end) : -1;
    if (found < 0) {
      ++at;
      continue;
    }
    const Entry& entry = entries_[found];
    size_t begin = at, end = match_end;
    at = match_end;
    if (entry.special && !parse_special) continue;
    if (entry.single_word && TouchesWord(text, begin, end)) continue;
    if (entry.lstrip) {
      size_t stripped = begin;
      while (stripped > done) {
        const size_t previous = PreviousCharacter(text, stripped);
        if (!IsWhiteSpace(DecodeUtf8(text, previous).code)) break;
        stripped = previous;
      }
      begin = std::max(stripped, done);
    }
    while (entry.rstrip && end < text.size()) {
      const Utf8Char c = DecodeUtf8(text, end);
      if (!IsWhiteSpace(c.code)) break;
      end += c.size;
    }
    if (begin >= end) continue;  // all of it went to the token before
    if (begin > done) segments.push_back({done, begin, -1});
    segments.push_back({begin, end, entry.id});
    done = end;
    if (segments.size() >= most) return segments;
  }
  if (done < text.size()) segments.push_back({done, text.size(), -1});
  return segments;
}

int64_t AddedTokenMatcher::MemoryBytes() const {
  return static_cast<int64_t>(
      entries_.capacity() * sizeof(Entry) + node_entry_.capacity() * sizeof(int32_t) +
      children_.capacity() * (sizeof(*children_.begin()) + 1) + sizeof(starts_));
}

}  // namespace sluice
