// Parsing of command lines and the text of --help.
#include "tools/command.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"
#include "tools/llama_options.h"

namespace sluice {
namespace {

constexpr char kUsagePayload[] = "sluice/usage";

const OptionSpec* FindOption(const CommandSpec& command, absl::string_view name) {
  for (const OptionSpec& option : command.options) {
    if (name == option.name || (!option.alias.empty() && name == option.alias)) return &option;
  }
  return nullptr;
}

// Letters to insert, drop, change or swap with the next one, to make `b` of `a` (optimal string
// alignment).
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] =
          std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

absl::Status UnknownOption(const CommandSpec& command, absl::string_view given) {
  std::vector<absl::string_view> names;
  for (const OptionSpec& option : command.options) {
    if (option.hidden) continue;
    names.push_back(option.name);
    if (option.alias.size() > 2) names.push_back(option.alias);
  }
  const std::vector<absl::string_view> llama_names = LlamaNamesOf(command);
  names.insert(names.end(), llama_names.begin(), llama_names.end());
  const absl::string_view nearest = NearestName(given, names);
  return UsageError(
      absl::StrCat("unknown option ", given,
                   nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?")));
}

// Of a value that may be a whole text, as much as fits a line.
std::string Shortened(absl::string_view value) {
  constexpr size_t kMost = 40;
  return value.size() <= kMost ? absl::StrCat("\"", value, "\"")
                               : absl::StrCat("\"", value.substr(0, kMost), "...\"");
}

// The choice that `value` spells in any case, or null.
const std::string* FindChoice(const OptionSpec& option, absl::string_view value) {
  for (const std::string& choice : option.choices) {
    if (absl::EqualsIgnoreCase(choice, value)) return &choice;
  }
  return nullptr;
}

absl::Status WrongChoice(const CommandSpec& command, const OptionSpec& option,
                         absl::string_view name, absl::string_view value) {
  for (const OptionSpec& other : command.options) {
    const std::string* const choice = other.hidden ? nullptr : FindChoice(other, value);
    if (choice == nullptr) continue;
    return UsageError(absl::StrCat(name, " has no \"", value, "\", which is a value of ",
                                   other.name, ": type ", other.name, " ", *choice));
  }
  const std::vector<absl::string_view> names(option.choices.begin(), option.choices.end());
  const absl::string_view nearest = NearestName(absl::AsciiStrToLower(value), names);
  return UsageError(
      absl::StrCat(name, " is one of ", absl::StrJoin(option.choices, ", "), ", not \"", value,
                   "\"", nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?")));
}

std::string OptionHeading(const OptionSpec& option) {
  std::string heading = option.alias.empty() ? "    " : absl::StrCat(option.alias, ", ");
  absl::StrAppend(&heading, option.name);
  if (!option.value.empty()) {
    absl::StrAppend(&heading, " ", option.value);
  } else if (!option.choices.empty()) {
    absl::StrAppend(&heading, " ", absl::StrJoin(option.choices, "|"));
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

bool IsUsageError(const absl::Status& status) {
  return status.GetPayload(kUsagePayload).has_value();
}

bool Arguments::Has(absl::string_view option) const {
  return values_.find(option) != values_.end();
}

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
    return UsageError(absl::StrCat(option, " wants a whole number from ", min, " to ", max,
                                   ", not \"", *text, "\""));
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

Arguments Arguments::Changed(absl::string_view option,
                             absl::FunctionRef<std::string(const std::string&)> change) const {
  Arguments changed = *this;
  if (const auto it = changed.values_.find(option); it != changed.values_.end()) {
    for (std::string& value : it->second) value = change(value);
  }
  return changed;
}

absl::string_view NearestName(absl::string_view given, absl::Span<const absl::string_view> names) {
  const auto bare = [](absl::string_view name) {
    return name.substr(std::min(name.find_first_not_of('-'), name.size()));
  };
  const absl::string_view typed = bare(given);
  absl::string_view nearest;
  size_t best = std::min<size_t>(typed.size() / 3, 2) + 1;
  for (const absl::string_view name : names) {
    const size_t distance = EditDistance(typed, bare(name));
    if (distance >= best) continue;
    best = distance;
    nearest = name;
  }
  if (!nearest.empty() || typed.size() < 4) return nearest;
  for (const absl::string_view name : names) {
    if (absl::StartsWith(bare(name), typed)) return name;
  }
  return nearest;
}

absl::StatusOr<Arguments> ParseArguments(const CommandSpec& command,
                                         absl::Span<const std::string> args) {
  Arguments parsed;
  std::optional<std::string> model;  // -m
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
    std::string known = name;  // llama.cpp takes --an_option as well
    if (absl::StartsWith(name, "--")) std::replace(known.begin(), known.end(), '_', '-');
    const OptionSpec* option = FindOption(command, known);
    const LlamaOption llama = option == nullptr ? FindLlamaOption(command, known) : LlamaOption();
    if (llama.meaning == LlamaMeaning::kAdvice) {
      return UsageError(absl::StrCat(name, " is an option of llama.cpp; here ", llama.text));
    }
    if (llama.meaning == LlamaMeaning::kOption) option = FindOption(command, llama.text);
    const bool is_switch = option != nullptr ? option->value.empty() && option->choices.empty()
                                             : llama.meaning == LlamaMeaning::kAlreadySo;
    const bool takes_value =
        llama.meaning == LlamaMeaning::kModel || llama.meaning == LlamaMeaning::kIgnored;
    if (option == nullptr && !is_switch && !takes_value) return UnknownOption(command, name);
    if (is_switch) {
      if (equals != std::string::npos) return UsageError(absl::StrCat(name, " takes no value"));
      if (option != nullptr) parsed.values_[option->name] = {""};
      continue;
    }
    if (equals == std::string::npos && i + 1 == args.size()) {
      return UsageError(absl::StrCat(name, " needs a value"));
    }
    std::string value = equals == std::string::npos ? args[++i] : arg.substr(equals + 1);
    if (llama.meaning == LlamaMeaning::kIgnored) {
      parsed.notes_.push_back(absl::StrCat(name, " changes nothing: ", llama.text));
      continue;
    }
    if (option == nullptr) {
      model = std::move(value);
      continue;
    }
    if (!option->choices.empty()) {
      const std::string* const choice = FindChoice(*option, value);
      if (choice == nullptr) return WrongChoice(command, *option, name, value);
      value = *choice;
    }
    std::vector<std::string>& values = parsed.values_[option->name];
    if (!values.empty() && !option->repeated) {
      if (value != values.back()) {
        parsed.notes_.push_back(
            absl::StrCat(name, " is given twice; the last value counts: ", Shortened(value)));
      }
      values.clear();
    }
    values.push_back(std::move(value));
  }
  if (model.has_value()) {
    if (parsed.positionals_.size() == command.positionals.size()) {
      return UsageError(absl::StrCat("-m and \"", parsed.positionals_[0], "\" both name ",
                                     command.positionals[0]));
    }
    parsed.positionals_.insert(parsed.positionals_.begin(), *std::move(model));
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
  while (digits < text.size() && (absl::ascii_isdigit(text[digits]) || text[digits] == '.'))
    ++digits;
  const std::string unit = absl::AsciiStrToLower(text.substr(digits));
  struct Unit {
    absl::string_view name;
    double bytes;
  };
  constexpr double kKi = 1024, kK = 1000;
  const Unit units[] = {{"", 1},
                        {"b", 1},
                        {"k", kKi},
                        {"kib", kKi},
                        {"kb", kK},
                        {"m", kKi * kKi},
                        {"mib", kKi * kKi},
                        {"mb", kK * kK},
                        {"g", kKi * kKi * kKi},
                        {"gib", kKi * kKi * kKi},
                        {"gb", kK * kK * kK},
                        {"t", kKi * kKi * kKi * kKi},
                        {"tib", kKi * kKi * kKi * kKi},
                        {"tb", kK * kK * kK * kK}};
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

}  // namespace sluice
