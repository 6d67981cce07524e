// XXH3-64, the checksum of everything that a store holds: of whole spans, and of bytes that arrive
// in parts.
#ifndef SLUICE_STORAGE_FILE_CHECKSUM_H_
#define SLUICE_STORAGE_FILE_CHECKSUM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// XXH3-64 with seed 0.
uint64_t Checksum(absl::Span<const std::byte> bytes);
inline uint64_t Checksum(absl::string_view text) {
  return Checksum({reinterpret_cast<const std::byte*>(text.data()), text.size()});
}
// 16 lower-case hexadecimal digits, as the manifest spells checksums.
std::string ChecksumToHex(uint64_t checksum);
absl::StatusOr<uint64_t> ParseChecksum(absl::string_view hex);

// Value() equals Checksum() of all bytes added since the last Reset().
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

#endif  // SLUICE_STORAGE_FILE_CHECKSUM_H_
