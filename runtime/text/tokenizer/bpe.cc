// Merging by a heap of candidates over a linked list of symbols; stale candidates are skipped.
#include "runtime/text/tokenizer/bpe.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/text/tokenizer/byte_alphabet.h"
#include "runtime/text/tokenizer/unicode.h"

namespace sluice {
namespace {

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// Heap order: the lowest rank first, then the leftmost.
bool ComesLater(const Bpe::Scratch::Candidate& a, const Bpe::Scratch::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

}  // namespace

void MergeText::Add(absl::string_view left, absl::string_view right) {
  bytes_.append(left.data(), left.size());
  ends_.push_back(bytes_.size());
  bytes_.append(right.data(), right.size());
  ends_.push_back(bytes_.size());
}

void MergeText::AddTied(absl::string_view left, absl::string_view right) {
  tied_.resize(size(), false);
  tied_.push_back(true);
  Add(left, right);
}

absl::string_view MergeText::left(int64_t index) const {
  const size_t begin = index == 0 ? 0 : ends_[2 * index - 1];
  return absl::string_view(bytes_.data() + begin, ends_[2 * index] - begin);
}

absl::string_view MergeText::right(int64_t index) const {
  const size_t begin = ends_[2 * index];
  return absl::string_view(bytes_.data() + begin, ends_[2 * index + 1] - begin);
}

absl::StatusOr<Bpe> Bpe::Create(const Vocabulary* vocabulary, BpeOptions options,
                                const MergeText& merges) {
  Bpe bpe(vocabulary, std::move(options));
  if (bpe.options_.has_unk_token) {
    bpe.unk_id_ = vocabulary->Find(bpe.options_.unk_token);
    if (bpe.unk_id_ < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the unk_token \"", absl::Utf8SafeCEscape(bpe.options_.unk_token), "\" is not a token"));
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    bpe.byte_ids_[byte] = vocabulary->Find(absl::StrFormat("<0x%02X>", byte));
  }
  bpe.merges_.reserve(merges.size());
  const absl::string_view prefix = bpe.options_.continuing_subword_prefix;
  std::string merged;
  int64_t rank = 0;
  for (int64_t index = 0; index < merges.size(); ++index) {
    if (!merges.tied(index)) rank = index;
    const absl::string_view left = merges.left(index), right = merges.right(index);
    const auto refuse = [&](absl::string_view why) {
      return absl::InvalidArgumentError(
          absl::StrCat("merge ", index, " (\"", absl::Utf8SafeCEscape(left.substr(0, 80)), "\" \"",
                       absl::Utf8SafeCEscape(right.substr(0, 80)), "\"): ", why));
    };
    if (left.empty() || right.empty()) return refuse("one part is empty");
    if (!absl::StartsWith(right, prefix)) {
      return refuse("the right part lacks the continuing_subword_prefix");
    }
    const int32_t left_id = bpe.PartId(left), right_id = bpe.PartId(right);
    if (left_id < 0 || right_id < 0) return refuse("one part is not a token");
    merged.assign(left.data(), left.size());
    merged.append(right.data() + prefix.size(), right.size() - prefix.size());
    const int32_t id = vocabulary->Find(merged);
    if (id < 0) return refuse("the result is not a token");
    // If a pair comes twice, the later rank counts, as in the library that wrote the file.
    bpe.merges_[PairKey(left_id, right_id)] = {static_cast<uint32_t>(rank), id};
  }
  return bpe;
}

int32_t Bpe::PartId(absl::string_view part) {
  const int32_t id = vocabulary_->Find(part);
  if (id >= 0 || !options_.merges_unknown_characters || Utf8Size(part[0]) != part.size()) return id;
  const int32_t next = vocabulary_->id_end() + static_cast<int32_t>(unknown_characters_.size());
  const auto [it, added] = unknown_ids_.try_emplace(part, next);
  if (added) unknown_characters_.emplace_back(part);
  return it->second;
}

const Bpe::Merge* Bpe::Find(int32_t left, int32_t right) const {
  const auto it = merges_.find(PairKey(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

void Bpe::Cut(absl::string_view word, size_t most, Scratch* scratch) const {
  std::vector<Scratch::Symbol>& symbols = scratch->symbols;
  symbols.clear();
  const auto add = [&](int32_t id) { symbols.push_back({id, 0, 0}); };
  bool unknown = false;  // an unk token is due before the next known character
  for (size_t at = 0, size; at < word.size() && symbols.size() < most; at += size) {
    size = Utf8Size(word[at]);
    absl::string_view character = word.substr(at, size);
    const bool prefixed = at > 0 && !options_.continuing_subword_prefix.empty();
    const bool suffixed = at + size == word.size() && !options_.end_of_word_suffix.empty();
    if (prefixed || suffixed) {
      scratch->text.clear();
      if (prefixed) scratch->text = options_.continuing_subword_prefix;
      scratch->text.append(character.data(), character.size());
      if (suffixed) scratch->text += options_.end_of_word_suffix;
      character = scratch->text;
    }
    int32_t id = vocabulary_->Find(character);
    if (id < 0 && !unknown_ids_.empty()) {
      const auto it = unknown_ids_.find(character);
      if (it != unknown_ids_.end()) id = it->second;
    }
    if (id >= 0) {
      if (unknown) add(unk_id_);
      unknown = false;
      add(id);
      continue;
    }
    if (options_.byte_fallback && std::all_of(character.begin(), character.end(), [&](char byte) {
          return byte_ids_[static_cast<uint8_t>(byte)] >= 0;
        })) {
      // Bytes do not release a waiting unk token: it comes behind them, as in the reference.
      for (const char byte : character) add(byte_ids_[static_cast<uint8_t>(byte)]);
      continue;
    }
    if (unk_id_ < 0) continue;
    if (unknown && !options_.fuse_unk) add(unk_id_);
    unknown = true;
  }
  if (unknown) add(unk_id_);
  const int32_t count = static_cast<int32_t>(symbols.size());
  for (int32_t i = 0; i < count; ++i) {
    symbols[i].previous = i - 1;
    symbols[i].next = i + 1 < count ? i + 1 : -1;
  }
}

void Bpe::MergeAll(Scratch* scratch) const {
  std::vector<Scratch::Symbol>& symbols = scratch->symbols;
  std::vector<Scratch::Candidate>& heap = scratch->heap;
  heap.clear();
  scratch->parts.clear();
  const auto consider = [&](int32_t left, int32_t right) {
    const Merge* merge = Find(symbols[left].id, symbols[right].id);
    if (merge == nullptr) return false;
    heap.push_back({merge->rank, left, merge->id});
    if (!options_.unused.empty() && options_.unused.contains(merge->id)) {
      scratch->parts[merge->id] = {symbols[left].id, symbols[right].id};
    }
    return true;
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) {
    consider(static_cast<int32_t>(i), static_cast<int32_t>(i + 1));
  }
  std::make_heap(heap.begin(), heap.end(), &ComesLater);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), &ComesLater);
    const Scratch::Candidate top = heap.back();
    heap.pop_back();
    Scratch::Symbol& left = symbols[top.position];
    if (left.id < 0 || left.next < 0) continue;
    const int32_t right_position = left.next;
    Scratch::Symbol& right = symbols[right_position];
    // Either symbol may have been merged since; what counts is the pair that stands there now.
    const Merge* merge = Find(left.id, right.id);
    if (merge == nullptr || merge->id != top.id) continue;
    left.id = top.id;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[left.next].previous = top.position;
    if (left.previous >= 0 && consider(left.previous, top.position)) {
      std::push_heap(heap.begin(), heap.end(), &ComesLater);
    }
    if (left.next >= 0 && consider(top.position, left.next)) {
      std::push_heap(heap.begin(), heap.end(), &ComesLater);
    }
  }
}

void Bpe::Append(int32_t id, size_t word_begin, const Scratch& scratch,
                 std::vector<int32_t>* ids) const {
  if (const int32_t end = vocabulary_->id_end(); id >= end) {  // a character that did not merge
    const std::string& character = unknown_characters_[id - end];
    if (options_.byte_fallback && std::all_of(character.begin(), character.end(), [&](char byte) {
          return byte_ids_[static_cast<uint8_t>(byte)] >= 0;
        })) {
      for (const char byte : character) ids->push_back(byte_ids_[static_cast<uint8_t>(byte)]);
      return;
    }
    if (unk_id_ < 0) return;
    id = unk_id_;
  }
  if (id == unk_id_ && options_.merges_unknown_characters && options_.fuse_unk &&
      ids->size() > word_begin && ids->back() == unk_id_) {
    return;
  }
  const auto parts = scratch.parts.find(id);
  if (parts != scratch.parts.end()) {
    Append(parts->second.first, word_begin, scratch, ids);
    Append(parts->second.second, word_begin, scratch, ids);
    return;
  }
  ids->push_back(id);
}

absl::Status Bpe::Encode(absl::string_view word, int64_t max_ids, Scratch* scratch,
                         std::vector<int32_t>* ids) const {
  if (word.size() > INT32_MAX) {
    return absl::InvalidArgumentError(
        absl::StrCat("a piece of ", word.size(), " bytes has no place where it can be cut"));
  }
  if (options_.ignore_merges) {
    const int32_t id = vocabulary_->Find(word);
    if (id >= 0 && !options_.never_whole.contains(id)) {
      ids->push_back(id);
      return absl::OkStatus();
    }
  }
  // A token is made of at most as many symbols as it has bytes.
  const size_t longest = vocabulary_->longest();
  const bool bounded = max_ids < static_cast<int64_t>(word.size());
  Cut(word, bounded ? static_cast<size_t>(max_ids + 1) * longest : SIZE_MAX, scratch);
  MergeAll(scratch);
  const size_t word_begin = ids->size();
  for (const Scratch::Symbol& symbol : scratch->symbols) {
    if (symbol.id < 0) continue;
    if (options_.merges_unknown_characters) {
      Append(symbol.id, word_begin, *scratch, ids);
    } else {
      ids->push_back(symbol.id);
    }
  }
  return absl::OkStatus();
}

bool Bpe::CoversBytes(bool as_characters) const {
  if (!as_characters) {
    return options_.byte_fallback &&
           std::all_of(byte_ids_.begin(), byte_ids_.end(), [](int32_t id) { return id >= 0; });
  }
  if (!options_.continuing_subword_prefix.empty() || !options_.end_of_word_suffix.empty()) {
    return false;
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    std::string character;
    AppendByteCharacters(absl::string_view(&text, 1), &character);
    if (vocabulary_->Find(character) < 0) return false;
  }
  return true;
}

int64_t Bpe::MemoryBytes() const {
  return static_cast<int64_t>(merges_.capacity() * (sizeof(*merges_.begin()) + 1));
}

}  // namespace sluice
