// Reads and checks a grammar ahead of everything that takes time.
#include "tools/grammar_options.h"

#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernels/base/format_bytes.h"
#include "kernels/base/status_macros.h"
#include "runtime/constrain/constraints.h"
#include "runtime/text/grammar/limits.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

constexpr int64_t kMaxFileBytes = grammar::Limits().source_bytes;

struct GrammarOption {
  const char* name;
  GrammarKind kind;
  bool file;  // its value is always a file's name
};
constexpr GrammarOption kGrammarOptions[] = {{"--json-schema", GrammarKind::kJsonSchema, false},
                                             {"--json-schema-file", GrammarKind::kJsonSchema, true},
                                             {"--grammar", GrammarKind::kGbnf, false},
                                             {"--grammar-file", GrammarKind::kGbnf, true}};

// A schema is an object, true or false; a grammar has a rule.
bool LooksLikeText(GrammarKind kind, absl::string_view value) {
  if (kind == GrammarKind::kGbnf) return absl::StrContains(value, "::=");
  absl::ConsumePrefix(&value, "\xEF\xBB\xBF");  // a byte order mark
  value = absl::StripAsciiWhitespace(value);
  return absl::StartsWith(value, "{") || value == "true" || value == "false";
}

// Whether `value` names something: a file, a pipe, /dev/stdin, or - for standard input.
bool NamesFile(const std::string& value) {
  struct stat info;
  return value == "-" || stat(value.c_str(), &info) == 0;
}

// The text that the option stands for. `*name` is what errors call it.
absl::StatusOr<std::string> ReadGrammarText(const Arguments& args, const GrammarOption& option,
                                            std::string* name) {
  std::string value = *args.Get(option.name);
  *name = option.name;
  if (value.empty()) return UsageError(absl::StrCat(option.name, " has an empty value"));
  if (!option.file && !NamesFile(value)) {
    if (LooksLikeText(option.kind, value)) return value;
    return absl::InvalidArgumentError(absl::StrCat(
        option.name, ": there is no file \"", absl::CHexEscape(value.substr(0, 200)),
        "\", and it is no ",
        option.kind == GrammarKind::kGbnf ? "grammar either, which begins with root ::= ..."
                                          : "JSON schema either, which begins with {"));
  }
  if (option.file && !NamesFile(value) && LooksLikeText(option.kind, value)) {
    return UsageError(absl::StrCat(
        option.name, " names a file; ",
        option.kind == GrammarKind::kGbnf ? "--grammar" : "--json-schema", " takes the text"));
  }
  *name = value == "-" ? "standard input" : value;
  if (value != "-") return ReadWholeFile(value, kMaxFileBytes);
  if (args.Get("--file").value_or("") == "-") {
    return UsageError(absl::StrCat("-f and ", option.name, " cannot both read standard input"));
  }
  return ReadWholeFile("/dev/stdin", kMaxFileBytes);
}

}  // namespace

std::vector<OptionSpec> GrammarOptionSpecs() {
  return {
      {.name = "--json-schema",
       .alias = "-j",
       .value = "TEXT|FILE",
       .help = "Generate JSON that is valid by this schema (docs/grammar.md)."},
      {.name = "--json-schema-file",
       .alias = "-jf",
       .value = "FILE",
       .help = "The same, always from a file."},
      {.name = "--grammar",
       .value = "TEXT|FILE",
       .help = "Generate text that this GBNF grammar allows."},
      {.name = "--grammar-file", .value = "FILE", .help = "The same, always from a file."},
  };
}

absl::StatusOr<std::optional<GrammarText>> ReadGrammarOption(const Arguments& args,
                                                             OpenOptions* options) {
  const GrammarOption* given = nullptr;
  for (const GrammarOption& option : kGrammarOptions) {
    if (!args.Has(option.name)) continue;
    if (given != nullptr)
      return UsageError(absl::StrCat("give one of ", given->name, " and ", option.name));
    given = &option;
  }
  if (given == nullptr) return std::nullopt;
  if (args.Has("--ignore-eos"))
    return UsageError("--ignore-eos does not go with a grammar, which says where to end");
  std::string name;
  SLUICE_ASSIGN_OR_RETURN(std::string text, ReadGrammarText(args, *given, &name));
  if (const int64_t bytes = JsonTreeBytes(text);
      given->kind == GrammarKind::kJsonSchema && bytes > options->max_ram_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        name, " could take ", FormatBytes(bytes), " while it is read, more than the budget of ",
        FormatBytes(options->max_ram_bytes), "; give a larger --max-ram"));
  }
  GrammarText grammar{given->kind, std::move(text)};
  const absl::StatusOr<int64_t> bytes = CheckGrammar(grammar);
  if (!bytes.ok())
    return absl::Status(bytes.status().code(), absl::StrCat(name, ": ", bytes.status().message()));
  options->grammar_bytes = *bytes;
  return grammar;
}

absl::StatusOr<std::shared_ptr<grammar::Constraint>> MakeConstraint(
    const std::optional<GrammarText>& grammar, const Session& session,
    absl::Span<const int32_t> turn_ends) {
  if (!grammar.has_value()) return nullptr;
  const HyperParameters& h = session.store->hyper_parameters();
  std::vector<int64_t> ends = h.eos_token_ids;
  ends.insert(ends.end(), turn_ends.begin(), turn_ends.end());
  return Constraints(session.tokenizer.get(), h.vocab_size, ends).For(*grammar);
}

}  // namespace sluice
