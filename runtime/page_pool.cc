// Counts the users of pages and finds prefixes.
#include "runtime/page_pool.h"

#include <utility>

namespace sluice {
namespace {

std::string KeyOf(PrefixName behind, absl::Span<const int32_t> tokens) {
  std::string key(reinterpret_cast<const char*>(&behind), sizeof(behind));
  key.append(reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(int32_t));
  return key;
}

}  // namespace

PagePool::PagePool(int64_t num_pages) : pages_(num_pages) {
  for (int64_t page = num_pages - 1; page >= 0; --page) empty_.push_back(static_cast<int32_t>(page));
}

void PagePool::Forget(Page& page) {
  if (page.name == kNoPrefix) return;
  published_.erase(page.key);
  page.name = kNoPrefix;
  page.key.clear();
}

std::optional<int32_t> PagePool::Take() {
  int32_t page;
  if (!empty_.empty()) {
    page = empty_.back();
    empty_.pop_back();
  } else if (!kept_.empty()) {
    page = kept_.front();
    kept_.pop_front();
    Forget(pages_[page]);
  } else {
    return std::nullopt;
  }
  pages_[page].users = 1;
  return page;
}

void PagePool::Drop(int32_t page) {
  Page& dropped = pages_[page];
  if (--dropped.users > 0) return;
  if (dropped.name == kNoPrefix) {
    empty_.push_back(page);
  } else {
    dropped.place = kept_.insert(kept_.end(), page);
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

std::optional<PagePool::Shared> PagePool::Share(PrefixName behind, absl::Span<const int32_t> tokens) {
  const auto it = published_.find(KeyOf(behind, tokens));
  if (it == published_.end()) return std::nullopt;
  Page& page = pages_[it->second];
  if (page.users++ == 0) kept_.erase(page.place);
  return Shared{it->second, page.name};
}

}  // namespace sluice
