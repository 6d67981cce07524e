// sluice inspect: what is in a store or a checkpoint; exports tensors.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "kernels/base/format_bytes.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "storage/source/checkpoint.h"
#include "storage/source/gguf.h"
#include "storage/store/export.h"
#include "storage/store/layer_store.h"
#include "storage/store/store_paths.h"
#include "tools/commands.h"

namespace sluice {
namespace {

struct TensorLine {
  std::string name;
  std::vector<int64_t> shape;
  std::string encoding;
  int64_t bytes;      // without padding; of a compressed tensor its share of the stored slabs
  int64_t raw_bytes;  // what it takes where it is not compressed
  bool fallback;
};

int64_t NumValues(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  return n;
}

struct SlabSizes {
  int64_t stored = 0;
  int64_t raw = 0;
  double ratio() const { return raw > 0 ? static_cast<double>(stored) / raw : 1.0; }
};

std::vector<TensorLine> StoreTensors(const Manifest& manifest) {
  std::vector<SlabSizes> slabs(
      manifest.tensors.size());  // two matrices of a slab have it to equal parts
  for (const ManifestSlab& slab : manifest.slabs) {
    for (const int tensor : slab.tensors) {
      slabs[tensor].stored += slab.bytes;
      slabs[tensor].raw += slab.raw_bytes;
    }
  }
  std::vector<TensorLine> lines;
  for (size_t i = 0; i < manifest.tensors.size(); ++i) {
    const ManifestTensor& tensor = manifest.tensors[i];
    const int64_t rows = tensor.shape.size() == 2 ? tensor.shape[0] : 1;
    const int64_t raw_bytes = rows * RowBytes(tensor.encoding, tensor.shape.back());
    lines.push_back({tensor.name, tensor.shape, std::string(Info(tensor.encoding).name),
                     std::llround(static_cast<double>(raw_bytes) * slabs[i].ratio()), raw_bytes,
                     tensor.fallback});
  }
  return lines;
}

// What compression made of the slabs, by the encoding of their tensors.
std::map<std::string, SlabSizes> SlabsByEncoding(const Manifest& manifest) {
  std::map<std::string, SlabSizes> sizes;
  for (const ManifestSlab& slab : manifest.slabs) {
    SlabSizes& sum = sizes[std::string(Info(manifest.tensors[slab.tensors[0]].encoding).name)];
    sum.stored += slab.bytes;
    sum.raw += slab.raw_bytes;
  }
  return sizes;
}

std::vector<std::string> StoreFacts(const Manifest& manifest) {
  std::vector<std::string> facts = {
      absl::StrCat("  recipe                       ", manifest.recipe, ", from ", manifest.source),
      absl::StrCat("  slabs                        ", manifest.slabs.size(), " in ",
                   manifest.files.size(), " files, ", FormatBytes(manifest.slab_bytes_total()),
                   ", largest ", FormatBytes(manifest.max_slab_bytes()))};
  if (manifest.hyper_parameters.num_mtp_heads > 0) {
    facts.push_back(absl::StrCat("  head that drafts             ", kMtpFolder,
                                 ", a store of its own below this one"));
  }
  if (manifest.compression == StoreCompression::kNone) return facts;
  facts.push_back(
      absl::StrCat("  compression                  ", StoreCompressionName(manifest.compression)));
  for (const auto& [encoding, sizes] : SlabsByEncoding(manifest)) {
    facts.push_back(absl::StrFormat("    %-26s %s of %s (%.3f)", encoding,
                                    FormatBytes(sizes.stored), FormatBytes(sizes.raw),
                                    sizes.ratio()));
  }
  return facts;
}

nlohmann::json StoreJson(const Manifest& manifest) {
  nlohmann::json object = {{"kind", "store"},
                           {"recipe", manifest.recipe},
                           {"slabs", manifest.slabs.size()},
                           {"slab_bytes", manifest.slab_bytes},
                           {"stored_bytes", manifest.slab_bytes_total()},
                           {"raw_bytes", manifest.raw_slab_bytes_total()},
                           {"compression", std::string(StoreCompressionName(manifest.compression))},
                           {"encodings", nlohmann::json::object()},
                           {"source", manifest.source}};
  for (const auto& [encoding, sizes] : SlabsByEncoding(manifest)) {
    object["encodings"][encoding] = {{"stored_bytes", sizes.stored}, {"raw_bytes", sizes.raw}};
  }
  return object;
}

std::vector<TensorLine> CheckpointTensors(const Checkpoint& checkpoint) {
  std::vector<TensorLine> lines;
  for (const TensorSpec& spec : ListTensors(checkpoint.hyper_parameters())) {
    const CheckpointTensor* tensor = checkpoint.Find(spec.name);
    if (tensor == nullptr) continue;
    if (!lines.empty() && spec.role == TensorRole::kHead &&
        checkpoint.hyper_parameters().tie_word_embeddings) {
      continue;  // the embedding's own line stands for both
    }
    lines.push_back({tensor->name, tensor->shape, std::string(Info(tensor->encoding).name),
                     tensor->bytes, tensor->bytes, false});
  }
  return lines;
}

void Print(const std::string& what, const HyperParameters& h,
           const std::vector<TensorLine>& tensors, const std::vector<std::string>& facts) {
  int64_t values = 0, bytes = 0;
  for (const TensorLine& tensor : tensors) {
    values += NumValues(tensor.shape);
    bytes += tensor.bytes;
  }
  std::printf("%s\n", what.c_str());
  const nlohmann::json config = HyperParametersToJson(h);  // items() refers to it
  for (const auto& [key, value] : config.items()) {
    std::printf("  %-28s %s\n", key.c_str(), value.dump().substr(0, 100).c_str());
  }
  for (const std::string& fact : facts) std::printf("%s\n", fact.c_str());
  std::printf("\n%-56s %-16s %-5s %14s %6s\n", "tensor", "shape", "type", "bytes", "bits");
  for (const TensorLine& tensor : tensors) {
    std::printf("%-56s %-16s %-5s %14lld %6.3f%s\n", tensor.name.c_str(),
                absl::StrJoin(tensor.shape, "x").c_str(), tensor.encoding.c_str(),
                static_cast<long long>(tensor.bytes), 8.0 * tensor.bytes / NumValues(tensor.shape),
                tensor.fallback ? "  (fallback)" : "");
  }
  std::printf("\n%d tensors, %lld weights, %s, %.3f bits a weight\n",
              static_cast<int>(tensors.size()), static_cast<long long>(values),
              FormatBytes(bytes).c_str(), values > 0 ? 8.0 * bytes / values : 0.0);
}

void PrintJson(const HyperParameters& h, const std::vector<TensorLine>& tensors,
               nlohmann::json object) {
  object["config"] = HyperParametersToJson(h);
  object["tensors"] = nlohmann::json::array();
  for (const TensorLine& tensor : tensors) {
    object["tensors"].push_back({{"name", tensor.name},
                                 {"shape", tensor.shape},
                                 {"encoding", tensor.encoding},
                                 {"bytes", tensor.bytes},
                                 {"raw_bytes", tensor.raw_bytes},
                                 {"fallback", tensor.fallback}});
  }
  std::printf("%s\n", object.dump().c_str());
}

absl::Status Inspect(const Arguments& args) {
  const std::string& path = args.positionals()[0];
  const std::optional<std::string> exported = args.Get("--export");
  const bool json = args.Has("--json");
  if (exported.has_value() != args.Has("--output")) {
    return UsageError("--export TENSOR and -o FILE go together");
  }
  absl::StatusOr<std::unique_ptr<LayerStore>> store = absl::NotFoundError("a file");
  if (!IsGgufFile(path)) store = LayerStore::Open(path);
  if (store.ok()) {
    if (exported.has_value()) return ExportTensor(**store, *exported, *args.Get("--output"));
    const Manifest& manifest = (*store)->manifest();
    const std::vector<TensorLine> tensors = StoreTensors(manifest);
    if (json) {
      PrintJson(manifest.hyper_parameters, tensors, StoreJson(manifest));
      return absl::OkStatus();
    }
    Print(absl::StrCat(path, ": a layer store, format ", FormatVersion(manifest)),
          manifest.hyper_parameters, tensors, StoreFacts(manifest));
    return absl::OkStatus();
  }
  if (!absl::IsNotFound(store.status())) return store.status();
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(path));
  if (exported.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is a checkpoint; --export reads stores"));
  }
  const std::vector<TensorLine> tensors = CheckpointTensors(*checkpoint);
  if (json) {
    PrintJson(checkpoint->hyper_parameters(), tensors, {{"kind", "checkpoint"}});
    return absl::OkStatus();
  }
  Print(absl::StrCat(
            path, ": a checkpoint of ", checkpoint->files().size(),
            checkpoint->format() == CheckpointFormat::kGguf ? " GGUF files" : " safetensors files"),
        checkpoint->hyper_parameters(), tensors, {});
  return absl::OkStatus();
}

}  // namespace

CommandSpec InspectCommand() {
  CommandSpec command;
  command.name = "inspect";
  command.summary = "Show what is in a store or a checkpoint, export tensors";
  command.positionals = {"STORE|MODEL_DIR|MODEL.gguf"};
  command.description =
      "Lists hyper-parameters and tensors with encoding, stored size and bits a weight, and for "
      "each encoding its size after compression. --export writes one tensor of a store as "
      "row-major bytes in its encoding, decompressed (quantized tensors in GGUF's block order).";
  command.options = {
      {.name = "--export", .value = "TENSOR", .help = "Write this tensor to the file of -o."},
      {.name = "--output", .alias = "-o", .value = "FILE", .help = "Where --export writes to."},
      {.name = "--json", .help = "Print one JSON object instead."},
  };
  command.examples = {"sluice inspect bard.store",
                      "sluice inspect bard.store --export model.norm.weight -o norm.f32"};
  command.run = &Inspect;
  return command;
}

}  // namespace sluice
