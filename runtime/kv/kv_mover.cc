// Looks through page tables.
#include "runtime/kv/kv_mover.h"

#include <algorithm>
#include <map>

namespace sluice {

std::vector<PageUse> PagesOf(absl::Span<const PassSpan> spans, int32_t first_page) {
  std::map<int32_t, PageUse> uses;
  for (const PassSpan& span : spans) {
    for (int64_t i = 0; i <= span.last / kKvPageTokens; ++i) {
      if (span.pages[i] < first_page) continue;
      const int64_t begin = i * kKvPageTokens, end = begin + kKvPageTokens;
      const bool begins = span.first <= begin;
      const bool changes = span.first < end;
      const int64_t distance = std::max(span.first, begin) - (end - 1);
      const auto [it, added] =
          uses.emplace(span.pages[i], PageUse{span.pages[i], distance, begins, changes});
      if (added) continue;
      it->second.distance = std::min(it->second.distance, distance);
      it->second.begins |= begins;
      it->second.changes |= changes;
    }
  }
  std::vector<PageUse> in_order;
  in_order.reserve(uses.size());
  for (const auto& [page, use] : uses) in_order.push_back(use);
  return in_order;
}

void UseTables(absl::Span<const PassSpan> spans, absl::Span<const std::vector<int32_t>> tables,
               absl::Span<AttentionRow> rows) {
  size_t span = 0;
  for (AttentionRow& row : rows) {
    while (row.page_table != spans[span].pages) ++span;
    row.page_table = tables[span].data();
  }
}

}  // namespace sluice
