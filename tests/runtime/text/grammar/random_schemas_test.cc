// Random schemas and texts, judged by Python's jsonschema: tests/data/schemas/random.jsonl.
#include <memory>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/text/grammar/json_schema.h"
#include "tests/runtime/text/grammar/grammar_testing.h"
#include "tests/support/data_file.h"

namespace sluice::grammar {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

bool TakesText(const std::shared_ptr<Constraint>& constraint, const std::string& text) {
  Matcher matcher(constraint);
  for (const char c : text) {
    if (!matcher.Accept(static_cast<uint8_t>(c)).ok()) return false;
  }
  return matcher.can_end();
}

TEST(RandomSchemas, AllowWhatPythonsJsonschemaCallsValidAndNothingElse) {
  const std::shared_ptr<const Vocabulary> vocabulary = ByteVocabulary();
  std::istringstream lines(ReadData("schemas/random.jsonl"));
  int refused = 0, valid = 0, invalid = 0;
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json golden = nlohmann::json::parse(line);
    const std::string schema = golden["schema"];
    const auto grammar = GrammarFromJsonSchema(schema);
    const auto constraint =
        grammar.ok() ? Constraint::Create(*grammar, vocabulary) : grammar.status();
    if (golden["compiles"].is_boolean()) {
      EXPECT_EQ(constraint.ok(), golden["compiles"].get<bool>()) << schema << "\n"
                                                                 << constraint.status();
    }
    if (!constraint.ok()) {
      // Every other refusal would be for a keyword that is not drawn.
      EXPECT_THAT(std::string(constraint.status().message()),
                  AnyOf(HasSubstr("no text fits"), HasSubstr(" digits")));
      ++refused;
      continue;
    }
    for (const auto& text : golden["texts"]) {
      const std::string verdict = text[1];
      if (verdict == "either") continue;
      const bool takes = TakesText(*constraint, text[0]);
      EXPECT_EQ(takes, verdict == "yes") << schema << "\n" << text[0];
      ++(takes ? valid : invalid);
    }
  }
  EXPECT_GT(refused, 20);
  EXPECT_GT(valid, 5000);
  EXPECT_GT(invalid, 10000);
}

}  // namespace
}  // namespace sluice::grammar
