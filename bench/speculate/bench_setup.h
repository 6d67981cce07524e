// What the benchmark is asked for, and a target that is open with or without a draft.
#ifndef SLUICE_BENCH_SPECULATE_BENCH_SETUP_H_
#define SLUICE_BENCH_SPECULATE_BENCH_SETUP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/engine/engine.h"
#include "runtime/floor/probe/machine_probe.h"
#include "runtime/open/open_options.h"
#include "runtime/open/session.h"

namespace sluice {

struct BenchPrompt {
  std::string kind;  // "chat", "code", "summary", "edit"
  std::string text;  // what the user says
};

struct SpeculateBench {
  std::string target;
  std::string draft;                 // empty: there is none
  std::vector<BenchPrompt> prompts;  // those of a kind one behind the other
  int64_t prompts_per_kind = 0;      // 0: all
  int64_t tokens = 128;              // of a text
  int64_t max_ram_bytes = 0;         // of streamed models; 0: the least that a plan gives
  std::optional<int64_t> throttle_bytes_per_s = {};  // of the target's disk
  // Of this machine; measured when the first store is opened
  std::optional<ProbeResult> probe = {};
};

// Reads lines of {"kind": ..., "prompt": ...}. NotFound, InvalidArgument with the line's number.
absl::StatusOr<std::vector<BenchPrompt>> ReadBenchPrompts(const std::string& path);

// The kinds in the order of the prompts.
std::vector<std::string> KindsOf(const SpeculateBench& bench);

struct SetupWish {
  bool with_draft = false;
  bool resident = false;  // else streamed, within the smallest budget or max_ram_bytes
  SpeculateOptions::Mode mode = SpeculateOptions::Mode::kAuto;
  int64_t draft_rows = 0;  // of a pass; 0: what the product chooses
  int64_t sequences = 1;
  int64_t throttle_bytes_per_s = 0;  // 0: none
  int64_t max_ram_bytes = 0;         // 0: the smallest, or all of it where `resident`
};

// Does not move: its parts point at each other.
struct BenchSetup {
  OpenOptions options;
  Session session;

  Model& model() { return *session.model; }
  const MemoryPlan& plan() const { return session.model->plan(); }
  Model* draft_model() { return session.draft != nullptr ? session.draft->model.get() : nullptr; }
  int32_t vocab_size() const {
    return static_cast<int32_t>(session.store->hyper_parameters().vocab_size);
  }
};

// Opens, plans and starts; the peak of this process's memory counts from here on. `bench` gets the
// probe. FailedPrecondition: the plan streams where `resident` is wanted, or stays where it is not;
// other errors are those of the runtime.
absl::StatusOr<std::unique_ptr<BenchSetup>> OpenSetup(SpeculateBench* bench, const SetupWish& wish);

// Replaces the product's speculator by a new one that has learned nothing.
absl::Status RenewSpeculator(BenchSetup* setup);

// A prompt as a request for `max_new_tokens`.
struct BenchText {
  std::string kind;
  size_t index = 0;  // of the prompt
  SequenceRequest request;
};

// The first `per_kind` prompts (0: all) of each kind, or of `kind` alone, through the chat template
// where the store has one. A prompt's seed is its index.
absl::StatusOr<std::vector<BenchText>> TextsFor(const BenchSetup& setup,
                                                const SpeculateBench& bench, double temperature,
                                                int64_t max_new_tokens, int64_t per_kind,
                                                const std::string& kind = "");

}  // namespace sluice

#endif  // SLUICE_BENCH_SPECULATE_BENCH_SETUP_H_
