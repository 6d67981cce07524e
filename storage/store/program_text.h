// The Program in a manifest's JSON text, a block a line (docs/store-format.md, "Program").
#ifndef SLUICE_STORAGE_STORE_PROGRAM_TEXT_H_
#define SLUICE_STORAGE_STORE_PROGRAM_TEXT_H_

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "storage/model/program.h"

namespace sluice {

// Appends the block as one JSON object on one line.
void WriteBlock(const Block& block, std::string* out);

// Reads what WriteBlock writes. InvalidArgument: an unknown member or name, or one that is missing.
absl::StatusOr<Block> ParseBlock(const nlohmann::json& item);

}  // namespace sluice

#endif  // SLUICE_STORAGE_STORE_PROGRAM_TEXT_H_
