// A grammar that a text has to follow, as it was asked for.
#ifndef SLUICE_RUNTIME_CONSTRAIN_GRAMMAR_TEXT_H_
#define SLUICE_RUNTIME_CONSTRAIN_GRAMMAR_TEXT_H_

#include <cstdint>
#include <string>

namespace sluice {

enum class GrammarKind : uint8_t { kJsonObject, kJsonSchema, kGbnf };

struct GrammarText {
  GrammarKind kind = GrammarKind::kJsonObject;
  std::string text = {};  // of the schema or the grammar; its members' order counts
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CONSTRAIN_GRAMMAR_TEXT_H_
