// Pages of the KV cache: handed out once, given back, never more than there are.
#include "runtime/kv/kv_cache.h"

#include <cstring>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "runtime/kv/kv_rows.h"

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

TEST(KvCache, RowsComeInOrderOfPositionWhereverThePagesAre) {
  // Keys and values of different sizes, a page that is not full, pages that are not in order.
  const KvShape shape = {KvType::kF16, KvType::kQ8_0, 2, 16};
  constexpr int kLayers = 3, kTokens = 70;
  const auto place = MakeHostPlace(nullptr);
  auto cache = KvCache::Create(shape, kLayers, 4, place.get());
  ASSERT_TRUE(cache.ok());
  KvSequence sequence;
  ASSERT_TRUE(cache->Reserve(sequence, 256).ok());
  sequence.pages = {sequence.pages[2], sequence.pages[0], sequence.pages[1], sequence.pages[3]};
  std::memset(cache->LayerPages(0), 0xEE, kLayers * 4 * cache->page_stride());
  std::string wanted;
  for (int first = 0; first < kTokens; first += kKvPageTokens) {
    for (int layer = 0; layer < kLayers; ++layer) {
      std::byte* at =
          cache->LayerPages(layer) + sequence.pages[first / kKvPageTokens] * cache->page_stride();
      for (int head = 0; head < 2; ++head) {
        for (const KvType type : {shape.k_type, shape.v_type}) {
          const int64_t row_bytes = KvRowBytes(type, shape.head_dim);
          for (int slot = 0; slot < kKvPageTokens; ++slot, at += row_bytes) {
            if (first + slot >= kTokens) continue;
            const char value = static_cast<char>((first + slot) * 31 + layer * 7 + head * 3 +
                                                 (type == shape.k_type));
            std::memset(at, value, row_bytes);
            wanted.append(row_bytes, value);
          }
        }
      }
    }
  }
  std::string rows;
  ASSERT_TRUE(ForEachKvRows(*cache, sequence, kLayers, kTokens, KvAccess::kRead,
                            [&](absl::Span<std::byte> bytes) {
                              rows.append(reinterpret_cast<const char*>(bytes.data()),
                                          bytes.size());
                              return absl::OkStatus();
                            })
                  .ok());
  EXPECT_TRUE(rows == wanted);
  EXPECT_EQ(static_cast<int64_t>(rows.size()), KvRowsBytes(shape, kLayers, kTokens));
  int calls = 0;
  EXPECT_TRUE(absl::IsDataLoss(ForEachKvRows(
      *cache, sequence, kLayers, kTokens, KvAccess::kRead, [&](absl::Span<std::byte>) {
        return ++calls == 3 ? absl::DataLossError("x") : absl::OkStatus();
      })));
  EXPECT_EQ(calls, 3);
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
