// Jobs that are run again with other options, where their files may lie, and the first cause of
// their failures.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/batch/batch_output.h"
#include "runtime/batch/first_error.h"
#include "runtime/batch/output_check.h"
#include "runtime/batch/sampling_check.h"
#include "runtime/openai/completion_response.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

void WriteTo(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

JobRecord Begun() {
  JobRecord job;
  job.input = "in.jsonl";
  job.input_hash = 5;
  job.k_type = job.v_type = "f16";
  job.context_tokens = 512;
  return job;
}

// A line of a results file that answers a completion or a chat, as BatchJob writes it.
std::string Answer(int line, bool chat) {
  const ResultIds ids(line, "\"body\": {\"id\":\"chatcmpl-");
  std::string text;
  const auto sink = [&](absl::string_view piece) { text.append(piece.data(), piece.size()); };
  const CompletionRequest request = {.model = std::string(5000, 'm'), .prompts = {}, .stop = {}};
  const auto write_body = [&] {
    WriteBody(
        request, {}, "object", (chat ? "chat" : "") + ids.body, 1764534000, [](size_t) {}, sink);
  };
  WriteResultLine(ids, "\"body\": {\"id\":\"chatcmpl-", 200, write_body, sink);
  return text;
}

struct Change {
  const char* name;
  void (*make)(JobRecord&);
};
const Change kChatChange = {"template", [](JobRecord& job) { job.chat = "template 1"; }};
const Change kOtherChanges[] = {{"seed", [](JobRecord& job) { job.seed = 9; }},
                                {"keys", [](JobRecord& job) { job.k_type = "q8_0"; }},
                                {"format", [](JobRecord& job) { job.input_format = "text"; }},
                                {"input", [](JobRecord& job) { job.input_hash = 9; }}};

// Begins a job with `answers`, an error and a token in its journal, and opens it again after
// `change`.
absl::Status Reopen(const std::string& answers, const Change& change, bool retry_errors,
                    JobRecord* record) {
  const TempDir dir;
  const std::string path = dir / "out.jsonl";
  {
    auto output = BatchOutput::Open(path, Begun(), false);
    EXPECT_TRUE(output.ok()) << output.status();
    output->AddResult(answers);
    output->AddError(
        ErrorLine(ResultIds(9, "e"), "e", {.message = "no", .param = "", .code = "x"}));
    output->AddToken({3, 0, 30});
    EXPECT_TRUE(output->EndPass(true).ok());
  }
  JobRecord asked = Begun();
  change.make(asked);
  auto output = BatchOutput::Open(path, asked, retry_errors);
  if (!output.ok()) return output.status();
  *record = output->job();
  EXPECT_FALSE(output->HasError(ResultIds(9, "e").line));
  EXPECT_THAT(output->TakeJournaled(3, 0), IsEmpty()) << "tokens behind another prompt";
  // And once more, as the same command after a kill.
  return CheckSameJob(output->job(), asked, path);
}

TEST(BatchRetry, TakesOptionsThatNoAnswerDependsOn) {
  JobRecord record;
  for (const Change& change : kOtherChanges) {
    EXPECT_TRUE(Reopen("", change, true, &record).ok())
        << change.name << ": no request was answered";
    const absl::Status refused = Reopen(Answer(1, false), change, true, &record);
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << change.name;
    EXPECT_THAT(std::string(refused.message()),
                HasSubstr("give the option that the job began with, or another -o"));
  }
  EXPECT_TRUE(Reopen("", kChatChange, true, &record).ok());
  const absl::Status no_chat =
      Reopen(Answer(1, false) + Answer(2, false), kChatChange, true, &record);
  EXPECT_TRUE(no_chat.ok()) << no_chat;
  EXPECT_EQ(record.chat, "template 1");
  EXPECT_EQ(record.seed, Begun().seed);
  EXPECT_TRUE(absl::IsFailedPrecondition(
      Reopen(Answer(1, false) + Answer(2, true), kChatChange, true, &record)));
}

TEST(BatchRetry, TakesAnotherContextThatNoAnswerReached) {
  const auto answer = [](int64_t total, const char* reason) {
    return R"({"id": "batch_req_0123456789abcdef", "custom_id": "\"usage\":{", "response": {"status_code": 200, "body": )"
           R"({"created":1,"id":"cmpl-1","model":"m","object":"o","usage":{"completion_tokens":2,"prompt_tokens":3,)"
           R"("total_tokens":)" +
           std::to_string(total) + R"(},"choices":[{"finish_reason":")" + reason +
           R"(","text":"\"finish_reason\":\"length\""}]}}, "error": null})"
           "\n";
  };
  const Change longer = {"longer", [](JobRecord& job) { job.context_tokens = 1024; }};
  const Change shorter = {"shorter", [](JobRecord& job) { job.context_tokens = 256; }};
  JobRecord record;
  const auto taken = [&](const std::string& answers, const Change& change) {
    return Reopen(answers, change, true, &record).ok();
  };
  EXPECT_TRUE(taken(answer(512, "length"), longer)) << "max_tokens ended it";
  EXPECT_FALSE(taken(answer(513, "length"), longer)) << "the context ended it";
  EXPECT_TRUE(taken(answer(513, "stop"), longer));
  EXPECT_TRUE(taken(answer(256, "length"), shorter));
  EXPECT_FALSE(taken(answer(257, "stop"), shorter)) << "it would be cut";
  EXPECT_FALSE(taken(answer(5, "stop") + answer(513, "length"), longer));
  EXPECT_FALSE(taken("{\"id\": \"batch_req_0123456789abcdef\"}\n", longer)) << "nothing is known";
}

TEST(BatchRetry, AdvisesWhatItThenTakes) {
  JobRecord record;
  const absl::Status chat = Reopen(Answer(1, false), kChatChange, false, &record);
  EXPECT_THAT(std::string(chat.message()),
              HasSubstr("no answer depends on it: give --retry-errors to accept it"));
  const absl::Status seed = Reopen(Answer(1, false), kOtherChanges[0], false, &record);
  EXPECT_THAT(std::string(seed.message()),
              HasSubstr("give the option that the job began with, or another -o"));
  const absl::Status input = Reopen(Answer(1, false), kOtherChanges[3], false, &record);
  EXPECT_THAT(std::string(input.message()), HasSubstr("in.jsonl has changed since the job of"));
}

TEST(BatchRetry, GivesTheFirstErrorInOneLine) {
  const TempDir dir;
  const std::string path = dir / "e.jsonl";
  WriteTo(
      path,
      ErrorLine(ResultIds(1, "a\nb"), "a\nb", {.message = "two\nlines", .param = "", .code = "x"}) +
          ErrorLine(ResultIds(2, "c"), "c", {.message = "other", .param = "", .code = "x"}));
  EXPECT_EQ(*FirstError(path), "a b: two lines");
  WriteTo(path, "");
  EXPECT_TRUE(absl::IsNotFound(FirstError(path).status()));
}

TEST(OutputCheck, RefusesWhatNoJobCanGoOnFrom) {
  const TempDir dir;
  for (const char* stream : {"-", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/1"}) {
    EXPECT_TRUE(NamesStream(stream)) << stream;
  }
  EXPECT_FALSE(NamesStream("/dev/shm/results.jsonl"));
  EXPECT_TRUE(CheckOutputFile(dir / "new.jsonl").ok());
  std::filesystem::create_directory(dir / "folder");
  ASSERT_EQ(mkfifo((dir / "pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("/dev/null", dir / "null");
  WriteTo(dir / "a.job.json", "{}");
  const std::pair<std::string, const char*> refused[] = {
      {dir / "folder", "/results.jsonl"},
      {dir / "new/", "is a folder"},
      {dir / "pipe", "is a pipe or a device"},
      {"/dev/null", "is a pipe or a device"},
      {dir / "null", "is a pipe or a device"},
      {dir / "a.errors.jsonl", "is the errors file of the job"}};
  for (const auto& [path, message] : refused) {
    EXPECT_THAT(std::string(CheckOutputFile(path).message()), HasSubstr(message)) << path;
  }
}

TEST(OutputCheck, RefusesFilesThatAreTheInputOrEachOther) {
  const TempDir dir;
  const std::string input = dir / "in.jsonl", output = dir / "out.jsonl";
  WriteTo(input, "");
  EXPECT_TRUE(CheckJobFiles(output, input).ok());
  EXPECT_THAT(std::string(CheckJobFiles(input, input).message()), HasSubstr("is the input"));
  for (const char* name : {"out.jsonl", "out.errors.jsonl", "out.journal", "out.job.json"}) {
    std::filesystem::create_hard_link(input, dir / name);
    EXPECT_THAT(std::string(CheckJobFiles(output, input).message()), HasSubstr("is the input"))
        << name;
    std::filesystem::remove(dir / name);
  }
  WriteTo(output, "");
  std::filesystem::create_symlink("out.jsonl", dir / "out.errors.jsonl");
  EXPECT_THAT(std::string(CheckJobFiles(output, input).message()), HasSubstr("are the same file"));
  std::filesystem::remove(dir / "out.errors.jsonl");
  ASSERT_EQ(mkfifo((dir / "out.errors.jsonl").c_str(), 0600), 0);
  EXPECT_THAT(std::string(CheckJobFiles(output, input).message()),
              HasSubstr("is a pipe or a device"));
}

// A job begun before tokens were drawn with Gumbel noise.
TEST(BatchRetry, AJobOfOlderDrawsGoesOnWhereNothingIsSampled) {
  const TempDir dir;
  const std::string output = dir / "out.jsonl", input = dir / "in.jsonl";
  const auto check = [&](const std::string& lines, bool plain_text = false) {
    std::ofstream(input) << lines;
    return CheckSampling(output, {input, 1, plain_text, 0, 1});
  };
  const std::string sampled = R"({"custom_id": "warm", "prompt": "x", "temperature": 0.5})",
                    greedy = R"({"custom_id": "cold", "prompt": "x", "temperature": 0})";
  EXPECT_TRUE(check(sampled).ok()) << "there is no job";
  JobRecord job = Begun();
  std::ofstream(BatchPaths(output).job) << SerializeJobRecord(job);
  EXPECT_TRUE(check(sampled).ok()) << "a job of today";
  job.sampling.clear();
  std::ofstream(BatchPaths(output).job) << SerializeJobRecord(job);
  EXPECT_TRUE(check(greedy + "\n\nno JSON\n").ok());
  const absl::Status refused = check(greedy + "\n" + sampled);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("request warm is sampled"));
  EXPECT_THAT(std::string(check(R"({"prompt": "x"})").message()), HasSubstr("line-1"))
      << "the API's temperature is 1";
  EXPECT_FALSE(check("a text", /*plain_text=*/true).ok());
}

TEST(BatchRetry, ComparesTheWayOfDrawingWhereBothSayIt) {
  JobRecord begun = Begun(), asked = Begun();
  begun.sampling = "another";
  EXPECT_THAT(std::string(CheckSameJob(begun, asked, "x").message()), HasSubstr("drawing tokens"));
  begun.sampling.clear();
  EXPECT_TRUE(CheckSameJob(begun, asked, "x").ok());
}

}  // namespace
}  // namespace sluice
