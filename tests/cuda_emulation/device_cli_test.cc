// The sluice command on the emulated machine's device: run, bench, batch and plan as on a GPU.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/floor/probe/machine_probe.h"
#include "runtime/open/session.h"
#include "tests/cuda_emulation/machine.h"
#include "tests/support/reference_file.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"
#include "tools/commands.h"
#include "tools/device_report.h"
#include "tools/session_options.h"

namespace sluice {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr char kDevice[] = "emulated device 0";
constexpr double kLinkRate = 4e6, kMemoryRate = 1e9;

class DeviceCli : public testing::Test {
 protected:
  DeviceCli() {
    SluiceBinary() = SLUICE_EMULATED;
    CacheHome() = dir_.path();
    const Finished shard =
        RunSluice({"shard", SLUICE_SOURCE_DIR "/tests/data/models/qwen2-bias-bf16", store_,
                   "--encoding", "q8_0", "--slab-size", "16KiB"});
    EXPECT_EQ(shard.exit_code, 0) << shard.err;
    ProbeResult& probe = probe_;
    probe.cpu = CpuName();
    probe.disk = *DiskName(store_);
    probe.isa = "scalar";
    probe.rates.disk_bytes_per_s = 2e9;
    probe.rates.memory_bytes_per_s = 2e10;
    probe.rates.read_bytes = 1 << 20;
    probe.rates.queue_depth = 4;
    probe.rates.num_cpus = probe.rates.num_threads = 2;
    probe.devices = {{"another device", 8, 0, 1 << 30, 1, 1},
                     {kDevice, 9, 0, 1 << 30, kLinkRate, kMemoryRate}};
    EXPECT_TRUE(RememberProbe(dir_ / "sluice/probe.json", probe).ok());
    const json plan = Plan({"--max-vram", "512MiB", "--kv-offload"});
    least_vram_ = plan["device"]["minimum_bytes"];
    weight_bytes_ = plan["weight_bytes"];
  }
  ~DeviceCli() override {
    SluiceBinary() = SLUICE_BINARY_DIR "/sluice";
    CacheHome() = SLUICE_BINARY_DIR "/no-cache";
  }

  json Plan(const std::vector<std::string>& more) {
    std::vector<std::string> args = {"plan", store_, "--device", "cuda", "-c", "64", "--json"};
    args.insert(args.end(), more.begin(), more.end());
    const Finished plan = RunSluice(args);
    EXPECT_EQ(plan.exit_code, 0) << plan.err;
    return json::parse(plan.out);
  }
  std::string Vram(int64_t more) const { return std::to_string(least_vram_ + more); }

  const TempDir dir_;
  const std::string store_ = dir_ / "store";
  ProbeResult probe_;  // as remembered
  int64_t least_vram_ = 0;
  int64_t weight_bytes_ = 0;
};

TEST_F(DeviceCli, RunGivesTheCpusIdsAndSaysWhatWasCopied) {
  const auto run = [&](std::vector<std::string> more) {
    std::vector<std::string> args = {"run",    store_, "--prompt-ids", "1,2,3,4,5", "-n", "3",
                                     "--temp", "0",    "--ignore-eos", "-c",        "64"};
    args.insert(args.end(), more.begin(), more.end());
    return RunSluice(args);
  };
  const Finished cpu = run({"--json"});
  ASSERT_EQ(cpu.exit_code, 0) << cpu.err;
  const Finished device =
      run({"--json", "--device", "cuda", "--max-vram", Vram(0), "--trace", dir_ / "t.json"});
  ASSERT_EQ(device.exit_code, 0) << device.err;
  const json result = json::parse(device.out);
  EXPECT_EQ(result["ids"], json::parse(cpu.out)["ids"]);
  const json& report = result["report"]["device"];
  EXPECT_EQ(report["name"], kDevice);
  EXPECT_GE(report["bytes_copied"].get<int64_t>(), 3 * weight_bytes_) << "all of it, each pass";
  EXPECT_GT(report["link_gb_per_s"], 0);
  EXPECT_LE(report["link_wait_share"], 1);
  std::set<std::string> tracks;
  const json trace = json::parse(std::ifstream(dir_ / "t.json"));
  for (const json& event : trace["traceEvents"]) {
    if (event["name"] == "thread_name") tracks.insert(event["args"]["name"]);
  }
  for (const char* track : {"disk", "copy", "compute"}) EXPECT_TRUE(tracks.count(track)) << track;

  const Finished text = run({"--device", "auto", "--max-vram", Vram(1 << 20)});
  ASSERT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.err, HasSubstr("link  "));
  EXPECT_THAT(text.err, HasSubstr(kDevice));
}

TEST_F(DeviceCli, KeysAndValuesLieWhereTheyAreWantedOrWhereTheyFit) {
  const json device = Plan({"--max-vram", "512MiB"})["device"];
  EXPECT_EQ(device["kv_place"], "device") << "where there is room";
  const int64_t least = device["minimum_bytes"];
  ASSERT_LT(least, least_vram_);
  const json host = Plan({"--max-vram", std::to_string(least)})["device"];
  EXPECT_EQ(host["kv_place"], "host");
  EXPECT_EQ(host["kv_staged_pages"], 1);
  EXPECT_TRUE(host["fixed"].contains("KV pages on their way"));
  EXPECT_EQ(Plan({"--max-vram", "512MiB", "-nkvo"})["device"]["kv_place"], "host");
  const Finished refused = RunSluice({"plan", store_, "--device", "cuda", "--max-vram",
                                      std::to_string(least), "-c", "64", "-kvo"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("--no-kv-offload"));
  const Finished both = RunSluice({"plan", store_, "--device", "cuda", "-kvo", "-nkvo"});
  EXPECT_EQ(both.exit_code, 2);

  // 70 tokens in two pages, and what was copied for them.
  std::string ids = "1";
  for (int i = 0; i < 69; ++i) ids += "," + std::to_string(i % 90);
  const auto run = [&](const std::string& prompt, std::vector<std::string> more) {
    std::vector<std::string> args = {"run",    store_, "--prompt-ids", prompt, "-n", "3",
                                     "--temp", "0",    "--ignore-eos", "-c",   "128"};
    args.insert(args.end(), more.begin(), more.end());
    const Finished finished = RunSluice(args);
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    return finished;
  };
  const json cpu = json::parse(run(ids, {"--json"}).out);
  EXPECT_EQ(json::parse(run(ids, {"--json", "-nkvo"}).out)["ids"], cpu["ids"]) << "of no effect";
  const json on_host = json::parse(run(ids, {"--json", "--device", "cuda", "--max-vram", "512MiB",
                                             "-nkvo", "--speculate", "off"})
                                       .out);
  EXPECT_EQ(on_host["ids"], cpu["ids"]);
  const json& report = on_host["report"]["device"];
  // Pages in for the two tokens behind the prompt, out for all three passes.
  EXPECT_EQ(report["kv_bytes_in"], report["kv_bytes_out"]);
  EXPECT_GT(report["kv_bytes_in"], 0);
  EXPECT_THAT(run("1,2", {"--device", "cuda", "-nkvo"}).err,
              HasSubstr("KV cache     in host memory: "));
  EXPECT_THAT(run("1,2", {"--device", "cuda"}).err, testing::Not(HasSubstr("in host memory")));
}

TEST_F(DeviceCli, TheCpuComputesItsShareOfWhatLiesInHostMemory) {
  const auto run = [&](std::vector<std::string> more) {
    std::vector<std::string> args = {"run",          store_,       "--prompt-ids", "1,2,3,4,5",
                                     "-n",           "4",          "--temp",       "0",
                                     "--ignore-eos", "-c",         "64",           "--device",
                                     "cuda",         "--max-vram", Vram(256 << 10)};
    args.insert(args.end(), more.begin(), more.end());
    return RunSluice(args);
  };
  const Finished alone = run({"--json", "--cpu-share", "0"});
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  const json without = json::parse(alone.out);
  EXPECT_EQ(without["report"]["device"]["cpu_bytes"], 0);
  const Finished shared = run({"--json", "--cpu-share", "0.5", "--trace", dir_ / "t.json"});
  ASSERT_EQ(shared.exit_code, 0) << shared.err;
  const json result = json::parse(shared.out);
  EXPECT_EQ(result["ids"], without["ids"]);
  const json& report = result["report"]["device"];
  EXPECT_GT(report["cpu_bytes"], 0);
  EXPECT_GT(report["cpu_gb_per_s"], 0);
  EXPECT_LT(report["bytes_copied"], without["report"]["device"]["bytes_copied"]);
  int64_t products = 0;
  const json trace = json::parse(std::ifstream(dir_ / "t.json"));
  for (const json& event : trace["traceEvents"]) products += event.value("cat", "") == "CPU";
  EXPECT_GT(products, 0);
  const Finished text = run({"--cpu-share", "1"});
  ASSERT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.err, HasSubstr("CPU          "));
}

// The link has 4 MB/s, and so have the CPU's kernels with a row: half of what is not kept, and a
// pass takes half as long.
TEST_F(DeviceCli, PlanSharesWithTheCpuByWhatTheProbeMeasured) {
  const std::vector<std::string> more = {"--max-vram", Vram(256 << 10), "--no-probe"};
  const json alone = Plan(more);
  EXPECT_EQ(alone["device"]["cpu_slabs"], 0) << "its kernels were not measured";
  probe_.rates.kernels = {{Encoding::kQ8_0, 1, kLinkRate}, {Encoding::kQ8_0, 64, kLinkRate / 64}};
  EXPECT_TRUE(RememberProbe(dir_ / "sluice/probe.json", probe_).ok());
  const json shared = Plan(more);
  EXPECT_GT(shared["device"]["cpu_slabs"], 0);
  EXPECT_GE(shared["device"]["cpu_most_rows"], 1);
  EXPECT_LT(shared["device"]["cpu_most_rows"], 16);
  constexpr double kSlab = (16 << 10) / kLinkRate;
  EXPECT_NEAR(shared["floor"]["link_s"].get<double>(), shared["floor"]["compute_s"].get<double>(),
              2 * kSlab);
  EXPECT_LT(shared["predicted_s"].get<double>(), 0.6 * alone["predicted_s"].get<double>());
  EXPECT_NEAR(shared["predicted_prompt_s"].get<double>(),
              shared["floor"]["link_s"].get<double>() + shared["floor"]["compute_s"].get<double>(),
              1e-9)
      << "a prompt has all of it copied";
  std::vector<std::string> none = more;
  none.insert(none.end(), {"--cpu-share", "0"});
  EXPECT_EQ(Plan(none)["device"]["cpu_slabs"], 0);
}

TEST_F(DeviceCli, BenchHoldsCopiesAgainstTheLink) {
  const Finished bench =
      RunSluice({"bench", store_, "--device", "cuda", "--max-vram", Vram(0), "-p", "4", "-n", "1",
                 "-r", "1", "-o", "json", "--throttle-copy", "2MB/s", "--svg", dir_ / "p.svg"});
  ASSERT_EQ(bench.exit_code, 0) << bench.err;
  const json rows = json::parse(bench.out);
  ASSERT_EQ(rows.size(), 2);
  for (const json& row : rows) {
    const double wall = row["compute_s"].get<double>() + row["wait_disk_s"].get<double>() +
                        row["wait_copy_s"].get<double>() + row["other_s"].get<double>();
    const int tokens = row["test"] == "pp4" ? 4 : 1;
    EXPECT_NEAR(wall, tokens / row["tokens_per_s"].get<double>(), 0.05 * wall + 1e-3) << row;
    EXPECT_EQ(row["device"], kDevice);
    EXPECT_EQ(row["max_vram_bytes"], least_vram_);
    EXPECT_LE(row["device_bytes"], row["max_vram_bytes"]);
    EXPECT_GT(row["wait_copy_s"], 0);
    EXPECT_GT(row["link_share"], 0);
    EXPECT_GT(row["link_busy_s"], 0);
    EXPECT_LE(row["link_share"], 1.5) << "slabs for the pass after may be copied in a row's time";
    EXPECT_GT(row["device_memory_share"], 0);
    // All weights over a link of 2 MB/s.
    EXPECT_GE(row["predicted_s"].get<double>(), 0.99 * static_cast<double>(weight_bytes_) / 2e6);
    EXPECT_GT(row["pass_efficiency"], 0);
  }
  EXPECT_THAT(ReadWholeFile(dir_ / "p.svg"), HasSubstr(">copy "));
}

TEST_F(DeviceCli, BatchAnswersAsTheCpuDoes) {
  std::ofstream(dir_ / "requests.jsonl")
      << R"({"prompt": [1, 2, 3], "max_tokens": 3, "temperature": 0})"
      << "\n"
      << R"({"prompt": [7, 8], "max_tokens": 2, "temperature": 0})"
      << "\n";
  std::set<std::string> answers[2];
  for (const bool on_device : {false, true}) {
    const std::string output = dir_ / (on_device ? "device.jsonl" : "cpu.jsonl");
    std::vector<std::string> args = {"batch",        store_, "-i",    dir_ / "requests.jsonl",
                                     "-o",           output, "-c",    "64",
                                     "--batch-size", "2",    "--json"};
    if (on_device) args.insert(args.end(), {"--device", "cuda", "--max-vram", Vram(1 << 20)});
    const Finished batch = RunSluice(args);
    ASSERT_EQ(batch.exit_code, 0) << batch.err;
    const json report = json::parse(batch.out);
    EXPECT_EQ(report["succeeded"], 2);
    EXPECT_EQ(report.contains("device"), on_device);
    std::ifstream file(output);
    for (std::string line; std::getline(file, line);) {
      const json answer = json::parse(line);
      answers[on_device].insert(answer["response"]["body"]["choices"].dump());
    }
  }
  EXPECT_EQ(answers[0].size(), 2);
  EXPECT_EQ(answers[1], answers[0]);
  // A job goes on where it began.
  const Finished moved =
      RunSluice({"batch", store_, "-i", dir_ / "requests.jsonl", "-o", dir_ / "cpu.jsonl", "-c",
                 "64", "--batch-size", "2", "--device", "cuda", "--max-vram", Vram(1 << 20)});
  EXPECT_EQ(moved.exit_code, 1);
  EXPECT_THAT(moved.err, HasSubstr("device"));
}

TEST_F(DeviceCli, FastMathRoundsWhereTheWeightsAre16BitFloatsAndAJobKeepsToIt) {
  const std::string bf16 = dir_ / "bf16";
  ASSERT_EQ(
      RunSluice({"shard", SLUICE_SOURCE_DIR "/tests/data/models/qwen2-bias-bf16", bf16}).exit_code,
      0);
  const auto run = [](const std::string& store, const std::vector<std::string>& more) {
    std::vector<std::string> args = {
        "run", store, "--prompt-ids", "1,2,3",  "-n",       "2",    "--temp",
        "0",   "-c",  "64",           "--json", "--device", "cuda", "--fast-math"};
    args.insert(args.end(), more.begin(), more.end());
    return RunSluice(args);
  };
  const Finished vain = run(store_, {});
  ASSERT_EQ(vain.exit_code, 0) << vain.err;
  EXPECT_THAT(vain.err,
              HasSubstr("--fast-math changes nothing: the store has no bf16 or f16 matrices"));
  EXPECT_EQ(json::parse(vain.out)["report"]["fast_math"], false);
  const Finished fast = run(bf16, {});
  ASSERT_EQ(fast.exit_code, 0) << fast.err;
  EXPECT_THAT(
      fast.err,
      HasSubstr("--fast-math rounds the activations of bf16 and f16 weights to their type (GPU)"));
  EXPECT_EQ(json::parse(fast.out)["report"]["fast_math"], true);

  std::ofstream(dir_ / "in") << R"({"prompt": [1, 2, 3], "max_tokens": 2, "temperature": 0})"
                             << "\n";
  std::vector<std::string> job = {
      "batch", bf16,           "-i", dir_ / "in", "-o",   dir_ / "out.jsonl", "-c",
      "64",    "--batch-size", "1",  "--device",  "cuda", "--fast-math"};
  ASSERT_EQ(RunSluice(job).exit_code, 0);
  EXPECT_EQ(RunSluice(job).exit_code, 0) << "it goes on with the same";
  job.pop_back();
  const Finished exact = RunSluice(job);
  EXPECT_EQ(exact.exit_code, 1);
  EXPECT_THAT(
      exact.err,
      HasSubstr("to a job with another arithmetic (--fast-math): fast-math on compute capability "
                "9.0, now exact"));
}

TEST_F(DeviceCli, PlanPredictsFromTheRememberedDevice) {
  const json streamed = Plan({"--max-vram", Vram(0), "--no-probe", "-kvo"});
  EXPECT_EQ(streamed["bound_by"], "link");
  EXPECT_DOUBLE_EQ(streamed["floor"]["link_s"].get<double>(),
                   static_cast<double>(weight_bytes_) / kLinkRate);
  EXPECT_DOUBLE_EQ(streamed["floor"]["device_memory_s"].get<double>(),
                   2 * static_cast<double>(weight_bytes_) / kMemoryRate);
  EXPECT_EQ(streamed["predicted_s"], streamed["floor"]["link_s"]);
  const json kept = Plan({"--max-vram", "512MiB", "--no-probe"});
  EXPECT_EQ(kept["bound_by"], "device memory");
  EXPECT_EQ(kept["floor"]["link_s"], 0);
  // With keys and values in host memory the last token of the context sees one page of each layer,
  // which goes in and out.
  const int64_t least = Plan({"--max-vram", "512MiB", "-nkvo"})["device"]["minimum_bytes"];
  const json kv = Plan({"--max-vram", std::to_string(least), "--no-probe", "-nkvo"});
  const double two_pages = kv["device"]["fixed"]["KV pages on their way"];
  EXPECT_DOUBLE_EQ(kv["floor"]["link_s"].get<double>(),
                   (static_cast<double>(weight_bytes_) + 3 * two_pages) / kLinkRate);
  const json slower =
      Plan({"--max-vram", Vram(0), "--no-probe", "-kvo", "--throttle-copy", "2MB/s"});
  EXPECT_DOUBLE_EQ(slower["predicted_s"].get<double>(), 2 * streamed["predicted_s"].get<double>());
  const Finished batch = RunSluice(
      {"plan", store_, "--batch", "--device", "cuda", "--max-vram", "512MiB", "-c", "64"});
  ASSERT_EQ(batch.exit_code, 0) << batch.err;
  EXPECT_THAT(batch.out, HasSubstr("on the device"));
  const Finished on_disk = RunSluice({"plan", store_, "--batch", "--device", "cuda", "--max-vram",
                                      "512MiB", "-c", "64", "--kv-disk", "1GiB"});
  EXPECT_EQ(on_disk.exit_code, 2);
  EXPECT_THAT(on_disk.err, HasSubstr("--kv-disk"));
  const Finished refused =
      RunSluice({"plan", store_, "--device", "cuda", "--max-vram", Vram(-1), "-c", "64", "-kvo"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("--max-vram"));
}

// In this process, whose emulated machine can be one without a device.
TEST(AutoDevice, SaysWhyTheCpuComputesAndTheCpuAloneSaysNothing) {
  const auto open = [](const cuda_emulation::MachineOptions& machine, DeviceChoice::Kind kind) {
    cuda_emulation::Reset(machine);
    testing::internal::CaptureStderr();
    const auto device = OpenDevice({.kind = kind}, &PrintOpenNote);
    EXPECT_TRUE(device.ok()) << device.status();
    EXPECT_EQ(*device, nullptr);
    return testing::internal::GetCapturedStderr();
  };
  const struct {
    cuda_emulation::MachineOptions machine;
    const char* reason;
  } kMachines[] = {
      {{.driver_version = 0}, "CUDA: no driver: the system finds no libcuda.so.1 that works"},
      {{.devices = 0}, "CUDA: no device: the driver, for CUDA "},
      {{.driver_version = 11080}, "CUDA: driver too old, needs "},
      {{.compute_major = 6}, "has compute capability 6.0, kernels need 7.5"}};
  for (const auto& [machine, reason] : kMachines) {
    const std::string said = open(machine, DeviceChoice::Kind::kAuto);
    EXPECT_THAT(said, testing::StartsWith("sluice: computing on the CPU: "));
    EXPECT_THAT(said, HasSubstr(reason));
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1);
    EXPECT_EQ(open(machine, DeviceChoice::Kind::kCpu), "");
  }
  cuda_emulation::Reset({});
}

// In this process, whose emulated machine can be told to refuse.
class RefusedPinning : public DeviceCli {
 protected:
  RefusedPinning() {
    setenv("XDG_CACHE_HOME", CacheHome().c_str(), /*overwrite=*/1);
    cuda_emulation::Reset({});
  }
  ~RefusedPinning() override {
    unsetenv("XDG_CACHE_HOME");
    EXPECT_EQ(cuda_emulation::Faults(), "");
    EXPECT_EQ(cuda_emulation::LiveObjects(), 0);
  }
  Arguments Args(const CommandSpec& command, std::vector<std::string> more) {
    std::vector<std::string> args = {store_,  "--device", "cuda", "--max-vram",
                                     Vram(0), "-c",       "64",   "-kvo"};
    args.insert(args.end(), more.begin(), more.end());
    const auto parsed = ParseArguments(command, args);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    return *parsed;
  }
};

TEST_F(RefusedPinning, FastMathIsRefusedOnADeviceWithoutItsInstruction) {
  cuda_emulation::Reset({.compute_major = 7, .compute_minor = 5});
  const absl::Status status =
      RunCommand().run(Args(RunCommand(), {"--prompt-ids", "1", "--fast-math"}));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "CUDA: products with rounded activations (--fast-math) need compute capability 8.0; "
            "this device has 7.5");
  const absl::StatusOr<std::unique_ptr<CudaCompute>> compute = OpenCudaDevice(0);
  ASSERT_TRUE(compute.ok());
  MatMulArgs args = {};
  args.encoding = Encoding::kBF16;
  args.k = args.num_tiles = args.num_tokens = 1;
  args.rounded_activations = true;
  EXPECT_EQ((*compute)->ops()->MatMul(args), status);
}

TEST_F(RefusedPinning, PlanShrinksTheHostTierAndSaysSo) {
  const auto plan = [this](const std::vector<std::string>& more, bool refused) {
    if (refused) cuda_emulation::FailCall("cudaHostRegister", 1, cudaErrorMemoryAllocation);
    testing::internal::CaptureStdout();
    const absl::Status status = PlanCommand().run(Args(PlanCommand(), more));
    EXPECT_TRUE(status.ok()) << status;
    return testing::internal::GetCapturedStdout();
  };
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{}, {"--batch"}, {"--batch", "--batch-size", "1"}}) {
    EXPECT_THAT(plan(more, false), testing::Not(HasSubstr("pinning ")));
    EXPECT_THAT(plan(more, true), HasSubstr("pinning      the system pins no more than "));
  }
  const auto streamed = [&](bool refused) -> int64_t {
    return json::parse(plan({"--batch", "--json"}, refused))["streamed_bytes"];
  };
  EXPECT_EQ(streamed(false), 0);
  EXPECT_GT(streamed(true), 0);
}

TEST_F(RefusedPinning, TheReportSaysHowMuchIsReadForIt) {
  for (const bool refused : {false, true}) {
    const OpenOptions options = *ParseSessionOptions(Args(RunCommand(), {"--prompt-ids", "1"}));
    Session session = *OpenStoreAlone(options);
    // Behind two for copies through the host and one for the ring come the slabs that stay.
    if (refused) cuda_emulation::FailCall("cudaHostRegister", 4, cudaErrorMemoryAllocation);
    const absl::Status started = StartModel(session, options, 1, /*logits_of_all_rows=*/false);
    ASSERT_TRUE(started.ok()) << started;
    // Passes allocate nothing.
    for (const char* call : {"cudaMalloc", "cudaMallocHost"}) {
      cuda_emulation::FailCall(call, 1, cudaErrorMemoryAllocation);
    }
    KvSequence sequence;
    ASSERT_TRUE(session.model->kv_cache().Reserve(sequence, 2).ok());
    for (const int64_t position : {0, 1}) {
      const PassRow row = {&sequence, position, 5, /*wants_logits=*/true};
      const absl::Status ran = session.model->RunPass({&row, 1}).status();
      EXPECT_TRUE(ran.ok()) << ran;
    }
    session.model->kv_cache().Release(sequence);
    for (const char* call : {"cudaMalloc", "cudaMallocHost"})
      cuda_emulation::FailCall(call, 0, cudaSuccess);  // never
    const DeviceReport report = MakeDeviceReport(session);
    EXPECT_EQ(report.unpinned_bytes > 0, refused);
    EXPECT_EQ(session.model->plan().residency.streamed_bytes > 0, refused);
    testing::internal::CaptureStderr();
    PrintDeviceReport(report);
    EXPECT_EQ(testing::internal::GetCapturedStderr().find("pinning ") != std::string::npos,
              refused);
  }
}

}  // namespace
}  // namespace sluice
