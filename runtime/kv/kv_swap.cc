// A request for each page of each layer, a few hundred at once.
#include "runtime/kv/kv_swap.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/base/macros.h"
#include "kernels/base/status_macros.h"

namespace sluice {
namespace {

// As many keep any disk busy.
constexpr int64_t kRequestsAtOnce = 256;

}  // namespace

int64_t KvSwap::MemoryBytes(int64_t num_layers, int64_t num_slots) {
  return KvFile::MemoryBytes(num_layers, num_slots) +
         num_slots * static_cast<int64_t>(sizeof(int32_t)) +
         std::max(kRequestsAtOnce, num_layers) * KvFile::kRequestBytes;
}

KvSwap::KvSwap(const KvCache* cache, KvFile* file, const ResumeCosts& costs)
    : cache_(cache),
      file_(file),
      num_layers_(file->num_layers()),
      costs_(costs),
      batch_(file->io()) {
  for (int64_t slot = file->num_slots() - 1; slot >= cache->num_disk_pages(); --slot) {
    free_.push_back(static_cast<int32_t>(slot));
  }
}

bool KvSwap::Pays(int64_t pages, int64_t rows) const {
  ResumeCosts costs = costs_;
  costs.page_s = LearnedPageSeconds(costs_, cache_->layout().page_bytes(), bytes_, seconds_);
  return status_.ok() && SwapSeconds(costs, pages) < RecomputeSeconds(costs, rows);
}

absl::Span<std::byte> KvSwap::PageAt(int64_t layer, int32_t page) const {
  return {cache_->PageAt(layer, page), static_cast<size_t>(cache_->PageBytes(layer))};
}

int64_t KvSwap::CopyMemory(bool write, absl::Span<const int32_t> slots,
                           absl::Span<const int32_t> pages) {
  for (size_t i = 0; i < slots.size(); ++i) {
    for (int64_t layer = 0; layer < num_layers_; ++layer) {
      batch_.Submit(file_->Request(write, layer, slots[i], PageAt(layer, pages[i])));
    }
  }
  if (write) {  // while the disk works
    for (size_t i = 0; i < slots.size(); ++i) {
      for (int64_t layer = 0; layer < num_layers_; ++layer)
        file_->Note(layer, slots[i], PageAt(layer, pages[i]));
    }
  }
  const std::vector<absl::Status> statuses = batch_.Wait();
  for (size_t i = 0; i < slots.size(); ++i) {
    for (int64_t layer = 0; layer < num_layers_; ++layer) {
      absl::Status status = statuses[i * num_layers_ + layer];
      if (status.ok() && !write) status = file_->Check(layer, slots[i], PageAt(layer, pages[i]));
      if (status.ok()) continue;
      status_.Update(std::move(status));
      return static_cast<int64_t>(i);
    }
  }
  return static_cast<int64_t>(slots.size());
}

absl::Status KvSwap::CopyWithinFile(int32_t from_slot, int32_t to_slot) {
  const absl::Span<std::byte> rooms = cache_->Rooms();
  const int64_t room_bytes = cache_->layout().largest_page_bytes();
  const int64_t at_once =
      std::min(static_cast<int64_t>(rooms.size()) / room_bytes, kRequestsAtOnce);
  for (int64_t first = 0; first < num_layers_; first += at_once) {
    const int64_t count = std::min(at_once, num_layers_ - first);
    const auto room = [&](int64_t i) {
      return rooms.subspan(i * room_bytes, cache_->PageBytes(first + i));
    };
    for (int64_t i = 0; i < count; ++i)
      batch_.Submit(file_->Request(/*write=*/false, first + i, from_slot, room(i)));
    const std::vector<absl::Status> reads = batch_.Wait();
    for (int64_t i = 0; i < count; ++i) {
      SLUICE_RETURN_IF_ERROR(reads[i]);
      SLUICE_RETURN_IF_ERROR(file_->Check(first + i, from_slot, room(i)));
    }
    for (int64_t i = 0; i < count; ++i) {
      file_->Note(first + i, to_slot, room(i));
      batch_.Submit(file_->Request(/*write=*/true, first + i, to_slot, room(i)));
    }
    for (const absl::Status& written : batch_.Wait()) SLUICE_RETURN_IF_ERROR(written);
  }
  return absl::OkStatus();
}

int64_t KvSwap::Copy(bool write, absl::Span<const int32_t> slots, absl::Span<const int32_t> pages) {
  ABSL_ASSERT(slots.size() == pages.size());
  const auto start = std::chrono::steady_clock::now();
  const auto pages_at_once =
      static_cast<size_t>(std::max<int64_t>(1, kRequestsAtOnce / num_layers_));
  const auto on_disk = [this](int32_t page) { return cache_->OnDisk(page); };
  size_t copied = 0;
  while (copied < pages.size()) {
    if (on_disk(pages[copied])) {
      const int32_t slot = cache_->SlotOf(pages[copied]);
      absl::Status status =
          write ? CopyWithinFile(slot, slots[copied]) : CopyWithinFile(slots[copied], slot);
      if (!status.ok()) {
        status_.Update(std::move(status));
        return static_cast<int64_t>(copied);
      }
      ++copied;
      continue;
    }
    const absl::Span<const int32_t> rest = pages.subspan(copied, pages_at_once);
    const size_t count = std::find_if(rest.begin(), rest.end(), on_disk) - rest.begin();
    const int64_t good = CopyMemory(write, slots.subspan(copied, count), rest.first(count));
    copied += static_cast<size_t>(good);
    if (good < static_cast<int64_t>(count)) return static_cast<int64_t>(copied);
  }
  bytes_ += static_cast<int64_t>(copied) * cache_->layout().page_bytes();
  seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return static_cast<int64_t>(copied);
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

void KvSwap::Drop(absl::Span<const int32_t> slots) {
  free_.insert(free_.end(), slots.rbegin(), slots.rend());
}

}  // namespace sluice
