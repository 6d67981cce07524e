// sluice synth: a store of random weights in a real model's shapes.
#include "storage/shard/synth.h"

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/base/format_bytes.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/system_memory.h"
#include "storage/model/model_shapes.h"
#include "tools/commands.h"
#include "tools/compute_threads.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/store_options.h"
#include "tools/terminal_output.h"

namespace sluice {
namespace {

absl::Status Synth(const Arguments& args) {
  const std::string& store = args.positionals()[0];
  SynthOptions options;
  options.name = args.Get("--shape").value_or("");
  if (options.name.empty())
    return UsageError("--shape is missing: the model whose shapes to write");
  SLUICE_ASSIGN_OR_RETURN(options.hyper_parameters, ModelShape(options.name));
  HyperParameters& h = options.hyper_parameters;
  SLUICE_ASSIGN_OR_RETURN(h.num_hidden_layers,
                          args.Int("--layers", h.num_hidden_layers, 1, h.num_hidden_layers));
  h.layer_windows.resize(h.num_hidden_layers);
  SLUICE_ASSIGN_OR_RETURN(options.recipe, ParseRecipeOptions(args));
  SLUICE_ASSIGN_OR_RETURN(options.slab_bytes, ParseSlabSize(args));
  SLUICE_ASSIGN_OR_RETURN(options.compression, ParseCompression(args, options.slab_bytes));
  SLUICE_ASSIGN_OR_RETURN(const int64_t threads, args.Int("--threads", AvailableCpus(), 1, 256));
  options.num_threads = ThreadsThatFit(threads, SynthBytesAThread(options));
  options.on_note = &PrintNote;
  options.stop = InstallInterruptHandler();
  options.on_fewer_threads = SayFewerThreads();

  const auto start = std::chrono::steady_clock::now();
  absl::StatusOr<SynthResult> result = absl::UnknownError("");
  {
    Progress progress("writing", ProgressUnit::kBytes);
    options.on_progress = [&](int64_t done, int64_t total) { progress.Update(done, total); };
    result = Synthesize(store, options);
  }
  SLUICE_RETURN_IF_ERROR(result.status());
  const Manifest& manifest = result->manifest;
  if (result->complete) {
    std::printf("%s: complete already: %s as %s; nothing to do\n", store.c_str(),
                manifest.source.c_str(), manifest.recipe.c_str());
    return absl::OkStatus();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const int64_t bytes = manifest.slab_bytes_total();
  std::printf("%s: %s of random weights in %d slabs, %s, %.1f s (%.2f GB/s)\n", store.c_str(),
              FormatBytes(bytes).c_str(), static_cast<int>(manifest.slabs.size()),
              options.recipe.has_value() ? options.recipe->name.c_str() : "bf16", seconds.count(),
              bytes / 1e9 / seconds.count());
  return absl::OkStatus();
}

}  // namespace

CommandSpec SynthCommand() {
  CommandSpec command;
  command.name = "synth";
  command.summary = "Write a store of random weights in a real model's shapes";
  command.positionals = {"STORE"};
  command.description =
      "Makes a store for measurements, without a download: it has the shapes of a published "
      "model and random weights. It has no tokenizer, so give prompts as --prompt-ids.";
  command.options = {
      {.name = "--shape", .help = "The model.", .choices = ModelShapeNames()},
      {.name = "--layers", .value = "N", .help = "Only the first N layers (default: all)."},
  };
  for (const OptionSpec& option : StoreOptionSpecs("bf16")) command.options.push_back(option);
  command.examples = {"sluice synth llama-70b.store --shape llama-3.3-70b --recipe q4_k_m",
                      "sluice bench llama-70b.store --max-ram 4GiB -n 4 -p 32 -r 1"};
  command.run = &Synth;
  return command;
}

}  // namespace sluice
