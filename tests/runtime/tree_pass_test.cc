// Rows of a tree in one pass: the logits of each of its paths, and what moving rows leaves in the
// cache.
#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/pass/tree_tables.h"
#include "tests/runtime/late_model.h"
#include "tests/runtime/model_harness.h"
#include "tests/runtime/tree_harness.h"

namespace sluice {
namespace {

class TreePass : public testing::TestWithParam<const char*> {};

// Positions on both sides of the ends of pages, in all types of keys and values, on one thread and
// on more.
TEST_P(TreePass, GivesTheBitsOfEachPath) {
  const TestStore store(GetParam(), "", 32 << 10);
  std::mt19937 random(7);
  int round = 0;
  for (const KvType kv : {KvType::kF16, KvType::kQ8_0, KvType::kF32}) {
    TestModel test(*store, {.placement = Placement::kHalf,
                            .chunk = 160,
                            .num_threads = 1 + round % 3,
                            .isa = round % 2 == 0 ? SupportedIsas().back() : Isa::kScalar,
                            .kv = kv,
                            .context = 512,
                            .kv_pages = 16,
                            .draft_rows = 140});
    // One that ends in the first page, or at the end of one, and one that crosses it.
    const std::pair<int64_t, int64_t> shapes[] = {{1, 7},  {62, 33}, {63, 129},
                                                  {64, 2}, {65, 64}, {130, 65}};
    for (int i = 2 * round; i < 2 * round + 2; ++i) {
      const auto [known, nodes] = shapes[i];
      ExpectTreesAreTheirPaths(*test.model, random, known, nodes, nodes > 40 ? 70 : 6, i % 2 == 1);
    }
    ++round;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TreePass,
                         testing::Values("llama-gqa-untied-f32", "mistral-window-f16",
                                         "qwen3-qknorm-bf16"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// On a device, which computes late or early: with keys and values in its memory, and in the host's.
TEST(DeviceTreePass, GivesTheBitsOfEachPath) {
  using FirstStream = LateDevice::Faults::FirstStream;
  // Two positions around the end of a page for each model, each with every place and every pace.
  const int64_t known[] = {62, 66, 66, 62, 66, 62, 62, 66};
  std::mt19937 random(3);
  uint32_t seed = 0;
  for (const char* const name : {"llama-gqa-untied-f32", "mistral-window-f16"}) {
    const TestStore store(name, "", 32 << 10);
    for (const KvPlace place : {KvPlace::kDevice, KvPlace::kHost}) {
      for (const FirstStream pace : {FirstStream::kEarly, FirstStream::kLate}) {
        LateModel test(*store, ++seed, int64_t{64} << 20, int64_t{64} << 20, /*rows=*/100, 0,
                       {.first_stream = pace},
                       {.kv = place,
                        .kv_type = seed % 2 == 0 ? KvType::kQ8_0 : KvType::kF16,
                        .context = 256,
                        .kv_pages = 12,
                        .draft_rows = 80,
                        .streamed = seed % 2 == 0});
        ExpectTreesAreTheirPaths(*test.model, random, known[seed - 1], /*nodes=*/40,
                                 /*most_depth=*/8);
      }
    }
  }
}

TEST(TreeTables, OneRoomABranch) {
  const int32_t pages[] = {4, 5, 6};
  // The root at 64, a and b behind it, and c and d on a branch of their own behind a.
  const std::vector<int64_t> first = {64, 65}, second = {64, 65, 67};
  const std::vector<BlockRow> rows = {{pages, 64, 64, {}, true},
                                      {pages, 65, 65, absl::MakeConstSpan(first).first(1), true},
                                      {pages, 66, 66, first, true},
                                      {pages, 66, 67, first, true},
                                      {pages, 67, 68, second, true}};
  TreeTables tables(1);
  ASSERT_TRUE(tables.Begin(rows).ok());
  EXPECT_FALSE(tables.empty());
  EXPECT_EQ(TreeTables::RoomsOf(rows), 1);
  std::vector<AttentionRow> attention;
  for (const BlockRow& row : rows) attention.push_back({row.pages, row.position, 0});
  const absl::Span<const KvCopy> copies = tables.Enter(90, absl::MakeSpan(attention));
  ASSERT_EQ(copies.size(), 2);
  EXPECT_EQ(copies[0].from_page, 5);
  EXPECT_EQ(copies[0].to_page, 90);
  EXPECT_EQ(copies[0].count, 2) << "the root and a";
  EXPECT_EQ(copies[1].from_token, 3);
  EXPECT_EQ(copies[1].to_token, 2);
  EXPECT_EQ(copies[1].count, 2);
  EXPECT_EQ(attention[2].page_table, pages);
  EXPECT_EQ(attention[3].page_table, attention[4].page_table);
  EXPECT_EQ(attention[4].page_table[0], 4);
  EXPECT_EQ(attention[4].page_table[1], 90);
}

TEST(TreeTables, SaysWhatDoesNotFit) {
  const int32_t pages[] = {0};
  const std::vector<BlockRow> rows = {
      {pages, 0, 0, {}, true}, {pages, 1, 1, {}, true}, {pages, 1, 2, {}, true}};
  TreeTables none(0);
  EXPECT_TRUE(absl::IsInternal(none.Begin(rows)));
  TreeTables one(1);
  EXPECT_TRUE(one.Begin(rows).ok());
}

}  // namespace
}  // namespace sluice
