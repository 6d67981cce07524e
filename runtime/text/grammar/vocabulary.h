// The tokens of a model as tries of their bytes; masks are read from them.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_VOCABULARY_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_VOCABULARY_H_

#include <bitset>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace sluice::grammar {

// Nodes stand in the order of a depth-first walk: the next node is visited next, or a subtree is
// skipped.
struct TokenTrie {
  struct Node {
    uint8_t byte;    // on the edge that leads to this node
    uint8_t depth;   // 1 for the root's children
    uint32_t after;  // the node behind this one's subtree
    uint32_t first_id;
    uint32_t end_id;  // the tokens that end here are ids[first_id, end_id)
  };
  std::vector<Node> nodes;
  std::vector<int32_t> ids;
};

// Never changes; any thread may read it.
//
// A character is plain if a JSON string may hold it unescaped. Most tokens of a vocabulary are
// plain. If a text may go on with any n plain characters, all plain tokens of up to n characters
// are allowed and need no look; so plain tokens are kept apart, by their length. (Sorting tokens by
// what a grammar can say of them ahead of time is XGrammar's idea, arXiv:2411.15100; these slices
// of a vocabulary are llguidance's.)
class Vocabulary {
 public:
  static constexpr int kMaxPlain = 32;           // longer plain tokens count as this long plus one
  static constexpr size_t kMaxTokenBytes = 255;  // longer ones are never allowed

  // tokens[id] are the bytes that token `id` stands for in the middle of a text. A token with no
  // bytes is allowed only if a grammar names it; control tokens should have none. `num_ids` is the
  // number of logits, at least tokens.size(). `end_ids` end a text.
  Vocabulary(absl::Span<const std::string> tokens, int64_t num_ids, std::vector<int32_t> end_ids);

  int64_t num_ids() const { return num_ids_; }
  int64_t num_words() const { return (num_ids_ + 63) / 64; }  // of a mask
  const std::vector<int32_t>& end_ids() const { return end_ids_; }
  bool is_end(int32_t id) const;
  // A mask of all ids that have a token and do not end a text; control tokens are in it.
  absl::Span<const uint64_t> token_mask() const { return token_mask_; }
  // Returns the bytes of a token; empty for a token that is never allowed.
  absl::Span<const uint8_t> bytes(int32_t id) const;
  // The bytes for which there is a token of just this byte.
  const std::bitset<256>& single_bytes() const { return single_bytes_; }

  // Tokens that hold a character that is not plain.
  const TokenTrie& others() const { return others_; }
  // Plain tokens of n characters, 1 to kMaxPlain + 1.
  const TokenTrie& plain(int n) const { return plain_[n]; }
  // A mask of plain tokens of up to n characters, 0 to kMaxPlain.
  absl::Span<const uint64_t> plain_mask(int n) const {
    return absl::MakeConstSpan(plain_masks_).subspan(n * num_words(), num_words());
  }
  // The largest n for which there are plain tokens of n characters.
  int longest_plain() const { return longest_plain_; }

  int64_t MemoryBytes() const;

 private:
  const int64_t num_ids_;
  const std::vector<int32_t> end_ids_;
  std::vector<uint8_t> arena_;         // the bytes of all tokens
  std::vector<uint32_t> arena_begin_;  // by id, and the end
  std::bitset<256> single_bytes_;
  TokenTrie others_;
  TokenTrie plain_[kMaxPlain + 2];
  std::vector<uint64_t> plain_masks_;  // [kMaxPlain + 1, num_words]
  std::vector<uint64_t> token_mask_;   // [num_words]
  int longest_plain_ = 0;
};

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_VOCABULARY_H_
