// Tokens by id and ids by token: one arena of bytes, one table of ids.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_VOCABULARY_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_VOCABULARY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice {

// Ids are below this; the largest vocabularies of the field have some 300,000 tokens.
inline constexpr int64_t kMaxTokenId = int64_t{1} << 24;

class Vocabulary {
 public:
  // InvalidArgument: `id` is negative, too large or already another token's, or `token` has an id.
  absl::Status Add(absl::string_view token, int64_t id);

  // Must be called once everything is added; frees memory that growing left over. InvalidArgument:
  // the ids leave such gaps that tables indexed by id would be much larger than the vocabulary
  // itself.
  absl::Status Finish();

  // Returns the id of `token`, or -1.
  int32_t Find(absl::string_view token) const;
  bool Contains(int64_t id) const { return id >= 0 && id < id_end() && slots_[id].size >= 0; }
  // Returns the token of `id`, empty if there is none. The view lives as long as the vocabulary is
  // unchanged.
  absl::string_view Token(int64_t id) const;

  int32_t id_end() const { return static_cast<int32_t>(slots_.size()); }  // the largest id + 1
  int32_t size() const { return size_; }
  size_t longest() const { return longest_; }  // bytes of the longest token
  int64_t MemoryBytes() const;

 private:
  struct Slot {
    uint32_t begin = 0;
    int32_t size = -1;  // -1: no token has this id
  };
  size_t Bucket(absl::string_view token) const;  // the token's place in table_, or the free one
  void Grow();

  std::string bytes_;
  std::vector<Slot> slots_;     // by id
  std::vector<int32_t> table_;  // open addressing, a power of two, at most 3/4 full; -1: free
  int32_t size_ = 0;
  size_t longest_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_VOCABULARY_H_
