// The scheduler as a simulated machine: thousands of random workloads, checked after each pass.
#include "runtime/engine/pass_scheduler.h"

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/kv/kv_pager.h"

namespace sluice {
namespace {

TEST(PagePool, KeepsPublishedPagesUntilTheyAreNeeded) {
  PagePool pool(2);
  const std::vector<int32_t> hello(kKvPageTokens, 5), other(kKvPageTokens, 6);
  const int32_t a = *pool.Take();
  const PrefixName name = pool.Publish(a, kNoPrefix, hello);
  pool.Drop(a);
  EXPECT_EQ(pool.available(), 2);
  const auto shared = pool.Share(kNoPrefix, hello);
  ASSERT_TRUE(shared.has_value());
  EXPECT_EQ(shared->page, a);
  EXPECT_EQ(shared->prefix, name);
  EXPECT_EQ(pool.available(), 1);
  EXPECT_FALSE(pool.Share(kNoPrefix, other).has_value());
  EXPECT_FALSE(pool.Share(name, hello).has_value()) << "the same tokens elsewhere";
  const int32_t b = *pool.Take();
  EXPECT_EQ(pool.Publish(b, kNoPrefix, hello), name) << "the first page keeps the name";
  EXPECT_FALSE(pool.Take().has_value());
  pool.Drop(b);
  pool.Drop(a);
  EXPECT_EQ(*pool.Take(), b) << "the empty page goes first";
  EXPECT_EQ(*pool.Take(), a);
  EXPECT_FALSE(pool.Share(kNoPrefix, hello).has_value()) << "its page has gone";
}

// Slots that hold what the machine's pages held, and a disk that fails as often as it is told to.
class SimulatedSwap : public SwapSpace {
 public:
  enum class Choice { kNever, kAlways, kAnyhow };
  // `memory` has kKvPageTokens values a page.
  SimulatedSwap(std::vector<uint64_t>* memory, int64_t num_slots, Choice choice, bool fails,
                std::mt19937* random)
      : memory_(*memory),
        choice_(choice),
        fails_(fails),
        random_(*random),
        slots_(num_slots * kKvPageTokens) {
    for (int64_t slot = 0; slot < num_slots; ++slot) free_.insert(static_cast<int32_t>(slot));
  }

  bool Pays(int64_t pages, int64_t rows) const override {
    EXPECT_GT(rows, (pages - 1) * kKvPageTokens);
    EXPECT_LE(rows, pages * kKvPageTokens);
    return choice_ == Choice::kAnyhow ? random_() % 2 == 0 : choice_ == Choice::kAlways;
  }
  std::optional<std::vector<int32_t>> Write(absl::Span<const int32_t> pages) override {
    if (free_.size() < pages.size() || Fails()) return std::nullopt;
    std::vector<int32_t> slots;
    for (const int32_t page : pages) {
      slots.push_back(*free_.begin());
      free_.erase(free_.begin());
      std::copy_n(&memory_[page * kKvPageTokens], kKvPageTokens,
                  &slots_[slots.back() * kKvPageTokens]);
    }
    return slots;
  }
  int64_t Read(absl::Span<const int32_t> slots, absl::Span<const int32_t> pages) override {
    EXPECT_EQ(slots.size(), pages.size());
    for (size_t i = 0; i < slots.size(); ++i) {
      if (Fails()) {
        for (size_t j = i; j < slots.size(); ++j)
          std::fill_n(&memory_[pages[j] * kKvPageTokens], kKvPageTokens, 0);
        return static_cast<int64_t>(i);
      }
      std::copy_n(&slots_[slots[i] * kKvPageTokens], kKvPageTokens,
                  &memory_[pages[i] * kKvPageTokens]);
    }
    return static_cast<int64_t>(slots.size());
  }
  void Drop(absl::Span<const int32_t> slots) override {
    for (const int32_t slot : slots) EXPECT_TRUE(free_.insert(slot).second) << "dropped twice";
  }
  int64_t free_slots() const { return static_cast<int64_t>(free_.size()); }

 private:
  bool Fails() const { return fails_ && random_() % 4 == 0; }

  std::vector<uint64_t>& memory_;
  const Choice choice_;
  const bool fails_;
  std::mt19937& random_;
  std::vector<uint64_t> slots_;
  std::set<int32_t> free_;
};

// A workload and the machine that runs it. What a page holds is modelled: which tokens were
// computed into it.
class Simulation {
 public:
  explicit Simulation(uint32_t seed) : random_(seed) {
    limits_.pass_rows = Uniform(1, 8) == 1 ? Uniform(1, 4) : Uniform(4, 300);
    limits_.logit_rows = Uniform(1, limits_.pass_rows);
    limits_.max_sequences = Uniform(1, 40);
    limits_.balanced_rows = Uniform(0, limits_.pass_rows);
    context_ = Uniform(1, 400);
    pages_ = (context_ + kKvPageTokens - 1) / kKvPageTokens + Uniform(0, 1) * Uniform(0, 60);
    slots_.resize(pages_ * kKvPageTokens);
    disk_pages_ = Uniform(0, 1) * Uniform(0, pages_);
    requests_ = Uniform(1, 60);
    prefix_ = Uniform(0, 2) == 0 ? Uniform(0, context_) : 0;
    period_ = Uniform(0, 1) == 0 ? kKvPageTokens
                                 : 1000;  // pages of equal tokens in different places, or not
  }

  void Run() {
    PagePool pool(pages_, disk_pages_);
    const int64_t slots = Uniform(0, 2) * pages_;
    SimulatedSwap swap(&slots_, slots, static_cast<SimulatedSwap::Choice>(Uniform(0, 2)),
                       Uniform(0, 2) == 0, &random_);
    PassScheduler scheduler(limits_, &pool, Uniform(0, 3) == 0 ? nullptr : &swap);
    int64_t submitted = 0, left = requests_, passes = 0;
    const int64_t most_running =
        std::min({limits_.max_sequences, limits_.pass_rows, limits_.logit_rows});
    while (left > 0) {
      const int64_t now = passes == 0 ? Uniform(1, requests_) : Uniform(0, 3);
      for (int64_t i = 0; i < now && submitted < requests_; ++i, ++submitted) Submit(scheduler);
      if (live_.empty()) continue;
      const auto chunks = scheduler.NextPass();
      ASSERT_FALSE(chunks.empty()) << "there is work, and no pass for it";
      ++passes;
      CheckPass(scheduler, chunks);
      ASSERT_LE(scheduler.num_running(), most_running);
      if (scheduler.oldest_waiting() > 0) {
        ASSERT_GT(scheduler.oldest_waiting(), scheduler.youngest_running())
            << "somebody jumped the queue";
      }
      ASSERT_EQ(chunks.front().id, live_.begin()->first) << "the oldest is in every pass";
      for (const auto& chunk : chunks) left -= Advance(scheduler, chunk);
    }
    EXPECT_EQ(pool.available(), pages_) << "pages were lost";
    EXPECT_EQ(swap.free_slots(), slots) << "slots were lost";
    EXPECT_EQ(scheduler.num_running() + scheduler.num_waiting(), 0);
    needed += needed_;
    computed += scheduler.counters().rows + scheduler.counters().shared_rows;
    preemptions += scheduler.counters().preemptions;
    shared += scheduler.counters().shared_rows;
    swaps += scheduler.counters().swaps;
    swapped += scheduler.counters().swapped_rows;
  }

  // Over all simulations: rows that sequences have, and rows that were computed or shared for them.
  static inline int64_t needed = 0, computed = 0, preemptions = 0, shared = 0, swaps = 0,
                        swapped = 0, disk_uses = 0;

 private:
  struct Live {
    void Push(int32_t token) {
      tokens.push_back(token);
      hashes.push_back(((hashes.empty() ? 0 : hashes.back()) + static_cast<uint64_t>(token) + 1) *
                       0x9E3779B97F4A7C15u);
    }
    std::vector<int32_t> tokens;
    std::vector<uint64_t> hashes;  // of the tokens up to each
    int64_t grows_to;              // tokens when it ends
    int64_t next_logit;            // the first position whose logits did not come yet
  };

  int64_t Uniform(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
  }

  uint64_t& Slot(const std::vector<int32_t>& table, int64_t position) {
    return slots_.at(table.at(position / kKvPageTokens) * kKvPageTokens + position % kKvPageTokens);
  }

  void Submit(PassScheduler& scheduler) {
    Live live;
    const int64_t prompt = Uniform(1, context_);
    for (int64_t i = 0; i < prompt; ++i) {
      live.Push(static_cast<int32_t>(i < prefix_ ? i % period_ : 1000 + random_() % 1000));
    }
    live.next_logit = Uniform(0, 9) == 0 ? Uniform(0, prompt - 1) : prompt - 1;
    const int64_t most = Uniform(prompt, context_);
    live.grows_to = Uniform(prompt, most);
    needed_ += live.grows_to;
    live_.emplace(scheduler.Add(live.tokens, most, live.next_logit), live);
  }

  void CheckPass(const PassScheduler& scheduler, const std::vector<PassScheduler::Chunk>& chunks) {
    int64_t rows = 0, logits = 0;
    std::set<int64_t> ids;
    std::vector<PassSpan> spans;
    for (const auto& chunk : chunks) {
      ASSERT_GT(chunk.count, 0);
      ASSERT_TRUE(ids.insert(chunk.id).second);
      rows += chunk.count;
      logits += chunk.first + chunk.count - chunk.first_logit;
      const Live& live = live_.at(chunk.id);
      ASSERT_EQ(scheduler.Tokens(chunk.id), live.tokens);
      ASSERT_LE(chunk.first + chunk.count, static_cast<int64_t>(live.tokens.size()));
      spans.push_back(
          {scheduler.Pages(chunk.id).pages.data(), chunk.first, chunk.first + chunk.count - 1});
    }
    // What rows need of the disk is read; the room of a page that begins in this pass holds
    // anything.
    const auto first_disk_page = static_cast<int32_t>(pages_ - disk_pages_);
    const std::vector<PageUse> uses = PagesOf(spans, first_disk_page);
    disk_uses += static_cast<int64_t>(uses.size());
    const std::vector<uint64_t> before = uses.empty() ? std::vector<uint64_t>() : slots_;
    std::set<int32_t> used, written;
    for (const PageUse& use : uses) {
      used.insert(use.page);
      if (use.changes) written.insert(use.page);
      if (use.begins) std::fill_n(&slots_[use.page * kKvPageTokens], kKvPageTokens, 0);
    }
    for (const auto& chunk : chunks) {
      const Live& live = live_.at(chunk.id);
      const std::vector<int32_t>& table = scheduler.Pages(chunk.id).pages;
      // Writes its own rows, after which every position up to there must hold the right tokens.
      for (int64_t p = chunk.first; p < chunk.first + chunk.count; ++p) {
        Slot(table, p) = live.hashes[p];
      }
    }
    // What is written to the disk is all that changed there.
    for (const int32_t page : used) {
      const auto at = page * kKvPageTokens;
      ASSERT_TRUE(written.contains(page) ||
                  std::equal(&slots_[at], &slots_[at] + kKvPageTokens, &before[at]))
          << "a page that is not written changed: " << page;
    }
    ASSERT_LE(rows, limits_.pass_rows);
    ASSERT_LE(logits, limits_.logit_rows);
    for (const auto& chunk : chunks) {
      const Live& live = live_.at(chunk.id);
      const std::vector<int32_t>& table = scheduler.Pages(chunk.id).pages;
      for (int64_t p = 0; p < chunk.first + chunk.count; ++p) {
        const int32_t page = table[p / kKvPageTokens];
        ASSERT_TRUE(page < first_disk_page || used.contains(page)) << "nobody brings page " << page;
        if (Slot(table, p) == live.hashes[p]) continue;
        FAIL() << "position " << p << " of sequence " << chunk.id << " holds something else";
      }
    }
  }

  // Takes a chunk's logits; 1 if the sequence has ended.
  int64_t Advance(PassScheduler& scheduler, const PassScheduler::Chunk& chunk) {
    Live& live = live_.at(chunk.id);
    const int64_t end = chunk.first + chunk.count;
    if (chunk.first_logit < end) {
      EXPECT_EQ(chunk.first_logit, live.next_logit) << "logits came twice or never";
      live.next_logit = end;
    }
    const auto known = static_cast<int64_t>(live.tokens.size());
    if (end < known) return 0;
    EXPECT_EQ(live.next_logit, known);
    if (known < live.grows_to) {
      live.Push(static_cast<int32_t>(random_() % 3));
      scheduler.Append(chunk.id, live.tokens.back());
      return 0;
    }
    scheduler.Remove(chunk.id);
    live_.erase(chunk.id);
    return 1;
  }

  std::mt19937 random_;
  ScheduleLimits limits_;
  int64_t context_, pages_, disk_pages_, requests_, prefix_, period_, needed_ = 0;
  std::map<int64_t, Live> live_;
  // Of all pages: the hash of the tokens up to the one whose key is there
  std::vector<uint64_t> slots_;
};

TEST(PassScheduler, RunsRandomWorkloadsWithinTheirLimitsInOrderAndToTheEnd) {
#ifdef SLUICE_SANITIZED
  constexpr uint32_t kWorkloads = 600;
#else
  constexpr uint32_t kWorkloads = 2000;
#endif
  for (uint32_t seed = 0; seed < kWorkloads; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Simulation(seed).Run();
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(Simulation::preemptions, 0);
  EXPECT_GT(Simulation::shared, 0);
  EXPECT_GT(Simulation::swaps, 0);
  EXPECT_GT(Simulation::swapped, 0);
  EXPECT_GT(Simulation::disk_uses, 0);
  const double waste =
      static_cast<double>(Simulation::computed) / static_cast<double>(Simulation::needed);
  RecordProperty("rows_over_needed", std::to_string(waste));
  EXPECT_LT(waste, 1.1) << "preempted sequences are computed again too often";
}

// Equal requests, pages for half of them at full length: what counts is how full the passes are.
TEST(PassScheduler, KeepsThePassesFull) {
  constexpr int64_t kRequests = 512, kPrompt = 128, kAnswer = 128, kAtOnce = 64;
  PagePool pool(kAtOnce * (kPrompt + kAnswer) / kKvPageTokens);
  PassScheduler scheduler(
      {.pass_rows = 512, .logit_rows = kAtOnce, .max_sequences = kAtOnce, .balanced_rows = 256},
      &pool);
  std::map<int64_t, int64_t> generated;
  for (int32_t i = 0; i < kRequests; ++i) {
    generated[scheduler.Add(std::vector<int32_t>(kPrompt, i), kPrompt + kAnswer, kPrompt - 1)] = 0;
  }
  int64_t passes = 0, most_rows = 0;
  while (!generated.empty()) {
    const auto chunks = scheduler.NextPass();
    ++passes;
    int64_t rows = 0;
    for (const auto& chunk : chunks) {
      rows += chunk.count;
      if (chunk.first_logit == chunk.first + chunk.count) continue;
      if (++generated[chunk.id] < kAnswer) {
        scheduler.Append(chunk.id, 1);
      } else {
        scheduler.Remove(chunk.id);
        generated.erase(chunk.id);
      }
    }
    most_rows = std::max(most_rows, rows);
  }
  EXPECT_LE(most_rows, 256) << "prompts are cut so that a pass stays balanced";
  EXPECT_EQ(scheduler.counters().preemptions, 0);
  // No schedule needs fewer passes than one that generates kAtOnce tokens in each.
  EXPECT_LE(passes, kRequests * kAnswer / kAtOnce * 5 / 4);
}

// Prompts of three pages and a bit, for which memory has five: what they generate to is there, what
// they read is not.
TEST(PassScheduler, KeepsPagesThatGrowInMemory) {
  PagePool pool(20, 15);
  PassScheduler scheduler({.pass_rows = 1000, .logit_rows = 4, .max_sequences = 4}, &pool);
  for (int32_t i = 0; i < 4; ++i) scheduler.Add(std::vector<int32_t>(200, i), 250, 199);
  ASSERT_EQ(scheduler.NextPass().size(), 4u);
  int64_t full_in_memory = 0;
  for (int64_t id = 1; id <= 4; ++id) {
    const std::vector<int32_t>& pages = scheduler.Pages(id).pages;
    ASSERT_EQ(pages.size(), 4u);
    EXPECT_LT(pages.back(), pool.first_disk_page()) << id;
    for (int i = 0; i < 3; ++i) full_in_memory += pages[i] < pool.first_disk_page();
  }
  EXPECT_EQ(full_in_memory, 1) << "and nothing in memory is left unused";
}

// Two that grow from one page to three each, of which there are four.
TEST(PassScheduler, ComputesNothingAgainOfWhatWasSwapped) {
  for (const bool swaps : {false, true}) {
    std::mt19937 random(1);
    std::vector<uint64_t> memory(4 * kKvPageTokens);
    SimulatedSwap swap(&memory, 4, SimulatedSwap::Choice::kAlways, /*fails=*/false, &random);
    PagePool pool(4);
    PassScheduler scheduler({.pass_rows = 200, .logit_rows = 2, .max_sequences = 2}, &pool,
                            swaps ? &swap : nullptr);
    constexpr int64_t kPrompt = 60, kLength = 180;
    std::map<int64_t, int64_t> length;
    for (int32_t i = 0; i < 2; ++i) {
      length[scheduler.Add(std::vector<int32_t>(kPrompt, i), kLength, kPrompt - 1)] = kPrompt;
    }
    while (!length.empty()) {
      for (const auto& chunk : scheduler.NextPass()) {
        if (chunk.first_logit == chunk.first + chunk.count) continue;
        if (length[chunk.id]++ < kLength) {
          scheduler.Append(chunk.id, 1);
        } else {
          scheduler.Remove(chunk.id);
          length.erase(chunk.id);
        }
      }
    }
    EXPECT_GT(scheduler.counters().preemptions, 0);
    const int64_t again = scheduler.counters().rows - 2 * kLength;
    if (swaps) {
      EXPECT_EQ(again, 0);
      EXPECT_EQ(scheduler.counters().swaps, scheduler.counters().preemptions);
      EXPECT_GE(scheduler.counters().swapped_rows, 1);
    } else {
      EXPECT_GE(again, 1);
    }
  }
}

// The third sequence takes over a page that the second computes in the pass being filled, then has
// to go itself: only what earlier passes computed may be saved of it.
TEST(PassScheduler, SavesNothingThatIsStillToBeComputed) {
  std::mt19937 random(1);
  std::vector<uint64_t> memory(7 * kKvPageTokens);
  SimulatedSwap swap(&memory, 7, SimulatedSwap::Choice::kAlways, /*fails=*/false, &random);
  PagePool pool(7);
  PassScheduler scheduler(
      {.pass_rows = 200, .logit_rows = 200, .max_sequences = 3, .balanced_rows = 104}, &pool,
      &swap);
  const int64_t first = scheduler.Add({1}, 400, 0);
  const int64_t second = scheduler.Add(std::vector<int32_t>(40, 7), 128, 39);
  const int64_t third = scheduler.Add(std::vector<int32_t>(160, 7), 160, 159);
  const auto chunks = scheduler.NextPass();
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[2].count, 64) << "a page of its own";
  for (int pass = 0; pass < 2; ++pass) {  // the first one's rows leave no room for others
    for (int i = 0; i < 104; ++i) scheduler.Append(first, 2);
    ASSERT_EQ(scheduler.NextPass().size(), 1u);
  }
  ASSERT_EQ(pool.available(), 1);
  for (int i = 0; i < 88; ++i) scheduler.Append(second, 7);
  ASSERT_EQ(scheduler.NextPass().size(), 1u) << "the last page is the second one's";
  EXPECT_EQ(scheduler.counters().shared_rows, kKvPageTokens);
  EXPECT_EQ(scheduler.oldest_waiting(), third);
  EXPECT_EQ(scheduler.counters().swaps, 1);
  EXPECT_EQ(swap.free_slots(), 6) << "one page was saved";
}

TEST(PassScheduler, SharesAPrefixWithinThePassThatComputesIt) {
  PagePool pool(64);
  PassScheduler scheduler({.pass_rows = 1000, .logit_rows = 16, .max_sequences = 16}, &pool);
  std::vector<int32_t> prompt(200, 7);
  for (int32_t i = 0; i < 4; ++i) {
    prompt.back() = i;
    scheduler.Add(prompt, 300, 199);
  }
  const auto chunks = scheduler.NextPass();
  ASSERT_EQ(chunks.size(), 4u);
  EXPECT_EQ(chunks[0].count, 200);
  for (int i = 1; i < 4; ++i) EXPECT_EQ(chunks[i].first, 192) << "three pages are there already";
  EXPECT_EQ(scheduler.counters().shared_rows, 3 * 192);
  EXPECT_EQ(pool.available(), 64 - 3 - 4);
}

// Preempted in a pass that then failed, a sequence has none of its rows any more.
TEST(PassScheduler, GivesBackNoRowsOfPagesThatWerePreempted) {
  PagePool pool(4);
  PassScheduler scheduler({.pass_rows = 64, .logit_rows = 1, .max_sequences = 1}, &pool);
  const int64_t batch = scheduler.Add(std::vector<int32_t>(40, 1), 60, 39,
                                      PassScheduler::OwnPages{}, Priority::kBatch);
  ASSERT_EQ(scheduler.NextPass().size(), 1u);
  scheduler.Append(batch, 2);
  const int64_t first = scheduler.Add(std::vector<int32_t>(10, 1), 20, 9);
  const std::vector<PassScheduler::Chunk> pass = scheduler.NextPass();
  ASSERT_EQ(pass.size(), 1u);
  EXPECT_EQ(pass[0].id, first) << "the batch makes room";
  const PassScheduler::OwnPages own = scheduler.TakeOut(batch, /*pass_failed=*/true);
  EXPECT_EQ(own.rows, 0);
  EXPECT_TRUE(own.pages.pages.empty());
}

}  // namespace
}  // namespace sluice
