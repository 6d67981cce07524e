// Sorts.
#include "runtime/floor/probe/samples.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace sluice {

Samples SummarizeSamples(std::vector<double> rates) {
  if (rates.empty()) return {};
  std::sort(rates.begin(), rates.end());
  const size_t half = rates.size() / 2;
  const double median = rates.size() % 2 == 1 ? rates[half] : (rates[half - 1] + rates[half]) / 2;
  return {median, rates.front(), rates.back(), static_cast<int>(rates.size())};
}

std::string DescribeSamples(absl::string_view what, const Samples& samples) {
  return absl::StrFormat("%s gave %.3g to %.3g GB/s in %d runs", what, samples.least / 1e9,
                         samples.most / 1e9, samples.runs);
}

}  // namespace sluice
