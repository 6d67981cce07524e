// What several runs of one measurement gave, and whether they agree.
#ifndef SLUICE_RUNTIME_FLOOR_PROBE_SAMPLES_H_
#define SLUICE_RUNTIME_FLOOR_PROBE_SAMPLES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice {

// Rates in bytes a second.
struct Samples {
  double median = 0;  // of an even number of runs, the mean of the two in the middle
  double least = 0;
  double most = 0;
  int runs = 0;

  // Whether the fastest run was half as fast again as the slowest one, or more: then the median
  // says little.
  bool wide() const { return most >= 1.5 * least && runs > 1; }
};

// Zeros for no rates.
Samples SummarizeSamples(std::vector<double> rates);

// "the disk gave 1.2 to 2.9 GB/s in 5 runs".
std::string DescribeSamples(absl::string_view what, const Samples& samples);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_FLOOR_PROBE_SAMPLES_H_
