// Measures what the stages of a stream can do on their own: reading, verifying and decoding.
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

// Bytes a second that the engine reads from `sources`, one after the other and around, in requests
// of a slab's size with options.queue_depth reads of options.read_bytes in flight, over about
// `seconds`. A slab is 8 MiB, or as much as is in flight where that is less: what little memory has
// room for. InvalidArgument: less than 1 MiB in all. Otherwise errors as IoEngine's.
absl::StatusOr<double> MeasureReadRate(const std::vector<ReadSource>& sources,
                                       const IoOptions& options, double seconds);

// Bytes a second that a SlabStream hands out, with a ring of kSmallRingBytes and slabs of an eighth
// of that: what is left of the disk's rate where each turn of the ring waits for a read's latency
// and for threads to wake up. Over about `seconds`. Errors as MeasureReadRate's.
inline constexpr int64_t kSmallRingBytes = int64_t{1536} << 10;
absl::StatusOr<double> MeasureSmallRing(const std::vector<ReadSource>& sources, IoKind kind,
                                        double seconds);

// Bytes a second that one thread verifies, out of up to 64 MiB of memory, or `memory_bytes` where
// that is less.
double MeasureVerifyRate(double seconds, int64_t memory_bytes = int64_t{64} << 20);

// What one thread makes of compressed slabs of bf16 weights.
struct UnpackRate {
  double raw_bytes_per_s;
  double stored_share;  // stored over raw bytes
};
absl::StatusOr<UnpackRate> MeasureUnpackRate(double seconds);

}  // namespace sluice

#endif  // SLUICE_PREFETCH_STAGE_RATES_H_
