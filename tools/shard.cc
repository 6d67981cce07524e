// sluice shard: cuts a checkpoint into a layer store.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/status_macros.h"
#include "storage/checkpoint.h"
#include "storage/sharder.h"
#include "tools/commands.h"
#include "tools/compute_threads.h"
#include "tools/interrupt.h"
#include "tools/memory_limits.h"
#include "tools/progress.h"
#include "tools/store_options.h"
#include "tools/system_memory.h"

namespace sluice {
namespace {

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
  options.stop = InstallInterruptHandler();
  options.on_fewer_threads = SayFewerThreads();
  options.most_buffer_bytes = std::min(options.most_buffer_bytes, DefaultBudgetOf(ReadMemoryLimits()).bytes / 2);

  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(source));
  const auto start = std::chrono::steady_clock::now();
  absl::StatusOr<ShardResult> result = absl::UnknownError("");
  {
    Progress progress("sharding", ProgressUnit::kBytes);
    options.on_progress = [&](const ShardProgress& p) {
      progress.Update(p.source_bytes_done, p.source_bytes_total);
    };
    result = Shard(*checkpoint, store, options);
  }
  if (absl::IsCancelled(result.status())) {
    return absl::CancelledError("interrupted; the same command goes on where this one stopped");
  }
  SLUICE_RETURN_IF_ERROR(result.status());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  int fallbacks = 0;
  for (const ManifestTensor& tensor : result->manifest.tensors) fallbacks += tensor.fallback;
  const Manifest& manifest = result->manifest;
  std::string compression;
  if (manifest.compression != StoreCompression::kNone) {
    compression = absl::StrFormat(", compressed to %.3f",
                                  static_cast<double>(manifest.slab_bytes_total()) / manifest.raw_slab_bytes_total());
  }
  std::printf("%s: %s in %d slabs, %s%s, %.1f s%s\n", store.c_str(), FormatBytes(result->stored_bytes).c_str(),
              static_cast<int>(manifest.slabs.size()), manifest.recipe.c_str(), compression.c_str(), seconds,
              result->resumed ? " (resumed)" : "");
  if (fallbacks > 0) {
    std::printf("%d tensors have a shape that the encoding does not fit; `sluice inspect %s` names them\n",
                fallbacks, store.c_str());
  }
  return absl::OkStatus();
}

}  // namespace

CommandSpec ShardCommand() {
  CommandSpec command;
  command.name = "shard";
  command.summary = "Cut a checkpoint into a store that can be streamed";
  command.positionals = {"MODEL_DIR|MODEL.gguf", "STORE"};
  command.description =
      "Reads the Hugging Face checkpoint in MODEL_DIR (config.json and safetensors; a snapshot folder of the "
      "Hugging Face cache works), or a GGUF file (of a split one the first part, NAME-00001-of-0000N.gguf), and "
      "writes the folder STORE. Without an option the weights keep the checkpoint's own types, bit for bit.\n\n"
      "Interrupted or killed, the same command goes on where it was. The model is only read.";
  command.options = StoreOptionSpecs("the checkpoint's own");
  command.options.push_back({.name = "--allow-requantize",
                             .help = "Give quantized weights of a GGUF file another encoding, at a loss."});
  command.examples = {"sluice shard Llama-3.3-70B-Instruct llama-70b.store --recipe q4_k_m",
                      "sluice shard Llama-3.3-70B-Instruct-Q4_K_M.gguf llama-70b.store"};
  command.run = &RunShard;
  return command;
}

}  // namespace sluice
