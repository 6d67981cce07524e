// Tries every split of every piece.
#include "storage/source/piece_merges.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace sluice {
namespace {

bool BeginsCharacter(char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }

int64_t CountCharacters(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), &BeginsCharacter);
}

}  // namespace

std::vector<PieceMerge> MergesByScore(absl::Span<const std::string> pieces,
                                      absl::Span<const float> scores,
                                      absl::FunctionRef<int64_t(absl::string_view)> find) {
  std::vector<PieceMerge> merges;
  for (size_t id = 0; id < pieces.size(); ++id) {
    const absl::string_view piece = pieces[id];
    if (piece.size() > kMaxMergedBytes || find(piece) != static_cast<int64_t>(id)) continue;
    // The ids of the two parts, and the place where they meet.
    std::vector<std::pair<std::pair<int64_t, int64_t>, size_t>> splits;
    for (size_t at = 1; at < piece.size(); ++at) {
      if (!BeginsCharacter(piece[at])) continue;
      const int64_t left = find(piece.substr(0, at));
      if (left < 0) continue;
      const int64_t right = find(piece.substr(at));
      if (right >= 0) splits.push_back({{left, right}, at});
    }
    std::sort(splits.begin(), splits.end());
    for (const auto& [parts, at] : splits) {
      const absl::string_view left = piece.substr(0, at), right = piece.substr(at);
      merges.push_back({scores[id], CountCharacters(left), CountCharacters(right), left, right});
    }
  }
  std::stable_sort(merges.begin(), merges.end(), [](const PieceMerge& a, const PieceMerge& b) {
    return std::tie(a.score, a.left_characters, a.right_characters) >
           std::tie(b.score, b.left_characters, b.right_characters);
  });
  return merges;
}

}  // namespace sluice
