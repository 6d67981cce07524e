// What of a batch file is left to answer, and how long it is.
#include "runtime/batch/batch_shape.h"

#include <algorithm>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/chat/chat_front.h"
#include "runtime/openai/completion_response.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::FieldsAre;

constexpr int64_t kShapeContext = 100;

// Prompts are ids: no tokenizer is needed.
class BatchShapeTest : public testing::Test {
 protected:
  BatchShape Measure(const std::string& text, const DoneBefore& done = {}, int64_t part = 0,
                     int64_t num_parts = 1) {
    std::ofstream(dir_ / "in", std::ios::trunc) << text;
    const auto lines = static_cast<int64_t>(std::count(text.begin(), text.end(), '\n'));
    const absl::StatusOr<ChatFront> chats = absl::NotFoundError("none");
    const auto shape = MeasureShape({dir_ / "in", lines, false, part, num_parts}, done,
                                    PromptEncoder(nullptr, &chats, 0), kShapeContext);
    EXPECT_TRUE(shape.ok()) << shape.status();
    return *shape;
  }
  const TempDir dir_;
};

std::string ShapeLine(const std::string& id) {
  return "{\"custom_id\": \"" + id + "\", \"prompt\": [1, 2], \"max_tokens\": 3}\n";
}

TEST_F(BatchShapeTest, HasASequenceForEachAnswer) {
  const BatchShape shape = Measure(
      "{\"prompt\": [1, 2, 3], \"max_tokens\": 7}\n"
      "{\"prompt\": [[1], [1, 2]], \"max_tokens\": 5, \"n\": 2}\n"
      "{\"prompt\": [1, 2, 3, 4], \"max_tokens\": 1000}\n");
  EXPECT_EQ(shape.num_sequences, 6);
  EXPECT_THAT(shape.left, ElementsAre(FieldsAre(3, 7), FieldsAre(1, 5), FieldsAre(1, 5),
                                      FieldsAre(2, 5), FieldsAre(2, 5), FieldsAre(4, 96)));
}

TEST_F(BatchShapeTest, LeavesOutWhatIsWrongAndWhatOthersHave) {
  const std::string text = ShapeLine("a") + "nonsense\n\n" + ShapeLine("a") + ShapeLine("b");
  EXPECT_EQ(Measure(text).num_sequences, 2);
  EXPECT_EQ(Measure("nonsense\n").num_sequences, 0);
  std::string many;
  for (int i = 0; i < 40; ++i) many += ShapeLine("r" + std::to_string(i));
  int64_t sum = 0;
  for (int64_t part = 0; part < 3; ++part) {
    const BatchShape shape = Measure(many, {}, part, 3);
    EXPECT_EQ(static_cast<int64_t>(shape.left.size()), shape.num_sequences);
    sum += shape.num_sequences;
  }
  EXPECT_EQ(sum, 40);
}

TEST_F(BatchShapeTest, LeavesOutWhatIsDoneAndKnowsWhatIsInFlight) {
  DoneBefore done;
  done.lines.insert(ResultIds(1, "a").line);
  done.lines.insert(ResultIds(3, "c").line);
  done.tokens[{2, 0}] = 2;
  const BatchShape shape =
      Measure(ShapeLine("a") + ShapeLine("b") + ShapeLine("c") + ShapeLine("d"), done);
  EXPECT_EQ(shape.num_sequences, 2);
  EXPECT_THAT(shape.left, ElementsAre(FieldsAre(4, 1), FieldsAre(2, 3)));
}

TEST_F(BatchShapeTest, TakesAJobOfVeryManyToHaveNoEnd) {
  std::string text;
  for (int i = 0; i < kMostMeasuredSequences + 1000; ++i)
    text += ShapeLine("r" + std::to_string(i));
  const BatchShape shape = Measure(text);
  EXPECT_EQ(shape.num_sequences, kMostMeasuredSequences + 1000);
  EXPECT_TRUE(shape.left.empty());
  EXPECT_EQ(shape.prompt_tokens, 2);
  EXPECT_EQ(shape.answer_tokens, 3);
}

}  // namespace
}  // namespace sluice
