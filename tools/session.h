// What run, plan, perplexity and score share: their options, and opening a store under a budget.
#ifndef SLUICE_TOOLS_SESSION_H_
#define SLUICE_TOOLS_SESSION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_pool.h"
#include "prefetch/io/io_engine.h"
#include "runtime/pass/memory_plan.h"
#include "runtime/pass/model.h"
#include "runtime/text/tokenizer/tokenizer.h"
#include "storage/store/layer_store.h"
#include "tools/command.h"
#include "tools/device_choice.h"
#include "tools/machine_probe.h"

namespace sluice {

struct SessionOptions {
  std::string store;
  int64_t max_ram_bytes = 0;
  std::string max_ram_source;   // of the default: DefaultBudget::source
  int64_t context_tokens = -1;  // -1: the smaller of 4096 and the model's; 0: the model's
  int num_threads = 1;
  int num_cores = 1;  // that the threads may run on
  ThreadPlacement placement;
  int64_t ring_bytes = 0;  // 0: PlanMemory's choice
  KvType k_type = KvType::kF16;
  KvType v_type = KvType::kF16;
  ReadOptions read;
  // CheckGrammar's, where a grammar is followed (ReadGrammarOption sets it)
  int64_t grammar_bytes = 0;
  int64_t kept_bytes = 0;  // of what the command keeps while the model runs: a text's ids, results
  bool reads_prompts = false;        // while the model runs (PlanRequest)
  std::optional<ProbeResult> probe;  // what was remembered of this CPU and the store's disk
  std::string unusual_option;        // that asks for kernels, CPUs or reads that a probe is not of
                                     // otherwise; empty: none
  Isa isa = Isa::kScalar;            // the fastest that this machine has, unless forced
  bool fast_math = false;            // asked for; Session::fast_math is what came of it
  bool say_fast_math = true;         // what came of it, on standard error
  DeviceChoice device;
};

// The options that ParseSessionOptions reads.
std::vector<OptionSpec> SessionOptionSpecs();
absl::StatusOr<SessionOptions> ParseSessionOptions(const Arguments& args);
// --isa, or the fastest that this machine has.
absl::StatusOr<Isa> ParseIsaOption(const Arguments& args);

// Destroyed in reverse order: the model first.
struct Session {
  std::unique_ptr<LayerStore> store;
  std::unique_ptr<Tokenizer> tokenizer;  // null: the store has none
  std::unique_ptr<CudaCompute> gpu;      // null: the CPU computes
  bool fast_math = false;         // products of 16-bit floats round their activations: RoundingOf
  int64_t driver_host_bytes = 0;  // of host memory that opening it took
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Ops> ops;  // the CPU's
  std::unique_ptr<ComputePlace> place;
  std::unique_ptr<Model> model;
};

// Opens the store, the device and the tokenizer: what is needed to know how many rows a prompt has.
absl::StatusOr<Session> OpenStore(const SessionOptions& options);

// The same in two steps, for callers that start the model between them.
absl::StatusOr<Session> OpenStoreAlone(const SessionOptions& options);
absl::Status LoadTokenizer(Session& session);

// Says on standard error which files of a store's tokenizer/ are not what its manifest says.
void WarnOfTokenizerChanges(const std::string& tokenizer_dir, const Manifest& manifest);
// An error of loading the tokenizer, with what to do if its files have changed.
absl::Status WithTokenizerChanges(const absl::Status& status, const std::string& tokenizer_dir,
                                  const Manifest& manifest);

// Before LoadTokenizer: starts the model if that can be done without knowing the prompt's ids, so
// that the disk reads while the tokenizer loads. It plans for a prompt of `most_rows` rows and for
// twice the tokenizer's files in place of the tokenizer, which holds less. What loading takes for a
// moment is memory that the KV cache and the activations do not touch before the first pass. Where
// the budget is too small for that, session.model stays null, and StartModel is to be called when
// the ids are known.
absl::Status StartModelEarly(Session& session, const SessionOptions& options, int64_t most_rows);

// What a probe remembered of this machine and its device, without measuring anything: rates of 0
// where nothing. A throttled disk or link counts as its throttle.
MachineRates RememberedRates(const SessionOptions& options, const Session& session);

// -c, or what it is without: the tokens of the context.
absl::StatusOr<int64_t> ContextOf(const Session& session, const SessionOptions& options);

// What a plan for one sequence in passes of `pass_rows` rows is asked for.
absl::StatusOr<PlanRequest> RequestFor(const Session& session, const SessionOptions& options,
                                       int64_t pass_rows, bool logits_of_all_rows);
// --kv-disk as pages of the cache that `request` asks for; nothing: auto.
OptionSpec KvDiskOptionSpec();
absl::StatusOr<std::optional<int64_t>> ParseKvDisk(const Arguments& args, const Manifest& manifest,
                                                   const PlanRequest& request);
// Starts threads, kernels and the model.
absl::Status StartPlanned(Session& session, const SessionOptions& options, const MemoryPlan& plan);

// The plan for passes of `pass_rows` rows.
absl::StatusOr<MemoryPlan> PlanSession(const Session& session, const SessionOptions& options,
                                       int64_t pass_rows, bool logits_of_all_rows);

// Both.
absl::Status StartModel(Session& session, const SessionOptions& options, int64_t pass_rows,
                        bool logits_of_all_rows);

// Names the store's content: the XXH3-64 of its manifest, which has the checksums of all else.
uint64_t StoreHash(const LayerStore& store);

// Whether options.probe says what this machine can do with the store.
bool ProbeKnowsStore(const SessionOptions& options, const Session& session);
// Measures that for about three seconds, with progress and within the budget, unless a remembered
// probe knows it. options->probe has it then, and slabs are read the way that was fastest. What was
// measured is remembered, unless it is of options->unusual_option; one line on standard error says
// where, or why it is not. Another says so where the runs of the probe are far apart.
absl::Status ProbeForSession(SessionOptions* options, const Session& session);
// The rates of options.probe, which must be there. A throttled disk or link counts as its throttle.
absl::StatusOr<MachineRates> RatesForSession(const SessionOptions& options, const Session& session);

// Rows of one pass that prefill and scoring ask for.
inline constexpr int64_t kPrefillRows = 512;

}  // namespace sluice

#endif  // SLUICE_TOOLS_SESSION_H_
