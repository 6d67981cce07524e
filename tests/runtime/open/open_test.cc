// Opening a store by one call: what it gives, and what is wrong with an option.
#include "runtime/open/open.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/engine/generator.h"
#include "tests/runtime/open/story_store.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

std::string GreedyText(Opened& opened, std::vector<int32_t> prompt, int64_t tokens) {
  std::string text;
  SequenceRequest request;
  request.prompt = std::move(prompt);
  request.max_new_tokens = tokens;
  request.sampler.temperature = 0;
  request.on_finish = [&](SequenceResult result) { text = std::move(result.text); };
  EXPECT_TRUE(opened.engine->Submit(std::move(request)).ok());
  while (!opened.engine->idle()) {
    const auto step = opened.engine->Step();
    EXPECT_TRUE(step.ok()) << step.status();
    if (!step.ok()) break;
  }
  return text;
}

// Little more than the smallest budget, so that most of the weights are streamed.
OpenOptions StreamedOptions() {
  OpenOptions options = StoryOptions();
  const auto plan = PlanOnly(options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  if (plan.ok()) options.max_ram_bytes = plan->plan.host().minimum_bytes + (int64_t{256} << 10);
  return options;
}

TEST(Open, GivesAnEngineAnEncoderAndThePlanWithinTheBudget) {
  std::vector<std::string> told;
  OpenOptions options = StreamedOptions();
  options.on_note = [&](const OpenNote& note) { told.push_back(note.text); };
  options.fast_math = true;  // a note says what came of it
  const auto opened = Open(options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  Opened& model = **opened;
  EXPECT_LE(model.plan().host().total_bytes(), options.max_ram_bytes);
  EXPECT_GT(model.plan().residency.streamed_bytes, 0);
  EXPECT_EQ(model.plan().request.num_sequences, 2);
  EXPECT_EQ(model.report.plan.plan.host().total_bytes(), model.plan().host().total_bytes());
  EXPECT_FALSE(model.report.plan.predicts()) << "no probe was named";
  ASSERT_EQ(model.report.notes.size(), 1u);
  EXPECT_EQ(told, std::vector<std::string>{model.report.notes[0].text});
  EXPECT_TRUE(model.chats.ok()) << model.chats.status();
}

TEST(Open, ComputesWhatTheGeneratorComputes) {
  const auto opened = Open(StreamedOptions());
  ASSERT_TRUE(opened.ok()) << opened.status();
  const auto prompt = (*opened)->tokenizer()->Encode("Once upon a time", {});
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  const std::string text = GreedyText(**opened, *prompt, 8);

  const auto resident = Open(StoryOptions());
  ASSERT_TRUE(resident.ok()) << resident.status();
  EXPECT_EQ((*resident)->plan().residency.streamed_bytes, 0);
  GenerateOptions generate;
  generate.max_new_tokens = 8;
  generate.sampler.temperature = 0;
  const auto want =
      Generate(*(*resident)->session.model, (*resident)->tokenizer(), *prompt, generate);
  ASSERT_TRUE(want.ok()) << want.status();
  EXPECT_EQ(text, want->text);
  EXPECT_FALSE(text.empty());
}

TEST(Open, PlansTheSameWithoutLoading) {
  const auto report = PlanOnly(StoryOptions());
  ASSERT_TRUE(report.ok()) << report.status();
  const auto opened = Open(StoryOptions());
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(PlanReportToJson(*report), PlanReportToJson((*opened)->report.plan));
}

TEST(Open, NamesWhatIsWrong) {
  const struct {
    const char* name;
    std::function<void(OpenOptions*)> change;
    absl::StatusCode code;
    const char* message;
  } kCases[] = {
      {"no store", [](OpenOptions* o) { o->store += "/nothing"; }, absl::StatusCode::kNotFound,
       "/nothing"},
      {"budget", [](OpenOptions* o) { o->max_ram_bytes = 1 << 20; },
       absl::StatusCode::kResourceExhausted, "MiB"},
      {"context", [](OpenOptions* o) { o->context_tokens = 1 << 20; },
       absl::StatusCode::kInvalidArgument, "1048576"},
      {"sequences", [](OpenOptions* o) { o->max_sequences = 0; },
       absl::StatusCode::kInvalidArgument, "max_sequences is 0"},
      {"template", [](OpenOptions* o) { o->chat.template_file = "/no/such.jinja"; },
       absl::StatusCode::kNotFound, "/no/such.jinja"},
  };
  for (const auto& c : kCases) {
    OpenOptions options = StoryOptions();
    c.change(&options);
    const auto opened = Open(options);
    EXPECT_EQ(opened.status().code(), c.code) << c.name << ": " << opened.status();
    EXPECT_THAT(std::string(opened.status().message()), HasSubstr(c.message)) << c.name;
  }
}

TEST(Open, WarnsOfATokenizerThatHasChanged) {
  const TempDir dir;
  const std::string copy = dir / "store";
  std::filesystem::copy(StoryStore::Dir(), copy, std::filesystem::copy_options::recursive);
  std::ofstream(copy + "/tokenizer/tokenizer_config.json", std::ios::app) << "\n";
  OpenOptions options = StoryOptions();
  options.store = copy;
  const auto opened = Open(options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  ASSERT_EQ((*opened)->report.notes.size(), 1u);
  EXPECT_EQ((*opened)->report.notes[0].kind, OpenNote::Kind::kWarning);
  EXPECT_THAT((*opened)->report.notes[0].text, HasSubstr("tokenizer_config.json"));
}

}  // namespace
}  // namespace sluice
