// Reads and checks a grammar ahead of everything that takes time.
#include "tools/grammar_options.h"

#include <string>
#include <utility>
#include <vector>

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

absl::StatusOr<std::optional<GrammarText>> ReadGrammarOption(const Arguments& args, SessionOptions* options) {
  const std::optional<std::string> schema = args.Get("--json-schema"), gbnf = args.Get("--grammar");
  if (schema.has_value() && gbnf.has_value()) return UsageError("give one of --json-schema and --grammar");
  if (!schema.has_value() && !gbnf.has_value()) return std::nullopt;
  if (args.Has("--ignore-eos")) return UsageError("--ignore-eos does not go with a grammar, which says where to end");
  const std::string path = schema.has_value() ? *schema : *gbnf;
  SLUICE_ASSIGN_OR_RETURN(std::string text, ReadWholeFile(path, kMaxFileBytes));
  GrammarText grammar{schema.has_value() ? GrammarKind::kJsonSchema : GrammarKind::kGbnf, std::move(text)};
  const absl::StatusOr<int64_t> bytes = CheckGrammar(grammar);
  if (!bytes.ok()) return absl::Status(bytes.status().code(), absl::StrCat(path, ": ", bytes.status().message()));
  options->grammar_bytes = *bytes;
  return grammar;
}

absl::StatusOr<std::shared_ptr<grammar::Constraint>> MakeConstraint(const std::optional<GrammarText>& grammar,
                                                                    const Session& session,
                                                                    absl::Span<const int32_t> turn_ends) {
  if (!grammar.has_value()) return nullptr;
  const HyperParameters& h = session.store->hyper_parameters();
  std::vector<int64_t> ends = h.eos_token_ids;
  ends.insert(ends.end(), turn_ends.begin(), turn_ends.end());
  return Constraints(session.tokenizer.get(), h.vocab_size, ends).For(*grammar);
}

}  // namespace sluice
