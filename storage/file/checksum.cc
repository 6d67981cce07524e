// The only file that knows xxhash: checksums of whole spans and of parts.
#include "storage/file/checksum.h"

#define XXH_STATIC_LINKING_ONLY  // for the size of XXH3_state_t
#include <xxhash.h>

#include "absl/strings/str_format.h"

// The library picks AVX2 or AVX-512 at run time here; its plain entry points are compiled for SSE2.
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#endif

namespace sluice {

struct RunningChecksum::State {
  XXH3_state_t xxh;
};

RunningChecksum::RunningChecksum() : state_(std::make_unique<State>()) { Reset(); }
RunningChecksum::~RunningChecksum() = default;

void RunningChecksum::Reset() {
  XXH3_INITSTATE(&state_->xxh);
  XXH3_64bits_reset(&state_->xxh);
}

void RunningChecksum::Add(absl::Span<const std::byte> bytes) {
  XXH3_64bits_update(&state_->xxh, bytes.data(), bytes.size());
}

uint64_t RunningChecksum::Value() const { return XXH3_64bits_digest(&state_->xxh); }

uint64_t SeededChecksum(absl::Span<const std::byte> bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

uint64_t Checksum(absl::Span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::string ChecksumToHex(uint64_t checksum) { return absl::StrFormat("%016x", checksum); }

absl::StatusOr<uint64_t> ParseChecksum(absl::string_view hex) {
  uint64_t checksum = 0;
  if (hex.size() != 16 || hex.find_first_not_of("0123456789abcdef") != absl::string_view::npos) {
    return absl::InvalidArgumentError("a checksum that is not 16 lower-case hexadecimal digits");
  }
  for (const char c : hex) {
    checksum = checksum << 4 | static_cast<uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return checksum;
}

}  // namespace sluice
