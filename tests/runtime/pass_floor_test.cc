// The arithmetic of a pass's floor.
#include "runtime/floor/pass_floor.h"

#include "gtest/gtest.h"
#include "tests/runtime/model_harness.h"

namespace sluice {
namespace {

MachineRates FloorRates() {
  MachineRates rates;
  rates.disk_bytes_per_s = 100;
  rates.memory_bytes_per_s = 1000;
  rates.verify_bytes_per_s = 500;
  rates.num_threads = 2;
  rates.num_cpus = 2;
  rates.kernels = {{Encoding::kQ8_0, 1, 800}, {Encoding::kQ8_0, 9, 80}};
  return rates;
}

// As of a CPU, or with a device beside it.
PassWork WorkIn(size_t num_tiers) {
  PassWork work;
  work.memories.resize(num_tiers + 1);
  return work;
}

TEST(PassFloor, InterpolatesKernelTimesBetweenRows) {
  const MachineRates rates = FloorRates();
  struct Case {
    int64_t rows;
    int threads;
    double seconds_per_byte;
  };
  for (const Case& c :
       {Case{1, 2, 1.0 / 800}, Case{9, 2, 1.0 / 80}, Case{5, 2, (1.0 / 800 + 1.0 / 80) / 2},
        Case{18, 2, 2.0 / 80}, Case{1, 1, 2.0 / 800}}) {
    EXPECT_DOUBLE_EQ(KernelSecondsPerByte(rates, Encoding::kQ8_0, c.rows, c.threads),
                     c.seconds_per_byte)
        << c.rows << " rows, " << c.threads << " threads";
  }
  EXPECT_EQ(KernelSecondsPerByte(rates, Encoding::kF32, 1, 2), 0) << "not measured";
}

// 1,000 bytes at 100 a second, through rings of so many bytes.
TEST(PassFloor, CountsTheTurnsOfASmallRing) {
  MachineRates rates = FloorRates();
  rates.verify_bytes_per_s = 0;
  rates.ring_turn_s = 0.5;
  PassWork work = WorkIn(1);
  work.disk().sent_bytes = 1000;
  const auto floor = [&](int64_t ring_bytes, int64_t slab_bytes) {
    work.ring_bytes = ring_bytes;
    work.ring_slab_bytes = slab_bytes;
    return FloorOf(work, rates);
  };
  EXPECT_DOUBLE_EQ(floor(0, 0).predicted_s(), 10) << "no ring";
  EXPECT_DOUBLE_EQ(floor(1000, 100).predicted_s(), 11) << "one more for rows of the embedding";
  const PassFloor small = floor(100, 50);
  EXPECT_DOUBLE_EQ(small.predicted_s(), 15.5);
  EXPECT_DOUBLE_EQ(small.ring_s, 15.5);
  EXPECT_DOUBLE_EQ(small.turns_s, 5.5);
  EXPECT_DOUBLE_EQ(small.floor_s(), 10) << "what the disk can do stays the limit";
  EXPECT_STREQ(small.bound_by(), kDiskTerm);
  // Two slabs: each is read in 0.5 s, and checked in 9 s while the other one waits or comes.
  rates.verify_bytes_per_s = 50 / 9.0;
  work.verified_bytes = 1000;
  EXPECT_DOUBLE_EQ(floor(100, 50).ring_s, 11 * (0.5 + 0.5 + 9));
  rates.ring_turn_s = 0;
  EXPECT_DOUBLE_EQ(floor(1000, 1).ring_s, 10) << "many small slabs overlap";
  work.disk().sent_bytes = work.verified_bytes = 0;
  EXPECT_EQ(floor(100, 50).ring_s, 0) << "nothing is read";
}

TEST(PassFloor, WithFastMathTakesWhatWasMeasuredOfIt) {
  MachineRates rates = FloorRates();
  rates.kernels.push_back({Encoding::kBF16, 1, 900});
  rates.kernels.push_back({Encoding::kBF16, 9, 100});
  EXPECT_DOUBLE_EQ(KernelSecondsPerByte(WithFastMath(rates), Encoding::kBF16, 9, 2), 1.0 / 100)
      << "nothing measured";
  rates.fast_kernels = {{Encoding::kBF16, 9, 200}};
  EXPECT_DOUBLE_EQ(KernelSecondsPerByte(WithFastMath(rates), Encoding::kBF16, 9, 2), 1.0 / 200);
  EXPECT_DOUBLE_EQ(KernelSecondsPerByte(WithFastMath(rates), Encoding::kBF16, 1, 2), 1.0 / 200)
      << "no exact one is left";
  EXPECT_DOUBLE_EQ(KernelSecondsPerByte(WithFastMath(rates), Encoding::kQ8_0, 9, 2), 1.0 / 80);
}

TEST(PassFloor, CountsPagesOverTheLinkThatRowsSeeAndThoseThatGetRows) {
  std::vector<LayerState> layers(2, {{}, 0, 1000});
  const auto pages = [&](int64_t context, int64_t rows) {
    PassWork work = WorkIn(2);
    AddHostKv(StateLayout(layers), context, rows, /*sequences=*/1, &work);
    EXPECT_EQ(work.host().touched_bytes, work.host().sent_bytes);
    EXPECT_EQ(work.nearest().touched_bytes, work.host().sent_bytes);
    return static_cast<double>(work.host().sent_bytes) / 1000;
  };
  EXPECT_EQ(pages(0, 1), 2 * (0 + 1));
  EXPECT_EQ(pages(1, 1), 2 * (1 + 1));
  EXPECT_EQ(pages(64, 1), 2 * (1 + 1));
  EXPECT_EQ(pages(65, 64), 2 * (2 + 2));
  EXPECT_EQ(pages(6400, 64), 2 * (100 + 1));
  layers[1].window = 16;
  EXPECT_EQ(pages(640, 1), 10 + 1 + 2) << "positions 625 to 639 are in one page";
  EXPECT_EQ(pages(650, 1), 11 + 2 + 2);
  EXPECT_EQ(pages(700, 1), 11 + 1 + 2);
  PassWork work = WorkIn(2);
  AddHostKv(StateLayout(layers), 640, 1, /*sequences=*/2.5, &work);
  EXPECT_EQ(work.host().sent_bytes, 32500);
}

TEST(PassFloor, IsTheLargestTerm) {
  PassWork work = WorkIn(1);
  work.num_threads = 2;
  work.products = {{Encoding::kQ8_0, 1, 8000}};
  EXPECT_EQ(FloorOf(work, FloorRates()).floor_s(), 10);
  EXPECT_STREQ(FloorOf(work, FloorRates()).bound_by(), "compute");
  work.disk().sent_bytes = 2000;
  EXPECT_EQ(FloorOf(work, FloorRates()).floor_s(), 20);
  EXPECT_STREQ(FloorOf(work, FloorRates()).bound_by(), "disk");
  work.host().touched_bytes = 30000;
  EXPECT_EQ(FloorOf(work, FloorRates()).floor_s(), 30);
  EXPECT_STREQ(FloorOf(work, FloorRates()).bound_by(), "memory");
}

TEST(PassFloor, HasTheLinkAndTheMemoryOfADeviceAmongItsTerms) {
  MachineRates rates = FloorRates();
  rates.link_bytes_per_s = 50;
  rates.device_memory_bytes_per_s = 5000;
  PassWork work = WorkIn(2);
  work.disk().sent_bytes = 100;
  work.host().sent_bytes = 1000;
  work.nearest().touched_bytes = 50000;
  PassFloor floor = FloorOf(work, rates);
  EXPECT_EQ(floor.Seconds(kLinkTerm), 20);
  EXPECT_EQ(floor.Seconds(kDeviceMemoryTerm), 10);
  EXPECT_EQ(floor.floor_s(), 20);
  EXPECT_EQ(floor.predicted_s(), 20);
  EXPECT_STREQ(floor.bound_by(), "link");
  work.nearest().touched_bytes = 150000;
  floor = FloorOf(work, rates);
  EXPECT_EQ(floor.predicted_s(), 30);
  EXPECT_STREQ(floor.bound_by(), "device memory");
  work.disk().sent_bytes = 4000;
  EXPECT_STREQ(FloorOf(work, rates).bound_by(), "disk");
}

TEST(PassFloor, SharesTheProcessorsInThePrediction) {
  PassWork work;
  work.num_threads = 2;
  work.products = {{Encoding::kQ8_0, 1, 8000}};  // 10 s of two threads
  work.verified_bytes = 2000;                    // 4 s of one
  const PassFloor floor = FloorOf(work, FloorRates());
  EXPECT_EQ(floor.floor_s(), 10);
  EXPECT_EQ(floor.predicted_s(), 12);
}

TEST(PassFloor, TakesWhatWasNotMeasuredToCostNothing) {
  PassWork work = WorkIn(1);
  work.disk().sent_bytes = 1000;
  work.products = {{Encoding::kF32, 1, 1000}};
  EXPECT_EQ(FloorOf(work, MachineRates()).floor_s(), 0);
}

TEST(PassFloor, DescribesWhatAPassReads) {
  const TestStore store("qwen2-bias-bf16", "", 8 << 10);
  const Manifest& manifest = store->manifest();
  Residency residency;
  residency.tier.assign(manifest.slabs.size(), 0);
  residency.tier_bytes = {manifest.slab_bytes_total()};
  const PassWork resident = DescribePass(manifest, residency, 7, 1, 2, false);
  EXPECT_EQ(resident.disk().sent_bytes, 0);
  EXPECT_EQ(resident.host().touched_bytes, manifest.slab_bytes_total());
  ASSERT_EQ(resident.products.size(), 2) << "the head has its own number of rows";
  EXPECT_EQ(resident.products[0].bytes + resident.products[1].bytes, manifest.slab_bytes_total());
  EXPECT_EQ(resident.products[0].rows, 7);
  EXPECT_EQ(resident.products[1].rows, 1);

  residency.tier[0] = kOnDisk;
  const int64_t bytes = manifest.slabs[0].bytes;
  const PassWork streamed = DescribePass(manifest, residency, 7, 1, 2, false);
  EXPECT_EQ(streamed.disk().sent_bytes, bytes);
  EXPECT_EQ(streamed.verified_bytes, bytes);
  EXPECT_EQ(streamed.host().touched_bytes, resident.host().touched_bytes + 2 * bytes);
  EXPECT_EQ(DescribePass(manifest, residency, 7, 1, 2, true).verified_bytes, 0);
}

TEST(PassFloor, DescribesWhatAPassCopiesToADevice) {
  const TestStore store("qwen2-bias-bf16", "", 8 << 10);
  const Manifest& manifest = store->manifest();
  const int64_t all = manifest.slab_bytes_total();
  constexpr int kOnDevice = 0, kInRam = 1;
  Residency residency;
  residency.tier.assign(manifest.slabs.size(), kOnDevice);
  residency.tier_bytes = {all, 0};
  const PassWork kept = DescribePass(manifest, residency, 7, 1, 2, false);
  EXPECT_EQ(kept.host().sent_bytes, 0);
  EXPECT_EQ(kept.host().touched_bytes, 0) << "of the host's memory";
  EXPECT_EQ(kept.nearest().touched_bytes, all);
  EXPECT_TRUE(kept.products.empty());

  residency.tier[0] = kInRam;
  residency.tier[1] = kOnDisk;
  const int64_t in_ram = manifest.slabs[0].bytes, streamed = manifest.slabs[1].bytes;
  const PassWork work = DescribePass(manifest, residency, 7, 1, 2, false);
  EXPECT_EQ(work.host().sent_bytes, in_ram + streamed);
  EXPECT_EQ(work.nearest().touched_bytes, all + in_ram + streamed) << "written, then read";
  EXPECT_EQ(work.disk().sent_bytes, streamed);
  EXPECT_EQ(work.verified_bytes, streamed);
  EXPECT_EQ(work.host().touched_bytes, in_ram + 3 * streamed) << "read from disk, verified, copied";
}

// Three memories, with a slab in each and one on disk.
TEST(PassFloor, DescribesWhatAPassDoesInAnyListOfMemories) {
  const TestStore store("qwen2-bias-bf16", "", 8 << 10);
  const Manifest& manifest = store->manifest();
  const int64_t all = manifest.slab_bytes_total();
  constexpr int kOnDevice = 0, kInSecond = 1, kInRam = 2;
  Residency residency;
  residency.tier.assign(manifest.slabs.size(), kOnDevice);
  residency.tier_bytes = {all, 0, 0};
  residency.tier[0] = kInSecond;
  residency.tier[1] = kInRam;
  residency.tier[2] = kOnDisk;
  const int64_t second = manifest.slabs[0].bytes, ram = manifest.slabs[1].bytes,
                disk = manifest.slabs[2].bytes;
  PassWork work = DescribePass(manifest, residency, 7, 1, 2, false);
  ASSERT_EQ(work.memories.size(), 4);
  EXPECT_EQ(work.memories[0].touched_bytes, all + second + ram + disk);
  EXPECT_EQ(work.memories[0].sent_bytes, 0);
  EXPECT_EQ(work.memories[1].touched_bytes, second + 2 * (ram + disk))
      << "what passes is written and read";
  EXPECT_EQ(work.memories[1].sent_bytes, second + ram + disk);
  EXPECT_EQ(work.memories[2].touched_bytes, ram + 3 * disk) << "read from disk, verified, copied";
  EXPECT_EQ(work.memories[2].sent_bytes, ram + disk);
  EXPECT_EQ(work.memories[3].sent_bytes, disk);
  EXPECT_TRUE(work.products.empty());

  std::vector<bool> by_host(manifest.slabs.size());
  by_host[1] = true;
  const PassWork shared = DescribePass(manifest, residency, 7, 1, 2, false, by_host);
  EXPECT_EQ(shared.memories[0].touched_bytes, all - ram + second + disk);
  EXPECT_EQ(shared.memories[1].touched_bytes, second + 2 * disk);
  EXPECT_EQ(shared.memories[1].sent_bytes, second + disk);
  EXPECT_EQ(shared.memories[2].touched_bytes, ram + 3 * disk) << "read by the CPU, not by the link";
  EXPECT_EQ(shared.memories[2].sent_bytes, disk);
  ASSERT_EQ(shared.products.size(), 1);
  EXPECT_EQ(shared.products[0].bytes, ram);

  // Pages cross the second memory, too.
  PassWork pages = WorkIn(3);
  AddHostKv(StateLayout({{{}, 0, 1000}}), /*context=*/64, /*rows=*/1, /*sequences=*/1, &pages);
  EXPECT_EQ(pages.memories[0].touched_bytes, 2000);
  EXPECT_EQ(pages.memories[1].touched_bytes, 4000);
  EXPECT_EQ(pages.memories[1].sent_bytes, 2000);
  EXPECT_EQ(pages.memories[2].touched_bytes, 2000);
  EXPECT_EQ(pages.memories[2].sent_bytes, 2000);
  EXPECT_EQ(pages.memories[3].sent_bytes, 0);
}

TEST(PassFloor, HasATermForEachMemoryAndLinkOfAnyList) {
  const std::vector<MemoryRates> rates = {{"first", 2000},
                                          {"second", 1000, "second's link", 500},
                                          {"RAM", 400, "RAM's link", 200},
                                          {"", 0, "disk", 100}};
  PassWork work = WorkIn(3);
  work.memories = {{2000, 0}, {2000, 1500}, {1600, 1000}, {0, 600}};
  work.num_threads = 2;
  work.products = {{Encoding::kQ8_0, 1, 5600}};
  PassFloor floor = FloorOf(work, FloorRates(), rates);
  struct Term {
    const char* name;
    double seconds;
    bool link;
  };
  const std::vector<Term> expected = {{"disk", 6, true},          {"RAM", 4, false},
                                      {"RAM's link", 5, true},    {"second", 2, false},
                                      {"second's link", 3, true}, {"first", 1, false},
                                      {"compute", 7, false}};
  const std::vector<FloorTerm> terms = floor.terms();
  ASSERT_EQ(terms.size(), expected.size());
  for (size_t i = 0; i < terms.size(); ++i) {
    EXPECT_STREQ(terms[i].name, expected[i].name);
    EXPECT_EQ(terms[i].seconds, expected[i].seconds) << terms[i].name;
    EXPECT_EQ(terms[i].link, expected[i].link) << terms[i].name;
    EXPECT_EQ(floor.Seconds(expected[i].name), expected[i].seconds);
  }
  EXPECT_EQ(floor.Seconds("third"), 0);
  EXPECT_EQ(floor.links_s(), 6);
  EXPECT_EQ(floor.floor_s(), 7);
  work.memories[1].sent_bytes = 5000;
  floor = FloorOf(work, FloorRates(), rates);
  EXPECT_EQ(floor.links_s(), 10);
  EXPECT_EQ(floor.predicted_s(), 10);
  EXPECT_STREQ(floor.bound_by(), "second's link");
}

// A CPU's pass has no device's memory, and nothing goes over the link to one.
TEST(PassFloor, TakesTheLastOfTheMemoriesThatWereMeasured) {
  MachineRates rates = FloorRates();
  rates.link_bytes_per_s = 50;
  rates.device_memory_bytes_per_s = 5000;
  PassWork work = WorkIn(1);
  work.memories = {{3000, 0}, {0, 200}};
  const PassFloor floor = FloorOf(work, rates);
  EXPECT_EQ(floor.Seconds(kMemoryTerm), 3);
  EXPECT_EQ(floor.Seconds(kDiskTerm), 2);
  EXPECT_EQ(floor.memories.size(), 2);
}

}  // namespace
}  // namespace sluice
