// XXH3-64 with seed 0 over bytes that arrive in parts.
#ifndef SLUICE_STORAGE_RUNNING_CHECKSUM_H_
#define SLUICE_STORAGE_RUNNING_CHECKSUM_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"

namespace sluice {

// Value() equals Checksum() (storage/manifest.h) of all bytes added since the last Reset().
class RunningChecksum {
 public:
  RunningChecksum();
  ~RunningChecksum();
  void Reset();
  void Add(absl::Span<const std::byte> bytes);
  uint64_t Value() const;

 private:
  struct State;  // keeps xxhash out of this header
  std::unique_ptr<State> state_;
};

// XXH3-64 with a seed. Checksum() is this one with seed 0.
uint64_t SeededChecksum(absl::Span<const std::byte> bytes, uint64_t seed);

}  // namespace sluice

#endif  // SLUICE_STORAGE_RUNNING_CHECKSUM_H_
