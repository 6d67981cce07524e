// Looks into the files that can hold a template, in transformers' order.
#include "runtime/chat/template_source.h"

#include <sys/stat.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/status_macros.h"
#include "runtime/chat/config_file.h"
#include "runtime/jinja/limits.h"
#include "storage/json.h"

namespace sluice {
namespace {

using nlohmann::json;

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

absl::StatusOr<TemplateSource> ChooseTemplate(const std::string& path, const json& list, const std::string& name,
                                              bool has_tools) {
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
  return absl::NotFoundError(absl::StrCat(path, " has no chat template named ", wanted.back(), ", only: ", names,
                                          "; choose with --name"));
}

}  // namespace

std::string TokenizerFolder(const std::string& dir) {
  const std::string of_store = absl::StrCat(dir, "/tokenizer");
  struct stat info;
  return stat(of_store.c_str(), &info) == 0 && S_ISDIR(info.st_mode) ? of_store : dir;
}

absl::StatusOr<TemplateSource> ReadTemplateFile(const std::string& path) {
  TemplateSource source = {path, ""};
  SLUICE_ASSIGN_OR_RETURN(source.text, ReadWholeFile(path, jinja::Limits().source_bytes));
  return source;
}

absl::StatusOr<TemplateSource> FindTemplate(const std::string& folder, const std::string& name, bool has_tools) {
  const std::string file = absl::StrCat(folder, "/chat_template.jinja");
  if (Exists(file) && (name.empty() || name == "default")) return ReadTemplateFile(file);
  for (const char* const config_name : {"tokenizer_config.json", "chat_template.json"}) {
    const std::string path = absl::StrCat(folder, "/", config_name);
    SLUICE_ASSIGN_OR_RETURN(const json config, ReadConfigFile(path));
    const json* const found = JsonFind(config, "chat_template");
    if (found == nullptr) continue;
    if (found->is_array()) return ChooseTemplate(path, *found, name, has_tools);
    const std::string* const text = found->get_ptr<const std::string*>();
    if (text == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": \"chat_template\" is neither text nor a list"));
    }
    if (name.empty() || name == "default") return TemplateSource{path, *text};
  }
  if (!name.empty()) {
    return absl::NotFoundError(absl::StrCat(folder, " has no chat template named ", name));
  }
  return absl::NotFoundError(absl::StrCat(
      folder, " has no chat template, neither as chat_template.jinja nor in tokenizer_config.json; "
              "give one as a file"));
}

}  // namespace sluice
