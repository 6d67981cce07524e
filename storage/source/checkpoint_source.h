// What the two ways of opening a checkpoint find, before the architecture chooses; for this folder
// only.
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
  // By the architecture's names; those that it does not have stay as they are.
  std::map<std::string, CheckpointTensor> tensors;
  std::map<std::string, std::string> skipped;  // of types that sluice does not read: name -> type
  uint64_t fingerprint = 0;
  // For messages: where hyper-parameters stand, which types are read (and what to do about others).
  std::string settings;
  std::string readable_types;
};

// Errors as Checkpoint::Open has them.
absl::StatusOr<CheckpointSource> OpenSafetensorsFolder(const std::string& dir);
absl::StatusOr<CheckpointSource> OpenGgufModel(const std::string& path);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_CHECKPOINT_SOURCE_H_
