// Keys and values in host memory while a device computes: what is copied, that it is ordered, and
// that no logit tells.
#include "runtime/kv/kv_staging.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/engine/engine.h"
#include "runtime/floor/pass_floor.h"
#include "runtime/kv/kv_rows.h"
#include "tests/runtime/late_model.h"
#include "tests/runtime/model_harness.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

#ifdef SLUICE_SANITIZED
constexpr uint32_t kSeeds = 3;
#else
constexpr uint32_t kSeeds = 6;
#endif
constexpr int64_t kRoomyRam = 4 << 20;
// Of what computes: copies beside it, as late as can be, as early as can be.
using FirstStream = LateDevice::Faults::FirstStream;
constexpr FirstStream kPaces[] = {FirstStream::kInTurn, FirstStream::kEarly, FirstStream::kLate};

// One that differs from its neighbours.
int32_t TokenAt(int64_t sequence, int64_t position) {
  return static_cast<int32_t>((position * position + 31 * sequence) % 97);
}

std::vector<int32_t> Tokens(int64_t n) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < n; ++i) tokens.push_back(TokenAt(0, i));
  return tokens;
}

TEST(DeviceKvStaging, HasRoomForWhatAnyPassSees) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    const int64_t window = random() % 4 == 0 ? 0 : 1 + random() % 200;
    const int64_t sequences = 1 + random() % 5, pass_rows = 1 + random() % 200;
    std::vector<std::vector<int32_t>> tables(sequences);
    std::vector<PassSpan> spans;
    int64_t left = pass_rows;
    int32_t pages = 0;
    for (std::vector<int32_t>& table : tables) {
      if (left == 0) break;
      const int64_t rows = 1 + static_cast<int64_t>(random() % left), first = random() % 600;
      left -= rows;
      for (int64_t p = 0; p <= (first + rows - 1) / kKvPageTokens; ++p) table.push_back(pages++);
      spans.push_back({table.data(), first, first + rows - 1});
    }
    std::vector<PageUse> uses = PagesOf(spans, 0);
    std::erase_if(uses, [&](const PageUse& use) { return !use.SeenThrough(window); });
    EXPECT_LE(static_cast<int64_t>(uses.size()),
              KvStaging::MostPages(window, sequences, pass_rows, pages));
  }
  EXPECT_EQ(KvStaging::MostPages(16, 1, 64, 100), 3) << "79 positions";
  EXPECT_EQ(KvStaging::MostPages(0, 1, 64, 100), 100) << "one layer sees everything";
  EXPECT_EQ(KvStaging::MostPages(16, 1, 64, 2), 2);
}

// The timeline has all copies that the counters have, one after the other, at the layers' first
// slabs.
void ExpectMovesOf(const LayerStore& store, const std::vector<TimelineEvent>& events,
                   const KvStagingCounters& counters) {
  const std::vector<ManifestSlab>& slabs = store.manifest().slabs;
  std::vector<TimelineEvent> moves;
  for (const TimelineEvent& event : events) {
    if (event.hop == Hop::kKvIn || event.hop == Hop::kKvOut) moves.push_back(event);
  }
  ASSERT_EQ(moves.size() % 2, 0);
  int64_t bytes_in = 0, bytes_out = 0;
  double seconds = 0;
  for (size_t i = 0; i < moves.size(); i += 2) {
    const TimelineEvent &begin = moves[i], &end = moves[i + 1];
    EXPECT_EQ(begin.to, SlabState::kReading);
    EXPECT_EQ(end.to, SlabState::kReady);
    EXPECT_EQ(begin.pass, end.pass);
    EXPECT_EQ(begin.slab, end.slab);
    EXPECT_EQ(begin.hop, end.hop);
    EXPECT_LE(begin.time, end.time);
    EXPECT_LE(moves[i > 0 ? i - 1 : 0].time, begin.time);
    const int64_t slab = begin.slab;
    EXPECT_EQ(slabs[slab].block % 2, 0) << "attention";
    EXPECT_TRUE(slab == 0 || slabs[slab - 1].block != slabs[slab].block);
    (begin.hop == Hop::kKvIn ? bytes_in : bytes_out) += begin.bytes;
    seconds += std::chrono::duration<double>(end.time - begin.time).count();
  }
  EXPECT_EQ(bytes_in, counters.bytes_in);
  EXPECT_EQ(bytes_out, counters.bytes_out);
  // The timeline never has more time than the counters, but for rounding. It has less where a span
  // was cut to begin behind the one before it and to end before the host saw it
  // (DeviceClock::Place), as happens when a thread that stamps events is kept from a CPU: never
  // much of the sum.
  EXPECT_LE(seconds, counters.copy_seconds + 1e-6 * static_cast<double>(moves.size()));
  EXPECT_GE(seconds, 0.5 * counters.copy_seconds - 1e-6 * static_cast<double>(moves.size()));
  EXPECT_GE(counters.wait_seconds, 0);
}

class DeviceKvStagingModels : public testing::TestWithParam<const char*> {};

// A prompt in chunks that end inside pages, at their ends and beyond, then again over pages that
// hold something else.
TEST_P(DeviceKvStagingModels, GivesTheHostsBitsAndCopiesWhatTheFloorSays) {
  const TestStore store(GetParam(), "", 32 << 10);
  const std::vector<int32_t> tokens = Tokens(3 * kKvPageTokens + 9);
  for (const KvType kv_type : {KvType::kF32, KvType::kQ8_0}) {
    const std::vector<float> expected =
        TestModel(*store, {.kv = kv_type, .context = 256}).Logits(tokens);
    for (uint32_t seed = 0; seed < kSeeds; ++seed) {
      const int64_t rows = seed % 3 == 0 ? 33 : seed % 3 == 1 ? 64 : 100;
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", " << rows << " rows");
      LateModel late(*store, seed, 1 << 20, kRoomyRam, rows, 0,
                     {.first_stream = kPaces[seed / 2 % 3]},
                     {.kv = KvPlace::kHost, .kv_type = kv_type, .context = 256});
      ASSERT_TRUE(late.plan.KvInHostMemory());
      std::vector<TimelineEvent> events;
      late.model->SetTimelineSink([&events](absl::Span<const TimelineEvent> more) {
        events.insert(events.end(), more.begin(), more.end());
      });
      for (int again = 0; again < 2; ++again) {
        const auto logits = LogitsOf(*late.model, tokens);
        ASSERT_TRUE(logits.ok()) << logits.status();
        ASSERT_EQ(*logits, expected);
      }
      EXPECT_LE(late.device.allocated(), late.plan.nearest().total_bytes());
      EXPECT_LE(late.device.pinned(), ComputePlace::kStagingBytes + late.plan.pinned_bytes());
      PassWork work;
      work.memories.resize(3);
      for (size_t first = 0; first < tokens.size(); first += late.plan.pass_rows) {
        const int64_t count = std::min<int64_t>(late.plan.pass_rows, tokens.size() - first);
        AddHostKv(late.model->kv_cache().layout(), static_cast<int64_t>(first), count,
                  /*sequences=*/2, &work);
      }
      const KvStagingCounters counters = late.model->kv_staging_counters();
      EXPECT_EQ(counters.bytes_in + counters.bytes_out, work.host().sent_bytes);
      late.model->FlushTimeline();
      ExpectMovesOf(*store, events, counters);
      const PassCounters passes = late.model->pass_counters();
      EXPECT_GE(passes.wait_copy_seconds, 0);
      EXPECT_GE(passes.compute_seconds, 0);
      EXPECT_NEAR(passes.compute_seconds + passes.wait_disk_seconds + passes.wait_copy_seconds +
                      passes.other_seconds,
                  passes.wall_seconds, 1e-6);
    }
  }
}

// Layers: three that see 16 tokens, three, two.
INSTANTIATE_TEST_SUITE_P(All, DeviceKvStagingModels,
                         testing::Values("mistral-window-f16", "qwen2-bias-bf16",
                                         "TinyStories-656K"),
                         [](const testing::TestParamInfo<const char*>& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Some sequences over one cache, pages of which they share, and the logits of all their rows.
class Sequences {
 public:
  explicit Sequences(Model* model) : model_(model) {}

  struct Chunk {
    int sequence;
    int64_t first;
    int64_t count;
  };
  absl::Status Run(const std::vector<Chunk>& chunks, const std::atomic<bool>* stop = nullptr) {
    std::vector<PassRow> rows;
    for (const Chunk& chunk : chunks) {
      for (int64_t p = chunk.first; p < chunk.first + chunk.count; ++p) {
        const bool shared = p < kKvPageTokens && chunk.sequence < 2;
        rows.push_back(
            {&sequences_[chunk.sequence], p, TokenAt(shared ? 0 : chunk.sequence, p), true});
      }
    }
    const auto logits = model_->RunPass(rows, stop);
    if (!logits.ok()) return logits.status();
    logits_.insert(logits_.end(), logits->begin(), logits->end());
    return absl::OkStatus();
  }
  void Reserve(int sequence, int64_t tokens) {
    EXPECT_TRUE(model_->kv_cache().Reserve(sequences_[sequence], tokens).ok());
  }
  // The first page of one sequence is another's, too.
  void ShareFirstPage(int with, int of) {
    sequences_[with].pages.push_back(sequences_[of].pages[0]);
  }
  void ReleaseOwn(int sequence) { model_->kv_cache().Release(sequences_[sequence]); }

  // Keys and values as they lie in the cache.
  std::vector<std::byte> Rows(int sequence, int64_t tokens) {
    std::vector<std::byte> bytes;
    EXPECT_TRUE(Each(sequence, tokens, KvAccess::kRead, [&bytes](absl::Span<std::byte> rows) {
                  bytes.insert(bytes.end(), rows.begin(), rows.end());
                  return absl::OkStatus();
                }).ok());
    return bytes;
  }
  void SetRows(int sequence, int64_t tokens, const std::vector<std::byte>& from) {
    auto at = from.begin();
    EXPECT_TRUE(Each(sequence, tokens, KvAccess::kWrite, [&at](absl::Span<std::byte> rows) {
                  std::copy(at, at + rows.size(), rows.begin());
                  at += rows.size();
                  return absl::OkStatus();
                }).ok());
  }
  const std::vector<float>& logits() const { return logits_; }

 private:
  absl::Status Each(int sequence, int64_t tokens, KvAccess access,
                    absl::FunctionRef<absl::Status(absl::Span<std::byte>)> on_bytes) {
    return ForEachKvRows(model_->kv_cache(), sequences_[sequence], tokens, access, on_bytes);
  }
  Model* const model_;
  KvSequence sequences_[4];
  std::vector<float> logits_;
};

// What all models have to do alike. `cancel`, where there is one, runs a pass that ends early.
using Cancel = std::function<void(Sequences&, const std::vector<Sequences::Chunk>&)>;
void RunScript(Sequences& s, const Cancel& cancel) {
  s.Reserve(0, 200);
  s.ShareFirstPage(1, 0);
  s.Reserve(1, 128);
  s.Reserve(2, 128);
  // The second one sees a page of the first that the same pass writes.
  ASSERT_TRUE(s.Run({{0, 0, 70}, {1, 64, 5}}).ok());
  const std::vector<Sequences::Chunk> second = {{0, 70, 30}, {1, 69, 1}, {2, 0, 40}};
  if (cancel) cancel(s, second);
  ASSERT_TRUE(s.Run(second).ok());
  ASSERT_TRUE(s.Run({{2, 40, 70}}).ok()) << "without the others";
  for (int64_t i = 0; i < 3; ++i)
    ASSERT_TRUE(s.Run({{0, 100 + i, 1}, {1, 70 + i, 1}, {2, 110 + i, 1}}).ok());
  const std::vector<std::byte> rows = s.Rows(2, 113);
  s.ReleaseOwn(2);
  s.Reserve(3, 128);  // in its pages
  if (cancel) cancel(s, {{3, 0, 50}, {0, 103, 1}});
  ASSERT_TRUE(s.Run({{3, 0, 100}, {0, 103, 1}}).ok());
  s.SetRows(3, 113, rows);
  ASSERT_TRUE(s.Run({{3, 113, 2}, {0, 104, 1}}).ok());
}

TEST(DeviceKvStaging, KeepsSequencesApartThroughSharedPagesCancelledPassesAndTheHostsOwnReading) {
  for (const char* name : {"qwen2-bias-bf16", "mistral-window-f16"}) {
    const TestStore store(name, "", 16 << 10);
    TestModel cpu(*store, {.chunk = 110, .context = 512});
    Sequences expected(cpu.model.get());
    RunScript(expected, nullptr);
    for (uint32_t seed = 0; seed < 2 * kSeeds; ++seed) {
      for (const KvPlace kv : {KvPlace::kHost, KvPlace::kDevice}) {
        if (kv == KvPlace::kDevice && seed > 0) continue;
        SCOPED_TRACE(testing::Message() << name << ", seed " << seed);
        // All slabs stay on the device, or none.
        LateModel late(
            *store, seed, 1 << 30, kRoomyRam, 110, 0, {.first_stream = kPaces[seed / 2 % 3]},
            {.kv = kv, .context = 256, .sequences = 4, .kv_pages = 7, .streamed = seed % 2 == 0});
        Sequences got(late.model.get());
        int64_t appended = 0, stop_after = 0;
        std::atomic<bool> stop;
        late.ops.on_append = [&] { stop = ++appended >= stop_after; };
        RunScript(got, [&](Sequences& s, const std::vector<Sequences::Chunk>& chunks) {
          for (const int64_t layers : {1, 2}) {
            stop = false;
            appended = 0;
            stop_after = layers;
            EXPECT_TRUE(absl::IsCancelled(s.Run(chunks, &stop)));
            EXPECT_EQ(appended, layers);
            // What was there before is untouched, for the host at once.
            EXPECT_EQ(s.Rows(0, 70), expected.Rows(0, 70));
          }
        });
        if (HasFatalFailure()) return;
        EXPECT_EQ(got.logits(), expected.logits());
        EXPECT_EQ(got.Rows(3, 115), expected.Rows(3, 115));
        EXPECT_EQ(got.Rows(0, 105), expected.Rows(0, 105));
      }
    }
  }
}

// Pages of a pass that was cancelled belong to the host at once: what it puts there is not
// overwritten by what the device still has of them.
TEST(DeviceKvStaging, LeavesPagesOfACancelledPassToTheHost) {
  const TestStore store("qwen2-bias-bf16", "", 32 << 10);
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    LateModel late(*store, seed, 1 << 30, kRoomyRam, 64, 0, {.first_stream = FirstStream::kLate},
                   {.kv = KvPlace::kHost});
    Sequences s(late.model.get());
    s.Reserve(2, 64);
    s.Reserve(3, 64);
    std::atomic<bool> stop = false;
    ASSERT_TRUE(s.Run({{2, 0, 10}}).ok());
    stop = true;
    ASSERT_TRUE(absl::IsCancelled(s.Run({{2, 10, 40}}, &stop)));
    const std::vector<std::byte> own(s.Rows(2, 64).size(), std::byte{0x31});
    s.SetRows(2, 64, own);
    ASSERT_TRUE(s.Run({{3, 0, 20}}).ok());
    EXPECT_TRUE(s.Rows(2, 64) == own) << "seed " << seed;
  }
}

// Without the waits for events some order of copies and operations gives something else.
TEST(DeviceKvStaging, NeedsItsWaits) {
  const TestStore store("qwen2-bias-bf16", "", 32 << 10);
  const std::vector<int32_t> tokens = Tokens(2 * kKvPageTokens);
  const std::vector<float> expected = TestModel(*store, {.context = 128}).Logits(tokens);
  int wrong = 0;
  for (uint32_t seed = 0; seed < 8; ++seed) {
    LateModel late(*store, seed, 1 << 30, kRoomyRam, 20, 0, {.ignore_waits = true},
                   {.kv = KvPlace::kHost});
    const auto logits = LogitsOf(*late.model, tokens);
    wrong += !logits.ok() || *logits != expected;
  }
  EXPECT_GT(wrong, 0);
}

TEST(DeviceKvStaging, ACopyThatFailsEndsThePass) {
  const TestStore store("qwen2-bias-bf16", "", 32 << 10);
  const std::vector<int32_t> tokens = Tokens(100);
  int64_t failed = 0;
  for (int64_t copy = 0; copy < 120; copy += 7) {
    LateModel late(*store, 1, 1 << 30, kRoomyRam, 50, 0, {.failing_copy = 60 + copy},
                   {.kv = KvPlace::kHost});
    if (late.model == nullptr) continue;  // the copy was one of creating it
    const auto logits = LogitsOf(*late.model, tokens);
    if (logits.ok()) continue;
    ++failed;
    EXPECT_THAT(std::string(logits.status().message()), HasSubstr("the device is lost"));
  }
  EXPECT_GT(failed, 0);
}

// Pages that cannot be pinned: they lie on the device if they may, or it is said how much could be.
TEST(DeviceKvStaging, GivesWayWhereItsPagesCannotBePinned) {
  const TestStore store("qwen2-bias-bf16", "", 16 << 10);
  PlanRequest request;
  request.context_tokens = 2048;
  request.pass_rows = 64;
  request.logits_of_all_rows = true;
  request.k_type = request.v_type = KvType::kF32;
  request.bytes_in_flight = 1;
  request.max_ram_bytes = int64_t{1} << 33;
  request.device = DeviceBudget{.max_bytes = int64_t{1} << 33};
  const int64_t kv_bytes = PlanMemory(*store, request)->nearest().fixed_bytes;  // and little more
  for (const KvPlace kv : {KvPlace::kHost, KvPlace::kAuto}) {
    LateDevice device(1, {.pinnable_bytes = ComputePlace::kStagingBytes + (1 << 20)});
    ASSERT_GT(kv_bytes, 1 << 20);
    const std::unique_ptr<Stream> stream = *device.NewStream();
    LateOps ops(&device, stream.get());
    const std::unique_ptr<ComputePlace> place = *MakeDevicePlace(&device, stream.get(), &ops);
    request.device->kv_place = KvPlace::kHost;
    MemoryPlan plan = *PlanMemory(*store, request);
    ASSERT_TRUE(plan.KvInHostMemory());
    plan.request.device->kv_place = kv;
    const auto model = Model::Create(*store, plan, place.get(), {.io = {.kind = IoKind::kThreads}});
    if (kv == KvPlace::kHost) {
      EXPECT_TRUE(absl::IsResourceExhausted(model.status())) << model.status();
      EXPECT_THAT(std::string(model.status().message()),
                  testing::AllOf(HasSubstr("the system pins no more than 1048576 bytes"),
                                 HasSubstr("KV cache")));
    } else {
      ASSERT_TRUE(model.ok()) << model.status();
      EXPECT_FALSE((*model)->plan().KvInHostMemory());
      EXPECT_TRUE(LogitsOf(**model, Tokens(70)).ok());
    }
  }
}

// Sequences that are preempted, swapped to a file or computed again, and share prefixes.
TEST(DeviceKvStaging, IsSwappedAsInHostMemory) {
  const TestStore store("TinyStories-656K", "", 50000);
  constexpr ResumeCosts kAlwaysSwap = {.page_s = 1e-9, .free_rows = 0, .row_s = 1};
  std::vector<std::vector<int32_t>> want;
  int64_t swaps = 0;
  for (const bool on_device : {false, true}) {
    const TempDir scratch;
    std::optional<TestModel> cpu;
    std::optional<LateModel> late;
    if (on_device) {
      late.emplace(*store, 3, 1 << 20, kRoomyRam, 100, 0, LateDevice::Faults(),
                   LateOptions{.kv = KvPlace::kHost,
                               .context = 256,
                               .sequences = 5,
                               .kv_pages = 5,
                               .scratch_dir = scratch.path()});
      ASSERT_NE(late->model->kv_file(), nullptr);
    } else {
      cpu.emplace(*store, RunConfig{.chunk = 100, .context = 2048});
    }
    Engine engine(on_device ? late->model.get() : cpu->model.get(), nullptr,
                  EngineOptions{5, 0, kAlwaysSwap});
    std::vector<std::vector<int32_t>> got(6);
    for (size_t i = 0; i < got.size(); ++i) {
      SequenceRequest request;
      request.prompt = Tokens(i == 3 ? 80 : 20);
      request.prompt[i % 2 * 5 + 2] = static_cast<int32_t>(i);
      request.max_new_tokens = 130;
      request.ignore_eos = true;
      request.sampler.temperature = 0;
      request.on_finish = [&got, i](SequenceResult result) { got[i] = std::move(result.ids); };
      ASSERT_TRUE(engine.Submit(std::move(request)).ok());
    }
    while (!engine.idle()) {
      const auto report = engine.Step();
      ASSERT_TRUE(report.ok()) << report.status();
      EXPECT_EQ(report->kv_link_bytes > 0, on_device);
    }
    swaps = engine.counters().swaps;
    EXPECT_TRUE(engine.swap_status().ok()) << engine.swap_status();
    if (on_device) {
      EXPECT_EQ(got, want);
    } else {
      want = std::move(got);
    }
  }
  EXPECT_GT(swaps, 0);
}

}  // namespace
}  // namespace sluice
