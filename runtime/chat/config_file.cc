// Reading that takes a missing file for an empty one.
#include "runtime/chat/config_file.h"

#include "storage/json.h"

namespace sluice {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{64} << 20;

}  // namespace

absl::StatusOr<nlohmann::json> ReadConfigFile(const std::string& path) {
  absl::StatusOr<nlohmann::json> config = ReadJsonFile(path, kMaxConfigBytes);
  if (absl::IsNotFound(config.status())) return nlohmann::json();
  return config;
}

}  // namespace sluice
