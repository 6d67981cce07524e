// What a store is made from and which of its files are whole: unfinished.json while it is written,
// and record.json once all are.
#ifndef SLUICE_STORAGE_STORE_SHARD_RECORD_H_
#define SLUICE_STORAGE_STORE_SHARD_RECORD_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/store/manifest.h"

namespace sluice {

struct ShardRecord {
  struct File {
    int64_t bytes;
    // kSlabs: of its slabs; resident.bin: of its tensors, in the manifest's order; embedding.rows:
    // none.
    std::vector<uint64_t> checksums;
    // kSlabs of a store with compression: of its slabs. As many as the raw bytes: not compressed.
    std::vector<int64_t> stored_bytes = {};
    // Of the source's bytes (storage/shard/source_sums.h), for each tensor that the file is made
    // from, in the manifest's order. Empty: a sluice wrote it that did not remember them.
    std::vector<uint64_t> source_checksums = {};
  };
  uint64_t source_fingerprint = 0;
  std::string source;  // for people, as in the manifest
  std::string recipe;
  int64_t slab_bytes = 0;
  StoreCompression compression = StoreCompression::kNone;
  std::map<std::string, File> finished;  // by path: written and synced
};

std::string SerializeShardRecord(const ShardRecord& record);
// The same with the text's own checksum at its end, as a manifest has it.
std::string SerializeSealedRecord(const ShardRecord& record);
// InvalidArgument where the text is no such record; FailedPrecondition where a newer sluice wrote
// it.
absl::StatusOr<ShardRecord> ParseShardRecord(absl::string_view text, absl::string_view path);
// DataLoss where the text's own checksum is wrong or missing.
absl::StatusOr<ShardRecord> ParseSealedRecord(absl::string_view text, absl::string_view path);

}  // namespace sluice

#endif  // SLUICE_STORAGE_STORE_SHARD_RECORD_H_
