// Measures how much of the prompts of a sample begins alike: those pages of the KV cache will be
// shared.
#ifndef SLUICE_RUNTIME_BATCH_PREFIX_SAMPLE_H_
#define SLUICE_RUNTIME_BATCH_PREFIX_SAMPLE_H_

#include <cstdint>
#include <map>

#include "absl/types/span.h"

namespace sluice {

class PrefixSample {
 public:
  // Adds a prompt of `copies` sequences (a request's n), whose logits are wanted from row
  // `first_logit` on: pages in front of that row can be shared.
  void Add(absl::Span<const int32_t> prompt, int64_t first_logit, int64_t copies);

  int64_t sequences() const { return sequences_; }
  // Returns how many full pages of a sequence another one has, too, on average.
  double shared_pages_each() const;
  // Returns how many different pages those are.
  int64_t shared_pages() const;

 private:
  // The number of sequences that have a page, by the hash of all tokens from the first one to the
  // page's end. A wrong hash does no harm here, as only sizes follow from it.
  std::map<uint64_t, int64_t> sequences_of_;
  int64_t sequences_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_PREFIX_SAMPLE_H_
