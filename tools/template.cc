// sluice template: the prompt that a conversation becomes.
#include <sys/stat.h>
#include <time.h>

#include <cstdio>
#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/status_macros.h"
#include "nlohmann/json.hpp"
#include "runtime/jinja/json.h"
#include "runtime/jinja/template.h"
#include "storage/gguf.h"
#include "storage/json.h"
#include "tools/commands.h"
#include "tools/model_files.h"
#include "tools/session.h"

namespace sluice {
namespace {

using nlohmann::json;
using Entries = std::vector<jinja::DictData::Entry>;

constexpr int64_t kMaxContextBytes = int64_t{64} << 20;
constexpr int64_t kMaxConfigBytes = int64_t{64} << 20;

// A template and where it was found.
struct Source {
  std::string name;
  std::string text;
};

bool IsFolder(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// A JSON file, or null where there is none.
absl::StatusOr<json> ReadConfig(const ModelFiles& files, const std::string& file) {
  SLUICE_ASSIGN_OR_RETURN(const std::optional<std::string> text, files.Read(file, kMaxConfigBytes));
  if (!text.has_value()) return json();
  return ParseJson(*text, files.NameOf(file));
}

// Of several templates in one file: the one asked for, else tool_use where there are tools, else
// default, as transformers chooses.
absl::StatusOr<Source> ChooseTemplate(const std::string& path, const json& list,
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
        return Source{absl::StrCat(path, ", template ", candidate), std::move(text)};
      }
    }
  }
  const std::string names = absl::StrJoin(
      templates, ", ", [](std::string* out, const auto& entry) { out->append(entry.first); });
  return absl::NotFoundError(absl::StrCat(path, " has no chat template named ", wanted.back(),
                                          ", only: ", names, "; choose with --name"));
}

absl::StatusOr<Source> FindTemplate(const ModelFiles& files, const std::string& name,
                                    bool has_tools) {
  if (name.empty() || name == "default") {
    SLUICE_ASSIGN_OR_RETURN(std::optional<std::string> text,
                            files.Read("chat_template.jinja", jinja::Limits().source_bytes));
    if (text.has_value()) return Source{files.NameOf("chat_template.jinja"), *std::move(text)};
  }
  for (const char* const config_name : {"tokenizer_config.json", "chat_template.json"}) {
    const std::string path = files.NameOf(config_name);
    SLUICE_ASSIGN_OR_RETURN(const json config, ReadConfig(files, config_name));
    const json* const found = JsonFind(config, "chat_template");
    if (found == nullptr) continue;
    if (found->is_array()) return ChooseTemplate(path, *found, name, has_tools);
    if (!found->is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": \"chat_template\" is neither text nor a list"));
    }
    if (name.empty() || name == "default") return Source{path, found->get<std::string>()};
  }
  if (!name.empty()) {
    return absl::NotFoundError(absl::StrCat(files.path(), " has no chat template named ", name));
  }
  return absl::NotFoundError(absl::StrCat(
      files.path(), " has no chat template, neither as chat_template.jinja nor in tokenizer_config.json; "
              "give one as a file"));
}

// bos_token, eos_token and the like as transformers hands them to templates: text, whether the
// file has text or an object with "content".
absl::StatusOr<Entries> SpecialTokens(const ModelFiles& files) {
  static constexpr const char* kNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                           "pad_token", "cls_token", "mask_token"};
  const auto content = [](const json& token) {
    const json* const text = token.is_object() ? JsonFind(token, "content") : &token;
    return text != nullptr && text->is_string() ? jinja::Value::String(text->get<std::string>())
                                                : jinja::Value();
  };
  Entries tokens;
  for (const char* const file : {"special_tokens_map.json", "tokenizer_config.json"}) {
    SLUICE_ASSIGN_OR_RETURN(const json config, ReadConfig(files, file));
    for (const char* const name : kNames) {
      const json* const token = JsonFind(config, name);
      if (token == nullptr) continue;
      jinja::Value text = content(*token);
      if (!text.is_missing()) tokens.emplace_back(jinja::Value::String(name), std::move(text));
    }
    const json* const more = JsonFind(config, "additional_special_tokens");
    if (more == nullptr || !more->is_array()) continue;
    std::vector<jinja::Value> list;
    for (const json& token : *more) {
      jinja::Value text = content(token);
      if (!text.is_missing()) list.push_back(std::move(text));
    }
    tokens.emplace_back(jinja::Value::String("additional_special_tokens"),
                        jinja::Value::List(std::move(list)));
  }
  return tokens;
}

// 2026-03-04T05:06:07 or 2026-03-04.
absl::StatusOr<std::tm> ParseClock(const std::string& text) {
  for (const char* const format : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"}) {
    std::tm time = {};
    const char* const end = strptime(text.c_str(), format, &time);
    if (end == nullptr || *end != '\0') continue;
    const int day = time.tm_mday;
    if (timegm(&time) != -1 && time.tm_mday == day) return time;  // also sets the day of the week
  }
  return UsageError(
      absl::StrCat("--clock wants a time such as 2026-03-04T05:06:07, not \"", text, "\""));
}

absl::StatusOr<std::tm> Clock(const Arguments& args) {
  if (const auto text = args.Get("--clock")) return ParseClock(*text);
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  localtime_r(&now, &local);
  return local;
}

absl::Status RenderTemplate(const Arguments& args) {
  const std::string& path = args.positionals()[0];
  if (!args.Has("--context")) return UsageError("--context is missing");
  SLUICE_ASSIGN_OR_RETURN(const std::tm clock, Clock(args));
  const std::string context_path = *args.Get("--context");
  SLUICE_ASSIGN_OR_RETURN(const std::string context_text,
                          context_path == "-" ? ReadTextFile(context_path)
                                              : ReadWholeFile(context_path, kMaxContextBytes));
  SLUICE_ASSIGN_OR_RETURN(const jinja::Value context,
                          jinja::ValueFromJson(context_text, context_path));
  if (!context.is_dict()) {
    return absl::InvalidArgumentError(
        absl::StrCat(context_path, ": not a JSON object with messages and other variables"));
  }
  Entries variables;
  Source source;
  if (IsFolder(path) || IsGgufFile(path)) {
    SLUICE_ASSIGN_OR_RETURN(const ModelFiles files, ModelFiles::Open(path));
    const jinja::Value* const tools = context.dict().Find("tools");
    SLUICE_ASSIGN_OR_RETURN(source, FindTemplate(files, args.Get("--name").value_or(""),
                                                 tools != nullptr && !tools->is_none()));
    SLUICE_ASSIGN_OR_RETURN(variables, SpecialTokens(files));
  } else {
    if (args.Has("--name")) return UsageError("--name chooses among the templates of a folder");
    SLUICE_ASSIGN_OR_RETURN(source.text, ReadWholeFile(path, jinja::Limits().source_bytes));
    source.name = path;
  }
  const Entries& given = context.dict().entries();
  variables.insert(variables.end(), given.begin(), given.end());  // of one name, the last counts
  const auto annotated = [&](const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat(source.name, ": ", status.message()));
  };
  const absl::StatusOr<jinja::Template> parsed = jinja::Template::Parse(source.text);
  if (!parsed.ok()) return annotated(parsed.status());
  const absl::StatusOr<std::string> prompt =
      parsed->Render(jinja::Value::Dict(std::move(variables)), clock);
  if (!prompt.ok()) return annotated(prompt.status());
  if (args.Has("--json")) {
    std::printf("%s\n", json(*prompt).dump().c_str());
  } else {
    std::fwrite(prompt->data(), 1, prompt->size(), stdout);
  }
  return absl::OkStatus();
}

}  // namespace

CommandSpec TemplateCommand() {
  CommandSpec command;
  command.name = "template";
  command.summary = "Print the prompt that a conversation becomes";
  command.positionals = {"STORE|MODEL_DIR|MODEL.gguf|FILE.jinja"};
  command.description =
      "Renders a chat template, to the byte, with the variables of a JSON object: messages, tools, "
      "add_generation_prompt and whatever else the template reads. bos_token and the other special "
      "tokens come from tokenizer_config.json where the object does not have them.\n\n"
      "The template is chat_template.jinja, or \"chat_template\" of tokenizer_config.json. Where "
      "that has several, tool_use is taken if there are tools, else default.";
  command.options = {
      {.name = "--context", .value = "FILE", .help = "The JSON object; - is standard input."},
      {.name = "--name", .value = "NAME", .help = "Which of several templates."},
      {.name = "--clock",
       .value = "TIME",
       .help = "The time that strftime_now sees, such as 2026-03-04T05:06:07; now by default."},
      {.name = "--json", .help = "Print one JSON string."},
  };
  command.examples = {
      "echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}' | sluice template "
      "chat.store --context -",
      "sluice template Qwen3-0.6B --context chat.json --clock 2026-03-04T05:06:07"};
  command.run = &RenderTemplate;
  return command;
}

}  // namespace sluice
