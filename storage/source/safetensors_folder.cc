// Opens a folder of safetensors files: finds those that hold the weights, and reads config.json.
#include <dirent.h>

#include <cerrno>
#include <map>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/base/status_macros.h"
#include "storage/file/fingerprint.h"
#include "storage/file/json.h"
#include "storage/source/checkpoint_source.h"
#include "storage/source/safetensors.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;
constexpr int64_t kMaxIndexBytes = int64_t{256} << 20;
constexpr absl::string_view kSingleFile = "model.safetensors";
constexpr absl::string_view kIndexFile = "model.safetensors.index.json";

std::string Join(absl::string_view dir, absl::string_view name) {
  return absl::EndsWith(dir, "/") ? absl::StrCat(dir, name) : absl::StrCat(dir, "/", name);
}

// The files of a folder, by their names alone.
struct Contents {
  bool config = false;
  bool single_file = false;
  bool index = false;
  bool manifest = false;
  std::string pickle;       // one of its PyTorch files, or empty
  std::string gguf;         // one of its GGUF files, or empty
  std::string safetensors;  // one of its other safetensors files, or empty
};

void Note(const std::string& name, std::string* first) {
  if (first->empty()) *first = name;
}

// Returns whether a file has weights as PyTorch saves them; a training run's other .bin files do
// not count.
bool IsPickle(absl::string_view name) {
  return absl::EndsWith(name, ".pt") || absl::EndsWith(name, ".pth") ||
         (absl::EndsWith(name, ".bin") && absl::StrContains(name, "model"));
}

absl::StatusOr<Contents> ListCheckpoint(const std::string& dir) {
  DIR* stream = ::opendir(dir.c_str());
  if (stream == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", dir));
  Contents contents;
  std::set<std::string> names;  // sorted, so that messages do not depend on the file system
  while (const dirent* entry = ::readdir(stream)) names.insert(entry->d_name);
  ::closedir(stream);
  for (const std::string& name : names) {
    if (name == "config.json")
      contents.config = true;
    else if (name == "manifest.json")
      contents.manifest = true;
    else if (name == kSingleFile)
      contents.single_file = true;
    else if (name == kIndexFile)
      contents.index = true;
    else if (absl::EndsWith(name, ".gguf"))
      Note(name, &contents.gguf);
    else if (absl::EndsWith(name, ".safetensors"))
      Note(name, &contents.safetensors);
    else if (IsPickle(name))
      Note(name, &contents.pickle);
  }
  return contents;
}

// Says what the folder holds in place of a checkpoint's weights, and what to do.
absl::Status NoWeightsStatus(const std::string& dir, const Contents& contents) {
  if (!contents.gguf.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        dir,
        ": no safetensors files, but GGUF ones; give the file itself: ", Join(dir, contents.gguf)));
  }
  if (contents.manifest) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir, ": a layer store (it has manifest.json), not a checkpoint"));
  }
  if (!contents.pickle.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        dir, ": only PyTorch pickle files (", contents.pickle, "), which can run code and which ",
        "sluice does not read; load the model with transformers and save it with ",
        "save_pretrained(dir, safe_serialization=True)"));
  }
  if (contents.safetensors == "adapter_model.safetensors") {
    return absl::UnimplementedError(absl::StrCat(
        dir, ": a LoRA adapter without its base model; merge them with peft and give the result"));
  }
  if (!contents.safetensors.empty()) {
    return absl::NotFoundError(absl::StrCat(dir, ": neither ", kSingleFile, " nor ", kIndexFile,
                                            ", though ", ShownName(contents.safetensors),
                                            " is there; download the missing index"));
  }
  return absl::NotFoundError(
      absl::StrCat(dir, ": neither ", kSingleFile, " nor ", kIndexFile, "; download the weights"));
}

// A file that the index names must lie inside the folder. Links are followed: caches are made of
// them.
bool StaysInside(absl::string_view name) {
  if (name.empty() || name.find('\0') != absl::string_view::npos) return false;
  for (const absl::string_view part : absl::StrSplit(name, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

// Reads the file name of each tensor.
absl::StatusOr<std::map<std::string, std::string>> ReadIndex(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const json index, ReadJsonFile(path, kMaxIndexBytes));
  const json* weight_map = JsonFind(index, "weight_map");
  if (weight_map == nullptr || !weight_map->is_object() || weight_map->empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": no \"weight_map\"; download it again"));
  }
  std::map<std::string, std::string> files;
  for (const auto& [tensor, value] : weight_map->items()) {
    const std::string* file = value.get_ptr<const std::string*>();
    if (file == nullptr || !StaysInside(*file)) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": the file of ", ShownName(tensor), " is ",
          file == nullptr ? std::string("no string") : absl::StrCat("\"", ShownName(*file), "\""),
          ", expected a name inside the folder"));
    }
    files.emplace(tensor, *file);
  }
  return files;
}

absl::Status AddTensors(SafetensorsFile file, int index, CheckpointSource* stored) {
  const auto twice = [&](const std::string& name) {
    return absl::InvalidArgumentError(absl::StrCat(
        file.path, ": tensor ", ShownName(name), " stands in another file of the checkpoint too"));
  };
  for (SafetensorsFile::Skipped& skipped : file.skipped) {
    if (stored->tensors.contains(skipped.name) || stored->skipped.contains(skipped.name)) {
      return twice(skipped.name);
    }
    stored->skipped.emplace(std::move(skipped.name), std::move(skipped.dtype));
  }
  for (CheckpointTensor& tensor : file.tensors) {
    if (stored->tensors.contains(tensor.name) || stored->skipped.contains(tensor.name)) {
      return twice(tensor.name);
    }
    tensor.file = index;
    std::string name = tensor.name;
    stored->tensors.emplace(std::move(name), std::move(tensor));
  }
  return absl::OkStatus();
}

// Checks that each tensor of the index is in its file. Other tensors of the files are judged like
// the rest: by what the architecture needs.
absl::Status CheckIndex(const std::map<std::string, std::string>& index,
                        const std::vector<std::string>& files, const std::string& dir,
                        const CheckpointSource& stored) {
  for (const auto& [name, file] : index) {
    if (stored.skipped.contains(name)) continue;
    const auto found = stored.tensors.find(name);
    if (found == stored.tensors.end() || files[found->second.file] != file) {
      return absl::InvalidArgumentError(absl::StrCat(Join(dir, kIndexFile), ": says that ",
                                                     ShownName(name), " is in ", ShownName(file),
                                                     ", where it is not; download both again"));
    }
  }
  return absl::OkStatus();
}

// Puts the ids of generation_config.json, if there is one, before those of config.json.
absl::Status MergeEosTokenIds(const std::string& dir, HyperParameters* h) {
  const std::string path = Join(dir, "generation_config.json");
  absl::StatusOr<json> config = ReadJsonFile(path, kMaxConfigBytes);
  if (absl::IsNotFound(config.status())) return absl::OkStatus();
  SLUICE_RETURN_IF_ERROR(config.status());
  absl::StatusOr<std::vector<int64_t>> ids = ParseEosTokenIds(*config);
  if (!ids.ok()) {
    return absl::Status(ids.status().code(), absl::StrCat(path, ": ", ids.status().message()));
  }
  for (const int64_t id : h->eos_token_ids) {
    if (!absl::c_linear_search(*ids, id)) ids->push_back(id);
  }
  h->eos_token_ids = *std::move(ids);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CheckpointSource> OpenSafetensorsFolder(const std::string& dir) {
  SLUICE_ASSIGN_OR_RETURN(const Contents contents, ListCheckpoint(dir));
  const bool has_weights = contents.single_file || contents.index;
  if (!contents.config) {
    if (!has_weights) SLUICE_RETURN_IF_ERROR(NoWeightsStatus(dir, contents));
    return absl::NotFoundError(absl::StrCat(dir, ": no config.json; download it"));
  }

  CheckpointSource source;
  source.path = source.folder = dir;
  source.settings = "config.json";
  source.readable_types = "F32, F16 and BF16";
  HyperParameters& h = source.hyper_parameters;
  const std::string config_path = Join(dir, "config.json");
  SLUICE_ASSIGN_OR_RETURN(const std::string config_text,
                          ReadWholeFile(config_path, kMaxConfigBytes));
  SLUICE_ASSIGN_OR_RETURN(const json config, ParseJson(config_text, config_path));
  SLUICE_ASSIGN_OR_RETURN(h, ParseHyperParameters(config, config_path));
  SLUICE_RETURN_IF_ERROR(MergeEosTokenIds(dir, &h));
  if (!has_weights) return NoWeightsStatus(dir, contents);

  // A single file has precedence over an index, as in transformers.
  std::map<std::string, std::string> index;
  if (contents.single_file) {
    source.files = {std::string(kSingleFile)};
  } else {
    SLUICE_ASSIGN_OR_RETURN(index, ReadIndex(Join(dir, kIndexFile)));
    std::set<std::string> names;
    for (const auto& [tensor, file] : index) names.insert(file);
    source.files.assign(names.begin(), names.end());
  }

  Fingerprint fingerprint;
  fingerprint.Add(config_text);
  for (size_t i = 0; i < source.files.size(); ++i) {
    const std::string& name = source.files[i];
    const std::string path = Join(dir, name);
    absl::StatusOr<FileDescriptor> opened = OpenForReading(path);
    if (absl::IsNotFound(opened.status())) {
      return absl::NotFoundError(absl::StrCat(path, ": missing, though ",
                                              index.empty() ? "a link to it" : kIndexFile,
                                              " is there; download it"));
    }
    SLUICE_ASSIGN_OR_RETURN(FileDescriptor fd, std::move(opened));
    SLUICE_ASSIGN_OR_RETURN(const SafetensorsHeader header, ReadSafetensorsHeader(fd.get(), path));
    source.fds.push_back(std::move(fd));
    fingerprint.Add(name);
    fingerprint.AddNumber(static_cast<uint64_t>(header.file_bytes));
    fingerprint.Add(header.text);
    SLUICE_ASSIGN_OR_RETURN(SafetensorsFile file,
                            ParseSafetensorsHeader(header.text, header.file_bytes, path));
    SLUICE_RETURN_IF_ERROR(AddTensors(std::move(file), static_cast<int>(i), &source));
  }
  source.fingerprint = fingerprint.Value();
  SLUICE_RETURN_IF_ERROR(CheckIndex(index, source.files, dir, source));
  return source;
}

}  // namespace sluice
