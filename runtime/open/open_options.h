// Everything that says how a store is opened and its model runs.
#ifndef SLUICE_RUNTIME_OPEN_OPEN_OPTIONS_H_
#define SLUICE_RUNTIME_OPEN_OPEN_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/ops.h"
#include "runtime/chat/chat_front.h"
#include "runtime/floor/probe/machine_probe.h"
#include "runtime/open/device_choice.h"
#include "runtime/open/open_note.h"
#include "runtime/pass/model.h"

namespace sluice {

// Which tokens are drafted beyond each sequence's next one. Answers do not depend on it.
struct SpeculateOptions {
  enum class Mode : uint8_t {
    kOff,
    kAuto,   // by all that the store and the options offer
    kNgram,  // by what followed the last tokens before
    kModel,  // by the draft model
    kMtp,    // by the head that the checkpoint has for that
  };
  Mode mode = Mode::kOff;
  bool mtp_in_auto = true;       // whether kAuto asks the checkpoint's head, where there is one
  int64_t draft_max = 0;         // tokens a sequence and pass; 0: as many as cost no time
  std::string draft_store = {};  // of a smaller model with the same vocabulary; empty: none
  bool WantsModel() const {
    return !draft_store.empty() && (mode == Mode::kAuto || mode == Mode::kModel);
  }
  // In kAuto only where the store has one.
  bool WantsMtpHead() const {
    return mode == Mode::kMtp || (mode == Mode::kAuto && mtp_in_auto && draft_store.empty());
  }
};

// The mode of this name: "off", "auto", "ngram", "model" or "mtp". Nothing: there is none.
std::optional<SpeculateOptions::Mode> SpeculateModeOf(absl::string_view name);

struct OpenOptions {
  std::string store;
  // Of host memory, for everything that sluice allocates. UseBudget() sets both.
  int64_t max_ram_bytes = 0;
  std::string max_ram_source;   // of the default: DefaultBudget::source
  int64_t context_tokens = -1;  // -1: the smaller of 4096 and the model's; 0: the model's
  int num_threads = 0;          // that compute; 0: Open takes one a physical core
  int num_cores = 0;            // that the threads may run on; 0: Open takes num_threads
  ThreadPlacement placement;
  int64_t ring_bytes = 0;  // 0: PlanMemory's choice
  KvType k_type = KvType::kF16;
  KvType v_type = KvType::kF16;
  ReadOptions read;  // `read.io.on_fewer_threads` hears of compute threads, too
  // CheckGrammar's, where a grammar is followed
  int64_t grammar_bytes = 0;
  int64_t kept_bytes = 0;  // of what the caller keeps while the model runs: a text's ids, results
  bool reads_prompts = false;        // while the model runs (PlanRequest)
  std::optional<ProbeResult> probe;  // what was remembered of this CPU and the store's disk
  // Where measurements of this machine are remembered (ProbeForSession); empty: nowhere
  std::string probe_file;
  // An option that forces kernels, CPUs or reads, so that what is measured with it is not
  // remembered; empty: none
  std::string unusual_option;
  Isa isa = SupportedIsas().back();  // of the CPU's kernels: the fastest, unless forced
  bool fast_math = false;            // asked for; Session::fast_math is what came of it
  bool say_fast_math = true;         // what came of it, as a note
  DeviceChoice device;
  SpeculateOptions speculate;
  // Of Open alone
  int64_t max_sequences = 1;  // that are generated at once, each with a whole context
  ChatFrontOptions chat;

  OpenNoteFn on_note;
  // Called before each step of measuring this machine, as ProbeOptions::on_step is.
  std::function<void(absl::string_view what, int done, int total)> on_measuring;

  void Note(OpenNote::Kind kind, std::string text) const;
};

// The budget of `given` bytes, with a warning where the system has less; or 80% of what is free.
void UseBudget(std::optional<int64_t> given, OpenOptions* options);

// A compute thread a physical core of the CPUs that this process may use.
void UseAllCores(OpenOptions* options);

// Takes up `probe_file`: what it remembers of this CPU and the store's disk, and with it the way to
// read that was fastest.
void RecallProbeFile(OpenOptions* options);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPEN_OPEN_OPTIONS_H_
