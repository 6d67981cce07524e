// Finds the text of a model's or store's chat template.
#ifndef SLUICE_RUNTIME_CHAT_TEMPLATE_SOURCE_H_
#define SLUICE_RUNTIME_CHAT_TEMPLATE_SOURCE_H_

#include <string>

#include "absl/status/statusor.h"
#include "runtime/chat/model_files.h"

namespace sluice {

// A template and the place where it was found.
struct TemplateSource {
  std::string name;  // for people: a path, with the template's name if a file has several
  std::string text;
  bool builtin = false;  // the tokenizer's additions around a text (bos) go around the prompt, too
};

// Opens the template that a user names: a file, else a known name (builtin_templates.h), else a
// text with {{ or {% in it. NotFound: none of these. Errors of ReadWholeFile.
absl::StatusOr<TemplateSource> OpenTemplate(const std::string& file_or_name);

// Returns the template of a model: chat_template.jinja, else "chat_template" of
// tokenizer_config.json or chat_template.json, which is text or a list of {name, template}. Of
// several, the one called `name` is chosen; with an empty `name`, tool_use if there are tools, else
// default, as in transformers. NotFound: no template, or none of that name. InvalidArgument: a
// malformed file.
absl::StatusOr<TemplateSource> FindTemplate(const ModelFiles& files, const std::string& name,
                                            bool has_tools);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_TEMPLATE_SOURCE_H_
