// Counts pages by a hash that goes on from page to page.
#include "runtime/batch/prefix_sample.h"

#include "absl/hash/hash.h"
#include "kernels/ops.h"

namespace sluice {

void PrefixSample::Add(absl::Span<const int32_t> prompt, int64_t first_logit, int64_t copies) {
  sequences_ += copies;
  uint64_t prefix = 0;
  for (int64_t end = kKvPageTokens; end <= first_logit; end += kKvPageTokens) {
    prefix = absl::HashOf(prefix, prompt.subspan(end - kKvPageTokens, kKvPageTokens));
    sequences_of_[prefix] += copies;
  }
}

double PrefixSample::shared_pages_each() const {
  int64_t pages = 0;
  for (const auto& [prefix, sequences] : sequences_of_) pages += sequences > 1 ? sequences : 0;
  return sequences_ > 0 ? static_cast<double>(pages) / static_cast<double>(sequences_) : 0;
}

int64_t PrefixSample::shared_pages() const {
  int64_t pages = 0;
  for (const auto& [prefix, sequences] : sequences_of_) pages += sequences > 1;
  return pages;
}

}  // namespace sluice
