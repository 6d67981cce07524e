// What the store's JSON texts share below their public headers: names, the manifest's last lines.
#ifndef SLUICE_STORAGE_STORE_MANIFEST_TEXT_H_
#define SLUICE_STORAGE_STORE_MANIFEST_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "storage/store/manifest.h"

namespace sluice {

inline constexpr char kManifestFormat[] = "sluice layer store";

// The text ends with kSealBegin, 16 hexadecimal digits, kSealEnd. The digits are the checksum of
// all bytes before kSealBegin. Every format version keeps this.
inline constexpr absl::string_view kSealBegin = "  \"checksum\": \"";
inline constexpr absl::string_view kSealEnd = "\"\n}\n";

inline uint64_t ManifestBodyChecksum(absl::string_view body) {
  return Checksum({reinterpret_cast<const std::byte*>(body.data()), body.size()});
}

// Appends the seal to a body that ends with ",\n".
std::string SealManifest(std::string body);
// DataLoss where the text does not end with its checksum, or is not what was written.
absl::Status CheckSeal(absl::string_view text);

absl::string_view PlaceName(TensorPlace place);

// A value on one line. Names of folders may be no UTF-8; JSON must be, so odd bytes become U+FFFD.
inline std::string JsonLine(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// The checks of ParseManifest that need no text: see there. InvalidArgument names the entry.
absl::Status CheckManifest(const Manifest& manifest);

}  // namespace sluice

#endif  // SLUICE_STORAGE_STORE_MANIFEST_TEXT_H_
