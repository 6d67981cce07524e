// The sluice command: finds the subcommand, parses, runs, and turns a Status into an exit code.
#include <fcntl.h>
#include <signal.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "kernels/base/exception_status.h"
#include "tools/command.h"
#include "tools/commands.h"
#include "tools/last_resort.h"

namespace sluice {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;
constexpr int kExitInterrupted = 130;

std::string ProgramHelp() {
  std::string text =
      "usage: sluice COMMAND [ARGUMENT]...\n\n"
      "Runs language models that do not fit in memory: cuts a checkpoint into a store of slabs,\n"
      "streams slabs from disk while earlier ones compute, and keeps in memory as many as "
      "fit.\n\nCommands:\n";
  for (const CommandSpec& command : Commands()) {
    absl::StrAppendFormat(&text, "  %-12s %s\n", command.name, command.summary);
  }
  absl::StrAppend(&text,
                  "\n`sluice COMMAND --help` explains a command.\n"
                  "Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted.\n");
  return text;
}

std::string OneLine(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\n", " "}, {"\r", " "}});
}

int Fail(absl::string_view command, const absl::Status& status) {
  const std::string message = OneLine(status.message());  // whatever it quotes
  std::fflush(stdout);
  std::fprintf(stderr, "sluice%s%s: %s\n", command.empty() ? "" : " ", std::string(command).c_str(),
               message.c_str());
  if (IsUsageError(status)) {
    std::fprintf(stderr, "Try `sluice%s%s --help`.\n", command.empty() ? "" : " ",
                 std::string(command).c_str());
    return kExitUsage;
  }
  return absl::IsCancelled(status) ? kExitInterrupted : kExitFailure;
}

// Exit code 0 where all of the output could be written.
int EndOutput(absl::string_view command) {
  if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return 0;
  return Fail(command, absl::DataLossError("cannot write to standard output"));
}

// A program that is started with a standard stream closed would get its number for the next file
// that it opens, and write messages into that one. What opens here in place of the stream refuses
// to be used as it.
void OccupyStandardStreams() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
        open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
      return;
  }
}

int Main(int argc, char** argv) {
  OccupyStandardStreams();
  signal(SIGXFSZ, SIG_IGN);  // a write beyond `ulimit -f` is EFBIG then, which has a message
  std::vector<std::string> args(argv + 1, argv + argc);
  if (args.empty()) return Fail("", UsageError("a command is missing"));
  if (args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
    std::fputs(ProgramHelp().c_str(), stdout);
    return EndOutput("");
  }
  if (args[0] == "--version") {
    std::printf("sluice %s\n", SLUICE_VERSION);
    return EndOutput("");
  }
  for (const CommandSpec& command : Commands()) {
    if (command.name != args[0]) continue;
    const absl::StatusOr<Arguments> parsed =
        ParseArguments(command, absl::MakeConstSpan(args).subspan(1));
    if (!parsed.ok()) return Fail(command.name, parsed.status());
    if (parsed->Has("--help")) {
      std::fputs(CommandHelp(command).c_str(), stdout);
      return EndOutput(command.name);
    }
    for (const std::string& note : parsed->notes()) {
      std::fprintf(stderr, "sluice %s: %s\n", command.name.c_str(), OneLine(note).c_str());
    }
    const absl::Status status = CatchExceptions([&] { return command.run(*parsed); });
    if (!status.ok()) return Fail(command.name, status);
    return EndOutput(command.name);
  }
  std::vector<absl::string_view> names;
  for (const CommandSpec& command : Commands()) names.push_back(command.name);
  const absl::string_view nearest = NearestName(absl::AsciiStrToLower(args[0]), names);
  return Fail("", UsageError(absl::StrCat(
                      "unknown command \"", args[0], "\"",
                      nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?"))));
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  sluice::PrepareForShortage(argc > 1 ? argv[1] : "");
  return sluice::RunOnAmpleStack([&] { return sluice::Main(argc, argv); });
}
