// Parsing of command lines and the text of --help.
#include "tools/command.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kernels/status_macros.h"

namespace sluice {
namespace {

constexpr char kUsagePayload[] = "sluice/usage";

const OptionSpec* FindOption(const CommandSpec& command, absl::string_view name) {
  for (const OptionSpec& option : command.options) {
    if (name == option.name || (!option.alias.empty() && name == option.alias)) return &option;
  }
  return nullptr;
}

// Levenshtein distance, for "did you mean".
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

absl::Status UnknownOption(const CommandSpec& command, absl::string_view given) {
  const OptionSpec* nearest = nullptr;
  size_t best = 4;
  for (const OptionSpec& option : command.options) {
    const size_t distance = EditDistance(given, option.name);
    if (!option.hidden && distance < best) {
      best = distance;
      nearest = &option;
    }
  }
  return UsageError(absl::StrCat("unknown option ", given,
                                 nearest == nullptr ? std::string()
                                                    : absl::StrCat("; did you mean ", nearest->name, "?")));
}

std::string OptionHeading(const OptionSpec& option) {
  std::string heading = option.alias.empty() ? "    " : absl::StrCat(option.alias, ", ");
  absl::StrAppend(&heading, option.name);
  if (!option.choices.empty()) {
    absl::StrAppend(&heading, " ", absl::StrJoin(option.choices, "|"));
  } else if (!option.value.empty()) {
    absl::StrAppend(&heading, " ", option.value);
  }
  return heading;
}

void AppendWrapped(std::string* out, absl::string_view text, size_t indent, size_t width) {
  size_t column = 0;
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (column > 0 && column + 1 + word.size() > width - indent) {
      absl::StrAppend(out, "\n", std::string(indent, ' '));
      column = 0;
    } else if (column > 0) {
      absl::StrAppend(out, " ");
      ++column;
    }
    absl::StrAppend(out, word);
    column += word.size();
  }
  absl::StrAppend(out, "\n");
}

}  // namespace

absl::Status UsageError(absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kUsagePayload, absl::Cord());
  return status;
}

bool IsUsageError(const absl::Status& status) { return status.GetPayload(kUsagePayload).has_value(); }

bool Arguments::Has(absl::string_view option) const { return values_.find(option) != values_.end(); }

std::optional<std::string> Arguments::Get(absl::string_view option) const {
  const auto it = values_.find(option);
  if (it == values_.end()) return std::nullopt;
  return it->second.back();
}

std::vector<std::string> Arguments::All(absl::string_view option) const {
  const auto it = values_.find(option);
  return it == values_.end() ? std::vector<std::string>() : it->second;
}

absl::StatusOr<int64_t> Arguments::Int(absl::string_view option, int64_t fallback, int64_t min,
                                       int64_t max) const {
  const std::optional<std::string> text = Get(option);
  if (!text.has_value()) return fallback;
  int64_t value;
  if (!absl::SimpleAtoi(*text, &value) || value < min || value > max) {
    return UsageError(absl::StrCat(option, " wants a whole number from ", min, " to ", max, ", not \"", *text,
                                   "\""));
  }
  return value;
}

absl::StatusOr<double> Arguments::Double(absl::string_view option, double fallback) const {
  const std::optional<std::string> text = Get(option);
  if (!text.has_value()) return fallback;
  double value;
  if (!absl::SimpleAtod(*text, &value) || !std::isfinite(value)) {
    return UsageError(absl::StrCat(option, " wants a number, not \"", *text, "\""));
  }
  return value;
}

absl::StatusOr<int64_t> Arguments::Bytes(absl::string_view option, int64_t fallback) const {
  const std::optional<std::string> text = Get(option);
  if (!text.has_value()) return fallback;
  const absl::StatusOr<int64_t> bytes = ParseByteSize(*text);
  if (!bytes.ok()) return UsageError(absl::StrCat(option, " ", bytes.status().message()));
  return *bytes;
}

absl::StatusOr<int64_t> Arguments::Rate(absl::string_view option, int64_t fallback) const {
  const std::optional<std::string> text = Get(option);
  if (!text.has_value()) return fallback;
  const absl::StatusOr<int64_t> bytes = ParseByteSize(absl::StripSuffix(*text, "/s"));
  if (!bytes.ok() || *bytes < 1) {
    return UsageError(absl::StrCat(option, " wants a rate such as 1GB/s, not \"", *text, "\""));
  }
  return *bytes;
}

std::vector<std::string> Arguments::List(absl::string_view option) const {
  const std::optional<std::string> text = Get(option);
  if (!text.has_value()) return {};
  return absl::StrSplit(*text, ',');
}

Arguments Arguments::With(absl::string_view option, absl::string_view value) const {
  Arguments changed = *this;
  changed.values_[std::string(option)] = {std::string(value)};
  return changed;
}

absl::StatusOr<Arguments> ParseArguments(const CommandSpec& command, absl::Span<const std::string> args) {
  Arguments parsed;
  bool options_end = false;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (options_end || arg.size() < 2 || arg[0] != '-') {
      parsed.positionals_.push_back(arg);
      continue;
    }
    if (arg == "--") {
      options_end = true;
      continue;
    }
    const size_t equals = absl::StartsWith(arg, "--") ? arg.find('=') : std::string::npos;
    const std::string name = arg.substr(0, equals);
    const OptionSpec* option = FindOption(command, name);
    if (option == nullptr) return UnknownOption(command, name);
    std::vector<std::string>& values = parsed.values_[option->name];
    if (option->value.empty() && option->choices.empty()) {
      if (equals != std::string::npos) return UsageError(absl::StrCat(name, " takes no value"));
      values.push_back("");
      continue;
    }
    if (equals == std::string::npos && i + 1 == args.size()) {
      return UsageError(absl::StrCat(name, " needs a value"));
    }
    const std::string value = equals == std::string::npos ? args[++i] : arg.substr(equals + 1);
    if (!option->choices.empty() &&
        std::find(option->choices.begin(), option->choices.end(), value) == option->choices.end()) {
      return UsageError(absl::StrCat(name, " is one of ", absl::StrJoin(option->choices, ", "), ", not \"",
                                     value, "\""));
    }
    if (!values.empty() && !option->repeated) return UsageError(absl::StrCat(name, " is given twice"));
    values.push_back(value);
  }
  if (parsed.Has("--help")) return parsed;
  if (parsed.positionals_.size() < command.positionals.size() &&
      !absl::StartsWith(command.positionals[parsed.positionals_.size()], "[")) {
    return UsageError(absl::StrCat(command.positionals[parsed.positionals_.size()], " is missing"));
  }
  if (parsed.positionals_.size() > command.positionals.size()) {
    return UsageError(absl::StrCat("unexpected argument \"",
                                   parsed.positionals_[command.positionals.size()], "\""));
  }
  return parsed;
}

std::string CommandHelp(const CommandSpec& command) {
  std::string text = absl::StrCat("usage: sluice ", command.name);
  for (const std::string& positional : command.positionals) absl::StrAppend(&text, " ", positional);
  absl::StrAppend(&text, " [OPTION]...\n\n");
  for (const absl::string_view paragraph : absl::StrSplit(command.description, "\n\n")) {
    AppendWrapped(&text, paragraph, 0, 96);
    absl::StrAppend(&text, "\n");
  }
  absl::StrAppend(&text, "Options:\n");
  constexpr size_t kIndent = 34;
  for (const OptionSpec& option : command.options) {
    if (option.hidden) continue;
    std::string line = absl::StrCat("  ", OptionHeading(option));
    if (line.size() + 2 > kIndent) {
      absl::StrAppend(&text, line, "\n", std::string(kIndent, ' '));
    } else {
      absl::StrAppend(&text, line, std::string(kIndent - line.size(), ' '));
    }
    AppendWrapped(&text, option.help, kIndent, 100);
  }
  if (!command.examples.empty()) {
    absl::StrAppend(&text, "\nExamples:\n");
    for (const std::string& example : command.examples) absl::StrAppend(&text, "  ", example, "\n");
  }
  return text;
}

absl::StatusOr<int64_t> ParseByteSize(absl::string_view text) {
  size_t digits = 0;
  while (digits < text.size() && (absl::ascii_isdigit(text[digits]) || text[digits] == '.')) ++digits;
  const std::string unit = absl::AsciiStrToLower(text.substr(digits));
  struct Unit {
    absl::string_view name;
    double bytes;
  };
  constexpr double kKi = 1024, kK = 1000;
  const Unit units[] = {{"", 1},           {"b", 1},
                        {"k", kKi},        {"kib", kKi},           {"kb", kK},
                        {"m", kKi * kKi},  {"mib", kKi * kKi},     {"mb", kK * kK},
                        {"g", kKi * kKi * kKi}, {"gib", kKi * kKi * kKi}, {"gb", kK * kK * kK},
                        {"t", kKi * kKi * kKi * kKi}, {"tib", kKi * kKi * kKi * kKi}, {"tb", kK * kK * kK * kK}};
  double number;
  if (digits > 0 && absl::SimpleAtod(text.substr(0, digits), &number)) {
    for (const Unit& candidate : units) {
      if (unit == candidate.name && number * candidate.bytes < 9e18) {
        return static_cast<int64_t>(number * candidate.bytes);
      }
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("wants a size such as 3GiB, 512M or 4GB, not \"", text, "\""));
}

std::string FormatBytes(int64_t bytes) {
  const double value = static_cast<double>(bytes);
  if (value >= 0x1p30) return absl::StrFormat("%.2f GiB", value / 0x1p30);
  if (value >= 0x1p20) return absl::StrFormat("%.1f MiB", value / 0x1p20);
  if (value >= 0x1p10) return absl::StrFormat("%.1f KiB", value / 0x1p10);
  return absl::StrFormat("%d bytes", bytes);
}

}  // namespace sluice
