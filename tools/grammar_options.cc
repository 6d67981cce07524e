// Reads and checks a grammar ahead of everything that takes time.
#include "tools/grammar_options.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/status_macros.h"
#include "runtime/constraints.h"
#include "storage/json.h"

namespace sluice {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{16} << 20;  // what the grammar's own limits allow is less

}  // namespace

std::vector<OptionSpec> GrammarOptionSpecs() {
  return {
      {.name = "--json-schema",
       .value = "FILE",
       .help = "Generate JSON that is valid by this schema (docs/grammar.md)."},
      {.name = "--grammar", .value = "FILE", .help = "Generate text that this GBNF grammar allows."},
  };
}

absl::StatusOr<std::optional<GrammarText>> ReadGrammarOption(const Arguments& args) {
  const std::optional<std::string> schema = args.Get("--json-schema"), gbnf = args.Get("--grammar");
  if (schema.has_value() && gbnf.has_value()) return UsageError("give one of --json-schema and --grammar");
  if (!schema.has_value() && !gbnf.has_value()) return std::nullopt;
  if (args.Has("--ignore-eos")) return UsageError("--ignore-eos does not go with a grammar, which says where to end");
  const std::string path = schema.has_value() ? *schema : *gbnf;
  SLUICE_ASSIGN_OR_RETURN(std::string text, ReadWholeFile(path, kMaxFileBytes));
  GrammarText grammar{schema.has_value() ? GrammarKind::kJsonSchema : GrammarKind::kGbnf, std::move(text)};
  if (const absl::Status checked = CheckGrammar(grammar); !checked.ok()) {
    return absl::Status(checked.code(), absl::StrCat(path, ": ", checked.message()));
  }
  return grammar;
}

}  // namespace sluice
