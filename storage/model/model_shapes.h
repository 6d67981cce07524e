// Shapes of well-known models, for stores of random weights.
#ifndef SLUICE_STORAGE_MODEL_MODEL_SHAPES_H_
#define SLUICE_STORAGE_MODEL_MODEL_SHAPES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/model/hyper_parameters.h"

namespace sluice {

// "llama-3.1-8b", ...
std::vector<std::string> ModelShapeNames();

// As in the config.json that the model was published with; checkpoints of all of them are bf16.
// InvalidArgument lists the known names.
absl::StatusOr<HyperParameters> ModelShape(absl::string_view name);

}  // namespace sluice

#endif  // SLUICE_STORAGE_MODEL_MODEL_SHAPES_H_
