// Puts the template's name in front of its errors.
#include "runtime/chat/chat_template.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/store/manifest.h"

namespace sluice {
namespace {

absl::Status Named(const std::string& name, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(name, ": ", status.message()));
}

}  // namespace

absl::StatusOr<ChatTemplate> ChatTemplate::Parse(TemplateSource source,
                                                 TemplateVariables variables) {
  absl::StatusOr<jinja::Template> parsed = jinja::Template::Parse(source.text);
  if (!parsed.ok()) return Named(source.name, parsed.status());
  const uint64_t hash =
      Checksum({reinterpret_cast<const std::byte*>(source.text.data()), source.text.size()});
  return ChatTemplate(std::move(source.name), hash, *std::move(parsed), std::move(variables));
}

absl::StatusOr<std::string> ChatTemplate::Render(const TemplateVariables& variables,
                                                 const std::tm& now, int64_t max_bytes) const {
  TemplateVariables all = variables_;
  all.insert(all.end(), variables.begin(), variables.end());
  absl::StatusOr<std::string> text =
      template_.Render(jinja::Value::Dict(std::move(all)), now, max_bytes);
  if (!text.ok()) return Named(name_, text.status());
  return text;
}

std::tm LocalTime(std::time_t seconds) {
  std::tm local = {};
  localtime_r(&seconds, &local);
  return local;
}

}  // namespace sluice
