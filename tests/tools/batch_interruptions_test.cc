// Batch jobs that are killed at random points, stopped by signals or out of disk space: the next
// run goes on as if nothing had happened.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/tools/batch_testing.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

#ifdef SLUICE_SANITIZED
constexpr int kKills = 3;
constexpr int kRequests = 40;
#else
constexpr int kKills = 100;
constexpr int kRequests = 300;
#endif

std::string SoakRequests() {
  std::mt19937 random(3);
  std::string text;
  for (int i = 0; i < kRequests; ++i) {
    json body = {{"model", "m"}, {"prompt", "Once upon a time"}, {"max_tokens", 4 + random() % 40}};
    if (i % 3 == 0)
      body["prompt"] = "One day, Tom went to the park with his mom. He saw a big dog and said";
    if (i % 4 == 0) body["temperature"] = 0;
    if (i % 7 == 0) body["n"] = 3;
    if (i % 5 == 0) body["logprobs"] = 1;
    if (i % 11 == 0) body["stop"] = {".", " and"};
    if (i % 17 == 0) body["stream"] = true;  // an error
    if (i % 6 == 5) body["grammar"] = "root ::= \" \" [a-z]+ (\" \" [a-z]+){2,9} (\".\" | \"!\")";
    if (i % 19 == 8)
      body["response_format"] = {{"type", "json_object"}};  // an error: the vocabulary has no brace
    text += json{{"custom_id", "request-" + std::to_string(i)},
                 {"method", "POST"},
                 {"url", "/v1/completions"},
                 {"body", body}}
                .dump() +
            "\n";
  }
  return text;
}

// Starts a run and kills it once its files in `folder` have grown by `bytes`. Returns whether it
// was killed before it was done.
bool RunAndKill(const std::vector<std::string>& args, const std::string& folder,
                const std::vector<std::string>& files, int64_t bytes) {
  const auto total = [&] {
    int64_t sum = 0;
    for (const std::string& file : files) {
      struct stat info;
      if (stat(file.c_str(), &info) == 0) sum += info.st_size;
    }
    return sum;
  };
  const int64_t target = total() + bytes;
  const RunningSluice run(args);
  if (run.Await(folder, [&] { return total() >= target; })) run.Signal(SIGKILL);
  const int status = run.Wait();
  if (WIFSIGNALED(status)) return true;
  EXPECT_EQ(WEXITSTATUS(status), 0);
  return false;
}

TEST_F(Batch, SurvivesKillsAtRandomPointsAndEndsAsIfThereWereNone) {
  const std::string input = Write("in.jsonl", SoakRequests());
  const Finished whole = RunSluice(Args(input, mine_ / "whole.jsonl"));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_EQ(Lines(mine_ / "whole.jsonl").size() + Lines(mine_ / "whole.errors.jsonl").size(),
            size_t{kRequests});
  EXPECT_FALSE(fs::exists(mine_ / "whole.journal"));

  std::mt19937 random(5);
  const int64_t size = static_cast<int64_t>(fs::file_size(mine_ / "whole.jsonl"));
  int kills = 0, rounds = 0;
  // Where the job is done before all kills are, it begins again under another name.
  for (std::string name = "killed0"; kills < kKills; name = "killed" + std::to_string(++rounds)) {
    const std::string output = mine_ / (name + ".jsonl");
    const std::vector<std::string> files = {output, mine_ / (name + ".errors.jsonl"),
                                            mine_ / (name + ".journal")};
    while (kills < kKills && RunAndKill(Args(input, output), mine_.path(), files,
                                        static_cast<int64_t>(random() % (1 + 3 * size / kKills)))) {
      ++kills;
    }
    const Finished last = RunSluice(Args(input, output, {"--json"}, "3"));
    ASSERT_EQ(last.exit_code, 0) << last.err;
    EXPECT_EQ(json::parse(last.out)["succeeded"].get<size_t>() +
                  json::parse(last.out)["failed"].get<size_t>(),
              size_t{kRequests});
    EXPECT_EQ(Lines(output), Lines(mine_ / "whole.jsonl"));
    EXPECT_EQ(Lines(files[1]), Lines(mine_ / "whole.errors.jsonl"));
  }
}

// A limit on the size of files stands in for a disk that is full.
TEST_F(Batch, SaysThatTheDiskIsFullAndGoesOnWhenItIsNot) {
  std::string requests;  // a line of results is much longer than what the journal has of it
  for (int i = 0; i < 12; ++i)
    requests += R"({"prompt": "Once upon a time", "max_tokens": 12, "logprobs": 20})"
                "\n";
  const std::string short_lines = Write("in.jsonl", requests);
  // One line of about 400 KB, which is written in pieces.
  const std::string long_line =
      Write("long.jsonl", R"({"prompt": "Once", "max_tokens": 20, "logprobs": 20, "n": 48})"
                          "\n");
  const std::string tokens =  // and one of which the journal has more than of results
      Write("tokens.jsonl", R"({"prompt": "Once", "max_tokens": 200, "n": 8})"
                            "\n");
  struct Case {
    std::string input;
    rlim_t limit;
    std::string file;
  };
  for (const Case& full :
       {Case{short_lines, 20000, "short.jsonl"}, Case{long_line, 300 << 10, "long-out.jsonl"},
        Case{tokens, 4000, "tokens-out.journal"}}) {
    const std::string stem = full.file.substr(0, full.file.find('.'));
    const std::string output = mine_ / (stem + ".jsonl");
    rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    const auto ignored = signal(SIGXFSZ, SIG_IGN);  // the child inherits both
    const rlimit limit = {full.limit, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    const Finished run = RunSluice(Args(full.input, output, {}, "1"));
    const auto kept = Lines(output);  // none is torn
    const Finished again = RunSluice(Args(full.input, output, {}, "1"));
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, ignored);
    EXPECT_EQ(run.exit_code, 1) << run.err;
    EXPECT_THAT(run.err, HasSubstr("cannot write " + (mine_ / full.file)));
    EXPECT_EQ(again.exit_code, 1) << again.err;
    EXPECT_EQ(Lines(output), kept) << "what an earlier run wrote stays";
    const size_t done = kept.size();
    EXPECT_EQ(done > 0, stem == "short");
    ASSERT_EQ(RunSluice(Args(full.input, output)).exit_code, 0);
    ASSERT_EQ(RunSluice(Args(full.input, mine_ / "whole.jsonl")).exit_code, 0);
    EXPECT_LT(done, Lines(output).size());
    EXPECT_EQ(Lines(output), Lines(mine_ / "whole.jsonl"));
    for (const char* name : {"whole.jsonl", "whole.job.json", "whole.errors.jsonl"})
      fs::remove(mine_ / name);
  }
}

TEST_F(Batch, CtrlCFinishesThePassAndTheNextRunGoesOn) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "{\"prompt\": \"Once upon a time\", \"max_tokens\": 40}\n";
  const std::string input = Write("in.jsonl", text);
  const std::string output = mine_ / "out.jsonl";
  const std::vector<std::string> args = Args(input, output);
  const RunningSluice run(args);
  struct stat info;
  ASSERT_TRUE(run.Await(mine_.path(), [&] {
    return stat((mine_ / "out.journal").c_str(), &info) == 0 && info.st_size >= 100;
  }));
  run.Signal(SIGINT);
  const int status = run.Wait();
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_TRUE(fs::exists(mine_ / "out.journal"));
  EXPECT_LT(Lines(output).size(), 40u);
  ASSERT_EQ(RunSluice(args).exit_code, 0);
  EXPECT_EQ(Lines(output).size(), 40u);
  EXPECT_FALSE(fs::exists(mine_ / "out.journal"));
}

// The first pass would take minutes. A second signal right behind the first one is the same one; a
// later one ends it.
TEST_F(Batch, CtrlCTwiceStopsAtOnce) {
  const RunningSluice run(Args(Write("in.jsonl", "{\"prompt\": \"Once\"}\n"), mine_ / "out.jsonl",
                               {"--throttle-disk", "10KB/s"}));
  ASSERT_TRUE(run.Await(mine_.path(), [&] { return fs::exists(mine_ / "out.journal"); }));
  do {
    run.Signal(SIGINT);
  } while (!run.EndsWithin(/*milliseconds=*/1));
  const int status = run.Wait();
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
}

}  // namespace
}  // namespace sluice
