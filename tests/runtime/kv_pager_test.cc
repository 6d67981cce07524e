// Pages of running sequences on disk: which of them a pass needs, and that no logit can tell where
// they were.
#include "runtime/kv/kv_pager.h"

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/runtime/faulty_file.h"
#include "tests/runtime/model_harness.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

TEST(DiskPages, AreThoseThatAPassSeesOrWrites) {
  // Three sequences; pages 10 and on are on disk. The second one shares the first's first page.
  const std::vector<int32_t> a = {10, 2, 11, 15}, b = {10, 12}, c = {13, 14};
  const std::vector<PageUse> uses = PagesOf(
      {PassSpan{a.data(), 130, 130}, PassSpan{b.data(), 64, 70}, PassSpan{c.data(), 0, 63}}, 10);
  ASSERT_EQ(uses.size(), 4u) << "page 15 of the first and page 14 of the third are still empty";
  const auto expect = [](const PageUse& use, int32_t page, int64_t distance, bool begins,
                         bool changes) {
    EXPECT_EQ(use.page, page);
    EXPECT_EQ(use.distance, distance) << page;
    EXPECT_EQ(use.begins, begins) << page;
    EXPECT_EQ(use.changes, changes) << page;
  };
  expect(uses[0], 10, 1, false, false);
  expect(uses[1], 11, 130 - 191, false, true);
  expect(uses[2], 12, 64 - 127, true, true);
  expect(uses[3], 13, -63, true, true);
  EXPECT_TRUE(uses[0].SeenThrough(0)) << "without a window everything is seen";
  EXPECT_FALSE(uses[0].SeenThrough(1)) << "a row that sees only itself";
  EXPECT_TRUE(uses[0].SeenThrough(2));
  // Of the same page, whoever is nearest counts, and whoever writes to it.
  const std::vector<PageUse> both =
      PagesOf({PassSpan{a.data(), 130, 130}, PassSpan{a.data(), 60, 70}}, 10);
  ASSERT_EQ(both.size(), 2u);
  expect(both[0], 10, -3, false, true);
  EXPECT_TRUE(PagesOf({PassSpan{a.data(), 130, 130}}, 16).empty());
}

TEST(PagePool, PrefersMemoryButForWhatIsSpared) {
  PagePool pool(4, 2);
  EXPECT_EQ(pool.first_disk_page(), 2);
  EXPECT_EQ(pool.available(), 4);
  const std::vector<int32_t> tokens(kKvPageTokens, 5);
  EXPECT_EQ(*pool.Take(2), 2) << "both in memory are spared";
  const int32_t first = *pool.Take();
  EXPECT_EQ(first, 0);
  pool.Publish(first, kNoPrefix, tokens);
  pool.Drop(first);
  EXPECT_EQ(*pool.Take(), 1) << "the empty one";
  EXPECT_EQ(*pool.Take(1), 3) << "what is kept in memory is spared, too";
  EXPECT_EQ(*pool.Take(5), 0)
      << "nothing is spared once the disk is full, and a prefix goes before that";
  EXPECT_FALSE(pool.Share(kNoPrefix, tokens).has_value());
  EXPECT_FALSE(pool.Take().has_value());
  pool.Publish(3, kNoPrefix, tokens);
  for (const int32_t page : {3, 2, 1}) pool.Drop(page);
  EXPECT_EQ(pool.Share(kNoPrefix, tokens)->page, 3);
  EXPECT_EQ(*pool.Take(), 1);
  EXPECT_EQ(*pool.Take(), 2);
  EXPECT_EQ(pool.available(), 0);
}

std::vector<int32_t> SquareTokens(int64_t n) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < n; ++i) tokens.push_back(static_cast<int32_t>(i * i % 97));
  return tokens;
}

// Five pages, of which none, some or all are in memory.
#ifdef SLUICE_SANITIZED
constexpr KvType kTypes[] = {KvType::kQ8_0};
#else
constexpr KvType kTypes[] = {KvType::kF32, KvType::kF16, KvType::kQ8_0};
#endif
TEST(KvPager, GivesTheSameLogitsWhereverPagesAre) {
  const std::vector<int32_t> tokens = SquareTokens(4 * kKvPageTokens + 9);
  // Layers: three, three that see 16 tokens, two.
  for (const char* name : {"qwen2-bias-bf16", "mistral-window-f16", "TinyStories-656K"}) {
    const TestStore store(name, "", 32 << 10);
    for (const KvType kv : kTypes) {
      const std::vector<float> expected =
          TestModel(*store, {.kv = kv, .context = 320}).Logits(tokens);
      for (const auto& [disk_pages, chunk] :
           {std::pair(5, 512), std::pair(5, 100), std::pair(3, 64), std::pair(3, 33),
            std::pair(1, 20)}) {
        RunConfig config = {.placement = Placement::kStreamed,
                            .chunk = chunk,
                            .num_threads = 2,
                            .kv = kv,
                            .context = 320,
                            .kv_disk_pages = disk_pages};
        TestModel model(*store, config);
        for (int again = 0; again < 2; ++again) {  // over pages that hold something else
          ASSERT_EQ(model.Logits(tokens), expected)
              << name << ", " << KvTypeName(kv) << ", " << disk_pages << " pages on disk, " << chunk
              << " rows";
        }
        EXPECT_GT(model.model->kv_counters().bytes_written, 0);
        EXPECT_EQ(model.model->kv_counters().bytes_read > 0, chunk < 320);
      }
    }
  }
}

// 16 tokens of each layer's window lie in one page or two.
TEST(KvPager, ReadsNoPageThatIsOutsideTheWindow) {
  const std::vector<int32_t> tokens = SquareTokens(5 * kKvPageTokens);
  int64_t bytes[2];
  for (const char* name : {"mistral-window-f16", "qwen2-bias-bf16"}) {
    const TestStore store(name, "", 32 << 10);
    TestModel model(*store, {.chunk = 64, .context = 320, .kv_disk_pages = 5});
    model.Logits(tokens);
    bytes[name[0] == 'q'] =
        model.model->kv_counters().bytes_read / model.model->kv_cache().PageBytes(0);
  }
  EXPECT_EQ(bytes[0], 3 * 4) << "the one in front of each chunk";
  EXPECT_EQ(bytes[1], 3 * (1 + 2 + 3 + 4));
}

TEST(KvPager, StartsAnewBehindAPassThatWasCancelled) {
  const TestStore store("qwen2-bias-bf16", "", 8 << 10);
  const std::vector<int32_t> tokens = SquareTokens(150);
  const std::vector<float> expected = TestModel(*store, {}).Logits(tokens);
  TestModel model(
      *store, {.placement = Placement::kStreamed, .chunk = 50, .context = 192, .kv_disk_pages = 3});
  const std::atomic<bool> stop = true;
  KvSequence sequence;
  ASSERT_TRUE(model.model->kv_cache().Reserve(sequence, 64).ok());
  for (int i = 0; i < 3; ++i) {
    const PassRow row = {&sequence, 0, 1, true};
    EXPECT_TRUE(absl::IsCancelled(model.model->RunPass({row}, &stop).status()));
    if (i == 2) model.model->kv_cache().Release(sequence);
  }
  EXPECT_EQ(model.Logits(tokens), expected);
}

TEST(KvPager, SaysWhichPagesOfWhichLayerWereLost) {
  using Fault = FaultyFile::Fault;
  const TestStore store("qwen2-bias-bf16", "", 32 << 10);
  const std::vector<int32_t> tokens = SquareTokens(200);
  const std::vector<float> expected = TestModel(*store, {.context = 256}).Logits(tokens);
  for (const auto& [fault, what] :
       {std::pair(Fault::kWrites, "could not be written: injected ENOSPC"),
        std::pair(Fault::kReads, "could not be read: injected EIO"),
        std::pair(Fault::kFlips, "differs from the page that was written")}) {
    for (const int first : {1, 2, 3, 5, 6, 1000}) {
      RunConfig config = {.chunk = 60, .context = 256, .kv_disk_pages = 4};
      config.make_engine = FaultyFile::Scratch(fault, first);
      TestModel model(*store, config);
      const absl::StatusOr<std::vector<float>> logits = model.TryLogits(tokens);
      SCOPED_TRACE(testing::Message() << what << " from request " << first << " on");
      if (first == 1000) {
        ASSERT_TRUE(logits.ok()) << logits.status();
        EXPECT_EQ(*logits, expected);
        continue;
      }
      ASSERT_FALSE(logits.ok());
      EXPECT_EQ(logits.status().code(), fault == Fault::kFlips ? absl::StatusCode::kDataLoss
                                                               : absl::StatusCode::kUnavailable);
      // Three layers: the requests of a pass go through them in turn.
      EXPECT_THAT(
          std::string(logits.status().message()),
          testing::AllOf(HasSubstr(what), HasSubstr(absl::StrCat("layer ", (first - 1) % 3))));
    }
  }
}

}  // namespace
}  // namespace sluice
