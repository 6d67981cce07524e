// Checks a source's tensors against its architecture, and reads them.
#include "storage/source/checkpoint.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "storage/model/families/family.h"
#include "storage/source/checkpoint_source.h"
#include "storage/source/gguf.h"
#include "storage/source/safetensors.h"

namespace sluice {
namespace {

// Joins the first few of many names, for one line of a message.
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

std::string ShownShape(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// Takes the tensors of heads that draft out of `stored`: those of the first head into `chosen`,
// where it is whole, else none. Returns the line that says what is left out, or nothing.
std::string ChooseMtpHead(HyperParameters* h, CheckpointSource* stored,
                          absl::flat_hash_map<std::string, CheckpointTensor>* chosen) {
  std::vector<std::string> names;  // of the first head
  std::vector<std::string> faults;
  for (const TensorSpec& spec : ListTensors(MtpHeadOf(*h))) {
    if (!IsMtpTensor(*h, spec.name)) continue;
    names.push_back(spec.name);
    const auto found = stored->tensors.find(spec.name);
    if (found == stored->tensors.end() || found->second.shape != spec.shape) {
      faults.push_back(spec.name);
    }
  }
  const bool wanted = h->num_mtp_heads > 0;
  const bool takes = wanted && faults.empty();
  bool further = false;
  for (const std::string& name : names) {
    const auto found = stored->tensors.find(name);
    if (found == stored->tensors.end()) continue;
    if (takes) chosen->emplace(name, std::move(found->second));
    further = further || !takes;
    stored->tensors.erase(found);
  }
  const auto is_of_head = [&](const auto& entry) { return IsMtpTensor(*h, entry.first); };
  further = std::erase_if(stored->tensors, is_of_head) > 0 || further;
  std::erase_if(stored->skipped, is_of_head);
  h->num_mtp_heads = takes ? 1 : 0;
  if (wanted && !takes) {
    return absl::StrCat(stored->path, ": the head that drafts is left out: ", faults.size(), " of ",
                        names.size(),
                        " tensors are missing or have another shape or type: ", ShownList(faults));
  }
  if (!further) return "";
  if (!takes) {
    return absl::StrCat(stored->path, ": the head that drafts is left out: ", stored->settings,
                        " has no \"num_nextn_predict_layers\"");
  }
  return absl::StrCat(stored->path,
                      ": heads that draft behind the first one are left out; sluice asks the first "
                      "one for all tokens");
}

// Keeps the tensors that the architecture needs and complains about all others.
absl::Status ChooseTensors(const HyperParameters& h, CheckpointSource stored,
                           absl::flat_hash_map<std::string, CheckpointTensor>* chosen) {
  const std::string& dir = stored.path;
  std::vector<std::string> missing;
  for (const TensorSpec& spec : ListTensors(h)) {
    if (spec.role == TensorRole::kHead && h.tie_word_embeddings) continue;  // it is the embedding
    if (const auto skipped = stored.skipped.find(spec.name); skipped != stored.skipped.end()) {
      return absl::UnimplementedError(absl::StrCat(dir, ": tensor ", spec.name, " is stored as ",
                                                   ShownName(skipped->second), "; sluice reads ",
                                                   stored.readable_types));
    }
    const auto found = stored.tensors.find(spec.name);
    if (found == stored.tensors.end()) {
      missing.push_back(spec.name);
      continue;
    }
    if (found->second.shape != spec.shape) {
      return absl::InvalidArgumentError(absl::StrCat(
          dir, ": tensor ", spec.name, " has the shape ", ShownShape(found->second.shape), ", ",
          stored.settings, " asks for ", ShownShape(spec.shape)));
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
  return absl::InvalidArgumentError(absl::StrCat(
      dir, ": ", extra.size(), extra.size() == 1 ? " tensor" : " tensors", " that ", h.architecture,
      " does not have with this ", stored.settings, ": ", ShownList(extra)));
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

// A tied model stores one of embedding and head, under either name. If both are stored and differ,
// they are not tied, whatever config.json says; transformers (since 5) does the same.
absl::Status ResolveTie(const Checkpoint& checkpoint, CheckpointSource* stored,
                        HyperParameters* h) {
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

// Returns the encoding that most bytes have; of equal ones the first of the enum.
Encoding MostBytes(const absl::flat_hash_map<std::string, CheckpointTensor>& tensors) {
  std::map<Encoding, int64_t> bytes;
  for (const auto& [name, tensor] : tensors) bytes[tensor.encoding] += tensor.bytes;
  Encoding most = Encoding::kF32;
  for (const auto& [encoding, total] : bytes) {
    if (total > bytes[most]) most = encoding;
  }
  return most;
}

absl::StatusOr<CheckpointSource> OpenSource(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) {
    return errno == ENOENT || errno == ENOTDIR
               ? absl::NotFoundError(absl::StrCat(path, ": no such file or folder"))
               : absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  }
  if (S_ISDIR(info.st_mode)) return OpenSafetensorsFolder(path);
  if (IsGgufFile(path)) return OpenGgufModel(path);
  return absl::InvalidArgumentError(absl::StrCat(
      path,
      ": neither a folder nor a GGUF file; give the folder that has config.json and the weights"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(CheckpointSource source, OpenSource(path));
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint());
  checkpoint->path_ = source.path;
  checkpoint->folder_ = source.folder;
  checkpoint->format_ = source.format;
  checkpoint->files_ = std::move(source.files);
  checkpoint->fds_ = std::move(source.fds);
  checkpoint->fingerprint_ = source.fingerprint;
  HyperParameters& h = checkpoint->hyper_parameters_;
  h = source.hyper_parameters;
  if (h.tie_word_embeddings) SLUICE_RETURN_IF_ERROR(ResolveTie(*checkpoint, &source, &h));
  if (FamilyOf(h).mtp != nullptr) {
    checkpoint->left_out_ = ChooseMtpHead(&h, &source, &checkpoint->tensors_);
  }
  SLUICE_RETURN_IF_ERROR(ChooseTensors(h, std::move(source), &checkpoint->tensors_));
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
    return absl::StrCat(folder_, absl::EndsWith(folder_, "/") ? "" : "/", files_[tensor.file],
                        ": tensor ", ShownName(tensor.name), " at byte ",
                        begin + static_cast<int64_t>(done));
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

absl::Status Checkpoint::ReadRows(const CheckpointTensor& tensor, int64_t first_row,
                                  int64_t num_rows, absl::Span<std::byte> out,
                                  std::vector<std::byte>* scratch) const {
  if (tensor.shape.size() == 1) num_rows = tensor.shape[0];
  const auto read = [&](int64_t begin, absl::Span<std::byte> bytes) {
    return Read(tensor, begin, bytes);
  };
  return tensor.view->ReadRows(read, first_row, num_rows, out, scratch);
}

}  // namespace sluice
