// Linear probing over ids; the strings they are compared with lie in the arena.
#include "runtime/text/tokenizer/vocabulary.h"

#include <algorithm>

#include "absl/hash/hash.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace sluice {

absl::string_view Vocabulary::Token(int64_t id) const {
  if (!Contains(id)) return {};
  return absl::string_view(bytes_.data() + slots_[id].begin, slots_[id].size);
}

size_t Vocabulary::Bucket(absl::string_view token) const {
  const size_t mask = table_.size() - 1;
  size_t at = absl::HashOf(token) & mask;
  while (table_[at] >= 0 && Token(table_[at]) != token) at = (at + 1) & mask;
  return at;
}

void Vocabulary::Grow() {
  const std::vector<int32_t> old = std::move(table_);
  table_.assign(old.empty() ? 1024 : old.size() * 2, -1);
  for (const int32_t id : old) {
    if (id >= 0) table_[Bucket(Token(id))] = id;
  }
}

absl::Status Vocabulary::Add(absl::string_view token, int64_t id) {
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the token \"", absl::Utf8SafeCEscape(token.substr(0, 80)), "\" with id ", id, ": ", why));
  };
  if (id < 0 || id >= kMaxTokenId) return refuse(absl::StrCat("ids are 0 to ", kMaxTokenId - 1));
  if (Contains(id)) {
    return refuse(
        absl::StrCat("the id belongs to \"", absl::Utf8SafeCEscape(Token(id).substr(0, 80)), "\""));
  }
  if (bytes_.size() + token.size() > UINT32_MAX) return refuse("the vocabulary exceeds 4 GiB");
  if (4 * (size_ + int64_t{1}) > 3 * static_cast<int64_t>(table_.size())) Grow();
  const size_t bucket = Bucket(token);
  if (table_[bucket] >= 0) {
    return refuse(absl::StrCat("it has the id ", table_[bucket], " already"));
  }
  if (id >= id_end()) slots_.resize(id + 1);
  slots_[id] = {static_cast<uint32_t>(bytes_.size()), static_cast<int32_t>(token.size())};
  bytes_.append(token.data(), token.size());
  table_[bucket] = static_cast<int32_t>(id);
  ++size_;
  longest_ = std::max(longest_, token.size());
  return absl::OkStatus();
}

absl::Status Vocabulary::Finish() {
  if (id_end() > 2 * int64_t{size_} + 65536) {
    return absl::InvalidArgumentError(
        absl::StrCat(size_, " tokens have ids up to ", id_end() - 1, "; the gaps are too large"));
  }
  bytes_.shrink_to_fit();
  slots_.shrink_to_fit();
  return absl::OkStatus();
}

int32_t Vocabulary::Find(absl::string_view token) const {
  return table_.empty() ? -1 : table_[Bucket(token)];
}

int64_t Vocabulary::MemoryBytes() const {
  return static_cast<int64_t>(bytes_.capacity() + slots_.capacity() * sizeof(Slot) +
                              table_.capacity() * sizeof(int32_t));
}

}  // namespace sluice
