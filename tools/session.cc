// Opens a store and everything that a pass needs, as the command line says.
#include "tools/session.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/constrain/constraints.h"
#include "storage/shard/tokenizer_files.h"
#include "storage/store/repair_advice.h"
#include "tools/compute_threads.h"
#include "tools/memory_limits.h"
#include "tools/progress.h"
#include "tools/system_memory.h"

namespace sluice {
namespace {

constexpr int64_t kDefaultContext = 4096;
constexpr double kQuickDeviceSeconds = 0.05;
constexpr int64_t kLeastProbedBytes = int64_t{4} << 20;
// What a driver takes differs from run to run; a budget that plan names should do for the next one.
constexpr int64_t kDriverRounding = int64_t{16} << 20;

// Why --fast-math changes nothing; empty where it does.
std::string WhyNoFastMath(const Session& session, Isa isa) {
  const bool on_gpu = session.gpu != nullptr;
  if (!on_gpu && !RoundsActivations(isa)) {
    return absl::StrCat("it takes AVX512_BF16, which the kernels for ", IsaName(isa),
                        " on this CPU do not use");
  }
  const std::vector<Encoding> encodings = SlabEncodings(session.store->manifest());
  const auto has = [&](Encoding encoding) {
    return std::find(encodings.begin(), encodings.end(), encoding) != encodings.end();
  };
  if (has(Encoding::kBF16) || (on_gpu && has(Encoding::kF16))) return "";
  return on_gpu ? "the store has no bf16 or f16 matrices" : "the store has no bf16 matrices";
}

KvType ParseKvType(const std::string& name) {
  return name == "f32" ? KvType::kF32 : name == "q8_0" ? KvType::kQ8_0 : KvType::kF16;
}

std::vector<CudaDevice>::const_iterator Find(const std::vector<CudaDevice>& devices,
                                             const CudaCompute& gpu) {
  return std::find_if(devices.begin(), devices.end(),
                      [&](const CudaDevice& d) { return d.name == gpu.name(); });
}

// `known` are those that a probe measured; a device that is not among them is measured now.
absl::Status AddDeviceRates(const CudaCompute& gpu, std::vector<CudaDevice> known,
                            MachineRates* rates) {
  if (Find(known, gpu) == known.end()) {
    SLUICE_ASSIGN_OR_RETURN(known, MeasureCudaDevices(kQuickDeviceSeconds));
  }
  const auto device = Find(known, gpu);
  if (device == known.end()) return absl::OkStatus();
  rates->link_bytes_per_s = device->copy_bytes_per_s;
  rates->device_memory_bytes_per_s = device->memory_bytes_per_s;
  return absl::OkStatus();
}

// Of memory that a quick probe takes: within the budget, whose peak it is part of. The weights of a
// budget this small mostly lie in a cache, as what is measured then does.
int64_t ProbedBytes(const SessionOptions& options) {
  return std::clamp(options.max_ram_bytes / 2, kLeastProbedBytes, kMostProbedBytes);
}

// Those that the CPU computes with.
std::vector<Encoding> ProbedEncodings(const Session& session) {
  return session.gpu == nullptr ? SlabEncodings(session.store->manifest())
                                : std::vector<Encoding>();
}

MachineRates AsThrottled(MachineRates rates, const SessionOptions& options,
                         const Session& session) {
  const auto throttle = static_cast<double>(options.read.io.max_bytes_per_s);
  if (throttle > 0 && (throttle < rates.disk_bytes_per_s || rates.disk_bytes_per_s == 0)) {
    rates.disk_bytes_per_s = throttle;
  }
  const auto link_throttle = static_cast<double>(options.read.copy_bytes_per_s);
  if (link_throttle > 0 &&
      (link_throttle < rates.link_bytes_per_s || rates.link_bytes_per_s == 0)) {
    rates.link_bytes_per_s = link_throttle;
  }
  return session.fast_math && session.gpu == nullptr ? WithFastMath(std::move(rates)) : rates;
}

// --max-ram, or the default. Says on standard error where the system has less.
absl::Status ParseBudget(const Arguments& args, SessionOptions* options) {
  const std::vector<MemoryLimit> limits = ReadMemoryLimits();
  if (!args.Has("--max-ram")) {
    DefaultBudget budget = DefaultBudgetOf(limits);
    options->max_ram_bytes = budget.bytes;
    options->max_ram_source = std::move(budget.source);
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(options->max_ram_bytes, args.Bytes("--max-ram", 0));
  if (const auto warning = BudgetWarning(options->max_ram_bytes, limits); warning.has_value()) {
    std::fprintf(stderr, "sluice: warning: %s\n", warning->c_str());
  }
  return absl::OkStatus();
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

absl::StatusOr<SessionOptions> ParseSessionOptions(const Arguments& args) {
  SessionOptions options;
  options.store = args.positionals()[0];
  SLUICE_RETURN_IF_ERROR(ParseBudget(args, &options));
  SLUICE_ASSIGN_OR_RETURN(options.context_tokens, args.Int("--ctx-size", -1, 0, int64_t{1} << 30));
  SLUICE_ASSIGN_OR_RETURN(ComputeThreads threads, ParseComputeThreads(args));
  options.num_threads = threads.count;
  options.num_cores = threads.cores;
  options.placement = std::move(threads.placement);
  options.k_type = ParseKvType(args.Get("--cache-type-k").value_or("f16"));
  options.v_type = ParseKvType(args.Get("--cache-type-v").value_or("f16"));
  SLUICE_ASSIGN_OR_RETURN(options.read.io.kind, ParseIoKind(args.Get("--io").value_or("auto")));
  options.probe = RecallProbe(ProbeCachePath(), options.store);
  if (options.probe.has_value()) {
    options.read.io.read_bytes = options.probe->rates.read_bytes;
    options.read.io.queue_depth = options.probe->rates.queue_depth;
  }
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

void WarnOfTokenizerChanges(const std::string& tokenizer_dir, const Manifest& manifest) {
  for (const std::string& line : TokenizerChanges(tokenizer_dir, manifest)) {
    std::fprintf(stderr, "sluice: warning: %s; %s\n", line.c_str(), kTokenizerAdvice);
  }
}

absl::Status WithTokenizerChanges(const absl::Status& status, const std::string& tokenizer_dir,
                                  const Manifest& manifest) {
  if (TokenizerChanges(tokenizer_dir, manifest).empty()) return status;
  return absl::Status(
      status.code(), absl::StrCat(status.message(),
                                  "; the tokenizer's files have changed since the store was made: ",
                                  kTokenizerAdvice));
}

absl::StatusOr<Session> OpenStoreAlone(const SessionOptions& options) {
  Session session;
  SLUICE_ASSIGN_OR_RETURN(session.store, LayerStore::Open(options.store));
  const int64_t before = RssBytes();
  SLUICE_ASSIGN_OR_RETURN(session.gpu, OpenDevice(options.device));
  if (session.gpu != nullptr) {
    const int64_t grown = std::max<int64_t>(0, RssBytes() - before);
    session.driver_host_bytes = (grown + kDriverRounding - 1) / kDriverRounding * kDriverRounding;
  }
  if (options.fast_math) {
    if (session.gpu != nullptr) SLUICE_RETURN_IF_ERROR(session.gpu->CheckRoundsActivations());
    const std::string in_vain = WhyNoFastMath(session, options.isa);
    session.fast_math = in_vain.empty();
    if (options.say_fast_math) {
      std::fprintf(stderr, "sluice: --fast-math %s\n",
                   !in_vain.empty() ? absl::StrCat("changes nothing: ", in_vain).c_str()
                   : session.gpu != nullptr
                       ? "rounds the activations of bf16 and f16 weights to their type (GPU)"
                       : "rounds the activations of bf16 weights to bf16 (AVX512_BF16)");
    }
  }
  return session;
}

absl::Status LoadTokenizer(Session& session) {
  for (const ManifestCopy& file : session.store->manifest().tokenizer_files) {
    const std::string path = absl::StrCat(session.store->TokenizerDir(), "/", file.name);
    std::error_code error;
    if (std::filesystem::exists(path, error)) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": the manifest lists it, but it is not there; copy it back, or ", kRepairAdvice));
  }
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer =
      Tokenizer::Load(session.store->TokenizerDir());
  if (!tokenizer.ok() && !absl::IsNotFound(tokenizer.status())) {
    return WithTokenizerChanges(tokenizer.status(), session.store->TokenizerDir(),
                                session.store->manifest());
  }
  WarnOfTokenizerChanges(session.store->TokenizerDir(), session.store->manifest());
  if (tokenizer.ok()) session.tokenizer = *std::move(tokenizer);
  return absl::OkStatus();
}

absl::StatusOr<Session> OpenStore(const SessionOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(Session session, OpenStoreAlone(options));
  SLUICE_RETURN_IF_ERROR(LoadTokenizer(session));
  return session;
}

absl::StatusOr<int64_t> ContextOf(const Session& session, const SessionOptions& options) {
  const int64_t model_context = session.store->hyper_parameters().max_position_embeddings;
  if (options.context_tokens > model_context) {
    return absl::InvalidArgumentError(absl::StrCat("-c ", options.context_tokens,
                                                   " is more than the ", model_context,
                                                   " tokens that the model was made for"));
  }
  return options.context_tokens < 0    ? std::min(kDefaultContext, model_context)
         : options.context_tokens == 0 ? model_context
                                       : options.context_tokens;
}

absl::StatusOr<PlanRequest> RequestFor(const Session& session, const SessionOptions& options,
                                       int64_t pass_rows, bool logits_of_all_rows) {
  PlanRequest request;
  request.max_ram_bytes = options.max_ram_bytes;
  request.max_ram_source = options.max_ram_source;
  SLUICE_ASSIGN_OR_RETURN(request.context_tokens, ContextOf(session, options));
  request.requests_bytes = options.kept_bytes;
  request.reads_prompts = options.reads_prompts;
  request.num_threads = options.num_threads;
  request.pass_rows = std::clamp<int64_t>(pass_rows, 1, request.context_tokens);
  request.logits_of_all_rows = logits_of_all_rows;
  request.k_type = options.k_type;
  request.v_type = options.v_type;
  request.fast_math = session.fast_math;
  request.bytes_in_flight = options.read.io.read_bytes * options.read.io.queue_depth;
  request.ring_bytes = options.ring_bytes;
  if (session.gpu != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(request.device, BudgetOf(*session.gpu, options.device));
    request.device->host_bytes = session.driver_host_bytes;
    if (options.device.cpu_share != 0.0) {
      request.host_share = HostShareRequest{.fraction = options.device.cpu_share,
                                            .rates = RememberedRates(options, session),
                                            .num_threads = options.num_threads,
                                            .verify_once = options.read.verify_once};
    }
  }
  if (options.grammar_bytes > 0) {
    request.constraint_bytes = Constraints::MemoryBytes(
        session.store->hyper_parameters().vocab_size, /*grammars=*/1, options.grammar_bytes);
  }
  request.tokenizer_bytes = session.tokenizer == nullptr ? 0 : session.tokenizer->MemoryBytes();
  return request;
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

absl::Status StartPlanned(Session& session, const SessionOptions& options, const MemoryPlan& plan) {
  // The team is filled last: without threads that read and check, no other is of use.
  session.pool = std::make_unique<ThreadPool>(1, options.placement);
  SLUICE_ASSIGN_OR_RETURN(session.ops, MakeCpuOps(options.isa, session.pool.get()));
  if (session.gpu == nullptr) {
    session.place = MakeHostPlace(session.ops.get());
  } else {
    SLUICE_RETURN_IF_ERROR(
        session.gpu->ops()->Reserve(LimitsOf(plan, session.store->manifest().spec)));
    SLUICE_ASSIGN_OR_RETURN(session.place,
                            MakeDevicePlace(session.gpu->device(), session.gpu->stream(),
                                            session.gpu->ops(), session.ops.get()));
  }
  SLUICE_ASSIGN_OR_RETURN(session.model,
                          Model::Create(*session.store, plan, session.place.get(), options.read));
  session.pool->Grow(options.num_threads);
  if (!session.pool->shortage().ok()) SayFewerThreads()(session.pool->shortage());
  session.pool->PlaceCaller();
  return absl::OkStatus();
}

absl::StatusOr<MemoryPlan> PlanSession(const Session& session, const SessionOptions& options,
                                       int64_t pass_rows, bool logits_of_all_rows) {
  SLUICE_ASSIGN_OR_RETURN(const PlanRequest request,
                          RequestFor(session, options, pass_rows, logits_of_all_rows));
  return PlanMemory(*session.store, request);
}

absl::Status StartModel(Session& session, const SessionOptions& options, int64_t pass_rows,
                        bool logits_of_all_rows) {
  SLUICE_ASSIGN_OR_RETURN(const MemoryPlan plan,
                          PlanSession(session, options, pass_rows, logits_of_all_rows));
  return StartPlanned(session, options, plan);
}

absl::Status StartModelEarly(Session& session, const SessionOptions& options, int64_t most_rows) {
  // What the host holds for a device is pinned, and so taken at once: a tokenizer that loads has no
  // room in it.
  if (session.gpu != nullptr) return absl::OkStatus();
  const std::vector<ManifestCopy>& files = session.store->manifest().tokenizer_files;
  const bool has_json =
      absl::c_any_of(files, [](const ManifestCopy& file) { return file.name == "tokenizer.json"; });
  int64_t file_bytes = 0;
  for (const ManifestCopy& file : files) {
    // A tokenizer.model is packed, and the merges that follow from it are not in the file.
    file_bytes += file.name == "tokenizer.model" && !has_json ? 8 * file.bytes : file.bytes;
  }
  SLUICE_ASSIGN_OR_RETURN(PlanRequest request, RequestFor(session, options, most_rows, false));
  request.tokenizer_bytes = 2 * file_bytes;
  const absl::StatusOr<MemoryPlan> plan = PlanMemory(*session.store, request);
  // Loading holds the text and its parsed form for a moment.
  if (!plan.ok() || plan->fixed_bytes < 8 * file_bytes) return absl::OkStatus();
  return StartPlanned(session, options, *plan);
}

uint64_t StoreHash(const LayerStore& store) {
  const std::string text = SerializeManifest(store.manifest());
  return Checksum({reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

bool ProbeKnowsStore(const SessionOptions& options, const Session& session) {
  return options.probe.has_value() &&
         ProbeCovers(*options.probe, ProbedEncodings(session),
                     session.fast_math && session.gpu == nullptr, ProbedBytes(options));
}

absl::Status ProbeForSession(SessionOptions* options, const Session& session) {
  if (!ProbeKnowsStore(*options, session)) {
    ProbeOptions probe;
    probe.dir = options->store;
    probe.num_threads = options->num_cores;  // as `sluice probe` does: rates for fewer follow
    probe.placement = options->placement;
    probe.isa = options->isa;
    probe.io = options->read.io.kind;
    probe.encodings = ProbedEncodings(session);
    probe.fast_math = session.fast_math && session.gpu == nullptr;
    probe.quick = true;
    probe.memory_bytes = ProbedBytes(*options);
    absl::StatusOr<ProbeResult> result = absl::UnknownError("");
    {
      Progress progress("measuring", ProgressUnit::kCount);
      probe.on_step = [&](absl::string_view what, int done, int total) {
        progress.Update(done, total, what);
      };
      result = ProbeMachine(probe);
    }
    SLUICE_RETURN_IF_ERROR(result.status());
    if (options->unusual_option.empty()) {
      if (options->probe.has_value()) KeepOtherKernels(*options->probe, &*result);
      std::fprintf(stderr, "%s\n", RememberAndSay(ProbeCachePath(), *result).c_str());
    } else {
      std::fprintf(stderr, "the probe is not remembered: it was taken with %s\n",
                   options->unusual_option.c_str());
    }
    options->probe = *std::move(result);
    options->read.io.read_bytes = options->probe->rates.read_bytes;
    options->read.io.queue_depth = options->probe->rates.queue_depth;
  }
  const std::string remark = SpreadRemark(*options->probe, options->store);
  if (!remark.empty()) std::fprintf(stderr, "%s\n", remark.c_str());
  return absl::OkStatus();
}

absl::StatusOr<MachineRates> RatesForSession(const SessionOptions& options,
                                             const Session& session) {
  MachineRates rates = options.probe->rates;
  if (session.gpu != nullptr)
    SLUICE_RETURN_IF_ERROR(AddDeviceRates(*session.gpu, options.probe->devices, &rates));
  return AsThrottled(std::move(rates), options, session);
}

MachineRates RememberedRates(const SessionOptions& options, const Session& session) {
  MachineRates rates;
  if (options.probe.has_value()) {
    rates = options.probe->rates;
    if (session.gpu != nullptr) {
      const auto device = Find(options.probe->devices, *session.gpu);
      if (device != options.probe->devices.end()) {
        rates.link_bytes_per_s = device->copy_bytes_per_s;
        rates.device_memory_bytes_per_s = device->memory_bytes_per_s;
      }
    }
  }
  return AsThrottled(std::move(rates), options, session);
}

}  // namespace sluice
