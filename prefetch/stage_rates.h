// Measures how fast each stage of a stream is on its own: reading, verifying and decoding.
#ifndef SLUICE_PREFETCH_STAGE_RATES_H_
#define SLUICE_PREFETCH_STAGE_RATES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "prefetch/io/io_engine.h"

namespace sluice {

// A file to read from, and how much of it there is.
struct ReadSource {
  std::string path;
  int64_t bytes;
};

// Returns the bytes a second that the engine reads from `sources`, one after the other and around,
// for about `seconds`. Requests have a slab's size, with options.queue_depth reads of
// options.read_bytes in flight. A slab is 8 MiB here, or as much as is in flight if that is less.
// InvalidArgument: the sources have less than 1 MiB in all. Other errors are IoEngine's.
absl::StatusOr<double> MeasureReadRate(const std::vector<ReadSource>& sources,
                                       const IoOptions& options, double seconds);

// Returns the bytes a second that a SlabStream hands out, for about `seconds`, with a ring of
// kSmallRingBytes and slabs of an eighth of that. It shows what is left of the disk's rate if each
// turn of the ring waits for a read's latency and for threads to wake up. Errors as for
// MeasureReadRate.
inline constexpr int64_t kSmallRingBytes = int64_t{1536} << 10;
absl::StatusOr<double> MeasureSmallRing(const std::vector<ReadSource>& sources, IoKind kind,
                                        double seconds);

// Returns the bytes a second that one thread verifies, in a buffer of up to 64 MiB, or of
// `memory_bytes` if that is less.
double MeasureVerifyRate(double seconds, int64_t memory_bytes = int64_t{64} << 20);

// How fast one thread decodes compressed slabs of bf16 weights.
struct UnpackRate {
  double raw_bytes_per_s;
  double stored_share;  // stored over raw bytes
};
absl::StatusOr<UnpackRate> MeasureUnpackRate(double seconds);

}  // namespace sluice

#endif  // SLUICE_PREFETCH_STAGE_RATES_H_
