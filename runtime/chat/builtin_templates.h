// Chat templates that are known by name, for stores that bring none; the names are llama.cpp's
// (src/llama-chat.cpp).
#ifndef SLUICE_RUNTIME_CHAT_BUILTIN_TEMPLATES_H_
#define SLUICE_RUNTIME_CHAT_BUILTIN_TEMPLATES_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// Such a template prints no bos: the tokenizer adds one, or not.
struct BuiltinTemplate {
  absl::string_view name;
  absl::string_view text;  // Jinja
};

absl::Span<const BuiltinTemplate> BuiltinTemplates();
// Returns the template of this name, in any case; null: there is none.
const BuiltinTemplate* FindBuiltinTemplate(absl::string_view name);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_BUILTIN_TEMPLATES_H_
