// sluice template: the prompt that a conversation becomes.
#include <sys/stat.h>
#include <time.h>

#include <cstdio>
#include <ctime>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "runtime/chat/chat_template.h"
#include "runtime/chat/model_files.h"
#include "runtime/chat/special_tokens.h"
#include "runtime/chat/template_source.h"
#include "runtime/text/jinja/json.h"
#include "storage/file/json.h"
#include "storage/source/gguf.h"
#include "storage/store/store_paths.h"
#include "tools/commands.h"
#include "tools/prompt_text.h"
#include "tools/session_options.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr int64_t kMaxContextBytes = int64_t{64} << 20;

bool IsFolder(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
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

absl::StatusOr<std::tm> ClockOf(const Arguments& args) {
  if (const auto text = args.Get("--clock")) return ParseClock(*text);
  return LocalTime(std::time(nullptr));
}

absl::Status RenderTemplate(const Arguments& args) {
  const std::string& path = args.positionals()[0];
  if (!args.Has("--context")) return UsageError("--context is missing");
  SLUICE_ASSIGN_OR_RETURN(const std::tm clock, ClockOf(args));
  const std::string context_path = *args.Get("--context");
  SLUICE_ASSIGN_OR_RETURN(
      const std::string context_text,
      ReadWholeFile(context_path == "-" ? "/dev/stdin" : context_path, kMaxContextBytes));
  if (const DefaultBudget budget = DefaultBudgetOf(ReadMemoryLimits());
      JsonTreeBytes(context_text) > budget.bytes) {
    return NoFreeMemory(context_path, budget);
  }
  SLUICE_ASSIGN_OR_RETURN(const jinja::Value context,
                          jinja::ValueFromJson(context_text, context_path));
  if (!context.is_dict()) {
    return absl::InvalidArgumentError(
        absl::StrCat(context_path, ": not a JSON object with messages and other variables"));
  }
  TemplateVariables variables;
  TemplateSource source;
  if (IsFolder(path) || IsGgufFile(path)) {
    SLUICE_ASSIGN_OR_RETURN(const ModelFiles files, ModelFiles::Open(path));
    if (const absl::StatusOr<Manifest> manifest = ReadManifest(path); manifest.ok()) {
      WarnOfTokenizerChanges(files.path(), *manifest);
    }
    const jinja::Value* const tools = context.dict().Find("tools");
    SLUICE_ASSIGN_OR_RETURN(source, FindTemplate(files, args.Get("--name").value_or(""),
                                                 tools != nullptr && !tools->is_none()));
    SLUICE_ASSIGN_OR_RETURN(variables, ReadSpecialTokens(files));
  } else {
    if (args.Has("--name")) return UsageError("--name chooses among the templates of a folder");
    SLUICE_ASSIGN_OR_RETURN(source, OpenTemplate(path));
  }
  SLUICE_ASSIGN_OR_RETURN(const ChatTemplate chat_template,
                          ChatTemplate::Parse(std::move(source), std::move(variables)));
  SLUICE_ASSIGN_OR_RETURN(const std::string prompt,
                          chat_template.Render(context.dict().entries(), clock));
  if (args.Has("--json")) {
    std::printf("%s\n", json(prompt).dump().c_str());
  } else {
    std::fwrite(prompt.data(), 1, prompt.size(), stdout);
  }
  return absl::OkStatus();
}

}  // namespace

CommandSpec TemplateCommand() {
  CommandSpec command;
  command.name = "template";
  command.summary = "Print the prompt that a conversation becomes";
  command.positionals = {"STORE|MODEL_DIR|MODEL.gguf|FILE.jinja|NAME"};
  command.description =
      "Renders a chat template, to the byte, with the variables of a JSON object: messages, "
      "tools, add_generation_prompt and other variables that the template reads. bos_token and "
      "the other special tokens come from tokenizer_config.json if the object does not have "
      "them.\n\n"
      "The template is chat_template.jinja, or \"chat_template\" of tokenizer_config.json. If "
      "the latter has several templates, tool_use is taken if there are tools, else default. "
      "NAME is a name from the list in docs/chat-templates.md, such as chatml.";
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
