// The interface to a place for pages of sequences that had to leave the KV cache.
#ifndef SLUICE_RUNTIME_KV_SWAP_SPACE_H_
#define SLUICE_RUNTIME_KV_SWAP_SPACE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

// Where preempted sequences leave pages that are cheaper to read back than to compute again. Every
// call is done when it returns.
class SwapSpace {
 public:
  virtual ~SwapSpace() = default;
  // Whether `pages` pages are better written and read back than `rows` rows computed again.
  virtual bool Pays(int64_t pages, int64_t rows) const = 0;
  // Copies pages of the KV cache out. Returns a slot for each, or nothing: there is no room, or it
  // failed.
  virtual std::optional<std::vector<int32_t>> Write(absl::Span<const int32_t> pages) = 0;
  // Copies slots to as many pages. Returns how many of the first hold what was written; those
  // behind may hold anything.
  virtual int64_t Read(absl::Span<const int32_t> slots, absl::Span<const int32_t> pages) = 0;
  virtual void Drop(absl::Span<const int32_t> slots) = 0;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_KV_SWAP_SPACE_H_
