// Pages of the KV cache: handed out once, given back, never more than there are.
#include "runtime/kv/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/kv/kv_rows.h"

namespace sluice {
namespace {

StateLayout Layers(const KvShape& shape, size_t num_layers) {
  return StateLayout(std::vector<LayerState>(num_layers, {shape, 0, KvPageBytes(shape)}));
}

TEST(KvCache, GivesEachPageToOneSequenceUntilItIsReleased) {
  const KvShape shape = {KvType::kF16, KvType::kF16, 2, 16};
  const auto place = MakeHostPlace(nullptr);
  auto cache = KvCache::Create(Layers(shape, 3), {.pages = 4}, place.get());
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
  auto cache = KvCache::Create(Layers(shape, kLayers), {.pages = 4}, place.get());
  ASSERT_TRUE(cache.ok());
  KvSequence sequence;
  ASSERT_TRUE(cache->Reserve(sequence, 256).ok());
  sequence.pages = {sequence.pages[2], sequence.pages[0], sequence.pages[1], sequence.pages[3]};
  std::memset(cache->LayerPages(0), 0xEE, 4 * cache->layout().page_bytes());
  std::string wanted;
  for (int first = 0; first < kTokens; first += kKvPageTokens) {
    for (int layer = 0; layer < kLayers; ++layer) {
      std::byte* at = cache->PageAt(layer, sequence.pages[first / kKvPageTokens]);
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
  ASSERT_TRUE(
      ForEachKvRows(*cache, sequence, kTokens, KvAccess::kRead, [&](absl::Span<std::byte> bytes) {
        rows.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return absl::OkStatus();
      }).ok());
  EXPECT_TRUE(rows == wanted);
  EXPECT_EQ(static_cast<int64_t>(rows.size()), KvRowsBytes(cache->layout(), kTokens));
  int calls = 0;
  EXPECT_TRUE(absl::IsDataLoss(
      ForEachKvRows(*cache, sequence, kTokens, KvAccess::kRead, [&](absl::Span<std::byte>) {
        return ++calls == 3 ? absl::DataLossError("x") : absl::OkStatus();
      })));
  EXPECT_EQ(calls, 3);
}

TEST(KvCache, KeepsLayersApartAndPagesAligned) {
  const KvShape shape = {KvType::kQ8_0, KvType::kF32, 1, 80};
  const auto place = MakeHostPlace(nullptr);
  auto cache = KvCache::Create(Layers(shape, 2), {.pages = 3}, place.get());
  ASSERT_TRUE(cache.ok());
  EXPECT_EQ(cache->PageBytes(0) % 4096, 0);
  EXPECT_GE(cache->PageBytes(0), KvPageBytes(shape));
  EXPECT_EQ(cache->LayerPages(1) - cache->LayerPages(0), 3 * cache->PageBytes(0));
  EXPECT_GE(KvCache::Bytes(cache->layout(), {.pages = 3}), 6 * cache->PageBytes(0));
}

// Layers of pages of different sizes have rooms of their own for pages on disk, in both halves.
TEST(KvCache, HasRoomForPagesOnDiskOfLayersThatDiffer) {
  std::vector<LayerState> layers;
  for (const int64_t heads : {1, 7, 3, 2, 7, 1, 5}) {
    const KvShape shape = {KvType::kF32, KvType::kF16, heads, 80};
    layers.push_back({shape, 0, KvPageBytes(shape)});
  }
  const auto place = MakeHostPlace(nullptr);
  for (const int64_t disk_pages : {1, 3, 5}) {
    constexpr int64_t kPages = 5;
    auto cache = KvCache::Create(StateLayout(layers), {kPages, disk_pages}, place.get());
    ASSERT_TRUE(cache.ok());
    const absl::Span<std::byte> rooms = cache->Rooms();
    const std::byte* const end = cache->LayerPages(0) +
                                 cache->layout().page_bytes() * (kPages - disk_pages) +
                                 static_cast<int64_t>(rooms.size());
    EXPECT_EQ(rooms.data() + rooms.size(), end);
    EXPECT_LE(end - cache->LayerPages(0), KvCache::Bytes(cache->layout(), {kPages, disk_pages}));
    const std::byte* half_ends[2] = {rooms.data(), rooms.data()};
    const std::byte* half_begins[2] = {end, end};
    for (int64_t layer = 0; layer < cache->layout().num_layers(); ++layer) {
      for (int32_t page = cache->first_disk_page(); page < kPages; ++page) {
        const std::byte* const room = cache->PageAt(layer, cache->RoomFor(layer, page));
        EXPECT_GE(room, rooms.data());
        EXPECT_EQ(room - cache->PageAt(layer, cache->RoomFor(layer, cache->first_disk_page())),
                  cache->SlotOf(page) * cache->PageBytes(layer));
        half_begins[layer % 2] = std::min(half_begins[layer % 2], room);
        half_ends[layer % 2] = std::max(half_ends[layer % 2], room + cache->PageBytes(layer));
      }
    }
    EXPECT_LE(half_ends[0], half_begins[1]);
    EXPECT_LE(half_ends[1], end);
  }
}

TEST(StateLayout, AddsUpLayersThatDiffer) {
  const KvShape wide = {KvType::kF32, KvType::kF32, 4, 64},
                narrow = {KvType::kF16, KvType::kF16, 1, 32};
  const StateLayout layout({{wide, 0, KvPageBytes(wide)}, {narrow, 16, KvPageBytes(narrow)}});
  EXPECT_EQ(layout.num_layers(), 2);
  EXPECT_EQ(layout.PageBytesBefore(1), KvPageBytes(wide));
  EXPECT_EQ(layout.page_bytes(), KvPageBytes(wide) + KvPageBytes(narrow));
  EXPECT_EQ(layout.largest_page_bytes(), KvPageBytes(wide));
  EXPECT_EQ(layout.TokenBytes(), 4 * 2 * 64 * 4 + 2 * 32 * 2);
  EXPECT_EQ(layout.WidestWindow(), 0) << "the first layer has none";
  EXPECT_EQ(StateLayout({{wide, 20, 1}, {narrow, 16, 1}}).WidestWindow(), 20);
}

}  // namespace
}  // namespace sluice
