// Adds seconds.
#include "runtime/kv/resume_cost.h"

#include <algorithm>

namespace sluice {
namespace {

constexpr double kExpectedBytes = 64 << 20;

}  // namespace

double SwapSeconds(const ResumeCosts& costs, int64_t pages) {
  return 2 * static_cast<double>(pages) * costs.page_s;
}

double RecomputeSeconds(const ResumeCosts& costs, int64_t rows) {
  return std::max(0.0, static_cast<double>(rows) - costs.free_rows) * costs.row_s;
}

double LearnedPageSeconds(const ResumeCosts& costs, int64_t page_bytes, int64_t bytes,
                          double seconds) {
  const double expected_pages = kExpectedBytes / static_cast<double>(page_bytes);
  const double pages = static_cast<double>(bytes) / static_cast<double>(page_bytes);
  return (expected_pages * costs.page_s + seconds) / (expected_pages + pages);
}

}  // namespace sluice
