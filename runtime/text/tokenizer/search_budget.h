// Limits the time that a tokenizer's regexes may search in one text, all of them in all its parts
// together, and the memory that the text's parts may take.
//
// PCRE2's own limits count the steps back of one match: a pattern can be slow without any, and slow
// matches add up.
// matches add up.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_SEARCH_BUDGET_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_SEARCH_BUDGET_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"

namespace sluice {

// The most memory that a match takes while a text is cut at it: the match, the pieces on both
// sides, words before and after the step, and room that vectors grow into.
inline constexpr int64_t kBytesPerMatch = 160;

// The thread that makes it uses it.
class SearchBudget {
 public:
  // The patterns of the field need less than 0.2 us a byte.
  explicit SearchBudget(size_t text_bytes)
      : SearchBudget(text_bytes,
                     std::chrono::seconds(5) + text_bytes * std::chrono::microseconds(4)) {}
  SearchBudget(size_t text_bytes, std::chrono::nanoseconds allowed);

  void StartSearch() { started_ = std::chrono::steady_clock::now(); }
  void StopSearch() { used_ += std::chrono::steady_clock::now() - started_; }

  // Returns whether all searches, with the current one, took more of this thread's time than is
  // allowed.
  bool IsSpent();

  // Limits memory for parts of the text to `bytes` from now on.
  void LimitMemory(int64_t bytes) { memory_bytes_ = bytes; }
  // OutOfRange: `count` parts of `bytes_each` take more than that.
  absl::Status CheckMemory(size_t count, int64_t bytes_each) const {
    return static_cast<int64_t>(count) <= memory_bytes_ / bytes_each ? absl::OkStatus()
                                                                     : MemorySpent();
  }

  size_t text_bytes() const { return text_bytes_; }
  double allowed_seconds() const { return std::chrono::duration<double>(allowed_).count(); }

 private:
  std::chrono::nanoseconds ThreadTime() const;
  absl::Status MemorySpent() const;

  const size_t text_bytes_;
  const std::chrono::nanoseconds allowed_;
  const std::chrono::nanoseconds thread_time_at_start_;
  std::chrono::nanoseconds used_{0};  // by searches that have stopped
  std::chrono::steady_clock::time_point started_;
  int64_t memory_bytes_ = std::numeric_limits<int64_t>::max();
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_SEARCH_BUDGET_H_
