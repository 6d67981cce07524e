// sluice completion: prints a shell's completion script, made from the table of commands.
#include <cstdio>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "tools/commands.h"

namespace sluice {
namespace {

std::string BashScript() {
  std::string cases;
  std::vector<std::string> names;
  for (const CommandSpec& command : Commands()) {
    names.push_back(command.name);
    std::vector<std::string> options;
    std::string values;
    for (const OptionSpec& option : command.options) {
      if (option.hidden) continue;
      options.push_back(option.name);
      if (!option.alias.empty()) options.push_back(option.alias);
      if (!option.choices.empty()) {
        absl::StrAppend(&values, "        ", option.name,
                        option.alias.empty() ? std::string() : absl::StrCat("|", option.alias),
                        ") COMPREPLY=($(compgen -W \"", absl::StrJoin(option.choices, " "),
                        "\" -- \"$cur\")); return ;;\n");
      }
    }
    absl::StrAppend(&cases, "    ", command.name, ")\n      case \"$prev\" in\n", values,
                    "        --*|-*) ;;\n      esac\n      words=\"", absl::StrJoin(options, " "),
                    "\" ;;\n");
  }
  return absl::StrCat(
      "# bash completion for sluice; load with: source <(sluice completion bash)\n"
      "_sluice() {\n"
      "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" words=\"\"\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W \"",
      absl::StrJoin(names, " "),
      " --help --version\" -- \"$cur\")); return\n"
      "  fi\n"
      "  case \"${COMP_WORDS[1]}\" in\n",
      cases,
      "  esac\n"
      "  if [[ \"$cur\" == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
      "  else\n"
      "    COMPREPLY=($(compgen -f -- \"$cur\"))\n"
      "  fi\n"
      "}\n"
      "complete -o filenames -F _sluice sluice\n");
}

// Inside single quotes and _arguments' brackets.
std::string ZshText(const std::string& text) {
  return absl::StrReplaceAll(text, {{"'", "'\\''"}, {"[", "\\["}, {"]", "\\]"}, {":", "\\:"}});
}

std::string ZshScript() {
  std::string names;
  std::string cases;
  for (const CommandSpec& command : Commands()) {
    absl::StrAppend(&names, "    '", command.name, ":", ZshText(command.summary), "'\n");
    absl::StrAppend(&cases, "    ", command.name, ") _arguments");
    for (const OptionSpec& option : command.options) {
      if (option.hidden) continue;
      std::string action;
      if (!option.choices.empty()) {
        action = absl::StrCat(":value:(", absl::StrJoin(option.choices, " "), ")");
      } else if (!option.value.empty()) {
        action = absl::StrCat(":", option.value, ":",
                              absl::StrContains(option.value, "FILE") ? "_files" : "");
      }
      for (const std::string& name : {option.name, option.alias}) {
        if (name.empty()) continue;
        absl::StrAppend(&cases, " \\\n      '", option.repeated ? "*" : "", name, "[",
                        ZshText(option.help), "]", action, "'");
      }
    }
    absl::StrAppend(&cases, " \\\n      '*:file:_files' ;;\n");
  }
  return absl::StrCat(
      "#compdef sluice\n"
      "# zsh completion for sluice; save as _sluice in a folder of $fpath\n"
      "_sluice() {\n"
      "  local -a commands=(\n",
      names,
      "  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe command commands\n"
      "    return\n"
      "  fi\n"
      "  local command=$words[2]\n"
      "  shift words\n"
      "  (( CURRENT-- ))\n"
      "  case $command in\n",
      cases,
      "  esac\n"
      "}\n"
      "if [ \"$funcstack[1]\" = _sluice ]; then _sluice \"$@\"; else compdef _sluice sluice; fi\n");
}

absl::Status Completion(const Arguments& args) {
  const std::string& shell = args.positionals()[0];
  if (shell != "bash" && shell != "zsh") {
    return UsageError(
        absl::StrCat("there is completion for bash and zsh, not for \"", shell, "\""));
  }
  std::fputs((shell == "bash" ? BashScript() : ZshScript()).c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

CommandSpec CompletionCommand() {
  CommandSpec command;
  command.name = "completion";
  command.summary = "Print a completion script for bash or zsh";
  command.positionals = {"bash|zsh"};
  command.description = "Prints a script that completes commands, options and their values.";
  command.examples = {"source <(sluice completion bash)",
                      "sluice completion zsh > ~/.zfunc/_sluice"};
  command.run = &Completion;
  return command;
}

}  // namespace sluice
