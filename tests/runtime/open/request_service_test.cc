// Requests from several threads: each gets its answer, the same as alone, or none once it is
// cancelled.
#include "runtime/open/request_service.h"

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/runtime/open/story_store.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr std::chrono::seconds kLong(60);

std::unique_ptr<RequestService> StartStory(OpenOptions options = StoryOptions()) {
  auto service = RequestService::Start(std::move(options));
  EXPECT_TRUE(service.ok()) << service.status();
  return service.ok() ? *std::move(service) : nullptr;
}

std::string GreedyBody(const std::string& prompt, int tokens) {
  return json{{"prompt", prompt}, {"max_tokens", tokens}, {"temperature", 0}}.dump();
}

int64_t MustSubmit(RequestService& service, const std::string& body) {
  const auto submitted = service.Submit(body);
  const ApiError* const error = std::get_if<ApiError>(&submitted);
  EXPECT_EQ(error, nullptr) << error->message;
  return error == nullptr ? std::get<int64_t>(submitted) : 0;
}

ApiError MustRefuse(RequestService& service, const std::string& body) {
  auto submitted = service.Submit(body);
  EXPECT_TRUE(std::holds_alternative<ApiError>(submitted)) << body;
  return std::holds_alternative<ApiError>(submitted) ? std::get<ApiError>(submitted) : ApiError();
}

// The text of the only choice, and that its tokens were told before.
std::string AnswerOf(RequestService& service, int64_t request) {
  std::string text;
  while (auto event = service.Poll(kLong)) {
    EXPECT_EQ(event->request, request);
    if (event->kind == RequestEvent::Kind::kToken) {
      text += event->text;
      continue;
    }
    EXPECT_EQ(event->kind, RequestEvent::Kind::kFinished) << event->error.message;
    const json body = json::parse(event->text);
    const json& choice = body["choices"][0];
    const std::string whole = choice.contains("message")
                                  ? choice["message"]["content"].get<std::string>()
                                  : choice["text"].get<std::string>();
    EXPECT_THAT(whole, HasSubstr(text));
    return whole;
  }
  ADD_FAILURE() << "no answer";
  return "";
}

TEST(RequestService, AnswersTwoThreadsAndForgetsWhatIsCancelled) {
  const std::vector<std::string> prompts = {"Once upon a time", "There was a", "Lily saw",
                                            "Tom likes",        "One day",     "The dog"};
  std::map<std::string, std::string> want;
  {
    const auto alone = StartStory();
    ASSERT_NE(alone, nullptr);
    for (const std::string& prompt : prompts) {
      want[prompt] = AnswerOf(*alone, MustSubmit(*alone, GreedyBody(prompt, 8)));
    }
  }
  const auto service = StartStory();
  ASSERT_NE(service, nullptr);
  Mutex mutex;
  std::map<int64_t, std::string> prompt_of;
  std::set<int64_t> cancelled;
  const auto submit = [&](size_t first) {
    for (size_t i = first; i < prompts.size(); i += 2) {
      const int64_t doomed = MustSubmit(*service, GreedyBody(prompts[i], 48));
      {
        const MutexLock lock(&mutex);
        cancelled.insert(doomed);
        prompt_of[MustSubmit(*service, GreedyBody(prompts[i], 8))] = prompts[i];
      }
      service->Cancel(doomed);
    }
  };
  std::thread one([&] { submit(0); }), two([&] { submit(1); });
  std::map<int64_t, std::string> answers;
  while (answers.size() < prompts.size()) {
    const auto event = service->Poll(kLong);
    ASSERT_TRUE(event.has_value());
    if (event->kind != RequestEvent::Kind::kFinished) continue;
    {
      const MutexLock lock(&mutex);
      if (cancelled.contains(event->request)) continue;  // it was quicker than its cancellation
    }
    answers[event->request] = json::parse(event->text)["choices"][0]["text"];
  }
  one.join();
  two.join();
  for (const auto& [id, answer] : answers) EXPECT_EQ(answer, want[prompt_of[id]]) << prompt_of[id];
  for (const int64_t id : cancelled) service->Cancel(id);  // all have ended
  const ServiceStatistics statistics = service->Statistics();
  EXPECT_GE(statistics.tokens, static_cast<int64_t>(prompts.size()));
  EXPECT_GT(statistics.passes, 0);
  EXPECT_GT(statistics.bytes_read, 0);
  EXPECT_TRUE(service->status().ok()) << service->status();
}

TEST(RequestService, AnswersAChatWithTheStoresTemplate) {
  const auto service = StartStory();
  ASSERT_NE(service, nullptr);
  const std::string text = AnswerOf(
      *service, MustSubmit(*service,
                           R"({"messages": [{"role": "user", "content": "Speak"}], "max_tokens": 8,
                     "temperature": 0})"));
  EXPECT_FALSE(text.empty());
}

TEST(RequestService, NamesWhatIsWrongWithARequest) {
  OpenOptions options = StoryOptions();
  const auto service = StartStory(options);
  ASSERT_NE(service, nullptr);
  const struct {
    const char* body;
    const char* param;
    const char* code;
  } kCases[] = {
      {"{", "", "invalid_json"},
      {R"({"prompt": "x", "temperature": 9})", "temperature", "invalid_value"},
      {R"({"prompt": [99999]})", "prompt", "invalid_value"},
      {R"({"prompt": "x", "grammar": "root ::= \"a\""})", "response_format", "out_of_memory"},
  };
  for (const auto& c : kCases) {
    const ApiError error = MustRefuse(*service, c.body);
    EXPECT_EQ(error.param, c.param) << c.body;
    EXPECT_EQ(error.code, c.code) << c.body << ": " << error.message;
  }
  EXPECT_FALSE(service->Poll(std::chrono::seconds(0)).has_value());
}

TEST(RequestService, FollowsAGrammarThatMemoryWasSetAsideFor) {
  OpenOptions options = StoryOptions();
  options.max_ram_bytes = int64_t{256} << 20;
  options.grammar_bytes = int64_t{1} << 20;
  const auto service = StartStory(options);
  ASSERT_NE(service, nullptr);
  const std::string body =
      json{{"prompt", "x"}, {"max_tokens", 8}, {"grammar", "root ::= \"yes\" | \"no\""}}.dump();
  EXPECT_THAT(AnswerOf(*service, MustSubmit(*service, body)), testing::AnyOf("yes", "no"));
}

TEST(RequestService, GivesTheLogitsThatAPassGives) {
  const auto service = StartStory();
  ASSERT_NE(service, nullptr);
  const std::vector<int32_t> prompt = {5, 9, 12, 40};
  const int64_t beside = MustSubmit(*service, GreedyBody("Once upon a time", 8));
  const auto logits = service->Logits(prompt);
  ASSERT_TRUE(logits.ok()) << logits.status();
  AnswerOf(*service, beside);

  const auto opened = Open(StoryOptions());
  ASSERT_TRUE(opened.ok()) << opened.status();
  KvSequence sequence;
  Model& model = *(*opened)->session.model;
  ASSERT_TRUE(model.kv_cache().Reserve(sequence, 4).ok());
  std::vector<PassRow> rows;
  for (size_t i = 0; i < prompt.size(); ++i) {
    rows.push_back({&sequence, static_cast<int64_t>(i), prompt[i], i + 1 == prompt.size()});
  }
  const auto want = model.RunPass(rows);
  ASSERT_TRUE(want.ok()) << want.status();
  EXPECT_EQ(*logits, std::vector<float>(want->begin(), want->end()));
  model.kv_cache().Release(sequence);
  EXPECT_TRUE(absl::IsInvalidArgument(service->Logits({-1}).status()));
}

TEST(RequestService, ClosesWhileRequestsRun) {
  const auto service = StartStory();
  ASSERT_NE(service, nullptr);
  MustSubmit(*service, GreedyBody("Once upon a time", 48));
  MustSubmit(*service, GreedyBody("There was a", 48));
  EXPECT_TRUE(service->Poll(kLong).has_value());
}

TEST(RequestService, StartReturnsWhatOpeningReturns) {
  OpenOptions options = StoryOptions();
  options.max_ram_bytes = 1 << 20;
  EXPECT_TRUE(absl::IsResourceExhausted(RequestService::Start(options).status()));
}

}  // namespace
}  // namespace sluice
