// Fuzzes ParseManifest: no text may do more than fail, and what is accepted is written back the
// same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "storage/store/manifest.h"
#include "storage/store/manifest_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The input is the text before its last lines: a fuzzer does not find XXH3 checksums.
  const std::string text =
      sluice::SealManifest(std::string(reinterpret_cast<const char*>(data), size));
  const absl::StatusOr<sluice::Manifest> manifest = sluice::ParseManifest(text, "fuzz");
  if (!manifest.ok()) return 0;
  const std::string written = sluice::SerializeManifest(*manifest);
  const absl::StatusOr<sluice::Manifest> again = sluice::ParseManifest(written, "again");
  if (!again.ok() || sluice::SerializeManifest(*again) != written) abort();
  return 0;
}
