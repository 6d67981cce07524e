// Sorts tokens into tries.
#include "runtime/text/grammar/vocabulary.h"

#include <algorithm>
#include <utility>

#include "absl/strings/string_view.h"
#include "runtime/text/grammar/utf8.h"

namespace sluice::grammar {
namespace {

// Returns the number of characters of a plain text, or -1.
int PlainLength(absl::string_view text) {
  int n = 0;
  while (!text.empty()) {
    const CodePoint c = FirstCodePoint(text);
    if (c.size == 0 || c.value < 0x20 || c.value == '"' || c.value == '\\') return -1;
    text.remove_prefix(c.size);
    ++n;
  }
  return n;
}

// `ids` sorted by their bytes.
TokenTrie MakeTrie(std::vector<int32_t> ids, const Vocabulary& vocabulary) {
  TokenTrie trie;
  std::vector<uint32_t> open;  // the nodes on the way to the last token
  absl::Span<const uint8_t> last;
  for (size_t i = 0; i < ids.size(); ++i) {
    const absl::Span<const uint8_t> bytes = vocabulary.bytes(ids[i]);
    size_t common = 0;
    while (common < std::min(last.size(), bytes.size()) && last[common] == bytes[common]) ++common;
    for (; open.size() > common; open.pop_back()) {
      trie.nodes[open.back()].after = static_cast<uint32_t>(trie.nodes.size());
    }
    for (size_t depth = common; depth < bytes.size(); ++depth) {
      const auto at = static_cast<uint32_t>(i);
      open.push_back(static_cast<uint32_t>(trie.nodes.size()));
      trie.nodes.push_back({bytes[depth], static_cast<uint8_t>(depth + 1), 0, at, at});
    }
    trie.nodes[open.back()].end_id = static_cast<uint32_t>(i) + 1;
    last = bytes;
  }
  for (const uint32_t node : open)
    trie.nodes[node].after = static_cast<uint32_t>(trie.nodes.size());
  trie.nodes.shrink_to_fit();
  trie.ids = std::move(ids);
  trie.ids.shrink_to_fit();
  return trie;
}

}  // namespace

Vocabulary::Vocabulary(absl::Span<const std::string> tokens, int64_t num_ids,
                       std::vector<int32_t> end_ids)
    : num_ids_(num_ids), end_ids_(std::move(end_ids)) {
  std::vector<int32_t> others, plain[kMaxPlain + 2];
  plain_masks_.resize((kMaxPlain + 1) * num_words());
  token_mask_.resize(num_words());
  arena_begin_.push_back(0);
  for (int32_t id = 0; id < static_cast<int32_t>(tokens.size()); ++id) {
    const std::string& token = tokens[id];
    if (id < num_ids && !is_end(id)) token_mask_[id / 64] |= uint64_t{1} << (id % 64);
    const bool allowed =
        !token.empty() && token.size() <= kMaxTokenBytes && id < num_ids && !is_end(id);
    if (allowed) arena_.insert(arena_.end(), token.begin(), token.end());
    arena_begin_.push_back(static_cast<uint32_t>(arena_.size()));
    if (!allowed) continue;
    if (token.size() == 1) single_bytes_.set(static_cast<uint8_t>(token[0]));
    const int length = PlainLength(token);
    if (length < 0) {
      others.push_back(id);
      continue;
    }
    longest_plain_ = std::max(longest_plain_, std::min(length, kMaxPlain + 1));
    plain[std::min(length, kMaxPlain + 1)].push_back(id);
    for (int n = length; n <= kMaxPlain; ++n)
      plain_masks_[n * num_words() + id / 64] |= uint64_t{1} << (id % 64);
  }
  arena_.shrink_to_fit();
  const auto by_bytes = [this](int32_t a, int32_t b) {
    const absl::Span<const uint8_t> x = bytes(a), y = bytes(b);
    const int order =
        absl::string_view(reinterpret_cast<const char*>(x.data()), x.size())
            .compare(absl::string_view(reinterpret_cast<const char*>(y.data()), y.size()));
    return order != 0 ? order < 0 : a < b;
  };
  const auto trie_of = [&](std::vector<int32_t>& ids) {
    std::sort(ids.begin(), ids.end(), by_bytes);
    return MakeTrie(std::move(ids), *this);
  };
  others_ = trie_of(others);
  for (int n = 1; n <= kMaxPlain + 1; ++n) plain_[n] = trie_of(plain[n]);
}

bool Vocabulary::is_end(int32_t id) const {
  return std::find(end_ids_.begin(), end_ids_.end(), id) != end_ids_.end();
}

absl::Span<const uint8_t> Vocabulary::bytes(int32_t id) const {
  if (id < 0 || id + 1 >= static_cast<int64_t>(arena_begin_.size())) return {};
  return absl::MakeConstSpan(arena_).subspan(arena_begin_[id],
                                             arena_begin_[id + 1] - arena_begin_[id]);
}

int64_t Vocabulary::MemoryBytes() const {
  size_t bytes = arena_.capacity() + 4 * arena_begin_.capacity() +
                 8 * (plain_masks_.capacity() + token_mask_.capacity());
  const auto add = [&](const TokenTrie& trie) {
    bytes +=
        sizeof(TokenTrie::Node) * trie.nodes.capacity() + sizeof(int32_t) * trie.ids.capacity();
  };
  add(others_);
  for (const TokenTrie& trie : plain_) add(trie);
  return static_cast<int64_t>(bytes);
}

}  // namespace sluice::grammar
