// Assembles the table of subcommands.
#include "tools/commands.h"

namespace sluice {

const std::vector<CommandSpec>& Commands() {
  static const std::vector<CommandSpec>* const commands = [] {
    auto* list = new std::vector<CommandSpec>{
        ShardCommand(), RunCommand(),      ChatCommand(),      BatchCommand(),
        PlanCommand(),  InspectCommand(),  VerifyCommand(),    PerplexityCommand(),
        ScoreCommand(), TokenizeCommand(), TemplateCommand(),  SynthCommand(),
        ProbeCommand(), BenchCommand(),    CompletionCommand()};
    for (CommandSpec& command : *list) {
      command.options.push_back({.name = "--help", .alias = "-h", .help = "Show this text."});
    }
    return list;
  }();
  return *commands;
}

}  // namespace sluice
