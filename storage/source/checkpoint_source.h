// What opening a folder or a GGUF file finds, before the tensors are checked against the
// architecture. For this folder only.
#ifndef SLUICE_STORAGE_SOURCE_CHECKPOINT_SOURCE_H_
#define SLUICE_STORAGE_SOURCE_CHECKPOINT_SOURCE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/file/durable_file.h"
#include "storage/model/hyper_parameters.h"
#include "storage/source/checkpoint.h"

namespace sluice {

struct CheckpointSource {
  std::string path;    // as it was given
  std::string folder;  // of the files
  CheckpointFormat format = CheckpointFormat::kSafetensors;
  HyperParameters hyper_parameters;
  std::vector<std::string> files;   // names in the folder
  std::vector<FileDescriptor> fds;  // one a file
  // Keyed by the architecture's names; tensors that the architecture does not have keep their
  // names.
  std::map<std::string, CheckpointTensor> tensors;
  // Tensors of types that sluice does not read: name -> type
  std::map<std::string, std::string> skipped;
  uint64_t fingerprint = 0;
  // For messages: where hyper-parameters stand, and which types are read (and what to do about
  // others).
  std::string settings;
  std::string readable_types;
};

// Errors as for Checkpoint::Open.
absl::StatusOr<CheckpointSource> OpenSafetensorsFolder(const std::string& dir);
absl::StatusOr<CheckpointSource> OpenGgufModel(const std::string& path);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_CHECKPOINT_SOURCE_H_
