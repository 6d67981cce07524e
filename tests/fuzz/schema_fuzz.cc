// Fuzzes JSON schemas: any bytes as a schema, and a few texts of what comes of it, which must be
// JSON.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "runtime/text/grammar/constraint.h"
#include "runtime/text/grammar/json_schema.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace grammar = sluice::grammar;
  static constexpr int32_t kEnd = 256, kNumIds = 257;
  static const auto* const vocabulary = new std::shared_ptr<const grammar::Vocabulary>([] {
    std::vector<std::string> tokens;
    for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
    return std::make_shared<grammar::Vocabulary>(tokens, kNumIds, std::vector<int32_t>{kEnd});
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
  const auto parsed = grammar::GrammarFromJsonSchema(text, limits);
  if (!parsed.ok()) return 0;
  const auto constraint = grammar::Constraint::Create(*parsed, *vocabulary, limits);
  if (!constraint.ok()) return 0;
  const int64_t shortest = (*constraint)->tokens_to_finish();
  if (shortest > 500) return 0;
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    grammar::Matcher matcher(*constraint);
    grammar::TokenMask mask;
    std::string written;
    uint32_t random = seed;
    for (int64_t left = shortest + 20 * seed; left > 0 && !matcher.finished(); --left) {
      if (!matcher.Mask(left, &mask).ok()) return 0;
      random = random * 1664525 + 1013904223;
      int32_t token = static_cast<int32_t>(random >> 8) % kNumIds;
      while (!grammar::Allows(mask, token)) token = (token + 1) % kNumIds;
      const absl::Status status = matcher.Accept(token);
      if (absl::IsInvalidArgument(status)) std::abort();
      if (!status.ok()) return 0;
      if (token != kEnd) written.push_back(static_cast<char>(token));
    }
    if (!matcher.finished() || !nlohmann::json::accept(written)) std::abort();
  }
  return 0;
}
