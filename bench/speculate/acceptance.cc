// How many tokens a pass gives. The clock has no part in it: drafters draft as if that were free.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "bench/speculate/bench_drafters.h"
#include "bench/speculate/floors.h"
#include "bench/speculate/text_run.h"
#include "kernels/base/status_macros.h"
#include "runtime/speculate/model_drafter.h"
#include "runtime/speculate/suffix_drafter.h"

namespace sluice {
namespace {

constexpr int64_t kTreeRows = 64;
constexpr int64_t kChainRows = 16;
constexpr double kWarm = 0.8;

enum class Guess : uint8_t { kTree, kTreeOwnNoise, kChain, kSuffix };

const char* NameOf(Guess guess) {
  switch (guess) {
    case Guess::kTree:
      return "trees";
    case Guess::kTreeOwnNoise:
      return "trees without the target's noise";
    case Guess::kChain:
      return "chains";
    case Guess::kSuffix:
      return "what came before";
  }
  return "";
}

struct KindTokens {
  std::string kind;
  RunSum sum;
  int64_t draft_rows = 0;
  int64_t texts_that_differ = 0;
  std::vector<std::string> failures;
};

// Generates texts of a resident target, each with a speculator that has learned nothing. What was
// generated once is not generated again, so that groups may share it.
class AcceptanceRuns {
 public:
  // Opens the target at the first call.
  absl::Status Open(SpeculateBench* bench);

  // One for each kind, or only for `kind`.
  absl::StatusOr<std::vector<KindTokens>> Measure(Guess guess, double temperature,
                                                  const std::string& kind = "");

 private:
  std::unique_ptr<Speculator> SpeculatorFor(Guess guess);
  absl::StatusOr<const TextRun*> PlainRun(const BenchText& text, double temperature);

  const SpeculateBench* bench_ = nullptr;
  std::unique_ptr<BenchSetup> setup_;                   // null: not open
  std::map<std::pair<size_t, double>, TextRun> plain_;  // by prompt and temperature
  std::map<std::string, std::vector<KindTokens>> measured_;
};

absl::Status AcceptanceRuns::Open(SpeculateBench* bench) {
  if (setup_ != nullptr) return absl::OkStatus();
  bench_ = bench;
  SLUICE_ASSIGN_OR_RETURN(setup_, OpenSetup(bench, {.with_draft = !bench->draft.empty(),
                                                    .resident = true,
                                                    .draft_rows = kTreeRows}));
  // The product's speculator is not asked, and its drafter leaves the draft model to others.
  setup_->session.speculator.reset();
  return absl::OkStatus();
}

std::unique_ptr<Speculator> AcceptanceRuns::SpeculatorFor(Guess guess) {
  const int32_t vocab_size = setup_->vocab_size();
  Model* const draft = setup_->draft_model();
  switch (guess) {
    case Guess::kTree:
    case Guess::kTreeOwnNoise: {
      const ModelDrafterOptions options = {.vocab_size = vocab_size,
                                           .shares_noise = guess == Guess::kTree};
      return SpeculatorWith({}, ModelDrafter::InitialRates(), [&](const Calibration* calibration) {
        return std::make_unique<UntimedDrafter>(
            std::make_unique<ModelDrafter>(draft, options, calibration));
      });
    }
    case Guess::kChain:
      return SpeculatorWith(
          {.draft_max = kChainRows}, ModelDrafter::InitialRates(),
          [&](const Calibration*) { return std::make_unique<ChainDrafter>(draft, vocab_size); });
    case Guess::kSuffix:
      break;
  }
  const SuffixDrafterOptions options = {.max_shared_tokens = 0, .source = 0, .shared_source = 0};
  return SpeculatorWith({}, SuffixDrafter::InitialRates(), [&](const Calibration* calibration) {
    return std::make_unique<SuffixDrafter>(options, calibration);
  });
}

absl::StatusOr<const TextRun*> AcceptanceRuns::PlainRun(const BenchText& text, double temperature) {
  const auto [place, is_new] = plain_.try_emplace({text.index, temperature});
  if (is_new) {
    SLUICE_ASSIGN_OR_RETURN(place->second, RunTexts(&setup_->model(), {&text.request, 1}, {}));
  }
  return &place->second;
}

absl::StatusOr<std::vector<KindTokens>> AcceptanceRuns::Measure(Guess guess, double temperature,
                                                                const std::string& kind) {
  std::vector<KindTokens>& kinds =
      measured_[absl::StrCat(static_cast<int>(guess), "/", temperature, "/", kind)];
  if (!kinds.empty()) return kinds;
  SLUICE_ASSIGN_OR_RETURN(
      const std::vector<BenchText> texts,
      TextsFor(*setup_, *bench_, temperature, bench_->tokens, bench_->prompts_per_kind, kind));
  std::fprintf(stderr, "%d texts at temperature %g, with %s\n", static_cast<int>(texts.size()),
               temperature, NameOf(guess));
  std::vector<KindTokens> got;
  for (const BenchText& text : texts) {
    SLUICE_ASSIGN_OR_RETURN(const TextRun* const plain, PlainRun(text, temperature));
    const std::unique_ptr<Speculator> speculator = SpeculatorFor(guess);
    SLUICE_ASSIGN_OR_RETURN(const TextRun run, RunTexts(&setup_->model(), {&text.request, 1},
                                                        {.speculator = speculator.get()}));
    if (got.empty() || got.back().kind != text.kind) got.push_back({.kind = text.kind});
    KindTokens& of_kind = got.back();
    of_kind.sum.Add(run);
    of_kind.draft_rows += speculator->counters().draft_rows;
    of_kind.texts_that_differ += CountDifferences(*plain, run, /*whole=*/true);
    of_kind.failures.insert(of_kind.failures.end(), speculator->failures().begin(),
                            speculator->failures().end());
  }
  return kinds = std::move(got);
}

std::string Describe(const KindTokens& kind) {
  const auto passes = static_cast<double>(std::max<int64_t>(kind.sum.token_passes, 1));
  std::string text = absl::StrFormat("%d tokens of %d texts in %d passes of %.1f drafted rows",
                                     kind.sum.tokens, kind.sum.texts, kind.sum.token_passes,
                                     static_cast<double>(kind.draft_rows) / passes);
  if (!kind.failures.empty()) text += "; " + absl::StrJoin(kind.failures, "; ");
  return text;
}

KindTokens MixOf(const std::vector<KindTokens>& kinds) {
  KindTokens mix = {.kind = "mix"};
  for (const KindTokens& kind : kinds) {
    mix.sum.Add(kind.sum);
    mix.draft_rows += kind.draft_rows;
    mix.texts_that_differ += kind.texts_that_differ;
    mix.failures.insert(mix.failures.end(), kind.failures.begin(), kind.failures.end());
  }
  return mix;
}

struct TokenFloor {
  const char* kind;
  double temperature, floor, aim;
};
constexpr TokenFloor kTokenFloors[] = {
    {"code", 0, 8, 10}, {"chat", 0, 4.5, 6}, {"chat", kWarm, 3.5, 5}};

absl::Status MeasureTokens(AcceptanceRuns* runs, FloorTable* table) {
  for (const double temperature : {0.0, kWarm}) {
    SLUICE_ASSIGN_OR_RETURN(std::vector<KindTokens> kinds,
                            runs->Measure(Guess::kTree, temperature));
    kinds.push_back(MixOf(kinds));
    for (const KindTokens& kind : kinds) {
      FloorRow row = {
          .name = absl::StrFormat("tokens a pass, 64 rows, %s at %g", kind.kind, temperature),
          .measured = kind.sum.TokensPerPass(),
          .texts_that_differ = kind.texts_that_differ,
          .remark = Describe(kind)};
      for (const TokenFloor& wanted : kTokenFloors) {
        if (kind.kind != wanted.kind || temperature != wanted.temperature) continue;
        row.floor = wanted.floor;
        row.aim = wanted.aim;
      }
      table->Add(std::move(row));
    }
  }
  return absl::OkStatus();
}

// Tokens a pass of trees with the target's noise over those of `other`, at 0.8.
absl::Status CompareTrees(AcceptanceRuns* runs, Guess other, const std::string& name, double floor,
                          double aim, FloorTable* table) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<KindTokens> trees, runs->Measure(Guess::kTree, kWarm));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<KindTokens> others, runs->Measure(other, kWarm));
  const auto add = [&](const KindTokens& tree, const KindTokens& less, bool is_mix) {
    FloorRow row = {.name = absl::StrCat(name, ", ", tree.kind, " at 0.8"),
                    .measured = tree.sum.TokensPerPass() / less.sum.TokensPerPass(),
                    .texts_that_differ = tree.texts_that_differ + less.texts_that_differ,
                    .remark = absl::StrFormat("%.2f over %.2f: %s", tree.sum.TokensPerPass(),
                                              less.sum.TokensPerPass(), Describe(less))};
    if (is_mix) {
      row.floor = floor;
      row.aim = aim;
    }
    table->Add(std::move(row));
  };
  for (size_t i = 0; i < trees.size(); ++i) add(trees[i], others[i], false);
  add(MixOf(trees), MixOf(others), true);
  return absl::OkStatus();
}

absl::Status MeasureTree(AcceptanceRuns* runs, FloorTable* table) {
  return CompareTrees(runs, Guess::kChain, "tree of 64 over chain of 16", 1.25, 1.5, table);
}

absl::Status MeasureNoise(AcceptanceRuns* runs, FloorTable* table) {
  return CompareTrees(runs, Guess::kTreeOwnNoise, "shared over own noise", 1.08, 1.15, table);
}

absl::Status MeasureSuffix(AcceptanceRuns* runs, FloorTable* table) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<KindTokens> edits,
                          runs->Measure(Guess::kSuffix, 0, "edit"));
  table->Add({.name = "tokens a pass without a model, edit at 0",
              .measured = edits[0].sum.TokensPerPass(),
              .floor = 1.8,
              .aim = 2.4,
              .texts_that_differ = edits[0].texts_that_differ,
              .remark = Describe(edits[0])});
  return absl::OkStatus();
}

}  // namespace

std::vector<FloorGroup> AcceptanceFloors() {
  const auto runs = std::make_shared<AcceptanceRuns>();
  const auto group = [&](const char* name, bool wants_draft, auto measure) {
    return FloorGroup{name, wants_draft,
                      [runs, measure](SpeculateBench* bench, FloorTable* table) -> absl::Status {
                        SLUICE_RETURN_IF_ERROR(runs->Open(bench));
                        return measure(runs.get(), table);
                      }};
  };
  return {group("tokens", true, &MeasureTokens), group("tree", true, &MeasureTree),
          group("noise", true, &MeasureNoise), group("suffix", false, &MeasureSuffix)};
}

}  // namespace sluice
