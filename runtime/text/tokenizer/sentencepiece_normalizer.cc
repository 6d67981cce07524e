// The double array is walked byte by byte; every index is checked, as the table comes from a file.
#include "runtime/text/tokenizer/sentencepiece_normalizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/unicode.h"

namespace sluice {
namespace {

uint32_t LittleEndian(absl::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= uint32_t{static_cast<uint8_t>(bytes[at + i])} << (8 * i);
  return value;
}

// A unit of Darts-clone's double array.
bool HasLeaf(uint32_t unit) { return (unit >> 8 & 1) == 1; }
uint32_t ValueOf(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t LabelOf(uint32_t unit) { return unit & 0x800000FF; }
uint32_t OffsetOf(uint32_t unit) { return unit >> 10 << ((unit & 0x200) >> 6); }

}  // namespace

absl::StatusOr<SentencePieceNormalizer> SentencePieceNormalizer::Create(Options options) {
  SentencePieceNormalizer normalizer;
  normalizer.options_ = std::move(options);
  for (const std::string& symbol : normalizer.options_.symbols) {
    SLUICE_RETURN_IF_ERROR(normalizer.symbols_.Add(symbol, AddedToken{}));
  }
  const std::string table = std::move(normalizer.options_.charsmap);
  if (table.empty()) return normalizer;
  // The size of the double array, the double array, the replacements.
  const auto damaged = [&] {
    return absl::InvalidArgumentError(absl::StrCat("its precompiled_charsmap of ", table.size(),
                                                   " bytes is damaged; download the file again"));
  };
  if (table.size() < 4) return damaged();
  const size_t size = LittleEndian(table, 0);
  if (size == 0 || size % 4 != 0 || size > table.size() - 4) return damaged();
  for (size_t at = 0; at < size; at += 4) normalizer.units_.push_back(LittleEndian(table, 4 + at));
  normalizer.replacements_ = table.substr(4 + size);
  std::string valid;
  AppendLossyUtf8(normalizer.replacements_, &valid);
  if (valid != normalizer.replacements_) return damaged();
  return normalizer;
}

size_t SentencePieceNormalizer::LongestInTable(absl::string_view rest,
                                               absl::string_view* becomes) const {
  if (units_.empty()) return 0;
  size_t longest = 0;
  uint32_t position = OffsetOf(units_[0]);
  for (size_t i = 0; i < rest.size(); ++i) {
    const uint8_t byte = static_cast<uint8_t>(rest[i]);
    position ^= byte;
    if (position >= units_.size()) break;
    const uint32_t unit = units_[position];
    if (LabelOf(unit) != byte) break;
    position ^= OffsetOf(unit);
    if (position >= units_.size()) break;
    if (!HasLeaf(unit)) continue;
    const uint32_t value = ValueOf(units_[position]);
    if (value >= replacements_.size()) break;
    const absl::string_view tail = absl::string_view(replacements_).substr(value);
    *becomes = tail.substr(0, tail.find('\0'));
    longest = i + 1;
  }
  return longest;
}

absl::string_view SentencePieceNormalizer::Prefix(absl::string_view rest, size_t* taken) const {
  if (const size_t size = symbols_.LongestAt(rest, 0); size > 0) {
    *taken = size;
    return rest.substr(0, size);
  }
  absl::string_view becomes;
  *taken = LongestInTable(rest, &becomes);
  if (*taken > 0) return becomes;
  *taken = Utf8Size(rest[0]);
  return rest.substr(0, *taken);
}

absl::Status SentencePieceNormalizer::Apply(bool at_start, size_t limit, std::string* text) const {
  const bool remove = options_.remove_extra_whitespaces;
  const absl::string_view space = options_.escape_whitespaces ? kPieceSpace : " ";
  absl::string_view rest = *text;
  size_t taken = 0;
  while (remove && !rest.empty() && Prefix(rest, &taken) == " ") rest.remove_prefix(taken);
  std::string out;
  if (!rest.empty() && options_.add_dummy_prefix && (at_start || !options_.prefix_first_only)) {
    out.append(space.data(), space.size());
  }
  bool after_space = remove;
  while (!rest.empty()) {
    absl::string_view unit = Prefix(rest, &taken);
    rest.remove_prefix(taken);
    while (after_space && absl::ConsumePrefix(&unit, " ")) {
    }
    if (unit.empty()) continue;
    for (const char c : unit) {
      if (c == ' ') {
        out.append(space.data(), space.size());
      } else {
        out.push_back(c);
      }
    }
    after_space = remove && unit.back() == ' ';
    if (out.size() > limit) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the normalizer makes more than ", limit, " bytes of this text"));
    }
  }
  while (remove && absl::EndsWith(out, space)) out.resize(out.size() - space.size());
  *text = std::move(out);
  return absl::OkStatus();
}

int64_t SentencePieceNormalizer::MemoryBytes() const {
  return static_cast<int64_t>(units_.capacity() * sizeof(uint32_t) + replacements_.capacity()) +
         symbols_.MemoryBytes();
}

}  // namespace sluice
