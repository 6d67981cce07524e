// From moves of slabs to slices, traces and pictures.
#include "tools/slices.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"
#include "tools/gantt.h"
#include "tools/trace.h"

namespace sluice {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using Time = std::chrono::steady_clock::time_point;

Time At(int ms) { return Time(std::chrono::milliseconds(1000 + ms)); }

int Millis(Time time) {
  return static_cast<int>(
      std::chrono::duration_cast<std::chrono::milliseconds>(time - At(0)).count());
}

// Two slabs that are read at once; the second is kept.
const std::vector<TimelineEvent> kEvents = {
    {At(0), 0, 0, SlabState::kReading}, {At(1), 0, 1, SlabState::kReading},
    {At(5), 0, 0, SlabState::kRead},    {At(6), 0, 0, SlabState::kVerifying},
    {At(7), 0, 1, SlabState::kRead},    {At(7), 0, 1, SlabState::kVerifying},
    {At(8), 0, 0, SlabState::kReady},   {At(9), 0, 1, SlabState::kReady},
    {At(10), 0, 0, SlabState::kLeased}, {At(14), 0, 0, SlabState::kFree},
    {At(15), 0, 1, SlabState::kLeased}, {At(18), 0, 1, SlabState::kFree},
    {At(20), 1, 1, SlabState::kLeased}, {At(21), 1, 1, SlabState::kFree},
};

TEST(SliceBuilder, SplitsTheDisksTimeAndPutsOverlappingSlicesOnLanes) {
  std::vector<std::string> seen;
  for (const Slice& s : SliceBuilder().Add(kEvents)) {
    seen.push_back(std::string(StageName(s.stage)) + " " + std::to_string(s.lane) + " slab " +
                   std::to_string(2 * s.pass + s.slab) + ": " + std::to_string(Millis(s.begin)) +
                   "-" + std::to_string(Millis(s.end)));
  }
  EXPECT_THAT(
      seen, testing::ElementsAre("disk 0 slab 0: 0-5", "disk 0 slab 1: 5-7", "verify 0 slab 0: 6-8",
                                 "verify 1 slab 1: 7-9", "compute 0 slab 0: 10-14",
                                 "compute 0 slab 1: 15-18", "compute 0 slab 3: 20-21"));
}

// On a device a slab is copied, then computed with; the two come by different ways, here in the
// wrong order.
const std::vector<TimelineEvent> kDeviceEvents = {
    {At(0), 0, 0, SlabState::kReading},
    {At(2), 0, 0, SlabState::kRead},
    {At(3), 0, 0, SlabState::kReady},
    {At(9), 0, 0, SlabState::kFree},
    {At(8), 0, 0, SlabState::kLeased, Hop::kDevice},
    {At(11), 0, 0, SlabState::kFree, Hop::kDevice},
    {At(4), 0, 0, SlabState::kReading, Hop::kDevice},
    {At(8), 0, 0, SlabState::kReady, Hop::kDevice},
    {At(12), 1, 0, SlabState::kLeased, Hop::kDevice, 2},
    {At(13), 1, 0, SlabState::kFree, Hop::kDevice, 2},
    {At(11), 2, 0, SlabState::kLeased, Hop::kCpu},
    {At(14), 2, 0, SlabState::kFree, Hop::kCpu},
    {.time = At(13),
     .pass = 1,
     .slab = 0,
     .to = SlabState::kReading,
     .hop = Hop::kKvIn,
     .bytes = 300},
    {.time = At(14),
     .pass = 1,
     .slab = 0,
     .to = SlabState::kReady,
     .hop = Hop::kKvIn,
     .bytes = 300},
    {.time = At(15),
     .pass = 1,
     .slab = 0,
     .to = SlabState::kReading,
     .hop = Hop::kKvOut,
     .bytes = 200},
    {.time = At(17),
     .pass = 1,
     .slab = 0,
     .to = SlabState::kReady,
     .hop = Hop::kKvOut,
     .bytes = 200},
};

TEST(SliceBuilder, HasCopiesAndKernelsOfADeviceAndTheCpusBesideThem) {
  std::vector<std::string> seen;
  for (const Slice& s : SliceBuilder().Add(kDeviceEvents)) {
    seen.push_back(
        absl::StrCat(StageName(s.stage), " slab ", 2 * s.pass + s.slab,
                     s.num_slabs > 1 ? absl::StrCat(" and ", s.num_slabs - 1, " more") : "", ": ",
                     Millis(s.begin), "-", Millis(s.end)));
  }
  EXPECT_THAT(seen,
              testing::ElementsAre("disk slab 0: 0-2", "compute slab 0: 8-11", "copy slab 0: 4-8",
                                   "compute slab 2 and 1 more: 12-13", "CPU slab 4: 11-14",
                                   "KV in slab 2: 13-14", "KV out slab 2: 15-17"));
}

TEST(SliceBuilder, TakesEventsInPieces) {
  SliceBuilder builder;
  size_t slices = 0;
  for (const TimelineEvent& event : kEvents) slices += builder.Add({event}).size();
  EXPECT_EQ(slices, 7);
}

// A manifest of two slabs of layer 3's attention, as far as traces look at it.
Manifest TwoSlabs() {
  Manifest manifest;
  manifest.hyper_parameters.num_hidden_layers = 4;
  ManifestTensor tensor;
  tensor.role = TensorRole::kQ;
  tensor.layer = 3;
  manifest.tensors = {tensor};
  manifest.Derive();
  ManifestSlab slab = {};
  slab.block = manifest.program.FirstBlock(3);
  slab.tensors = {0};
  slab.bytes = 5000;
  manifest.slabs = {slab, slab};
  return manifest;
}

// What Perfetto relies on: known phases, slices of a track that do not overlap, arrows with two
// ends.
void ExpectValidTrace(const json& trace) {
  std::map<std::pair<int, int>, double> track_end;
  std::multiset<std::string> starts, ends;
  for (const json& event : trace.at("traceEvents")) {
    const std::string phase = event.at("ph");
    const int pid = event.at("pid");
    if (phase == "X") {
      const double begin = event.at("ts");
      EXPECT_GE(event.at("dur").get<double>(), 0);
      double& end = track_end.try_emplace({pid, event.at("tid").get<int>()}, begin).first->second;
      EXPECT_GE(begin, end - 0.002) << event;
      end = begin + event.at("dur").get<double>();
    } else if (phase == "s" || phase == "f") {
      (phase == "s" ? starts : ends).insert(event.at("id").get<std::string>());
    } else if (phase == "C") {
      EXPECT_GE(event.at("args").at("bytes").get<int64_t>(), 0);
    } else {
      EXPECT_EQ(phase, "M") << event;
    }
  }
  EXPECT_FALSE(ends.empty());
  EXPECT_TRUE(std::includes(starts.begin(), starts.end(), ends.begin(), ends.end()));
}

TEST(TraceWriter, WritesAValidTrace) {
  const TempDir dir;
  const Manifest manifest = TwoSlabs();
  auto writer = TraceWriter::Create(dir / "trace.json", manifest);
  ASSERT_TRUE(writer.ok()) << writer.status();
  (*writer)->BeginWalk("a \"name\"");
  (*writer)->Add(kEvents, {false, true});
  ASSERT_TRUE((*writer)->Close().ok());
  const json trace = json::parse(std::ifstream(dir / "trace.json"));
  ExpectValidTrace(trace);
  int64_t most_in_ring = 0;
  for (const json& event : trace["traceEvents"]) {
    if (event.value("name", "") == "ring fill")
      most_in_ring = std::max<int64_t>(most_in_ring, event["args"]["bytes"]);
  }
  EXPECT_EQ(most_in_ring, 8192) << "slab 1 is resident";
}

TEST(TraceWriter, HasTracksForADevice) {
  const TempDir dir;
  const Manifest manifest = TwoSlabs();
  auto writer = TraceWriter::Create(dir / "trace.json", manifest);
  ASSERT_TRUE(writer.ok()) << writer.status();
  (*writer)->BeginWalk("device");
  (*writer)->Add(kDeviceEvents, {false, true});
  ASSERT_TRUE((*writer)->Close().ok());
  const json trace = json::parse(std::ifstream(dir / "trace.json"));
  ExpectValidTrace(trace);
  std::set<std::string> tracks;
  std::vector<int64_t> product_bytes;
  std::vector<std::string> pages;
  for (const json& event : trace["traceEvents"]) {
    if (event["name"] == "thread_name") tracks.insert(event["args"]["name"]);
    const std::string stage = event.value("cat", "");
    if (stage == "compute") product_bytes.push_back(event["args"]["bytes"]);
    if (stage.starts_with("KV")) {
      pages.push_back(absl::StrCat(stage, ": ", std::string(event["name"]), ", ",
                                   event["args"]["bytes"].get<int64_t>()));
    }
  }
  EXPECT_THAT(product_bytes, testing::ElementsAre(5000, 10000)) << "two slabs stay";
  EXPECT_THAT(pages, testing::ElementsAre("KV in: layer 3 keys and values, 300",
                                          "KV out: layer 3 keys and values, 200"));
  EXPECT_EQ(tracks, (std::set<std::string>{"disk", "copy", "compute", "CPU", "KV in", "KV out"}));
}

TEST(TraceWriter, HasATrackForDrafting) {
  const TempDir dir;
  const Manifest manifest = TwoSlabs();
  auto writer = TraceWriter::Create(dir / "trace.json", manifest);
  ASSERT_TRUE(writer.ok()) << writer.status();
  (*writer)->BeginWalk("drafts");
  const auto now = std::chrono::steady_clock::now();
  const auto later = [now](int ms) { return now + std::chrono::milliseconds(ms); };
  (*writer)->AddDrafts({{"suffix", now, later(1), 9, 4, 2}, {"model", later(1), later(5), 3, 3, 0}},
                       0);
  (*writer)->AddDrafts({{"suffix", later(9), later(10), 0, 0, 0}}, 1);
  (*writer)->Add(kEvents, {false, true});
  ASSERT_TRUE((*writer)->Close().ok());
  const json trace = json::parse(std::ifstream(dir / "trace.json"));
  ExpectValidTrace(trace);
  std::vector<std::string> slices;
  int named = 0;
  for (const json& event : trace["traceEvents"]) {
    named += event["name"] == "thread_name" && event["args"]["name"] == "drafting";
    if (event.value("cat", "") != "drafting") continue;
    slices.push_back(absl::StrCat(std::string(event["name"]), event["args"].dump()));
  }
  EXPECT_EQ(named, 1);
  EXPECT_THAT(slices,
              testing::ElementsAre(R"(suffix{"accepted":2,"pass":0,"proposed":9,"rows":4})",
                                   R"(model{"accepted":0,"pass":0,"proposed":3,"rows":3})",
                                   R"(suffix{"accepted":0,"pass":1,"proposed":0,"rows":0})"));
}

TEST(TraceWriter, RefusesAFileThatCannotBeWritten) {
  const Manifest manifest = TwoSlabs();
  EXPECT_THAT(std::string(TraceWriter::Create("/nowhere/t.json", manifest).status().message()),
              HasSubstr("/nowhere/t.json"));
}

TEST(TraceWriter, SaysSoWhereTheDiskIsFull) {
  const Manifest manifest = TwoSlabs();
  auto writer = TraceWriter::Create("/dev/full", manifest);
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_TRUE(absl::IsDataLoss((*writer)->Close()));
}

TEST(Gantt, DrawsThePassThatIsAskedFor) {
  const std::string svg = DrawPass(kEvents, {false, true}, 0, "one <pass>");
  EXPECT_THAT(svg, HasSubstr("one &lt;pass&gt;"));
  for (const char* stage : {"disk", "verify", "compute"}) EXPECT_THAT(svg, HasSubstr(stage));
  EXPECT_EQ(svg.substr(svg.size() - 7), "</svg>\n");
  EXPECT_EQ(DrawPass(kEvents, {false, true}, 7, "none"), "");
}

// The whole way, over a real model.
TEST(Trace, OfARunAndOfABatchAreValid) {
  const TempDir dir;
  const std::string model = SLUICE_SOURCE_DIR "/tests/data/models/TinyStories-656K";
  ASSERT_EQ(RunSluice({"shard", model, dir / "store", "--slab-size", "64KiB"}).exit_code, 0);
  const Finished run = RunSluice({"run", dir / "store", "--prompt-ids", "1,2,3", "-n", "3",
                                  "--max-ram", "20MiB", "--trace", dir / "trace.json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  ExpectValidTrace(json::parse(std::ifstream(dir / "trace.json")));

  std::ofstream(dir / "in.jsonl") << R"({"prompt": "Once", "max_tokens": 3})"
                                     "\n"
                                     R"({"prompt": "One", "max_tokens": 4})"
                                     "\n";
  const Finished batch =
      RunSluice({"batch", dir / "store", "-i", dir / "in.jsonl", "-o", dir / "out.jsonl", "-c",
                 "64", "--batch-size", "2", "--max-ram", "20MiB", "--trace", dir / "batch.json"});
  ASSERT_EQ(batch.exit_code, 0) << batch.err;
  ExpectValidTrace(json::parse(std::ifstream(dir / "batch.json")));

  const Finished drafted =
      RunSluice({"run", dir / "store", "-md", dir / "store", "--prompt-ids", "1,2,3", "-n", "12",
                 "--max-ram", "40MiB", "--json", "--trace", dir / "drafted.json"});
  ASSERT_EQ(drafted.exit_code, 0) << drafted.err;
  const json trace = json::parse(std::ifstream(dir / "drafted.json"));
  ExpectValidTrace(trace);
  std::map<std::string, int64_t> rows;
  for (const json& event : trace["traceEvents"]) {
    if (event.value("cat", "") == "drafting")
      rows[event["name"]] += event["args"]["rows"].get<int64_t>();
  }
  EXPECT_GT(rows["model"], 0);
  EXPECT_EQ(rows["grammar"], 0);
  EXPECT_EQ(rows["model"] + rows["suffix"], json::parse(drafted.out)["report"]["draft_rows"]);
}

}  // namespace
}  // namespace sluice
