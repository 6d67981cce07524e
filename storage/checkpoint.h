// A Hugging Face checkpoint folder: config.json and safetensors files, opened and checked.
//
// Format: https://github.com/huggingface/safetensors (8-byte little-endian header length, JSON
// header, tensor data), with model.safetensors.index.json where there are several files.
#ifndef SLUICE_STORAGE_CHECKPOINT_H_
#define SLUICE_STORAGE_CHECKPOINT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/encoding.h"
#include "storage/architecture.h"
#include "storage/durable_file.h"
#include "storage/hyper_parameters.h"

namespace sluice {

// Where one tensor's bytes stand. Row-major, little-endian.
struct CheckpointTensor {
  std::string name;
  Encoding encoding;  // f32, f16 or bf16
  std::vector<int64_t> shape;
  int file;        // index into Checkpoint::files()
  int64_t offset;  // from the start of the file
  int64_t bytes;
};

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
// The same from the header alone (the fuzzer's way in). `header` excludes the 8 length bytes.
absl::StatusOr<SafetensorsFile> ParseSafetensorsHeader(absl::string_view header, int64_t file_bytes,
                                                       absl::string_view path);

class Checkpoint {
 public:
  // Opens `dir`: a folder with config.json and model.safetensors, or its shards and their index
  // (symbolic links are followed). Every tensor that the architecture needs must be there with its
  // shape, and nothing else: missing, extra and misshapen ones are named.
  // FailedPrecondition for checkpoints with pickle files only or with quantization_config.
  // A checkpoint that is tied by config.json but stores a head other than its embedding is opened
  // as untied. eos_token_ids are those of generation_config.json, then those of config.json.
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& dir);
  ~Checkpoint();

  const std::string& dir() const { return dir_; }
  const HyperParameters& hyper_parameters() const { return hyper_parameters_; }
  const std::vector<std::string>& files() const { return files_; }  // names inside dir(), sorted
  // Every tensor of the files that the architecture uses, by name; null: there is none. A tied
  // model has one tensor under the embedding's name and the head's, whichever of them is stored.
  const CheckpointTensor* Find(absl::string_view name) const;
  // The encoding that most weight bytes have: what `shard` writes without an option.
  Encoding dtype() const { return dtype_; }
  // XXH3-64 over names, sizes and headers of the files and config.json: tells one source from
  // another.
  uint64_t fingerprint() const { return fingerprint_; }

  // Reads bytes [begin, begin + out.size()) of a tensor. Thread-safe (pread). DataLoss when the
  // file has become shorter, Unavailable on a read error; both name file, tensor and offset.
  absl::Status Read(const CheckpointTensor& tensor, int64_t begin, absl::Span<std::byte> out) const;

 private:
  Checkpoint() = default;
  std::string dir_;
  HyperParameters hyper_parameters_;
  std::vector<std::string> files_;
  std::vector<FileDescriptor> fds_;  // one a file
  absl::flat_hash_map<std::string, CheckpointTensor> tensors_;
  Encoding dtype_ = Encoding::kF32;
  uint64_t fingerprint_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_STORAGE_CHECKPOINT_H_
