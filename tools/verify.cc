// sluice verify: checks every checksum of a store.
#include "storage/store/verify.h"

#include <cstdio>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/system_memory.h"
#include "storage/shard/synth.h"
#include "storage/shard/tokenizer_files.h"
#include "storage/store/repair_advice.h"
#include "storage/store/store_paths.h"
#include "tools/commands.h"
#include "tools/compute_threads.h"
#include "tools/interrupt.h"
#include "tools/progress.h"

namespace sluice {
namespace {

// What to do about the damage.
std::string Advice(const Manifest& manifest, const std::vector<StoreDamage>& damage) {
  if (IsSynthetic(manifest)) return "remove the store and run `sluice synth` again";
  const bool tokenizer_only = absl::c_all_of(
      damage, [](const StoreDamage& one) { return absl::StartsWith(one.file, "tokenizer/"); });
  return tokenizer_only ? kTokenizerAdvice : kRepairAdvice;
}

absl::Status Verify(const Arguments& args) {
  const std::string& store = args.positionals()[0];
  SLUICE_ASSIGN_OR_RETURN(const int64_t threads, args.Int("--threads", AvailableCpus(), 1, 256));
  const std::atomic<bool>* const stop = InstallInterruptHandler();
  SLUICE_ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(store));
  absl::StatusOr<std::vector<StoreDamage>> damage = std::vector<StoreDamage>();
  {
    Progress progress("verifying", ProgressUnit::kBytes);
    VerifyOptions options;
    options.num_threads = ThreadsThatFit(threads, kVerifyBytesAThread);
    options.on_progress = [&](const VerifyProgress& p) {
      progress.Update(p.bytes_done, p.bytes_total);
    };
    options.stop = stop;
    options.on_fewer_threads = SayFewerThreads();
    damage = FindAllDamage(store, manifest, options);
  }
  SLUICE_RETURN_IF_ERROR(damage.status());
  for (const StoreDamage& one : *damage) std::printf("%s\n", one.line.c_str());
  if (!damage->empty()) {
    return absl::DataLossError(absl::StrCat(
        store, ": ", damage->size(), damage->size() == 1 ? " damaged place; " : " damaged places; ",
        Advice(manifest, *damage)));
  }
  std::printf("%s: every checksum is right\n", store.c_str());
  return absl::OkStatus();
}

}  // namespace

CommandSpec VerifyCommand() {
  CommandSpec command;
  command.name = "verify";
  command.summary = "Check every checksum of a store";
  command.positionals = {"STORE"};
  command.description =
      "Reads the whole store at disk speed and names the file and the slab (or tensor, or row) "
      "of each damage. The exit code is 1 if there is any. `sluice shard --repair` mends the "
      "store.";
  command.options = {
      {.name = "--threads", .alias = "-t", .value = "N", .help = "Threads (default: all CPUs)."},
  };
  command.examples = {"sluice verify llama-70b.store"};
  command.run = &Verify;
  return command;
}

}  // namespace sluice
