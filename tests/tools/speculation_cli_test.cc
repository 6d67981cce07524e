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
#include "tests/support/mimo_checkpoint.h"
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

// Members' names are spelled out by a schema, so that a pass takes many of their tokens.
TEST_F(SpeculationCli, SchemasDraft) {
  const std::string schema = R"({"type": "object", "additionalProperties": false,
    "required": ["speaker of the line", "is a nobleman"], "properties": {
    "speaker of the line": {"enum": ["the king of France", "the queen", "a messenger"]},
    "is a nobleman": {"type": "boolean"}}})";
  for (const char* const temperature : {"0", "1.2"}) {
    const std::vector<std::string> shared = {
        "-j", schema, "--temp", temperature, "--repeat-penalty", "1.2"};
    std::vector<std::string> off = shared, streamed = shared;
    off.insert(off.end(), {"--speculate", "off", "--max-ram", "64MiB"});
    // What is slow has rows to spare, whatever is known of this machine.
    streamed.insert(streamed.end(), {"--max-ram", "12MiB", "--throttle-disk", "200MB/s"});
    const json plain = Run(off), drafted = Run(streamed);
    EXPECT_EQ(drafted["ids"], plain["ids"]);
    EXPECT_EQ(drafted["finish_reason"], plain["finish_reason"]);
    EXPECT_TRUE(json::accept(drafted["text"].get<std::string>())) << drafted["text"];
    EXPECT_GT(drafted["report"]["draft_rows"], 10);
    EXPECT_GT(drafted["report"]["tokens_per_pass"], 1.5) << drafted["text"];
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

// A checkpoint with a head of its own: it drafts where nothing else is asked for.
TEST_F(SpeculationCli, TheCheckpointsHeadDrafts) {
  WriteMimoCheckpoint(*dir_ / "mimo");
  const std::string store = *dir_ / "mimo.store";
  Finished run = RunSluice({"shard", *dir_ / "mimo", store});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(RunSluice({"verify", store}).exit_code, 0);
  EXPECT_THAT(RunSluice({"inspect", store}).out, HasSubstr("head that drafts"));
  const auto generate = [&](const std::vector<std::string>& more) {
    std::vector<std::string> args = {
        "run", store, "-p",    "ROMEO: What say you, and what", "-n", "80", "-t", "1", "-c", "256",
        "-s",  "3",   "--json"};
    args.insert(args.end(), more.begin(), more.end());
    const Finished generated = RunSluice(args);
    EXPECT_EQ(generated.exit_code, 0) << generated.err;
    return generated.exit_code == 0 ? json::parse(generated.out) : json();
  };
  for (const char* const temperature : {"0", "0.8"}) {
    const json plain = generate({"--temp", temperature, "--speculate", "off"});
    for (const char* const mode : {"mtp", "auto"}) {
      const json drafted = generate({"--temp", temperature, "--speculate", mode});
      EXPECT_EQ(drafted["ids"], plain["ids"]) << mode;
      EXPECT_GT(drafted["report"]["tokens_per_pass"], 1.1) << mode << " at " << temperature;
      EXPECT_FALSE(drafted["report"].contains("draft_failures"));
    }
  }
  // No room for the head: auto goes without, mtp says so.
  generate({"--max-ram", "7MiB"});
  run =
      RunSluice({"run", store, "-p", "x", "--speculate", "mtp", "-c", "256", "--max-ram", "7MiB"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("needs at least"));
  run = RunSluice({"run", Bard(), "-p", "x", "--speculate", "mtp"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("had no head that drafts"));
  run = RunSluice({"run", store + "/mtp", "-p", "x"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("the head of a model"));
  run = RunSluice({"run", Bard(), "-p", "x", "-md", store + "/mtp"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("the head of a model"));
  // A store whose head was not written yet runs without it, until the same command writes it.
  std::filesystem::remove_all(store + "/mtp");
  run = RunSluice({"run", store, "-p", "x", "-n", "1", "-c", "256"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("MTP head does not draft"));
  run = RunSluice({"run", store, "-p", "x", "-c", "256", "--speculate", "mtp"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("run again, writes what is missing"));
  // As a run leaves it that was killed before it wrote a file of the head.
  std::filesystem::create_directory(store + "/mtp");
  EXPECT_EQ(RunSluice({"shard", *dir_ / "mimo", store}).exit_code, 0);
  EXPECT_EQ(RunSluice({"verify", store}).exit_code, 0);
}

class BatchSpeculation : public SpeculationCli {
 protected:
  static std::string Input() {
    std::string path = *dir_ / "in.jsonl";
    std::ofstream file(path);
    for (int i = 0; i < 5; ++i) {
      file << json{{"custom_id", absl::StrCat("r", i)},
                   {"prompt", absl::StrCat("Speech ", i, ":\nO, ")},
                   {"max_tokens", 40},
                   {"temperature", i % 2},
                   {"seed", i}}
                  .dump()
           << "\n";
    }
    return path;
  }
  // Runs the job with these options; its report.
  static json Batch(const std::string& output, const std::vector<std::string>& more) {
    std::vector<std::string> args = {"batch", Bard(), "-i",  Input(), "-o", output,  "--batch-size",
                                     "2",     "-c",   "256", "-t",    "1",  "--json"};
    args.insert(args.end(), more.begin(), more.end());
    const Finished run = RunSluice(args);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.exit_code == 0 ? json::parse(run.out) : json();
  }
  static std::map<std::string, std::string> Answers(const std::string& output) {
    std::map<std::string, std::string> texts;
    std::ifstream lines(output);
    for (std::string line; std::getline(lines, line);) {
      json answer = json::parse(line);
      std::string body = answer["response"]["body"]["choices"].dump();
      texts[answer["custom_id"].get<std::string>()] = std::move(body);
    }
    return texts;
  }
};

TEST_F(BatchSpeculation, GivesTheSameAnswers) {
  const std::string off = *dir_ / "off.jsonl";
  EXPECT_EQ(Batch(off, {"--speculate", "off", "--max-ram", "24MiB"})["draft_rows"], 0);
  const std::map<std::string, std::string> want = Answers(off);
  EXPECT_EQ(want.size(), 5);
  const std::vector<std::vector<std::string>> ways = {
      {"--max-ram", "24MiB"},
      {"-md", Bard(), "--max-ram", "96MiB"},
      {"-md", Bard(), "--max-ram", "64MiB", "--draft-max", "3"},
      {"--spec-draft-model", Bard(), "--speculate", "model", "--max-ram", "96MiB"}};
  for (size_t i = 0; i < ways.size(); ++i) {
    SCOPED_TRACE(i);
    const std::string output = *dir_ / absl::StrCat("way", i, ".jsonl");
    const json report = Batch(output, ways[i]);
    EXPECT_EQ(Answers(output), want);
    if (i == 0) continue;
    EXPECT_GT(report["draft_rows"], 20);
    EXPECT_GT(report["tokens_per_pass"], 1.3) << "the draft is the target itself";
  }
  // No answer depends on drafts, so a job goes on with others.
  EXPECT_EQ(Batch(off, ways[1])["generated_tokens"], 0);
}

TEST_F(BatchSpeculation, RefusesDraftModelsBeforeAnythingIsRead) {
  const std::string output = *dir_ / "refused.jsonl";
  const auto error_of = [&](const std::vector<std::string>& more, int exit_code) {
    std::vector<std::string> args = {"batch", Bard(), "-i", Input(), "-o",           output,
                                     "-c",    "256",  "-t", "1",     "--batch-size", "2"};
    args.insert(args.end(), more.begin(), more.end());
    const Finished run = RunSluice(args);
    EXPECT_EQ(run.exit_code, exit_code) << run.err;
    EXPECT_FALSE(std::filesystem::exists(output));
    return run.err;
  };
  EXPECT_THAT(error_of({"-md", *dir_ / "stories.store"}, 1),
              HasSubstr("stories.store cannot draft for"));
  EXPECT_THAT(error_of({"-md", *dir_ / "none.store"}, 1), HasSubstr("none.store"));
  EXPECT_THAT(error_of({"-md", Bard(), "--max-ram", "14MiB"}, 1), HasSubstr("needs at least"));
  EXPECT_THAT(error_of({"--speculate", "model"}, 2), HasSubstr("--speculate model needs -md"));
}

TEST_F(BatchSpeculation, PlansCountTheDraftModel) {
  const auto plan = [](const std::vector<std::string>& more) {
    std::vector<std::string> args = {"plan",  Bard(),         "--batch", "--no-probe", "--json",
                                     "-c",    "256",          "-t",      "1",          "--max-ram",
                                     "96MiB", "--batch-size", "2"};
    args.insert(args.end(), more.begin(), more.end());
    const Finished run = RunSluice(args);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.exit_code == 0 ? json::parse(run.out) : json();
  };
  const json without = plan({});
  EXPECT_EQ(without["draft_model_bytes"], 0);
  const json with = plan({"-md", Bard()});
  EXPECT_GT(with["draft_model_bytes"], int64_t{6} << 20);
  EXPECT_GT(with["draft_rows"], 0);
  EXPECT_GE(with["fixed_bytes"].get<int64_t>(),
            without["fixed_bytes"].get<int64_t>() + with["draft_model_bytes"].get<int64_t>());
}

}  // namespace
}  // namespace sluice
