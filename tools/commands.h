// The list of subcommands; each is defined in a file of its own.
#ifndef SLUICE_TOOLS_COMMANDS_H_
#define SLUICE_TOOLS_COMMANDS_H_

#include <vector>

#include "tools/command.h"

namespace sluice {

// In the order of the help text. Each has --help among its options.
const std::vector<CommandSpec>& Commands();

CommandSpec ShardCommand();
CommandSpec RunCommand();
CommandSpec ChatCommand();
CommandSpec BatchCommand();
CommandSpec PlanCommand();
CommandSpec InspectCommand();
CommandSpec VerifyCommand();
CommandSpec PerplexityCommand();
CommandSpec ScoreCommand();
CommandSpec TokenizeCommand();
CommandSpec TemplateCommand();
CommandSpec SynthCommand();
CommandSpec ProbeCommand();
CommandSpec BenchCommand();
CommandSpec CompletionCommand();

}  // namespace sluice

#endif  // SLUICE_TOOLS_COMMANDS_H_
