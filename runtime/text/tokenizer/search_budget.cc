// Looks at the wall clock, which costs next to nothing, and asks for the thread's time only if the
// clock says too much.
#include "runtime/text/tokenizer/search_budget.h"

#include <time.h>

#include "absl/strings/str_cat.h"

namespace sluice {

SearchBudget::SearchBudget(size_t text_bytes, std::chrono::nanoseconds allowed)
    : text_bytes_(text_bytes), allowed_(allowed), thread_time_at_start_(ThreadTime()) {}

std::chrono::nanoseconds SearchBudget::ThreadTime() const {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

absl::Status SearchBudget::MemorySpent() const {
  return absl::OutOfRangeError(
      absl::StrCat("cutting the ", text_bytes_,
                   " bytes of the text into tokens takes more memory than there is for it"));
}

bool SearchBudget::IsSpent() {
  const auto now = std::chrono::steady_clock::now();
  if (used_ + (now - started_) <= allowed_) return false;
  const std::chrono::nanoseconds thread_time = ThreadTime() - thread_time_at_start_;
  if (thread_time > allowed_) return true;
  used_ = thread_time;  // the process had stopped, or others had the CPU
  started_ = now;
  return false;
}

}  // namespace sluice
