// Compiling and searching with PCRE2, with limits on what one search may cost.
#include "runtime/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/status_macros.h"
#include "runtime/tokenizer/unicode.h"

namespace sluice {
namespace {

constexpr size_t kMaxPatternBytes = 1 << 16;
// Backtracking steps of one match. The patterns of the field need a few for each byte they pass.
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimitKib = 64 << 10;

std::string Pcre2Message(int code) {
  PCRE2_UCHAR message[160];
  if (pcre2_get_error_message(code, message, sizeof(message)) < 0) return absl::StrCat(code);
  return reinterpret_cast<const char*>(message);
}

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

void Regex::FreeCode::operator()(void* code) const {
  pcre2_code_free(static_cast<pcre2_code*>(code));
}

absl::StatusOr<Regex> Regex::Compile(absl::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a pattern of ", pattern.size(), " bytes; at most ", kMaxPatternBytes));
  }
  SLUICE_ASSIGN_OR_RETURN(const std::string rewritten, OnigurumaToPcre2(pattern));
  std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(rewritten.data()), rewritten.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
      context.get());
  if (code == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("the pattern \"", rewritten.substr(0, 200),
                                                   "\" at byte ", offset, ": ",
                                                   Pcre2Message(error)));
  }
  // Where there is no JIT (a CPU or a policy without it) pcre2_match interprets: slower, the same.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return Regex(code, std::string(pattern));
}

absl::Status Regex::FindAll(absl::string_view text, std::vector<TextRange>* matches) const {
  const pcre2_code* code = static_cast<const pcre2_code*>(code_.get());
  std::unique_ptr<pcre2_match_data, FreeMatchData> data(pcre2_match_data_create(1, nullptr));
  std::unique_ptr<pcre2_match_context, FreeMatchContext> context(
      pcre2_match_context_create(nullptr));
  if (data == nullptr || context == nullptr) return absl::ResourceExhaustedError("out of memory");
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data.get());
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  bool matched_before = false;
  size_t last_end = 0;
  for (size_t start = 0; start <= text.size();) {
    // The text is valid, and checking it again for each match would be quadratic.
    int found = pcre2_match(code, subject, text.size(), start, PCRE2_NO_UTF_CHECK, data.get(),
                            context.get());
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {  // 32 KiB of stack; the interpreter has the heap
      found = pcre2_match(code, subject, text.size(), start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                          data.get(), context.get());
    }
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) {
      return absl::ResourceExhaustedError(
          absl::StrCat("searching with the pattern \"", pattern_.substr(0, 200), "\": ",
                       Pcre2Message(found)));
    }
    const TextRange match = {ends[0], ends[1]};
    if (match.begin < start || match.end < match.begin) {
      return absl::InvalidArgumentError(
          absl::StrCat("the pattern \"", pattern_.substr(0, 200), "\" moves a match backwards"));
    }
    const bool empty = match.begin == match.end;
    if (!empty || !matched_before || match.begin != last_end) matches->push_back(match);
    matched_before = true;
    last_end = match.end;
    start = match.end;
    if (empty) start += start < text.size() ? Utf8Size(text[start]) : 1;
  }
  return absl::OkStatus();
}

int64_t Regex::MemoryBytes() const {
  size_t code_bytes = 0, jit_bytes = 0;
  const pcre2_code* code = static_cast<const pcre2_code*>(code_.get());
  pcre2_pattern_info(code, PCRE2_INFO_SIZE, &code_bytes);
  pcre2_pattern_info(code, PCRE2_INFO_JITSIZE, &jit_bytes);
  return static_cast<int64_t>(code_bytes + jit_bytes + pattern_.capacity());
}

}  // namespace sluice
