// The C API: what it gives, how it fails, and that the library shows nothing else.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/open/c_api/sluice.h"
#include "tests/runtime/open/story_store.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr int64_t kLongMs = 60'000;

sluice_options StoryCOptions() {
  sluice_options options;
  sluice_options_init(&options, sizeof(options));
  options.store = StoryStore::Dir().c_str();
  options.max_ram_bytes = int64_t{64} << 20;
  options.context_tokens = 64;
  options.max_sequences = 2;
  options.num_threads = 1;
  return options;
}

// Frees what the library has handed out.
std::string TakeText(char* text) {
  const std::string copy = text == nullptr ? "" : text;
  sluice_free(text);
  return copy;
}

class CApi : public testing::Test {
 protected:
  CApi() {
    const sluice_options options = StoryCOptions();
    EXPECT_EQ(sluice_open(&options, &model_), SLUICE_OK) << sluice_message();
  }
  ~CApi() override { sluice_close(model_); }

  int64_t Submit(const std::string& body) {
    int64_t request = 0;
    char* error = nullptr;
    EXPECT_EQ(sluice_submit(model_, body.data(), body.size(), &request, &error), SLUICE_OK)
        << sluice_message();
    EXPECT_EQ(error, nullptr);
    return request;
  }

  sluice_model* model_ = nullptr;
};

TEST_F(CApi, StreamsATextAndGivesTheAnswer) {
  const int64_t request =
      Submit(R"({"prompt": "Once upon a time", "max_tokens": 8, "temperature": 0})");
  std::string text;
  int tokens = 0;
  while (true) {
    sluice_event event;
    event.size = sizeof(event);
    ASSERT_EQ(sluice_poll(model_, kLongMs, &event), SLUICE_OK) << sluice_message();
    ASSERT_NE(event.kind, SLUICE_EVENT_NONE);
    EXPECT_EQ(event.request, request);
    EXPECT_EQ(std::string(event.text).size(), event.text_bytes);
    if (event.kind == SLUICE_EVENT_TOKEN) {
      text += event.text;
      ++tokens;
      sluice_event_clear(&event);
      continue;
    }
    ASSERT_EQ(event.kind, SLUICE_EVENT_FINISHED) << event.text;
    const json body = json::parse(event.text);
    EXPECT_EQ(body["choices"][0]["text"], text);
    EXPECT_EQ(body["usage"]["completion_tokens"], tokens);
    sluice_event_clear(&event);
    EXPECT_EQ(event.text, nullptr);
    break;
  }
  EXPECT_EQ(tokens, 8);
  sluice_event none;
  none.size = sizeof(none);
  EXPECT_EQ(sluice_poll(model_, 0, &none), SLUICE_OK);
  EXPECT_EQ(none.kind, SLUICE_EVENT_NONE);
}

TEST_F(CApi, SubmitsPollsAndCancelsOnTwoThreads) {
  std::thread other([&] {
    for (int i = 0; i < 4; ++i) {
      sluice_cancel(model_, Submit(R"({"prompt": "There was a", "max_tokens": 40, "seed": 1})"));
    }
  });
  const int64_t kept = Submit(R"({"prompt": "Lily saw", "max_tokens": 8, "temperature": 0})");
  bool finished = false;
  while (!finished) {
    sluice_event event;
    event.size = sizeof(event);
    ASSERT_EQ(sluice_poll(model_, kLongMs, &event), SLUICE_OK) << sluice_message();
    ASSERT_NE(event.kind, SLUICE_EVENT_NONE);
    finished = event.kind == SLUICE_EVENT_FINISHED && event.request == kept;
    sluice_event_clear(&event);
  }
  other.join();
  sluice_statistics statistics;
  statistics.size = sizeof(statistics);
  ASSERT_EQ(sluice_get_statistics(model_, &statistics), SLUICE_OK);
  EXPECT_EQ(statistics.size, sizeof(statistics));
  EXPECT_GT(statistics.passes, 0);
}

TEST_F(CApi, TokenizesAndGivesLogits) {
  const std::string text = "Once upon a time";
  size_t count = 0;
  EXPECT_EQ(sluice_tokenize(model_, text.data(), text.size(), nullptr, &count),
            SLUICE_OUT_OF_RANGE);
  ASSERT_GT(count, 0u);
  std::vector<int32_t> ids(count);
  ASSERT_EQ(sluice_tokenize(model_, text.data(), text.size(), ids.data(), &count), SLUICE_OK);
  std::vector<float> logits(sluice_vocab_size(model_));
  ASSERT_EQ(sluice_logits(model_, ids.data(), count, logits.data(), logits.size()), SLUICE_OK)
      << sluice_message();
  const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
  Submit(R"({"prompt": "Once upon a time", "max_tokens": 1, "temperature": 0})");
  sluice_event event;
  event.size = sizeof(event);
  ASSERT_EQ(sluice_poll(model_, kLongMs, &event), SLUICE_OK);
  EXPECT_EQ(event.token, best);
  sluice_event_clear(&event);
  EXPECT_EQ(sluice_logits(model_, ids.data(), count, logits.data(), 1), SLUICE_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_message(), HasSubstr("room for 1 logits"));
}

TEST_F(CApi, GivesTheErrorOfARequestAsTheApiDoes) {
  int64_t request = -1;
  char* error = nullptr;
  const std::string body = R"({"prompt": "x", "n": 0})";
  EXPECT_EQ(sluice_submit(model_, body.data(), body.size(), &request, &error),
            SLUICE_INVALID_ARGUMENT);
  EXPECT_EQ(request, 0);
  const json object = json::parse(TakeText(error));
  EXPECT_EQ(object["error"]["param"], "n");
  EXPECT_EQ(object["error"]["message"], sluice_message());
}

TEST_F(CApi, GivesThePlanThatItOpensWith) {
  char* json_text = nullptr;
  ASSERT_EQ(sluice_model_plan(model_, &json_text), SLUICE_OK);
  const json plan = json::parse(TakeText(json_text));
  EXPECT_EQ(plan["max_ram_bytes"], int64_t{64} << 20);
  const sluice_options options = StoryCOptions();
  ASSERT_EQ(sluice_plan(&options, &json_text), SLUICE_OK) << sluice_message();
  EXPECT_EQ(json::parse(TakeText(json_text)), plan);
}

TEST(CApiErrors, NameTheOption) {
  const struct {
    void (*change)(sluice_options*);
    sluice_status status;
    const char* message;
  } kCases[] = {
      {[](sluice_options* o) { o->store = nullptr; }, SLUICE_INVALID_ARGUMENT, "options.store"},
      {[](sluice_options* o) { o->store = "/no/such"; }, SLUICE_NOT_FOUND, "/no/such"},
      {[](sluice_options* o) { o->size = 4; }, SLUICE_INVALID_ARGUMENT, "options.size is 4"},
      {[](sluice_options* o) { o->kv_type_k = "f8"; }, SLUICE_INVALID_ARGUMENT, "kv_type_k"},
      {[](sluice_options* o) { o->device = "tpu"; }, SLUICE_INVALID_ARGUMENT, "tpu"},
      {[](sluice_options* o) { o->num_threads = -1; }, SLUICE_INVALID_ARGUMENT, "num_threads -1"},
      {[](sluice_options* o) { o->max_ram_bytes = 1 << 20; }, SLUICE_RESOURCE_EXHAUSTED, "MiB"},
      {[](sluice_options* o) { o->speculate = "eagle"; }, SLUICE_INVALID_ARGUMENT, "eagle"},
      {[](sluice_options* o) { o->speculate = "model"; }, SLUICE_INVALID_ARGUMENT, "draft_store"},
      {[](sluice_options* o) { o->draft_store = o->store; }, SLUICE_INVALID_ARGUMENT, "speculate"},
      {[](sluice_options* o) { o->draft_max = -1; }, SLUICE_INVALID_ARGUMENT, "draft_max is -1"},
      {[](sluice_options* o) {
         o->speculate = "auto";
         o->draft_store = "/no/draft";
       },
       SLUICE_NOT_FOUND, "/no/draft"},
  };
  for (const auto& c : kCases) {
    sluice_options options = StoryCOptions();
    c.change(&options);
    sluice_model* model = nullptr;
    EXPECT_EQ(sluice_open(&options, &model), c.status) << c.message;
    EXPECT_EQ(model, nullptr);
    EXPECT_THAT(sluice_message(), HasSubstr(c.message));
  }
  EXPECT_EQ(sluice_open(nullptr, nullptr), SLUICE_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_cancel(nullptr, 1), SLUICE_INVALID_ARGUMENT);
  sluice_close(nullptr);
  sluice_free(nullptr);
}

TEST(CApiErrors, TakesTheStructOfAnOlderProgram) {
  // That one knew the first two members alone.
  sluice_options options = StoryCOptions();
  options.size = offsetof(sluice_options, context_tokens);
  options.max_sequences = -5;  // not the struct's any more
  char* json_text = nullptr;
  ASSERT_EQ(sluice_plan(&options, &json_text), SLUICE_OK) << sluice_message();
  EXPECT_EQ(json::parse(TakeText(json_text))["context_tokens"], 512);
}

// Answers the request, and returns the answer's text.
std::string StreamedAnswer(const sluice_options& options, const std::string& body,
                           sluice_statistics* statistics) {
  sluice_model* model = nullptr;
  EXPECT_EQ(sluice_open(&options, &model), SLUICE_OK) << sluice_message();
  int64_t request = 0;
  EXPECT_EQ(sluice_submit(model, body.data(), body.size(), &request, nullptr), SLUICE_OK)
      << sluice_message();
  std::string text;
  sluice_event event = {};
  event.size = sizeof(event);
  do {
    sluice_event_clear(&event);
    if (sluice_poll(model, kLongMs, &event) != SLUICE_OK) break;
    if (event.kind == SLUICE_EVENT_TOKEN) text += event.text;
  } while (event.kind == SLUICE_EVENT_TOKEN);
  EXPECT_EQ(event.kind, SLUICE_EVENT_FINISHED);
  sluice_event_clear(&event);
  EXPECT_EQ(sluice_get_statistics(model, statistics), SLUICE_OK);
  sluice_close(model);
  return text;
}

TEST(CApiDrafts, AreChosenAndCounted) {
  const std::string body =
      R"({"prompt": "Once upon a time", "max_tokens": 40, "temperature": 0.8, "seed": 3})";
  sluice_options options = StoryCOptions();
  sluice_statistics plain = {};
  plain.size = sizeof(plain);
  const std::string want = StreamedAnswer(options, body, &plain);
  EXPECT_EQ(plain.draft_rows, 0);
  EXPECT_EQ(plain.tokens_per_pass, 1.0);
  options.speculate = "auto";
  options.draft_store = options.store;
  options.draft_max = 5;
  sluice_statistics drafted = {};
  drafted.size = sizeof(drafted);
  EXPECT_EQ(StreamedAnswer(options, body, &drafted), want);
  EXPECT_GT(drafted.draft_rows, 0);
  EXPECT_GT(drafted.accepted_rows, 0);
  EXPECT_LE(drafted.accepted_rows, drafted.draft_rows);
  EXPECT_GT(drafted.tokens_per_pass, 1.2) << "the draft is the model itself";
  EXPECT_GT(drafted.draft_seconds, 0);
  EXPECT_LT(drafted.passes, plain.passes);
  // An older program's struct has no such members.
  options.size = offsetof(sluice_options, speculate);
  options.speculate = "nonsense";
  sluice_statistics old = {};
  old.size = offsetof(sluice_statistics, draft_rows);
  old.draft_rows = -7;
  EXPECT_EQ(StreamedAnswer(options, body, &old), want);
  EXPECT_EQ(old.passes, plain.passes);
  EXPECT_EQ(old.draft_rows, -7) << "behind the end of that struct";
}

TEST(CApiNotes, ReachTheCaller) {
  sluice_options options = StoryCOptions();
  std::vector<std::string> notes;
  options.on_note = [](void* user, const char* text) {
    static_cast<std::vector<std::string>*>(user)->push_back(text);
  };
  options.user = &notes;
  options.max_ram_bytes = int64_t{1} << 50;  // more than there is
  char* json_text = nullptr;
  ASSERT_EQ(sluice_plan(&options, &json_text), SLUICE_OK) << sluice_message();
  sluice_free(json_text);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], HasSubstr("is more than the"));
}

#ifdef SLUICE_SHARED_LIBRARY
TEST(SharedLibrary, ShowsTheCApiAlone) {
  const std::string command = "nm -D --defined-only " SLUICE_SHARED_LIBRARY;
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
  ASSERT_NE(pipe, nullptr);
  char name[256];
  int symbols = 0;
  while (std::fscanf(pipe.get(), "%*s %*s %255s", name) == 1) {
    EXPECT_EQ(std::string(name).rfind("sluice_", 0), 0u) << name;
    ++symbols;
  }
  EXPECT_GE(symbols, 15);
}
#endif

}  // namespace
}  // namespace sluice
