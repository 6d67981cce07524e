// Stop texts: found across pieces, nothing of them shown, nothing else withheld in the end.
#include "runtime/engine/stop_matcher.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

struct StopCase {
  std::vector<std::string> stops;
  std::vector<std::string> pieces;
  std::vector<std::string> shown;  // after each piece
  std::string flushed;
  bool stopped;
};

TEST(StopMatcher, ShowsTextAsSoonAsItCannotBeAStopText) {
  const StopCase cases[] = {
      {{}, {"a", "b"}, {"a", "b"}, "", false},
      {{"END"}, {"the E", "ND and"}, {"the ", ""}, "", true},
      {{"END"}, {"E", "N", "x"}, {"", "", "ENx"}, "", false},
      {{"END"}, {"text EN"}, {"text "}, "EN", false},
      {{"ab", "aab"}, {"a", "a", "b"}, {"", "", ""}, "", true},
      {{"bc", "abcd"}, {"xab", "c"}, {"x", "a"}, "", true},
      {{""}, {"a"}, {"a"}, "", false},
      {{"STOP"}, {"aSTOPb", "c"}, {"a", ""}, "", true},
  };
  for (const StopCase& c : cases) {
    StopMatcher matcher(c.stops);
    for (size_t i = 0; i < c.pieces.size(); ++i)
      EXPECT_EQ(matcher.Push(c.pieces[i]), c.shown[i]) << c.pieces[i];
    EXPECT_EQ(matcher.Flush(), c.flushed);
    EXPECT_EQ(matcher.stopped(), c.stopped);
  }
}

TEST(StopMatcher, ShowsTheStopTextWhereThatWasAskedFor) {
  StopMatcher across({"END"}, /*show_stop=*/true);
  EXPECT_EQ(across.Push("the E"), "the ");
  EXPECT_EQ(across.Push("ND and"), "END");
  EXPECT_TRUE(across.stopped());
  EXPECT_EQ(across.Flush(), "");
  StopMatcher first({"late", "ea", "a"}, /*show_stop=*/true);
  EXPECT_EQ(first.Push("dear late"), "dea") << "the first place counts";
  StopMatcher none({"END"}, /*show_stop=*/true);
  EXPECT_EQ(none.Push("x EN"), "x ");
  EXPECT_EQ(none.Flush(), "EN");
}

}  // namespace
}  // namespace sluice
