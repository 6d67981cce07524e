// Reads JSON that may be hostile: bounded depth, no doubled keys, errors instead of exceptions.
//
// nlohmann::json is the document type throughout; its own accessors throw on a wrong type, so code
// that reads files uses the checked ones below.
#ifndef SLUICE_STORAGE_FILE_JSON_H_
#define SLUICE_STORAGE_FILE_JSON_H_

#include <cstdint>
#include <istream>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "nlohmann/json.hpp"

namespace sluice {

// Deepest nesting that ParseJson accepts. Real files of this field stay below 10.
inline constexpr int kMaxJsonDepth = 64;

// Parses one JSON document (RFC 8259, UTF-8, a byte order mark is skipped). `what` names the source
// in errors. InvalidArgument: not JSON, nested deeper than kMaxJsonDepth, or an object that holds
// one key twice; the message has the byte offset or the key. A Git LFS pointer is refused as such.
//
// `readers` get the events of the text, too, each until it returns false, so that a text of which
// other things are wanted is parsed once. They may take strings. A reader that must know all of the
// text counts only if this returns a document.
absl::StatusOr<nlohmann::json> ParseJson(
    absl::string_view text, absl::string_view what,
    absl::Span<nlohmann::json_sax<nlohmann::json>* const> readers = {});

// Sends the events of a text to `reader` until it returns false. Returns whether all of the text
// was read and is JSON. A text must have no zero byte, which the library takes for its end. All
// readers share one instance of the library's parser, which takes seconds to compile.
bool ReadJsonEvents(absl::string_view text, nlohmann::json_sax<nlohmann::json>* reader);
bool ReadJsonEvents(std::istream& stream, nlohmann::json_sax<nlohmann::json>* reader);

// Returns an upper bound of the memory that documents made of `text` take beside it, as nlohmann's
// and as a template's values. The text is read once and need not be JSON.
int64_t JsonTreeBytes(absl::string_view text);

// Returns the bytes of a whole file of at most `max_bytes`. NotFound, PermissionDenied;
// InvalidArgument: the file is larger. All name the path.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path, int64_t max_bytes);

// Reads and parses a whole file of at most `max_bytes`. Errors of ReadWholeFile and ParseJson.
absl::StatusOr<nlohmann::json> ReadJsonFile(const std::string& path,
                                            int64_t max_bytes = int64_t{1} << 30);

// Checked members of an object. A missing key, null or another type is InvalidArgument naming the
// key; an integer must fit and be exact (4096.0 is accepted, 0.5 is not), a double must be finite.
absl::StatusOr<int64_t> JsonInt(const nlohmann::json& object, absl::string_view key);
absl::StatusOr<double> JsonDouble(const nlohmann::json& object, absl::string_view key);
absl::StatusOr<bool> JsonBool(const nlohmann::json& object, absl::string_view key);
absl::StatusOr<std::string> JsonString(const nlohmann::json& object, absl::string_view key);
// Returns the member, or nullptr if it is missing or null.
const nlohmann::json* JsonFind(const nlohmann::json& object, absl::string_view key);

}  // namespace sluice

#endif  // SLUICE_STORAGE_FILE_JSON_H_
