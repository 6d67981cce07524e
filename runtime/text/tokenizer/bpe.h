// Byte-pair encoding: a word is cut into characters, and neighbours are merged by rank.
//
// Sennrich et al. 2016, with the variations that tokenizer.json knows: byte fallback, unknown
// tokens, prefixes and suffixes of characters, whole words ahead of merges.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_BPE_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_BPE_H_

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/tokenizer/vocabulary.h"

namespace sluice {

struct BpeOptions {
  bool has_unk_token = false;  // without one, a character that has no token is left out
  std::string unk_token = {};
  bool fuse_unk = false;       // neighbouring unknown characters give one unk token
  bool byte_fallback = false;  // unknown characters become <0xNN> if all of those are tokens
  // A word that is in the vocabulary becomes that token, without merges
  bool ignore_merges = false;
  std::string continuing_subword_prefix = {};  // before each character of a word but the first
  std::string end_of_word_suffix = {};         // behind the last character
  // Tokens that ignore_merges does not make of a word: control tokens, because their text inside a
  // word can only be plain text.
  absl::flat_hash_set<int32_t> never_whole = {};
  // Merges as SentencePiece does: a character without a token may be one part of a merge.
  bool merges_unknown_characters = false;
  // Only with merges_unknown_characters: SentencePiece's unused pieces. These tokens merge on; if
  // one is left at the end, its two parts, as they were last seen, come out in its place.
  absl::flat_hash_set<int32_t> unused = {};
};

// The merges as read, in order of rank: pairs of strings in one buffer. A merge's rank is its
// index, or the index of the merge that it is tied with.
class MergeText {
 public:
  void Add(absl::string_view left, absl::string_view right);
  // Adds a merge with the rank of the previous one: in a word, the one further left comes first.
  void AddTied(absl::string_view left, absl::string_view right);
  int64_t size() const { return static_cast<int64_t>(ends_.size() / 2); }
  absl::string_view left(int64_t index) const;
  absl::string_view right(int64_t index) const;
  bool tied(int64_t index) const {
    return index < static_cast<int64_t>(tied_.size()) && tied_[index];
  }

 private:
  std::string bytes_;
  std::vector<size_t> ends_;  // of left and right parts, alternating
  std::vector<bool> tied_;    // up to the last merge that is tied
};

// Immutable; any number of threads may encode.
class Bpe {
 public:
  // Working memory of Encode(), which a caller keeps between words.
  struct Scratch {
    struct Symbol {
      int32_t id;              // -1: merged into its left neighbour
      int32_t previous, next;  // -1: none
    };
    struct Candidate {
      uint32_t rank;
      int32_t position;
      int32_t id;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
    std::string text;
    absl::flat_hash_map<int32_t, std::pair<int32_t, int32_t>> parts;  // of unused tokens
  };

  // `vocabulary` must outlive the result. InvalidArgument: the parts or the result of a merge are
  // no tokens, or the unk token is none.
  static absl::StatusOr<Bpe> Create(const Vocabulary* vocabulary, BpeOptions options,
                                    const MergeText& merges);

  // Appends the ids of `word` (valid UTF-8); if there are more than `max_ids`, appends more than
  // that for a beginning of the word. Time is O(n log n) in the characters that are looked at.
  // InvalidArgument: the word has 2^31 bytes or more.
  absl::Status Encode(absl::string_view word, int64_t max_ids, Scratch* scratch,
                      std::vector<int32_t>* ids) const;

  // Returns whether each byte of any text comes into a token, so that none is left out, and no unk
  // token stands for several. `as_characters`: words are in the alphabet of byte_alphabet.h.
  bool CoversBytes(bool as_characters) const;

  int64_t MemoryBytes() const;

 private:
  struct Merge {
    uint32_t rank;
    int32_t id;
  };
  Bpe(const Vocabulary* vocabulary, BpeOptions options)
      : vocabulary_(vocabulary), options_(std::move(options)) {}

  const Merge* Find(int32_t left, int32_t right) const;
  // Stops behind `most` symbols.
  void Cut(absl::string_view word, size_t most, Scratch* scratch) const;
  void MergeAll(Scratch* scratch) const;
  // Appends the ids of a symbol of the word whose ids begin at `word_begin`.
  void Append(int32_t id, size_t word_begin, const Scratch& scratch,
              std::vector<int32_t>* ids) const;
  // Returns the id of a part of a merge: a token's, or, for a character, an id of its own beyond
  // the vocabulary. -1: it is neither.
  int32_t PartId(absl::string_view part);

  const Vocabulary* vocabulary_;
  BpeOptions options_;
  int32_t unk_id_ = -1;
  std::array<int32_t, 256> byte_ids_;            // of <0xNN>, -1: no token
  absl::flat_hash_map<uint64_t, Merge> merges_;  // by left id << 32 | right id
  absl::flat_hash_map<std::string, int32_t>
      unknown_ids_;                              // for characters that merge but are no tokens
  std::vector<std::string> unknown_characters_;  // by id, from the vocabulary's end on
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_BPE_H_
