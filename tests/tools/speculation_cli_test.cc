// Drafting as users have it: options, reports, refusals, and texts that stay the same.
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class SpeculationCli : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TempDir;
    const std::string models = SLUICE_SOURCE_DIR "/tests/data/models/";
    for (const auto& [model, store] :
         {std::pair("bard-6.7M", "bard.store"), std::pair("TinyStories-656K", "stories.store")}) {
      const Finished run = RunSluice({"shard", models + model, *dir_ / store});
      ASSERT_EQ(run.exit_code, 0) << run.err;
    }
  }
  static void TearDownTestSuite() { delete dir_; }
  static std::string Bard() { return *dir_ / "bard.store"; }

  static json Run(const std::vector<std::string>& more) {
    std::vector<std::string> args = {
        "run", Bard(), "-p",    "ROMEO: What say you, and what", "-n", "80", "-t", "1", "-c", "256",
        "-s",  "3",    "--json"};
    args.insert(args.end(), more.begin(), more.end());
    const Finished run = RunSluice(args);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.exit_code == 0 ? json::parse(run.out) : json();
  }

  static TempDir* dir_;
};
TempDir* SpeculationCli::dir_ = nullptr;

TEST_F(SpeculationCli, DraftsGiveTheSameText) {
  for (const char* const temperature : {"0", "0.9"}) {
    const json plain = Run({"--temp", temperature, "--speculate", "off"});
    EXPECT_EQ(plain["report"]["draft_rows"], 0);
    EXPECT_EQ(plain["report"]["tokens_per_pass"], 1.0);
    const std::vector<std::vector<std::string>> ways = {
        {"--max-ram", "64MiB"},
        {"--speculate", "ngram", "--draft-max", "2", "--max-ram", "16MiB"},
        {"-md", Bard(), "--max-ram", "96MiB"},
        {"--spec-draft-model", Bard(), "--speculate", "model", "--max-ram", "96MiB"}};
    for (std::vector<std::string> way : ways) {
      const bool model = way.size() > 4 || way[0] == "-md";
      way.insert(way.end(), {"--temp", temperature});
      const json drafted = Run(way);
      EXPECT_EQ(drafted["ids"], plain["ids"]);
      const json& report = drafted["report"];
      EXPECT_EQ(report["generated_tokens"], 80);
      if (!model || way[1] == "ngram") continue;
      EXPECT_GT(report["draft_rows"], 20);
      EXPECT_GT(report["tokens_per_pass"], 1.3) << "the draft is the target itself";
      EXPECT_GT(report["draft_s"], 0);
      EXPECT_GT(report["pass_s"], 0);
    }
  }
}

TEST_F(SpeculationCli, RefusesDraftsThatCannotWork) {
  const auto error_of = [](const std::vector<std::string>& args, int exit_code) {
    const Finished run = RunSluice(args);
    EXPECT_EQ(run.exit_code, exit_code) << run.err;
    return run.err;
  };
  EXPECT_THAT(error_of({"run", Bard(), "-p", "x", "-md", *dir_ / "stories.store"}, 1),
              HasSubstr("stories.store cannot draft for"));
  EXPECT_THAT(error_of({"run", Bard(), "-p", "x", "-md", *dir_ / "none.store"}, 1),
              HasSubstr("none.store"));
  EXPECT_THAT(error_of({"run", Bard(), "-p", "x", "--speculate", "model"}, 2),
              HasSubstr("--speculate model needs -md STORE"));
  EXPECT_THAT(error_of({"run", Bard(), "-p", "x", "-md", Bard(), "--max-ram", "12MiB"}, 1),
              HasSubstr("needs at least"));
  const Finished noted = RunSluice(
      {"run", Bard(), "-p", "x", "-n", "1", "--draft-min", "3", "--draft", "4", "--spec-default"});
  EXPECT_EQ(noted.exit_code, 0) << noted.err;
  EXPECT_THAT(noted.err, HasSubstr("--draft-min changes nothing"));
}

TEST_F(SpeculationCli, BatchesGiveTheSameAnswers) {
  const std::string input = *dir_ / "in.jsonl";
  std::ofstream file(input);
  for (int i = 0; i < 5; ++i) {
    file << json{{"custom_id", absl::StrCat("r", i)},
                 {"prompt", absl::StrCat("Speech ", i, ":\nO, ")},
                 {"max_tokens", 40},
                 {"temperature", i % 2},
                 {"seed", i}}
                .dump()
         << "\n";
  }
  file.close();
  std::vector<std::map<std::string, std::string>> answers;
  for (const char* const mode : {"off", "auto"}) {
    const std::string output = *dir_ / absl::StrCat(mode, ".jsonl");
    const Finished run =
        RunSluice({"batch", Bard(), "-i", input, "-o", output, "--batch-size", "2", "-c", "256",
                   "--max-ram", "24MiB", "--speculate", mode, "-t", "1"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    std::map<std::string, std::string>& texts = answers.emplace_back();
    std::ifstream lines(output);
    for (std::string line; std::getline(lines, line);) {
      json answer = json::parse(line);
      std::string body = answer["response"]["body"]["choices"].dump();
      texts[answer["custom_id"].get<std::string>()] = std::move(body);
    }
    EXPECT_EQ(texts.size(), 5);
  }
  EXPECT_EQ(answers[0], answers[1]);
}

}  // namespace
}  // namespace sluice
