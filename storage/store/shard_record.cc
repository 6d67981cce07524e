// The record as JSON, one file on a line.
#include "storage/store/shard_record.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "storage/file/json.h"
#include "storage/store/manifest_text.h"

namespace sluice {
namespace {

using nlohmann::json;

absl::StatusOr<std::vector<int64_t>> ParseStoredBytes(const json& list) {
  std::vector<int64_t> stored_bytes;
  for (const json& item : list) {
    if (!item.is_number_integer()) {
      return absl::InvalidArgumentError("\"stored_bytes\" holds a value that is not an integer");
    }
    stored_bytes.push_back(item.get<int64_t>());
  }
  return stored_bytes;
}

absl::StatusOr<std::vector<uint64_t>> ParseChecksums(const json& list) {
  std::vector<uint64_t> checksums;
  for (const json& item : list) {
    const std::string* hex = item.get_ptr<const std::string*>();
    SLUICE_ASSIGN_OR_RETURN(const uint64_t checksum, ParseChecksum(hex == nullptr ? "" : *hex));
    checksums.push_back(checksum);
  }
  return checksums;
}

std::string ChecksumList(const std::vector<uint64_t>& checksums) {
  return absl::StrJoin(checksums, ", ", [](std::string* text, uint64_t checksum) {
    absl::StrAppend(text, "\"", ChecksumToHex(checksum), "\"");
  });
}

absl::StatusOr<ShardRecord> ParseRecord(absl::string_view text) {
  SLUICE_ASSIGN_OR_RETURN(const json root, ParseJson(text, "JSON"));
  SLUICE_ASSIGN_OR_RETURN(const int64_t version, JsonInt(root, "format_version"));
  if (version < 1 || version > kStoreFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("begun in store format ", version, "; this program writes formats 1 to ",
                     kStoreFormatVersion, "; remove the folder and make the store anew"));
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
    return absl::InvalidArgumentError("\"finished\" is not an object");
  }
  for (const auto& [path, value] : finished->items()) {
    ShardRecord::File file;
    SLUICE_ASSIGN_OR_RETURN(file.bytes, JsonInt(value, "bytes"));
    const json* checksums = JsonFind(value, "checksums");
    if (checksums == nullptr || !checksums->is_array()) {
      return absl::InvalidArgumentError("\"checksums\" is not an array");
    }
    SLUICE_ASSIGN_OR_RETURN(file.checksums, ParseChecksums(*checksums));
    if (const json* stored_bytes = JsonFind(value, "stored_bytes"); stored_bytes != nullptr) {
      SLUICE_ASSIGN_OR_RETURN(file.stored_bytes, ParseStoredBytes(*stored_bytes));
    }
    if (const json* sums = JsonFind(value, "source_checksums"); sums != nullptr) {
      SLUICE_ASSIGN_OR_RETURN(file.source_checksums, ParseChecksums(*sums));
    }
    record.finished.emplace(path, std::move(file));
  }
  return record;
}

// All but what ends the object.
std::string RecordBody(const ShardRecord& record) {
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
                    ", \"checksums\": [", ChecksumList(file.checksums), "]");
    if (!file.stored_bytes.empty()) {
      absl::StrAppend(&out, ", \"stored_bytes\": [", absl::StrJoin(file.stored_bytes, ", "), "]");
    }
    if (!file.source_checksums.empty()) {
      absl::StrAppend(&out, ", \"source_checksums\": [", ChecksumList(file.source_checksums), "]");
    }
    absl::StrAppend(&out, "}");
    separator = ",\n    ";
  }
  absl::StrAppend(&out, record.finished.empty() ? "}" : "\n  }");
  return out;
}

}  // namespace

std::string SerializeShardRecord(const ShardRecord& record) {
  return absl::StrCat(RecordBody(record), "\n}\n");
}

std::string SerializeSealedRecord(const ShardRecord& record) {
  return SealManifest(absl::StrCat(RecordBody(record), ",\n"));
}

absl::StatusOr<ShardRecord> ParseSealedRecord(absl::string_view text, absl::string_view path) {
  if (absl::Status seal = CheckSeal(text); !seal.ok()) {
    return absl::Status(seal.code(), absl::StrCat(path, ": ", seal.message()));
  }
  return ParseShardRecord(text, path);
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
