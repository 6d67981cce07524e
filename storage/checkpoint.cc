// Opens a checkpoint folder: which files hold its weights, and whether they are those of the model.
#include "storage/checkpoint.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kernels/status_macros.h"
#include "storage/json.h"
#include "storage/running_checksum.h"
#include "storage/safetensors.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;
constexpr int64_t kMaxIndexBytes = int64_t{256} << 20;
constexpr absl::string_view kSingleFile = "model.safetensors";
constexpr absl::string_view kIndexFile = "model.safetensors.index.json";
constexpr absl::string_view kEmbeddingName = "model.embed_tokens.weight";
constexpr absl::string_view kHeadName = "lm_head.weight";

std::string Join(absl::string_view dir, absl::string_view name) {
  return absl::EndsWith(dir, "/") ? absl::StrCat(dir, name) : absl::StrCat(dir, "/", name);
}

// The first few of many names, for one line of a message.
template <typename Names>
std::string ShownList(const Names& names) {
  constexpr size_t kMost = 4;
  std::vector<std::string> shown;
  for (const auto& name : names) {
    if (shown.size() == kMost) break;
    shown.push_back(ShownName(name));
  }
  return absl::StrCat(
      absl::StrJoin(shown, ", "),
      names.size() > kMost ? absl::StrCat(" and ", names.size() - kMost, " more") : "");
}

// What a folder holds, by names alone.
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

// Weights as PyTorch saves them; a training run's other .bin files do not count.
bool IsPickle(absl::string_view name) {
  return absl::EndsWith(name, ".pt") || absl::EndsWith(name, ".pth") ||
         (absl::EndsWith(name, ".bin") && absl::StrContains(name, "model"));
}

absl::StatusOr<Contents> ListFolder(const std::string& dir) {
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

absl::Status GgufStatus(const std::string& path) {
  return absl::UnimplementedError(absl::StrCat(
      path, ": sluice does not read GGUF yet; give the checkpoint folder with safetensors files"));
}

absl::Status CheckFolder(const std::string& dir) {
  struct stat info;
  if (::stat(dir.c_str(), &info) != 0) {
    return errno == ENOENT || errno == ENOTDIR
               ? absl::NotFoundError(absl::StrCat(dir, ": no such folder"))
               : absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", dir));
  }
  if (S_ISDIR(info.st_mode)) return absl::OkStatus();
  if (absl::EndsWith(dir, ".gguf")) return GgufStatus(dir);
  return absl::InvalidArgumentError(
      absl::StrCat(dir, ": not a folder; give the folder that has config.json and the weights"));
}

// Says what the folder holds instead of a checkpoint's weights, and what to do.
absl::Status NoWeightsStatus(const std::string& dir, const Contents& contents) {
  if (!contents.gguf.empty()) return GgufStatus(Join(dir, contents.gguf));
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

// A file of the index must stay inside the folder. Links are followed: caches are made of them.
bool StaysInside(absl::string_view name) {
  if (name.empty() || name.find('\0') != absl::string_view::npos) return false;
  for (const absl::string_view part : absl::StrSplit(name, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

// Tensor name to file name.
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

// Hashes parts with their lengths, so that bytes cannot move from one part to the next unseen.
class Fingerprint {
 public:
  void Add(absl::string_view part) {
    AddNumber(part.size());
    checksum_.Add(
        absl::MakeConstSpan(reinterpret_cast<const std::byte*>(part.data()), part.size()));
  }
  void AddNumber(uint64_t value) {
    std::byte bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
    checksum_.Add(bytes);
  }
  uint64_t Value() const { return checksum_.Value(); }

 private:
  RunningChecksum checksum_;
};

std::string ShownShape(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// All tensors of all files, before the architecture chooses.
struct Stored {
  std::map<std::string, CheckpointTensor> tensors;
  std::map<std::string, std::string> skipped;  // name -> dtype
};

absl::Status AddTensors(SafetensorsFile file, int index, Stored* stored) {
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

// Each tensor of the index must be in its file. What a file has beyond the index is judged like the
// rest: by what the architecture needs.
absl::Status CheckIndex(const std::map<std::string, std::string>& index,
                        const std::vector<std::string>& files, const std::string& dir,
                        const Stored& stored) {
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

// Keeps the tensors that the architecture needs and complains about all others.
absl::Status ChooseTensors(const std::string& dir, const HyperParameters& h, Stored stored,
                           absl::flat_hash_map<std::string, CheckpointTensor>* chosen) {
  std::vector<std::string> missing;
  for (const TensorSpec& spec : ListTensors(h)) {
    if (spec.role == TensorRole::kHead && h.tie_word_embeddings) continue;  // is the embedding
    if (const auto skipped = stored.skipped.find(spec.name); skipped != stored.skipped.end()) {
      return absl::UnimplementedError(absl::StrCat(dir, ": tensor ", spec.name, " is stored as ",
                                                   ShownName(skipped->second),
                                                   "; sluice reads F32, F16 and BF16"));
    }
    const auto found = stored.tensors.find(spec.name);
    if (found == stored.tensors.end()) {
      missing.push_back(spec.name);
      continue;
    }
    if (found->second.shape != spec.shape) {
      return absl::InvalidArgumentError(absl::StrCat(
          dir, ": tensor ", spec.name, " has the shape ", ShownShape(found->second.shape),
          ", config.json asks for ", ShownShape(spec.shape)));
    }
    chosen->emplace(spec.name, std::move(found->second));
    stored.tensors.erase(found);
  }
  if (!missing.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        dir, ": ", missing.size(), missing.size() == 1 ? " missing tensor" : " missing tensors",
        " of ", h.architecture, ": ", ShownList(missing)));
  }
  std::vector<std::string> extra;
  for (const auto& [name, tensor] : stored.tensors) {
    if (!IsIgnorableTensor(h, name)) extra.push_back(name);
  }
  for (const auto& [name, dtype] : stored.skipped) {
    if (!IsIgnorableTensor(h, name)) extra.push_back(name);
  }
  if (extra.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(dir, ": ", extra.size(), extra.size() == 1 ? " tensor" : " tensors", " that ",
                   h.architecture, " does not have with this config.json: ", ShownList(extra)));
}

// Puts the ids of generation_config.json, where there is one, before those of config.json.
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

absl::StatusOr<bool> SameBytes(const Checkpoint& checkpoint, const CheckpointTensor& a,
                               const CheckpointTensor& b) {
  if (a.encoding != b.encoding || a.shape != b.shape) return false;
  constexpr int64_t kChunk = int64_t{1} << 20;
  std::vector<std::byte> chunk_a(std::min(a.bytes, kChunk)), chunk_b(chunk_a.size());
  for (int64_t begin = 0; begin < a.bytes; begin += kChunk) {
    const size_t bytes = static_cast<size_t>(std::min(kChunk, a.bytes - begin));
    const absl::Span<std::byte> out_a(chunk_a.data(), bytes), out_b(chunk_b.data(), bytes);
    SLUICE_RETURN_IF_ERROR(checkpoint.Read(a, begin, out_a));
    SLUICE_RETURN_IF_ERROR(checkpoint.Read(b, begin, out_b));
    if (out_a != out_b) return false;
  }
  return true;
}

// A tied model stores one of embedding and head; either name does. Where both are stored and differ
// they are not tied, whatever config.json says: so does transformers (since 5).
absl::Status ResolveTie(const Checkpoint& checkpoint, Stored* stored, HyperParameters* h) {
  const auto head = stored->tensors.find(std::string(kHeadName));
  if (head == stored->tensors.end()) return absl::OkStatus();
  const auto embedding = stored->tensors.find(std::string(kEmbeddingName));
  if (embedding != stored->tensors.end()) {
    SLUICE_ASSIGN_OR_RETURN(h->tie_word_embeddings,
                            SameBytes(checkpoint, embedding->second, head->second));
  } else if (!stored->skipped.contains(std::string(kEmbeddingName))) {
    stored->tensors.emplace(kEmbeddingName, head->second);
  }
  return absl::OkStatus();
}

// The encoding of most bytes; the first of the enum where two have as many.
Encoding MostBytes(const absl::flat_hash_map<std::string, CheckpointTensor>& tensors) {
  std::map<Encoding, int64_t> bytes;
  for (const auto& [name, tensor] : tensors) bytes[tensor.encoding] += tensor.bytes;
  Encoding most = Encoding::kF32;
  for (const auto& [encoding, total] : bytes) {
    if (total > bytes[most]) most = encoding;
  }
  return most;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& dir) {
  SLUICE_RETURN_IF_ERROR(CheckFolder(dir));
  SLUICE_ASSIGN_OR_RETURN(const Contents contents, ListFolder(dir));
  const bool has_weights = contents.single_file || contents.index;
  if (!contents.config) {
    if (!has_weights) SLUICE_RETURN_IF_ERROR(NoWeightsStatus(dir, contents));
    return absl::NotFoundError(absl::StrCat(dir, ": no config.json; download it"));
  }

  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint());
  checkpoint->dir_ = dir;
  HyperParameters& h = checkpoint->hyper_parameters_;
  const std::string config_path = Join(dir, "config.json");
  SLUICE_ASSIGN_OR_RETURN(const std::string config_text,
                          ReadWholeFile(config_path, kMaxConfigBytes));
  SLUICE_ASSIGN_OR_RETURN(const json config, ParseJson(config_text, config_path));
  SLUICE_ASSIGN_OR_RETURN(h, ParseHyperParameters(config, config_path));
  SLUICE_RETURN_IF_ERROR(MergeEosTokenIds(dir, &h));
  if (!has_weights) return NoWeightsStatus(dir, contents);

  // As in transformers, a single file goes before an index.
  std::map<std::string, std::string> index;
  if (contents.single_file) {
    checkpoint->files_ = {std::string(kSingleFile)};
  } else {
    SLUICE_ASSIGN_OR_RETURN(index, ReadIndex(Join(dir, kIndexFile)));
    std::set<std::string> names;
    for (const auto& [tensor, file] : index) names.insert(file);
    checkpoint->files_.assign(names.begin(), names.end());
  }

  Fingerprint fingerprint;
  fingerprint.Add(config_text);
  Stored stored;
  for (size_t i = 0; i < checkpoint->files_.size(); ++i) {
    const std::string& name = checkpoint->files_[i];
    const std::string path = Join(dir, name);
    absl::StatusOr<FileDescriptor> opened = OpenForReading(path);
    if (absl::IsNotFound(opened.status())) {
      return absl::NotFoundError(absl::StrCat(path, ": missing, though ",
                                              index.empty() ? "a link to it" : kIndexFile,
                                              " is there; download it"));
    }
    SLUICE_ASSIGN_OR_RETURN(FileDescriptor fd, std::move(opened));
    SLUICE_ASSIGN_OR_RETURN(const SafetensorsHeader header, ReadSafetensorsHeader(fd.get(), path));
    checkpoint->fds_.push_back(std::move(fd));
    fingerprint.Add(name);
    fingerprint.AddNumber(static_cast<uint64_t>(header.file_bytes));
    fingerprint.Add(header.text);
    SLUICE_ASSIGN_OR_RETURN(SafetensorsFile file,
                            ParseSafetensorsHeader(header.text, header.file_bytes, path));
    SLUICE_RETURN_IF_ERROR(AddTensors(std::move(file), static_cast<int>(i), &stored));
  }
  checkpoint->fingerprint_ = fingerprint.Value();
  SLUICE_RETURN_IF_ERROR(CheckIndex(index, checkpoint->files_, dir, stored));
  if (h.tie_word_embeddings) SLUICE_RETURN_IF_ERROR(ResolveTie(*checkpoint, &stored, &h));
  SLUICE_RETURN_IF_ERROR(ChooseTensors(dir, h, std::move(stored), &checkpoint->tensors_));
  checkpoint->dtype_ = MostBytes(checkpoint->tensors_);
  return checkpoint;
}

Checkpoint::~Checkpoint() = default;

const CheckpointTensor* Checkpoint::Find(absl::string_view name) const {
  if (hyper_parameters_.tie_word_embeddings && name == kHeadName) name = kEmbeddingName;
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

absl::Status Checkpoint::Read(const CheckpointTensor& tensor, int64_t begin,
                              absl::Span<std::byte> out) const {
  assert(begin >= 0 && static_cast<int64_t>(out.size()) <= tensor.bytes - begin);
  const auto where = [&](size_t done) {
    return absl::StrCat(Join(dir_, files_[tensor.file]), ": tensor ", ShownName(tensor.name),
                        " at byte ", begin + static_cast<int64_t>(done));
  };
  for (size_t done = 0; done < out.size();) {
    const ssize_t n = ::pread(fds_[tensor.file].get(), out.data() + done, out.size() - done,
                              tensor.offset + begin + static_cast<int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return absl::UnavailableError(
          absl::StrCat(where(done), ": cannot read: ", std::strerror(errno)));
    }
    if (n == 0) {
      return absl::DataLossError(absl::StrCat(
          where(done), ": the file has become shorter since it was opened; download it again"));
    }
    done += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

}  // namespace sluice
