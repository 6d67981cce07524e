// The record as JSON, a file a line.
#include "storage/shard_record.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/status_macros.h"
#include "storage/json.h"
#include "storage/manifest_text.h"

namespace sluice {
namespace {

using nlohmann::json;

absl::StatusOr<std::vector<int64_t>> ParseStoredBytes(const json& list) {
  std::vector<int64_t> stored_bytes;
  for (const json& item : list) {
    if (!item.is_number_integer()) {
      return absl::InvalidArgumentError("\"stored_bytes\" holds something else than integers");
    }
    stored_bytes.push_back(item.get<int64_t>());
  }
  return stored_bytes;
}

absl::StatusOr<ShardRecord> ParseRecord(absl::string_view text) {
  SLUICE_ASSIGN_OR_RETURN(const json root, ParseJson(text, "JSON"));
  SLUICE_ASSIGN_OR_RETURN(const int64_t version, JsonInt(root, "format_version"));
  if (version < 1 || version > kStoreFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("begun in store format ", version, "; this program writes formats 1 to ",
                     kStoreFormatVersion, ". Remove the folder and shard again"));
  }
  ShardRecord record;
  SLUICE_ASSIGN_OR_RETURN(const std::string fingerprint, JsonString(root, "source_fingerprint"));
  SLUICE_ASSIGN_OR_RETURN(record.source_fingerprint, ParseChecksum(fingerprint));
  SLUICE_ASSIGN_OR_RETURN(record.source, JsonString(root, "source"));
  SLUICE_ASSIGN_OR_RETURN(record.recipe, JsonString(root, "recipe"));
  SLUICE_ASSIGN_OR_RETURN(record.slab_bytes, JsonInt(root, "slab_bytes"));
  if (root.contains("compression")) {
    SLUICE_ASSIGN_OR_RETURN(const std::string compression, JsonString(root, "compression"));
    SLUICE_ASSIGN_OR_RETURN(record.compression, ParseStoreCompression(compression));
  }
  const json* finished = JsonFind(root, "finished");
  if (finished == nullptr || !finished->is_object()) {
    return absl::InvalidArgumentError("\"finished\" is no object");
  }
  for (const auto& [path, value] : finished->items()) {
    ShardRecord::File file;
    SLUICE_ASSIGN_OR_RETURN(file.bytes, JsonInt(value, "bytes"));
    const json* checksums = JsonFind(value, "checksums");
    if (checksums == nullptr || !checksums->is_array()) {
      return absl::InvalidArgumentError("\"checksums\" is no array");
    }
    for (const json& item : *checksums) {
      const std::string* hex = item.get_ptr<const std::string*>();
      SLUICE_ASSIGN_OR_RETURN(const uint64_t checksum, ParseChecksum(hex == nullptr ? "" : *hex));
      file.checksums.push_back(checksum);
    }
    if (const json* stored_bytes = JsonFind(value, "stored_bytes"); stored_bytes != nullptr) {
      SLUICE_ASSIGN_OR_RETURN(file.stored_bytes, ParseStoredBytes(*stored_bytes));
    }
    record.finished.emplace(path, std::move(file));
  }
  return record;
}

}  // namespace

std::string SerializeShardRecord(const ShardRecord& record) {
  std::string out = absl::StrCat(
      "{\n  \"format_version\": ", FormatVersion(record.compression),
      ",\n  \"source\": ", JsonLine(record.source), ",\n  \"source_fingerprint\": \"",
      ChecksumToHex(record.source_fingerprint), "\",\n  \"recipe\": ", JsonLine(record.recipe),
      ",\n  \"slab_bytes\": ", record.slab_bytes);
  if (record.compression != StoreCompression::kNone) {
    absl::StrAppend(&out, ",\n  \"compression\": \"", StoreCompressionName(record.compression),
                    "\"");
  }
  absl::StrAppend(&out, ",\n  \"finished\": {");
  absl::string_view separator = "\n    ";
  for (const auto& [path, file] : record.finished) {
    absl::StrAppend(&out, separator, JsonLine(path), ": {\"bytes\": ", file.bytes,
                    ", \"checksums\": [",
                    absl::StrJoin(file.checksums, ", ",
                                  [](std::string* text, uint64_t checksum) {
                                    absl::StrAppend(text, "\"", ChecksumToHex(checksum), "\"");
                                  }),
                    "]");
    if (!file.stored_bytes.empty()) {
      absl::StrAppend(&out, ", \"stored_bytes\": [", absl::StrJoin(file.stored_bytes, ", "), "]");
    }
    absl::StrAppend(&out, "}");
    separator = ",\n    ";
  }
  absl::StrAppend(&out, record.finished.empty() ? "}\n}\n" : "\n  }\n}\n");
  return out;
}

absl::StatusOr<ShardRecord> ParseShardRecord(absl::string_view text, absl::string_view path) {
  absl::StatusOr<ShardRecord> record = ParseRecord(text);
  if (!record.ok()) {
    return absl::Status(record.status().code(),
                        absl::StrCat(path, ": ", record.status().message()));
  }
  return record;
}

}  // namespace sluice
