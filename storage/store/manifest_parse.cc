// Reads a manifest's JSON text, trusting none of it.
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "storage/file/json.h"
#include "storage/store/manifest.h"
#include "storage/store/manifest_text.h"
#include "storage/store/program_text.h"

namespace sluice {
namespace {

using nlohmann::json;

// Reads the items of an array that stands for a struct one after the other. The first item of the
// wrong type makes status() an error; what is returned from then on means nothing.
class Items {
 public:
  explicit Items(const json& array) : array_(array) {
    if (!array.is_array()) Fail("is not an array");
  }
  size_t left() const { return array_.is_array() ? array_.size() - next_ : 0; }
  bool next_is_string() const { return left() > 0 && array_[next_].is_string(); }

  int64_t Int64() {
    const json* item = Next();
    if (item != nullptr && item->is_number_integer() &&
        (!item->is_number_unsigned() ||
         *item->get_ptr<const json::number_unsigned_t*>() <= uint64_t{INT64_MAX})) {
      return item->get<int64_t>();
    }
    Fail("expected an integer");
    return 0;
  }
  int Int() {
    const int64_t value = Int64();
    if (value < INT32_MIN || value > INT32_MAX) Fail("an integer out of range");
    return static_cast<int>(value);
  }
  std::string String() {
    const json* item = Next();
    if (item != nullptr && item->is_string()) return *item->get_ptr<const std::string*>();
    Fail("expected a string");
    return "";
  }
  uint64_t Hex() {
    absl::StatusOr<uint64_t> value = ParseChecksum(String());
    if (!value.ok()) Fail(value.status().message());
    return value.value_or(0);
  }
  absl::Status End() {
    if (left() != 0) Fail("has too many items");
    return status_;
  }

 private:
  const json* Next() { return left() == 0 ? nullptr : &array_[next_++]; }
  void Fail(absl::string_view message) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(absl::StrCat("item ", next_, ": ", message));
    }
  }
  const json& array_;
  size_t next_ = 0;
  absl::Status status_;
};

absl::Status CheckKeys(const json& object, std::initializer_list<absl::string_view> known) {
  if (!object.is_object()) return absl::InvalidArgumentError("is not an object");
  for (const auto& [key, value] : object.items()) {
    if (!absl::c_linear_search(known, absl::string_view(key))) {
      return absl::InvalidArgumentError(absl::StrCat("unknown member \"", key.substr(0, 80), "\""));
    }
  }
  return absl::OkStatus();
}

// Applies `parse` to each item of the array `key`; errors get the item's place.
template <typename T, typename Parse>
absl::StatusOr<std::vector<T>> ParseList(const json& root, absl::string_view key, Parse parse) {
  const json* list = JsonFind(root, key);
  if (list == nullptr || !list->is_array()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", key, "\" is not an array"));
  }
  std::vector<T> out;
  out.reserve(list->size());
  for (const json& item : *list) {
    absl::StatusOr<T> parsed = parse(item);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", key, "\", entry ", out.size(), ": ", parsed.status().message()));
    }
    out.push_back(*std::move(parsed));
  }
  return out;
}

absl::StatusOr<std::string> ParseRoot(const json& item) {
  if (!item.is_string()) return absl::InvalidArgumentError("is not a string");
  return item.get<std::string>();
}

absl::StatusOr<ManifestFile> ParseFile(const json& item) {
  Items items(item);
  ManifestFile file;
  file.root = items.Int();
  file.path = items.String();
  file.bytes = items.Int64();
  SLUICE_RETURN_IF_ERROR(items.End());
  return file;
}

absl::StatusOr<ManifestCopy> ParseCopy(const json& item) {
  Items items(item);
  ManifestCopy copy;
  copy.name = items.String();
  copy.bytes = items.Int64();
  copy.checksum = items.Hex();
  SLUICE_RETURN_IF_ERROR(items.End());
  return copy;
}

absl::StatusOr<ManifestSlab> ParseSlab(const json& item) {
  Items items(item);
  ManifestSlab slab;
  slab.block = items.Int();
  slab.file = items.Int();
  slab.offset = items.Int64();
  slab.bytes = items.Int64();
  slab.checksum = items.Hex();
  slab.first_tile = items.Int64();
  slab.num_tiles = items.Int64();
  slab.tensors.push_back(items.Int());
  if (items.left() > 0 && !items.next_is_string()) slab.tensors.push_back(items.Int());
  slab.raw_bytes = slab.bytes;
  if (items.next_is_string()) {
    SLUICE_ASSIGN_OR_RETURN(slab.compression, ParseSlabCompression(items.String()));
    slab.raw_bytes = items.Int64();
  }
  SLUICE_RETURN_IF_ERROR(items.End());
  return slab;
}

absl::StatusOr<ManifestTensor> ParseTensor(const json& item) {
  SLUICE_RETURN_IF_ERROR(CheckKeys(item, {"name", "role", "layer", "shape", "encoding", "place",
                                          "fallback", "offset", "checksum"}));
  ManifestTensor tensor;
  SLUICE_ASSIGN_OR_RETURN(tensor.name, JsonString(item, "name"));
  SLUICE_ASSIGN_OR_RETURN(const std::string role, JsonString(item, "role"));
  SLUICE_ASSIGN_OR_RETURN(tensor.role, ParseRole(role));
  tensor.layer = -1;
  if (item.contains("layer")) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t layer, JsonInt(item, "layer"));
    if (layer < 0 || layer > INT32_MAX) return absl::InvalidArgumentError("\"layer\" out of range");
    tensor.layer = static_cast<int>(layer);
  }
  const json* shape = JsonFind(item, "shape");
  if (shape == nullptr) return absl::InvalidArgumentError("\"shape\" is missing");
  Items dimensions(*shape);
  while (dimensions.left() > 0) tensor.shape.push_back(dimensions.Int64());
  SLUICE_RETURN_IF_ERROR(dimensions.End());
  SLUICE_ASSIGN_OR_RETURN(const std::string encoding, JsonString(item, "encoding"));
  SLUICE_ASSIGN_OR_RETURN(tensor.encoding, ParseEncoding(encoding));
  SLUICE_ASSIGN_OR_RETURN(const std::string place, JsonString(item, "place"));
  if (place != PlaceName(PlaceOf(tensor.role))) {
    return absl::InvalidArgumentError(
        absl::StrCat("a tensor of role ", role, " cannot be in ", place));
  }
  if (item.contains("fallback")) {
    SLUICE_ASSIGN_OR_RETURN(tensor.fallback, JsonBool(item, "fallback"));
  }
  if (PlaceOf(tensor.role) == TensorPlace::kResident) {
    SLUICE_ASSIGN_OR_RETURN(tensor.offset, JsonInt(item, "offset"));
    SLUICE_ASSIGN_OR_RETURN(const std::string checksum, JsonString(item, "checksum"));
    SLUICE_ASSIGN_OR_RETURN(tensor.checksum, ParseChecksum(checksum));
  } else if (item.contains("offset") || item.contains("checksum")) {
    return absl::InvalidArgumentError("\"offset\" and \"checksum\" are for resident tensors");
  }
  return tensor;
}

absl::StatusOr<HyperParameters> ParseConfig(const json& root, size_t num_tensors) {
  const json* config = JsonFind(root, "config");
  if (config == nullptr) return absl::InvalidArgumentError("\"config\" is missing");
  // A layer has several tensors, so this many layers cannot be right; without this check the number
  // alone could make the architecture's list as long as memory.
  SLUICE_ASSIGN_OR_RETURN(const int64_t layers, JsonInt(*config, "num_hidden_layers"));
  if (layers < 1 || layers > num_tensors) {
    return absl::InvalidArgumentError(
        absl::StrCat(layers, " layers cannot be stored in ", num_tensors, " tensors"));
  }
  return ParseHyperParameters(*config, "config");
}

// A member of format 2, and its only novelty besides the slabs'. Format 3 has it where it is used.
absl::StatusOr<StoreCompression> ParseCompression(const json& root, int64_t version) {
  StoreCompression compression = StoreCompression::kNone;
  if (root.contains("compression")) {
    SLUICE_ASSIGN_OR_RETURN(const std::string name, JsonString(root, "compression"));
    SLUICE_ASSIGN_OR_RETURN(compression, ParseStoreCompression(name));
  }
  const bool is_right =
      version < 3 ? FormatVersion(compression) == version : compression != StoreCompression::kNone;
  if (root.contains("compression") ? !is_right : version == 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"compression\" stands in format 2, and where it is used in format 3, and is "
                     "\"zstd\"; this is format ",
                     version));
  }
  return compression;
}

// A member of format 3. A Program that is not what the family makes of the config would be computed
// in another way than it was meant.
absl::Status CheckProgram(const json& root, const Manifest& manifest) {
  if (root.contains("program") != (manifest.format_version >= 3)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"program\" stands in format 3, and only there; this is format ",
                     manifest.format_version));
  }
  if (manifest.format_version < 3) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Block> blocks,
                          ParseList<Block>(root, "program", ParseBlock));
  const std::vector<Block>& expected = manifest.program.blocks;
  const size_t both = std::min(blocks.size(), expected.size());
  size_t same = 0;
  while (same < both && blocks[same] == expected[same]) ++same;
  if (same == blocks.size() && same == expected.size()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("\"program\", entry ", same,
                   ": not what this program computes for such a model; use the sluice that made "
                   "the store, or make it anew with this one"));
}

absl::StatusOr<Manifest> ParseRootObject(const json& root) {
  SLUICE_RETURN_IF_ERROR(CheckKeys(
      root, {"format", "format_version", "source", "source_fingerprint", "recipe", "slab_bytes",
             "compression", "embedding_stride", "resident_bytes", "config", "roots", "files",
             "tokenizer_files", "program", "tensors", "slabs", "checksum"}));
  Manifest manifest;
  SLUICE_ASSIGN_OR_RETURN(const int64_t version, JsonInt(root, "format_version"));
  manifest.format_version = static_cast<int>(version);  // CheckVersion knows it
  SLUICE_ASSIGN_OR_RETURN(manifest.source, JsonString(root, "source"));
  SLUICE_ASSIGN_OR_RETURN(const std::string fingerprint, JsonString(root, "source_fingerprint"));
  SLUICE_ASSIGN_OR_RETURN(manifest.source_fingerprint, ParseChecksum(fingerprint));
  SLUICE_ASSIGN_OR_RETURN(manifest.recipe, JsonString(root, "recipe"));
  SLUICE_ASSIGN_OR_RETURN(manifest.slab_bytes, JsonInt(root, "slab_bytes"));
  SLUICE_ASSIGN_OR_RETURN(manifest.compression, ParseCompression(root, version));
  SLUICE_ASSIGN_OR_RETURN(manifest.embedding_stride, JsonInt(root, "embedding_stride"));
  SLUICE_ASSIGN_OR_RETURN(manifest.resident_bytes, JsonInt(root, "resident_bytes"));
  SLUICE_ASSIGN_OR_RETURN(manifest.roots, ParseList<std::string>(root, "roots", ParseRoot));
  SLUICE_ASSIGN_OR_RETURN(manifest.files, ParseList<ManifestFile>(root, "files", ParseFile));
  SLUICE_ASSIGN_OR_RETURN(manifest.tokenizer_files,
                          ParseList<ManifestCopy>(root, "tokenizer_files", ParseCopy));
  SLUICE_ASSIGN_OR_RETURN(manifest.tensors,
                          ParseList<ManifestTensor>(root, "tensors", ParseTensor));
  SLUICE_ASSIGN_OR_RETURN(manifest.slabs, ParseList<ManifestSlab>(root, "slabs", ParseSlab));
  SLUICE_ASSIGN_OR_RETURN(manifest.hyper_parameters, ParseConfig(root, manifest.tensors.size()));
  manifest.Derive();
  SLUICE_RETURN_IF_ERROR(CheckProgram(root, manifest));
  SLUICE_RETURN_IF_ERROR(CheckManifest(manifest));
  return manifest;
}

absl::Status CheckVersion(const json& root) {
  SLUICE_ASSIGN_OR_RETURN(const std::string format, JsonString(root, "format"));
  if (format != kManifestFormat) {
    return absl::InvalidArgumentError(absl::StrCat("\"format\" is not \"", kManifestFormat, "\""));
  }
  SLUICE_ASSIGN_OR_RETURN(const int64_t version, JsonInt(root, "format_version"));
  if (version > kStoreFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "store format ", version, "; this program reads formats 1 to ", kStoreFormatVersion,
        "; use a newer sluice, or make the store anew with this one, in another folder"));
  }
  if (version < 1) {
    return absl::InvalidArgumentError(absl::StrCat("there is no store format ", version));
  }
  return absl::OkStatus();
}

absl::StatusOr<Manifest> ParseText(absl::string_view text) {
  const absl::Status seal = CheckSeal(text);
  absl::StatusOr<json> root = ParseJson(text, "JSON");
  // A later version may have to say something more useful than that its text looks damaged.
  const absl::Status version = root.ok() ? CheckVersion(*root) : root.status();
  if (absl::IsFailedPrecondition(version)) return version;
  SLUICE_RETURN_IF_ERROR(seal);
  SLUICE_RETURN_IF_ERROR(version);
  return ParseRootObject(*root);
}

}  // namespace

absl::Status CheckSeal(absl::string_view text) {
  const size_t seal_bytes = kSealBegin.size() + 16 + kSealEnd.size();
  if (text.size() < seal_bytes || !absl::EndsWith(text, kSealEnd) ||
      !absl::StartsWith(text.substr(text.size() - seal_bytes), kSealBegin)) {
    return absl::DataLossError(
        "does not end with its checksum: cut short, damaged, or no file of a layer store");
  }
  const std::string got =
      ChecksumToHex(ManifestBodyChecksum(text.substr(0, text.size() - seal_bytes)));
  const absl::string_view want = text.substr(text.size() - seal_bytes + kSealBegin.size(), 16);
  if (got != want) {
    return absl::DataLossError(
        absl::StrCat("damaged or edited: its XXH3 is ", got, ", its last line says ", want));
  }
  return absl::OkStatus();
}

absl::StatusOr<Manifest> ParseManifest(absl::string_view text, absl::string_view path) {
  absl::StatusOr<Manifest> manifest = ParseText(text);
  if (!manifest.ok()) {
    return absl::Status(manifest.status().code(),
                        absl::StrCat(path, ": ", manifest.status().message()));
  }
  return manifest;
}

}  // namespace sluice
