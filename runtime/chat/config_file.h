// Reads the small JSON files beside a tokenizer, any of which may be missing.
#ifndef SLUICE_RUNTIME_CHAT_CONFIG_FILE_H_
#define SLUICE_RUNTIME_CHAT_CONFIG_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "runtime/chat/model_files.h"

namespace sluice {

// Returns null if there is no such file. Errors of ModelFiles::Read and ParseJson.
absl::StatusOr<nlohmann::json> ReadConfigFile(const ModelFiles& files, const std::string& file);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_CONFIG_FILE_H_
