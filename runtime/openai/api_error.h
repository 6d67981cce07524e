// An error of a request, as the OpenAI API reports it.
#ifndef SLUICE_RUNTIME_OPENAI_API_ERROR_H_
#define SLUICE_RUNTIME_OPENAI_API_ERROR_H_

#include <string>
#include <utility>

#include "runtime/engine/request_error.h"

namespace sluice {

// Becomes {"error": {message, type, param, code}} with its status code; an empty param is null.
struct ApiError {
  std::string message;
  std::string param;
  std::string code;  // "invalid_value", "unknown_parameter", ...
  std::string type = "invalid_request_error";
  int status_code = 400;
};

inline ApiError ToApiError(RequestError error) {
  return {.message = std::move(error.message),
          .param = std::move(error.param),
          .code = std::move(error.code)};
}

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPENAI_API_ERROR_H_
