// sluice bench, probe and plan: every format is read back, and the numbers agree with each other.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/encodings/encoding.h"
#include "nlohmann/json.hpp"
#include "runtime/floor/probe/machine_probe.h"
#include "tests/support/reference_file.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"
#include "tools/bench_row.h"

namespace sluice {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::vector<BenchRow> Rows() {
  BenchRow a;
  a.test = "pp512";
  a.model = "a \"model\", q4_k_m";
  a.cpu = "a CPU, 2 CPUs";
  a.threads = 2;
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
  EXPECT_EQ(json.at("model"), row.model);
  EXPECT_EQ(json.at("cpu"), row.cpu);
  EXPECT_EQ(json.at("threads"), row.threads);
  for (const char* key : {"gb_per_token", "disk_gb_per_s", "disk_busy_share", "disk_share",
                          "queue_depth", "memory_gb_per_s", "memory_share", "pass_efficiency",
                          "wait_disk_s", "wait_copy_s", "other_s"}) {
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

// As RFC 4180 has them.
std::vector<std::string> CsvFields(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"') {
      if (quoted && i + 1 < line.size() && line[i + 1] == '"') {
        fields.back() += line[i++];
      } else {
        quoted = !quoted;
      }
    } else if (line[i] == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += line[i];
    }
  }
  return fields;
}

TEST(BenchRow, IsReadBackFromCsv) {
  const std::vector<std::string> lines =
      absl::StrSplit(FormatRows(Rows(), BenchFormat::kCsv), '\n');
  ASSERT_EQ(lines.size(), 4);
  const std::vector<std::string> names = absl::StrSplit(lines[0], ',');
  for (int i = 1; i <= 2; ++i) {
    const std::vector<std::string> values = CsvFields(lines[i]);
    ASSERT_EQ(values.size(), names.size());
    json object;
    for (size_t k = 0; k < names.size(); ++k) {
      const bool text =
          names[k] == "test" || names[k] == "device" || names[k] == "model" || names[k] == "cpu";
      object[names[k]] = text ? json(values[k]) : json::parse(values[k]);
    }
    ExpectRow(object, Rows()[i - 1]);
  }
}

TEST(BenchRow, IsALineOfATableInMarkdown) {
  const std::vector<std::string> lines =
      absl::StrSplit(FormatRows(Rows(), BenchFormat::kMarkdown), '\n');
  ASSERT_EQ(lines.size(), 5);
  const auto cells = [](const std::string& line) {
    return std::count(line.begin(), line.end(), '|');
  };
  for (int i = 1; i < 4; ++i) EXPECT_EQ(cells(lines[i]), cells(lines[0]));
  EXPECT_THAT(lines[0], HasSubstr("| model | CPU | threads | budget | queue depth |"));
  EXPECT_THAT(lines[0], testing::Not(HasSubstr("| depth")));
  EXPECT_THAT(lines[2], HasSubstr("| a \"model\", q4_k_m | a CPU, 2 CPUs | 2 |"));
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
  const std::vector<std::string> lines =
      absl::StrSplit(FormatRows(rows, BenchFormat::kMarkdown), '\n');
  ASSERT_EQ(lines.size(), 5);
  const auto cells = [](const std::string& line) {
    return std::count(line.begin(), line.end(), '|');
  };
  for (int i = 1; i < 4; ++i) EXPECT_EQ(cells(lines[i]), cells(lines[0]));
  EXPECT_THAT(lines[0], HasSubstr("copy wait"));
  EXPECT_THAT(lines[3], HasSubstr("12.25 (88%)"));
  EXPECT_THAT(lines[3], HasSubstr("50.0%"));
  const json row = json::parse(FormatRows(rows, BenchFormat::kJson))[1];
  EXPECT_EQ(row["device"], "a device");
  EXPECT_EQ(row["link_gb_per_s"], 12.25);
  EXPECT_EQ(row["wait_copy_s"], 4);
}

TEST(Samples, AreJudgedByTheirMedianAndSpread) {
  EXPECT_EQ(SummarizeSamples({}).median, 0);
  EXPECT_EQ(SummarizeSamples({3e9}).median, 3e9);
  EXPECT_FALSE(SummarizeSamples({3e9}).wide());
  const Samples samples = SummarizeSamples({2.1e9, 1.2e9, 2.9e9, 2.0e9, 2.2e9});
  EXPECT_EQ(samples.median, 2.1e9);
  EXPECT_EQ(samples.least, 1.2e9);
  EXPECT_EQ(samples.most, 2.9e9);
  EXPECT_EQ(SummarizeSamples({1e9, 2e9}).median, 1.5e9);
  EXPECT_TRUE(samples.wide());
  EXPECT_FALSE(SummarizeSamples({2.0e9, 2.1e9, 2.9e9}).wide());
  EXPECT_EQ(DescribeSamples("the disk", samples), "the disk gave 1.2 to 2.9 GB/s in 5 runs");
}

TEST(Samples, AreRemarkedOnWhereTheyAreFarApart) {
  ProbeResult result;
  result.spreads = {{"the disk", SummarizeSamples({1.2e9, 2.1e9, 2.9e9})},
                    {"the memory", SummarizeSamples({20e9, 21e9, 22e9})}};
  EXPECT_EQ(
      SpreadRemark(result, "/mnt/nvme"),
      "the disk gave 1.2 to 2.9 GB/s in 3 runs: something else may use this machine. The median "
      "counts, and "
      "predictions may be as far off; run `sluice probe /mnt/nvme` again when the machine is idle");
  result.spreads[1].samples.most = 60e9;
  EXPECT_THAT(SpreadRemark(result, "."),
              HasSubstr("3 runs, the memory gave 20 to 60 GB/s in 3 runs: "));
  result.spreads.clear();
  EXPECT_EQ(SpreadRemark(result, "."), "");
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
  result.rates.ring_turn_s = 2e-4;
  result.disk_rates = {{1 << 19, 7, 2e9}};
  result.spreads = {{"the disk", SummarizeSamples({1e9, 2e9, 4e9})}};
  result.memory_bytes = 5 << 20;
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

TEST(ProbeCache, KnowsWhatAProbeDoesFor) {
  const ProbeResult q4 = SomeProbe("a disk");
  const int64_t memory = q4.memory_bytes;
  EXPECT_TRUE(ProbeCovers(q4, {}, false, memory));
  EXPECT_TRUE(ProbeCovers(q4, {Encoding::kQ4_K}, false, memory));
  EXPECT_TRUE(ProbeCovers(q4, {Encoding::kQ4_K}, true, memory)) << "it changes bf16 alone";
  EXPECT_FALSE(ProbeCovers(q4, {Encoding::kQ4_K, Encoding::kQ6_K}, false, memory));
  EXPECT_FALSE(ProbeCovers(q4, {Encoding::kQ4_K}, false, memory + 1));
  ProbeResult bf16 = SomeProbe("a disk");
  bf16.rates.kernels = {{Encoding::kBF16, 1, 1e9}};
  bf16.rates.fast_kernels.clear();
  EXPECT_TRUE(ProbeCovers(bf16, {Encoding::kBF16}, false, memory));
  EXPECT_FALSE(ProbeCovers(bf16, {Encoding::kBF16}, true, memory));
  KeepOtherKernels(q4, &bf16);
  EXPECT_TRUE(ProbeCovers(bf16, {Encoding::kBF16, Encoding::kQ4_K}, true, memory));
  KeepOtherKernels(q4, &bf16);
  EXPECT_EQ(bf16.rates.kernels.size(), 2) << "what is there is not there twice";
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
    const Finished shard =
        RunSluice({"shard", SLUICE_SOURCE_DIR "/tests/data/models/TinyStories-656K", store_,
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
  const Finished run = RunSluice({"bench", store_, "--max-ram", "16MiB,64MiB", "--queue-depth",
                                  "2,9", "-p", "32", "-n", "4", "-r", "2", "-o", "json", "--svg",
                                  dir_ / "p.svg", "--trace", dir_ / "t.json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const json rows = json::parse(run.out);
  ASSERT_EQ(rows.size(), 8);
  std::map<std::string, int> tests;
  for (const json& row : rows) {
    ++tests[row["test"]];
    const int64_t tokens = row["test"] == "pp32" ? 32 : 4;
    const double wall = row["compute_s"].get<double>() + row["wait_disk_s"].get<double>() +
                        row["other_s"].get<double>() + row["wait_copy_s"].get<double>();
    // tokens / mean(rate) is at most the mean time, and close where repetitions take about the
    // same.
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
  const Finished run =
      RunSluice({"bench", store_, "-p", "8", "-n", "2", "-d", "0,40", "-r", "2", "-o", "json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  std::vector<std::string> tests;
  for (const json& row : json::parse(run.out)) {
    tests.push_back(row["test"]);
    EXPECT_GT(row["tokens_per_s"], 0);
    // The tokens of the depth are in neither side: one pass a repetition of a prompt, or one a
    // token.
    const int passes = row["test"].get<std::string>()[0] == 'p' ? 1 : 2;
    const double wall = passes * row["seconds_per_pass"].get<double>();
    EXPECT_LE(row["compute_s"].get<double>() + row["wait_disk_s"].get<double>(), wall * 1.05 + 1e-3)
        << row;
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

// Neither variable, no folder to be had, a file that cannot be replaced: each says so in a line and
// goes on.
TEST_F(BenchCli, SaysThatAProbeIsRememberedNowhere) {
  std::ofstream(dir_ / "file") << "not a folder";
  std::filesystem::create_directories(dir_ / "taken/sluice/probe.json/folder");
  const std::string home = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "";
  struct Case {
    std::vector<std::string> args;
    std::string cache;
    const char* words;
  };
  for (const Case& c : std::vector<Case>{
           {{"probe", store_, "--quick"}, "", "neither XDG_CACHE_HOME nor HOME is set"},
           {{"plan", store_, "--max-ram", "16MiB"}, dir_ / "file", "cannot make"},
           {{"bench", store_, "--max-ram", "16MiB", "-p", "1", "-n", "0", "-r", "1"},
            dir_ / "taken",
            "probe.json"}}) {
    CacheHome() = c.cache;
    unsetenv("HOME");
    const Finished run = RunSluice(c.args);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    EXPECT_THAT(run.err, HasSubstr("the probe is remembered nowhere, and will be taken again: "));
    EXPECT_THAT(run.err, HasSubstr(c.words));
    EXPECT_FALSE(run.out.empty());
  }
  if (!home.empty()) setenv("HOME", home.c_str(), 1);
}

TEST_F(BenchCli, PlanRemembersItsProbeForThoseThatComeAfter) {
  CacheHome() = dir_.path();
  const Finished first = RunSluice({"plan", store_, "--max-ram", "16MiB", "--json"});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.err, HasSubstr("remembered in " + (dir_ / "sluice/probe.json")));
  const std::string file = ReadWholeFile(dir_ / "sluice/probe.json");
  const Finished second = RunSluice({"plan", store_, "--max-ram", "16MiB", "--json"});
  EXPECT_THAT(second.err, testing::Not(HasSubstr("measuring")));
  const Finished bench =
      RunSluice({"bench", store_, "--max-ram", "16MiB", "-p", "1", "-n", "0", "-r", "1"});
  EXPECT_THAT(bench.err, testing::Not(HasSubstr("measuring")));
  EXPECT_EQ(ReadWholeFile(dir_ / "sluice/probe.json"), file);
  // The same store and budget as plan's: what run measured stands beside what plan predicts.
  const Finished run =
      RunSluice({"run", store_, "-p", "Once", "-n", "4", "--max-ram", "16MiB", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_GT(json::parse(run.out)["report"]["predicted_tokens_per_s"], 0);
  // A cache's rates do not do for a budget of more memory.
  const Finished larger = RunSluice({"plan", store_, "--max-ram", "48MiB", "--json"});
  EXPECT_THAT(larger.err, HasSubstr("remembered in"));
  EXPECT_NE(ReadWholeFile(dir_ / "sluice/probe.json"), file);
}

TEST_F(BenchCli, PlanPredictsNothingWithoutAProbe) {
  CacheHome() = dir_.path();
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
           {{"bench", store_, "--cpu-range", "8000"}, 1, "may not use CPU 8000"},
           {{"bench", store_, "--cpu-range", "0", "--cpu-mask", "1"},
            2,
            "one of --cpu-mask and --cpu-range"},
           {{"bench", store_, "--cpu-mask", "zz"}, 2, "not a mask of CPUs"},
           {{"bench", store_, "--queue-depth", "0"}, 2, "--queue-depth"},
           {{"bench", store_, "--throttle-disk", "fast"}, 2, "a rate such as 1GB/s"},
           {{"bench", store_, "--throttle-copy", "4GB/s"}, 2, "--throttle-copy needs --device"},
           {{"run", store_, "-p", "x", "--throttle-copy", "4GB/s"},
            2,
            "--throttle-copy needs --device"},
           {{"run", store_, "-p", "x", "--cpu-share", "0.5"}, 2, "--cpu-share needs --device"},
           {{"run", store_, "-p", "x", "--device", "auto", "--cpu-share", "1.5"},
            2,
            "a fraction from 0 to 1"},
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
