// The options of commands that write a store: shard and synth.
#ifndef SLUICE_TOOLS_STORE_OPTIONS_H_
#define SLUICE_TOOLS_STORE_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/model/recipe.h"
#include "storage/store/manifest.h"
#include "tools/command.h"

namespace sluice {

// --encoding, --recipe, --compress, --slab-size and --threads. `fallback`: what weights are without
// the first two.
std::vector<OptionSpec> StoreOptionSpecs(const std::string& fallback);
// None where neither --encoding nor --recipe was given.
absl::StatusOr<std::optional<Recipe>> ParseRecipeOptions(const Arguments& args);
absl::StatusOr<int64_t> ParseSlabSize(const Arguments& args);
absl::StatusOr<StoreCompression> ParseCompression(const Arguments& args, int64_t slab_bytes);

}  // namespace sluice

#endif  // SLUICE_TOOLS_STORE_OPTIONS_H_
