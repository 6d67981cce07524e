// Reading that takes a missing file for an empty one.
#include "runtime/chat/config_file.h"

#include <optional>

#include "kernels/base/status_macros.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{64} << 20;

}  // namespace

absl::StatusOr<nlohmann::json> ReadConfigFile(const ModelFiles& files, const std::string& file) {
  SLUICE_ASSIGN_OR_RETURN(const std::optional<std::string> text, files.Read(file, kMaxConfigBytes));
  if (!text.has_value()) return nlohmann::json();
  return ParseJson(*text, files.NameOf(file));
}

}  // namespace sluice
