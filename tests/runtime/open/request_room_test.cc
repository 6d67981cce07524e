// Requests beyond the memory that is set aside for them are refused, until others have ended.
#include "runtime/open/request_room.h"

#include <cstdint>
#include <string>
#include <variant>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/open/request_service.h"
#include "tests/runtime/open/story_store.h"

namespace sluice {
namespace {

using nlohmann::json;

std::string BodyOf(int tokens, int choices = 1, const char* grammar = nullptr) {
  json body = {{"prompt", "Once"}, {"max_tokens", tokens}, {"n", choices}, {"temperature", 0}};
  if (grammar != nullptr) body["grammar"] = grammar;
  return body.dump();
}

std::string CodeOf(const std::variant<int64_t, ApiError>& submitted) {
  const ApiError* const error = std::get_if<ApiError>(&submitted);
  return error != nullptr ? error->code : "";
}

// Takes events until one that is the last of a request.
void TakeAnAnswer(RequestService& service) {
  while (const auto event = service.Poll(std::chrono::seconds(60))) {
    if (event->kind != RequestEvent::Kind::kToken) return;
  }
  ADD_FAILURE() << "no answer";
}

TEST(RequestRoom, IsPartOfThePlanAndGrowsWithWhatIsAsked) {
  const auto plan = PlanOnly(StoryOptions());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->plan.request.requests_bytes, RoomForRequests(2, 64));
  EXPECT_EQ(RoomForRequests(1, 64), RoomForRequests(8, 64)) << "sixteen can always wait";
  EXPECT_GT(RoomForRequests(9, 64), RoomForRequests(8, 64));
  PreparedRequest request;
  request.prompts = {{1, 2, 3}};
  request.request.max_tokens = 10;
  const int64_t one = RequestBytes(request, 64);
  request.request.n = 3;
  EXPECT_GE(RequestBytes(request, 64), 3 * one);
  EXPECT_LE(one, RoomForRequests(1, 64) / 16);
}

TEST(RequestRoom, RefusesWhatFillsItUntilAnAnswerIsTaken) {
  const auto service = RequestService::Start(StoryOptions());
  ASSERT_TRUE(service.ok()) << service.status();
  EXPECT_EQ(CodeOf((*service)->Submit(BodyOf(40, 128))), "request_too_large");
  // Events are not taken, so that all that was submitted keeps its room.
  int submitted = 0;
  std::variant<int64_t, ApiError> last = int64_t{0};
  for (; submitted < 1000; ++submitted) {
    last = (*service)->Submit(BodyOf(40));
    if (std::holds_alternative<ApiError>(last)) break;
  }
  EXPECT_EQ(CodeOf(last), "queue_full");
  EXPECT_EQ(std::get<ApiError>(last).status_code, 503);
  EXPECT_GE(submitted, 16);
  EXPECT_LT(submitted, 100);
  TakeAnAnswer(**service);
  EXPECT_EQ(CodeOf((*service)->Submit(BodyOf(40))), "");
  EXPECT_EQ(CodeOf((*service)->Submit(BodyOf(40))), "queue_full");
}

TEST(RequestRoom, LimitsHowManyRequestsFollowGrammars) {
  OpenOptions options = StoryOptions();
  options.max_ram_bytes = int64_t{512} << 20;
  options.max_sequences = 1;
  options.grammar_bytes = int64_t{1} << 20;
  const auto service = RequestService::Start(options);
  ASSERT_TRUE(service.ok()) << service.status();
  EXPECT_EQ(CodeOf((*service)->Submit(BodyOf(4, 1, "root ::= \"a\""))), "");
  const auto second = (*service)->Submit(BodyOf(4, 1, "root ::= \"b\""));
  EXPECT_EQ(CodeOf(second), "");
  EXPECT_EQ(CodeOf((*service)->Submit(BodyOf(4, 1, "root ::= \"c\""))), "queue_full");
  EXPECT_EQ(CodeOf((*service)->Submit(BodyOf(4))), "") << "without a grammar";
  (*service)->Cancel(std::get<int64_t>(second));
  EXPECT_EQ(CodeOf((*service)->Submit(BodyOf(4, 1, "root ::= \"c\""))), "");
}

}  // namespace
}  // namespace sluice
