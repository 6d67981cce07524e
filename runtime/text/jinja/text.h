// Text as Python's str sees it: code points, their classes, case, white space. All text is valid
// UTF-8; classes follow utf8proc's Unicode version.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_TEXT_H_
#define SLUICE_RUNTIME_TEXT_JINJA_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice::jinja {

bool IsValidUtf8(absl::string_view text);

// Decodes the code point at `*at` < text.size() and moves past it.
uint32_t NextCodePoint(absl::string_view text, size_t* at);
std::vector<uint32_t> CodePoints(absl::string_view text);
void AppendCodePoint(uint32_t code, std::string* out);

int64_t CountCodePoints(absl::string_view text);
// Returns the byte at which code point `index` <= CountCodePoints(text) starts.
size_t ByteOffset(absl::string_view text, int64_t index);

bool IsSpace(uint32_t code);      // str.isspace
bool IsPrintable(uint32_t code);  // repr leaves it as it is
bool IsAlpha(uint32_t code);
bool IsDecimal(uint32_t code);
bool IsDigit(uint32_t code);
bool IsNumeric(uint32_t code);
bool IsUpper(uint32_t code);
bool IsLower(uint32_t code);
bool IsTitle(uint32_t code);
bool IsWordCharacter(uint32_t code);  // \w of Python's re

// Uses full case mappings, except those of single languages.
std::string ToUpper(absl::string_view text);
std::string ToLower(absl::string_view text);
std::string Capitalize(absl::string_view text);
std::string ToTitle(absl::string_view text);  // str.title: each run of letters
std::string SwapCase(absl::string_view text);

// Removes white space, or code points of `chars` if it is not null, at the chosen ends.
absl::string_view Strip(absl::string_view text, const std::string* chars, bool left, bool right);

// Does str.split() or str.rsplit() at runs of white space, at most `limit` times if it is >= 0.
std::vector<absl::string_view> SplitAtSpace(absl::string_view text, int64_t limit, bool from_right);
std::vector<absl::string_view> SplitLines(absl::string_view text, bool keep_ends);

// Writes &, <, >, " and ' as MarkupSafe does.
std::string EscapeHtml(absl::string_view text);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_TEXT_H_
