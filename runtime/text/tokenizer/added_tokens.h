// Added tokens: texts that are one token wherever they stand. They are looked for ahead of the
// model.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_ADDED_TOKENS_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_ADDED_TOKENS_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice {

// A search costs up to the length of the longest token at each position.
inline constexpr size_t kMaxAddedTokenBytes = 4096;

struct AddedToken {
  int32_t id = 0;
  std::string content = {};
  std::string shown = {};    // what decoders get: the normalized content of a normalized token
  bool single_word = false;  // not found if it touches a word character
  bool lstrip = false;       // takes along the white space before it
  bool rstrip = false;       // takes along the white space behind it
  bool normalized = true;    // looked for in normalized text, after the tokens that are not
  bool special = false;      // a control token: left out of text, and may be plain text in input
};

// A piece of a text: an added token, or the text between two of them (id -1).
struct Segment {
  size_t begin, end;
  int32_t id;
};

// Finds the leftmost, and of those the longest, of a set of texts. Immutable once filled.
class AddedTokenMatcher {
 public:
  // InvalidArgument: `text` is empty. The first of equal texts counts.
  absl::Status Add(absl::string_view text, const AddedToken& token);

  // Cuts `text` (valid UTF-8) into segments, in order, none of them empty. Without `parse_special`,
  // neither special tokens nor anything inside of them is found. If a token takes along white space
  // in which another one begins, both may come out, as in the reference. Stops behind `most`
  // segments or one more, with a beginning of the text.
  std::vector<Segment> Cut(absl::string_view text, bool parse_special,
                           size_t most = std::numeric_limits<size_t>::max()) const;

  // Returns the size of the longest text that stands at `at` < text.size(); 0: none.
  size_t LongestAt(absl::string_view text, size_t at) const;

  bool empty() const { return entries_.empty(); }
  int64_t MemoryBytes() const;

 private:
  struct Entry {
    int32_t id;
    bool single_word, lstrip, rstrip, special;
  };
  // Returns the longest entry that starts at `at`, or -1; `*end` is where it ends.
  int32_t Longest(absl::string_view text, size_t at, size_t* end) const;

  // A trie over bytes, whose root is node 0.
  std::vector<Entry> entries_;
  std::vector<int32_t> node_entry_;                   // [nodes]: -1: no entry
  absl::flat_hash_map<uint64_t, uint32_t> children_;  // by node << 8 | byte
  bool starts_[256] = {};                             // [bytes]: whether the root has this child
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_ADDED_TOKENS_H_
