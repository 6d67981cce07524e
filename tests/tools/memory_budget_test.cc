// A store several times its budget runs within it, down to the smallest budget that plan names.
#include <cstdint>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/synthetic_checkpoint.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

using nlohmann::json;

TEST(MemoryBudget, HoldsForTheWholeProcessDownToTheSmallestThatPlanNames) {
#ifdef SLUICE_SANITIZED
  GTEST_SKIP() << "a sanitizer's own memory counts as the process's";
#endif
  const TempDir dir;
  WriteSyntheticCheckpoint(dir / "model", {});  // about 100 MB
  const Finished shard = RunSluice({"shard", dir / "model", dir / "store", "--slab-size", "1MiB"});
  ASSERT_EQ(shard.exit_code, 0) << shard.err;
  EXPECT_LT(shard.peak_rss_bytes, int64_t{512} << 20);

  const Finished plan =
      RunSluice({"plan", dir / "store", "--max-ram", "1GiB", "-c", "512", "--json"});
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  const json arithmetic = json::parse(plan.out);
  const int64_t minimum = arithmetic["minimum_bytes"];
  ASSERT_GT(arithmetic["weight_bytes"].get<int64_t>(), 3 * minimum) << "several times the budget";

  std::string ids = "1";
  for (int i = 1; i < 150; ++i) ids += "," + std::to_string(i * 37 % 8192);
  std::string first_output;
  // Both ways to read under the least budget, and each of them under larger ones.
  const std::pair<int64_t, const char*> cases[] = {{minimum, "uring"},
                                                   {minimum, "threads"},
                                                   {minimum + minimum / 2, "threads"},
                                                   {2 * minimum, "uring"},
                                                   {int64_t{1} << 30, "threads"}};
  for (const auto& [budget, io] : cases) {
    const Finished run =
        RunSluice({"run", dir / "store", "--prompt-ids", ids, "-n", "2", "-c", "512", "--temp", "0",
                   "--ignore-eos", "--json", "--io", io, "--max-ram", std::to_string(budget)});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_LE(run.peak_rss_bytes, budget + (int64_t{64} << 20))
        << "budget " << budget << ", io " << io;
    const json result = json::parse(run.out);
    EXPECT_LE(result["report"]["peak_rss_bytes"].get<int64_t>(), run.peak_rss_bytes + (1 << 20));
    if (first_output.empty()) first_output = result["ids"].dump();
    EXPECT_EQ(result["ids"].dump(), first_output) << "the budget must not change the result";
  }
  const Finished refused =
      RunSluice({"plan", dir / "store", "-c", "512", "--max-ram", std::to_string(minimum - 1)});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find(std::to_string(minimum)), std::string::npos) << refused.err;
}

// Threads have scratch of their own, which the plan counts: attention's is what grows with them.
TEST(MemoryBudget, HoldsWithAnyNumberOfThreads) {
#ifdef SLUICE_SANITIZED
  GTEST_SKIP() << "a sanitizer's own memory counts as the process's";
#endif
  const TempDir dir;
  WriteSyntheticCheckpoint(dir / "model", {.num_hidden_layers = 3});  // scratch is for all of them
  const Finished shard = RunSluice({"shard", dir / "model", dir / "store", "--slab-size", "1MiB"});
  ASSERT_EQ(shard.exit_code, 0) << shard.err;
  std::string ids = "1";
  for (int i = 1; i < 150; ++i) ids += "," + std::to_string(i * 37 % 8192);
  int64_t before = 0;
  std::string output;
  for (const char* const threads : {"1", "2", "16", "64"}) {
    const Finished plan = RunSluice(
        {"plan", dir / "store", "--max-ram", "1GiB", "-c", "512", "-t", threads, "--json"});
    ASSERT_EQ(plan.exit_code, 0) << plan.err;
    const int64_t minimum = json::parse(plan.out)["minimum_bytes"];
    EXPECT_GE(minimum, before) << threads << " threads";
    before = minimum;
    const Finished run =
        RunSluice({"run", dir / "store", "--prompt-ids", ids, "-n", "2", "-c", "512", "--temp", "0",
                   "--ignore-eos", "--json", "-t", threads, "--max-ram", std::to_string(minimum)});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_LE(run.peak_rss_bytes, minimum + (int64_t{64} << 20)) << threads << " threads";
    const std::string got = json::parse(run.out)["ids"].dump();
    if (output.empty()) output = got;
    EXPECT_EQ(got, output) << threads << " threads";
  }
}

}  // namespace
}  // namespace sluice
