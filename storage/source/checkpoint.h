// A model's weights as they were published: a Hugging Face folder (config.json and safetensors
// files) or a GGUF file, whole or split, opened and checked.
//
// Format of safetensors: https://github.com/huggingface/safetensors (8-byte little-endian header
// length, JSON header, tensor data), with model.safetensors.index.json where there are several
// files. Of GGUF: storage/source/gguf.h.
#ifndef SLUICE_STORAGE_SOURCE_CHECKPOINT_H_
#define SLUICE_STORAGE_SOURCE_CHECKPOINT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/encodings/encoding.h"
#include "storage/file/durable_file.h"
#include "storage/model/architecture.h"
#include "storage/model/hyper_parameters.h"
#include "storage/source/views/tensor_view.h"

namespace sluice {

// Says where one tensor's bytes stand. Row-major, little-endian.
struct CheckpointTensor {
  std::string name;
  Encoding encoding;  // of safetensors f32, f16 or bf16
  std::vector<int64_t> shape;
  int file;        // index into Checkpoint::files()
  int64_t offset;  // from the start of the file
  int64_t bytes;
  std::shared_ptr<const TensorView> view = PlainRows();  // how its rows are stored
};

// The kind of files that the checkpoint consists of.
enum class CheckpointFormat : uint8_t { kSafetensors, kGguf };

// The tensors of one safetensors file, with every bound checked against the file's size: header
// length, offsets inside the data, no overlap, no hole, size = shape x type, no doubled name.
// Types that sluice does not read (I64, F8, ...) are kept out of `tensors` and named in `skipped`.
struct SafetensorsFile {
  struct Skipped {
    std::string name;
    std::string dtype;  // as the header spells it
  };
  std::string path;
  int64_t bytes = 0;
  std::vector<CheckpointTensor> tensors;  // in the order of the header; `file` is 0
  std::vector<Skipped> skipped;
};
absl::StatusOr<SafetensorsFile> OpenSafetensors(const std::string& path);
// Parses the header alone (the fuzzer uses it). `header` excludes the 8 length bytes.
absl::StatusOr<SafetensorsFile> ParseSafetensorsHeader(absl::string_view header, int64_t file_bytes,
                                                       absl::string_view path);

class Checkpoint {
 public:
  // Opens a GGUF file (the first file of a split model), or a folder with config.json and
  // model.safetensors, or with shards and their index (symbolic links are followed). Every tensor
  // that the architecture needs must be there with its shape, and nothing else: missing, extra and
  // misshapen ones are named. A head that drafts is used where it is whole, else left out. A
  // checkpoint that config.json calls tied, but that stores a head other than its embedding, is
  // opened as untied. eos_token_ids are those of generation_config.json, then those of config.json.
  // FailedPrecondition: the checkpoint has pickle files only, or has quantization_config.
  // Unimplemented: names an architecture, a type of tensor or a setting that sluice does not run.
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& path);
  ~Checkpoint();

  const std::string& path() const { return path_; }  // the folder, or the (first) GGUF file
  CheckpointFormat format() const { return format_; }
  const HyperParameters& hyper_parameters() const { return hyper_parameters_; }
  const std::vector<std::string>& files() const { return files_; }  // names in their folder, sorted
  // Says in one line which tensors of heads that draft are not used, and why; empty: all are.
  const std::string& left_out() const { return left_out_; }
  // Returns a tensor that the architecture uses, by name; null if there is none. A tied model has
  // one tensor under the embedding's name and the head's, whichever of them is stored.
  const CheckpointTensor* Find(absl::string_view name) const;
  // Returns the encoding that most weight bytes have; `shard` writes it if no option says
  // otherwise.
  Encoding dtype() const { return dtype_; }
  // Returns the XXH3-64 over config.json and the names, sizes and headers of the files; it tells
  // one source from another.
  uint64_t fingerprint() const { return fingerprint_; }

  // Reads bytes [begin, begin + out.size()) of a tensor. Thread-safe (pread). DataLoss when the
  // file has become shorter, Unavailable on a read error; both name file, tensor and offset.
  absl::Status Read(const CheckpointTensor& tensor, int64_t begin, absl::Span<std::byte> out) const;
  // Reads rows [first_row, first_row + num_rows) of a matrix, or a whole vector (0, 1), in the
  // architecture's order of rows. `out` has exactly their size; `scratch` is working memory. Errors
  // of Read().
  absl::Status ReadRows(const CheckpointTensor& tensor, int64_t first_row, int64_t num_rows,
                        absl::Span<std::byte> out, std::vector<std::byte>* scratch) const;

 private:
  Checkpoint() = default;
  std::string path_;
  std::string folder_;  // of files_
  CheckpointFormat format_ = CheckpointFormat::kSafetensors;
  HyperParameters hyper_parameters_;
  std::vector<std::string> files_;
  std::vector<FileDescriptor> fds_;  // one a file
  absl::flat_hash_map<std::string, CheckpointTensor> tensors_;
  Encoding dtype_ = Encoding::kF32;
  uint64_t fingerprint_ = 0;
  std::string left_out_;
};

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_CHECKPOINT_H_
