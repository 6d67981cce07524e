// Drafters that only a benchmark wants: without a look at the clock, a chain, rows of a given
// number.
#ifndef SLUICE_BENCH_SPECULATE_BENCH_DRAFTERS_H_
#define SLUICE_BENCH_SPECULATE_BENCH_DRAFTERS_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "runtime/kv/kv_cache.h"
#include "runtime/pass/model.h"
#include "runtime/speculate/drafter.h"
#include "runtime/speculate/speculator.h"

namespace sluice {

// Has another drafter draft as if its time cost nothing, so that trees are the same whatever else
// the machine does.
class UntimedDrafter : public Drafter {
 public:
  explicit UntimedDrafter(std::unique_ptr<Drafter> inner) : inner_(std::move(inner)) {}

  void Observe(int64_t sequence, absl::Span<const int32_t> tokens) override {
    inner_->Observe(sequence, tokens);
  }
  absl::Status Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) override {
    DraftLimits untimed = limits;
    untimed.tokens_per_second = 0;
    return inner_->Propose(sequence, untimed, tree);
  }
  void Forget(int64_t sequence) override { inner_->Forget(sequence); }
  absl::string_view name() const override { return inner_->name(); }

 private:
  const std::unique_ptr<Drafter> inner_;
};

// What engines without trees do: the draft model's own choice again and again, with the target's
// noise. Every chain has all the nodes that it may have.
class ChainDrafter : public Drafter {
 public:
  // `model` computes for nobody else and must outlive this; tokens are below `vocab_size`.
  ChainDrafter(Model* model, int32_t vocab_size) : model_(model), vocab_size_(vocab_size) {}
  ~ChainDrafter() override;

  void Observe(int64_t sequence, absl::Span<const int32_t> tokens) override;
  // Errors are Model::RunPass's, and ResourceExhausted: the draft's context is full.
  absl::Status Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) override;
  void Forget(int64_t sequence) override;
  absl::string_view name() const override { return "chain"; }

 private:
  struct Sequence {
    std::vector<int32_t> tokens;
    std::vector<int32_t> cached;  // whose keys and values are in the cache, from position 0
    KvSequence pages;
  };
  // Computes `tokens` from the first that is not in the cache; returns the last one's logits.
  absl::StatusOr<absl::Span<const float>> Compute(absl::Span<const int32_t> tokens, Sequence* s);

  Model* const model_;
  const int32_t vocab_size_;
  absl::flat_hash_map<int64_t, Sequence> sequences_;
};

// Proposes a tree of as many nodes as it may in every other call, and nothing in the others. The
// tokens are arbitrary, so that next to none is accepted.
class EveryOtherDrafter : public Drafter {
 public:
  explicit EveryOtherDrafter(int32_t vocab_size) : vocab_size_(vocab_size) {}

  void Observe(int64_t, absl::Span<const int32_t>) override {}
  absl::Status Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) override;
  void Forget(int64_t) override {}
  absl::string_view name() const override { return "every other"; }

 private:
  const int32_t vocab_size_;
  int64_t calls_ = 0;
};

// A speculator that never rests and has only this drafter. `make` gets its calibration, whose one
// source has the rates `priors`.
template <typename Make>
std::unique_ptr<Speculator> SpeculatorWith(const SpeculatorOptions& options,
                                           const Calibration::Priors& priors, Make make) {
  SpeculatorOptions steady = options;
  steady.adapts = false;
  auto speculator = std::make_unique<Speculator>(steady, std::vector<Calibration::Priors>{priors});
  speculator->Add(make(speculator->calibration()));
  return speculator;
}

}  // namespace sluice

#endif  // SLUICE_BENCH_SPECULATE_BENCH_DRAFTERS_H_
