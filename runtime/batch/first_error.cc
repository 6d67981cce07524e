// Reads the line that ErrorLine (runtime/openai/completion_response.h) wrote.
#include "runtime/batch/first_error.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/batch/line_reader.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

constexpr int64_t kMaxErrorLineBytes = int64_t{1} << 20;

// The text at `path`, or nothing.
std::string TextAt(const nlohmann::json& root, std::initializer_list<const char*> path) {
  const nlohmann::json* at = &root;
  for (const char* const name : path) {
    at = JsonFind(*at, name);
    if (at == nullptr) return "";
  }
  const std::string* const text = at->get_ptr<const std::string*>();
  return text == nullptr ? "" : *text;
}

}  // namespace

absl::StatusOr<std::string> FirstError(const std::string& errors_path) {
  SLUICE_ASSIGN_OR_RETURN(LineReader reader, LineReader::Open(errors_path, kMaxErrorLineBytes));
  LineReader::Line line;
  SLUICE_ASSIGN_OR_RETURN(const bool more, reader.Next(&line));
  if (!more) return absl::NotFoundError(absl::StrCat(errors_path, " has no line"));
  SLUICE_ASSIGN_OR_RETURN(const nlohmann::json root, ParseJson(line.text, errors_path));
  std::string text = absl::StrCat(TextAt(root, {"custom_id"}), ": ",
                                  TextAt(root, {"response", "body", "error", "message"}));
  for (char& c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  return text;
}

}  // namespace sluice
