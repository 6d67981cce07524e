// Tools that methods and filters on text share, within the limits of a rendering.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_TEXT_TOOLS_H_
#define SLUICE_RUNTIME_TEXT_JINJA_TEXT_TOOLS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// Does text.split(separator, limit) or rsplit; `separator` is not empty, a negative limit means
// none.
std::vector<absl::string_view> SplitAt(absl::string_view text, absl::string_view separator,
                                       int64_t limit, bool from_right);

// Makes a list of these texts.
absl::StatusOr<Value> TextList(Runtime& runtime, const std::vector<absl::string_view>& texts,
                               bool markup);

// Does text.replace(from, to, limit); an empty `from` is found between all code points.
absl::StatusOr<std::string> ReplaceText(Runtime& runtime, absl::string_view text,
                                        absl::string_view from, absl::string_view to,
                                        int64_t limit);

// Pads `text` to `width` code points with `fill`; align is <, > or ^.
absl::StatusOr<std::string> PadText(Runtime& runtime, absl::string_view text, int64_t width,
                                    absl::string_view fill, char align);

// Returns whether there are cased letters, and all are of this case.
bool HasOnlyCase(absl::string_view text, bool upper);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_TEXT_TOOLS_H_
