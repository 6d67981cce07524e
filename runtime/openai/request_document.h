// A request's JSON text, parsed once.
#ifndef SLUICE_RUNTIME_OPENAI_REQUEST_DOCUMENT_H_
#define SLUICE_RUNTIME_OPENAI_REQUEST_DOCUMENT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "runtime/openai/api_error.h"
#include "runtime/text/jinja/value.h"

namespace sluice {

// What readers of a request want of it. The document sorts members; a template sees them in their
// order, and a schema's order is that of its answers.
struct RequestDocument {
  nlohmann::json root;  // an object
  // The same in order, for a template: there if the text can be a chat's. An error where a template
  // cannot have it.
  std::optional<absl::StatusOr<jinja::Value>> ordered;
  // The object at response_format.json_schema.schema of the request or of its member "body", as
  // dump() writes it, but in order; "" where there is none.
  std::string schema;
};

// ApiError: `text`, which errors call `what`, is no JSON object, or reading it could take more than
// `max_bytes` bytes of memory.
std::variant<RequestDocument, ApiError> ReadRequestDocument(absl::string_view text,
                                                            absl::string_view what,
                                                            int64_t max_bytes);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPENAI_REQUEST_DOCUMENT_H_
