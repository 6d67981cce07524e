// Turns the scores of SentencePiece's BPE into a list of merges.
#ifndef SLUICE_STORAGE_SOURCE_PIECE_MERGES_H_
#define SLUICE_STORAGE_SOURCE_PIECE_MERGES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// Trying all splits of a longer piece would be quadratic; real pieces stay far below.
inline constexpr size_t kMaxMergedBytes = 512;

// A way to put a piece together from two others.
struct PieceMerge {
  float score;  // the piece's
  int64_t left_characters, right_characters;
  absl::string_view left, right;
};

// Returns every way to put together a piece of at most kMaxMergedBytes, in transformers' order: the
// best score first, then the longest left part, then the longest right part. `pieces` and `scores`
// are indexed by id; `find` returns the id of a piece, or -1. The result has views into `pieces`.
std::vector<PieceMerge> MergesByScore(absl::Span<const std::string> pieces,
                                      absl::Span<const float> scores,
                                      absl::FunctionRef<int64_t(absl::string_view)> find);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_PIECE_MERGES_H_
