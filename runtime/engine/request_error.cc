// The names that requests have for the sampler's options.
#include "runtime/engine/request_error.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace sluice {

RequestError OpenAiError(const SamplerRangeError& error) {
  using Option = SamplerRangeError::Option;
  const auto name = [&] {
    switch (error.option) {
      case Option::kTemperature:
        return "temperature";
      case Option::kTopP:
        return "top_p";
      case Option::kMinP:
        return "min_p";
      case Option::kTypicalP:
        return "typical_p";
      case Option::kRepeatPenalty:
        return "repetition_penalty";
      case Option::kFrequencyPenalty:
        return "frequency_penalty";
      case Option::kPresencePenalty:
        return "presence_penalty";
      case Option::kLogitBias:
      case Option::kLogitBiasToken:
        return "logit_bias";
    }
    return "";
  }();
  if (error.option == Option::kLogitBiasToken) {
    return {absl::StrCat("logit_bias names token ", static_cast<int64_t>(error.value),
                         ", which is not in the vocabulary"),
            name, "invalid_value"};
  }
  return {absl::StrCat(name, " ", error.value, " is not in ", error.range), name, "invalid_value"};
}

}  // namespace sluice
