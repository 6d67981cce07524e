// Pages of the KV cache: handed out once, given back, never more than there are.
#include "runtime/kv_cache.h"

#include <set>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(KvCache, GivesEachPageToOneSequenceUntilItIsReleased) {
  const KvShape shape = {KvType::kF16, KvType::kF16, 2, 16};
  const auto place = MakeHostPlace(nullptr);
  auto cache = KvCache::Create(shape, 3, 4, place.get());
  ASSERT_TRUE(cache.ok());
  KvSequence a, b;
  EXPECT_TRUE(cache->Reserve(a, 64).ok());
  EXPECT_EQ(a.pages.size(), 1u) << "64 tokens are one page";
  EXPECT_TRUE(cache->Reserve(a, 65).ok());
  EXPECT_TRUE(cache->Reserve(b, 128).ok());
  std::set<int32_t> pages(a.pages.begin(), a.pages.end());
  pages.insert(b.pages.begin(), b.pages.end());
  EXPECT_EQ(pages.size(), 4u);
  EXPECT_EQ(cache->Reserve(b, 129).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(b.pages.size(), 2u);
  cache->Release(a);
  EXPECT_TRUE(a.pages.empty());
  EXPECT_TRUE(cache->Reserve(b, 256).ok());
}

TEST(KvCache, KeepsLayersApartAndPagesAligned) {
  const KvShape shape = {KvType::kQ8_0, KvType::kF32, 1, 80};
  const auto place = MakeHostPlace(nullptr);
  auto cache = KvCache::Create(shape, 2, 3, place.get());
  ASSERT_TRUE(cache.ok());
  EXPECT_EQ(cache->page_stride() % 4096, 0);
  EXPECT_GE(cache->page_stride(), KvPageBytes(shape));
  EXPECT_EQ(cache->LayerPages(1) - cache->LayerPages(0), 3 * cache->page_stride());
  EXPECT_GE(KvCache::BytesForPages(shape, 2, 3), 6 * cache->page_stride());
}

}  // namespace
}  // namespace sluice
