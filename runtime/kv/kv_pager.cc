// Two halves of rooms, filled and emptied in turn.
#include "runtime/kv/kv_pager.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace sluice {

int64_t KvPager::MemoryBytes(int64_t num_disk_pages) {
  // A read and a write of each page on their way, its use, and entries of tables: two, as some
  // pages are shared.
  return num_disk_pages * static_cast<int64_t>(2 * KvFile::kRequestBytes + 2 * sizeof(PageUse) +
                                               2 * sizeof(Run) + 2 * sizeof(int32_t));
}

KvPager::KvPager(const KvCache* cache, KvFile* file)
    : cache_(cache), file_(file), even_(file->io()), odd_(file->io()) {}

absl::Span<std::byte> KvPager::RoomFor(int64_t layer, int32_t page, int32_t count) const {
  return {cache_->PageAt(layer, cache_->RoomFor(layer, page)),
          static_cast<size_t>(count * cache_->PageBytes(layer))};
}

template <typename Chosen>
void KvPager::Submit(int layer, bool write, const Chosen& chosen) {
  Half& half = HalfOf(layer);
  half.layer = layer;
  half.writes = write;
  for (const PageUse& use : uses_) {
    if (!chosen(use)) continue;
    if (half.runs.empty() || half.runs.back().first_page + half.runs.back().count != use.page) {
      half.runs.push_back({use.page, 0});
    }
    ++half.runs.back().count;
  }
  for (const Run& run : half.runs) {
    const absl::Span<std::byte> rooms = RoomFor(layer, run.first_page, run.count);
    (write ? counters_.bytes_written : counters_.bytes_read) += static_cast<int64_t>(rooms.size());
    half.batch.Submit(file_->Request(write, layer, cache_->SlotOf(run.first_page), rooms));
  }
}

absl::Status KvPager::Settle(Half& half) {
  const std::vector<Run> runs = std::exchange(half.runs, {});
  if (runs.empty()) return absl::OkStatus();
  const auto start = std::chrono::steady_clock::now();
  const std::vector<absl::Status> statuses = half.batch.Wait();
  counters_.wait_seconds +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (size_t i = 0; i < runs.size(); ++i) {
    if (statuses[i].ok()) continue;
    const int32_t slot = cache_->SlotOf(runs[i].first_page);
    return absl::Status(statuses[i].code(),
                        absl::StrCat("keys and values of layer ", half.layer, " on disk, pages ",
                                     slot, " to ", slot + runs[i].count - 1, ", could not be ",
                                     half.writes ? "written" : "read", ": ", statuses[i].message(),
                                     half.writes ? "; make room there, or give --kv-disk 0" : ""));
  }
  return absl::OkStatus();
}

absl::Status KvPager::Begin(std::vector<PassSpan> spans) {
  // Where the pass before this one failed, so may what it left behind.
  for (Half* half : {&even_, &odd_}) Settle(*half).IgnoreError();
  spans_ = std::move(spans);
  uses_ = PagesOf(spans_, cache_->first_disk_page());
  if (uses_.empty()) return absl::OkStatus();
  tables_.resize(spans_.size());
  Submit(0, /*write=*/false, [this](const PageUse& use) { return use.IsRead(WindowOf(0)); });
  return absl::OkStatus();
}

absl::StatusOr<std::byte*> KvPager::Enter(int layer, absl::Span<AttentionRow> rows) {
  if (uses_.empty()) return cache_->LayerPages(layer);
  SLUICE_RETURN_IF_ERROR(Settle(HalfOf(layer + 1)));
  if (layer + 1 < file_->num_layers()) {
    Submit(layer + 1, /*write=*/false,
           [this, layer](const PageUse& use) { return use.IsRead(WindowOf(layer + 1)); });
  }
  SLUICE_RETURN_IF_ERROR(Settle(HalfOf(layer)));
  for (const PageUse& use : uses_) {
    if (!use.IsRead(WindowOf(layer))) continue;
    SLUICE_RETURN_IF_ERROR(
        file_->Check(layer, cache_->SlotOf(use.page), RoomFor(layer, use.page, 1)));
  }
  for (size_t i = 0; i < spans_.size(); ++i) {
    tables_[i].assign(spans_[i].pages, spans_[i].pages + spans_[i].last / kKvPageTokens + 1);
    for (int32_t& page : tables_[i]) {
      if (cache_->OnDisk(page)) page = cache_->RoomFor(layer, page);
    }
  }
  UseTables(spans_, tables_, rows);
  return cache_->LayerPages(layer);
}

absl::Status KvPager::Appended(int layer) {
  if (uses_.empty()) return absl::OkStatus();
  Submit(layer, /*write=*/true, [](const PageUse& use) { return use.changes; });
  for (const PageUse& use : uses_) {  // while the disk works
    if (use.changes) file_->Note(layer, cache_->SlotOf(use.page), RoomFor(layer, use.page, 1));
  }
  return absl::OkStatus();
}

absl::Status KvPager::End() {
  SLUICE_RETURN_IF_ERROR(Settle(even_));
  return Settle(odd_);
}

}  // namespace sluice
