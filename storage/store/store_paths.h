// Finds and reads a store's manifest and the places of its files; shared by code that opens and
// code that verifies.
#ifndef SLUICE_STORAGE_STORE_STORE_PATHS_H_
#define SLUICE_STORAGE_STORE_STORE_PATHS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "storage/store/manifest.h"
#include "storage/store/shard_record.h"

namespace sluice {

// The manifest of the store at `dir`. Errors as LayerStore::Open.
absl::StatusOr<Manifest> ReadManifest(const std::string& dir);

// record.json of the store at `dir`. NotFound: an older sluice made the store. Errors of
// ParseSealedRecord.
absl::StatusOr<ShardRecord> ReadSealedRecord(const std::string& dir);

// Where the store of a model's head that drafts is: a store of its own, below the model's.
inline constexpr char kMtpFolder[] = "mtp";
std::string MtpHeadDir(const std::string& dir);
// The same where the store of `manifest` has such a head; else empty.
std::string MtpHeadDirOf(const std::string& dir, const Manifest& manifest);

std::string SlabFilePath(const std::string& dir, const Manifest& manifest, int file);

// The sentence for a resident tensor whose checksum is `got`.
std::string ResidentDamage(const std::string& path, const ManifestTensor& tensor, uint64_t got);

}  // namespace sluice

#endif  // SLUICE_STORAGE_STORE_STORE_PATHS_H_
