// How much of the prompts of a sample begins like others of it: pages of the KV cache that they
// will share.
#ifndef SLUICE_RUNTIME_BATCH_PREFIX_SAMPLE_H_
#define SLUICE_RUNTIME_BATCH_PREFIX_SAMPLE_H_

#include <cstdint>
#include <map>

#include "absl/types/span.h"

namespace sluice {

class PrefixSample {
 public:
  // A prompt of `copies` sequences (a request's n), whose logits are wanted from row `first_logit`
  // on: pages in front of that can be another sequence's.
  void Add(absl::Span<const int32_t> prompt, int64_t first_logit, int64_t copies);

  int64_t sequences() const { return sequences_; }
  // Full pages of a sequence that another one has, too, on average.
  double shared_pages_each() const;
  // How many different pages those are.
  int64_t shared_pages() const;

 private:
  // By the hash of all tokens from the first one to the page's end: how many sequences have it. A
  // hash may be wrong here, as nothing but sizes follows from it.
  std::map<uint64_t, int64_t> sequences_of_;
  int64_t sequences_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_PREFIX_SAMPLE_H_
