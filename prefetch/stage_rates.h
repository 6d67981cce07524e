// Measures what the stages of a stream can do on their own: reading, verifying and decoding.
#ifndef SLUICE_PREFETCH_STAGE_RATES_H_
#define SLUICE_PREFETCH_STAGE_RATES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "prefetch/io_engine.h"

namespace sluice {

// A file to read from, and how much of it there is.
struct ReadSource {
  std::string path;
  int64_t bytes;
};

// Bytes a second that the engine reads from `sources`, one after the other and around, in requests
// of a slab's size with options.queue_depth reads of options.read_bytes in flight, over about
// `seconds`. InvalidArgument: less than 1 MiB in all. Otherwise errors as IoEngine's.
absl::StatusOr<double> MeasureReadRate(const std::vector<ReadSource>& sources,
                                       const IoOptions& options, double seconds);

// Bytes a second that one thread verifies.
double MeasureVerifyRate(double seconds);

// What one thread makes of compressed slabs of bf16 weights.
struct UnpackRate {
  double raw_bytes_per_s;
  double stored_share;  // stored over raw bytes
};
absl::StatusOr<UnpackRate> MeasureUnpackRate(double seconds);

}  // namespace sluice

#endif  // SLUICE_PREFETCH_STAGE_RATES_H_
