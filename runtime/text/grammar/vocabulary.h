// The tokens of a model as tries of their bytes, which masks are read from.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_VOCABULARY_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_VOCABULARY_H_

#include <bitset>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace sluice::grammar {

// Nodes in the order of a depth-first walk, so that walking is going on to the next one, or
// skipping a subtree.
struct TokenTrie {
  struct Node {
    uint8_t byte;    // on the edge that leads here
    uint8_t depth;   // of the root's children: 1
    uint32_t after;  // the node behind this one's subtree
    uint32_t first_id;
    uint32_t end_id;  // the tokens that end here are ids[first_id, end_id)
  };
  std::vector<Node> nodes;
  std::vector<int32_t> ids;
};

// Never changes; any thread may read it.
//
// A character is plain if a JSON string may hold it as it is. A large part of any vocabulary is
// plain, and where a text may go on with any n plain characters, all plain tokens of up to n
// characters are allowed without looking at them. Therefore these are kept apart by their length.
// (Sorting tokens by what a grammar can say of them ahead of time is XGrammar's idea,
// arXiv:2411.15100; these slices of a vocabulary are llguidance's.)
class Vocabulary {
 public:
  static constexpr int kMaxPlain = 32;           // longer plain tokens count as this long plus one
  static constexpr size_t kMaxTokenBytes = 255;  // longer ones are never allowed

  // tokens[id] are the bytes of token `id`, which stand for them in the middle of a text; empty: it
  // is never allowed, as all control tokens should be, but where a grammar names it. `num_ids` is
  // that of the logits, at least tokens.size(). `end_ids` end a text.
  Vocabulary(absl::Span<const std::string> tokens, int64_t num_ids, std::vector<int32_t> end_ids);

  int64_t num_ids() const { return num_ids_; }
  int64_t num_words() const { return (num_ids_ + 63) / 64; }  // of a mask
  const std::vector<int32_t>& end_ids() const { return end_ids_; }
  bool is_end(int32_t id) const;
  // A mask of all ids that have a token, control tokens among them, and do not end a text.
  absl::Span<const uint64_t> token_mask() const { return token_mask_; }
  // The bytes of a token, from its place in the tries; empty for what is never allowed.
  absl::Span<const uint8_t> bytes(int32_t id) const;
  // Bytes that a token of just this byte stands for.
  const std::bitset<256>& single_bytes() const { return single_bytes_; }

  // Tokens with anything that is not plain.
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
