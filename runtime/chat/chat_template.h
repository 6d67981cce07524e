// A parsed chat template with the variables that its folder gives it.
#ifndef SLUICE_RUNTIME_CHAT_CHAT_TEMPLATE_H_
#define SLUICE_RUNTIME_CHAT_CHAT_TEMPLATE_H_

#include <cstdint>
#include <ctime>
#include <limits>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/chat/special_tokens.h"
#include "runtime/chat/template_source.h"
#include "runtime/text/jinja/template.h"

namespace sluice {

// Never changes; any thread may render.
class ChatTemplate {
 public:
  // `variables` are those that a context need not name. Errors are the template's, prefixed by its
  // name.
  static absl::StatusOr<ChatTemplate> Parse(TemplateSource source, TemplateVariables variables);

  // Returns what the template prints with its own variables and then `variables`. `now` is the
  // local time for strftime_now.
  absl::StatusOr<std::string> Render(const TemplateVariables& variables, const std::tm& now,
                                     int64_t max_bytes = std::numeric_limits<int64_t>::max()) const;

  const std::string& name() const { return name_; }
  // The XXH3-64 of the template's text.
  uint64_t hash() const { return hash_; }

 private:
  ChatTemplate(std::string name, uint64_t hash, jinja::Template parsed, TemplateVariables variables)
      : name_(std::move(name)),
        hash_(hash),
        template_(std::move(parsed)),
        variables_(std::move(variables)) {}

  std::string name_;
  uint64_t hash_;
  jinja::Template template_;
  TemplateVariables variables_;
};

// Returns `seconds` by this machine's zone.
std::tm LocalTime(std::time_t seconds);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_CHAT_TEMPLATE_H_
