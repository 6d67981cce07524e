// Opens a GGUF model, whole or split: finds its files, and which of the architecture's tensors each
// of their tensors is.
#include <fcntl.h>

#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"
#include "storage/file/fingerprint.h"
#include "storage/file/input_file.h"
#include "storage/source/checkpoint_source.h"
#include "storage/source/gguf.h"
#include "storage/source/gguf_config.h"
#include "storage/source/safetensors.h"

namespace sluice {
namespace {

constexpr int64_t kMaxSplits = 9999;
constexpr char kRopeFactors[] = "rope_freqs.weight";

// The parts of "model-00001-of-00003.gguf", which names the files of one model.
struct SplitName {
  std::string stem;
  int64_t number = 0;  // from 1
  int64_t count = 0;
};

bool ParseSplitName(absl::string_view name, SplitName* split) {
  constexpr absl::string_view kPattern = "-00001-of-00001";
  if (!absl::ConsumeSuffix(&name, ".gguf") || name.size() <= kPattern.size()) return false;
  const absl::string_view tail = name.substr(name.size() - kPattern.size());
  const auto digits = [](absl::string_view text) {
    return absl::c_all_of(
        text, [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); });
  };
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || !digits(tail.substr(1, 5)) ||
      !digits(tail.substr(10))) {
    return false;
  }
  split->stem = std::string(name.substr(0, name.size() - kPattern.size()));
  return absl::SimpleAtoi(tail.substr(1, 5), &split->number) &&
         absl::SimpleAtoi(tail.substr(10), &split->count);
}

class Opener {
 public:
  explicit Opener(const std::string& path) : path_(path) {}

  absl::StatusOr<CheckpointSource> Run() {
    const std::filesystem::path path(path_);
    source_.path = path_;
    source_.folder = path.has_parent_path() ? path.parent_path().string() : ".";
    source_.format = CheckpointFormat::kGguf;
    source_.settings = "file's metadata";
    SLUICE_ASSIGN_OR_RETURN(GgufFile first, GgufFile::Open(path_));
    SLUICE_RETURN_IF_ERROR(ListFiles(first, path.filename().string()));
    files_.push_back(std::move(first));
    for (size_t i = 1; i < source_.files.size(); ++i) {
      SLUICE_ASSIGN_OR_RETURN(GgufFile file, OpenSplit(i));
      files_.push_back(std::move(file));
    }
    SLUICE_RETURN_IF_ERROR(CheckTotal());
    Fingerprint fingerprint;
    for (size_t i = 0; i < files_.size(); ++i) {
      SLUICE_ASSIGN_OR_RETURN(FileDescriptor fd, OpenForReading(files_[i].path()));
      source_.fds.push_back(std::move(fd));
      fingerprint.Add(source_.files[i]);
      fingerprint.AddNumber(static_cast<uint64_t>(files_[i].file_bytes()));
      fingerprint.Add(files_[i].header());
    }
    source_.fingerprint = fingerprint.Value();
    SLUICE_RETURN_IF_ERROR(ReadFacts());
    SLUICE_ASSIGN_OR_RETURN(source_.hyper_parameters, GgufHyperParameters(files_[0], facts_));
    return NameTensors();
  }

 private:
  // Finds how many files the model has; 1 if it is not split.
  absl::Status ListFiles(const GgufFile& first, const std::string& name) {
    SLUICE_ASSIGN_OR_RETURN(const auto count, first.Int("split.count"));
    source_.files = {name};
    if (count.value_or(1) <= 1) return absl::OkStatus();
    SplitName split;
    const bool named =
        ParseSplitName(name, &split) && split.count == *count && *count <= kMaxSplits;
    if (!named) {
      return absl::InvalidArgumentError(absl::StrCat(
          path_, ": one of ", *count,
          " files of a split model, which must be named as they were made, NAME-00001-of-",
          absl::StrFormat("%05d", *count), ".gguf and so on"));
    }
    if (split.number != 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          path_, ": file ", split.number, " of ", *count, " of a split model; give the first one, ",
          split.stem, absl::StrFormat("-00001-of-%05d.gguf", *count)));
    }
    source_.files.clear();
    for (int64_t i = 1; i <= *count; ++i) {
      source_.files.push_back(
          absl::StrCat(split.stem, absl::StrFormat("-%05d-of-%05d.gguf", i, *count)));
    }
    return CheckNumber(first, 0);
  }

  absl::Status CheckNumber(const GgufFile& file, size_t index) const {
    SLUICE_ASSIGN_OR_RETURN(const auto number, file.Int("split.no"));
    SLUICE_ASSIGN_OR_RETURN(const auto count, file.Int("split.count"));
    if (number == static_cast<int64_t>(index) &&
        count == static_cast<int64_t>(source_.files.size())) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        file.path(), ": says that it is file ", number.value_or(-1) + 1, " of ", count.value_or(0),
        ", its name that it is ", index + 1, " of ", source_.files.size(), "; download it again"));
  }

  absl::StatusOr<GgufFile> OpenSplit(size_t index) const {
    absl::StatusOr<GgufFile> file =
        GgufFile::Open((std::filesystem::path(source_.folder) / source_.files[index]).string());
    if (absl::IsNotFound(file.status())) {
      return absl::NotFoundError(absl::StrCat(path_, ": file ", index + 1, " of ",
                                              source_.files.size(), ", ", source_.files[index],
                                              ", is missing beside it; download it"));
    }
    SLUICE_RETURN_IF_ERROR(file.status());
    SLUICE_RETURN_IF_ERROR(CheckNumber(*file, index));
    return file;
  }

  absl::Status CheckTotal() const {
    SLUICE_ASSIGN_OR_RETURN(const auto total, files_[0].Int("split.tensors.count"));
    int64_t found = 0;
    std::set<absl::string_view> names;
    for (const GgufFile& file : files_) {
      found += static_cast<int64_t>(file.tensors().size());
      for (const GgufTensor& tensor : file.tensors()) {
        if (names.insert(tensor.name).second) continue;
        return absl::InvalidArgumentError(absl::StrCat(file.path(), ": tensor ",
                                                       ShownName(tensor.name),
                                                       " stands in another file of the model too"));
      }
    }
    if (files_.size() == 1 || !total.has_value() || *total == found) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(path_, ": the model has ", *total,
                                                   " tensors, its ", files_.size(), " files ",
                                                   found, "; download them again"));
  }

  // Reads the facts about tensors that the architecture depends on.
  absl::Status ReadFacts() {
    for (size_t i = 0; i < files_.size(); ++i) {
      for (const GgufTensor& tensor : files_[i].tensors()) {
        if (tensor.name == "token_embd.weight") facts_.vocab_size = tensor.shape[0];
        if (tensor.name == "blk.0.attn_q.bias") facts_.attention_bias = true;
        if (tensor.name == "blk.0.ffn_gate.bias") facts_.mlp_bias = true;
        if (tensor.name != kRopeFactors) continue;
        if (tensor.shape.size() != 1 || FindGgufTensorType(tensor.type) == nullptr ||
            FindGgufTensorType(tensor.type)->name != "f32" || tensor.bytes > (1 << 20)) {
          return absl::InvalidArgumentError(absl::StrCat(
              files_[i].path(), ": tensor ", kRopeFactors, " is not a short vector of f32"));
        }
        facts_.rope_factors.resize(tensor.shape[0]);
        SLUICE_ASSIGN_OR_RETURN(const InputFile file,
                                InputFile::Open(files_[i].path(), PageCache::kUse));
        SLUICE_RETURN_IF_ERROR(
            file.ReadAllAt(tensor.offset, {reinterpret_cast<std::byte*>(facts_.rope_factors.data()),
                                           static_cast<size_t>(tensor.bytes)}));
      }
    }
    if (facts_.vocab_size > 0) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": no tensor token_embd.weight, so no model",
                     files_[0].tensors().empty() ? " but a vocabulary" : ""));
  }

  absl::StatusOr<CheckpointSource> NameTensors() {
    const HyperParameters& h = source_.hyper_parameters;
    absl::flat_hash_map<std::string, TensorSpec> specs;
    HyperParameters untied = h;  // a head of its own has another name
    untied.tie_word_embeddings = false;
    for (TensorSpec& spec : ListTensors(untied)) {
      std::string name = spec.gguf_name;
      specs.emplace(std::move(name), std::move(spec));
    }
    for (size_t i = 0; i < files_.size(); ++i) {
      for (const GgufTensor& stored : files_[i].tensors()) {
        if (stored.name == kRopeFactors) continue;
        const auto spec = specs.find(stored.name);
        const std::string& name = spec == specs.end() ? stored.name : spec->second.name;
        const GgufTensorType* type = FindGgufTensorType(stored.type);
        const auto encoding = ParseEncoding(type == nullptr ? absl::string_view() : type->name);
        if (!encoding.ok()) {
          source_.skipped.emplace(
              name, type == nullptr ? absl::StrCat("type ", stored.type) : std::string(type->name));
          continue;
        }
        CheckpointTensor tensor{name,          *encoding,   stored.shape, static_cast<int>(i),
                                stored.offset, stored.bytes};
        const bool turns =
            spec != specs.end() && spec->second.gguf_rows == GgufRows::kHalvesTakeTurns;
        if (turns) tensor.view = InterleavedRows(h.head_dim);
        if (turns && tensor.shape.size() == 1 && Info(*encoding).quantized()) {
          return absl::UnimplementedError(absl::StrCat(files_[i].path(), ": the bias ", stored.name,
                                                       " is stored as ", type->name,
                                                       "; sluice reads f32, f16 and bf16 there"));
        }
        if (!source_.tensors.emplace(name, std::move(tensor)).second) {
          return absl::InvalidArgumentError(absl::StrCat(
              files_[i].path(), ": tensor ", ShownName(stored.name), " is there under two names"));
        }
      }
    }
    source_.readable_types = ReadableTypes();
    return std::move(source_);
  }

  static std::string ReadableTypes() {
    std::string names;
    for (const EncodingInfo& info : Encodings()) {
      if (FindGgufTensorType(info.name) != nullptr) absl::StrAppend(&names, info.name, " ");
    }
    names.pop_back();
    return absl::StrCat(
        names, "; quantize the model to one of them, with llama-quantize from f16 or bf16 weights");
  }

  const std::string& path_;
  CheckpointSource source_;
  std::vector<GgufFile> files_;
  GgufTensorFacts facts_;
};

}  // namespace

absl::StatusOr<CheckpointSource> OpenGgufModel(const std::string& path) {
  return Opener(path).Run();
}

}  // namespace sluice
