// Compiling and searching with PCRE2, in steps that a budget can end.
#include "runtime/text/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/unicode.h"

namespace sluice {
namespace {

constexpr size_t kMaxPatternBytes = 1 << 16;
// The most backtracking steps of one match. The patterns of the field need one or two for each byte
// that they pass.
constexpr uint32_t kMatchLimit = 10'000'000;
uint32_t LastMatchLimit(size_t text_bytes) {
  return static_cast<uint32_t>(std::clamp<size_t>(4 * text_bytes, kMatchLimit, UINT32_MAX));
}
constexpr uint32_t kHeapLimitKib = 64 << 10;

// A step back may pass the whole text again, and nothing can stop PCRE2 in between. So at first a
// match gets fewer steps, the fewer the longer the text is, and a search covers only a part of the
// places where a match may begin, a smaller one the longer the text is: each call takes a fraction
// of a second.
uint32_t FirstMatchLimit(size_t text_bytes) {
  return static_cast<uint32_t>(
      std::clamp<size_t>(500'000'000 / (text_bytes + 1), 1000, kMatchLimit));
}
size_t StretchBytes(size_t text_bytes) {
  return std::clamp<size_t>((size_t{4} << 20) / (text_bytes + 1), 1, 64);
}
// Calls, or callouts, from one look at the budget to the next.
uint32_t CallsPerLook(size_t text_bytes) {
  return static_cast<uint32_t>(std::clamp<size_t>((size_t{1} << 20) / (text_bytes + 1), 1, 64));
}

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

// Compiles a pattern in PCRE2's syntax. Without JIT (which a CPU or a policy may lack) pcre2_match
// interprets: slower, with the same results.
absl::StatusOr<pcre2_code*> CompilePcre2(const std::string& pattern, uint32_t more_options) {
  std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C |
                        PCRE2_USE_OFFSET_LIMIT | more_options,
                    &error, &offset, context.get());
  if (code == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("the pattern \"", pattern.substr(0, 200),
                                                   "\" at byte ", offset, ": ",
                                                   Pcre2Message(error)));
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return code;
}

struct FreePcre2Code {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};

// Searches one text from one start after the other.
class Searcher {
 public:
  Searcher(const pcre2_code* code, const std::string* pattern, absl::string_view text,
           SearchBudget* budget)
      : code_(code),
        pattern_(pattern),
        text_(text),
        budget_(budget),
        data_(pcre2_match_data_create(1, nullptr)),
        context_(pcre2_match_context_create(nullptr)),
        calls_per_look_(CallsPerLook(text.size())) {
    if (!ready()) return;
    pcre2_set_heap_limit(context_.get(), kHeapLimitKib);
    pcre2_set_callout(context_.get(), &OnCallout, this);
  }

  bool ready() const { return data_ != nullptr && context_ != nullptr; }
  TextRange match() const {
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data_.get());
    return {ends[0], ends[1]};
  }

  // Whether a match begins from `start` to `last`; ResourceExhausted as in FindAll().
  absl::StatusOr<bool> Find(size_t start, size_t last) {
    pcre2_set_offset_limit(context_.get(), last);
    pcre2_set_match_limit(context_.get(), FirstMatchLimit(text_.size()));
    int found = Match(code_, start, 0);
    if (found == PCRE2_ERROR_MATCHLIMIT || found == PCRE2_ERROR_JIT_STACKLIMIT) {
      // Searches again, with all the steps that a match may take, and with code that looks at the
      // budget at each item of the pattern. JIT has 32 KiB of stack; the interpreter has the heap.
      SLUICE_RETURN_IF_ERROR(CompileGuarded());
      pcre2_set_match_limit(context_.get(), LastMatchLimit(text_.size()));
      if (found != PCRE2_ERROR_JIT_STACKLIMIT) found = Match(guarded_.get(), start, 0);
      if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = Match(guarded_.get(), start, PCRE2_NO_JIT);
    }
    if (found == PCRE2_ERROR_CALLOUT || LookSaysSpent()) return Spent();
    if (found == PCRE2_ERROR_NOMATCH) return false;
    if (found >= 0) return true;
    return absl::ResourceExhaustedError(absl::StrCat(
        "searching with the pattern \"", pattern_->substr(0, 200), "\": ", Pcre2Message(found)));
  }

 private:
  static int OnCallout(pcre2_callout_block*, void* searcher) {
    return static_cast<Searcher*>(searcher)->LookSaysSpent() ? PCRE2_ERROR_CALLOUT : 0;
  }

  // Whether it is time to look at the budget, and it is spent.
  bool LookSaysSpent() { return ++calls_ % calls_per_look_ == 0 && budget_->IsSpent(); }

  int Match(const pcre2_code* code, size_t start, uint32_t options) {
    // The text is valid, and checking it again for each match would be quadratic.
    return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text_.data()), text_.size(), start,
                       PCRE2_NO_UTF_CHECK | options, data_.get(), context_.get());
  }

  absl::Status CompileGuarded() {
    if (guarded_ != nullptr) return absl::OkStatus();
    SLUICE_ASSIGN_OR_RETURN(const std::string rewritten, OnigurumaToPcre2(*pattern_));
    SLUICE_ASSIGN_OR_RETURN(pcre2_code* const code, CompilePcre2(rewritten, PCRE2_AUTO_CALLOUT));
    guarded_.reset(code);
    return absl::OkStatus();
  }

  absl::Status Spent() const {
    return absl::ResourceExhaustedError(
        absl::StrFormat("the pattern \"%s\" has searched a text of %d bytes for %.1f s, the most "
                        "that is allowed; write a pattern that "
                        "repeats less, or give a shorter text",
                        absl::Utf8SafeCEscape(pattern_->substr(0, 100)), budget_->text_bytes(),
                        budget_->allowed_seconds()));
  }

  const pcre2_code* code_;
  const std::string* pattern_;  // Oniguruma's
  absl::string_view text_;
  SearchBudget* budget_;
  std::unique_ptr<pcre2_match_data, FreeMatchData> data_;
  std::unique_ptr<pcre2_match_context, FreeMatchContext> context_;
  std::unique_ptr<pcre2_code, FreePcre2Code> guarded_;
  const uint32_t calls_per_look_;
  uint32_t calls_ = calls_per_look_ - 1;  // the first call looks: many texts may be short
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
  SLUICE_ASSIGN_OR_RETURN(pcre2_code* const code, CompilePcre2(rewritten, 0));
  return Regex(code, std::string(pattern));
}

absl::Status Regex::FindAll(absl::string_view text, SearchBudget* budget,
                            std::vector<TextRange>* matches) const {
  budget->StartSearch();
  const absl::Status status = Search(text, budget, matches);
  budget->StopSearch();
  return status;
}

absl::Status Regex::Search(absl::string_view text, SearchBudget* budget,
                           std::vector<TextRange>* matches) const {
  Searcher searcher(static_cast<const pcre2_code*>(code_.get()), &pattern_, text, budget);
  if (!searcher.ready()) return absl::ResourceExhaustedError("out of memory");
  // \G is the place where a search starts, so that such a search cannot go part by part.
  const size_t stretch =
      absl::StrContains(pattern_, "\\G") ? text.size() : StretchBytes(text.size());
  bool matched_before = false;
  size_t last_end = 0;
  for (size_t start = 0; start <= text.size();) {
    SLUICE_ASSIGN_OR_RETURN(const bool found, searcher.Find(start, start + stretch));
    if (!found) {
      start += stretch + 1;
      while (start < text.size() && IsUtf8Continuation(text[start])) ++start;
      continue;
    }
    const TextRange match = searcher.match();
    if (match.begin < start || match.end < match.begin) {
      return absl::InvalidArgumentError(
          absl::StrCat("the pattern \"", pattern_.substr(0, 200), "\" moves a match backwards"));
    }
    const bool empty = match.begin == match.end;
    if (!empty || !matched_before || match.begin != last_end) matches->push_back(match);
    SLUICE_RETURN_IF_ERROR(budget->CheckMemory(matches->size(), kBytesPerMatch));
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
