// What a subcommand is: its options as a table, which parsing, --help and shell completion all
// read.
#ifndef SLUICE_TOOLS_COMMAND_H_
#define SLUICE_TOOLS_COMMAND_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// One option. Spelled as in llama.cpp: names of several letters may have one dash (-ctk).
struct OptionSpec {
  std::string name;        // "--max-ram"
  std::string alias = {};  // "-c", "-ctk", or empty
  std::string value = {};  // what follows it, for help: "SIZE"; empty for a switch, and where help
                           // is to list the choices
  std::string help = {};
  std::vector<std::string> choices = {};  // accepted values, in any case; empty: any
  bool repeated = false;                  // every value counts; else the last one
  bool hidden = false;                    // not in help or completion
};

// What was given on the command line.
class Arguments {
 public:
  bool Has(absl::string_view option) const;
  // The last value given, or none.
  std::optional<std::string> Get(absl::string_view option) const;
  std::vector<std::string> All(absl::string_view option) const;
  // Typed values; a usage error names the option and what it wants.
  absl::StatusOr<int64_t> Int(absl::string_view option, int64_t fallback, int64_t min,
                              int64_t max) const;
  absl::StatusOr<double> Double(absl::string_view option, double fallback) const;
  absl::StatusOr<int64_t> Bytes(absl::string_view option, int64_t fallback) const;
  // "1GB/s" or "500MiB/s", in bytes a second, at least 1.
  absl::StatusOr<int64_t> Rate(absl::string_view option, int64_t fallback) const;
  // The values of an option that takes several, such as 1GiB,2GiB; nothing where it was not given.
  std::vector<std::string> List(absl::string_view option) const;
  // The same arguments but for one option, which was given this value.
  Arguments With(absl::string_view option, absl::string_view value) const;
  // The same arguments but for the values of one option, which `change` makes others of.
  Arguments Changed(absl::string_view option,
                    absl::FunctionRef<std::string(const std::string&)> change) const;
  // What the user should know of how they were read, a line each.
  const std::vector<std::string>& notes() const { return notes_; }
  const std::vector<std::string>& positionals() const { return positionals_; }

 private:
  friend absl::StatusOr<Arguments> ParseArguments(const struct CommandSpec&,
                                                  absl::Span<const std::string>);
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> positionals_;
  std::vector<std::string> notes_;
};

struct CommandSpec {
  std::string name;
  std::string summary;                   // one line
  std::vector<std::string> positionals;  // "STORE"; "[DIR]" may be left out, and comes last
  std::string description;               // paragraphs for --help
  std::vector<OptionSpec> options;
  std::vector<std::string> examples;
  absl::Status (*run)(const Arguments&) = nullptr;
};

// InvalidArgument that stands for wrong usage: exit code 2 instead of 1.
absl::Status UsageError(absl::string_view message);
bool IsUsageError(const absl::Status& status);

// Matches `args` (without program and command name) against the table, and against llama.cpp's
// names (llama_options.h). "--option=value" and "--an_option" work too; "--" ends the options. Of
// an option that is given twice the last value counts, and a note says so. Usage errors name the
// culprit and, for a misspelt option, the one that is near, if any.
absl::StatusOr<Arguments> ParseArguments(const CommandSpec& command,
                                         absl::Span<const std::string> args);

// The one of `names` that `given` is a slip of, or empty: a letter or two wrong, missing, too much
// or swapped, by the length of the name, or the rest of the name missing.
absl::string_view NearestName(absl::string_view given, absl::Span<const absl::string_view> names);

// The --help text.
std::string CommandHelp(const CommandSpec& command);

// "3GiB", "8M", "1.5GB", "4096": binary for KiB MiB GiB TiB and K M G T, decimal for KB MB GB TB.
absl::StatusOr<int64_t> ParseByteSize(absl::string_view text);

}  // namespace sluice

#endif  // SLUICE_TOOLS_COMMAND_H_
