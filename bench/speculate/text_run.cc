// A loop over Engine::Step with a clock.
#include "bench/speculate/text_run.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "kernels/base/status_macros.h"

namespace sluice {

int64_t TextRun::tokens() const {
  int64_t sum = 0;
  for (const PassNote& pass : passes) sum += pass.tokens;
  return sum;
}

int64_t TextRun::token_passes() const {
  return std::count_if(passes.begin(), passes.end(),
                       [](const PassNote& pass) { return pass.tokens > 0; });
}

double TextRun::seconds() const {
  double sum = 0;
  for (const PassNote& pass : passes) sum += pass.generating ? pass.seconds : 0;
  return sum;
}

int64_t TextRun::timed_tokens() const {
  int64_t sum = 0;
  for (const PassNote& pass : passes) sum += pass.generating ? pass.tokens : 0;
  return sum;
}

int64_t TextRun::timed_passes() const {
  return std::count_if(passes.begin(), passes.end(),
                       [](const PassNote& pass) { return pass.generating; });
}

double TextRun::draft_seconds() const {
  double sum = 0;
  for (const PassNote& pass : passes) sum += pass.generating ? pass.draft_seconds : 0;
  return sum;
}

absl::StatusOr<TextRun> RunTexts(Model* model, absl::Span<const SequenceRequest> requests,
                                 const RunControls& controls) {
  const auto count = static_cast<int64_t>(requests.size());
  TextRun run;
  run.ids.resize(requests.size());
  std::vector<bool> begun(requests.size(), false);
  Engine engine(model, /*tokenizer=*/nullptr,
                {.max_sequences = count, .speculator = controls.speculator});
  const auto drafting = [&] {
    return controls.speculator != nullptr ? controls.speculator->counters().draft_seconds : 0.0;
  };
  std::vector<int64_t> numbers;
  for (size_t i = 0; i < requests.size(); ++i) {
    SequenceRequest request = requests[i];
    request.on_token = [&begun, i](int32_t, absl::string_view) { begun[i] = true; };
    request.on_finish = [&run, i](SequenceResult result) { run.ids[i] = std::move(result.ids); };
    SLUICE_ASSIGN_OR_RETURN(const int64_t number, engine.Submit(std::move(request)));
    numbers.push_back(number);
  }
  if (controls.on_submitted) controls.on_submitted(numbers);
  while (!engine.idle()) {
    const bool generating =
        std::all_of(begun.begin(), begun.end(), [](bool has_begun) { return has_begun; });
    const double drafted_before = drafting();
    const auto start = std::chrono::steady_clock::now();
    SLUICE_ASSIGN_OR_RETURN(const StepReport step, engine.Step());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    run.passes.push_back({.seconds = took.count(),
                          .draft_seconds = drafting() - drafted_before,
                          .draft_rows = step.draft_rows,
                          .tokens = step.tokens,
                          .generating = generating});
    if (controls.stop_after_tokens == 0 || run.timed_tokens() < controls.stop_after_tokens) {
      continue;
    }
    for (const int64_t number : numbers) engine.Interrupt(number);
  }
  return run;
}

int64_t CountDifferences(const TextRun& a, const TextRun& b, bool whole) {
  int64_t differences = 0;
  for (size_t i = 0; i < a.ids.size(); ++i) {
    const size_t both = std::min(a.ids[i].size(), b.ids[i].size());
    const bool same = std::equal(a.ids[i].begin(), a.ids[i].begin() + both, b.ids[i].begin());
    differences += !same || (whole && a.ids[i].size() != b.ids[i].size());
  }
  return differences;
}

void RunSum::Add(const TextRun& run) {
  texts += static_cast<int64_t>(run.ids.size());
  tokens += run.tokens();
  token_passes += run.token_passes();
  seconds += run.seconds();
  timed_tokens += run.timed_tokens();
  timed_passes += run.timed_passes();
  draft_seconds += run.draft_seconds();
}

void RunSum::Add(const RunSum& other) {
  texts += other.texts;
  tokens += other.tokens;
  token_passes += other.token_passes;
  seconds += other.seconds;
  timed_tokens += other.timed_tokens;
  timed_passes += other.timed_passes;
  draft_seconds += other.draft_seconds;
}

double RunSum::TokensPerPass() const {
  return token_passes > 0 ? static_cast<double>(tokens) / static_cast<double>(token_passes) : 0;
}

double RunSum::TokensPerSecond() const {
  return seconds > 0 ? static_cast<double>(timed_tokens) / seconds : 0;
}

double RunSum::DraftSecondsPerPass() const {
  return timed_passes > 0 ? draft_seconds / static_cast<double>(timed_passes) : 0;
}

}  // namespace sluice
