// Counts the users of each page of the KV cache, in memory or on disk, and finds pages with a
// prefix to share.
#ifndef SLUICE_RUNTIME_KV_PAGE_POOL_H_
#define SLUICE_RUNTIME_KV_PAGE_POOL_H_

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"

namespace sluice {

// Names the tokens of a sequence from its first one to the end of a page. The same tokens have the
// same name as long as the page that got it holds them.
using PrefixName = int64_t;
inline constexpr PrefixName kNoPrefix = 0;  // in front of the first page

// Pages have users, which share them. A page without users is empty, or, where it was published,
// kept: it can still be found, and goes when no empty page is left, the one longest without users
// first.
class PagePool {
 public:
  // The last `num_disk_pages` of the pages lie on disk, the others in memory.
  explicit PagePool(int64_t num_pages = 0, int64_t num_disk_pages = 0);

  int64_t num_pages() const { return static_cast<int64_t>(pages_.size()); }
  int32_t first_disk_page() const { return first_disk_page_; }
  // How many pages Take() can hand out.
  int64_t available() const { return in_memory_.available() + on_disk_.available(); }

  // A page with one user and unknown content, or none where all pages have users. In memory, even
  // where a prefix is lost by that, rather than on disk; but the last `spare` of those in memory go
  // behind the ones on disk.
  std::optional<int32_t> Take(int64_t spare = 0);
  // The same, but never one on disk.
  std::optional<int32_t> TakeInMemory();
  int32_t users(int32_t page) const { return pages_[page].users; }
  // One user less.
  void Drop(int32_t page);

  // Says that `page`, which has a user, holds the keys and values of `tokens` (a page full) behind
  // the prefix `behind`, and returns the name of the longer prefix. Where another page is known to
  // hold the same, that one keeps the name.
  PrefixName Publish(int32_t page, PrefixName behind, absl::Span<const int32_t> tokens);

  struct Shared {
    int32_t page;
    PrefixName prefix;  // up to the end of the page
  };
  // The page that holds `tokens` behind `behind`, with one user more.
  std::optional<Shared> Share(PrefixName behind, absl::Span<const int32_t> tokens);

 private:
  struct Page {
    int32_t users = 0;
    PrefixName name = kNoPrefix;         // kNoPrefix: cannot be found
    std::string key;                     // in published_
    std::list<int32_t>::iterator place;  // among the kept ones, where it is kept
  };
  // Pages without users.
  struct Unused {
    std::vector<int32_t> empty;  // a stack; lowest page on top
    std::list<int32_t> kept;     // longest without users first
    int64_t available() const { return static_cast<int64_t>(empty.size() + kept.size()); }
  };
  void Forget(Page& page);
  // One of them with one user.
  int32_t TakeOf(Unused& unused);
  Unused& UnusedLike(int32_t page) { return page < first_disk_page_ ? in_memory_ : on_disk_; }

  int32_t first_disk_page_;
  std::vector<Page> pages_;
  Unused in_memory_;
  Unused on_disk_;
  // By the name in front and the tokens, all of them: a hash alone could confuse two texts.
  absl::flat_hash_map<std::string, int32_t> published_;
  PrefixName last_name_ = kNoPrefix;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_KV_PAGE_POOL_H_
