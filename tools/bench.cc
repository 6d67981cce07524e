// sluice bench: prompt and generation speed by budget, and what each stage did meanwhile.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/format_bytes.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/system_memory.h"
#include "runtime/floor/pass_floor.h"
#include "runtime/floor/probe/machine_probe.h"
#include "runtime/open/sequence_pass.h"
#include "runtime/open/session.h"
#include "runtime/open/session_rates.h"
#include "tools/bench_row.h"
#include "tools/commands.h"
#include "tools/gantt.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/session_options.h"
#include "tools/trace.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

// A row of the table, before it is measured.
struct Test {
  bool prompt;  // a prompt in as few passes as the plan allows; else a token a pass
  int64_t tokens;
  int64_t depth = 0;  // tokens that are in the context before
  std::string Name() const {
    return absl::StrCat(prompt ? "pp" : "tg", tokens, depth > 0 ? absl::StrCat(" @ d", depth) : "");
  }
};

// What the stages had done at some moment.
struct Snapshot {
  Clock::time_point time;
  PassCounters passes;
  StreamCounters stream;
  DeviceStreamCounters device;
  KvStagingCounters kv;
  HostProductCounters products;
};

struct BenchOptions {
  std::vector<Test> tests;
  int64_t repetitions = 3;
  int64_t context = 0;
  MachineRates rates;
  const std::atomic<bool>* interrupt = nullptr;
};

absl::StatusOr<std::vector<int64_t>> ParseCounts(const Arguments& args, absl::string_view option,
                                                 int64_t fallback) {
  std::vector<int64_t> counts;
  for (const std::string& word : args.List(option)) {
    int64_t count;
    if (!absl::SimpleAtoi(word, &count) || count < 0 || count > (int64_t{1} << 30)) {
      return UsageError(
          absl::StrCat(option, " wants numbers of tokens such as 128,512, not \"", word, "\""));
    }
    counts.push_back(count);
  }
  if (counts.empty()) counts.push_back(fallback);
  return counts;
}

// Measures the tests on one model, that is with one budget and one way to read.
class ModelBench {
 public:
  ModelBench(Session* session, const OpenOptions& session_options, const BenchOptions& options,
             TraceWriter* trace)
      : session_(*session), session_options_(session_options), options_(options), trace_(trace) {
    for (const int tier : model().plan().residency.tier) resident_.push_back(tier != kOnDisk);
    if (trace_ != nullptr) {
      trace_->BeginWalk(absl::StrCat("budget ", FormatBytes(session_options_.max_ram_bytes),
                                     ", queue depth ", session_options_.read.io.queue_depth));
    }
    ObserveForTrace();
  }

  // Reads what stays resident, and touches every buffer.
  absl::Status WarmUp() { return RunAlone({.prompt = true, .tokens = 1}); }

  absl::StatusOr<BenchRow> Measure(const Test& test) {
    std::vector<double> rates;
    KvSequence sequence;
    SLUICE_RETURN_IF_ERROR(model().kv_cache().Reserve(sequence, test.depth + test.tokens));
    SLUICE_RETURN_IF_ERROR(RunTokens({.prompt = true, .tokens = test.depth}, sequence));
    const Snapshot before = Take();
    for (int64_t i = 0; i < options_.repetitions; ++i) {
      const Clock::time_point start = Clock::now();
      SLUICE_RETURN_IF_ERROR(RunTokens(test, sequence));  // in the place of the repetition before
      const std::chrono::duration<double> seconds = Clock::now() - start;
      rates.push_back(test.tokens / seconds.count());
    }
    const Snapshot after = Take();
    model().kv_cache().Release(sequence);
    model().FlushTimeline();
    return MakeRow(test, rates, before, after);
  }

  // The middle one of three more passes, drawn.
  absl::StatusOr<std::string> Draw() {
    std::vector<TimelineEvent> events;
    model().SetTimelineSink([&events](absl::Span<const TimelineEvent> more) {
      events.insert(events.end(), more.begin(), more.end());
    });
    model().FlushTimeline();
    const absl::Status run = RunAlone({.prompt = false, .tokens = 3});
    model().FlushTimeline();
    ObserveForTrace();
    SLUICE_RETURN_IF_ERROR(run);
    const Manifest& manifest = session_.store->manifest();
    const int64_t pass = model().pass_counters().passes - 2;
    return DrawPass(events, resident_, pass,
                    absl::StrFormat("One pass of %s (%s of weights, %s streamed), a token",
                                    manifest.source, FormatBytes(model().plan().weight_bytes),
                                    FormatBytes(model().plan().residency.streamed_bytes)));
  }

 private:
  Model& model() { return *session_.model; }

  void ObserveForTrace() {
    model().SetTimelineSink(trace_ == nullptr ? Model::TimelineSink()
                                              : [this](absl::Span<const TimelineEvent> events) {
                                                  trace_->Add(events, resident_);
                                                });
  }

  Snapshot Take() {
    return {Clock::now(),
            model().pass_counters(),
            model().stream_counters(),
            model().device_counters(),
            model().kv_staging_counters(),
            model().host_product_counters()};
  }

  // With a sequence of its own.
  absl::Status RunAlone(const Test& test) {
    KvSequence sequence;
    SLUICE_RETURN_IF_ERROR(model().kv_cache().Reserve(sequence, test.tokens));
    SLUICE_RETURN_IF_ERROR(RunTokens(test, sequence));
    model().kv_cache().Release(sequence);
    return absl::OkStatus();
  }

  absl::Status RunTokens(const Test& test, const KvSequence& sequence) {
    std::uniform_int_distribution<int32_t> token(
        0, static_cast<int32_t>(model().hyper_parameters().vocab_size) - 1);
    std::vector<PassRow> rows;
    for (int64_t done = 0; done < test.tokens;) {
      const int64_t most = test.prompt ? model().plan().pass_rows : 1;
      const int64_t count = std::min(most, test.tokens - done);
      rows.clear();
      for (int64_t i = 0; i < count; ++i) {
        rows.push_back({&sequence, test.depth + done + i, token(random_),
                        done + i + 1 == test.tokens || !test.prompt});
      }
      SLUICE_RETURN_IF_ERROR(model().RunPass(rows, options_.interrupt).status());
      done += count;
    }
    return absl::OkStatus();
  }

  // The floors and predictions of all passes of one repetition, and the bytes that they touch in
  // memories.
  struct Floors {
    double floor_s = 0;
    double predicted_s = 0;
    double host_bytes = 0;     // of the host's memory
    double nearest_bytes = 0;  // of the one next to what computes
  };
  Floors FloorsOf(const Test& test) {
    Floors sum;
    for (int64_t done = 0; done < test.tokens;) {
      const int64_t rows = std::min(test.prompt ? model().plan().pass_rows : 1, test.tokens - done);
      const int64_t context = test.depth + done;
      done += rows;
      PassWork work =
          DescribeSequencePass(session_.store->manifest(), model().plan(), session_options_,
                               context, rows, done == test.tokens || !test.prompt);
      const PassFloor floor = FloorOf(work, options_.rates);
      sum.floor_s += floor.floor_s();
      sum.predicted_s += floor.predicted_s();
      sum.host_bytes += static_cast<double>(work.host().touched_bytes);
      sum.nearest_bytes += static_cast<double>(work.nearest().touched_bytes);
    }
    return sum;
  }

  BenchRow MakeRow(const Test& test, const std::vector<double>& rates, const Snapshot& before,
                   const Snapshot& after) {
    const double reps = static_cast<double>(options_.repetitions);
    const std::chrono::duration<double> wall = after.time - before.time;
    const double bytes =
        static_cast<double>(after.stream.io.bytes_read - before.stream.io.bytes_read);
    const auto share = [](double rate, double limit) { return limit > 0 ? rate / limit : 0; };
    const Floors floors = FloorsOf(test);

    BenchRow row;
    const Manifest& manifest = session_.store->manifest();
    row.test = test.Name();
    row.model = manifest.recipe == "checkpoint"
                    ? manifest.source
                    : absl::StrCat(manifest.source, ", ", manifest.recipe);
    row.cpu = CpuName();
    row.max_ram_bytes = session_options_.max_ram_bytes;
    row.queue_depth = session_options_.read.io.queue_depth;
    row.threads = session_options_.num_threads;
    const MemoryPlan& plan = model().plan();
    row.resident_bytes = plan.weight_bytes - plan.residency.streamed_bytes;
    row.streamed_bytes = plan.residency.streamed_bytes;
    row.ring_bytes = plan.host().ring_bytes;
    for (const double rate : rates) row.tokens_per_s += rate / reps;
    for (const double rate : rates)
      row.stddev += (rate - row.tokens_per_s) * (rate - row.tokens_per_s);
    row.stddev = reps > 1 ? std::sqrt(row.stddev / (reps - 1)) : 0;
    row.gb_per_token = bytes / 1e9 / reps / test.tokens;
    row.disk_gb_per_s = bytes / 1e9 / wall.count();
    row.disk_busy_share =
        (after.stream.io.busy_seconds - before.stream.io.busy_seconds) / wall.count();
    row.disk_share = share(1e9 * row.disk_gb_per_s, options_.rates.disk_bytes_per_s);
    row.memory_gb_per_s = reps * floors.host_bytes / 1e9 / wall.count();
    row.memory_share = share(1e9 * row.memory_gb_per_s, options_.rates.memory_bytes_per_s);
    row.pass_efficiency = reps * floors.floor_s / wall.count();
    const double passes = static_cast<double>(after.passes.passes - before.passes.passes);
    row.seconds_per_pass = wall.count() / passes;
    row.predicted_s = reps * floors.predicted_s / passes;
    row.compute_s = (after.passes.compute_seconds - before.passes.compute_seconds) / reps;
    row.wait_disk_s = (after.passes.wait_disk_seconds - before.passes.wait_disk_seconds) / reps;
    row.wait_copy_s = (after.passes.wait_copy_seconds - before.passes.wait_copy_seconds) / reps;
    row.other_s = (after.passes.other_seconds - before.passes.other_seconds) / reps;
    row.peak_rss_bytes = PeakRssBytes();
    if (session_.gpu == nullptr) return row;
    row.device = session_.gpu->name();
    row.max_vram_bytes = plan.request.device->max_bytes;
    row.device_bytes = plan.nearest().total_bytes();
    row.cpu_bytes = (after.products.bytes - before.products.bytes) / options_.repetitions;
    row.cpu_s = (after.products.seconds - before.products.seconds) / reps;
    row.wait_cpu_s = (after.products.wait_seconds - before.products.wait_seconds) / reps;
    const int64_t copied = after.device.bytes_copied + after.kv.bytes_in + after.kv.bytes_out -
                           before.device.bytes_copied - before.kv.bytes_in - before.kv.bytes_out;
    row.link_gb_per_s = static_cast<double>(copied) / 1e9 / wall.count();
    row.link_share = share(1e9 * row.link_gb_per_s, options_.rates.link_bytes_per_s);
    row.link_busy_s = (after.device.link_busy_seconds - before.device.link_busy_seconds) / reps;
    row.kv_copy_s = (after.kv.copy_seconds - before.kv.copy_seconds) / reps;
    row.device_memory_gb_per_s = reps * floors.nearest_bytes / 1e9 / wall.count();
    row.device_memory_share =
        share(1e9 * row.device_memory_gb_per_s, options_.rates.device_memory_bytes_per_s);
    return row;
  }

  Session& session_;
  const OpenOptions& session_options_;
  const BenchOptions& options_;
  TraceWriter* const trace_;
  std::vector<bool> resident_;
  std::mt19937 random_{1};
};

absl::StatusOr<BenchOptions> ParseBenchOptions(const Arguments& args) {
  BenchOptions options;
  SLUICE_ASSIGN_OR_RETURN(const std::vector<int64_t> prompts, ParseCounts(args, "--n-prompt", 512));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<int64_t> generated, ParseCounts(args, "--n-gen", 128));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<int64_t> depths, ParseCounts(args, "--n-depth", 0));
  for (const int64_t depth : depths) {
    for (const int64_t n : prompts) {
      if (n > 0) options.tests.push_back({true, n, depth});
    }
    for (const int64_t n : generated) {
      if (n > 0) options.tests.push_back({false, n, depth});
    }
  }
  if (options.tests.empty()) return UsageError("-p and -n are both 0: nothing to measure");
  options.context = *std::max_element(prompts.begin(), prompts.end()) +
                    *std::max_element(generated.begin(), generated.end()) +
                    *std::max_element(depths.begin(), depths.end());
  SLUICE_ASSIGN_OR_RETURN(options.repetitions, args.Int("--repetitions", 3, 1, 1000000));
  return options;
}

// The budgets and queue depths to go through, as arguments that ParseSessionOptions reads.
absl::StatusOr<std::vector<OpenOptions>> ListConfigurations(const Arguments& args) {
  std::vector<std::string> budgets = args.List("--max-ram");
  if (budgets.empty()) budgets.push_back("");
  std::vector<OpenOptions> list;
  for (const std::string& budget : budgets) {
    SLUICE_ASSIGN_OR_RETURN(
        OpenOptions options,
        ParseSessionOptions(budget.empty() ? args : args.With("--max-ram", budget)));
    SLUICE_ASSIGN_OR_RETURN(std::vector<int64_t> depths,
                            ParseCounts(args, "--queue-depth", options.read.io.queue_depth));
    for (const int64_t depth : depths) {
      if (depth < 1 || depth > 1024) return UsageError("--queue-depth is from 1 to 1024");
      options.read.io.queue_depth = static_cast<int>(depth);
      list.push_back(options);
    }
  }
  return list;
}

absl::Status Bench(const Arguments& args) {
  SLUICE_ASSIGN_OR_RETURN(BenchOptions options, ParseBenchOptions(args));
  SLUICE_ASSIGN_OR_RETURN(std::vector<OpenOptions> configurations, ListConfigurations(args));
  SLUICE_ASSIGN_OR_RETURN(const BenchFormat format,
                          ParseBenchFormat(args.Get("--output").value_or("md")));
  options.interrupt = InstallInterruptHandler();
  std::unique_ptr<TraceWriter> trace;
  std::unique_ptr<LayerStore> trace_store;  // names the trace's slabs
  std::vector<BenchRow> rows;
  std::string picture;
  for (OpenOptions& configuration : configurations) {
    configuration.context_tokens = options.context;
    configuration.say_fast_math = rows.empty();
    SLUICE_ASSIGN_OR_RETURN(Session session, OpenStore(configuration));
    if (rows.empty()) {
      const int queue_depth = configuration.read.io.queue_depth;
      SLUICE_RETURN_IF_ERROR(ProbeWithProgress(&configuration, session));
      if (args.Has("--queue-depth")) configuration.read.io.queue_depth = queue_depth;
      for (OpenOptions& other : configurations) {
        other.read.io.read_bytes = configuration.read.io.read_bytes;
        if (!args.Has("--queue-depth"))
          other.read.io.queue_depth = configuration.read.io.queue_depth;
      }
      SLUICE_ASSIGN_OR_RETURN(options.rates, RatesForSession(configuration, session));
    }
    if (args.Has("--trace") && trace == nullptr) {
      SLUICE_ASSIGN_OR_RETURN(trace_store, LayerStore::Open(configuration.store));
      SLUICE_ASSIGN_OR_RETURN(trace,
                              TraceWriter::Create(*args.Get("--trace"), trace_store->manifest()));
    }
    int64_t pass_rows = 1;
    for (const Test& test : options.tests) {
      const int64_t prompt = test.prompt ? std::max(test.tokens, test.depth) : test.depth;
      pass_rows = std::max(pass_rows, std::min(prompt, kPrefillRows));
    }
    SLUICE_RETURN_IF_ERROR(
        StartModel(session, configuration, pass_rows, /*logits_of_all_rows=*/false));
    ModelBench bench(&session, configuration, options, trace.get());
    Progress progress("running", ProgressUnit::kCount);
    const int64_t total = static_cast<int64_t>(configurations.size() * options.tests.size());
    progress.Update(static_cast<int64_t>(rows.size()), total,
                    "reading weights that stay in memory");
    SLUICE_RETURN_IF_ERROR(bench.WarmUp());
    for (const Test& test : options.tests) {
      progress.Update(static_cast<int64_t>(rows.size()), total, test.Name());
      SLUICE_ASSIGN_OR_RETURN(const BenchRow row, bench.Measure(test));
      rows.push_back(row);
      progress.Update(static_cast<int64_t>(rows.size()), total);
    }
    if (args.Has("--svg")) {
      SLUICE_ASSIGN_OR_RETURN(picture, bench.Draw());
    }
  }
  if (trace != nullptr) SLUICE_RETURN_IF_ERROR(trace->Close());
  std::fputs(FormatRows(rows, format).c_str(), stdout);
  if (args.Has("--svg")) {
    const std::string path = *args.Get("--svg");
    std::ofstream out(path, std::ios::binary);
    out << picture;
    if (!out.flush()) return absl::UnavailableError(absl::StrCat("cannot write ", path));
  }
  return absl::OkStatus();
}

}  // namespace

CommandSpec BenchCommand() {
  CommandSpec command;
  command.name = "bench";
  command.summary = "Measure speed by budget, and what limits it";
  command.positionals = {"STORE"};
  command.description =
      "Measures prompt processing (pp) and generation (tg) with random tokens, as llama-bench "
      "does, and their limits: GB read a token, the rates of disk and memory and their shares of "
      "the probe's rates, how much of the time the disk is busy, pass efficiency (the physical "
      "floor of a pass over its time), and how the time splits into computing and waiting. "
      "Weights that stay in memory are read before the measurement. Each row names the model, "
      "the CPU and the threads, so that it is complete by itself.\n\n"
      "A row's name says how many tokens are processed; if it ends in @ dN, N tokens are in the "
      "context before them.\n\n"
      "With --device, rows also have the rates of copies to the device and of its memory, as "
      "shares of the rates that the probe measured, and the time that its kernels waited for "
      "copies.\n\n"
      "--max-ram, --queue-depth, -p, -n and -d take several values, such as 1GiB,2GiB,4GiB. "
      "Without a remembered probe, the machine is measured for three seconds first, and the "
      "result is remembered.";
  command.options = {
      {.name = "--n-prompt",
       .alias = "-p",
       .value = "N",
       .help = "Tokens of the prompt (default 512; 0: none)."},
      {.name = "--n-gen",
       .alias = "-n",
       .value = "N",
       .help = "Tokens to generate (default 128; 0: none)."},
      {.name = "--n-depth",
       .alias = "-d",
       .value = "N",
       .help = "Tokens in the context before each test, not timed (default 0)."},
      {.name = "--repetitions", .alias = "-r", .value = "N", .help = "Repetitions (default 3)."},
      {.name = "--output",
       .alias = "-o",
       .help = "Format (default md).",
       .choices = {"md", "csv", "json", "jsonl"}},
      {.name = "--queue-depth",
       .value = "N",
       .help = "Reads in flight (default: the probe's best, or 32)."},
      {.name = "--trace", .value = "FILE", .help = "Write a trace for ui.perfetto.dev."},
      {.name = "--svg", .value = "FILE", .help = "Draw one pass of the last budget."},
  };
  for (const OptionSpec& option : SessionOptionSpecs()) {
    if (option.name != "--ctx-size") command.options.push_back(option);
  }
  command.examples = {
      "sluice bench llama-70b.store --max-ram 4GiB,8GiB,16GiB -p 512 -n 16",
      "sluice bench bard.store -p 0 -n 32 -o json --throttle-disk 1GB/s --svg pass.svg"};
  command.run = &Bench;
  return command;
}

}  // namespace sluice
