// A request for each page of each layer, a few hundred at once.
#include "runtime/kv_swap.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/base/macros.h"
#include "absl/strings/str_cat.h"
#include "storage/manifest.h"

namespace sluice {
namespace {

// As many keep any disk busy; each is some hundred bytes in the engine's queue.
constexpr int64_t kRequestsAtOnce = 256;
constexpr int64_t kRequestBytes = 512;

}  // namespace

int64_t KvSwap::MemoryBytes(int64_t num_layers, int64_t num_slots) {
  return num_slots * static_cast<int64_t>(num_layers * sizeof(uint64_t) + sizeof(int32_t)) +
         std::max(kRequestsAtOnce, num_layers) * kRequestBytes;
}

KvSwap::KvSwap(const KvCache* cache, int64_t num_layers, int64_t num_slots, IoEngine* io, int file,
               const ResumeCosts& costs)
    : cache_(cache),
      num_layers_(num_layers),
      num_slots_(num_slots),
      file_(file),
      costs_(costs),
      batch_(io),
      checksums_(num_slots * num_layers) {
  for (int64_t slot = num_slots - 1; slot >= 0; --slot) free_.push_back(static_cast<int32_t>(slot));
}

bool KvSwap::Pays(int64_t pages, int64_t rows) const {
  ResumeCosts costs = costs_;
  costs.page_s = LearnedPageSeconds(costs_, num_layers_ * cache_->page_stride(), bytes_, seconds_);
  return status_.ok() && SwapSeconds(costs, pages) < RecomputeSeconds(costs, rows);
}

absl::Span<std::byte> KvSwap::PageAt(int64_t layer, int32_t page) const {
  return {cache_->LayerPages(layer) + page * cache_->page_stride(), static_cast<size_t>(cache_->page_stride())};
}

void KvSwap::Submit(bool write, int32_t slot, int32_t page) {
  for (int64_t layer = 0; layer < num_layers_; ++layer) {
    IoRequest request;
    request.file = file_;
    request.offset = (layer * num_slots_ + slot) * cache_->page_stride();
    request.buffer = PageAt(layer, page);
    request.bytes = cache_->page_stride();
    request.write = write;
    request.urgent = true;
    batch_.Submit(std::move(request));
  }
}

int64_t KvSwap::Copy(bool write, absl::Span<const int32_t> slots, absl::Span<const int32_t> pages) {
  ABSL_ASSERT(slots.size() == pages.size());
  const auto start = std::chrono::steady_clock::now();
  const auto pages_at_once = static_cast<size_t>(std::max<int64_t>(1, kRequestsAtOnce / num_layers_));
  int64_t copied = 0;
  while (!slots.empty()) {
    const size_t count = std::min(slots.size(), pages_at_once);
    for (size_t i = 0; i < count; ++i) Submit(write, slots[i], pages[i]);
    if (write) {  // while the disk works
      for (size_t i = 0; i < count; ++i) {
        for (int64_t layer = 0; layer < num_layers_; ++layer) {
          checksums_[slots[i] * num_layers_ + layer] = Checksum(PageAt(layer, pages[i]));
        }
      }
    }
    const std::vector<absl::Status> statuses = batch_.Wait();
    for (size_t i = 0; i < count; ++i) {
      for (int64_t layer = 0; layer < num_layers_; ++layer) {
        absl::Status status = statuses[i * num_layers_ + layer];
        if (status.ok() && !write &&
            Checksum(PageAt(layer, pages[i])) != checksums_[slots[i] * num_layers_ + layer]) {
          status = absl::DataLossError(absl::StrCat("the page of layer ", layer, " in slot ", slots[i],
                                                    " of the swap file is not what was written"));
        }
        if (status.ok()) continue;
        status_.Update(std::move(status));
        return copied;
      }
      ++copied;
    }
    slots.remove_prefix(count);
    pages.remove_prefix(count);
  }
  bytes_ += copied * num_layers_ * cache_->page_stride();
  seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return copied;
}

std::optional<std::vector<int32_t>> KvSwap::Write(absl::Span<const int32_t> pages) {
  if (!status_.ok() || free_.size() < pages.size()) return std::nullopt;
  std::vector<int32_t> slots(free_.rbegin(), free_.rbegin() + static_cast<int64_t>(pages.size()));
  free_.resize(free_.size() - pages.size());
  if (Copy(/*write=*/true, slots, pages) == static_cast<int64_t>(pages.size())) return slots;
  Drop(slots);
  return std::nullopt;
}

int64_t KvSwap::Read(absl::Span<const int32_t> slots, absl::Span<const int32_t> pages) {
  return Copy(/*write=*/false, slots, pages);
}

void KvSwap::Drop(absl::Span<const int32_t> slots) { free_.insert(free_.end(), slots.rbegin(), slots.rend()); }

}  // namespace sluice
