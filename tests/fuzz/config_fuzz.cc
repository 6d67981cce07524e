// Fuzzes config.json of Hugging Face checkpoints: no text may do more than fail, and what is
// accepted has parts, tensors and a dataflow, and is written and read back the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "storage/file/json.h"
#include "storage/model/architecture.h"
#include "storage/model/hyper_parameters.h"
#include "storage/model/program.h"
#include "storage/model/spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<nlohmann::json> config = sluice::ParseJson(text, "config.json");
  if (!config.ok()) return 0;
  const absl::StatusOr<sluice::HyperParameters> parsed =
      sluice::ParseHyperParameters(*config, "config.json");
  if (!parsed.ok()) {
    if (!absl::StrContains(parsed.status().message(), "config.json")) std::abort();
    return 0;
  }
  constexpr int64_t kMostLayers = 256;  // more only take longer
  if (parsed->num_hidden_layers > kMostLayers) return 0;
  if (sluice::ListTensors(*parsed).empty()) std::abort();
  const sluice::Program program = sluice::ProgramOf(sluice::SpecOf(*parsed));
  if (static_cast<int64_t>(program.blocks.size()) != 2 * parsed->num_hidden_layers + 1) {
    std::abort();
  }
  const nlohmann::json written = sluice::HyperParametersToJson(*parsed);
  const absl::StatusOr<sluice::HyperParameters> again =
      sluice::ParseHyperParameters(written, "config.json");
  if (!again.ok() || sluice::HyperParametersToJson(*again) != written) std::abort();
  return 0;
}
