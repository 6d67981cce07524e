// Batch jobs that go wrong: every line that is not answered is spoken of, and the advice of each
// message works.
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/reference_file.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/batch_testing.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

constexpr char kChat[] = R"({"messages": [{"role": "user", "content": "Once"}], "max_tokens": 3})"
                         "\n";
constexpr char kCompletion[] = R"({"prompt": "Once", "max_tokens": 3})"
                               "\n";

// The model has no chat template.
class BatchMishaps : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TempDir;
    const Finished run =
        RunSluice({"shard", SLUICE_SOURCE_DIR "/tests/data/models/TinyStories-656K",
                   *dir_ / "store", "--slab-size", "256KiB"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
  }
  static void TearDownTestSuite() { delete dir_; }

  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(mine_ / name, std::ios::binary | std::ios::trunc) << text;
    return mine_ / name;
  }
  static std::vector<std::string> Args(const std::string& input, const std::string& output,
                                       const std::vector<std::string>& more = {}) {
    std::vector<std::string> args = {
        "batch", *dir_ / "store", "-i", input,       "-o",    output, "-c",
        "256",   "--batch-size",  "2",  "--max-ram", "64MiB", "-t",   "1"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  static Finished Run(const std::string& input, const std::string& output,
                      const std::vector<std::string>& more = {}) {
    return RunSluice(Args(input, output, more));
  }
  static int64_t NumLines(const std::string& path) {
    const std::string text = ReadWholeFile(path);
    return std::count(text.begin(), text.end(), '\n');
  }
  // The names of the files in the test's folder.
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(mine_.path())) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  static TempDir* dir_;
  TempDir mine_;
};
TempDir* BatchMishaps::dir_ = nullptr;

TEST_F(BatchMishaps, FailsWhereEveryLineFailsAndNamesTheFirstCause) {
  const std::string output = mine_ / "out.jsonl", errors = mine_ / "out.errors.jsonl";
  const std::string causes[] = {std::string(kChat) + kChat, "no JSON\n\n{}\n",
                                R"({"prompt": "x", "stream": true})"};
  const char* const messages[] = {"has no chat template; give one with --template FILE",
                                  "not valid JSON", "'stream' is supported only as false"};
  for (size_t i = 0; i < std::size(causes); ++i) {
    const std::string input = Write("in.jsonl", causes[i]);
    for (int run = 0; run < 2; ++run) {  // and again: the errors are of an earlier run
      const Finished failed = Run(input, output);
      EXPECT_EQ(failed.exit_code, 1) << failed.err;
      EXPECT_THAT(failed.err, HasSubstr("no request was answered: all "));
      EXPECT_THAT(failed.err, HasSubstr("the first with line-1: "));
      EXPECT_THAT(failed.err, HasSubstr(messages[i]));
      EXPECT_THAT(failed.err, HasSubstr(errors));
    }
    for (const char* name : {"out.jsonl", "out.errors.jsonl", "out.job.json"})
      fs::remove(mine_ / name);
  }

  const std::string input = Write("in.jsonl", std::string(kCompletion) + kChat);
  const Finished some = Run(input, output);
  EXPECT_EQ(some.exit_code, 0) << some.err;
  EXPECT_THAT(some.err, HasSubstr("1 answered, 1 failed"));
  EXPECT_THAT(some.err, HasSubstr("1 in " + errors +
                                  ", which --retry-errors tries again; the first is of line-2: "));
  const Finished as_json = Run(input, output, {"--json"});
  EXPECT_EQ(json::parse(as_json.out)["errors_file"], errors);
  EXPECT_THAT(json::parse(as_json.out)["first_error"].get<std::string>(), HasSubstr("line-2: "));

  const Finished none = Run(Write("empty.jsonl", "\n"), mine_ / "empty-out.jsonl", {"--json"});
  EXPECT_EQ(none.exit_code, 0) << "no request is no failure: " << none.err;
  EXPECT_FALSE(json::parse(none.out).contains("errors_file"));
}

TEST_F(BatchMishaps, MergesPartsOfFailuresWithTheirFirstCause) {
  const std::string input = Write("in.jsonl", std::string(kChat) + kChat + kChat + kChat);
  const std::string output = mine_ / "out.jsonl";
  for (const char* part : {"0/2", "1/2"}) Run(input, output, {"--part", part});
  const Finished merged = RunSluice({"batch", "--merge", "-i", input, "-o", output});
  EXPECT_EQ(merged.exit_code, 1);
  EXPECT_THAT(merged.err, HasSubstr("all 4 failed, the first with line-1: "));
  const Finished again = RunSluice({"batch", "--merge", "-i", input, "-o", output});
  EXPECT_THAT(again.err, HasSubstr("exists already; remove it first"));
  fs::remove(output);
  EXPECT_THAT(RunSluice({"batch", "--merge", "-i", input, "-o", output}).err,
              HasSubstr("all 4 failed"));
}

TEST_F(BatchMishaps, TriesChatsAgainWithTheTemplateThatTheErrorAskedFor) {
  const std::string input = Write("in.jsonl", std::string(kChat) + kCompletion);
  const std::string output = mine_ / "out.jsonl";
  const std::string first = Write("t.jinja", "{{ messages[0].content }}");
  const std::string other = Write("u.jinja", "{{ messages[0].content }} upon");
  ASSERT_EQ(Run(input, output).exit_code, 0);
  const std::string answered = ReadWholeFile(output);

  const Finished without = Run(input, output, {"--template", first});
  EXPECT_EQ(without.exit_code, 1);
  EXPECT_THAT(without.err, HasSubstr("give --retry-errors to accept it"));
  const Finished seed = Run(input, output, {"--template", first, "--retry-errors", "--seed", "9"});
  EXPECT_EQ(seed.exit_code, 1) << "the completion was answered with another";
  EXPECT_THAT(seed.err, HasSubstr("--seed"));
  const Finished retried = Run(input, output, {"--template", first, "--retry-errors"});
  ASSERT_EQ(retried.exit_code, 0) << retried.err;
  EXPECT_EQ(ReadWholeFile(output).substr(0, answered.size()), answered)
      << "what was answered stays";
  EXPECT_EQ(NumLines(output), 2);
  EXPECT_EQ(NumLines(mine_ / "out.errors.jsonl"), 0);

  EXPECT_EQ(Run(input, output, {"--template", first}).exit_code, 0)
      << "it is the job's template now";
  const std::string marked = Write("marked.jinja", "\xEF\xBB\xBF{{ messages[0].content }}");
  EXPECT_EQ(Run(input, output, {"--template", marked}).exit_code, 0)
      << "a byte order mark is no part of a template";
  const Finished too_late = Run(input, output, {"--template", other, "--retry-errors"});
  EXPECT_EQ(too_late.exit_code, 1) << "a chat was answered with the first";
  EXPECT_THAT(too_late.err, HasSubstr("give the option that the job began with, or another -o"));
}

TEST_F(BatchMishaps, TriesPromptsAgainThatTheContextHadNoRoomFor) {
  std::string prompt = "Once";
  for (int i = 0; i < 300; ++i) prompt += " a";
  const std::string input =
      Write("in.jsonl", kCompletion + json{{"prompt", prompt}, {"max_tokens", 2}}.dump() + "\n");
  const std::string output = mine_ / "out.jsonl";
  const Finished first = Run(input, output);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.err, HasSubstr("the context only 256"));
  std::vector<std::string> longer = Args(input, output);
  std::replace(longer.begin(), longer.end(), std::string("256"), std::string("500"));
  EXPECT_THAT(RunSluice(longer).err, HasSubstr("give --retry-errors to accept it"));
  longer.push_back("--retry-errors");
  const Finished retried = RunSluice(longer);
  EXPECT_EQ(retried.exit_code, 0) << retried.err;
  EXPECT_EQ(NumLines(output), 2);
}

TEST_F(BatchMishaps, TakesAnythingElseWhereNothingWasAnswered) {
  const std::string output = mine_ / "out.jsonl";
  const std::string input = Write("in.txt", "Once upon a time\nThe dog\n");
  ASSERT_EQ(Run(input, output).exit_code, 1) << "--text was forgotten";
  EXPECT_THAT(Run(input, output, {"--text"}).err, HasSubstr("--retry-errors"));
  const Finished text = Run(input, output, {"--text", "--retry-errors", "--seed", "4"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_EQ(NumLines(output), 2);

  const std::string lines = Write("in.jsonl", "{\"promt\": \"x\"}\n");
  ASSERT_EQ(Run(lines, mine_ / "typo.jsonl").exit_code, 1);
  Write("in.jsonl", kCompletion);
  EXPECT_EQ(Run(lines, mine_ / "typo.jsonl", {"--retry-errors"}).exit_code, 0)
      << "the line was corrected";
}

TEST_F(BatchMishaps, RefusesOutputsThatNoJobCanBeTakenUpFrom) {
  const std::string input = Write("in.jsonl", kCompletion);
  fs::create_directory(mine_ / "folder");
  ASSERT_EQ(mkfifo((mine_ / "pipe").c_str(), 0600), 0);
  fs::create_symlink("in.jsonl", mine_ / "link.jsonl");
  const std::vector<std::string> before = Files();
  const std::pair<std::string, int> outputs[] = {{"-", 2},
                                                 {"", 2},
                                                 {"/dev/stdout", 2},
                                                 {"/dev/fd/1", 2},
                                                 {mine_ / "folder", 1},
                                                 {mine_ / "d/", 1},
                                                 {mine_ / "pipe", 1},
                                                 {"/dev/null", 1},
                                                 {input, 1},
                                                 {mine_ / "link.jsonl", 1}};
  for (const auto& [output, exit_code] : outputs) {
    const Finished run = Run(input, output);
    EXPECT_EQ(run.exit_code, exit_code) << output << ": " << run.err;
    EXPECT_EQ(run.err.substr(0, run.err.find('\n')).find("sluice batch: "), 0u) << run.err;
    EXPECT_EQ(Files(), before) << output;
    if (output == input || output == mine_ / "link.jsonl") continue;
    EXPECT_EQ(Run(input, output, {"--part", "0/2"}).exit_code, exit_code) << output;
    EXPECT_EQ(RunSluice({"batch", "--merge", "-i", input, "-o", output}).exit_code, exit_code)
        << output;
    EXPECT_EQ(Files(), before) << output;
  }
  EXPECT_FALSE(fs::exists("-.job.json") || fs::exists("-"));
  EXPECT_EQ(ReadWholeFile(input), kCompletion);

  ASSERT_EQ(Run(input, mine_ / "out.jsonl").exit_code, 0);
  const Finished errors = Run(input, mine_ / "out.errors.jsonl");
  EXPECT_EQ(errors.exit_code, 1);
  EXPECT_THAT(errors.err, HasSubstr("is the errors file of the job"));
}

TEST_F(BatchMishaps, SkipsAByteOrderMarkAndNamesThoseOfUtf16) {
  const auto prompt_tokens = [&](const std::string& text, const std::vector<std::string>& more) {
    for (const char* name : {"out.jsonl", "out.errors.jsonl", "out.job.json"})
      fs::remove(mine_ / name);
    const Finished run = Run(Write("in", text), mine_ / "out.jsonl", more);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    std::map<std::string, json> tokens;
    std::ifstream lines(mine_ / "out.jsonl");
    for (std::string line; std::getline(lines, line);) {
      const json result = json::parse(line);
      tokens[result["custom_id"]] = result["response"]["body"]["usage"]["prompt_tokens"];
    }
    return tokens;
  };
  const std::string mark = "\xEF\xBB\xBF";
  const auto text = prompt_tokens("The dog\nThe dog\n", {"--text"});
  ASSERT_EQ(text.size(), 2u);
  EXPECT_EQ(prompt_tokens(mark + "The dog\nThe dog\n", {"--text"}), text);
  EXPECT_EQ(prompt_tokens(mark + "The dog\r\nThe dog\r\n", {"--text"}), text);
  const std::string line = R"({"prompt": "The dog", "max_tokens": 1})";
  EXPECT_EQ(prompt_tokens(mark + line + "\r\n" + line + "\r\n", {}), text);
  EXPECT_EQ(prompt_tokens(mark + line + "\n" + line, {}), text);
  EXPECT_EQ(prompt_tokens(mark + "\n", {}).size(), 0u) << "an empty line";
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--text"}}) {
    const Finished wide =
        Run(Write("wide", std::string("\xFF\xFE{\0\n\0", 6)), mine_ / "wide.jsonl", more);
    EXPECT_EQ(wide.exit_code, 1);
    EXPECT_THAT(wide.err,
                HasSubstr("wide begins with the byte order mark of UTF-16; save it as UTF-8"));
  }
  EXPECT_FALSE(fs::exists(mine_ / "wide.job.json"));
}

// Starts a job, appends to its input while the job runs, and gives its exit code and error output.
// `running` says whether the job was still running behind that.
Finished AppendWhileItRuns(std::vector<std::string> args, const std::string& input,
                           const std::string& journal, const std::string& error_file,
                           bool* running) {
  const RunningSluice run(std::move(args), error_file);
  *running = run.Await(fs::path(journal).parent_path(), [&] {
    struct stat info;
    return stat(journal.c_str(), &info) == 0 && info.st_size >= 100;
  });
  std::ofstream(input, std::ios::binary | std::ios::app) << kCompletion;
  *running = *running && fs::exists(journal);
  const int status = run.Wait();
  Finished finished;
  finished.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  finished.err = ReadWholeFile(error_file);
  return finished;
}

TEST_F(BatchMishaps, SaysThatItsInputHasGrownWhileItRan) {
  const std::string line = R"({"prompt": "Once upon a time", "max_tokens": 200})"
                           "\n";
  for (int attempt = 0;; ++attempt) {  // on a busy machine a job may end first
    ASSERT_LT(attempt, 20);
    const std::string name = "grown" + std::to_string(attempt);
    const std::string input = Write(name + ".in", line + line + line + line);
    const std::string output = mine_ / (name + ".jsonl");
    bool running = false;
    const Finished run = AppendWhileItRuns(Args(input, output), input, mine_ / (name + ".journal"),
                                           mine_ / "stderr", &running);
    if (!running) continue;
    EXPECT_EQ(run.exit_code, 1) << run.err;
    EXPECT_THAT(
        run.err,
        HasSubstr(input +
                  " has changed since the job began: it had 200 bytes and has 236 now; all 4 "
                  "lines that it had are done with"));
    EXPECT_EQ(NumLines(output), 4);
    const Finished again = Run(input, output);
    EXPECT_EQ(again.exit_code, 1);
    EXPECT_THAT(again.err, HasSubstr(input + " has changed since the job of " + output +
                                     " began: it had 4 lines"));
    EXPECT_THAT(again.err, HasSubstr("give the option that the job began with, or another -o"));
    EXPECT_EQ(NumLines(output), 4);
    return;
  }
}

}  // namespace
}  // namespace sluice
