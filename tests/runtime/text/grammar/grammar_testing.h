// Whole texts through the automaton of a grammar.
#ifndef SLUICE_TESTS_RUNTIME_GRAMMAR_GRAMMAR_TESTING_H_
#define SLUICE_TESTS_RUNTIME_GRAMMAR_GRAMMAR_TESTING_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "runtime/text/grammar/constraint.h"

namespace sluice::grammar {

// A token a byte; id 256 is the end.
inline std::shared_ptr<const Vocabulary> ByteVocabulary() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  return std::make_shared<Vocabulary>(tokens, 257, std::vector<int32_t>{256});
}

class BytesMatcher {
 public:
  explicit BytesMatcher(const Grammar& grammar) {
    auto constraint = Constraint::Create(grammar, ByteVocabulary());
    EXPECT_TRUE(constraint.ok()) << constraint.status();
    if (constraint.ok()) constraint_ = *std::move(constraint);
  }
  bool Matches(absl::string_view text) const {
    if (constraint_ == nullptr) return false;
    Matcher matcher(constraint_);
    for (const char c : text) {
      if (!matcher.Accept(static_cast<uint8_t>(c)).ok()) return false;
    }
    return matcher.can_end();
  }
  bool IsPrefix(absl::string_view text) const {
    if (constraint_ == nullptr) return false;
    Matcher matcher(constraint_);
    for (const char c : text) {
      if (!matcher.Accept(static_cast<uint8_t>(c)).ok()) return false;
    }
    return true;
  }

 private:
  std::shared_ptr<Constraint> constraint_;
};

}  // namespace sluice::grammar

#endif  // SLUICE_TESTS_RUNTIME_GRAMMAR_GRAMMAR_TESTING_H_
