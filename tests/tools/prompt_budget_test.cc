// Texts that a command line hands in are part of the budget: what has no room is refused before it
// takes any.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kMostRss = int64_t{10 + 64} << 20;  // of --max-ram 10MiB

class PromptBudget : public testing::Test {
 protected:
  PromptBudget() {
    const Finished run =
        RunSluice({"shard", SLUICE_SOURCE_DIR "/tests/data/models/TinyStories-656K", Store(),
                   "--slab-size", "64KiB"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
  }
  std::string Store() const { return dir_ / "store"; }

  // A file of `count` times `unit`.
  std::string TextFile(const std::string& name, const std::string& unit, int64_t count) const {
    std::ofstream out(dir_ / name, std::ios::binary);
    std::string block;
    for (int64_t i = 0; i < count; ++i) {
      block += unit;
      if (block.size() < (1 << 16) && i + 1 < count) continue;
      out << block;
      block.clear();
    }
    return dir_ / name;
  }

  // `command` and its options with a text of `path`: refused with a line that names it, within the
  // budget.
  void ExpectRefused(std::vector<std::string> args, const std::string& path,
                     const std::string& name) const {
    args.insert(args.begin() + 1, {Store(), "-f", path, "--max-ram", "10MiB"});
    const Finished run = RunSluice(args);
    const std::string what = args[0] + " of " + name;
    EXPECT_EQ(run.exit_code, 1) << what << ": " << run.err;
    EXPECT_THAT(run.err, HasSubstr(name)) << what;
    EXPECT_THAT(run.err, AnyOf(HasSubstr("--max-ram"), HasSubstr("-c"))) << what;
    EXPECT_EQ(run.out, "") << what;
#ifndef SLUICE_SANITIZED
    EXPECT_LE(run.peak_rss_bytes, kMostRss) << what << ": " << run.err;
#endif
  }

  TempDir dir_;
};

TEST_F(PromptBudget, RefusesTextsOfTenMegabytes) {
  const std::string words = TextFile("words", "a ", 5'000'000);
  const std::string one_word = TextFile("one-word", "a", 10'000'000);
  const std::string digits = TextFile("digits", "7", 10'000'000);
  const std::string marks = TextFile("marks", "\u0301", 5'000'000);
  for (const std::string& path : {words, one_word, digits, marks}) {
    const std::string name = path.substr(path.rfind('/') + 1);
    ExpectRefused({"run", "-n", "1"}, path, name);
    ExpectRefused({"run", "-n", "1", "--chat", "--template", "chatml"}, path, name);
    ExpectRefused({"score"}, path, name);
    ExpectRefused({"perplexity", "--tokens", "500"}, path, name);
  }
}

TEST_F(PromptBudget, StopsReadingWhatHasNoEnd) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"run", "-n", "1"}, {"score"}, {"perplexity"}}) {
    ExpectRefused(command, "/dev/zero", "/dev/zero");
  }
}

TEST_F(PromptBudget, StopsAtATextThatTheContextCannotHold) {
  // Of 100 MB nothing is read but what 64 tokens could be, whatever the budget.
  const std::string path = dir_ / "large";
  std::ofstream(path).close();
  std::filesystem::resize_file(path, 100'000'000);
  for (const std::string command : {"run", "score"}) {
    const Finished run = RunSluice({command, Store(), "-f", path, "-c", "64", "--max-ram", "1GiB"});
    EXPECT_EQ(run.exit_code, 1);
    EXPECT_THAT(run.err, HasSubstr("too many for the 64 tokens of the context")) << run.err;
#ifndef SLUICE_SANITIZED
    EXPECT_LE(run.peak_rss_bytes, int64_t{64} << 20);
#endif
  }
}

TEST_F(PromptBudget, TextsThatHaveRoomGiveTheSameInASmallBudget) {
  const std::string text = TextFile("text", "Once upon a time there was a 7. ", 600);  // 19 KB
  const auto result = [&](const std::string& budget) {
    const Finished run = RunSluice({"perplexity", Store(), "-f", text, "--tokens", "500", "-c",
                                    "64", "--json", "--max-ram", budget});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.out;
  };
  EXPECT_EQ(result("10MiB"), result("1GiB"));
}

TEST_F(PromptBudget, CountsWhatScoresKeep) {
  const std::string text = TextFile("text", "Once upon a time. ", 8);
  const std::vector<std::string> args = {"score",  Store(),     "-f",    text,
                                         "--json", "--max-ram", "10MiB", "--top"};
  std::vector<std::string> few = args, many = args;
  few.push_back("2");
  many.push_back("100000");
  const Finished held = RunSluice(few);
  EXPECT_EQ(held.exit_code, 0) << held.err;
  const Finished refused = RunSluice(many);
  EXPECT_EQ(refused.exit_code, 1) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("--max-ram"));
}

TEST_F(PromptBudget, ABatchFailsTheLinesThatTakeTooMuch) {
  std::string words, digits;
  for (int i = 0; i < 1'500'000; ++i) words += "a ";
  digits.assign(3'000'000, '7');
  std::ofstream input(dir_ / "in.jsonl");
  const auto write = [&](const std::string& id, const json& body, const std::string& url) {
    input << json{{"custom_id", id}, {"method", "POST"}, {"url", url}, {"body", body}}.dump()
          << "\n";
  };
  write("words", {{"prompt", words}, {"max_tokens", 1}}, "/v1/completions");
  write("digits", {{"prompt", digits}, {"max_tokens", 1}}, "/v1/completions");
  write("chat", {{"messages", {{{"role", "user"}, {"content", words}}}}, {"max_tokens", 1}},
        "/v1/chat/completions");
  write("short", {{"prompt", "Once"}, {"max_tokens", 1}}, "/v1/completions");
  input.close();
  const Finished run =
      RunSluice({"batch", Store(), "-i", dir_ / "in.jsonl", "-o", dir_ / "out.jsonl", "--template",
                 "chatml", "--max-ram", "32MiB"});
  std::ifstream results(dir_ / "out.jsonl");
  std::string line;
  ASSERT_TRUE(std::getline(results, line)) << run.err;
  EXPECT_EQ(json::parse(line)["custom_id"], "short");
  EXPECT_FALSE(std::getline(results, line));
#ifndef SLUICE_SANITIZED
  EXPECT_LE(run.peak_rss_bytes, int64_t{32 + 64} << 20);
#endif
}

TEST_F(PromptBudget, ABatchReadsNoLineWhoseJsonTakesTooMuch) {
  std::ofstream input(dir_ / "in.jsonl");
  const auto write = [&](const std::string& id, const std::string& member) {
    input << R"({"method": "POST", "url": "/v1/completions", "body": {"prompt": "x", )" << member
          << R"(}, "custom_id": ")" << id << "\"}\n";
  };
  const auto many = [](const std::string& unit) {
    std::string list = "[" + unit;
    while (list.size() < (3 << 20)) list += "," + unit;
    return list + "]";
  };
  write("arrays", "\"tools\": " + many("[]"));
  write("objects", "\"stop\": " + many(R"({"a":{}})"));
  write("texts", "\"stop\": " + many(R"("")"));
  write("short", "\"max_tokens\": 1");
  input.close();
  const Finished run = RunSluice(
      {"batch", Store(), "-i", dir_ / "in.jsonl", "-o", dir_ / "out.jsonl", "--max-ram", "32MiB"});
  std::ifstream results(dir_ / "out.jsonl"), errors(dir_ / "out.errors.jsonl");
  std::string line;
  ASSERT_TRUE(std::getline(results, line)) << run.err;
  EXPECT_EQ(json::parse(line)["custom_id"], "short");
  std::vector<std::string> ids;
  while (std::getline(errors, line)) {
    ids.push_back(json::parse(line)["custom_id"]);
    EXPECT_THAT(line, AllOf(HasSubstr("out_of_memory"), HasSubstr("--max-ram")));
  }
  EXPECT_THAT(ids, ElementsAre("arrays", "objects", "texts"));
#ifndef SLUICE_SANITIZED
  EXPECT_LE(run.peak_rss_bytes, int64_t{32 + 64} << 20);
#endif
}

TEST_F(PromptBudget, ChatLoadsNoSessionWhoseMessagesTakeTooMuch) {
  // A header that is as long as it says, of a file that is no session behind it.
  std::string header = "[\"\"";
  while (header.size() < (20 << 20)) header += ",\"\"";
  header += "]";
  const uint32_t version = 1, bytes = static_cast<uint32_t>(header.size());
  {
    std::ofstream file(dir_ / "session", std::ios::binary);
    file << "SLUICECH";
    file.write(reinterpret_cast<const char*>(&version), 4);
    file.write(reinterpret_cast<const char*>(&bytes), 4);
    file << header << std::string(64, ' ');
  }
  const Finished run = RunSluice({"chat", Store(), "--template", "chatml", "--max-ram", "16MiB"},
                                 nullptr, "/load " + (dir_ / "session") + "\n");
  EXPECT_EQ(run.exit_code, 1) << run.out;
  EXPECT_THAT(run.err, AllOf(HasSubstr("session"), HasSubstr("--max-ram"))) << run.err;
#ifndef SLUICE_SANITIZED
  EXPECT_LE(run.peak_rss_bytes, int64_t{16 + 64} << 20);
#endif
}

TEST_F(PromptBudget, RefusesASchemaThatTakesTooMuch) {
  std::string schema = R"({"enum": [[])";
  while (schema.size() < (900 << 10)) schema += ",[]";
  std::ofstream(dir_ / "schema.json") << schema << "]}";
  const Finished run = RunSluice({"run", Store(), "-p", "x", "-n", "1", "--json-schema-file",
                                  dir_ / "schema.json", "--max-ram", "10MiB"});
  EXPECT_EQ(run.exit_code, 1) << run.out;
  EXPECT_THAT(run.err, AllOf(HasSubstr("schema.json"), HasSubstr("--max-ram"))) << run.err;
#ifndef SLUICE_SANITIZED
  EXPECT_LE(run.peak_rss_bytes, kMostRss);
#endif
}

TEST_F(PromptBudget, ATemplateThatTakesTooMuchNamesTheBudget) {
  std::ofstream(dir_ / "doubling.jinja")
      << "{% set n = namespace(t=messages[0].content) %}{% for i in range(40) %}"
         "{% set n.t = n.t ~ n.t %}{% endfor %}{{ n.t }}";
  const Finished run = RunSluice({"run", Store(), "--chat", "--template", dir_ / "doubling.jinja",
                                  "-p", "Once", "-n", "1", "--max-ram", "10MiB"});
  EXPECT_EQ(run.exit_code, 1) << run.out;
  EXPECT_THAT(run.err, HasSubstr("--max-ram")) << run.err;
}

// What `plan` names works, and a MiB less does not.
TEST_F(PromptBudget, PlanNamesTheSmallestBudgetOfAChatToo) {
  const Finished plan = RunSluice({"plan", Store(), "--max-ram", "64MiB", "--no-probe"});
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  const size_t at = plan.out.find("for chat ");
  ASSERT_NE(at, std::string::npos) << plan.out;
  const int64_t mib = std::stoll(plan.out.substr(at + 9));
  const auto chat = [&](int64_t budget) {
    return RunSluice({"chat", Store(), "--template", "chatml", "-n", "1", "--max-ram",
                      std::to_string(budget) + "MiB"},
                     nullptr, "Hi\n");
  };
  EXPECT_EQ(chat(mib).exit_code, 0) << chat(mib).err;
  const Finished refused = chat(mib - 1);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("--max-ram")) << refused.err;
}

TEST_F(PromptBudget, ChatRefusesALineThatTakesTooMuch) {
  std::string words;
  for (int i = 0; i < 1'500'000; ++i) words += "a ";
  const Finished run = RunSluice({"chat", Store(), "--template", "chatml", "--max-ram", "16MiB"},
                                 nullptr, words + "\n");
  EXPECT_EQ(run.exit_code, 1) << run.out;
  EXPECT_THAT(run.err, AnyOf(HasSubstr("--max-ram"), HasSubstr("-c"), HasSubstr("limit")))
      << run.err;
#ifndef SLUICE_SANITIZED
  EXPECT_LE(run.peak_rss_bytes, int64_t{16 + 64} << 20);
#endif
}

}  // namespace
}  // namespace sluice
