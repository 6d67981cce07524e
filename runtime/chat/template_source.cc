// Looks into the files that can hold a template, in transformers' order.
#include "runtime/chat/template_source.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "runtime/chat/builtin_templates.h"
#include "runtime/chat/config_file.h"
#include "runtime/text/jinja/limits.h"
#include "storage/file/json.h"
#include "storage/file/lfs_pointer.h"

namespace sluice {
namespace {

using nlohmann::json;

absl::StatusOr<TemplateSource> ChooseTemplate(const std::string& path, const json& list,
                                              const std::string& name, bool has_tools) {
  std::vector<std::pair<std::string, std::string>> templates;
  for (const json& entry : list) {
    SLUICE_ASSIGN_OR_RETURN(std::string entry_name, JsonString(entry, "name"));
    SLUICE_ASSIGN_OR_RETURN(std::string text, JsonString(entry, "template"));
    templates.emplace_back(std::move(entry_name), std::move(text));
  }
  std::vector<std::string> wanted = {name};
  if (name.empty()) wanted = {"default"};
  if (name.empty() && has_tools) wanted = {"tool_use", "default"};
  for (const std::string& candidate : wanted) {
    for (auto& [entry_name, text] : templates) {
      if (entry_name == candidate) {
        return TemplateSource{absl::StrCat(path, ", template ", candidate), std::move(text)};
      }
    }
  }
  const std::string names = absl::StrJoin(
      templates, ", ", [](std::string* out, const auto& entry) { out->append(entry.first); });
  return absl::NotFoundError(absl::StrCat(path, " has no chat template named ", wanted.back(),
                                          ", only: ", names, "; choose with --name"));
}

// An editor's mark in front of a template would be printed in front of every prompt.
std::string WithoutByteOrderMark(std::string text) {
  if (absl::StartsWith(text, "\xEF\xBB\xBF")) text.erase(0, 3);
  return text;
}

}  // namespace

absl::StatusOr<TemplateSource> OpenTemplate(const std::string& file_or_name) {
  absl::StatusOr<std::string> text = ReadWholeFile(file_or_name, jinja::Limits().source_bytes);
  if (text.ok()) {
    SLUICE_RETURN_IF_ERROR(CheckNoLfsPointer(*text, file_or_name));
    return TemplateSource{file_or_name, WithoutByteOrderMark(*std::move(text))};
  }
  if (const BuiltinTemplate* const builtin = FindBuiltinTemplate(file_or_name)) {
    return TemplateSource{std::string(builtin->name), std::string(builtin->text), /*builtin=*/true};
  }
  if (absl::StrContains(file_or_name, "{{") || absl::StrContains(file_or_name, "{%")) {
    return TemplateSource{"the template", file_or_name};
  }
  if (!absl::IsNotFound(text.status())) return text.status();
  return absl::NotFoundError(absl::StrCat(
      text.status().message(), "; templates that are known by name are ",
      absl::StrJoin(BuiltinTemplates(), ", ", [](std::string* out, const BuiltinTemplate& builtin) {
        absl::StrAppend(out, builtin.name);
      })));
}

absl::StatusOr<TemplateSource> FindTemplate(const ModelFiles& files, const std::string& name,
                                            bool has_tools) {
  if (name.empty() || name == "default") {
    SLUICE_ASSIGN_OR_RETURN(std::optional<std::string> text,
                            files.Read("chat_template.jinja", jinja::Limits().source_bytes));
    if (text.has_value()) {
      SLUICE_RETURN_IF_ERROR(CheckNoLfsPointer(*text, files.NameOf("chat_template.jinja")));
      return TemplateSource{files.NameOf("chat_template.jinja"),
                            WithoutByteOrderMark(*std::move(text))};
    }
  }
  for (const char* const config_name : {"tokenizer_config.json", "chat_template.json"}) {
    const std::string path = files.NameOf(config_name);
    SLUICE_ASSIGN_OR_RETURN(const json config, ReadConfigFile(files, config_name));
    const json* const found = JsonFind(config, "chat_template");
    if (found == nullptr) continue;
    if (found->is_array()) return ChooseTemplate(path, *found, name, has_tools);
    const std::string* const text = found->get_ptr<const std::string*>();
    if (text == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": \"chat_template\" is neither text nor a list"));
    }
    if (name.empty() || name == "default") return TemplateSource{path, *text};
  }
  if (!name.empty()) {
    return absl::NotFoundError(absl::StrCat(files.path(), " has no chat template named ", name));
  }
  return absl::NotFoundError(
      absl::StrCat(files.path(),
                   " has no chat template, neither as chat_template.jinja nor in "
                   "tokenizer_config.json; give one as a file"));
}

}  // namespace sluice
