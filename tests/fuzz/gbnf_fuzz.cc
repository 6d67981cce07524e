// Fuzzes grammars: GBNF, or a JSON schema where the text begins with a brace, and a few masks of
// what comes of it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/text/grammar/constraint.h"
#include "runtime/text/grammar/gbnf.h"
#include "runtime/text/grammar/json_schema.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace grammar = sluice::grammar;
  static const auto* const vocabulary = new std::shared_ptr<const grammar::Vocabulary>([] {
    std::vector<std::string> tokens;
    for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
    tokens.insert(tokens.end(),
                  {"\": \"", "{\"", "\"}", "ab", "abc", "  ", "10", "\xC3", "é", "é\"", "],"});
    return std::make_shared<grammar::Vocabulary>(tokens, 268, std::vector<int32_t>{267});
  }());
  if (size > (1 << 14)) return 0;
  grammar::Limits limits;
  limits.expressions = 20'000;
  limits.states = 20'000;
  limits.repetitions = 2000;
  limits.threads = 300;
  limits.edges = 1 << 20;
  limits.cache_bytes = 1 << 18;
  limits.memory_bytes = 1 << 22;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  auto parsed = !text.empty() && text[0] == '{' ? grammar::GrammarFromJsonSchema(text, limits)
                                                : grammar::ParseGbnf(text, limits);
  if (!parsed.ok()) return 0;
  for (size_t i = 0; i < parsed->tokens().size(); ++i) {
    const std::string& name = parsed->tokens()[i].text;
    if (!name.empty())
      parsed->SetTokenId(static_cast<int32_t>(i), static_cast<int32_t>(name.size()) + 253);
  }
  const auto constraint = grammar::Constraint::Create(*parsed, *vocabulary, limits);
  if (!constraint.ok()) return 0;
  grammar::Matcher matcher(*constraint);
  grammar::TokenMask mask;
  uint32_t random = 1;
  const int64_t limit = 8 + (*constraint)->tokens_to_finish() % 64;
  for (int64_t left = limit; left > 0 && !matcher.finished(); --left) {
    if (!matcher.Mask(left, &mask).ok()) return 0;
    random = random * 1664525 + 1013904223;
    // Every token that the mask has must be one that the matcher takes.
    int32_t token = static_cast<int32_t>(random >> 8) % 268;
    while (!grammar::Allows(mask, token)) token = (token + 1) % 268;
    if (const absl::Status status = matcher.Accept(token); absl::IsInvalidArgument(status))
      std::abort();
  }
  return 0;
}
