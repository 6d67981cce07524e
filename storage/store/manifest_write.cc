// Writes a manifest as JSON text: one tensor, file or slab a line, then the text's own checksum.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "storage/store/manifest.h"
#include "storage/store/manifest_text.h"
#include "storage/store/program_text.h"

namespace sluice {
namespace {

using nlohmann::json;

// `"key": [` with one item a line.
template <typename Items, typename WriteItem>
void AppendList(absl::string_view key, const Items& items, WriteItem write_item, std::string* out) {
  absl::StrAppend(out, "  \"", key, "\": [");
  absl::string_view separator = "\n    ";
  for (const auto& item : items) {
    absl::StrAppend(out, separator);
    write_item(item, out);
    separator = ",\n    ";
  }
  absl::StrAppend(out, items.empty() ? "],\n" : "\n  ],\n");
}

void WriteTensor(const ManifestTensor& tensor, std::string* out) {
  const TensorPlace place = PlaceOf(tensor.role);
  absl::StrAppend(out, "{\"name\": ", JsonLine(tensor.name), ", \"role\": \"",
                  RoleName(tensor.role), "\"");
  if (tensor.layer >= 0) absl::StrAppend(out, ", \"layer\": ", tensor.layer);
  absl::StrAppend(out, ", \"shape\": [", absl::StrJoin(tensor.shape, ", "), "], \"encoding\": \"",
                  Info(tensor.encoding).name, "\", \"place\": \"", PlaceName(place), "\"");
  if (tensor.fallback) absl::StrAppend(out, ", \"fallback\": true");
  if (place == TensorPlace::kResident) {
    absl::StrAppend(out, ", \"offset\": ", tensor.offset, ", \"checksum\": \"",
                    ChecksumToHex(tensor.checksum), "\"");
  }
  absl::StrAppend(out, "}");
}

void WriteSlab(const ManifestSlab& slab, std::string* out) {
  absl::StrAppend(out, "[", slab.block, ", ", slab.file, ", ", slab.offset, ", ", slab.bytes,
                  ", \"");
  absl::StrAppend(out, ChecksumToHex(slab.checksum), "\", ", slab.first_tile, ", ", slab.num_tiles);
  for (const int tensor : slab.tensors) absl::StrAppend(out, ", ", tensor);
  if (slab.compression != SlabCompression::kNone) {
    absl::StrAppend(out, ", \"", SlabCompressionName(slab.compression), "\", ", slab.raw_bytes);
  }
  absl::StrAppend(out, "]");
}

void AppendConfig(const HyperParameters& hyper_parameters, std::string* out) {
  absl::StrAppend(out, "  \"config\": {");
  absl::string_view separator = "\n    ";
  const json config = HyperParametersToJson(hyper_parameters);
  for (const auto& [key, value] : config.items()) {  // in the order of the keys
    absl::StrAppend(out, separator, JsonLine(key), ": ", JsonLine(value));
    separator = ",\n    ";
  }
  absl::StrAppend(out, "\n  },\n");
}

}  // namespace

absl::string_view PlaceName(TensorPlace place) {
  switch (place) {
    case TensorPlace::kSlabs:
      return "slabs";
    case TensorPlace::kResident:
      return "resident";
    case TensorPlace::kRows:
      return "rows";
  }
  return "";
}

std::string SealManifest(std::string body) {
  const uint64_t checksum = ManifestBodyChecksum(body);
  absl::StrAppend(&body, kSealBegin, ChecksumToHex(checksum), kSealEnd);
  return body;
}

std::string SerializeManifest(const Manifest& manifest) {
  std::string out;
  out.reserve(4096 + 200 * manifest.tensors.size() + 96 * manifest.slabs.size());
  absl::StrAppend(&out, "{\n  \"format\": \"", kManifestFormat, "\",\n");
  absl::StrAppend(&out, "  \"format_version\": ", FormatVersion(manifest), ",\n");
  absl::StrAppend(&out, "  \"source\": ", JsonLine(manifest.source), ",\n");
  absl::StrAppend(&out, "  \"source_fingerprint\": \"", ChecksumToHex(manifest.source_fingerprint),
                  "\",\n");
  absl::StrAppend(&out, "  \"recipe\": ", JsonLine(manifest.recipe), ",\n");
  absl::StrAppend(&out, "  \"slab_bytes\": ", manifest.slab_bytes, ",\n");
  if (manifest.compression != StoreCompression::kNone) {
    absl::StrAppend(&out, "  \"compression\": \"", StoreCompressionName(manifest.compression),
                    "\",\n");
  }
  absl::StrAppend(&out, "  \"embedding_stride\": ", manifest.embedding_stride, ",\n");
  absl::StrAppend(&out, "  \"resident_bytes\": ", manifest.resident_bytes, ",\n");
  AppendConfig(manifest.hyper_parameters, &out);
  AppendList(
      "roots", manifest.roots,
      [](const std::string& root, std::string* line) { absl::StrAppend(line, JsonLine(root)); },
      &out);
  AppendList(
      "files", manifest.files,
      [](const ManifestFile& file, std::string* line) {
        absl::StrAppend(line, "[", file.root, ", ", JsonLine(file.path), ", ", file.bytes, "]");
      },
      &out);
  AppendList(
      "tokenizer_files", manifest.tokenizer_files,
      [](const ManifestCopy& copy, std::string* line) {
        absl::StrAppend(line, "[", JsonLine(copy.name), ", ", copy.bytes, ", \"",
                        ChecksumToHex(copy.checksum), "\"]");
      },
      &out);
  if (FormatVersion(manifest) >= 3) {
    AppendList("program", manifest.program.blocks, WriteBlock, &out);
  }
  AppendList("tensors", manifest.tensors, WriteTensor, &out);
  AppendList("slabs", manifest.slabs, WriteSlab, &out);
  return SealManifest(std::move(out));
}

}  // namespace sluice
