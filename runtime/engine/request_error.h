// What is wrong with a request, for whoever reports it.
#ifndef SLUICE_RUNTIME_ENGINE_REQUEST_ERROR_H_
#define SLUICE_RUNTIME_ENGINE_REQUEST_ERROR_H_

#include <string>

#include "runtime/sample/sampler.h"

namespace sluice {

// Names are those of the OpenAI API.
struct RequestError {
  std::string message;  // a sentence for people
  std::string param;    // the parameter at fault: "prompt", "logit_bias", ...
  std::string code;     // "invalid_value", "context_length_exceeded", ...
};

// An option of the sampler outside its range, by its name in the OpenAI API or in vLLM.
RequestError OpenAiError(const SamplerRangeError& error);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_ENGINE_REQUEST_ERROR_H_
