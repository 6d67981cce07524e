// Each normalizer as a function from text to text; a Sequence is flattened when it is read.
#include "runtime/text/tokenizer/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/byte_alphabet.h"
#include "runtime/text/tokenizer/unicode.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

// A normalizer that takes more of a text for a byte of the result counts as one without a bound.
constexpr size_t kMostPerByte = 4096;
// Memory of UnicodeForm, a byte of the text: code and class, and room that the vector grows into.
constexpr int64_t kUnicodeFormBytes = 24;

absl::Status TooLarge(size_t limit) {
  return absl::ResourceExhaustedError(
      absl::StrCat("the normalizer makes more than ", limit, " bytes of this text"));
}

// Decomposes by character and orders marks by a stable sort: utf8proc's own ordering is quadratic
// in a run of marks, and a prompt may consist of marks alone.
void UnicodeForm(bool compatibility, bool compose, std::string* text) {
  if (IsAscii(*text)) return;
  struct Decomposed {
    utf8proc_int32_t code;
    utf8proc_propval_t combining_class;
  };
  std::vector<Decomposed> decomposed;
  decomposed.reserve(text->size());
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE |
                                                      (compatibility ? UTF8PROC_COMPAT : 0));
  for (size_t at = 0; at < text->size();) {
    const Utf8Char c = DecodeUtf8(*text, at);
    at += c.size;
    utf8proc_int32_t parts[32];  // the longest decomposition has 18 characters
    int last_class = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.code),
                                                           parts, 32, options, &last_class);
    for (utf8proc_ssize_t i = 0; i < count && i < 32; ++i) {
      decomposed.push_back({parts[i], utf8proc_get_property(parts[i])->combining_class});
    }
  }
  for (auto run = decomposed.begin(); run != decomposed.end();) {
    if (run->combining_class == 0) {
      ++run;
      continue;
    }
    const auto end = std::find_if(run, decomposed.end(),
                                  [](const Decomposed& d) { return d.combining_class == 0; });
    std::stable_sort(run, end, [](const Decomposed& a, const Decomposed& b) {
      return a.combining_class < b.combining_class;
    });
    run = end;
  }
  std::vector<utf8proc_int32_t> codes;
  codes.reserve(decomposed.size());
  for (const Decomposed& d : decomposed) codes.push_back(d.code);
  utf8proc_ssize_t length = static_cast<utf8proc_ssize_t>(codes.size());
  if (compose) {
    length = utf8proc_normalize_utf32(
        codes.data(), length, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  }
  text->clear();
  for (utf8proc_ssize_t i = 0; i < length; ++i) AppendUtf8(static_cast<uint32_t>(codes[i]), text);
}

// Rewrites character by character: `map(code, out)` appends what a character becomes.
template <typename Map>
void MapCharacters(std::string* text, bool* at_start, Map map) {
  std::string out;
  out.reserve(text->size());
  for (size_t at = 0; at < text->size();) {
    const Utf8Char c = DecodeUtf8(*text, at);
    const size_t before = out.size();
    map(c.code, &out);
    if (at == 0 && out.size() == before) *at_start = false;
    at += c.size;
  }
  *text = std::move(out);
}

void Lowercase(uint32_t code, std::string* out) {
  AppendUtf8(code == 0x130 ? 'i' : ToLower(code), out);
  if (code == 0x130) AppendUtf8(0x307, out);  // the one character whose lowercase is two
}

void WithoutMarks(uint32_t code, std::string* out) {
  if (!IsMark(code)) AppendUtf8(code, out);
}

// The cleaning of the machine translation system SentencePiece was made for: control characters go,
// odd spaces become spaces.
void Nmt(uint32_t code, std::string* out) {
  if ((code >= 0x01 && code <= 0x08) || code == 0x0B || (code >= 0x0E && code <= 0x1F) ||
      code == 0x7F || code == 0x8F || code == 0x9F) {
    return;
  }
  const bool space = code == 0x09 || code == 0x0A || code == 0x0C || code == 0x0D ||
                     code == 0x1680 || (code >= 0x200B && code <= 0x200F) || code == 0x2028 ||
                     code == 0x2029 || code == 0x2581 || code == 0xFEFF || code == 0xFFFD;
  AppendUtf8(space ? ' ' : code, out);
}

void Strip(bool left, bool right, std::string* text, bool* at_start) {
  size_t begin = 0, end = text->size();
  while (left && begin < end) {
    const Utf8Char c = DecodeUtf8(*text, begin);
    if (!IsWhiteSpace(c.code)) break;
    begin += c.size;
  }
  while (right && end > begin) {
    size_t at = end - 1;
    while (at > begin && IsUtf8Continuation((*text)[at])) --at;
    if (!IsWhiteSpace(DecodeUtf8(*text, at).code)) break;
    end = at;
  }
  if (begin > 0) *at_start = false;
  *text = text->substr(begin, end - begin);
}

}  // namespace

absl::StatusOr<Normalizer> Normalizer::FromJson(const nlohmann::json& component) {
  Normalizer normalizer;
  SLUICE_RETURN_IF_ERROR(normalizer.AddSteps(component));
  return normalizer;
}

Normalizer Normalizer::FromSentencePiece(SentencePieceNormalizer sentence_piece) {
  Normalizer normalizer;
  normalizer.steps_.push_back({.kind = Kind::kSentencePiece});
  normalizer.sentence_piece_ =
      std::make_shared<const SentencePieceNormalizer>(std::move(sentence_piece));
  return normalizer;
}

absl::Status Normalizer::AddSteps(const nlohmann::json& component) {
  SLUICE_ASSIGN_OR_RETURN(const std::string type, ComponentType(component));
  const auto in_type = [&](const absl::Status& status) { return Annotate(status, type); };
  static constexpr struct {
    const char* type;
    Kind kind;
  } kPlain[] = {{"NFC", Kind::kNfc},
                {"NFD", Kind::kNfd},
                {"NFKC", Kind::kNfkc},
                {"NFKD", Kind::kNfkd},
                {"Lowercase", Kind::kLowercase},
                {"StripAccents", Kind::kStripAccents},
                {"ByteLevel", Kind::kByteLevel},
                {"Nmt", Kind::kNmt}};
  for (const auto& plain : kPlain) {
    if (type != plain.type) continue;
    SLUICE_RETURN_IF_ERROR(in_type(CheckKeys(component, {"type"})));
    steps_.push_back({.kind = plain.kind});
    return absl::OkStatus();
  }
  if (type == "Sequence") {
    SLUICE_RETURN_IF_ERROR(in_type(CheckKeys(component, {"type", "normalizers"})));
    const nlohmann::json* members = JsonFind(component, "normalizers");
    if (members == nullptr || !members->is_array()) {
      return absl::InvalidArgumentError("Sequence: \"normalizers\" is not an array");
    }
    for (const nlohmann::json& member : *members) SLUICE_RETURN_IF_ERROR(AddSteps(member));
    return absl::OkStatus();
  }
  Step step{};
  if (type == "Strip") {
    step.kind = Kind::kStrip;
    SLUICE_RETURN_IF_ERROR(in_type(CheckKeys(component, {"type", "strip_left", "strip_right"})));
    SLUICE_ASSIGN_OR_RETURN(step.left, JsonBool(component, "strip_left"));
    SLUICE_ASSIGN_OR_RETURN(step.right, JsonBool(component, "strip_right"));
  } else if (type == "Prepend") {
    step.kind = Kind::kPrepend;
    SLUICE_RETURN_IF_ERROR(in_type(CheckKeys(component, {"type", "prepend"})));
    SLUICE_ASSIGN_OR_RETURN(step.content, JsonString(component, "prepend"));
  } else if (type == "Replace") {
    step.kind = Kind::kReplace;
    SLUICE_RETURN_IF_ERROR(in_type(CheckKeys(component, {"type", "pattern", "content"})));
    SLUICE_ASSIGN_OR_RETURN(step.content, JsonString(component, "content"));
    absl::StatusOr<Pattern> pattern = Pattern::FromJson(component);
    if (!pattern.ok()) return in_type(pattern.status());
    if (pattern->text() != nullptr && pattern->text()->empty()) {
      return absl::InvalidArgumentError("Replace: the pattern is empty");
    }
    step.pattern = *std::move(pattern);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("the type \"", type.substr(0, 80), "\" is not supported"));
  }
  steps_.push_back(std::move(step));
  return absl::OkStatus();
}

absl::Status Normalizer::Replace(const Step& step, size_t limit, SearchBudget* budget,
                                 std::string* text, bool* at_start) {
  std::vector<TextRange> matches;
  SLUICE_RETURN_IF_ERROR(step.pattern.FindAll(*text, budget, &matches));
  if (matches.empty()) return absl::OkStatus();
  if (step.content.size() > limit / matches.size()) return TooLarge(limit);
  // A replacement stands where the last character it replaces stood.
  if (matches[0].begin == 0 && matches[0].end > 0 &&
      (step.content.empty() || matches[0].end > Utf8Size((*text)[0]))) {
    *at_start = false;
  }
  std::string out;
  size_t copied = 0;
  for (const TextRange& match : matches) {
    out.append(*text, copied, match.begin - copied);
    out += step.content;
    copied = match.end;
  }
  out.append(*text, copied, std::string::npos);
  *text = std::move(out);
  return absl::OkStatus();
}

absl::Status Normalizer::Apply(std::string* text, bool* at_start, SearchBudget* budget) const {
  const size_t limit = MostBytesOf(text->size());
  for (const Step& step : steps_) {
    if (step.kind <= Kind::kNfkd && !IsAscii(*text)) {
      SLUICE_RETURN_IF_ERROR(budget->CheckMemory(text->size(), kUnicodeFormBytes));
    }
    switch (step.kind) {
      case Kind::kNfc:
        UnicodeForm(false, true, text);
        break;
      case Kind::kNfd:
        UnicodeForm(false, false, text);
        break;
      case Kind::kNfkc:
        UnicodeForm(true, true, text);
        break;
      case Kind::kNfkd:
        UnicodeForm(true, false, text);
        break;
      case Kind::kLowercase:
        MapCharacters(text, at_start, &Lowercase);
        break;
      case Kind::kStripAccents:
        MapCharacters(text, at_start, &WithoutMarks);
        break;
      case Kind::kNmt:
        MapCharacters(text, at_start, &Nmt);
        break;
      case Kind::kStrip:
        Strip(step.left, step.right, text, at_start);
        break;
      case Kind::kReplace:
        SLUICE_RETURN_IF_ERROR(Replace(step, limit, budget, text, at_start));
        break;
      case Kind::kPrepend:
        if (!text->empty()) text->insert(0, step.content);
        break;
      case Kind::kByteLevel: {
        std::string characters;
        AppendByteCharacters(*text, &characters);
        *text = std::move(characters);
        break;
      }
      case Kind::kSentencePiece:
        SLUICE_RETURN_IF_ERROR(sentence_piece_->Apply(*at_start, limit, text));
        break;
    }
    if (text->size() > limit) return TooLarge(limit);
  }
  return absl::OkStatus();
}

size_t Normalizer::MostPerByte() const {
  size_t most = 1;
  for (const Step& step : steps_) {
    switch (step.kind) {
      // No character has more than four bytes, and no form turns a byte into more.
      case Kind::kNfc:
      case Kind::kNfd:
      case Kind::kNfkc:
      case Kind::kNfkd:
      case Kind::kLowercase:
        most *= 4;
        break;
      case Kind::kPrepend:
      case Kind::kByteLevel:
        break;
      case Kind::kReplace: {
        const std::string* const old = step.pattern.text();
        if (old == nullptr || step.content.empty()) return 0;
        most *= (old->size() + step.content.size() - 1) / step.content.size();
        most = std::max<size_t>(most, 1);
        break;
      }
      case Kind::kStrip:
      case Kind::kStripAccents:
      case Kind::kNmt:
      case Kind::kSentencePiece:
        return 0;
    }
    if (most > kMostPerByte) return 0;
  }
  return most;
}

int64_t Normalizer::MemoryBytes() const {
  int64_t bytes = static_cast<int64_t>(steps_.capacity() * sizeof(Step));
  if (sentence_piece_ != nullptr) bytes += sentence_piece_->MemoryBytes();
  for (const Step& step : steps_) {
    bytes += static_cast<int64_t>(step.content.capacity()) + step.pattern.MemoryBytes();
  }
  return bytes;
}

}  // namespace sluice
