// Counts the users of pages and finds prefixes.
#include "runtime/kv/page_pool.h"

#include <utility>

namespace sluice {
namespace {

std::string KeyOf(PrefixName behind, absl::Span<const int32_t> tokens) {
  std::string key(reinterpret_cast<const char*>(&behind), sizeof(behind));
  key.append(reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(int32_t));
  return key;
}

}  // namespace

PagePool::PagePool(int64_t num_pages, int64_t num_disk_pages)
    : first_disk_page_(static_cast<int32_t>(num_pages - num_disk_pages)), pages_(num_pages) {
  for (auto page = static_cast<int32_t>(num_pages - 1); page >= 0; --page)
    UnusedLike(page).empty.push_back(page);
}

void PagePool::Forget(Page& page) {
  if (page.name == kNoPrefix) return;
  published_.erase(page.key);
  page.name = kNoPrefix;
  page.key.clear();
}

std::optional<int32_t> PagePool::Take(int64_t spare) {
  if (available() == 0) return std::nullopt;
  const bool memory = in_memory_.available() > (on_disk_.available() > 0 ? spare : 0);
  return TakeOf(memory ? in_memory_ : on_disk_);
}

std::optional<int32_t> PagePool::TakeInMemory() {
  if (in_memory_.available() == 0) return std::nullopt;
  return TakeOf(in_memory_);
}

int32_t PagePool::TakeOf(Unused& unused) {
  int32_t page;
  if (!unused.empty.empty()) {
    page = unused.empty.back();
    unused.empty.pop_back();
  } else {
    page = unused.kept.front();
    unused.kept.pop_front();
    Forget(pages_[page]);
  }
  pages_[page].users = 1;
  return page;
}

void PagePool::Drop(int32_t page) {
  Page& dropped = pages_[page];
  if (--dropped.users > 0) return;
  Unused& unused = UnusedLike(page);
  if (dropped.name == kNoPrefix) {
    unused.empty.push_back(page);
  } else {
    dropped.place = unused.kept.insert(unused.kept.end(), page);
  }
}

PrefixName PagePool::Publish(int32_t page, PrefixName behind, absl::Span<const int32_t> tokens) {
  std::string key = KeyOf(behind, tokens);
  const auto [it, inserted] = published_.emplace(key, page);
  if (!inserted) return pages_[it->second].name;
  Page& published = pages_[page];
  published.key = std::move(key);
  published.name = ++last_name_;
  return published.name;
}

std::optional<PagePool::Shared> PagePool::Share(PrefixName behind,
                                                absl::Span<const int32_t> tokens) {
  const auto it = published_.find(KeyOf(behind, tokens));
  if (it == published_.end()) return std::nullopt;
  Page& page = pages_[it->second];
  if (page.users++ == 0) UnusedLike(it->second).kept.erase(page.place);
  return Shared{it->second, page.name};
}

}  // namespace sluice
