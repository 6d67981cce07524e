// What requests hold until they are done, and how much of it a job lets them.
#include "runtime/batch/held_results.h"

#include <fstream>
#include <string>
#include <variant>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/sample/log_probs.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

constexpr int64_t kContext = 256;
constexpr int64_t kAnyLine = int64_t{1} << 40;  // as many bytes as a line may take

CompletionRequest RequestOfLine(const std::string& line) {
  return std::get<CompletionRequest>(ParseBatchLine(line, 1, false).request);
}

int64_t Held(const std::string& line, std::vector<PromptTokens> prompts) {
  return HeldBytes(RequestOfLine(line), prompts, kContext);
}

TEST(HeldResults, CountsChoicesLogProbabilitiesAndPrompts) {
  EXPECT_EQ(Held(R"({"prompt": "x", "max_tokens": 200})", {{4, 4}}), 0)
      << "the plan counts such a sequence";
  const int64_t logprobs = Held(R"({"prompt": "x", "max_tokens": 200, "logprobs": 20})", {{4, 4}});
  EXPECT_GE(logprobs, 200 * LogProbList::BytesPerToken(20));
  EXPECT_LT(logprobs, 200 * 400);
  EXPECT_EQ(Held(R"({"prompt": "x", "max_tokens": 100000, "logprobs": 20})", {{57, 57}}), logprobs)
      << "the context ends it";
  const int64_t many =
      Held(R"({"prompt": "x", "max_tokens": 200, "logprobs": 20, "n": 256})", {{4, 4}});
  EXPECT_GE(many, 256 * logprobs);
  EXPECT_LT(many, 257 * 200 * 400);
  EXPECT_GE(
      Held(R"({"prompt": "x", "max_tokens": 0, "logprobs": 5, "echo": true, "n": 3})", {{4, 100}}),
      3 * 100 * LogProbList::BytesPerToken(5));
  EXPECT_GT(Held(R"({"prompt": ["x", "y"], "max_tokens": 200})", {{4, 4}, {4, 4}}), 200 * 4);
  EXPECT_GE(Held(R"({"prompt": "x", "max_tokens": 0, "echo": true, "n": 1000})", {{200, 200}}),
            999 * 200);
  EXPECT_EQ(Held(R"({"prompt": "x", "max_tokens": 5, "logprobs": 20})", {{1000, 1000}}), 0)
      << "does not run at all";
}

TEST(HeldResults, FindsTheLargestRequestThatThereIsRoomFor) {
  const TempDir dir;
  const std::string path = dir / "in.jsonl";
  std::ofstream(path)
      << R"({"prompt": "x", "max_tokens": 200})"
         "\n"
         R"({"prompt": "x", "max_tokens": 200, "n": 64, "logprobs": 20})"
         "\nno JSON, \"n\"\n\n"
         R"({"prompt": "x", "max_tokens": 200, "n": 4096, "logprobs": 20})"
         "\n"
         R"({"prompt" : [[1, 2], "y"], "max_tokens": 3})"
         "\n"
         R"({"messages": [{"role": "user", "content": "x"}], "max_tokens": 9, "logprobs": true})";
  const auto largest = [&](int64_t most) {
    return *LargestHeldBytes(path, false, kContext, kAnyLine, most);
  };
  const int64_t n4096 = largest(int64_t{1} << 40), n64 = largest(n4096 - 1), two = largest(n64 - 1);
  EXPECT_EQ(n4096,
            Held(R"({"prompt": "x", "max_tokens": 200, "n": 4096, "logprobs": 20})", {{1, 1}}));
  EXPECT_EQ(n64, Held(R"({"prompt": "x", "max_tokens": 200, "n": 64, "logprobs": 20})", {{1, 1}}));
  EXPECT_GT(two, 1024) << "two prompts, named with a space before the colon";
  EXPECT_EQ(largest(two - 1), Held(R"({"prompt": "x", "max_tokens": 9, "logprobs": 0})", {{1, 1}}))
      << "the chat";
  EXPECT_EQ(*LargestHeldBytes(path, /*plain_text=*/true, kContext, kAnyLine), 0);

  const auto limit = [&](int64_t room) {
    return *FindHeldLimit(path, false, kContext, kAnyLine,
                          [&](int64_t bytes) { return bytes <= room; });
  };
  EXPECT_EQ(limit(n4096).bytes, n4096);
  EXPECT_EQ(limit(n4096 - 1).bytes, n64) << "no more is set aside than what can be used";
  EXPECT_NEAR(limit(n4096 - 1).most_bytes, n4096 - 1, 1 << 16);
  EXPECT_EQ(limit(2 * n64).bytes, n64);
  EXPECT_NEAR(limit(2 * n64).most_bytes, 2 * n64, 1 << 16);
  EXPECT_EQ(limit(-1).bytes, 0) << "the plan says that nothing fits";
}

}  // namespace
}  // namespace sluice
