// Chat templates: Jinja as Hugging Face transformers runs it.
//
// This is Jinja 2's language with trim_blocks and lstrip_blocks, break and continue, the sandbox
// that keeps lists and dicts from changing, tojson as json.dumps writes it, raise_exception,
// strftime_now and {% generation %}. There is no autoescaping, and nothing to include or extend. A
// template is not trusted: see limits.h.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_TEMPLATE_H_
#define SLUICE_RUNTIME_TEXT_JINJA_TEMPLATE_H_

#include <cstdint>
#include <ctime>
#include <limits>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/jinja/limits.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

struct Ast;

// Never changes; any thread may render.
class Template {
 public:
  // InvalidArgument: not a template, or it uses an unknown tag, filter or test. ResourceExhausted:
  // it is larger or nests deeper than the limits allow. Both start with line and column.
  static absl::StatusOr<Template> Parse(absl::string_view source, const Limits& limits = {});

  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  // Returns what the template prints with the variables of `context`, a dict with text for keys.
  // `now` is the local time for strftime_now. Values and output may take `max_bytes` each, if that
  // is less than the limits. InvalidArgument: what Jinja would raise, and the template's own
  // raise_exception. ResourceExhausted: a limit. Both start with line and column.
  absl::StatusOr<std::string> Render(const Value& context, const std::tm& now,
                                     int64_t max_bytes = std::numeric_limits<int64_t>::max()) const;

 private:
  Template(std::unique_ptr<const Ast> ast, const Limits& limits);

  std::unique_ptr<const Ast> ast_;
  Limits limits_;
};

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_TEMPLATE_H_
