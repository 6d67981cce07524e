// Options as llama.cpp names them, and lines on standard error.
#include "tools/session_options.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/open/session_rates.h"
#include "storage/shard/tokenizer_files.h"
#include "storage/store/repair_advice.h"
#include "tools/compute_threads.h"
#include "tools/device_options.h"
#include "tools/progress.h"

namespace sluice {
namespace {

KvType ParseKvType(const std::string& name) {
  return name == "f32" ? KvType::kF32 : name == "q8_0" ? KvType::kQ8_0 : KvType::kF16;
}

}  // namespace

std::vector<OptionSpec> SessionOptionSpecs() {
  std::vector<OptionSpec> specs = {
      {.name = "--ctx-size",
       .alias = "-c",
       .value = "N",
       .help = "Context in tokens (default: the smaller of 4096 and the model's; 0: the model's)."},
      {.name = "--max-ram",
       .value = "SIZE",
       .help = "Memory for everything that sluice allocates, such as 3GiB (default: 80% of what is "
               "free)."},
      {.name = "--cache-type-k",
       .alias = "-ctk",
       .help = "Type of the keys in the KV cache (default f16).",
       .choices = {"f32", "f16", "q8_0"}},
      {.name = "--cache-type-v",
       .alias = "-ctv",
       .help = "Type of the values (default f16).",
       .choices = {"f32", "f16", "q8_0"}},
      {.name = "--fast-math",
       .help = "Round the activations of bf16 weights to bf16 if the CPU has AVX512_BF16, and "
               "the activations of bf16 and f16 weights on a GPU. Prompts are faster; results "
               "depend on the processor."},
      {.name = "--io",
       .help = "How to read the disk (default auto: io_uring where it is permitted).",
       .choices = {"auto", "uring", "threads"}},
      {.name = "--verify",
       .help =
           "Check a slab each time it is read, or only the first time in a run (default always).",
       .choices = {"always", "once"}},
      {.name = "--throttle-disk",
       .value = "RATE",
       .help = "Read no faster than RATE, such as 1GB/s: a slower disk, simulated."},
      {.name = "--ring",
       .value = "SIZE",
       .help = "Memory for slabs that are being read or used (default: as much as keeps the disk "
               "busy)."},
      {.name = "--isa", .value = "NAME", .help = "Kernels to use.", .hidden = true},
  };
  const std::vector<OptionSpec> threads = ComputeThreadSpecs();
  specs.insert(specs.begin() + 1, threads.begin(), threads.end());
  const std::vector<OptionSpec> device = DeviceOptionSpecs();
  specs.insert(specs.begin(), device.begin(), device.end());
  return specs;
}

absl::StatusOr<OpenOptions> ParseSessionOptions(const Arguments& args) {
  OpenOptions options;
  options.store = args.positionals()[0];
  options.on_note = &PrintOpenNote;
  std::optional<int64_t> budget;
  if (args.Has("--max-ram")) {
    SLUICE_ASSIGN_OR_RETURN(budget, args.Bytes("--max-ram", 0));
  }
  UseBudget(budget, &options);
  SLUICE_ASSIGN_OR_RETURN(options.context_tokens, args.Int("--ctx-size", -1, 0, int64_t{1} << 30));
  SLUICE_ASSIGN_OR_RETURN(ComputeThreads threads, ParseComputeThreads(args));
  options.num_threads = threads.count;
  options.num_cores = threads.cores;
  options.placement = std::move(threads.placement);
  options.k_type = ParseKvType(args.Get("--cache-type-k").value_or("f16"));
  options.v_type = ParseKvType(args.Get("--cache-type-v").value_or("f16"));
  SLUICE_ASSIGN_OR_RETURN(options.read.io.kind, ParseIoKind(args.Get("--io").value_or("auto")));
  options.probe_file = ProbeCachePath();
  RecallProbeFile(&options);
  SLUICE_ASSIGN_OR_RETURN(options.ring_bytes, args.Bytes("--ring", 0));
  options.read.verify_once = args.Get("--verify") == "once";
  SLUICE_ASSIGN_OR_RETURN(options.read.io.max_bytes_per_s, args.Rate("--throttle-disk", 0));
  SLUICE_ASSIGN_OR_RETURN(options.isa, ParseIsaOption(args));
  for (const char* option : {"--isa", "--io", "--cpu-mask", "--cpu-range"}) {
    if (args.Has(option)) options.unusual_option = option;
  }
  options.fast_math = args.Has("--fast-math");
  SLUICE_ASSIGN_OR_RETURN(options.device, ParseDeviceChoice(args));
  options.read.copy_bytes_per_s = options.device.copy_bytes_per_s;
  options.read.io.on_fewer_threads = SayFewerThreads();
  return options;
}

absl::StatusOr<Isa> ParseIsaOption(const Arguments& args) {
  const std::optional<std::string> name = args.Get("--isa");
  if (!name.has_value()) return SupportedIsas().back();
  return ParseIsa(*name);
}

std::string ProbeCachePath() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0') {
    return absl::StrCat(cache, "/sluice/probe.json");
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return absl::StrCat(home, "/.cache/sluice/probe.json");
  }
  return "";
}

void PrintOpenNote(const OpenNote& note) {
  const char* const prefix = note.kind == OpenNote::Kind::kWarning  ? "sluice: warning: "
                             : note.kind == OpenNote::Kind::kChoice ? "sluice: "
                                                                    : "";
  std::fprintf(stderr, "%s%s\n", prefix, note.text.c_str());
}

absl::Status ProbeWithProgress(OpenOptions* options, const Session& session) {
  std::optional<Progress> progress;
  options->on_measuring = [&progress](absl::string_view what, int done, int total) {
    if (!progress.has_value()) progress.emplace("measuring", ProgressUnit::kCount);
    progress->Update(done, total, what);
  };
  options->on_note = [&progress](const OpenNote& note) {
    progress.reset();  // ends its line
    PrintOpenNote(note);
  };
  const absl::Status status = ProbeForSession(options, session);
  options->on_measuring = nullptr;
  options->on_note = &PrintOpenNote;
  return status;
}

void WarnOfTokenizerChanges(const std::string& tokenizer_dir, const Manifest& manifest) {
  for (const std::string& line : TokenizerChanges(tokenizer_dir, manifest)) {
    PrintOpenNote({OpenNote::Kind::kWarning, absl::StrCat(line, "; ", kTokenizerAdvice)});
  }
}

OptionSpec KvDiskOptionSpec() {
  return {.name = "--kv-disk",
          .value = "SIZE|auto|0",
          .help =
              "How much of the running requests' keys and values lies on disk, beside the "
              "results (default auto: none, unless memory has no room for them and running "
              "more requests at once saves more time than reading them in each pass costs)."};
}

absl::StatusOr<std::optional<int64_t>> ParseKvDisk(const Arguments& args, const Manifest& manifest,
                                                   const PlanRequest& request) {
  if (args.Get("--kv-disk").value_or("auto") == "auto") return std::nullopt;
  SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, args.Bytes("--kv-disk", 0));
  if (bytes > 0 && request.device.has_value()) {
    return UsageError(
        "--kv-disk is for the CPU: with a GPU keys and values lie in its memory or the host's");
  }
  const int64_t page_bytes = LayoutOf(manifest, request).page_bytes();
  return (bytes + page_bytes - 1) / page_bytes;
}

}  // namespace sluice
