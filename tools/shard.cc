// sluice shard: cuts a checkpoint into a layer store.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "kernels/base/format_bytes.h"
#include "kernels/base/memory_limits.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/system_memory.h"
#include "storage/shard/repair.h"
#include "storage/shard/sharder.h"
#include "storage/source/checkpoint.h"
#include "tools/commands.h"
#include "tools/compute_threads.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/store_options.h"
#include "tools/terminal_output.h"
#include "tools/tokenizer_check.h"

namespace sluice {
namespace {

constexpr char kByHeaders[] =
    "the store does not remember the checkpoint's bytes (an older sluice made or began it, or its "
    "record.json is "
    "damaged): that the checkpoint is the same was judged by the names, sizes and headers of its "
    "files";

constexpr char kComparing[] = "comparing the checkpoint";

// One bar at a time: the first update of a phase ends the bar of the phase before.
class PhaseProgress {
 public:
  void Update(absl::string_view phase, int64_t done, int64_t total) {
    if (!bar_.has_value() || phase != phase_)
      bar_.emplace(std::string(phase), ProgressUnit::kBytes);
    phase_ = phase;
    bar_->Update(done, total);
  }

 private:
  absl::string_view phase_;
  std::optional<Progress> bar_;
};

// What a store that is there must have been made with, where the command line says so.
absl::StatusOr<RepairOptions> ParseRepairOptions(const Arguments& args) {
  RepairOptions options;
  SLUICE_ASSIGN_OR_RETURN(const std::optional<Recipe> recipe, ParseRecipeOptions(args));
  if (recipe.has_value()) options.recipe = recipe->name;
  SLUICE_ASSIGN_OR_RETURN(const int64_t slab_bytes, ParseSlabSize(args));
  if (args.Has("--slab-size")) options.slab_bytes = slab_bytes;
  SLUICE_ASSIGN_OR_RETURN(const StoreCompression compression, ParseCompression(args, slab_bytes));
  if (args.Has("--compress")) options.compression = compression;
  return options;
}

absl::Status RunRepair(const Arguments& args, const Checkpoint& checkpoint, int num_threads,
                       const std::atomic<bool>* stop) {
  const std::string& store = args.positionals()[1];
  SLUICE_ASSIGN_OR_RETURN(RepairOptions options, ParseRepairOptions(args));
  options.num_threads = num_threads;
  options.on_note = &PrintNote;
  options.on_fewer_threads = SayFewerThreads();
  options.stop = stop;
  absl::StatusOr<RepairResult> result = absl::UnknownError("");
  {
    PhaseProgress progress;
    options.on_compare = [&](int64_t done, int64_t total) {
      progress.Update(kComparing, done, total);
    };
    options.on_verify = [&](const VerifyProgress& p) {
      progress.Update("verifying", p.bytes_done, p.bytes_total);
    };
    options.on_progress = [&](const ShardProgress& p) {
      progress.Update("writing", p.source_bytes_done, p.source_bytes_total);
    };
    result = RepairStore(checkpoint, store, options);
  }
  SLUICE_RETURN_IF_ERROR(result.status());
  for (const std::string& line : result->damage) std::printf("%s\n", line.c_str());
  if (result->judged_by_headers) std::printf("%s: %s\n", store.c_str(), kByHeaders);
  if (!result->written.empty()) {
    std::printf("%s: repaired; written again from the checkpoint: %s\n", store.c_str(),
                absl::StrJoin(result->written, ", ").c_str());
  }
  if (!result->removed.empty()) {
    return absl::DataLossError(
        absl::StrCat(store, "/", absl::StrJoin(result->removed, ", "),
                     ": the checkpoint does not have this file, so the store is without it; put it "
                     "beside the model, and `sluice shard` takes it over"));
  }
  if (result->written.empty())
    std::printf("%s: every checksum is right; nothing to repair\n", store.c_str());
  return absl::OkStatus();
}

// What there is to say of a store that was made now.
void PrintWritten(const std::string& store, const ShardResult& result, double seconds) {
  const Manifest& manifest = result.manifest;
  int fallbacks = 0;
  for (const ManifestTensor& tensor : manifest.tensors) fallbacks += tensor.fallback;
  std::string compression;
  if (manifest.compression != StoreCompression::kNone) {
    compression =
        absl::StrFormat(", compressed to %.3f", static_cast<double>(manifest.slab_bytes_total()) /
                                                    manifest.raw_slab_bytes_total());
  }
  std::printf("%s: %s in %d slabs, %s%s, %.1f s%s\n", store.c_str(),
              FormatBytes(result.stored_bytes).c_str(), static_cast<int>(manifest.slabs.size()),
              manifest.recipe.c_str(), compression.c_str(), seconds,
              result.outcome == ShardOutcome::kResumed ? " (resumed)" : "");
  if (fallbacks > 0) {
    std::printf(
        "%d tensors have a shape that the encoding does not fit; `sluice inspect %s` names them\n",
        fallbacks, store.c_str());
  }
}

void PrintResult(const std::string& store, const ShardResult& result, double seconds) {
  const Manifest& manifest = result.manifest;
  switch (result.outcome) {
    case ShardOutcome::kWritten:
    case ShardOutcome::kResumed:
      PrintWritten(store, result, seconds);
      break;
    case ShardOutcome::kComplete:
      std::printf("%s: already complete: the store of %s as %s is there; nothing to do\n",
                  store.c_str(), manifest.source.c_str(), manifest.recipe.c_str());
      break;
    case ShardOutcome::kTookTokenizerOver:
      std::printf(
          "%s: already complete, but for the tokenizer; taken over from the checkpoint: %s\n",
          store.c_str(), absl::StrJoin(result.tokenizer_changes, ", ").c_str());
      break;
  }
  if (result.judged_by_headers) std::printf("%s: %s\n", store.c_str(), kByHeaders);
}

absl::Status RunShard(const Arguments& args) {
  const std::string& source = args.positionals()[0];
  const std::string& store = args.positionals()[1];
  ShardOptions options;
  SLUICE_ASSIGN_OR_RETURN(options.recipe, ParseRecipeOptions(args));
  SLUICE_ASSIGN_OR_RETURN(options.slab_bytes, ParseSlabSize(args));
  SLUICE_ASSIGN_OR_RETURN(options.compression, ParseCompression(args, options.slab_bytes));
  SLUICE_ASSIGN_OR_RETURN(const int64_t threads, args.Int("--threads", AvailableCpus(), 1, 256));
  options.num_threads = static_cast<int>(threads);
  options.allow_requantize = args.Has("--allow-requantize");
  options.on_note = &PrintNote;
  options.stop = InstallInterruptHandler();
  options.on_fewer_threads = SayFewerThreads();
  options.most_buffer_bytes =
      std::min(options.most_buffer_bytes, DefaultBudgetOf(ReadMemoryLimits()).bytes / 2);

  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(source));
  const absl::Status interrupted =
      absl::CancelledError("interrupted; run the same command again to continue");
  if (args.Has("--repair")) {
    absl::Status repaired = RunRepair(args, *checkpoint, options.num_threads, options.stop);
    return absl::IsCancelled(repaired) ? interrupted : repaired;
  }
  const std::string fault = TokenizerFault(*checkpoint);
  if (!fault.empty()) std::fprintf(stderr, "sluice: warning: %s\n", fault.c_str());
  options.take_tokenizer = fault.empty();
  const auto start = std::chrono::steady_clock::now();
  absl::StatusOr<ShardResult> result = absl::UnknownError("");
  {
    PhaseProgress progress;
    options.on_compare = [&](int64_t done, int64_t total) {
      progress.Update(kComparing, done, total);
    };
    options.on_progress = [&](const ShardProgress& p) {
      progress.Update("sharding", p.source_bytes_done, p.source_bytes_total);
    };
    result = Shard(*checkpoint, store, options);
  }
  if (absl::IsCancelled(result.status())) return interrupted;
  SLUICE_RETURN_IF_ERROR(result.status());
  PrintResult(store, *result,
              std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return absl::OkStatus();
}

}  // namespace

CommandSpec ShardCommand() {
  CommandSpec command;
  command.name = "shard";
  command.summary = "Cut a checkpoint into a store that can be streamed";
  command.positionals = {"MODEL_DIR|MODEL.gguf", "STORE"};
  command.description =
      "Reads the Hugging Face checkpoint in MODEL_DIR (config.json and safetensors; a snapshot "
      "folder of the "
      "Hugging Face cache works), or a GGUF file (of a split one the first part, "
      "NAME-00001-of-0000N.gguf), and "
      "writes the folder STORE. Without an option the weights keep the checkpoint's own types, bit "
      "for bit.\n\n"
      "After an interruption or a kill, the same command continues where it stopped. If the "
      "store is already finished, the model is read once, to check that it is the same, and "
      "changed tokenizer files are copied again. The model itself is never written to.\n\n"
      "With --repair, files that `sluice verify` finds damaged or missing are written again, "
      "with the options that the store was made with.";
  command.options = StoreOptionSpecs("the checkpoint's own");
  command.options.push_back(
      {.name = "--allow-requantize",
       .help = "Give quantized weights of a GGUF file another encoding, at a loss."});
  command.options.push_back(
      {.name = "--repair",
       .help = "Verify STORE, and write damaged and missing files again from the model."});
  command.examples = {"sluice shard Llama-3.3-70B-Instruct llama-70b.store --recipe q4_k_m",
                      "sluice shard Llama-3.3-70B-Instruct-Q4_K_M.gguf llama-70b.store",
                      "sluice shard --repair Llama-3.3-70B-Instruct llama-70b.store"};
  command.run = &RunShard;
  return command;
}

}  // namespace sluice
