// Two halves of slots, and the order of what is queued for them.
#include "runtime/kv/kv_staging.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {
int64_t KvStaging::MostPages(int64_t widest, int64_t num_sequences, int64_t pass_rows,
                             int64_t kv_pages) {
  if (widest == 0) return kv_pages;
  // A sequence with r rows sees widest - 1 + r positions, which lie in (that + 62) / 64 + 1 pages
  // at most.
  const int64_t sequences = std::min(num_sequences, pass_rows);
  return std::min(
      kv_pages, (sequences * (widest + kKvPageTokens - 3) + pass_rows) / kKvPageTokens + sequences);
}

int64_t KvStaging::DeviceBytes(const StateLayout& layout, int64_t num_slots, int64_t tree_rooms) {
  return HostBuffer::RoundedBytes(2 * num_slots * layout.largest_page_bytes() +
                                  KvCache::RoomBytes(layout, tree_rooms));
}

int64_t KvStaging::HostBytes(int64_t kv_pages) {
  // A use, and entries of tables: two, as some pages are shared.
  return kv_pages * static_cast<int64_t>(sizeof(PageUse) + 2 * sizeof(int32_t));
}

KvStaging::KvStaging(const KvCache* cache, ComputePlace* place, DeviceLink* link, int64_t num_slots)
    : cache_(cache),
      place_(place),
      link_(link),
      num_slots_(num_slots),
      widest_(cache->layout().WidestWindow()),
      events_(place->device()) {}

absl::StatusOr<std::unique_ptr<KvStaging>> KvStaging::Create(const KvCache* cache,
                                                             ComputePlace* place, DeviceLink* link,
                                                             int64_t num_slots,
                                                             int64_t tree_rooms) {
  std::unique_ptr<KvStaging> staging(new KvStaging(cache, place, link, num_slots));
  const int64_t half_bytes = num_slots * cache->layout().largest_page_bytes();
  SLUICE_ASSIGN_OR_RETURN(
      staging->memory_,
      place->Allocate(2 * half_bytes + KvCache::RoomBytes(cache->layout(), tree_rooms)));
  staging->tree_rooms_ = staging->memory_.data() + 2 * half_bytes;
  Device* const device = place->device();
  for (int i = 0; i < 2; ++i) {
    Half& half = staging->halves_[i];
    half.memory = staging->memory_.data() + i * half_bytes;
    for (std::unique_ptr<Event>* event : {&half.appended, &half.attended}) {
      SLUICE_ASSIGN_OR_RETURN(*event, device->NewEvent());
    }
  }
  SLUICE_ASSIGN_OR_RETURN(staging->out_, device->NewEvent());
  SLUICE_ASSIGN_OR_RETURN(staging->copies_, device->NewStream());
  // Times are counted from here.
  SLUICE_ASSIGN_OR_RETURN(staging->last_copy_, staging->events_.Take());
  SLUICE_RETURN_IF_ERROR(staging->copies_->Record(staging->last_copy_.get()));
  SLUICE_RETURN_IF_ERROR(staging->last_copy_->Wait());
  staging->clock_ = DeviceClock(std::chrono::steady_clock::now());
  return staging;
}

KvStaging::~KvStaging() {
  // Errors were told, or nobody waits for them any more.
  place_->stream()->Finish().IgnoreError();
  if (copies_ != nullptr) copies_->Finish().IgnoreError();
}

template <typename Chosen, typename CopyRun>
absl::Status KvStaging::CopyRuns(int layer, const Chosen& chosen, const CopyRun& copy) const {
  const int64_t page_bytes = cache_->PageBytes(layer);
  for (size_t slot = 0; slot < uses_.size();) {
    size_t end = slot;
    while (end < uses_.size() && chosen(uses_[end]) &&
           uses_[end].page - uses_[slot].page == static_cast<int32_t>(end - slot)) {
      ++end;
    }
    if (end == slot) {
      ++slot;
      continue;
    }
    SLUICE_RETURN_IF_ERROR(copy(static_cast<int64_t>(slot) * page_bytes, uses_[slot].page,
                                static_cast<int64_t>(end - slot) * page_bytes));
    slot = end;
  }
  return absl::OkStatus();
}

absl::Status KvStaging::BeginCopy(int layer, bool in) {
  Copy copy = {.layer = layer, .in = in, .asked = std::chrono::steady_clock::now()};
  SLUICE_ASSIGN_OR_RETURN(copy.begun, events_.Take());
  SLUICE_ASSIGN_OR_RETURN(copy.done, events_.Take());
  SLUICE_RETURN_IF_ERROR(copies_->Record(copy.begun.get()));
  copies_of_pass_.push_back(std::move(copy));
  return absl::OkStatus();
}

absl::Status KvStaging::EndCopy() {
  const Copy& copy = copies_of_pass_.back();
  (copy.in ? counters_.bytes_in : counters_.bytes_out) += copy.bytes;
  if (copy.bytes > 0) link_->Begin(copy.bytes, std::chrono::steady_clock::now());
  return copies_->Record(copy.done.get());
}

absl::Status KvStaging::CopyIn(int layer) {
  Half& half = HalfOf(layer);
  SLUICE_RETURN_IF_ERROR(copies_->WaitFor(half.attended.get()));
  SLUICE_RETURN_IF_ERROR(BeginCopy(layer, /*in=*/true));
  half.in = copies_of_pass_.size() - 1;
  SLUICE_RETURN_IF_ERROR(CopyRuns(
      layer, [&](const PageUse& use) { return use.IsRead(WindowOf(layer)); },
      [&](int64_t offset, int32_t page, int64_t bytes) {
        copies_of_pass_.back().bytes += bytes;
        return copies_->CopyToDevice(half.memory + offset, cache_->PageAt(layer, page), bytes);
      }));
  return EndCopy();
}

absl::Status KvStaging::TimeCopies() {
  const absl::Cleanup looked_at = [this] {
    copies_of_pass_.clear();
  };  // once, even where that fails
  for (const Copy& copy : copies_of_pass_) {
    SLUICE_ASSIGN_OR_RETURN(const double pause, copy.begun->SecondsSince(last_copy_.get()));
    SLUICE_ASSIGN_OR_RETURN(const double seconds, copy.done->SecondsSince(copy.begun.get()));
    last_copy_ = copy.done;
    const DeviceClock::Span span =
        clock_.Place(pause, seconds, copy.asked, std::chrono::steady_clock::now());
    if (copy.come != nullptr) {
      SLUICE_RETURN_IF_ERROR(copy.come->Wait());
      SLUICE_ASSIGN_OR_RETURN(const double late, copy.done->SecondsSince(copy.come.get()));
      counters_.wait_seconds += std::max(0.0, late);
    }
    if (copy.bytes == 0) continue;
    counters_.copy_seconds += std::max(0.0, seconds);
    moves_.push_back({copy.layer, copy.in, copy.bytes, span.begin, span.end});
  }
  return absl::OkStatus();
}

absl::Status KvStaging::Begin(std::vector<PassSpan> spans) {
  copies_of_pass_.clear();
  spans_ = std::move(spans);
  uses_ = PagesOf(spans_, 0);
  std::erase_if(uses_, [this](const PageUse& use) { return !use.SeenThrough(widest_); });
  if (static_cast<int64_t>(uses_.size()) > num_slots_) {
    return absl::InternalError(absl::StrCat("a pass over ", uses_.size(),
                                            " pages of the KV cache: the device has room ", "for ",
                                            num_slots_));
  }
  tables_.resize(spans_.size());
  for (size_t i = 0; i < spans_.size(); ++i) {
    tables_[i].clear();
    for (int64_t j = 0; j <= spans_[i].last / kKvPageTokens; ++j) {
      const int32_t page = spans_[i].pages[j];
      const auto use = std::lower_bound(uses_.begin(), uses_.end(), page,
                                        [](const PageUse& a, int32_t b) { return a.page < b; });
      const bool found = use != uses_.end() && use->page == page;
      tables_[i].push_back(found ? static_cast<int32_t>(use - uses_.begin()) : -1);
    }
  }
  for (int layer = 0; layer < std::min(2, num_layers()); ++layer) {
    SLUICE_RETURN_IF_ERROR(CopyIn(layer));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::byte*> KvStaging::Enter(int layer, absl::Span<AttentionRow> rows) {
  Half& half = HalfOf(layer);
  Copy& in = copies_of_pass_[half.in];
  SLUICE_ASSIGN_OR_RETURN(in.come, events_.Take());
  SLUICE_RETURN_IF_ERROR(place_->stream()->Record(in.come.get()));
  SLUICE_RETURN_IF_ERROR(place_->stream()->WaitFor(in.done.get()));
  UseTables(spans_, tables_, rows);
  return half.memory;
}

absl::Status KvStaging::Appended(int layer) {
  Half& half = HalfOf(layer);
  SLUICE_RETURN_IF_ERROR(place_->stream()->Record(half.appended.get()));
  SLUICE_RETURN_IF_ERROR(copies_->WaitFor(half.appended.get()));
  SLUICE_RETURN_IF_ERROR(BeginCopy(layer, /*in=*/false));
  SLUICE_RETURN_IF_ERROR(CopyRuns(
      layer, [](const PageUse& use) { return use.changes; },
      [&](int64_t offset, int32_t page, int64_t bytes) {
        copies_of_pass_.back().bytes += bytes;
        return copies_->CopyToHost(cache_->PageAt(layer, page), half.memory + offset, bytes);
      }));
  return EndCopy();
}

absl::Status KvStaging::Attended(int layer) {
  SLUICE_RETURN_IF_ERROR(place_->stream()->Record(HalfOf(layer).attended.get()));
  return layer + 2 < num_layers() ? CopyIn(layer + 2) : absl::OkStatus();
}

absl::Status KvStaging::End() {
  SLUICE_RETURN_IF_ERROR(copies_->Record(out_.get()));
  SLUICE_RETURN_IF_ERROR(out_->Wait());
  return TimeCopies();
}

}  // namespace sluice
