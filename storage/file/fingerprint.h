// Tells one source from another by its names, sizes and headers.
#ifndef SLUICE_STORAGE_FILE_FINGERPRINT_H_
#define SLUICE_STORAGE_FILE_FINGERPRINT_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/file/checksum.h"

namespace sluice {

// Hashes parts with their lengths, so that bytes cannot move from one part to the next unseen.
class Fingerprint {
 public:
  void Add(absl::string_view part) {
    AddNumber(part.size());
    checksum_.Add(
        absl::MakeConstSpan(reinterpret_cast<const std::byte*>(part.data()), part.size()));
  }
  void AddNumber(uint64_t value) {
    std::byte bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
    checksum_.Add(bytes);
  }
  uint64_t Value() const { return checksum_.Value(); }

 private:
  RunningChecksum checksum_;
};

}  // namespace sluice

#endif  // SLUICE_STORAGE_FILE_FINGERPRINT_H_
