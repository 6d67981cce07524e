// Encoding through the parts, and decoding through a pipeline.
#include "runtime/text/tokenizer/tokenizer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_replace.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/tokenizer_parts.h"
#include "runtime/text/tokenizer/unicode.h"

namespace sluice {

Tokenizer::Tokenizer(std::unique_ptr<const Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

namespace {

// The most copies of a text that exist at one time: valid, normalized, a piece, and the piece
// rewritten in an alphabet that may take two bytes for one.
constexpr int64_t kTextCopies = 6;
// The memory of a byte of a word that is merged: symbols and candidates, and room that vectors grow
// into.
constexpr int64_t kBytesPerSymbol = 64;
constexpr int64_t kBytesPerId = 12;  // with room that the vector grows into
constexpr int64_t kMostStrippedBytes = 4096;

// Cuts `piece` but leaves it more than `most_ids` ids, if no id stands for more than `token_bytes`
// of it (0: that is not known).
void CutTo(int64_t most_ids, size_t token_bytes, std::string* piece) {
  if (token_bytes == 0 || most_ids >= static_cast<int64_t>(piece->size() / token_bytes)) return;
  size_t end = static_cast<size_t>(most_ids + 1) * token_bytes;
  while (end < piece->size() && (static_cast<uint8_t>((*piece)[end]) & 0xC0) == 0x80) ++end;
  piece->resize(end);
}

}  // namespace

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(absl::string_view text,
                                                       EncodeOptions options) const {
  SearchBudget budget(text.size());
  budget.LimitMemory(options.max_bytes);
  SLUICE_RETURN_IF_ERROR(budget.CheckMemory(text.size(), kTextCopies));
  budget.LimitMemory(options.max_bytes - kTextCopies * static_cast<int64_t>(text.size()));
  std::string valid;
  valid.reserve(text.size());
  AppendLossyUtf8(text, &valid);
  std::vector<int32_t> ids;
  if (options.add_special_tokens) ids = parts_->around.before;
  Bpe::Scratch scratch;
  // An id for every second segment, at least.
  const size_t most_segments =
      std::min<int64_t>(options.max_ids, std::numeric_limits<int64_t>::max() / 4) * 2 + 3;
  const auto left = [&] { return options.max_ids - static_cast<int64_t>(ids.size()); };
  for (const Segment& raw : parts_->raw_matcher.Cut(valid, options.parse_special, most_segments)) {
    if (left() < 0) break;
    if (raw.id >= 0) {
      ids.push_back(raw.id);
      continue;
    }
    std::string normalized = valid.substr(raw.begin, raw.end - raw.begin);
    bool at_start = raw.begin == 0;
    SLUICE_RETURN_IF_ERROR(
        Annotate(parts_->normalizer.Apply(&normalized, &at_start, &budget), parts_->source));
    for (const Segment& segment :
         parts_->normalized_matcher.Cut(normalized, options.parse_special, most_segments)) {
      if (left() < 0) break;
      if (segment.id >= 0) {
        ids.push_back(segment.id);
        continue;
      }
      std::string piece = normalized.substr(segment.begin, segment.end - segment.begin);
      if (options.drop_plain_marks) absl::StrReplaceAll({{kPlainMark, ""}}, &piece);
      CutTo(left(), parts_->token_bytes, &piece);
      const absl::StatusOr<Words> words =
          parts_->pre_tokenizer.Apply(std::move(piece), at_start && segment.begin == 0, &budget);
      if (!words.ok()) return Annotate(words.status(), parts_->source);
      for (size_t i = 0; i < words->words.size() && left() >= 0; ++i) {
        SLUICE_RETURN_IF_ERROR(budget.CheckMemory((*words)[i].size(), kBytesPerSymbol));
        SLUICE_RETURN_IF_ERROR(budget.CheckMemory(ids.size(), kBytesPerId));
        SLUICE_RETURN_IF_ERROR(parts_->bpe->Encode((*words)[i], left(), &scratch, &ids));
      }
    }
  }
  if (options.add_special_tokens) {
    ids.insert(ids.end(), parts_->around.after.begin(), parts_->around.after.end());
  }
  return ids;
}

std::string Tokenizer::Decode(absl::Span<const int32_t> ids, bool skip_special) const {
  DecoderPipeline pipeline = NewPipeline();
  std::string text;
  for (const int32_t id : ids) Feed(id, skip_special, &pipeline, &text);
  pipeline.Finish(&text);
  return text;
}

int64_t Tokenizer::MostTextBytes(int64_t ids) const {
  const int64_t each = parts_->raw_token_bytes > 0 ? static_cast<int64_t>(parts_->raw_token_bytes)
                                                   : kMostStrippedBytes;
  return ids <= std::numeric_limits<int64_t>::max() / each ? ids * each
                                                           : std::numeric_limits<int64_t>::max();
}

int32_t Tokenizer::vocab_size() const { return parts_->vocab_size; }

bool Tokenizer::Contains(int32_t id) const {
  return parts_->added.contains(id) || parts_->vocabulary.Contains(id);
}

bool Tokenizer::IsSpecial(int32_t id) const {
  const auto it = parts_->added.find(id);
  return it != parts_->added.end() && it->second.special;
}

std::optional<int32_t> Tokenizer::TokenId(absl::string_view token) const {
  const auto it = parts_->added_ids.find(token);
  if (it != parts_->added_ids.end()) return it->second;
  const int32_t id = parts_->vocabulary.Find(token);
  return id >= 0 ? std::optional<int32_t>(id) : std::nullopt;
}

absl::string_view Tokenizer::Token(int32_t id) const {
  const auto it = parts_->added.find(id);
  return it != parts_->added.end() ? it->second.content : parts_->vocabulary.Token(id);
}

int64_t Tokenizer::MemoryBytes() const {
  int64_t bytes = sizeof(Parts) + parts_->vocabulary.MemoryBytes() + parts_->bpe->MemoryBytes() +
                  parts_->raw_matcher.MemoryBytes() + parts_->normalized_matcher.MemoryBytes() +
                  parts_->normalizer.MemoryBytes() + parts_->pre_tokenizer.MemoryBytes();
  for (const auto& [id, token] : parts_->added) {
    bytes += 2 * (sizeof(AddedToken) + token.content.capacity());  // in both maps
  }
  return bytes;
}

DecoderPipeline Tokenizer::NewPipeline() const { return DecoderPipeline(parts_->decoder); }

void Tokenizer::Feed(int32_t id, bool skip_special, DecoderPipeline* pipeline,
                     std::string* text) const {
  const auto added = parts_->added.find(id);
  if (added != parts_->added.end()) {
    if (!skip_special || !added->second.special) pipeline->Push(added->second.shown, text);
  } else if (parts_->vocabulary.Contains(id)) {
    pipeline->Push(parts_->vocabulary.Token(id), text);
  }
}

StreamDecoder::StreamDecoder(const Tokenizer* tokenizer, bool skip_special,
                             absl::Span<const int32_t> prompt)
    : tokenizer_(tokenizer), skip_special_(skip_special), pipeline_(tokenizer->NewPipeline()) {
  std::string certain_already;
  for (const int32_t id : prompt) tokenizer_->Feed(id, skip_special_, &pipeline_, &certain_already);
}

std::string StreamDecoder::Push(int32_t id) {
  std::string text;
  tokenizer_->Feed(id, skip_special_, &pipeline_, &text);
  return text;
}

std::string StreamDecoder::Flush() {
  std::string text;
  pipeline_.Finish(&text);
  pipeline_ = tokenizer_->NewPipeline();
  return text;
}

}  // namespace sluice
