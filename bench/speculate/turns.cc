// Plain decoding and the product's speculation take turns, text by text.
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "bench/speculate/floors.h"
#include "kernels/base/status_macros.h"

namespace sluice {

absl::StatusOr<std::vector<TurnSums>> RunInTurns(BenchSetup* setup,
                                                 const std::vector<BenchText>& texts) {
  std::vector<TurnSums> kinds;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (kinds.empty() || kinds.back().kind != texts[i].kind) kinds.push_back({texts[i].kind});
    TurnSums& sums = kinds.back();
    SLUICE_RETURN_IF_ERROR(RenewSpeculator(setup));
    Speculator* const speculator = setup->session.speculator.get();
    TextRun runs[2];  // plain, drafted
    for (const bool drafted : {i % 2 != 0, i % 2 == 0}) {
      const RunControls controls = {.speculator = drafted ? speculator : nullptr};
      SLUICE_ASSIGN_OR_RETURN(runs[drafted ? 1 : 0],
                              RunTexts(&setup->model(), {&texts[i].request, 1}, controls));
    }
    sums.plain.Add(runs[0]);
    sums.drafted.Add(runs[1]);
    sums.texts_that_differ += CountDifferences(runs[0], runs[1], /*whole=*/true);
    sums.draft_rows += speculator->counters().draft_rows;
    sums.failures.insert(sums.failures.end(), speculator->failures().begin(),
                         speculator->failures().end());
  }
  return kinds;
}

TurnSums SumOf(const std::vector<TurnSums>& kinds) {
  TurnSums sum = {.kind = "mix"};
  for (const TurnSums& kind : kinds) {
    sum.plain.Add(kind.plain);
    sum.drafted.Add(kind.drafted);
    sum.texts_that_differ += kind.texts_that_differ;
    sum.draft_rows += kind.draft_rows;
    sum.failures.insert(sum.failures.end(), kind.failures.begin(), kind.failures.end());
  }
  return sum;
}

double GainOf(const TurnSums& sums) {
  const double plain = sums.plain.TokensPerSecond();
  return plain > 0 ? sums.drafted.TokensPerSecond() / plain : 0;
}

std::string DescribeTurns(const TurnSums& sums) {
  const double passes = static_cast<double>(sums.drafted.token_passes);
  std::string text = absl::StrFormat(
      "%d texts; %.2f tokens/s plain, %.2f drafted; %.2f tokens a pass of %.1f drafted rows; "
      "drafting took %.0f ms a pass",
      sums.plain.texts, sums.plain.TokensPerSecond(), sums.drafted.TokensPerSecond(),
      sums.drafted.TokensPerPass(), passes > 0 ? static_cast<double>(sums.draft_rows) / passes : 0,
      1e3 * sums.drafted.DraftSecondsPerPass());
  if (!sums.failures.empty()) text += "; " + absl::StrJoin(sums.failures, "; ");
  return text;
}

}  // namespace sluice
