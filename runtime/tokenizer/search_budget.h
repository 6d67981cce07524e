// How long the regexes of a tokenizer may search in one text, all of them and all its parts
// together.
//
// PCRE2's own limits count steps back, of one match: a pattern can be slow without any, and slow
// matches add up.
#ifndef SLUICE_RUNTIME_TOKENIZER_SEARCH_BUDGET_H_
#define SLUICE_RUNTIME_TOKENIZER_SEARCH_BUDGET_H_

#include <chrono>
#include <cstddef>

namespace sluice {

// Belongs to the thread that makes it.
class SearchBudget {
 public:
  // The patterns of the field need less than 0.2 us a byte.
  explicit SearchBudget(size_t text_bytes)
      : SearchBudget(text_bytes,
                     std::chrono::seconds(5) + text_bytes * std::chrono::microseconds(4)) {}
  SearchBudget(size_t text_bytes, std::chrono::nanoseconds allowed);

  void StartSearch() { started_ = std::chrono::steady_clock::now(); }
  void StopSearch() { used_ += std::chrono::steady_clock::now() - started_; }

  // Whether all searches, with the one that was started, took more time of this thread than is
  // allowed.
  bool IsSpent();

  size_t text_bytes() const { return text_bytes_; }
  double allowed_seconds() const { return std::chrono::duration<double>(allowed_).count(); }

 private:
  std::chrono::nanoseconds ThreadTime() const;

  const size_t text_bytes_;
  const std::chrono::nanoseconds allowed_;
  const std::chrono::nanoseconds thread_time_at_start_;
  std::chrono::nanoseconds used_{0};  // by searches that have stopped
  std::chrono::steady_clock::time_point started_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TOKENIZER_SEARCH_BUDGET_H_
