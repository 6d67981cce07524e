// A job's plan from its files, and what its passes should have taken.
#include "runtime/batch/job_plan.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/batch/batch_job.h"
#include "runtime/batch/floor_sum.h"
#include "runtime/constrain/constraints.h"
#include "tests/runtime/engine_harness.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

MachineRates MeasuredRates() {
  MachineRates rates;
  rates.disk_bytes_per_s = 1e7;
  rates.memory_bytes_per_s = 20e9;
  rates.verify_bytes_per_s = 8e9;
  rates.num_threads = rates.num_cpus = 1;
  rates.kernels = {{Encoding::kF32, 1, 1e12}, {Encoding::kF32, 64, 1e12 / 64}};
  return rates;
}

class JobPlanTest : public EngineTest {
 protected:
  // The plan of a job with this input, whose requests have ids as prompts.
  absl::StatusOr<JobPlan> Plan(const std::string& text, JobPlanRequest job) {
    std::ofstream(dir_ / "in", std::ios::trunc) << text;
    job.input = {.path = dir_ / "in", .num_lines = std::count(text.begin(), text.end(), '\n')};
    job.output = dir_ / "out";
    PlanRequest request;
    request.max_ram_bytes = 40 << 20;
    request.context_tokens = 256;
    request.bytes_in_flight = 256 << 10;
    const absl::StatusOr<ChatFront> chats = absl::NotFoundError("none");
    return PlanJob(**store_, request, job, PromptEncoder(nullptr, &chats, 0));
  }
  const TempDir dir_;
};

constexpr char kJobLine[] = R"({"prompt": [1, 2, 3], "max_tokens": 20})"
                            "\n";

TEST_F(JobPlanTest, PredictsNothingWithoutRates) {
  const std::string text = std::string(kJobLine) + kJobLine + kJobLine;
  const auto assumed = Plan(text, {.batch_size = 2});
  ASSERT_TRUE(assumed.ok()) << assumed.status();
  EXPECT_EQ(assumed->batch.batch_size, 2);
  EXPECT_EQ(assumed->batch.tokens_per_s, 0);
  EXPECT_EQ(assumed->batch.job.seconds, 0);
  EXPECT_THAT(assumed->waves, HasSubstr("2 waves of 2: 3 sequences are left"));
  const auto measured = Plan(text, {.rates = MeasuredRates()});
  ASSERT_TRUE(measured.ok()) << measured.status();
  EXPECT_GT(measured->batch.tokens_per_s, 0);
  EXPECT_GT(measured->batch.job.seconds, 0);
  EXPECT_GE(measured->batch.memory.request.requests_bytes, 3 * BatchJob::kBytesPerLine);
}

TEST_F(JobPlanTest, SaysNothingWhereNothingIsLeft) {
  const auto planned = Plan("nonsense\n", {.batch_size = 2});
  ASSERT_TRUE(planned.ok()) << planned.status();
  EXPECT_THAT(planned->waves, IsEmpty());
}

TEST_F(JobPlanTest, CountsWhatRequestsHoldAndGrammarsThatWereNotSeen) {
  const auto few = Plan(kJobLine, {.batch_size = 1});
  const auto grammars = Plan(kJobLine, {.names_grammars = true, .batch_size = 1});
  const auto many = Plan(R"({"prompt": [1, 2, 3], "max_tokens": 20, "n": 8, "logprobs": 5})"
                         "\n",
                         {.batch_size = 1});
  ASSERT_TRUE(few.ok() && grammars.ok() && many.ok());
  EXPECT_EQ(few->held.bytes, 0);
  EXPECT_GT(many->held.bytes, 8 * 20 * 5);
  EXPECT_EQ(few->batch.memory.request.constraint_bytes, 0);
  EXPECT_GT(grammars->batch.memory.request.constraint_bytes, 0);
}

TEST_F(JobPlanTest, FloorsAreHeldAgainstTheTimeOfPasses) {
  TestEngine test(**store_, tokenizer_, {});
  const Manifest& manifest = (*store_)->manifest();
  FloorSum sum(&manifest, test.model.get(), 1, false, MeasuredRates());
  FloorSum unknown(&manifest, test.model.get(), 1, false, MachineRates());
  SequenceRequest request;
  request.prompt = {1, 2, 3};
  request.max_new_tokens = 4;
  request.ignore_eos = true;
  ASSERT_TRUE(test.engine->Submit(request).ok());
  double first = 0;
  while (!test.engine->idle()) {
    const auto step = test.engine->Step();
    ASSERT_TRUE(step.ok()) << step.status();
    sum.Add(*step);
    unknown.Add(*step);
    if (first == 0) first = sum.disk_seconds();
  }
  int64_t bytes = 0;
  for (const ManifestSlab& slab : manifest.slabs) bytes += slab.bytes;
  EXPECT_NEAR(first, static_cast<double>(bytes) / 1e7, 0.1 * first) << "all of it is read once";
  EXPECT_GT(sum.Efficiency(), 0);
  EXPECT_GT(sum.compute_seconds(), 0);
  EXPECT_EQ(unknown.Efficiency(), 0);
  EXPECT_EQ(unknown.disk_seconds(), 0);
}

}  // namespace
}  // namespace sluice
