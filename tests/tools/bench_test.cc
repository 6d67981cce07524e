// sluice bench, probe and plan: every format is read back, and the numbers agree with each other.
#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/encoding.h"
#include "nlohmann/json.hpp"
#include "tests/support/reference_file.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"
#include "tools/bench_row.h"
#include "tools/machine_probe.h"

namespace sluice {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::vector<BenchRow> Rows() {
  BenchRow a;
  a.test = "pp512";
  a.max_ram_bytes = int64_t{3} << 30;
  a.tokens_per_s = 12.5;
  a.compute_s = 3;
  a.wait_disk_s = 1;
  BenchRow b = a;
  b.test = "tg128";
  b.stddev = 0.25;
  return {a, b};
}

void ExpectRow(const json& json, const BenchRow& row) {
  EXPECT_EQ(json.at("test"), row.test);
  EXPECT_EQ(json.at("max_ram_bytes"), row.max_ram_bytes);
  EXPECT_EQ(json.at("tokens_per_s"), row.tokens_per_s);
  EXPECT_EQ(json.at("stddev"), row.stddev);
  EXPECT_EQ(json.at("compute_s"), row.compute_s);
  for (const char* key : {"gb_per_token", "disk_gb_per_s", "disk_share", "memory_gb_per_s", "memory_share",
                          "pass_efficiency", "wait_disk_s", "wait_copy_s", "other_s"}) {
    EXPECT_TRUE(json.at(key).is_number()) << key;
  }
}

TEST(BenchRow, IsReadBackFromJson) {
  const std::vector<BenchRow> rows = Rows();
  const json array = json::parse(FormatRows(rows, BenchFormat::kJson));
  ASSERT_EQ(array.size(), 2);
  for (int i = 0; i < 2; ++i) ExpectRow(array[i], rows[i]);
  EXPECT_EQ(json::parse(FormatRows({}, BenchFormat::kJson)), json::array());
}

TEST(BenchRow, IsReadBackFromJsonLines) {
  const std::vector<BenchRow> rows = Rows();
  std::istringstream lines(FormatRows(rows, BenchFormat::kJsonLines));
  std::string line;
  for (const BenchRow& row : rows) {
    ASSERT_TRUE(std::getline(lines, line));
    ExpectRow(json::parse(line), row);
  }
  EXPECT_FALSE(std::getline(lines, line));
}

TEST(BenchRow, IsReadBackFromCsv) {
  const std::vector<std::string> lines = absl::StrSplit(FormatRows(Rows(), BenchFormat::kCsv), '\n');
  ASSERT_EQ(lines.size(), 4);
  const std::vector<std::string> names = absl::StrSplit(lines[0], ',');
  for (int i = 1; i <= 2; ++i) {
    const std::vector<std::string> values = absl::StrSplit(lines[i], ',');
    ASSERT_EQ(values.size(), names.size());
    json object;
    for (size_t k = 0; k < names.size(); ++k) {
      const bool text = names[k] == "test" || names[k] == "device";
      object[names[k]] = text ? json(values[k]) : json::parse(values[k]);
    }
    ExpectRow(object, Rows()[i - 1]);
  }
}

TEST(BenchRow, IsALineOfATableInMarkdown) {
  const std::vector<std::string> lines = absl::StrSplit(FormatRows(Rows(), BenchFormat::kMarkdown), '\n');
  ASSERT_EQ(lines.size(), 5);
  const auto cells = [](const std::string& line) { return std::count(line.begin(), line.end(), '|'); };
  for (int i = 1; i < 4; ++i) EXPECT_EQ(cells(lines[i]), cells(lines[0]));
  EXPECT_THAT(lines[2], HasSubstr("pp512"));
  EXPECT_THAT(lines[2], HasSubstr("75.0%"));
}

TEST(BenchRow, HasColumnsForADeviceWhereOneComputed) {
  std::vector<BenchRow> rows = Rows();
  EXPECT_THAT(FormatRows(rows, BenchFormat::kMarkdown), testing::Not(HasSubstr("link")));
  rows[1].device = "a device";
  rows[1].wait_copy_s = 4;
  rows[1].link_gb_per_s = 12.25;
  rows[1].link_share = 0.875;
  const std::vector<std::string> lines = absl::StrSplit(FormatRows(rows, BenchFormat::kMarkdown), '\n');
  ASSERT_EQ(lines.size(), 5);
  const auto cells = [](const std::string& line) { return std::count(line.begin(), line.end(), '|'); };
  for (int i = 1; i < 4; ++i) EXPECT_EQ(cells(lines[i]), cells(lines[0]));
  EXPECT_THAT(lines[0], HasSubstr("copy wait"));
  EXPECT_THAT(lines[3], HasSubstr("12.25 (88%)"));
  EXPECT_THAT(lines[3], HasSubstr("50.0%"));
  const json row = json::parse(FormatRows(rows, BenchFormat::kJson))[1];
  EXPECT_EQ(row["device"], "a device");
  EXPECT_EQ(row["link_gb_per_s"], 12.25);
  EXPECT_EQ(row["wait_copy_s"], 4);
}

ProbeResult SomeProbe(const std::string& disk) {
  ProbeResult result;
  result.cpu = CpuName();
  result.disk = disk;
  result.isa = "scalar";
  result.rates.disk_bytes_per_s = 2e9;
  result.rates.read_bytes = 1 << 19;
  result.rates.queue_depth = 7;
  result.rates.memory_bytes_per_s = 2e10;
  result.rates.num_cpus = 2;
  result.rates.num_threads = 2;
  result.rates.kernels = {{Encoding::kQ4_K, 8, 1.5e9}};
  result.rates.fast_kernels = {{Encoding::kBF16, 8, 2.5e9}};
  result.disk_rates = {{1 << 19, 7, 2e9}};
  result.devices = {{"a GPU", 8, 6, int64_t{4} << 30, 12e9, 200e9}};
  return result;
}

TEST(ProbeCache, RemembersOneResultForEachDisk) {
  const TempDir dir;
  const std::string path = dir / "new/folder/probe.json";
  EXPECT_FALSE(RecallProbe(path, dir.path()).has_value());
  ASSERT_TRUE(RememberProbe(path, SomeProbe("another disk")).ok());
  EXPECT_FALSE(RecallProbe(path, dir.path()).has_value());
  ASSERT_TRUE(RememberProbe(path, SomeProbe(*DiskName(dir.path()))).ok());
  const auto recalled = RecallProbe(path, dir.path());
  ASSERT_TRUE(recalled.has_value());
  EXPECT_EQ(ProbeToJson(*recalled), ProbeToJson(SomeProbe(*DiskName(dir.path()))));
  EXPECT_EQ(json::parse(ReadWholeFile(path)).size(), 2);
}

TEST(ProbeCache, StartsAnewWhereTheFileIsDamaged) {
  const TempDir dir;
  for (const char* text : {"", "[{}]", "{\"cpu\": 3}", "[[[", "[{\"cpu\": 5}]"}) {
    std::ofstream(dir / "probe.json") << text;
    EXPECT_FALSE(RecallProbe(dir / "probe.json", dir.path()).has_value()) << text;
    EXPECT_TRUE(RememberProbe(dir / "probe.json", SomeProbe(*DiskName(dir.path()))).ok());
    EXPECT_TRUE(RecallProbe(dir / "probe.json", dir.path()).has_value()) << text;
  }
}

class BenchCli : public testing::Test {
 protected:
  BenchCli() {
    const Finished shard = RunSluice({"shard", SLUICE_SOURCE_DIR "/tests/data/models/TinyStories-656K", store_,
                                      "--slab-size", "64KiB"});
    EXPECT_EQ(shard.exit_code, 0) << shard.err;
  }
  ~BenchCli() override { CacheHome() = SLUICE_BINARY_DIR "/no-cache"; }

  const TempDir dir_;
  const std::string store_ = dir_ / "store";
};

TEST_F(BenchCli, MeasuresEveryBudgetAndDepthAndAccountsForAllOfTheTime) {
  CacheHome() = dir_.path();
  ASSERT_TRUE(RememberProbe(dir_ / "sluice/probe.json", SomeProbe(*DiskName(store_))).ok());
  const Finished run = RunSluice({"bench", store_, "--max-ram", "16MiB,64MiB", "--queue-depth", "2,9", "-p", "32",
                                  "-n", "4", "-r", "2", "-o", "json", "--svg", dir_ / "p.svg", "--trace",
                                  dir_ / "t.json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const json rows = json::parse(run.out);
  ASSERT_EQ(rows.size(), 8);
  std::map<std::string, int> tests;
  for (const json& row : rows) {
    ++tests[row["test"]];
    const int64_t tokens = row["test"] == "pp32" ? 32 : 4;
    const double wall = row["compute_s"].get<double>() + row["wait_disk_s"].get<double>() +
                        row["other_s"].get<double>() + row["wait_copy_s"].get<double>();
    // tokens / mean(rate) is at most the mean time, and close where repetitions take about the same.
    EXPECT_LE(tokens / row["tokens_per_s"].get<double>(), wall * 1.05 + 1e-3) << row;
    if (row["streamed_bytes"] > 0) {
      EXPECT_GT(row["gb_per_token"], 0) << row;
    }
    EXPECT_GT(row["pass_efficiency"], 0);
  }
  EXPECT_EQ(tests, (std::map<std::string, int>{{"pp32", 4}, {"tg4", 4}}));
  EXPECT_TRUE(json::parse(ReadWholeFile(dir_ / "t.json")).at("traceEvents").size() > 100);
  EXPECT_THAT(ReadWholeFile(dir_ / "p.svg"), HasSubstr("</svg>"));
}

TEST_F(BenchCli, MeasuresAfterAContextOfSomeDepth) {
  const Finished run = RunSluice({"bench", store_, "-p", "8", "-n", "2", "-d", "0,40", "-r", "2", "-o", "json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  std::vector<std::string> tests;
  for (const json& row : json::parse(run.out)) {
    tests.push_back(row["test"]);
    EXPECT_GT(row["tokens_per_s"], 0);
    // The tokens of the depth are in neither side: one pass a repetition of a prompt, or one a token.
    const int passes = row["test"].get<std::string>()[0] == 'p' ? 1 : 2;
    const double wall = passes * row["seconds_per_pass"].get<double>();
    EXPECT_LE(row["compute_s"].get<double>() + row["wait_disk_s"].get<double>(), wall * 1.05 + 1e-3) << row;
  }
  EXPECT_EQ(tests, (std::vector<std::string>{"pp8", "tg2", "pp8 @ d40", "tg2 @ d40"}));
}

TEST_F(BenchCli, ProbesAndRemembers) {
  CacheHome() = dir_.path();
  const Finished probe = RunSluice({"probe", store_, "--quick", "--json"});
  ASSERT_EQ(probe.exit_code, 0) << probe.err;
  const json result = json::parse(probe.out);
  EXPECT_GT(result["disk_bytes_per_s"], 0);
  EXPECT_EQ(result["kernels"].size(), 2 * kNumEncodings);  // with 1 and with 64 rows
  EXPECT_TRUE(RecallProbe(dir_ / "sluice/probe.json", store_).has_value());

  const Finished plan = RunSluice({"plan", store_, "--max-ram", "16MiB", "--json"});
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_GT(json::parse(plan.out)["predicted_s"], 0);
}

TEST_F(BenchCli, PlanPredictsNothingWithoutAProbe) {
  const Finished plan = RunSluice({"plan", store_, "--no-probe", "--json"});
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_FALSE(json::parse(plan.out).contains("predicted_s"));
}

TEST_F(BenchCli, RefusesWhatItCannotDo) {
  struct Case {
    std::vector<std::string> args;
    int exit_code;
    const char* words;
  };
  for (const Case& c : std::vector<Case>{
           {{"bench", store_, "-p", "0", "-n", "0"}, 2, "nothing to measure"},
           {{"bench", store_, "-p", "many"}, 2, "--n-prompt"},
           {{"bench", store_, "-n", "100", "-p", "100", "-d", "500"}, 1, "-c 700 is more than"},
           {{"bench", store_, "--cpu-range", "8000"}, 1, "CPU 8000 is none"},
           {{"bench", store_, "--cpu-range", "0", "--cpu-mask", "1"}, 2, "one of --cpu-mask and --cpu-range"},
           {{"bench", store_, "--cpu-mask", "zz"}, 2, "no mask of CPUs"},
           {{"bench", store_, "--queue-depth", "0"}, 2, "--queue-depth"},
           {{"bench", store_, "--throttle-disk", "fast"}, 2, "a rate such as 1GB/s"},
           {{"bench", store_, "--throttle-copy", "4GB/s"}, 2, "--throttle-copy needs --device"},
           {{"run", store_, "-p", "x", "--throttle-copy", "4GB/s"}, 2, "--throttle-copy needs --device"},
           {{"run", store_, "-p", "x", "--cpu-share", "0.5"}, 2, "--cpu-share needs --device"},
           {{"run", store_, "-p", "x", "--device", "auto", "--cpu-share", "1.5"}, 2, "a fraction from 0 to 1"},
           {{"bench", store_, "-n", "100000"}, 1, "-c 100512 is more than"},
           {{"probe", "/nowhere"}, 1, "/nowhere"},
           {{"synth", dir_ / "x"}, 2, "--shape is missing"},
           {{"synth", dir_ / "x", "--shape", "gpt-5"}, 2, "--shape is one of"},
           {{"synth", store_, "--shape", "llama-3.2-1b"}, 1, "remove it"}}) {
    const Finished run = RunSluice(c.args);
    EXPECT_EQ(run.exit_code, c.exit_code) << run.err;
    EXPECT_THAT(run.err, HasSubstr(c.words));
  }
}

}  // namespace
}  // namespace sluice
