// Post-processors of tokenizer.json: they put special tokens around an encoded text.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_POST_PROCESSOR_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_POST_PROCESSOR_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace sluice {

struct SpecialTokens {
  std::vector<int32_t> before, after;
};

// Reads the member "post_processor" of tokenizer.json. Known types: TemplateProcessing (its form
// for one sequence), BertProcessing, RobertaProcessing, ByteLevel (which only moves offsets),
// Sequence. Ids are not checked against a vocabulary. InvalidArgument: another type (named), an
// unknown key, a wrong value, or a template that does not hold the sequence exactly once.
absl::StatusOr<SpecialTokens> ReadPostProcessor(const nlohmann::json& component);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_POST_PROCESSOR_H_
