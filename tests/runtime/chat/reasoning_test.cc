// What is thought is told from what is answered, however the text comes in pieces.
#include "runtime/chat/reasoning.h"

#include <string>

#include "gtest/gtest.h"

namespace sluice {
namespace {

struct ReasoningCase {
  const char* text;
  bool inside;
  const char* reasoning;
  const char* content;
};

constexpr ReasoningCase kReasoningCases[] = {
    {"", false, "", ""},
    {"Hi", false, "", "Hi"},
    {"\n Hi \n", false, "", "\n Hi \n"},
    {"<think>\nWell.\n</think>\n\nHi\n", false, "Well.", "Hi\n"},
    {" \n<think>a\n\nb</think>c", false, "a\n\nb", "c"},
    {"<think>\n\n</think>\n\nHi", false, "", "Hi"},
    {"<think></think>", false, "", ""},
    {"<think>never ends\n", false, "never ends", ""},
    {"<think>half a </thi", false, "half a </thi", ""},
    {"<thin", false, "", "<thin"},
    {"<thinker> Hi", false, "", "<thinker> Hi"},
    {"Say <think> x </think>", false, "", "Say <think> x </think>"},
    {"<think>a</think>b</think>c<think>", false, "a", "b</think>c<think>"},
    {"\nWell\n</think>\n\nHi", true, "Well", "Hi"},
    {"</think>Hi", true, "", "Hi"},
    {"<b></b>", true, "<b></b>", ""},
};

TEST(Reasoning, IsToldFromTheAnswerHoweverTheTextIsCut) {
  for (const ReasoningCase& c : kReasoningCases) {
    const SplitAnswer whole = SplitReasoning(c.text, c.inside);
    EXPECT_EQ(whole.reasoning, c.reasoning) << c.text;
    EXPECT_EQ(whole.content, c.content) << c.text;
    for (const size_t step : {1, 2, 3, 5}) {
      ReasoningSplitter splitter(c.inside);
      SplitAnswer pieces;
      const auto add = [&](const std::vector<ReasoningSplitter::Piece>& more) {
        for (const auto& piece : more) {
          EXPECT_FALSE(piece.text.empty());
          (piece.reasoning ? pieces.reasoning : pieces.content) += piece.text;
        }
      };
      const std::string text = c.text;
      for (size_t at = 0; at < text.size(); at += step) add(splitter.Push(text.substr(at, step)));
      add(splitter.Flush());
      EXPECT_EQ(pieces.reasoning, c.reasoning) << c.text << " by " << step;
      EXPECT_EQ(pieces.content, c.content) << c.text << " by " << step;
    }
  }
}

TEST(Reasoning, ComesAsSoonAsItIsCertain) {
  ReasoningSplitter splitter(false);
  EXPECT_TRUE(splitter.Push("<thi").empty());
  EXPECT_TRUE(splitter.Push("nk>\n").empty());
  const auto pieces = splitter.Push("one ");
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].text, "one ");
  EXPECT_TRUE(pieces[0].reasoning);
}

TEST(Reasoning, IsOpenedByAPrompt) {
  EXPECT_TRUE(OpensReasoning("<|assistant|>\n<think>\n"));
  EXPECT_FALSE(OpensReasoning("<|assistant|>\n<think>\n\n</think>\n\n"));
  EXPECT_FALSE(OpensReasoning("<think> I see"));
  EXPECT_FALSE(OpensReasoning(""));
}

}  // namespace
}  // namespace sluice
