// A whole model over a disk that is slow, answers out of order, fails and lies: the logits are
// right or there is an error, and everything ends.
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/runtime/model_harness.h"

namespace sluice {
namespace {

constexpr char kModel[] = "qwen2-bias-bf16";
const std::vector<int32_t> kTokens = {1, 5, 9, 2, 7, 3};

// Enough rows that slabs are verified beside products, by the threads that compute.
std::vector<int32_t> LongPrompt() {
  std::vector<int32_t> tokens;
  for (int i = 0; i < 80; ++i) tokens.push_back(kTokens[i % kTokens.size()] + i % 7);
  return tokens;
}

// Reads through another engine, and answers when and how a seed says.
class FaultyEngine : public IoEngine {
 public:
  struct Odds {  // in 1024
    int fails = 0;
    int lies = 0;
  };
  FaultyEngine(std::unique_ptr<IoEngine> engine, uint32_t seed, Odds odds)
      : random_(seed), odds_(odds), engine_(std::move(engine)), answerer_([this] { Answer(); }) {}
  ~FaultyEngine() override {
    engine_.reset();  // all that was asked for is in done_ from here on
    {
      std::lock_guard<std::mutex> lock(mutex_);
      closing_ = true;
      changed_.notify_one();
    }
    answerer_.join();
  }

  void Submit(IoRequest request) override {
    auto kept = std::make_shared<IoRequest>(std::move(request));
    IoRequest inner = *kept;
    inner.done = [this, kept](absl::Status status) {
      std::lock_guard<std::mutex> lock(mutex_);
      done_.push_back({kept, std::move(status)});
      changed_.notify_one();
    };
    engine_->Submit(std::move(inner));
  }
  IoCounters counters() const override { return engine_->counters(); }
  const std::string& description() const override { return engine_->description(); }

 private:
  struct Done {
    std::shared_ptr<IoRequest> request;
    absl::Status status;
  };

  // Takes any of what has arrived, and now and then lets the others overtake it.
  void Answer() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return closing_ || !done_.empty(); });
      if (done_.empty()) return;
      const size_t chosen = random_() % done_.size();
      std::swap(done_[chosen], done_.back());
      Done answer = std::move(done_.back());
      done_.pop_back();
      const uint32_t kind = random_() % 1024;
      const uint32_t byte = random_();
      const int turns = static_cast<int>(random_() % 16);
      lock.unlock();
      for (int i = 0; i < turns; ++i) std::this_thread::yield();
      if (answer.status.ok() && kind < static_cast<uint32_t>(odds_.fails)) {
        answer.status = absl::UnavailableError("injected EIO");
      } else if (kind < static_cast<uint32_t>(odds_.fails + odds_.lies) && !answer.request->write) {
        answer.request->buffer[byte % answer.request->bytes] ^= std::byte{1};
      }
      answer.request->done(std::move(answer.status));
      lock.lock();
    }
  }

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::vector<Done> done_;
  bool closing_ = false;
  std::mt19937 random_;

  const Odds odds_;
  std::unique_ptr<IoEngine> engine_;
  std::thread answerer_;
};

RunConfig FaultyConfig(uint32_t seed, FaultyEngine::Odds odds) {
  RunConfig config;
  config.placement = seed % 2 == 0 ? Placement::kStreamed : Placement::kHalf;
  config.ring_slabs = 2 + seed % 5;
  config.num_threads = 2;
  config.make_engine = [seed, odds](
                           const std::vector<std::string>& paths,
                           absl::Span<const absl::Span<std::byte>> buffers,
                           const IoOptions& options) -> absl::StatusOr<std::unique_ptr<IoEngine>> {
    absl::StatusOr<std::unique_ptr<IoEngine>> engine = IoEngine::Create(paths, buffers, options);
    if (!engine.ok()) return engine.status();
    return std::make_unique<FaultyEngine>(*std::move(engine), seed, odds);
  };
  return config;
}

TEST(FaultyDisk, OutOfOrderAndLateAnswersChangeNothing) {
  const TestStore store(kModel, "", 8 << 10);
  for (const std::vector<int32_t>& tokens : {kTokens, LongPrompt()}) {
    const std::vector<float> expected = TestModel(*store, RunConfig()).Logits(tokens);
    for (uint32_t seed = 0; seed < (tokens == kTokens ? 10u : 4u); ++seed) {
      TestModel model(*store, FaultyConfig(seed, {}));
      EXPECT_EQ(model.Logits(tokens), expected)
          << "seed " << seed << ", " << tokens.size() << " rows";
    }
  }
}

// The same with keys and values on the disk, too: chunks of rows read what the ones before them
// wrote.
TEST(FaultyDisk, KeepsKeysAndValuesOrSaysThatItDidNot) {
  const TestStore store(kModel, "", 8 << 10);
  const std::vector<int32_t> tokens = LongPrompt();
  const std::vector<float> expected = TestModel(*store, RunConfig()).Logits(tokens);
  int right = 0, failed = 0;
  for (uint32_t seed = 0; seed < 24; ++seed) {
    const FaultyEngine::Odds odds = {.fails = static_cast<int>(seed % 3),
                                     .lies = static_cast<int>(seed / 3 % 3)};
    RunConfig config = FaultyConfig(seed, odds);
    config.chunk = 23;
    config.context = 128;
    config.kv_disk_pages = 1 + seed % 2;
    TestModel model(*store, config);
    const absl::StatusOr<std::vector<float>> logits = model.TryLogits(tokens);
    if (logits.ok()) {
      ASSERT_EQ(*logits, expected) << "seed " << seed;
      ++right;
    } else {
      EXPECT_TRUE(absl::IsUnavailable(logits.status()) || absl::IsDataLoss(logits.status()))
          << logits.status();
      EXPECT_GT(seed % 9, 0u) << "nothing was injected: " << logits.status();
      ++failed;
    }
  }
  EXPECT_GT(right, 0);
  EXPECT_GT(failed, 0);
}

TEST(FaultyDisk, FailedAndFalseReadsNeverGiveAWrongLogit) {
  const TestStore store(kModel, "", 8 << 10);
  const std::vector<float> expected_short = TestModel(*store, RunConfig()).Logits(kTokens);
  const std::vector<float> expected_long = TestModel(*store, RunConfig()).Logits(LongPrompt());
  int right = 0, failed = 0;
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const bool is_long = seed % 7 == 0;
    const std::vector<int32_t> tokens = is_long ? LongPrompt() : kTokens;
    const std::vector<float>& expected = is_long ? expected_long : expected_short;
    TestModel model(*store, FaultyConfig(seed, {.fails = static_cast<int>(seed % 4),
                                                .lies = static_cast<int>(seed / 4 % 4)}));
    // Passes go on until one fails: a second and third walk find errors that the first did not.
    for (int i = 0; i < 3; ++i) {
      const absl::StatusOr<std::vector<float>> logits = model.TryLogits(tokens);
      if (logits.ok()) {
        ASSERT_EQ(*logits, expected) << "seed " << seed;
        ++right;
        continue;
      }
      ++failed;
      EXPECT_TRUE(absl::IsUnavailable(logits.status()) || absl::IsDataLoss(logits.status()))
          << logits.status();
      break;
    }
  }
  EXPECT_GT(right, 0);
  EXPECT_GT(failed, 0);
}

// Every byte of a compressed slab that is wrong is found before or while it is decoded.
TEST(FaultyDisk, NeverGivesAWrongLogitFromACompressedStore) {
  const TestStore plain(kModel, "", 64 << 10);
  const TestStore packed(kModel, "", 64 << 10, StoreCompression::kZstd);
  ASSERT_LT(packed->manifest().slab_bytes_total(), plain->manifest().slab_bytes_total());
  const std::vector<float> expected = TestModel(*plain, RunConfig()).Logits(kTokens);
  for (uint32_t seed = 0; seed < 16; ++seed) {
    TestModel model(*packed,
                    FaultyConfig(seed, {.fails = 0, .lies = static_cast<int>(seed % 4 * 8)}));
    const absl::StatusOr<std::vector<float>> logits = model.TryLogits(kTokens);
    if (logits.ok()) {
      EXPECT_EQ(*logits, expected) << "seed " << seed;
    } else {
      EXPECT_TRUE(absl::IsDataLoss(logits.status())) << logits.status();
    }
  }
}

TEST(FaultyDisk, EveryRingSizeGivesTheSameLogits) {
  const TestStore store(kModel, "", 8 << 10);
  const std::vector<float> expected = TestModel(*store, RunConfig()).Logits(kTokens);
  for (int64_t slabs = 2; slabs < 40; slabs += 1 + slabs / 8) {
    RunConfig config;
    config.placement = Placement::kStreamed;
    config.ring_slabs = slabs;
    TestModel model(*store, config);
    for (int pass = 0; pass < 2; ++pass) {
      EXPECT_EQ(model.Logits(kTokens), expected) << slabs << " slabs";
    }
  }
}

}  // namespace
}  // namespace sluice
