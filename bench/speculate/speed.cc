// Tokens a second with drafts over those without, and what passes take.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/speculate/bench_drafters.h"
#include "bench/speculate/floors.h"
#include "bench/speculate/text_run.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/system_memory.h"
#include "runtime/speculate/replay_drafter.h"

namespace sluice {
namespace {

constexpr double kWarm = 0.8;
// Of a streamed text: a pass of the pair takes half a second, and more than one from a slow disk.
constexpr int64_t kStreamedTokens = 48;
constexpr int64_t kSlowDisk = 1'000'000'000;
constexpr int64_t kBatch = 8;
// What code, stacks and the allocator may take beside a budget (tools/peak_memory.h).
constexpr int64_t kBesideBudget = int64_t{64} << 20;

int64_t StreamedTokens(const SpeculateBench& bench) {
  return std::min(bench.tokens, kStreamedTokens);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void AddPeak(const BenchSetup& setup, const std::string& what, FloorTable* table) {
  const double allowed = static_cast<double>(setup.options.max_ram_bytes + kBesideBudget);
  const auto peak = static_cast<double>(PeakRssBytes());
  table->Add({.name = absl::StrCat("peak of memory over budget and 64 MiB, ", what),
              .measured = peak / allowed,
              .floor = 1,
              .at_most = true,
              .remark = absl::StrFormat("%.0f of %.0f MiB", peak / 1048576, allowed / 1048576)});
}

std::string DescribePlan(const BenchSetup& setup) {
  const MemoryPlan& plan = setup.plan();
  return absl::StrFormat("budget %.0f MiB, %.0f of %.0f MiB streamed, %d rows planned",
                         static_cast<double>(setup.options.max_ram_bytes) / 1048576,
                         static_cast<double>(plan.residency.streamed_bytes) / 1048576,
                         static_cast<double>(plan.weight_bytes) / 1048576, plan.draft_rows);
}

// Passes that give tokens for an answer of `length`, by the errors that the drafter makes alone.
// The first pass has rows of the prompt, which leave it `first_depth` rows for drafts.
int64_t ExpectedPasses(const ReplayDrafter& oracle, int64_t length, int64_t first_depth,
                       int64_t depth) {
  int64_t passes = 0;
  for (int64_t at = 0; at < length; ++passes) {
    const int64_t right = oracle.ExpectedAccepted(0, at, passes == 0 ? first_depth : depth);
    at += std::min(right + 1, length - at);
  }
  return passes;
}

int64_t RowsOfFirst(const TextRun& run) {
  for (const PassNote& pass : run.passes) {
    if (pass.tokens > 0) return pass.draft_rows;
  }
  return 0;
}

absl::Status MeasureReplay(SpeculateBench* bench, FloorTable* table) {
  constexpr int64_t kChain = 16;
  SLUICE_ASSIGN_OR_RETURN(
      const std::unique_ptr<BenchSetup> setup,
      OpenSetup(bench, {.mode = SpeculateOptions::Mode::kNgram,
                        .draft_rows = kChain,
                        .throttle_bytes_per_s = bench->throttle_bytes_per_s.value_or(0)}));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<BenchText> texts,
                          TextsFor(*setup, *bench, kWarm, StreamedTokens(*bench), 1));
  const ReplayOptions options = {
      .error_probability = 0.2, .seed = 1, .vocab_size = setup->vocab_size()};
  Calibration::Priors priors;
  priors.fill(1 - options.error_probability);
  RunSum plain_sum, replay_sum;
  int64_t differ = 0;
  int64_t expected_passes = 0;
  for (const BenchText& text : texts) {
    SLUICE_ASSIGN_OR_RETURN(const TextRun plain, RunTexts(&setup->model(), {&text.request, 1}, {}));
    ReplayDrafter* drafter = nullptr;
    const std::unique_ptr<Speculator> speculator = SpeculatorWith(
        {.draft_max = kChain, .most_depth = kChain}, priors, [&](const Calibration*) {
          auto made = std::make_unique<ReplayDrafter>(options);
          drafter = made.get();
          return made;
        });
    const auto record = [&](absl::Span<const int64_t> ids) {
      drafter->Record(ids[0], static_cast<int64_t>(text.request.prompt.size()), plain.ids[0]);
    };
    SLUICE_ASSIGN_OR_RETURN(const TextRun run,
                            RunTexts(&setup->model(), {&text.request, 1},
                                     {.speculator = speculator.get(), .on_submitted = record}));
    ReplayDrafter oracle(options);
    oracle.Record(0, 0, plain.ids[0]);
    expected_passes +=
        ExpectedPasses(oracle, static_cast<int64_t>(plain.ids[0].size()), RowsOfFirst(run), kChain);
    differ += CountDifferences(plain, run, /*whole=*/true);
    plain_sum.Add(plain);
    replay_sum.Add(run);
  }
  table->Add({.name = "replay at 0.8, chain of 16: tokens a pass over what its errors allow",
              .measured = static_cast<double>(expected_passes) /
                          static_cast<double>(replay_sum.token_passes),
              .floor = 1,
              .aim = 1,
              .texts_that_differ = differ,
              .remark = absl::StrFormat("%d passes, %d expected; %.2f tokens a pass",
                                        replay_sum.token_passes, expected_passes,
                                        replay_sum.TokensPerPass())});
  const double tokens_per_pass =
      static_cast<double>(replay_sum.timed_tokens) / static_cast<double>(replay_sum.timed_passes);
  table->Add(
      {.name = "replay: tokens/s over (tokens a pass x plain tokens/s)",
       .measured = replay_sum.TokensPerSecond() / (tokens_per_pass * plain_sum.TokensPerSecond()),
       .floor = 0.88,
       .aim = 0.95,
       .texts_that_differ = differ,
       .remark = absl::StrFormat("%.2f tokens/s, %.2f plain; %s", replay_sum.TokensPerSecond(),
                                 plain_sum.TokensPerSecond(), DescribePlan(*setup))});
  return absl::OkStatus();
}

// What a text needs to be drafted for by the product, with the pair streamed.
absl::StatusOr<std::unique_ptr<BenchSetup>> OpenStreamed(SpeculateBench* bench, int64_t sequences,
                                                         int64_t throttle) {
  return OpenSetup(bench, {.with_draft = true,
                           .sequences = sequences,
                           .throttle_bytes_per_s = throttle,
                           .max_ram_bytes = bench->max_ram_bytes});
}

absl::Status MeasurePass(SpeculateBench* bench, FloorTable* table) {
  constexpr int64_t kPairs = 12;
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<BenchSetup> setup,
                          OpenStreamed(bench, 1, bench->throttle_bytes_per_s.value_or(0)));
  const int64_t planned = setup->plan().draft_rows;
  if (planned == 0) return absl::FailedPreconditionError("the plan has no rows for drafts");
  SLUICE_ASSIGN_OR_RETURN(std::vector<BenchText> texts, TextsFor(*setup, *bench, 0, 4 * kPairs, 1));
  texts[0].request.ignore_eos = true;
  const std::unique_ptr<Speculator> speculator = SpeculatorWith(
      {.most_depth = 12}, Calibration::Priors(),
      [&](const Calibration*) { return std::make_unique<EveryOtherDrafter>(setup->vocab_size()); });
  SLUICE_ASSIGN_OR_RETURN(const TextRun run, RunTexts(&setup->model(), {&texts[0].request, 1},
                                                      {.speculator = speculator.get(),
                                                       .stop_after_tokens = 2 * kPairs + 2}));
  SLUICE_ASSIGN_OR_RETURN(const TextRun plain, RunTexts(&setup->model(), {&texts[0].request, 1},
                                                        {.stop_after_tokens = 2 * kPairs + 2}));
  std::vector<double> single, tree;
  for (const PassNote& pass : run.passes) {
    if (!pass.generating) continue;
    if (pass.draft_rows == 0) single.push_back(pass.seconds);
    if (pass.draft_rows == planned) tree.push_back(pass.seconds);
  }
  if (single.empty() || tree.empty()) {
    return absl::InternalError(
        absl::StrCat(single.size(), " passes of one row, ", tree.size(), " of ", planned, " more"));
  }
  table->Add({.name = "time of a pass of 1 row over one of the planned rows, streamed",
              .measured = Median(single) / Median(tree),
              .floor = 0.9,
              .aim = 0.95,
              .texts_that_differ = CountDifferences(plain, run, /*whole=*/false),
              .remark = absl::StrFormat("medians of %d and %d passes: %.0f and %.0f ms; %s",
                                        single.size(), tree.size(), 1e3 * Median(single),
                                        1e3 * Median(tree), DescribePlan(*setup))});
  return absl::OkStatus();
}

// Plain tokens a second where the memory that the draft takes has weights of the target.
absl::Status AddEqualBudget(SpeculateBench* bench, const BenchSetup& pair, int64_t throttle,
                            const TurnSums& with_draft, FloorTable* table) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<BenchSetup> setup,
                          OpenSetup(bench, {.mode = SpeculateOptions::Mode::kOff,
                                            .throttle_bytes_per_s = throttle,
                                            .max_ram_bytes = pair.options.max_ram_bytes}));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<BenchText> texts,
                          TextsFor(*setup, *bench, kWarm, StreamedTokens(*bench), 1));
  RunSum plain;
  for (const BenchText& text : texts) {
    SLUICE_ASSIGN_OR_RETURN(const TextRun run, RunTexts(&setup->model(), {&text.request, 1}, {}));
    plain.Add(run);
  }
  table->Add({.name = "tokens/s over plain of the same budget without a draft, mix at 0.8",
              .measured = with_draft.drafted.TokensPerSecond() / plain.TokensPerSecond(),
              .remark = absl::StrFormat("not in turns; %.2f tokens/s plain; %s",
                                        plain.TokensPerSecond(), DescribePlan(*setup))});
  return absl::OkStatus();
}

absl::Status MeasureSpeed(SpeculateBench* bench, FloorTable* table) {
  const int64_t throttle = bench->throttle_bytes_per_s.value_or(kSlowDisk);
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<BenchSetup> setup, OpenStreamed(bench, 1, throttle));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<BenchText> texts,
                          TextsFor(*setup, *bench, kWarm, StreamedTokens(*bench), 1));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<TurnSums> kinds, RunInTurns(setup.get(), texts));
  for (const TurnSums& kind : kinds) {
    table->Add({.name = absl::StrCat("tokens/s over plain, streamed, ", kind.kind, " at 0.8"),
                .measured = GainOf(kind),
                .texts_that_differ = kind.texts_that_differ,
                .remark = DescribeTurns(kind)});
  }
  const TurnSums mix = SumOf(kinds);
  table->Add({.name = "tokens/s over plain, streamed, mix at 0.8",
              .measured = GainOf(mix),
              .floor = 3,
              .aim = 5,
              .texts_that_differ = mix.texts_that_differ,
              .remark = absl::StrCat(
                  DescribeTurns(mix), "; ", DescribePlan(*setup),
                  throttle > 0 ? absl::StrFormat(", disk of %.2f GB/s", throttle / 1e9) : "")});
  AddPeak(*setup, "streamed with a draft", table);
  return AddEqualBudget(bench, *setup, throttle, mix, table);
}

absl::Status MeasureBatch(SpeculateBench* bench, FloorTable* table) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<BenchSetup> setup,
                          OpenStreamed(bench, kBatch, bench->throttle_bytes_per_s.value_or(0)));
  SLUICE_RETURN_IF_ERROR(RenewSpeculator(setup.get()));
  const int64_t tokens = StreamedTokens(*bench);
  // Long enough that all go on until the last has begun and been measured.
  SLUICE_ASSIGN_OR_RETURN(std::vector<BenchText> texts,
                          TextsFor(*setup, *bench, kWarm, 8 * tokens, 2));
  std::vector<SequenceRequest> requests;
  for (int64_t i = 0; i < kBatch; ++i) {
    requests.push_back(texts[static_cast<size_t>(i) % texts.size()].request);
    requests.back().sampler.seed += static_cast<uint64_t>(100 * i);
    requests.back().ignore_eos = true;
  }
  RunControls controls = {.stop_after_tokens = kBatch * tokens};
  SLUICE_ASSIGN_OR_RETURN(const TextRun plain, RunTexts(&setup->model(), requests, controls));
  controls.speculator = setup->session.speculator.get();
  SLUICE_ASSIGN_OR_RETURN(const TextRun trees, RunTexts(&setup->model(), requests, controls));
  RunSum plain_sum, tree_sum;
  plain_sum.Add(plain);
  tree_sum.Add(trees);
  const SpeculationCounters counters = controls.speculator->counters();
  const double passes = static_cast<double>(std::max<int64_t>(counters.passes, 1));
  table->Add(
      {.name = "8 sequences with trees over 8 without, tokens/s, streamed, mix at 0.8",
       .measured = tree_sum.TokensPerSecond() / plain_sum.TokensPerSecond(),
       .floor = 1.8,
       .aim = 2.5,
       .texts_that_differ = CountDifferences(plain, trees, /*whole=*/false),
       .remark = absl::StrFormat(
           "%.2f tokens/s plain, %.2f with trees of %.1f rows a pass; drafting took %.0f ms a "
           "pass; %s",
           plain_sum.TokensPerSecond(), tree_sum.TokensPerSecond(),
           static_cast<double>(counters.draft_rows) / passes, 1e3 * tree_sum.DraftSecondsPerPass(),
           DescribePlan(*setup))});
  return absl::OkStatus();
}

absl::Status MeasureSuffixSpeed(SpeculateBench* bench, FloorTable* table) {
  SLUICE_ASSIGN_OR_RETURN(
      const std::unique_ptr<BenchSetup> setup,
      OpenSetup(bench, {.mode = SpeculateOptions::Mode::kNgram,
                        .throttle_bytes_per_s = bench->throttle_bytes_per_s.value_or(0)}));
  const int64_t per_kind =
      bench->prompts_per_kind > 0 ? std::min<int64_t>(bench->prompts_per_kind, 4) : 4;
  SLUICE_ASSIGN_OR_RETURN(
      const std::vector<BenchText> chats,
      TextsFor(*setup, *bench, kWarm, StreamedTokens(*bench), per_kind, "chat"));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<TurnSums> kinds, RunInTurns(setup.get(), chats));
  const TurnSums sums = SumOf(kinds);
  table->Add({.name = "tokens/s without a model over plain, streamed, chat at 0.8",
              .measured = GainOf(sums),
              .floor = 0.99,
              .aim = 1.1,
              .texts_that_differ = sums.texts_that_differ,
              .remark = absl::StrCat(DescribeTurns(sums), "; ", DescribePlan(*setup))});
  return absl::OkStatus();
}

// Nothing streamed, and all left to the product.
absl::Status MeasureResidentWith(SpeculateBench* bench, bool with_draft, FloorTable* table) {
  const std::string what = with_draft ? "resident with a draft" : "resident without a draft";
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<BenchSetup> setup,
                          OpenSetup(bench, {.with_draft = with_draft, .resident = true}));
  const int64_t per_kind =
      bench->prompts_per_kind > 0 ? std::min<int64_t>(bench->prompts_per_kind, 2) : 2;
  SLUICE_ASSIGN_OR_RETURN(const std::vector<BenchText> texts,
                          TextsFor(*setup, *bench, kWarm, bench->tokens, per_kind));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<TurnSums> kinds, RunInTurns(setup.get(), texts));
  const TurnSums mix = SumOf(kinds);
  table->Add({.name = absl::StrCat("tokens/s over plain, ", what, ", mix at 0.8"),
              .measured = GainOf(mix),
              .floor = 0.97,
              .aim = 1.05,
              .texts_that_differ = mix.texts_that_differ,
              .remark = absl::StrCat(DescribeTurns(mix), "; ", DescribePlan(*setup))});
  AddPeak(*setup, what, table);
  return absl::OkStatus();
}

absl::Status MeasureResident(SpeculateBench* bench, FloorTable* table) {
  SLUICE_RETURN_IF_ERROR(MeasureResidentWith(bench, false, table));
  if (!bench->draft.empty()) return MeasureResidentWith(bench, true, table);
  table->AddMissing("tokens/s over plain, resident with a draft", "there is no --draft");
  return absl::OkStatus();
}

}  // namespace

std::vector<FloorGroup> SpeedFloors() {
  return {{"suffix", false, &MeasureSuffixSpeed}, {"replay", false, &MeasureReplay},
          {"pass", true, &MeasurePass},           {"speed", true, &MeasureSpeed},
          {"batch", true, &MeasureBatch},         {"resident", false, &MeasureResident}};
}

}  // namespace sluice
